// What every Store promises about rows, run on SQLite and on the memory double: zones, records,
// serials, terminals, locations, enrolment. A PostgreSQL store joins in ConformingStores.
#include "tests/unit/store_conformance_fixture.hpp"

namespace ntm::store::test {
namespace {

TYPED_TEST_SUITE(StoreConformance, ConformingStores);

TYPED_TEST(StoreConformance, EmptyStoreAnswersNotFoundAndNotAnError) {
  Reader& asked = *this->reader;
  EXPECT_TRUE(asked.zones()->empty());
  EXPECT_EQ(*asked.zone({1}), std::nullopt);
  EXPECT_EQ(*asked.zone_by_apex(name("x.example")), std::nullopt);
  EXPECT_EQ(*asked.zone_of(name("x.example")), std::nullopt);
  EXPECT_TRUE(asked.records({1}, name("x.example"))->empty());
  EXPECT_FALSE(asked.terminal(name("x.example"))->has_value());
  EXPECT_FALSE(asked.terminal_by_id({9})->has_value());
  EXPECT_FALSE(asked.terminal_by_address(Ipv4::from_u32(1))->has_value());
  EXPECT_EQ(*asked.token({1}), std::nullopt);
  EXPECT_TRUE(asked.relays()->empty());
  EXPECT_TRUE(asked.peer_dcs()->empty());
  EXPECT_TRUE(asked.changes({}, 10)->items.empty());
}

// ---- zones ----

TYPED_TEST(StoreConformance, ZoneComesBackAsWritten) {
  Zone wanted = zone();
  wanted.kind = ZoneKind::Primary;
  wanted.serial = 4'000'000'000;
  wanted.peer_policy = PeerPolicy::Closed;
  wanted.publish = PublishBehindNat::Outside;
  wanted.dc_next_key = key(9);
  ASSERT_EQ(this->outcome(PutZone{wanted}), Outcome::Applied);
  EXPECT_EQ(**this->reader->zone({1}), wanted);
  EXPECT_EQ(**this->reader->zone_by_apex(wanted.apex), wanted);
  EXPECT_EQ(this->reader->zones()->size(), 1u);
}

TYPED_TEST(StoreConformance, ZoneReplacementKeepsCountersAndRefusesStolenNames) {
  this->put_zone_and_terminals(0);
  Zone changed = zone();
  changed.serial = 77;
  changed.generation = 99;
  changed.peer_policy = PeerPolicy::Dnssec;
  ASSERT_EQ(this->outcome(PutZone{changed}), Outcome::Applied);
  Zone stored = **this->reader->zone({1});
  EXPECT_EQ(stored.serial, 1u);
  EXPECT_EQ(stored.generation, 1u);
  EXPECT_EQ(stored.peer_policy, PeerPolicy::Dnssec);
  EXPECT_EQ(this->outcome(PutZone{zone(2)}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(PutZone{zone(1, "other.example")}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(PutZone{zone(0, "zero.example")}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(PutZone{zone(-5, "minus.example")}), Outcome::Conflict);
}

TYPED_TEST(StoreConformance, ZoneOfFindsTheLongestApex) {
  write(this->store, {PutZone{zone(1, "example")}, PutZone{zone(2, "a.example")},
                      PutZone{zone(3, "xa.example")}});
  EXPECT_EQ((*this->reader->zone_of(name("t.a.example")))->id.value, 2);
  EXPECT_EQ((*this->reader->zone_of(name("a.example")))->id.value, 2);
  EXPECT_EQ((*this->reader->zone_of(name("b.example")))->id.value, 1);
  EXPECT_EQ((*this->reader->zone_of(name("xxa.example")))->id.value, 1);
  EXPECT_EQ(*this->reader->zone_of(name("b.test")), std::nullopt);
}

TYPED_TEST(StoreConformance, ZoneWithTerminalsIsNotDeleted) {
  this->put_zone_and_terminals(1);
  write_one(this->store,
            ReplaceRrset{
                {1}, name("www.mobile.example"), 1, {row("www.mobile.example", 1, {1, 2, 3, 4})}});
  EXPECT_EQ(this->outcome(DeleteZone{{1}}), Outcome::Conflict);
  Zone plain = zone();
  plain.has_terminals = false;
  EXPECT_EQ(this->outcome(PutZone{plain}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(DeleteTerminal{{1}}), Outcome::Applied);
  EXPECT_EQ(this->outcome(DeleteZone{{1}}), Outcome::Applied);
  EXPECT_EQ(this->outcome(DeleteZone{{1}}), Outcome::Applied);
  EXPECT_TRUE(this->reader->zones()->empty());
  EXPECT_EQ(this->outcome(PutZone{zone()}), Outcome::Applied);
  EXPECT_TRUE(this->records("www.mobile.example").empty());
}

// ---- ordinary records ----

TYPED_TEST(StoreConformance, RrsetIsReplacedExactlyAndInOrder) {
  this->put_zone_and_terminals(0);
  const char* owner = "www.mobile.example";
  Record disabled = row(owner, 1, {9, 9, 9, 9});
  disabled.disabled = true;
  disabled.auth = false;
  disabled.ordername = "www";
  Record first = row(owner, 1, {1, 1, 1, 1});
  Record text = row(owner, 16, {1, 'x'});
  write(this->store, {ReplaceRrset{{1}, name(owner), 1, {disabled, first, first}},
                      ReplaceRrset{{1}, name(owner), 16, {text}}});
  EXPECT_EQ(this->records(owner), (std::vector<Record>{first, disabled, text}));
  std::uint64_t before = this->generation();
  EXPECT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), 1, {first, disabled}}), Outcome::Applied);
  EXPECT_EQ(this->generation(), before) << "nothing changed";
  first.ttl = 5;
  EXPECT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), 1, {first}}), Outcome::Applied);
  EXPECT_EQ(this->generation(), before + 1);
  EXPECT_EQ(this->records(owner), (std::vector<Record>{first, text}));
  EXPECT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), 255, {}}), Outcome::Applied);
  EXPECT_TRUE(this->records(owner).empty());
}

TYPED_TEST(StoreConformance, RowsThatDoNotBelongAreRefused) {
  this->put_zone_and_terminals(0);
  Record good = row("www.mobile.example", 1, {1, 2, 3, 4});
  auto replace = [&](const char* owner, std::uint16_t type, std::vector<Record> rows,
                     std::int32_t id = 1) {
    return this->outcome(ReplaceRrset{{id}, name(owner), type, std::move(rows)});
  };
  EXPECT_EQ(replace("www.mobile.example", 1, {good}, 2), Outcome::Conflict);
  EXPECT_EQ(replace("www.example", 1, {}), Outcome::Conflict);
  EXPECT_EQ(replace("a.mobile.example", 1, {good}), Outcome::Conflict);
  EXPECT_EQ(replace("www.mobile.example", 28, {good}), Outcome::Conflict);
  EXPECT_EQ(replace("www.mobile.example", 6, {soa("www.mobile.example", 1)}), Outcome::Conflict);
  EXPECT_EQ(replace("mobile.example", 6, {soa("mobile.example", 1), soa("mobile.example", 2)}),
            Outcome::Conflict);
  EXPECT_EQ(replace("mobile.example", 6, {row("mobile.example", 6, {0, 0})}), Outcome::Conflict);
  EXPECT_TRUE(this->records("www.mobile.example").empty());
  EXPECT_EQ(this->generation(), 1u);
}

TYPED_TEST(StoreConformance, SubtreesComeInCanonicalOrderAndEndAtTheirEdge) {
  this->put_zone_and_terminals(0);
  write_one(this->store, PutZone{zone(2, "mobile.examplf")});
  std::vector<std::string> owners{
      "mobile.example",         "a.mobile.example",  "z.a.mobile.example",  "a\\000.mobile.example",
      "a\\001b.mobile.example", "ab.mobile.example", "*.ab.mobile.example", "\\255.mobile.example"};
  for (const std::string& owner : owners)
    ASSERT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), 16, {row(owner, 16, {1, 'x'})}}),
              Outcome::Applied);
  write_one(this->store,
            ReplaceRrset{{2}, name("mobile.examplf"), 16, {row("mobile.examplf", 16, {1, 'y'})}});
  auto below = [&](std::string_view top) {
    std::vector<std::string> out;
    EXPECT_TRUE(this->reader->each_record({1}, name(top), [&](const Record& record) {
      out.push_back(record.name.text());
      return true;
    }));
    return out;
  };
  EXPECT_EQ(below("mobile.example"), owners);
  EXPECT_EQ(below("."), owners);
  EXPECT_EQ(below("a.mobile.example"),
            (std::vector<std::string>{"a.mobile.example", "z.a.mobile.example"}));
  EXPECT_EQ(below("b.mobile.example"), std::vector<std::string>{});
  int seen = 0;
  (void)this->reader->each_record({1}, name("."), [&](const Record&) { return ++seen < 2; });
  EXPECT_EQ(seen, 2);
}

TYPED_TEST(StoreConformance, AReaderMayAskWhileItWalks) {
  this->put_zone_and_terminals(3);
  int inner = 0;
  ASSERT_TRUE(this->reader->each_terminal({1}, [&](const TerminalView& outer) {
    EXPECT_TRUE(this->reader->each_terminal({1}, [&](const TerminalView&) {
      ++inner;
      return true;
    }));
    EXPECT_TRUE((*this->reader->terminal(outer.terminal.name)).has_value());
    return true;
  }));
  EXPECT_EQ(inner, 9);
}

// ---- serial ----

TYPED_TEST(StoreConformance, SoaShowsTheZonesSerialAndRaisesIt) {
  this->put_zone_and_terminals(0);
  auto put_soa = [&](std::uint32_t serial) {
    return this->outcome(
        ReplaceRrset{{1}, name("mobile.example"), 6, {soa("mobile.example", serial)}});
  };
  EXPECT_EQ(put_soa(2026), Outcome::Applied);
  EXPECT_EQ(this->serial(), 2026u);
  EXPECT_EQ(this->records("mobile.example"), std::vector<Record>{soa("mobile.example", 2026)});
  EXPECT_EQ(put_soa(2000), Outcome::Applied) << "a smaller serial does not turn it back";
  EXPECT_EQ(this->serial(), 2026u);
  std::uint64_t generation = this->generation();
  EXPECT_EQ(put_soa(2027), Outcome::Applied);
  EXPECT_EQ(this->serial(), 2027u);
  EXPECT_EQ(this->generation(), generation) << "a serial alone is no change of ordinary rows";
  write(this->store,
        {ReplaceRrset{{1}, name("x.mobile.example"), 16, {row("x.mobile.example", 16, {0})}},
         ReplaceRrset{{1}, name("mobile.example"), 6, {soa("mobile.example", 2028)}},
         BumpSerial{{1}, 0}});
  write_one(this->store, BumpSerial{{1}, 0});
  EXPECT_EQ(this->serial(), 2028u) << "an update that raised the serial needs no second bump";
}

TYPED_TEST(StoreConformance, SerialGrowsOncePerChangeAndNotWithout) {
  this->put_zone_and_terminals(1);
  auto bump = [&](std::uint32_t at_least = 0) {
    EXPECT_EQ(this->outcome(BumpSerial{{1}, at_least}), Outcome::Applied);
    return this->serial();
  };
  EXPECT_EQ(bump(), 2u);
  EXPECT_EQ(bump(), 2u);
  EXPECT_EQ(bump(50), 2u) << "nothing changed since";
  write_one(this->store, PutLocation{location(1, 1)});
  EXPECT_EQ(bump(), 3u) << "a move changes derived records";
  EXPECT_EQ(bump(), 3u);
  write_one(this->store, PutLocation{location(1, 1)});
  EXPECT_EQ(bump(), 3u) << "the same registration again is no change";
  write_one(this->store,
            ReplaceRrset{{1}, name("x.mobile.example"), 16, {row("x.mobile.example", 16, {0})}});
  EXPECT_EQ(bump(2026), 2026u);
  write_one(this->store, PutRelay{{{5}, name("rs.mobile.example"), {}, false}});
  EXPECT_EQ(bump(), 2026u) << "a relay is not in the zone";
  EXPECT_EQ(this->outcome(BumpSerial{{9}, 0}), Outcome::Conflict);
}

TYPED_TEST(StoreConformance, ChangesBesideABumpAskForTheNextOne) {
  this->put_zone_and_terminals(1);
  write(this->store, {PutLocation{location(1, 1)}, BumpSerial{{1}, 0}, BumpSerial{{1}, 0}});
  EXPECT_EQ(this->serial(), 2u);
  write_one(this->store, BumpSerial{{1}, 0});
  EXPECT_EQ(this->serial(), 2u);
  write(this->store,
        {PutLocation{location(1, 2)}, BumpSerial{{1}, 0}, PutLocation{location(1, 3)}});
  EXPECT_EQ(this->serial(), 3u);
  write_one(this->store, BumpSerial{{1}, 0});
  EXPECT_EQ(this->serial(), 4u) << "the move after the bump";
}

TYPED_TEST(StoreConformance, SerialWrapsAsRfc1982Says) {
  Zone old = zone();
  old.serial = 0xffffffffu;
  write_one(this->store, PutZone{old});
  write_one(this->store, BumpSerial{{1}, 5});
  EXPECT_EQ(this->serial(), 5u);
}

TYPED_TEST(StoreConformance, OtherZonesMovesDoNotBump) {
  this->put_zone_and_terminals(1);
  write_one(this->store, PutZone{zone(2, "other.example")});
  write(this->store, {BumpSerial{{1}, 0}, BumpSerial{{2}, 0}});
  write_one(this->store, PutLocation{location(1, 1)});
  write(this->store, {BumpSerial{{2}, 0}, BumpSerial{{1}, 0}});
  EXPECT_EQ(this->serial(), 3u);
  EXPECT_EQ((*this->reader->zone({2}))->serial, 2u);
}

TYPED_TEST(StoreConformance, SecondaryTakesItsPrimarysSerial) {
  Zone secondary = zone();
  secondary.kind = ZoneKind::Secondary;
  secondary.serial = 100;
  write_one(this->store, PutZone{secondary});
  write_one(this->store, ReplaceRrset{{1}, name("mobile.example"), 6, {soa("mobile.example", 7)}});
  EXPECT_EQ(this->serial(), 7u);
  EXPECT_EQ(this->outcome(BumpSerial{{1}, 0}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(CreateTerminal{terminal(1)}), Outcome::Conflict);
}

// ---- terminals ----

TYPED_TEST(StoreConformance, TerminalIsFoundByEverythingItHas) {
  this->put_zone_and_terminals(2);
  Terminal wanted = terminal(2);
  Reader& asked = *this->reader;
  EXPECT_EQ((*asked.terminal(wanted.name))->terminal, wanted);
  EXPECT_EQ((*asked.terminal_by_id({2}))->terminal, wanted);
  EXPECT_EQ((*asked.terminal_by_address(*wanted.virtual_addresses.v4))->terminal, wanted);
  EXPECT_EQ((*asked.terminal_by_address(*wanted.virtual_addresses.v6))->terminal, wanted);
  EXPECT_FALSE((*asked.terminal(wanted.name))->location.has_value());
  Record name_row = row("t2.mobile.example", 0, {}, 0);
  EXPECT_EQ(this->records("t2.mobile.example"), std::vector<Record>{name_row});
}

TYPED_TEST(StoreConformance, IdsOfSixtyFourBitsAreKept) {
  this->put_zone_and_terminals(0);
  Terminal big = terminal(1);
  big.id.value = 0xfffe'0000'0000'0001ull;
  Location place = location(1, 0xffff'ffff'ffff'fff0ull);
  place.terminal = big.id;
  write(this->store, {CreateTerminal{big}, PutLocation{place}});
  EXPECT_EQ((*this->reader->terminal_by_id(big.id))->location, place);
  place.counter = 5;
  EXPECT_EQ(this->outcome(PutLocation{place}), Outcome::Stale) << "counters are unsigned";
}

TYPED_TEST(StoreConformance, CreatingAgainIsHarmlessAndOthersConflict) {
  this->put_zone_and_terminals(2);
  EXPECT_EQ(this->outcome(CreateTerminal{terminal(1)}), Outcome::Applied);
  auto with = [](auto change) {
    Terminal out = terminal(3);
    change(out);
    return CreateTerminal{out};
  };
  EXPECT_EQ(this->outcome(with([](Terminal& t) { t.id = {1}; })), Outcome::Conflict);
  EXPECT_EQ(this->outcome(with([](Terminal& t) { t.name = terminal(1).name; })), Outcome::Conflict);
  EXPECT_EQ(this->outcome(with(
                [](Terminal& t) { t.virtual_addresses.v4 = terminal(1).virtual_addresses.v4; })),
            Outcome::Conflict);
  EXPECT_EQ(this->outcome(with(
                [](Terminal& t) { t.virtual_addresses.v6 = terminal(2).virtual_addresses.v6; })),
            Outcome::Conflict);
  EXPECT_EQ(this->outcome(with([](Terminal& t) { t.zone = {9}; })), Outcome::Conflict);
  EXPECT_EQ(this->outcome(with([](Terminal& t) { t.name = name("t3.other.example"); })),
            Outcome::Conflict);
  EXPECT_EQ(this->outcome(with([](Terminal& t) { t.name = name("mobile.example"); })),
            Outcome::Conflict);
  EXPECT_FALSE(this->reader->terminal_by_id({3})->has_value());
  EXPECT_EQ(this->outcome(with([](Terminal& t) { t.virtual_addresses = {}; })), Outcome::Applied);
}

TYPED_TEST(StoreConformance, PtrRowsFollowTheTerminalIntoOurReverseZones) {
  write(this->store, {PutZone{zone()}, PutZone{zone(2, "18.198.in-addr.arpa")}});
  write_one(this->store, CreateTerminal{terminal(5)});
  std::vector<Record> rows = this->records("5.16.18.198.in-addr.arpa", 2);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].type, 12);
  EXPECT_EQ(rows[0].rdata, to_bytes(name("t5.mobile.example").wire()));
  write_one(this->store, PutZone{zone(3, "2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa")});
  write_one(this->store, CreateTerminal{terminal(6)});
  EXPECT_EQ(this->records("6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f"
                          ".ip6.arpa",
                          3)
                .size(),
            1u);
  write(this->store, {DeleteTerminal{{5}}, DeleteTerminal{{6}}});
  int left = 0;
  for (int id = 1; id <= 3; ++id)
    (void)this->reader->each_record({id}, Name(), [&](const Record&) { return ++left > 0; });
  EXPECT_EQ(left, 0);
}

TYPED_TEST(StoreConformance, ATerminalsNameIsNotTakenOver) {
  this->put_zone_and_terminals(1);
  const char* owner = "t1.mobile.example";
  for (std::uint16_t type : {1, 28, 5, 65341, 65342})
    EXPECT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), type, {row(owner, type, {1})}}),
              Outcome::Conflict)
        << type;
  EXPECT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), 16, {row(owner, 16, {1, 'x'})}}),
            Outcome::Applied);
  EXPECT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), 255, {}}), Outcome::Applied);
  EXPECT_EQ(this->records(owner).size(), 1u) << "its name row stays";
  Record signed_row = row(owner, 0, {}, 0);
  signed_row.ordername = "t1";
  EXPECT_EQ(this->outcome(ReplaceRrset{{1}, name(owner), 0, {signed_row}}), Outcome::Applied);
  EXPECT_EQ(this->records(owner), std::vector<Record>{signed_row});
  EXPECT_EQ(this->outcome(ReplaceRrset{
                {1}, name("t2.mobile.example"), 1, {row("t2.mobile.example", 1, {1, 2, 3, 4})}}),
            Outcome::Applied);
  EXPECT_EQ(this->outcome(CreateTerminal{terminal(2)}), Outcome::Conflict);
}

TYPED_TEST(StoreConformance, EachTerminalStaysInItsZone) {
  this->put_zone_and_terminals(12);
  write_one(this->store, PutZone{zone(2, "other.example")});
  Terminal foreign = terminal(20, "other.example");
  foreign.zone = {2};
  write_one(this->store, CreateTerminal{foreign});
  write_one(this->store, PutLocation{location(12, 4)});
  std::vector<std::string> names;
  ASSERT_TRUE(this->reader->each_terminal({1}, [&](const TerminalView& view) {
    names.push_back(view.terminal.name.text());
    EXPECT_EQ(view.location.has_value(), view.terminal.id.value == 12);
    return true;
  }));
  EXPECT_EQ(names.size(), 12u);
  EXPECT_EQ(names[1], "t10.mobile.example") << "in order of names";
}

// ---- locations ----

TYPED_TEST(StoreConformance, LocationComesBackAsWritten) {
  this->put_zone_and_terminals(2);
  Location full = location(1, 9);
  full.v6.real = *parse_address("2001:db8::5");
  full.v6.real_port = 1;
  full.v6.outside = *parse_endpoint("[2001:db8:1::5]:65535");
  Location bare;
  bare.terminal = {2};
  bare.counter = 1;
  bare.v6.real = Ipv6{};
  write(this->store, {PutLocation{full}, PutLocation{bare}});
  EXPECT_EQ((*this->reader->terminal_by_id({1}))->location, full);
  EXPECT_EQ((*this->reader->terminal_by_id({2}))->location, bare);
}

TYPED_TEST(StoreConformance, OnlyAGreaterCounterMovesATerminal) {
  this->put_zone_and_terminals(1);
  EXPECT_EQ(this->outcome(PutLocation{location(1, 10)}), Outcome::Applied);
  EXPECT_EQ(this->outcome(PutLocation{location(1, 10)}), Outcome::Applied) << "the same again";
  Location other = location(1, 10);
  other.digest.fill(0xee);
  ItemResult refused = write_one(this->store, PutLocation{other});
  EXPECT_EQ(refused.outcome, Outcome::Stale);
  EXPECT_EQ(refused.stored_counter, 10u);
  refused = write_one(this->store, PutLocation{location(1, 9)});
  EXPECT_EQ(refused.outcome, Outcome::Stale);
  EXPECT_EQ(refused.stored_counter, 10u);
  EXPECT_EQ((*this->reader->terminal_by_id({1}))->location, location(1, 10));
  EXPECT_EQ(this->outcome(PutLocation{location(1, 11)}), Outcome::Applied);
  EXPECT_EQ(this->outcome(PutLocation{location(99, 1)}), Outcome::Conflict);
}

TYPED_TEST(StoreConformance, FlagsChangeOnlyUnderTheirCounter) {
  this->put_zone_and_terminals(1);
  EXPECT_EQ(this->outcome(SetLocationFlags{{1}, 0, kLocationOffline}), Outcome::Conflict);
  write_one(this->store, PutLocation{location(1, 10)});
  EXPECT_EQ(this->outcome(SetLocationFlags{{1}, 10, kLocationOffline}), Outcome::Applied);
  EXPECT_EQ((*this->reader->terminal_by_id({1}))->location->flags, kLocationOffline);
  ItemResult late = write_one(this->store, SetLocationFlags{{1}, 9, 0});
  EXPECT_EQ(late.outcome, Outcome::Stale);
  EXPECT_EQ(late.stored_counter, 10u);
  EXPECT_EQ(this->outcome(SetLocationFlags{{1}, 11, 0}), Outcome::Conflict);
}

// ---- enrolment ----

TYPED_TEST(StoreConformance, TokenBindsOneKeyOnce) {
  this->put_zone_and_terminals(2);
  write_one(this->store, PutToken{token(5, "t1.mobile.example")});
  BindTerminalKey bind{{5}, name("t1.mobile.example"), key(1), {10}};
  EXPECT_EQ(this->outcome(bind), Outcome::Applied);
  EXPECT_EQ((*this->reader->terminal_by_id({1}))->terminal.key, key(1));
  EXPECT_EQ((*this->reader->token({5}))->uses_left, 0u);
  bind.now = {5000};
  EXPECT_EQ(this->outcome(bind), Outcome::Applied) << "the answer was lost, also after expiry";
  bind.key = key(2);
  bind.now = {10};
  EXPECT_EQ(this->outcome(bind), Outcome::Conflict) << "used up";
  write_one(this->store, PutToken{token(5, "t1.mobile.example")});
  EXPECT_EQ((*this->reader->token({5}))->uses_left, 0u) << "putting it again gives no use back";
  Token longer = token(5, "t1.mobile.example");
  longer.expires = {9000};
  write_one(this->store, PutToken{longer});
  EXPECT_EQ((*this->reader->token({5}))->expires.us, 9000);
  EXPECT_EQ((*this->reader->token({5}))->uses_left, 0u) << "nor does prolonging it";
  EXPECT_EQ(this->outcome(bind), Outcome::Conflict);
}

TYPED_TEST(StoreConformance, WrongTokensAreRefused) {
  this->put_zone_and_terminals(2);
  write(this->store,
        {PutToken{token(5, "t1.mobile.example")}, PutToken{token(6, "gone.mobile.example")}});
  Token for_relay = token(7, "t1.mobile.example");
  for_relay.purpose = TokenPurpose::Relay;
  write_one(this->store, PutToken{for_relay});
  auto bind = [&](std::uint64_t id, const char* who, std::int64_t now) {
    return this->outcome(BindTerminalKey{{id}, name(who), key(1), {now}});
  };
  EXPECT_EQ(bind(99, "t1.mobile.example", 10), Outcome::Conflict);
  EXPECT_EQ(bind(5, "t2.mobile.example", 10), Outcome::Conflict);
  EXPECT_EQ(bind(5, "t1.mobile.example", 1000), Outcome::Conflict) << "expires at 1000";
  EXPECT_EQ(bind(6, "gone.mobile.example", 10), Outcome::Conflict);
  EXPECT_EQ(bind(7, "t1.mobile.example", 10), Outcome::Conflict);
  EXPECT_EQ((*this->reader->token({5}))->uses_left, 1u);
  EXPECT_EQ(this->outcome(PutToken{token(5, "t2.mobile.example")}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(PutToken{token(8, "t2.mobile.example", 0)}), Outcome::Conflict);
}

TYPED_TEST(StoreConformance, AKeyBelongsToOneTerminal) {
  this->put_zone_and_terminals(2);
  write(this->store,
        {PutToken{token(5, "t1.mobile.example")}, PutToken{token(6, "t2.mobile.example")}});
  EXPECT_EQ(this->outcome(BindTerminalKey{{5}, name("t1.mobile.example"), key(1), {10}}),
            Outcome::Applied);
  EXPECT_EQ(this->outcome(BindTerminalKey{{6}, name("t2.mobile.example"), key(1), {10}}),
            Outcome::Conflict);
  EXPECT_EQ((*this->reader->token({6}))->uses_left, 1u);
  Terminal thief = terminal(3);
  thief.key = key(1);
  EXPECT_EQ(this->outcome(CreateTerminal{thief}), Outcome::Conflict);
}

TYPED_TEST(StoreConformance, ANewDeviceStartsItsCounterAnew) {
  this->put_zone_and_terminals(1);
  const Name who = name("t1.mobile.example");
  write(this->store, {PutToken{token(5, "t1.mobile.example")},
                      BindTerminalKey{{5}, who, key(1), {10}}, PutLocation{location(1, 1000)},
                      SetTerminalNextKey{{1}, key(3)}, PutToken{token(6, "t1.mobile.example")}});
  EXPECT_EQ((*this->reader->terminal_by_id({1}))->terminal.next_key, key(3));
  Completion enrolled = write(
      this->store, {BindTerminalKey{{6}, who, key(2), {10}}, PutLocation{location(1, 1)}}, true);
  EXPECT_EQ(enrolled.items[0].outcome, Outcome::Applied);
  EXPECT_EQ(enrolled.items[1].outcome, Outcome::Applied);
  TerminalView view = **this->reader->terminal_by_id({1});
  EXPECT_EQ(view.terminal.key, key(2));
  EXPECT_EQ(view.terminal.next_key, std::nullopt);
  EXPECT_EQ(view.location, location(1, 1));
  EXPECT_EQ(this->outcome(BindTerminalKey{{5}, who, key(1), {10}}), Outcome::Conflict)
      << "the old request again must not bring the old key back";
}

TYPED_TEST(StoreConformance, TokensDieWithTheirTerminal) {
  this->put_zone_and_terminals(1);
  write_one(this->store, PutToken{token(5, "t1.mobile.example")});
  write(this->store, {DeleteTerminal{{1}}, CreateTerminal{terminal(1)}});
  EXPECT_EQ(*this->reader->token({5}), std::nullopt);
  EXPECT_EQ(this->outcome(DeleteToken{{5}}), Outcome::Applied);
}

TYPED_TEST(StoreConformance, RelaysEnrolToo) {
  Relay relay{{5}, name("rs1.example"), {}, false};
  Token for_relay = token(7, "rs1.example");
  for_relay.purpose = TokenPurpose::Relay;
  BindRelayKey bind{{7}, relay.name, key(4), {10}};
  EXPECT_EQ(this->outcome(bind), Outcome::Conflict);
  write(this->store, {PutRelay{relay}, PutToken{for_relay}});
  EXPECT_EQ(this->outcome(bind), Outcome::Applied);
  EXPECT_EQ(this->outcome(bind), Outcome::Applied);
  relay.drained = true;
  EXPECT_EQ(this->outcome(PutRelay{relay}), Outcome::Applied);
  relay.key = key(4);
  EXPECT_EQ(*this->reader->relays(), std::vector<Relay>{relay}) << "its key is kept";
  EXPECT_EQ(this->outcome(PutRelay{{{6}, relay.name, {}, false}}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(DeleteRelay{{5}}), Outcome::Applied);
  EXPECT_TRUE(this->reader->relays()->empty());
  EXPECT_TRUE(this->reader->tokens()->empty());
}

TYPED_TEST(StoreConformance, PinnedPeersKeepTheirKey) {
  PeerDc peer{name("other.example"), key(1), false, {100}};
  EXPECT_EQ(this->outcome(PutPeerDc{peer}), Outcome::Applied);
  PeerDc listed{name("other.example"), key(1), true, {200}};
  EXPECT_EQ(this->outcome(PutPeerDc{listed}), Outcome::Applied);
  EXPECT_EQ(this->outcome(PutPeerDc{peer}), Outcome::Applied);
  listed.first_seen = {100};
  EXPECT_EQ(*this->reader->peer_dcs(), std::vector<PeerDc>{listed});
  peer.key = key(2);
  EXPECT_EQ(this->outcome(PutPeerDc{peer}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(DeletePeerDc{peer.zone}), Outcome::Applied);
  EXPECT_EQ(this->outcome(PutPeerDc{peer}), Outcome::Applied);
}

}  // namespace
}  // namespace ntm::store::test
