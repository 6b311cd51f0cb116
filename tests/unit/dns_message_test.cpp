// The stub's DNS reader and writer, with ldns as the independent oracle.
#include <gtest/gtest.h>
#include <ldns/ldns.h>

#include <memory>

#include "terminal/dns/facts.hpp"

namespace ntm::terminal::dns {
namespace {

Name name(const char* text) { return Name::parse(text).value(); }

struct FreePacket {
  void operator()(ldns_pkt* p) const { ldns_pkt_free(p); }
};
using Packet = std::unique_ptr<ldns_pkt, FreePacket>;

Packet oracle(const Bytes& bytes) {
  ldns_pkt* p = nullptr;
  return ldns_wire2pkt(&p, bytes.data(), bytes.size()) == LDNS_STATUS_OK ? Packet(p) : nullptr;
}

// ldns writes with compression, like real servers.
Bytes wire(ldns_pkt* packet) {
  std::uint8_t* out = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(ldns_pkt2wire(&out, packet, &size), LDNS_STATUS_OK);
  Bytes bytes(out, out + size);
  free(out);
  return bytes;
}

Bytes response(const char* question, ldns_rr_type type, const std::vector<std::string>& answers,
               const std::vector<std::string>& authority = {}) {
  Packet p(ldns_pkt_new());
  ldns_pkt_set_id(p.get(), 4711);
  ldns_pkt_set_qr(p.get(), true);
  ldns_pkt_set_rd(p.get(), true);
  ldns_pkt_set_ra(p.get(), true);
  ldns_rr* q = ldns_rr_new();
  ldns_rr_set_question(q, true);
  ldns_rr_set_owner(q, ldns_dname_new_frm_str(question));
  ldns_rr_set_type(q, type);
  ldns_rr_set_class(q, LDNS_RR_CLASS_IN);
  ldns_pkt_push_rr(p.get(), LDNS_SECTION_QUESTION, q);
  for (const std::string& text : answers) {
    ldns_rr* rr = nullptr;
    EXPECT_EQ(ldns_rr_new_frm_str(&rr, text.c_str(), 0, nullptr, nullptr), LDNS_STATUS_OK) << text;
    ldns_pkt_push_rr(p.get(), LDNS_SECTION_ANSWER, rr);
  }
  for (const std::string& text : authority) {
    ldns_rr* rr = nullptr;
    EXPECT_EQ(ldns_rr_new_frm_str(&rr, text.c_str(), 0, nullptr, nullptr), LDNS_STATUS_OK) << text;
    ldns_pkt_push_rr(p.get(), LDNS_SECTION_AUTHORITY, rr);
  }
  return wire(p.get());
}

TEST(DnsMessage, OurQueriesReadWellByLdns) {
  Bytes bytes = make_query(77, name("www.example.org"), kTypeAaaa, true);
  Packet p = oracle(bytes);
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(ldns_pkt_id(p.get()), 77);
  EXPECT_TRUE(ldns_pkt_rd(p.get()));
  EXPECT_TRUE(ldns_pkt_edns(p.get()));
  EXPECT_TRUE(ldns_pkt_edns_do(p.get()));
  EXPECT_EQ(ldns_pkt_edns_udp_size(p.get()), kUdpPayload);
  ldns_rr* q = ldns_rr_list_rr(ldns_pkt_question(p.get()), 0);
  EXPECT_EQ(ldns_rr_get_type(q), LDNS_RR_TYPE_AAAA);
  std::unique_ptr<char, decltype(&free)> owner(ldns_rdf2str(ldns_rr_owner(q)), &free);
  EXPECT_STREQ(owner.get(), "www.example.org.");
}

TEST(DnsMessage, OurAnswersReadWellByLdns) {
  Message query = read_message(make_query(5, name("WWW.example.org"), kTypeA, true)).value();
  Answer answer;
  answer.error = ExtendedError::ForgedAnswer;
  answer.records = {{name("www.example.org"), kTypeCname, 30,
                     to_bytes(name("mn1.a.example").wire())},
                    {name("mn1.a.example"), kTypeA, 30, {198, 18, 0, 7}}};
  Bytes bytes = make_answer(query, answer);
  Packet p = oracle(bytes);
  ASSERT_NE(p, nullptr);
  EXPECT_TRUE(ldns_pkt_qr(p.get()));
  EXPECT_TRUE(ldns_pkt_ra(p.get()));
  EXPECT_EQ(ldns_pkt_ancount(p.get()), 2);
  ldns_rr* a = ldns_rr_list_rr(ldns_pkt_answer(p.get()), 1);
  std::unique_ptr<char, decltype(&free)> text(ldns_rr2str(a), &free);
  EXPECT_STREQ(text.get(), "mn1.a.example.\t30\tIN\tA\t198.18.0.7\n");
  // EDE 4 (RFC 8914) as option 15 of 2 bytes.
  Bytes tail(bytes.end() - 6, bytes.end());
  EXPECT_EQ(tail, (Bytes{0, 15, 0, 2, 0, 4}));
}

TEST(DnsMessage, NoEdnsToWhoSpeaksNone) {
  Bytes bytes = make_query(5, name("x.example"), kTypeA);
  bytes.resize(bytes.size() - 11);  // the OPT record
  bytes[11] = 0;
  Message query = read_message(bytes).value();
  EXPECT_FALSE(query.edns);
  Packet p = oracle(make_answer(query, {}));
  ASSERT_NE(p, nullptr);
  EXPECT_FALSE(ldns_pkt_edns(p.get()));
}

TEST(DnsMessage, ReadsWhatLdnsWritesWithCompression) {
  Bytes bytes = response("www.example.org.", LDNS_RR_TYPE_A,
                         {"www.example.org. 300 IN CNAME web.cdn.example.org.",
                          "web.cdn.example.org. 60 IN A 192.0.2.1",
                          "web.cdn.example.org. 20 IN A 192.0.2.2"},
                         {"example.org. 300 IN NS ns.example.org."});
  Message m = read_message(bytes).value();
  EXPECT_EQ(m.id, 4711);
  ASSERT_EQ(m.records.size(), 4u);
  AddressFacts f = address_facts(m, kTypeA);
  EXPECT_EQ(f.last, name("web.cdn.example.org"));
  ASSERT_EQ(f.chain.size(), 1u);
  EXPECT_EQ(f.ttl, 20u);
  ASSERT_EQ(f.addresses.size(), 2u);
  EXPECT_EQ(to_string(f.addresses[1]), "192.0.2.2");
  EXPECT_FALSE(f.is_nodata());
  EXPECT_TRUE(address_facts(m, kTypeAaaa).is_nodata());
}

TEST(DnsMessage, NtmRecordsAndNegativeAnswers) {
  wire::NtmRecord r = wire::NtmRecord::empty(Family::V4);
  r.virtual_address = parse_address("198.18.0.7").value();
  Bytes rdata = wire::encode(r);
  std::string hex;
  for (Byte b : rdata) {
    char two[3];
    snprintf(two, sizeof two, "%02x", b);
    hex += two;
  }
  Bytes bytes = response("alias.example.org.", static_cast<ldns_rr_type>(wire::kTypeNtmV4),
                         {"alias.example.org. 0 IN CNAME mn1.a.example.",
                          "mn1.a.example. 0 IN TYPE65341 \\# " + std::to_string(rdata.size()) +
                              " " + hex});
  NtmFacts f = ntm_facts(read_message(bytes).value(), Family::V4);
  ASSERT_TRUE(f.record);
  EXPECT_EQ(*f.record, r);
  EXPECT_EQ(f.last, name("mn1.a.example"));
  EXPECT_EQ(f.rdata, rdata);

  bytes = response("www.example.org.", static_cast<ldns_rr_type>(wire::kTypeNtmV4), {},
                   {"example.org. 3600 IN SOA ns. host. 1 2 3 4 120"});
  f = ntm_facts(read_message(bytes).value(), Family::V4);
  EXPECT_FALSE(f.record);
  EXPECT_TRUE(f.answered());
  EXPECT_EQ(f.negative_ttl, 120u);
}

TEST(DnsMessage, AddressHintsAreRemoved) {
  // HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1, as raw RDATA: Debian's ldns
  // prints SVCB but the hints are what matters here.
  Writer rdata;
  rdata.u16(1).u8(0);
  rdata.u16(1).u16(3).u8(2).bytes(as_view("h2"));
  rdata.u16(4).u16(4).u32(0xc0000201);
  rdata.u16(6).u16(16).u64(0x20010db800000000).u64(1);
  Message query = read_message(make_query(9, name("www.example.org"), kTypeHttps)).value();
  Answer answer;
  answer.authentic_data = true;
  answer.records = {{name("www.example.org"), kTypeHttps, 300, rdata.take()},
                    {name("www.example.org"), kTypeHttps, 300, {0, 2, 0}}};
  Message with = read_message(make_answer(query, answer)).value();
  Bytes without = without_address_hints(with);
  Message m = read_message(without).value();
  ASSERT_EQ(m.records.size(), 2u);
  EXPECT_EQ(to_bytes(m.rdata(m.records[0])), (Bytes{0, 1, 0, 0, 1, 0, 3, 2, 'h', '2'}));
  EXPECT_FALSE(m.flags.authentic_data);
  EXPECT_NE(oracle(without), nullptr);
  EXPECT_EQ(without_address_hints(m), without);  // nothing to remove: the same bytes
}

TEST(DnsMessage, RefusesWhatOverruns) {
  Bytes whole =
      response("www.example.org.", LDNS_RR_TYPE_A, {"www.example.org. 60 IN A 192.0.2.1"});
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read_message(ByteView(whole).first(size))) << size;
  Bytes loop = make_query(1, name("a.b"), kTypeA);
  loop[12] = 0xc0;  // a name that points to itself
  loop[13] = 12;
  EXPECT_FALSE(read_message(loop));
  Bytes forward = loop;
  forward[13] = 20;
  EXPECT_FALSE(read_message(forward));
}

// Whatever ldns accepts we read with the same counts, on random damage of a real answer.
TEST(DnsMessage, AgreesWithLdnsOnDamagedMessages) {
  Bytes whole = response("www.example.org.", LDNS_RR_TYPE_A,
                         {"www.example.org. 300 IN CNAME web.example.org.",
                          "web.example.org. 60 IN A 192.0.2.1"},
                         {"example.org. 300 IN NS ns.example.org."});
  unsigned seed = 1;
  int both = 0;
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes = whole;
    seed = seed * 1103515245 + 12345;
    bytes[(seed >> 8) % bytes.size()] = static_cast<Byte>(seed >> 20);
    Packet p = oracle(bytes);
    Result<Message> m = read_message(bytes);
    if (!p || !m) continue;
    ++both;
    std::size_t theirs = ldns_pkt_ancount(p.get()) + ldns_pkt_nscount(p.get());
    std::size_t ours = 0;
    for (const Record& r : m->records) ours += r.section != Section::Additional ? 1u : 0u;
    EXPECT_EQ(ours, theirs);
  }
  EXPECT_GT(both, 10000);
}

}  // namespace
}  // namespace ntm::terminal::dns
