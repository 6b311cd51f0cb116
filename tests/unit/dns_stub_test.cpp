// The stub's rules under virtual time: how long plain names wait, what NTM names are answered
// with, what is passed through untouched.
#include <gtest/gtest.h>

#include "terminal/dns/stub_engine.hpp"

namespace ntm::terminal::dns {
namespace {

Name name(const char* text) { return Name::parse(text).value(); }
IpAddress ip(const char* text) { return parse_address(text).value(); }

class Stub : public ::testing::Test {
 protected:
  Stub() {
    rules.virtual_ranges4 = {parse_prefix("198.18.0.0/15").value()};
    rules.knowledge = [this](const Name& n) {
      if (n == pinned) return Knowledge::PinnedNtm;
      return n.is_under(name("own.example")) ? Knowledge::KnownNtm : Knowledge::Nothing;
    };
    rules.is_virtual = [](const IpAddress& a) {
      return parse_prefix("fd12:3456:789a::/48").value().contains(a);
    };
    stub = std::make_unique<StubEngine>(rules);
  }
  ClientId ask(const char* who, std::uint16_t type, bool dnssec_ok = false) {
    ClientId id = ++clients;
    Bytes query = make_query(static_cast<std::uint16_t>(1000 + id), name(who), type, dnssec_ok);
    queries[id] = query;
    stub->on_question(now, id, query, false);
    drain();
    return id;
  }
  // The upstream's answer to the newest question of this type.
  void upstream(std::uint16_t type, std::vector<NewRecord> records, std::uint8_t rcode = kNoError) {
    for (std::size_t i = asked.size(); i-- > 0;) {
      Message query = read_message(asked[i].query).value();
      if (query.questions.front().type != type) continue;
      Answer answer;
      answer.rcode = rcode;
      answer.records = std::move(records);
      last_upstream = make_answer(query, answer);
      stub->on_upstream(now, asked[i].id, last_upstream);
      drain();
      return;
    }
    FAIL() << "no question of type " << type;
  }
  void no_ntm(const char* who, Duration remember = seconds(60)) {
    NtmAnswer answer;
    answer.name = name(who);
    answer.state = NtmState::None;
    answer.remember = remember;
    stub->on_ntm(now, answer);
    drain();
  }
  void ntm_found(const char* who, const char* last = nullptr) {
    NtmAnswer answer;
    answer.name = name(who);
    answer.state = NtmState::Found;
    answer.records.name = name(last ? last : who);
    answer.records.v4 = wire::NtmRecord::empty(Family::V4);
    if (last) answer.chain = {{name(who), kTypeCname, 100, to_bytes(name(last).wire())}};
    stub->on_ntm(now, answer);
    drain();
  }
  void ready(LookupOutcome outcome = LookupOutcome::Ready) {
    ASSERT_FALSE(lookups.empty());
    LookupReady r;
    r.id = lookups.back().id;
    r.outcome = outcome;
    if (outcome != LookupOutcome::Failed)
      r.addresses = {ip("198.18.0.7").v4(), ip("fd12:3456:789a::7").v6()};
    stub->on_lookup(now, r);
    drain();
  }
  void wait(Duration d) {
    Instant end = now + d;
    while (stub->next_deadline() <= end) {
      now = std::max(now, stub->next_deadline());
      stub->on_timer(now);
      drain();
    }
    now = end;
  }
  void drain() {
    for (StubEffect& e : stub->take_effects()) {
      if (auto* a = std::get_if<AskUpstream>(&e)) asked.push_back(*a);
      if (auto* n = std::get_if<AskNtm>(&e)) ntm_asked.push_back(n->name);
      if (auto* w = std::get_if<WantLookup>(&e)) lookups.push_back(*w);
      if (auto* r = std::get_if<Reply>(&e)) {
        EXPECT_EQ(replies.count(r->client), 0u) << "answered twice";
        replies[r->client] = r->message;
        replied_at[r->client] = now;
      }
    }
  }
  Message reply(ClientId id) { return read_message(replies.at(id)).value(); }
  static NewRecord a(const char* who, const char* address, std::uint32_t ttl = 300) {
    IpAddress parsed = ip(address);
    return {name(who), parsed.is_v4() ? std::uint16_t{kTypeA} : std::uint16_t{kTypeAaaa}, ttl,
            to_bytes(parsed.view())};
  }

  StubEngine::Rules rules;
  Name pinned = name("pinned.example");
  std::unique_ptr<StubEngine> stub;
  Instant now{5'000'000};
  ClientId clients = 0;
  std::map<ClientId, Bytes> queries;
  std::vector<AskUpstream> asked;
  std::vector<Name> ntm_asked;
  std::vector<WantLookup> lookups;
  std::map<ClientId, Bytes> replies;
  std::map<ClientId, Instant> replied_at;
  Bytes last_upstream;
};

TEST_F(Stub, AsksAllFourAtOnceAndSharesThemBetweenAAndAaaa) {
  ask("www.plain.example", kTypeA);
  EXPECT_EQ(asked.size(), 2u);
  EXPECT_EQ(ntm_asked.size(), 1u);
  ask("www.plain.example", kTypeAaaa);
  EXPECT_EQ(asked.size(), 2u);
  EXPECT_EQ(ntm_asked.size(), 1u);
}

TEST_F(Stub, PlainAnswerIsTheUpstreamsOwnBytes) {
  ClientId c = ask("www.plain.example", kTypeA);
  no_ntm("www.plain.example");
  upstream(kTypeA, {a("www.plain.example", "192.0.2.1")});
  ASSERT_EQ(replies.count(c), 1u);
  Bytes expected = last_upstream;
  set_message_id(expected, message_id(queries[c]));
  EXPECT_EQ(replies[c], expected);
}

TEST_F(Stub, ColdNtmTypesCostAtMost30msOrTheAnswersOwnTime) {
  ClientId fast = ask("fast.example", kTypeA);
  now = now + milliseconds(5);
  upstream(kTypeA, {a("fast.example", "192.0.2.1")});
  Instant came = now;
  wait(milliseconds(500));
  EXPECT_EQ((replied_at.at(fast) - came).ms(), 30);
  ClientId slow = ask("slow.example", kTypeA);
  now = now + milliseconds(80);
  upstream(kTypeA, {a("slow.example", "192.0.2.1")});
  came = now;
  wait(milliseconds(500));
  EXPECT_EQ((replied_at.at(slow) - came).ms(), 80);
}

TEST_F(Stub, SecondTimeDoesNotWaitWhenNoNtmWasFound) {
  ask("www.plain.example", kTypeA);
  upstream(kTypeA, {a("www.plain.example", "192.0.2.1")});
  wait(milliseconds(40));
  no_ntm("www.plain.example");  // late, but remembered
  std::size_t before = ntm_asked.size();
  ClientId again = ask("www.plain.example", kTypeA);
  EXPECT_EQ(ntm_asked.size(), before);
  now = now + milliseconds(20);
  upstream(kTypeA, {a("www.plain.example", "192.0.2.1")});
  EXPECT_EQ(replied_at.at(again), now);
  wait(seconds(61));  // its negative TTL is over: asked again
  ask("www.plain.example", kTypeA);
  EXPECT_EQ(ntm_asked.size(), before + 1);
}

TEST_F(Stub, SecondTimeDoesNotWaitForASilentAuthority) {
  ask("www.plain.example", kTypeA);
  upstream(kTypeA, {a("www.plain.example", "192.0.2.1")});
  wait(milliseconds(40));
  ClientId again = ask("www.plain.example", kTypeA);
  now = now + milliseconds(20);
  upstream(kTypeA, {a("www.plain.example", "192.0.2.1")});
  EXPECT_EQ(replied_at.at(again), now);
}

TEST_F(Stub, ZeroTtlAndDoubleNodataWaitForNtm) {
  ClientId zero = ask("zero.example", kTypeA);
  upstream(kTypeA, {a("zero.example", "192.0.2.1", 0)});
  wait(milliseconds(500));
  EXPECT_EQ(replies.count(zero), 0u);
  ntm_found("zero.example");
  ready();
  EXPECT_EQ(to_string(address_facts(reply(zero), kTypeA).addresses.at(0)), "198.18.0.7");

  ClientId none = ask("none.example", kTypeA);
  upstream(kTypeA, {});
  upstream(kTypeAaaa, {});
  wait(milliseconds(500));
  EXPECT_EQ(replies.count(none), 0u);
  wait(milliseconds(1600));
  EXPECT_EQ(replies.count(none), 1u);  // 2 s are over: plain after all
}

TEST_F(Stub, NodataOfOneTypeDoesNotWaitLong) {
  ClientId c = ask("v4only.example", kTypeAaaa);
  upstream(kTypeAaaa, {});
  upstream(kTypeA, {a("v4only.example", "192.0.2.1")});
  wait(milliseconds(31));
  EXPECT_EQ(replies.count(c), 1u);
}

TEST_F(Stub, NxdomainIsNotHeld) {
  ClientId c = ask("gone.example", kTypeA);
  upstream(kTypeA, {}, kNxDomain);
  ASSERT_EQ(replies.count(c), 1u);
  EXPECT_EQ(reply(c).flags.rcode, kNxDomain);
}

TEST_F(Stub, NtmNameGetsVirtualAddressesWithTtl30ForBothTypes) {
  ClientId v4 = ask("cn.b.example", kTypeA);
  ClientId v6 = ask("cn.b.example", kTypeAaaa);
  upstream(kTypeA, {a("cn.b.example", "203.0.113.9", 0)});
  ntm_found("cn.b.example");
  ASSERT_EQ(lookups.size(), 1u);  // one set-up for both
  EXPECT_TRUE(replies.empty());   // held until the path is up
  now = now + milliseconds(150);
  ready();
  EXPECT_EQ(replied_at.at(v4), now);
  AddressFacts f4 = address_facts(reply(v4), kTypeA);
  EXPECT_EQ(to_string(f4.addresses.at(0)), "198.18.0.7");
  EXPECT_EQ(f4.ttl, kAnswerTtl);
  EXPECT_EQ(to_string(address_facts(reply(v6), kTypeAaaa).addresses.at(0)), "fd12:3456:789a::7");
  // Once more within the TTL: from memory, nothing is asked upstream.
  std::size_t before = asked.size();
  ClientId again = ask("cn.b.example", kTypeA);
  EXPECT_EQ(asked.size(), before);
  ready();
  EXPECT_EQ(replies.count(again), 1u);
}

TEST_F(Stub, FailedSetUpIsServfailAndNeverARealAddress) {
  ClientId c = ask("cn.b.example", kTypeA);
  upstream(kTypeA, {a("cn.b.example", "203.0.113.9", 0)});
  ntm_found("cn.b.example");
  ready(LookupOutcome::Failed);
  EXPECT_EQ(reply(c).flags.rcode, kServFail);
  EXPECT_TRUE(address_facts(reply(c), kTypeA).addresses.empty());
  ClientId d = ask("cn.b.example", kTypeAaaa);
  ready(LookupOutcome::Refused);  // no permission: the address, and ICMP says no
  EXPECT_EQ(address_facts(reply(d), kTypeAaaa).addresses.size(), 1u);
}

TEST_F(Stub, KnownNtmNameWithSilentNtmIsServfail) {
  ClientId c = ask("x.own.example", kTypeA);
  upstream(kTypeA, {a("x.own.example", "203.0.113.9", 0)});
  wait(milliseconds(1900));
  EXPECT_EQ(replies.count(c), 0u);
  wait(milliseconds(200));
  EXPECT_EQ(reply(c).flags.rcode, kServFail);
}

TEST_F(Stub, OrdinaryNameInTheOwnZoneIsPlain) {
  ClientId c = ask("www.own.example", kTypeA);
  upstream(kTypeA, {a("www.own.example", "192.0.2.1")});
  EXPECT_EQ(replies.count(c), 0u);
  no_ntm("www.own.example");
  EXPECT_EQ(address_facts(reply(c), kTypeA).addresses.size(), 1u);
}

TEST_F(Stub, PinnedNameIsNeverSilentlyPlain) {
  ClientId c = ask("pinned.example", kTypeA);
  upstream(kTypeA, {a("pinned.example", "192.0.2.1")});
  no_ntm("pinned.example");
  EXPECT_EQ(reply(c).flags.rcode, kServFail);
}

TEST_F(Stub, CnameToAnNtmName) {
  ClientId c = ask("alias.plain.example", kTypeA);
  ntm_found("alias.plain.example", "cn.b.example");
  EXPECT_EQ(lookups.back().records.name, name("cn.b.example"));
  ready();
  Message m = reply(c);
  AddressFacts f = address_facts(m, kTypeA);
  EXPECT_EQ(f.last, name("cn.b.example"));
  EXPECT_EQ(f.chain.at(0).ttl, kAnswerTtl);
  EXPECT_EQ(f.addresses.size(), 1u);
}

TEST_F(Stub, RebindingIsBlocked) {
  ClientId v4 = ask("evil.example", kTypeA);
  no_ntm("evil.example");
  upstream(kTypeA, {a("evil.example", "198.18.0.7")});
  EXPECT_TRUE(address_facts(reply(v4), kTypeA).addresses.empty());
  ClientId v6 = ask("evil.example", kTypeAaaa);
  upstream(kTypeAaaa, {a("evil.example", "fd12:3456:789a::7")});
  EXPECT_TRUE(address_facts(reply(v6), kTypeAaaa).addresses.empty());
}

TEST_F(Stub, CheckingDisabledAndOtherTypesPassUntouched) {
  Bytes query = make_query(7, name("cn.b.example"), kTypeA);
  query[3] |= 0x10;  // CD
  stub->on_question(now, 50, query, false);
  drain();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].query, query);
  EXPECT_TRUE(ntm_asked.empty());
  Bytes answer = {0, 7, 0x81, 0x80, 1, 2, 3};  // whatever it is
  stub->on_upstream(now, asked[0].id, answer);
  drain();
  EXPECT_EQ(replies.at(50), answer);
  ask("cn.b.example", 15);  // MX
  EXPECT_TRUE(ntm_asked.empty());
  ask("localhost", kTypeA);
  ask("printer.local", kTypeA);
  ask("4.3.2.1.in-addr.arpa", kTypeA);
  EXPECT_TRUE(ntm_asked.empty());
}

TEST_F(Stub, DnssecOkGetsForgedAnswerMark) {
  ClientId c = ask("cn.b.example", kTypeA, true);
  ntm_found("cn.b.example");
  ready();
  Bytes tail(replies[c].end() - 6, replies[c].end());
  EXPECT_EQ(tail, (Bytes{0, 15, 0, 2, 0, 4}));
  EXPECT_FALSE(reply(c).flags.authentic_data);
}

TEST_F(Stub, HttpsHintsOfNtmNamesAreRemoved) {
  ClientId c = ask("cn.b.example", kTypeHttps);
  ntm_found("cn.b.example");
  EXPECT_EQ(replies.count(c), 0u);
  EXPECT_TRUE(lookups.empty());
  upstream(kTypeHttps, {{name("cn.b.example"), kTypeHttps, 60,
                         {0, 1, 0, 0, 4, 0, 4, 203, 0, 113, 9}}});
  Message m = reply(c);
  EXPECT_EQ(to_bytes(m.rdata(m.records.at(0))), (Bytes{0, 1, 0}));
}

TEST_F(Stub, BrokenQuestionsGetFormerrOrNothing) {
  Bytes query = make_query(7, name("a.example"), kTypeA);
  Bytes cut(query.begin(), query.end() - 3);
  stub->on_question(now, 60, cut, false);
  drain();
  EXPECT_EQ(read_head(replies.at(60))->flags.rcode, kFormErr);
  stub->on_question(now, 61, Bytes{1, 2, 3}, false);
  query[2] |= 0x80;  // a response
  stub->on_question(now, 62, query, false);
  drain();
  EXPECT_EQ(replies.size(), 1u);
}

TEST_F(Stub, UpstreamThatFailsIsToldAndLeavesNothingBehind) {
  for (std::uint16_t type : std::vector<std::uint16_t>{kTypeA, kTypeHttps, std::uint16_t{16}}) {
    replies.clear();
    asked.clear();
    ask("www.plain.example", type);
    for (const AskUpstream& a : asked) stub->on_upstream_failed(now, a.id);
    drain();
    wait(seconds(11));
    EXPECT_EQ(stub->next_deadline(), Instant::never());
    ASSERT_EQ(replies.size(), 1u) << type;
    EXPECT_EQ(read_head(replies.begin()->second)->flags.rcode, kServFail) << type;
  }
}

}  // namespace
}  // namespace ntm::terminal::dns
