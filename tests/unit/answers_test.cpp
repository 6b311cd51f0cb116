// Answers on the in-memory store: merging, existence, snapshots, failures, and that what is
// remembered is never older than the last commit.
#include "libntm/wire/dc_record.hpp"
#include "tests/unit/answers_zone.hpp"

namespace ntm::pdns_backend {
namespace {

using namespace testing;

constexpr std::uint16_t kTypeNs = 2;
constexpr std::uint16_t kTypeTxt = 16;

class AnswersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    apply(store::PutZone{zone()});
    put("example.org", kTypeSoa, {soa()});
    put("example.org", kTypeNs, {to_bytes(name("ns.example.org").wire())});
    put("ns.example.org", kTypeA, {a("192.0.2.53")});
    put("a.deep.example.org", kTypeA, {a("192.0.2.1")});
    put("*.wild.example.org", kTypeTxt, {Bytes{1, 'x'}});
    apply(store::CreateTerminal{terminal(3, "mn.example.org")});
  }

  void apply(store::Operation operation) {
    store::Batch batch;
    batch.items.push_back(std::move(operation));
    store::Completion done = store_.submit_and_wait(std::move(batch), seconds(1));
    ASSERT_EQ(done.items.size(), 1u);
    ASSERT_EQ(done.items[0].outcome, store::Outcome::Applied) << done.items[0].reason;
  }

  void put(std::string_view owner, std::uint16_t type, std::vector<Bytes> values) {
    store::ReplaceRrset set{zone().id, name(owner), type, {}};
    for (Bytes& rdata : values) set.rows.push_back(row(owner, type, rdata));
    apply(set);
  }

  std::vector<Answer> at(std::string_view owner) {
    Result<std::shared_ptr<const Found>> found = answers_.at(zone().id, name(owner));
    EXPECT_TRUE(found) << found.error().text;
    return found ? (*found)->rows : std::vector<Answer>{};
  }

  store::memory::MemoryStore store_;
  int opened_ = 0;
  Answers answers_{[this]() {
    ++opened_;
    return store_.open_reader();
  }};
};

bool is_ent(const std::vector<Answer>& rows) {
  return rows.size() == 1 && rows[0].type == kTypeEmptyNonTerminal;
}

TEST_F(AnswersTest, OrdinaryRowsAndTheSoaWithTheZonesSerial) {
  std::vector<Answer> apex = at("example.org");
  ASSERT_EQ(of_type(apex, kTypeSoa).size(), 1u);
  EXPECT_EQ(of_type(apex, kTypeSoa)[0].rdata, soa_rdata(zone(), soa()));
  EXPECT_EQ(of_type(apex, kTypeNs).size(), 1u);
  std::vector<Answer> ns = at("ns.example.org");
  ASSERT_EQ(ns.size(), 1u);
  EXPECT_EQ(ns[0].ttl, 300u);
  EXPECT_FALSE(ns[0].derived);
}

TEST_F(AnswersTest, NamesAreCaseInsensitive) {
  EXPECT_EQ(at("NS.Example.ORG").size(), 1u);
}

TEST_F(AnswersTest, ATerminalMovesAndEveryAnswerShowsIt) {
  std::vector<Answer> before = at("mn.example.org");
  EXPECT_EQ(before.size(), 2u);  // NTMv4 and NTMv6, offline
  EXPECT_TRUE(of_type(before, kTypeA).empty());
  apply(store::PutLocation{location(3, 1)});
  std::vector<Answer> here = at("mn.example.org");
  ASSERT_EQ(of_type(here, kTypeA).size(), 1u);
  EXPECT_EQ(of_type(here, kTypeA)[0].rdata, a("203.0.113.5"));
  for (const Answer& answer : here) {
    EXPECT_EQ(answer.ttl, 0u);
    EXPECT_TRUE(answer.derived);
  }
  for (std::uint64_t move = 2; move < 500; ++move) {
    store::Location next = location(3, move);
    next.v4.real = Ipv4::from_u32(0x08000000u + static_cast<std::uint32_t>(move));
    apply(store::PutLocation{next});
    std::vector<Answer> shown = of_type(at("mn.example.org"), kTypeA);
    ASSERT_EQ(shown.size(), 1u);
    ASSERT_EQ(shown[0].rdata, to_bytes(next.v4.real.view())) << "move " << move;
  }
}

TEST_F(AnswersTest, AnOfflineTerminalsNameExists) {
  apply(store::PutLocation{location(3, 1)});
  apply(store::SetLocationFlags{{3}, 1, store::kLocationOffline});
  std::vector<Answer> rows = at("mn.example.org");
  EXPECT_TRUE(of_type(rows, kTypeA).empty());
  EXPECT_EQ(of_type(rows, wire::kTypeNtmV4).size(), 1u);
  store::Terminal fresh = terminal(4, "fresh.example.org");
  fresh.key.reset();
  apply(store::CreateTerminal{fresh});
  EXPECT_TRUE(is_ent(at("fresh.example.org")));
}

TEST_F(AnswersTest, EmptyNonTerminalsExistAndTheRestDoesNot) {
  EXPECT_TRUE(is_ent(at("deep.example.org")));
  EXPECT_TRUE(is_ent(at("wild.example.org")));
  EXPECT_TRUE(at("eep.example.org").empty());
  EXPECT_TRUE(at("absent.example.org").empty());
  EXPECT_TRUE(at("x.mn.example.org").empty());
  EXPECT_EQ(at("*.wild.example.org").size(), 1u);
  apply(store::CreateTerminal{terminal(5, "pc.lab.example.org")});
  EXPECT_TRUE(is_ent(at("lab.example.org")));
}

TEST_F(AnswersTest, DisabledRowsAreNotThere) {
  store::Record off = row("off.example.org", kTypeA, a("192.0.2.9"));
  off.disabled = true;
  apply(store::ReplaceRrset{zone().id, off.name, kTypeA, {off}});
  EXPECT_TRUE(at("off.example.org").empty());
  off.name = name("x.gone.example.org");
  apply(store::ReplaceRrset{zone().id, off.name, kTypeA, {off}});
  EXPECT_TRUE(at("gone.example.org").empty());
}

TEST_F(AnswersTest, TheDcRecordIsDerivedAndHidesAStoredOne) {
  std::vector<Answer> rows = at("_ntm._udp.example.org");
  EXPECT_EQ(of_type(rows, wire::kTypeSvcb).size(), 1u);
  EXPECT_TRUE(is_ent(at("_udp.example.org")));
  wire::DcRecord alias;
  alias.priority = 0;
  alias.target = name("elsewhere.example.net");
  put("_ntm._udp.example.org", wire::kTypeSvcb, {wire::encode(alias)});
  put("_ntm._udp.example.org", kTypeTxt, {Bytes{1, 'y'}});
  rows = at("_ntm._udp.example.org");
  ASSERT_EQ(of_type(rows, wire::kTypeSvcb).size(), 1u);
  EXPECT_TRUE(of_type(rows, wire::kTypeSvcb)[0].derived);
  EXPECT_EQ(of_type(rows, kTypeTxt).size(), 1u);
}

TEST_F(AnswersTest, APlainOrSecondaryZoneDerivesNothing) {
  apply(store::DeleteTerminal{{3}});
  store::Zone other = zone();
  other.has_terminals = false;
  apply(store::PutZone{other});
  EXPECT_TRUE(at("_ntm._udp.example.org").empty());
  EXPECT_TRUE(at("mn.example.org").empty());
  other.has_terminals = true;
  other.kind = store::ZoneKind::Secondary;
  apply(store::PutZone{other});
  EXPECT_TRUE(at("_ntm._udp.example.org").empty());
  wire::NtmRecord transferred = wire::NtmRecord::empty(Family::V4);
  put("mn.example.org", wire::kTypeNtmV4, {wire::encode(transferred)});
  EXPECT_EQ(of_type(at("mn.example.org"), wire::kTypeNtmV4).size(), 1u);
}

TEST_F(AnswersTest, NamesOutsideTheZoneAndUnknownZones) {
  EXPECT_TRUE(at("example.net").empty());
  Result<std::shared_ptr<const Found>> nowhere = answers_.at(std::nullopt, name("example.net"));
  ASSERT_TRUE(nowhere);
  EXPECT_FALSE((*nowhere)->zone);
  Result<std::shared_ptr<const Found>> gone = answers_.at(store::ZoneId{99}, name("example.org"));
  ASSERT_TRUE(gone);
  EXPECT_FALSE((*gone)->zone);
  Result<std::optional<Answers::Authority>> authority =
      answers_.authority(name("x.y.mn.example.org"));
  ASSERT_TRUE(authority && *authority);
  EXPECT_EQ((*authority)->zone.apex, name("example.org"));
  EXPECT_EQ((*authority)->soa.type, kTypeSoa);
  EXPECT_FALSE(*answers_.authority(name("example.net")));
}

TEST_F(AnswersTest, AListingHasOrdinaryAndDerivedRowsOnce) {
  apply(store::PutLocation{location(3, 1)});
  put("mn.example.org", kTypeTxt, {Bytes{1, 'z'}});
  Result<std::vector<Answer>> all = answers_.listing(zone().id, name("example.org"), false);
  ASSERT_TRUE(all) << all.error().text;
  EXPECT_EQ(of_type(*all, kTypeSoa).size(), 1u);
  EXPECT_EQ(of_type(*all, wire::kTypeSvcb).size(), 1u);
  EXPECT_EQ(of_type(*all, wire::kTypeNtmV4).size(), 1u);
  EXPECT_EQ(of_type(*all, wire::kTypeNtmV6).size(), 1u);
  EXPECT_EQ(of_type(*all, kTypeTxt).size(), 2u);
  // ns, a.deep, mn, and the DC beside its SVCB
  EXPECT_EQ(of_type(*all, kTypeA).size(), 4u);
  Result<std::vector<Answer>> below = answers_.listing(zone().id, name("mn.example.org"), false);
  ASSERT_TRUE(below);
  EXPECT_EQ(of_type(*below, kTypeA).size(), 1u);
  EXPECT_TRUE(of_type(*below, kTypeSoa).empty());
  Result<std::vector<Answer>> none = answers_.listing(store::ZoneId{99}, name("x.org"), false);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::NotFound);
}

TEST_F(AnswersTest, DisabledRowsAreListedOnlyOnRequest) {
  store::Record off = row("off.example.org", kTypeA, a("192.0.2.9"));
  off.disabled = true;
  apply(store::ReplaceRrset{zone().id, off.name, kTypeA, {off}});
  std::size_t without = answers_.listing(zone().id, name("example.org"), false)->size();
  EXPECT_EQ(answers_.listing(zone().id, name("example.org"), true)->size(), without + 1);
}

TEST_F(AnswersTest, CouldNotAskIsAnErrorAndHealsByItself) {
  EXPECT_EQ(at("ns.example.org").size(), 1u);
  EXPECT_EQ(opened_, 1);
  store_.set_readers_unavailable(true);
  Result<std::shared_ptr<const Found>> failed = answers_.at(zone().id, name("ns.example.org"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::Unavailable);
  EXPECT_FALSE(answers_.at(zone().id, name("absent.example.org")));
  EXPECT_FALSE(answers_.listing(zone().id, name("example.org"), false));
  EXPECT_FALSE(answers_.authority(name("example.org")));
  EXPECT_FALSE(answers_.zones());
  store_.set_readers_unavailable(false);
  EXPECT_EQ(at("ns.example.org").size(), 1u);
}

TEST_F(AnswersTest, AStoreThatAppearsLaterIsFound) {
  bool there = false;
  Answers late([&]() -> Result<std::unique_ptr<store::Reader>> {
    if (!there) return fail(ErrorKind::Unavailable, "there is no dc.db yet");
    return store_.open_reader();
  });
  Result<std::shared_ptr<const Found>> before = late.at(zone().id, name("ns.example.org"));
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().text, "there is no dc.db yet");
  there = true;
  EXPECT_TRUE(late.at(zone().id, name("ns.example.org")));
}

TEST_F(AnswersTest, TheSameQuestionIsAskedOnceUntilACommit) {
  Result<std::shared_ptr<const Found>> first = answers_.at(zone().id, name("ns.example.org"));
  Result<std::shared_ptr<const Found>> again = answers_.at(zone().id, name("ns.example.org"));
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->get(), again->get());  // the very same object: the store was not read
  put("ns.example.org", kTypeA, {a("192.0.2.99")});
  std::vector<Answer> after = at("ns.example.org");
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].rdata, a("192.0.2.99"));
}

TEST_F(AnswersTest, RememberedAnswersBelongToTheirZoneAndName) {
  for (int round = 0; round < 3; ++round) {
    for (const char* owner : {"ns.example.org", "a.deep.example.org", "mn.example.org",
                              "example.org", "absent.example.org", "*.wild.example.org"}) {
      for (const Answer& answer : at(owner)) EXPECT_EQ(answer.name, name(owner));
    }
    EXPECT_FALSE((*answers_.at(store::ZoneId{99}, name("ns.example.org")))->zone);
  }
}

}  // namespace
}  // namespace ntm::pdns_backend
