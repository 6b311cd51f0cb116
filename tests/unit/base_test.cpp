// base: byte cursors, text forms of bytes, names and addresses, with what each must refuse.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/base/text.hpp"

namespace ntm {
namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }
Name name(std::string_view text) { return Name::parse(text).value(); }
IpAddress address(std::string_view text) { return parse_address(text).value(); }
Prefix prefix(std::string_view text) { return parse_prefix(text).value(); }

// ---- cursors and text of bytes -----------------------------------------------------------------

TEST(ReaderTest, ReadsBigEndianFieldsAndKnowsWhenItIsDone) {
  Bytes input = hex("01" "0203" "04050607" "08090a0b0c0d" "0e0f101112131415" "aabb" "cc");
  Reader in(input);
  EXPECT_EQ(in.u8(), 0x01);
  EXPECT_EQ(in.u16(), 0x0203);
  EXPECT_EQ(in.u32(), 0x04050607u);
  EXPECT_EQ(in.u48(), 0x08090a0b0c0du);
  EXPECT_EQ(in.u64(), 0x0e0f101112131415u);
  EXPECT_EQ((in.array<2>()), (std::array<Byte, 2>{0xaa, 0xbb}));
  EXPECT_EQ(in.left(), 1u);
  EXPECT_FALSE(in.finish());
  EXPECT_EQ(in.u8(), 0xcc);
  EXPECT_TRUE(in.finish());
}

TEST(ReaderTest, FailureSticksAndYieldsZeros) {
  Bytes input = hex("ffffff");
  Reader in(input);
  EXPECT_EQ(in.u32(), 0u);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8(), 0) << "a byte is there, but the field before it was not";
  EXPECT_EQ((in.array<2>()), (std::array<Byte, 2>{}));
  EXPECT_TRUE(in.bytes(0).empty());
  EXPECT_EQ(in.left(), 0u);
  EXPECT_FALSE(in.finish());
}

TEST(ReaderTest, HugeCountsDoNotWrapAround) {
  Bytes input = hex("0102");
  Reader in(input);
  in.u8();
  EXPECT_TRUE(in.bytes(~std::size_t{0}).empty());
  EXPECT_FALSE(in.ok());
}

TEST(WriterTest, WritesWhatTheReaderReads) {
  Writer out;
  out.u8(1).u16(0x0203).u32(0x04050607).u48(0xff08090a0b0c0d).u64(~std::uint64_t{0}).zeros(2);
  EXPECT_EQ(to_hex(out.view()), "01" "0203" "04050607" "08090a0b0c0d" "ffffffffffffffff" "0000");
  out.patch_u16(1, 0xbeef);
  EXPECT_EQ(to_hex(out.take()).substr(0, 6), "01beef");
}

TEST(TextTest, Hex) {
  EXPECT_EQ(to_hex(hex("00ffA5")), "00ffa5");
  EXPECT_TRUE(hex("").empty());
  for (const char* bad : {"0", "0g", "g0", " 00", "00 ", "0x00", "-1", "\xc3\xa4"})
    EXPECT_FALSE(from_hex(bad)) << bad;
  EXPECT_FALSE(from_hex(std::string_view("0\0", 2)));
}

TEST(TextTest, Base32IsThatOfRfc4648WithoutPadding) {
  const std::pair<const char*, const char*> rows[] = {
      {"", ""},         {"f", "my"},         {"fo", "mzxq"},        {"foo", "mzxw6"},
      {"foob", "mzxw6yq"}, {"fooba", "mzxw6ytb"}, {"foobar", "mzxw6ytboi"}};
  for (const std::pair<const char*, const char*>& row : rows) {
    EXPECT_EQ(to_base32(as_view(row.first)), row.second);
    EXPECT_EQ(from_base32(row.second).value(), to_bytes(as_view(row.first)));
  }
  EXPECT_EQ(from_base32("MZXW6YTBOI").value(), to_bytes(as_view("foobar")));
}

TEST(TextTest, Base32RefusesWhatNoEncoderWrites) {
  for (const char* bad : {"m", "mzx", "mzxw6y", "mz", "mzxr", "my======", "m1", "m0", "m8", "m y"})
    EXPECT_FALSE(from_base32(bad)) << bad;
  EXPECT_FALSE(from_base32(std::string_view("m\0", 2)));
}

TEST(TextTest, Base32AndHexRoundTripAtEveryLength) {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 300; ++size) {
    Bytes bytes(size);
    for (Byte& b : bytes) b = static_cast<Byte>(random());
    EXPECT_EQ(from_base32(to_base32(bytes)).value(), bytes);
    EXPECT_EQ(from_hex(to_hex(bytes)).value(), bytes);
  }
}

TEST(TextTest, PrintableIsOneShortLineOfAscii) {
  EXPECT_EQ(printable(as_view("plain ~text")), "plain ~text");
  EXPECT_EQ(printable(hex("410a1b7fff")), "A\\x0a\\x1b\\x7f\\xff");
  EXPECT_EQ(printable(as_view("abcdef"), 3), "abc...");
  EXPECT_EQ(printable(as_view("abc"), 3), "abc");
}

TEST(IdTest, TextHasSixteenDigits) {
  EXPECT_EQ(to_string(PathId{0}), "0000000000000000");
  EXPECT_EQ(to_string(PathId{0x0123456789abcdef}), "0123456789abcdef");
}

TEST(SecretTest, MovingWipesAndComparesWhole) {
  Key16 a = Key16::from(hex("000102030405060708090a0b0c0d0e0f"));
  Key16 b = a;
  EXPECT_TRUE(a == b);
  b.span()[15] ^= 1;
  EXPECT_FALSE(a == b);
  Key16 moved = std::move(a);
  EXPECT_TRUE(a.is_zero());  // NOLINT: that a moved-from secret is zero is the point
  EXPECT_FALSE(moved.is_zero());
}

// ---- names -------------------------------------------------------------------------------------

TEST(NameTest, ParsesAndPrints) {
  const std::pair<const char*, const char*> rows[] = {
      {".", "."},
      {"example.org", "example.org"},
      {"Example.ORG.", "example.org"},
      {"_ntm._udp.x", "_ntm._udp.x"},
      {"a\\.b.c", "a\\.b.c"},
      {"a\\\\b", "a\\\\b"},
      {"\\065bc", "abc"},  // a capital A by number is a capital A
      {"\\000\\255", "\\000\\255"},
      {"a b", "a\\032b"},
      {"\\x", "x"},
      {"a\tb", "a\\009b"},
      {"z\xc3\xa4hler", "z\\195\\164hler"},
  };
  for (const std::pair<const char*, const char*>& row : rows) {
    Result<Name> parsed = Name::parse(row.first);
    ASSERT_TRUE(parsed) << row.first;
    EXPECT_EQ(parsed->text(), row.second);
    EXPECT_EQ(name(parsed->text()), *parsed);
  }
}

TEST(NameTest, RefusesBadText) {
  for (const char* bad : {"", "..", ".a", "a..b", "a..", "a\\", "a\\1", "a\\12", "a\\1x2", "a\\256",
                          "a\\999"})
    EXPECT_FALSE(Name::parse(bad)) << bad;
}

TEST(NameTest, ErrorsAreOneLineWhateverTheInput) {
  Result<Name> parsed = Name::parse("a..\n[31mfake line\x1b");
  ASSERT_FALSE(parsed);
  for (char c : parsed.error().text) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
}

TEST(NameTest, KeepsTheLimitsOfRfc1035) {
  std::string label63(63, 'x');
  EXPECT_TRUE(Name::parse(label63));
  EXPECT_FALSE(Name::parse(label63 + "x"));
  EXPECT_EQ(name(label63 + ".a").wire().size(), 67u);
  // 3 labels of 63 and one of 61 octets: 3*64 + 62 + 1 = 255.
  std::string three = label63 + "." + label63 + "." + label63 + ".";
  Name longest = name(three + std::string(61, 'y'));
  EXPECT_EQ(longest.wire().size(), kMaxNameWire);
  EXPECT_FALSE(Name::parse(three + std::string(62, 'y')));
  EXPECT_FALSE(longest.child("a"));
  EXPECT_TRUE(longest.parent().child(std::string(63, 'a')));
  std::string shorts;
  for (int i = 0; i < 127; ++i) shorts += "a.";
  EXPECT_EQ(name(shorts).labels(), 127u);
  EXPECT_FALSE(Name::parse(shorts + "a"));
}

TEST(NameTest, ReadsExactlyOneWireName) {
  EXPECT_EQ(Name::from_wire(hex("0141024263" "00"))->text(), "a.bc");
  EXPECT_TRUE(Name::from_wire(hex("00"))->is_root());
  for (const char* bad : {"", "01", "0161", "0061", "016100" "00", "c00c", "40", "026100",
                          "01610161"})
    EXPECT_FALSE(Name::from_wire(hex(bad))) << bad;
  Bytes long_wire;
  for (int i = 0; i < 127; ++i) long_wire.insert(long_wire.end(), {1, 'a'});
  long_wire.push_back(0);
  EXPECT_TRUE(Name::from_wire(long_wire));
  long_wire.insert(long_wire.begin(), {1, 'a'});
  EXPECT_FALSE(Name::from_wire(long_wire));
}

TEST(NameTest, Family) {
  Name zone = name("example.org");
  EXPECT_TRUE(name("a.Example.org").is_under(zone));
  EXPECT_TRUE(zone.is_under(zone));
  EXPECT_TRUE(zone.is_under(Name{}));
  EXPECT_FALSE(name("org").is_under(zone));
  EXPECT_FALSE(name("xexample.org").is_under(zone));
  EXPECT_FALSE(name("example.com").is_under(zone));
  // The bytes of the zone's wire form inside a longer label are no border.
  EXPECT_FALSE(name("a\\007example\\003org").is_under(zone));
  EXPECT_EQ(zone.parent(), name("org"));
  EXPECT_TRUE(Name{}.parent().is_root());
  EXPECT_EQ(zone.child("A").value(), name("a.example.org"));
  EXPECT_FALSE(zone.child(""));
  EXPECT_FALSE(zone.child(std::string(64, 'a')));
  EXPECT_EQ(zone.labels(), 2u);
  EXPECT_EQ(Name{}.labels(), 0u);
}

std::vector<std::string> labels_of(const Name& n) {
  std::vector<std::string> out;
  ByteView wire = n.wire();
  for (std::size_t at = 0; wire[at] != 0; at += 1 + wire[at])
    out.emplace_back(wire.begin() + static_cast<std::ptrdiff_t>(at + 1),
                     wire.begin() + static_cast<std::ptrdiff_t>(at + 1 + wire[at]));
  return out;
}

// RFC 4034 6.1: from the root-most label on, each as unsigned bytes, a missing label first.
int canonical_compare(const Name& a, const Name& b) {
  std::vector<std::string> left = labels_of(a);
  std::vector<std::string> right = labels_of(b);
  std::reverse(left.begin(), left.end());
  std::reverse(right.begin(), right.end());
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    int order = left[i].compare(right[i]);
    if (order != 0) return order < 0 ? -1 : 1;
  }
  return left.size() == right.size() ? 0 : left.size() < right.size() ? -1 : 1;
}

// Few and awkward octets, so that names are often prefixes of each other and equal.
Name random_name(std::mt19937& random) {
  static constexpr Byte kOctets[] = {0, 1, 2, 3, 'a', 'b', 'A', '.', '\\', 0xff};
  Name out;
  for (std::uint32_t label = random() % 4; label > 0; --label) {
    std::string text;
    for (std::uint32_t i = random() % 3 + 1; i > 0; --i)
      text.push_back(static_cast<char>(kOctets[random() % std::size(kOctets)]));
    out = out.child(text).value();
  }
  return out;
}

TEST(NameTest, ReversedKeyOrderIsCanonicalOrder) {
  std::mt19937 random(2);
  int equal_pairs = 0;
  int under = 0;
  for (int round = 0; round < 200000; ++round) {
    Name a = random_name(random);
    Name b = random_name(random);
    int keys = a.reversed_key().compare(b.reversed_key());
    int sign = keys == 0 ? 0 : keys < 0 ? -1 : 1;
    ASSERT_EQ(sign, canonical_compare(a, b)) << a.text() << " and " << b.text();
    ASSERT_EQ(a == b, sign == 0);
    // A zone is one range of keys: those that begin with its own.
    ASSERT_EQ(a.is_under(b), a.reversed_key().starts_with(b.reversed_key()));
    equal_pairs += sign == 0;
    under += a.is_under(b);
  }
  EXPECT_GT(equal_pairs, 1000);
  EXPECT_GT(under, equal_pairs + 1000);
}

TEST(NameTest, TextAndWireRoundTrip) {
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    Name n = random_name(random);
    ASSERT_EQ(name(n.text()), n) << n.text();
    ASSERT_EQ(Name::from_wire(n.wire()).value(), n) << n.text();
  }
}

TEST(NameTest, CanonicalOrderOfRfc4034) {
  const char* rows[] = {"example",         "a.example",       "yljkjljk.a.example",
                        "Z.a.example",     "zABC.a.EXAMPLE",  "z.example",
                        "\\001.z.example", "*.z.example",     "\\200.z.example"};
  for (std::size_t i = 1; i < std::size(rows); ++i)
    EXPECT_LT(name(rows[i - 1]).reversed_key(), name(rows[i]).reversed_key()) << rows[i];
}

// ---- addresses ---------------------------------------------------------------------------------

TEST(AddressTest, Ipv6TextIsThatOfRfc5952) {
  const std::pair<const char*, const char*> rows[] = {
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},  // the first of two equal runs
      {"2001:0db8::0001", "2001:db8::1"},             // no leading zeros
      {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},      // as short as possible
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},  // one zero group stays
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},        // the longest run
      {"2001:DB8:AAAA::BbCc", "2001:db8:aaaa::bbcc"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
      {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
      {"fe80::ffff:0:0", "fe80::ffff:0:0"},
  };
  for (const std::pair<const char*, const char*>& row : rows) {
    Result<IpAddress> parsed = parse_address(row.first);
    ASSERT_TRUE(parsed) << row.first;
    EXPECT_TRUE(parsed->is_v6());
    EXPECT_EQ(to_string(*parsed), row.second);
    EXPECT_EQ(address(to_string(*parsed)), *parsed);
  }
}

TEST(AddressTest, RefusesBadText) {
  for (const char* bad :
       {"", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1..3.4",
        "1.2.3.", ".1.2.3", "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4", "1.2.3.+4", "0x1.2.3.4",
        "1.2.3.4/8", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::",
        "g::", "::g", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8::", "::1%eth0",
        "[::1]", "1.2.3.4::", "1:1.2.3.4::1", "::1.2.3.4:5", "::1.2.3", "::1.2.3.400",
        "1:2:3:4:5:6:7:1.2.3.4", "::00001", ":::1", "1:::2", "1:2:3:4::5:6:7:8"})
    EXPECT_FALSE(parse_address(bad)) << bad;
  EXPECT_FALSE(parse_address(std::string_view("1.2.3.4\0", 8)));
  Result<IpAddress> lines = parse_address("1.2.3.4\nfake");
  ASSERT_FALSE(lines);
  EXPECT_EQ(lines.error().text.find('\n'), std::string::npos);
}

TEST(AddressTest, RoundTripsThroughText) {
  std::mt19937 random(4);
  for (int round = 0; round < 50000; ++round) {
    Ipv6 v6;
    // Mostly zero groups, so that every place and length of "::" comes up.
    for (Byte& b : v6.raw) b = random() % 3 == 0 ? static_cast<Byte>(random()) : Byte{0};
    ASSERT_EQ(address(to_string(v6)), IpAddress(v6)) << to_string(v6);
    Ipv4 v4 = Ipv4::from_u32(static_cast<std::uint32_t>(random()));
    ASSERT_EQ(address(to_string(v4)), IpAddress(v4)) << to_string(v4);
    Endpoint endpoint{round % 2 ? IpAddress(v4) : IpAddress(v6),
                      static_cast<std::uint16_t>(random() % 65535 + 1)};
    ASSERT_EQ(parse_endpoint(to_string(endpoint)).value(), endpoint);
  }
}

TEST(AddressTest, Endpoints) {
  EXPECT_EQ(to_string(parse_endpoint("192.0.2.1:4753").value()), "192.0.2.1:4753");
  EXPECT_EQ(to_string(parse_endpoint("[2001:DB8::1]:65535").value()), "[2001:db8::1]:65535");
  for (const char* bad : {"192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
                          "192.0.2.1:+1", "192.0.2.1:-1", "192.0.2.1: 1", "2001:db8::1:1",
                          "[192.0.2.1]:1", "[2001:db8::1]", "[2001:db8::1]1", "[]:1", "[::1:1",
                          "::1]:1", ":1", "", "[[::1]]:1", "192.0.2.1:99999999999999999999"})
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
}

TEST(AddressTest, Prefixes) {
  for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0", "fd00::/8",
                           "2001:db8::1/128", "198.18.0.0/15"})
    EXPECT_EQ(to_string(prefix(text)), text);
  for (const char* bad : {"10.0.0.1/8", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "::1/127",
                          "10.0.0.0/-1", "10.0.0.0/8/8", "/8", "10.0.0.0/8 ", "198.19.0.0/14"})
    EXPECT_FALSE(parse_prefix(bad)) << bad;
  EXPECT_TRUE(prefix("198.18.0.0/15").contains(address("198.19.255.255")));
  EXPECT_FALSE(prefix("198.18.0.0/15").contains(address("198.20.0.0")));
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(address("::")));
  EXPECT_TRUE(prefix("::/0").contains(address("ff02::1")));
  EXPECT_TRUE(prefix("10.0.0.0/8").overlaps(prefix("10.1.0.0/16")));
  EXPECT_TRUE(prefix("10.1.0.0/16").overlaps(prefix("10.0.0.0/8")));
  EXPECT_FALSE(prefix("10.0.0.0/16").overlaps(prefix("10.1.0.0/16")));
}

// Which of the questions each address answers with yes, one letter each.
std::string classes(const IpAddress& a) {
  std::string out;
  if (a.is_unspecified()) out += 'u';
  if (a.is_loopback()) out += 'l';
  if (a.is_link_local()) out += 'k';
  if (a.is_multicast()) out += 'm';
  if (a.is_private()) out += 'p';
  if (a.is_global()) out += 'g';
  return out;
}

TEST(AddressTest, Classes) {
  const std::pair<const char*, const char*> rows[] = {
      {"0.0.0.0", "u"},        {"0.0.0.1", ""},         {"127.0.0.1", "l"},
      {"127.255.255.255", "l"}, {"128.0.0.0", "g"},      {"169.253.255.255", "g"},
      {"169.254.0.0", "k"},    {"169.255.0.0", "g"},    {"10.0.0.0", "p"},
      {"11.0.0.0", "g"},       {"172.15.255.255", "g"}, {"172.16.0.0", "p"},
      {"172.31.255.255", "p"}, {"172.32.0.0", "g"},     {"192.168.0.0", "p"},
      {"192.169.0.0", "g"},    {"100.63.255.255", "g"}, {"100.64.0.0", "p"},
      {"100.127.255.255", "p"}, {"100.128.0.0", "g"},    {"198.17.255.255", "g"},
      {"198.18.0.0", ""},      {"198.19.255.255", ""},  {"198.20.0.0", "g"},
      {"223.255.255.255", "g"}, {"224.0.0.0", "m"},      {"239.255.255.255", "m"},
      {"240.0.0.0", ""},       {"255.255.255.255", "m"}, {"::", "u"},
      {"::1", "l"},            {"::2", ""},             {"fe80::1", "k"},
      {"febf::1", "k"},        {"fec0::1", ""},         {"fc00::1", "p"},
      {"fdff::1", "p"},        {"ff02::1", "m"},        {"2000::1", "g"},
      {"3fff::1", "g"},        {"4000::1", ""},         {"::ffff:192.0.2.1", ""},
  };
  for (const std::pair<const char*, const char*>& row : rows)
    EXPECT_EQ(classes(address(row.first)), row.second) << row.first;
}

TEST(AddressTest, OfDifferentFamiliesDiffer) {
  EXPECT_NE(address("0.0.0.0"), address("::"));
  EXPECT_EQ(IpAddress{}, address("0.0.0.0"));
  EXPECT_FALSE((Endpoint{address("192.0.2.1"), 0}).is_set());
  EXPECT_FALSE((Endpoint{address("::"), 1}).is_set());
  EXPECT_TRUE((Endpoint{address("::1"), 1}).is_set());
}

}  // namespace
}  // namespace ntm
