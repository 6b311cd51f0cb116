// The rules by which a location row becomes records (docs/PROTOCOL.md 1), each by itself.
#include "libntm/base/text.hpp"
#include "libntm/wire/dc_record.hpp"
#include "tests/unit/answers_zone.hpp"

namespace ntm::pdns_backend {
namespace {

using namespace testing;

store::TerminalView view() { return {terminal(3, "mn.example.org"), location(3)}; }

std::string public_text(const store::Zone& in, const store::TerminalView& of, Family family) {
  std::optional<IpAddress> out = public_address(in, *of.location, family);
  return out ? to_string(*out) : "none";
}

TEST(PublicAddress, IsTheGlobalRealOne) {
  EXPECT_EQ(public_text(zone(), view(), Family::V4), "203.0.113.5");
  EXPECT_EQ(public_text(zone(), view(), Family::V6), "none");
}

TEST(PublicAddress, OnlyGlobalUnicastIsPublished) {
  for (const char* text : {"10.0.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "127.0.0.1"}) {
    store::TerminalView mn = view();
    mn.location->v4.real = address(text);
    EXPECT_EQ(public_text(zone(), mn, Family::V4), "none") << text;
  }
  for (const char* text : {"fe80::1", "fd00::1", "::1", "ff02::1"}) {
    store::TerminalView mn = view();
    mn.location->v6.real = address(text);
    EXPECT_EQ(public_text(zone(), mn, Family::V6), "none") << text;
  }
  store::TerminalView mn = view();
  mn.location->v6.real = address("2001:db8::5");
  EXPECT_EQ(public_text(zone(), mn, Family::V6), "2001:db8::5");
}

TEST(PublicAddress, BehindNatTheZoneDecides) {
  store::TerminalView mn = view();
  mn.location->v4.real = address("10.0.0.2");
  mn.location->v4.outside = endpoint("203.0.113.9:50000");
  mn.location->v4.behind_nat = true;
  store::Zone in = zone();
  EXPECT_EQ(public_text(in, mn, Family::V4), "none");
  in.publish = store::PublishBehindNat::Outside;
  EXPECT_EQ(public_text(in, mn, Family::V4), "203.0.113.9");
  mn.location->v4.outside = endpoint("100.64.0.9:50000");  // a carrier's NAT in front of the DC's
  EXPECT_EQ(public_text(in, mn, Family::V4), "none");
  // A global address behind NAT is not where it can be reached.
  mn.location->v4.real = address("203.0.113.77");
  in.publish = store::PublishBehindNat::None;
  EXPECT_EQ(public_text(in, mn, Family::V4), "none");
}

TEST(PublicAddress, NeitherOfflineNorPrivate) {
  for (std::uint8_t flag : {store::kLocationOffline, store::kLocationPrivate}) {
    store::TerminalView mn = view();
    mn.location->flags = flag;
    EXPECT_EQ(public_text(zone(), mn, Family::V4), "none");
  }
}

TEST(NtmRecordOfRow, CarriesEverythingADirectionNeeds) {
  store::Zone in = zone();
  in.dc_next_key = key(0x70);
  in.peer_policy = store::PeerPolicy::Closed;
  store::TerminalView mn = view();
  mn.terminal.next_key = key(0x30);
  mn.location->v4.real = address("10.0.0.2");
  mn.location->v4.outside = endpoint("203.0.113.9:50000");
  mn.location->v4.behind_nat = true;
  mn.location->flags = store::kLocationRelayOnly | store::kLocationUpdating;
  std::optional<wire::NtmRecord> record = ntm_record(in, mn, Family::V4);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->flags, wire::kNtmBehindNat | wire::kNtmRelayOnly | wire::kNtmUpdating);
  EXPECT_EQ(to_string(record->real), "10.0.0.2:40000");
  EXPECT_EQ(to_string(record->nat_outside), "203.0.113.9:50000");
  EXPECT_EQ(to_string(record->virtual_address), "198.18.0.3");
  EXPECT_EQ(to_string(record->dc), "192.0.2.53:4753");
  EXPECT_EQ(record->terminal_key, key(0x10));
  EXPECT_EQ(record->terminal_next_key, key(0x30));
  EXPECT_EQ(record->suites, 3);
  EXPECT_EQ(record->dc_name, name("example.org"));
  EXPECT_EQ(record->dc_key, key(0x50));
  EXPECT_EQ(record->dc_next_key, key(0x70));
  EXPECT_EQ(record->policy_hints, wire::kNtmHintClosed);
}

TEST(NtmRecordOfRow, TheFamilyThatTheTerminalIsNotOnHasRealZero) {
  std::optional<wire::NtmRecord> record = ntm_record(zone(), view(), Family::V6);
  ASSERT_TRUE(record);
  EXPECT_FALSE(record->has_real());
  EXPECT_EQ(record->flags, 0);
  EXPECT_EQ(to_string(record->virtual_address), "fd12:3456:789a::3");
  EXPECT_EQ(to_string(record->dc), "[2001:db8::53]:4753");
}

TEST(NtmRecordOfRow, OfflineAndPrivateHideTheRealAddresses) {
  store::TerminalView mn = view();
  mn.location->flags = store::kLocationOffline;
  std::optional<wire::NtmRecord> offline = ntm_record(zone(), mn, Family::V4);
  ASSERT_TRUE(offline);
  EXPECT_EQ(offline->real, (Endpoint{address("0.0.0.0"), 0}));
  EXPECT_EQ(offline->nat_outside, Endpoint{});
  EXPECT_EQ(offline->flags, 0);  // the offline bit of the row is not a bit of the record
  EXPECT_EQ(offline->terminal_key, key(0x10));
  mn.location->flags = store::kLocationPrivate;
  std::optional<wire::NtmRecord> hidden = ntm_record(zone(), mn, Family::V4);
  ASSERT_TRUE(hidden);
  EXPECT_FALSE(hidden->has_real());
  EXPECT_EQ(hidden->nat_outside, Endpoint{});
  EXPECT_EQ(hidden->flags, wire::kNtmPrivate);
}

TEST(NtmRecordOfRow, NoneBeforeEnrolmentAndNoneWithoutAnyAddress) {
  store::TerminalView mn = view();
  mn.location.reset();
  EXPECT_TRUE(ntm_record(zone(), mn, Family::V4));  // enrolled, never registered: offline
  mn.terminal.key.reset();
  EXPECT_FALSE(ntm_record(zone(), mn, Family::V4));
  mn = view();
  mn.terminal.virtual_addresses.v6.reset();
  EXPECT_FALSE(ntm_record(zone(), mn, Family::V6));
  mn.location->v6.real = address("2001:db8::5");
  mn.location->v6.real_port = 40000;
  EXPECT_TRUE(ntm_record(zone(), mn, Family::V6));
}

TEST(DcAnswers, OneSvcbAPortAndTheAddressesOfItsOwner) {
  store::Zone in = zone();
  in.dc_endpoints.push_back(endpoint("192.0.2.54:53"));
  in.dc_endpoints.push_back(endpoint("192.0.2.53:53"));
  std::vector<Answer> rows = dc_answers(in);
  std::vector<Answer> svcb = of_type(rows, wire::kTypeSvcb);
  ASSERT_EQ(svcb.size(), 2u);
  EXPECT_EQ(svcb[0].name, name("_ntm._udp.example.org"));
  wire::DcRecord first = wire::decode_dc_record(svcb[0].rdata).value();
  EXPECT_EQ(first.priority, 1);
  EXPECT_EQ(first.port, 4753);
  EXPECT_EQ(first.endpoints().size(), 2u);
  EXPECT_EQ(first.dc_key, key(0x50));
  EXPECT_EQ(first.zone_virtual6, in.virtual6);
  wire::DcRecord second = wire::decode_dc_record(svcb[1].rdata).value();
  EXPECT_EQ(second.priority, 2);
  EXPECT_EQ(second.port, 53);
  EXPECT_EQ(second.ipv4_hints.size(), 2u);
  EXPECT_EQ(of_type(rows, kTypeA).size(), 2u);
  EXPECT_EQ(of_type(rows, kTypeAaaa).size(), 1u);
}

TEST(DcAnswers, NoneWithoutKeyOrEndpoint) {
  store::Zone in = zone();
  in.dc_key = {};
  EXPECT_TRUE(dc_answers(in).empty());
  in = zone();
  in.dc_endpoints.clear();
  EXPECT_TRUE(dc_answers(in).empty());
}

TEST(SoaRdata, HasTheZonesSerialAndMinimumZeroWhereTerminalsLive) {
  store::Zone in = zone();
  in.serial = 0x01020304;
  Bytes out = soa_rdata(in, soa());
  EXPECT_EQ(to_hex(ByteView(out).last(20)), "0102030400000e100000025800093a8000000000");
  in.has_terminals = false;
  out = soa_rdata(in, soa());
  EXPECT_EQ(to_hex(ByteView(out).last(20)), "0102030400000e100000025800093a800000012c");
  EXPECT_EQ(soa_rdata(in, Bytes(3)), Bytes(3));
}

}  // namespace
}  // namespace ntm::pdns_backend
