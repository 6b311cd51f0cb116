// NTMv4, NTMv6 and SVCB RDATA against the bytes of an independent encoder
// (records_encoder.py -> golden/records.txt), and what the decoders must refuse.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <random>

#include "libntm/base/text.hpp"
#include "libntm/wire/dc_record.hpp"
#include "libntm/wire/ntm_record.hpp"

namespace ntm::wire {
namespace {

std::string golden_text(const std::string& name) {
  std::ifstream file(NTM_SOURCE_DIR "/tests/vectors/golden/records.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + " = ")) return line.substr(name.size() + 3);
  }
  ADD_FAILURE() << "no golden row " << name;
  return {};
}

Bytes golden(const std::string& name) { return from_hex(golden_text(name)).value(); }

PublicKey key(int first) {
  PublicKey out;
  for (std::size_t i = 0; i < out.raw.size(); ++i) out.raw[i] = static_cast<Byte>(first + i);
  return out;
}

IpAddress address(std::string_view text) { return parse_address(text).value(); }
Name name(std::string_view text) { return Name::parse(text).value(); }

NtmRecord full_v4() {
  NtmRecord out = NtmRecord::empty(Family::V4);
  out.flags = kNtmBehindNat;
  out.real = {address("10.1.2.3"), 40000};
  out.virtual_address = address("198.18.0.7");
  out.nat_outside = {address("203.0.113.9"), 50123};
  out.dc = {address("192.0.2.53"), 4753};
  out.terminal_key = key(0x10);
  out.terminal_next_key = key(0x30);
  out.suites = 3;
  out.dc_name = name("example.org");
  out.dc_key = key(0x50);
  out.dc_next_key = key(0x70);
  out.policy_hints = kNtmHintDnssec;
  return out;
}

NtmRecord offline_v4() {
  NtmRecord out = full_v4();
  out.flags = 0;
  out.real = {address("0.0.0.0"), 0};
  out.nat_outside = {};
  out.terminal_next_key.reset();
  out.dc_next_key.reset();
  out.suites = 0;
  out.policy_hints = 0;
  return out;
}

NtmRecord bare_v6() {
  NtmRecord out = NtmRecord::empty(Family::V6);
  out.flags = kNtmPrivate | kNtmRelayOnly;
  out.virtual_address = address("fd12:3456:789a::7");
  return out;
}

NtmRecord full_v6() {
  NtmRecord out = NtmRecord::empty(Family::V6);
  out.flags = kNtmUpdating;
  out.real = {address("2001:db8::1"), 40000};
  out.virtual_address = address("fd12:3456:789a::7");
  out.dc = {address("2001:db8::53"), 4753};
  out.terminal_key = key(0x10);
  out.suites = 1;
  out.dc_name = name("example.org");
  out.dc_key = key(0x50);
  return out;
}

DcRecord full_dc() {
  DcRecord out;
  out.target = name("dc.example.org");
  out.ipv4_hints = {address("192.0.2.53").v4(), address("192.0.2.54").v4()};
  out.ipv6_hints = {address("2001:db8::53").v6()};
  out.dc_key = key(0x50);
  out.dc_next_key = key(0x70);
  out.zone_virtual6 = parse_prefix("fd12:3456:789a::/48").value();
  return out;
}

TEST(NtmRecordVectors, EncodesToTheGoldenBytesAndBack) {
  const std::map<std::string, NtmRecord> rows = {{"ntmv4_full", full_v4()},
                                                 {"ntmv4_offline", offline_v4()},
                                                 {"ntmv6_full", full_v6()},
                                                 {"ntmv6_bare", bare_v6()}};
  for (const auto& [row, record] : rows) {
    EXPECT_EQ(to_hex(encode(record)), to_hex(golden(row))) << row;
    Result<NtmRecord> back = decode_ntm_record(record.family, golden(row));
    ASSERT_TRUE(back) << row << ": " << back.error().text;
    EXPECT_EQ(*back, record) << row;
  }
}

TEST(NtmRecordVectors, SkipsUnknownTlvs) {
  Result<NtmRecord> back = decode_ntm_record(Family::V6, golden("ntmv6_unknown_tlv"));
  ASSERT_TRUE(back) << back.error().text;
  EXPECT_EQ(back->terminal_key, key(0x10));
}

TEST(NtmRecordVectors, EveryCutAndEveryExtraByteIsAnErrorOrTheEndOfATlv) {
  const Bytes whole = golden("ntmv4_full");
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (decode_ntm_record(Family::V4, ByteView(whole).first(size))) ++accepted;
  }
  EXPECT_EQ(accepted, 7u);  // after the fixed fields and after each TLV but the last
  for (std::size_t extra : {1, 2}) {
    Bytes longer = whole;
    longer.insert(longer.end(), extra, Byte{0});
    EXPECT_FALSE(decode_ntm_record(Family::V4, longer));
  }
}

TEST(NtmRecordVectors, RefusesDuplicatesVersionsLengthsAndNames) {
  const Bytes bare = golden("ntmv6_bare");
  auto with = [&bare](std::string_view hex) -> Result<NtmRecord> {
    Bytes bytes = bare;
    const Bytes tail = from_hex(hex).value();
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    return decode_ntm_record(Family::V6, bytes);
  };
  EXPECT_TRUE(with("0300020001"));
  EXPECT_FALSE(with("03000200010300020001"));      // twice
  EXPECT_FALSE(with("c80000c80000"));              // an unknown one twice
  EXPECT_FALSE(with("03000101"));                  // suites of one byte
  EXPECT_FALSE(with("030003000100"));              // suites of three
  EXPECT_FALSE(with("070000"));                    // no hint in the hints
  EXPECT_TRUE(with("07000200ff"));                 // hints that grew
  EXPECT_FALSE(with("0400050361626300" "00"));     // a name with something behind it
  EXPECT_FALSE(with("040002c00c"));                // a compressed name
  EXPECT_FALSE(with("01000101"));                  // a key of one byte
  EXPECT_FALSE(with("010020" + std::string(64, '0')));  // an all-zero key
  Bytes other = bare;
  other[0] = 2;
  Result<NtmRecord> version = decode_ntm_record(Family::V6, other);
  ASSERT_FALSE(version);
  EXPECT_NE(version.error().text.find("version 2"), std::string::npos);
  EXPECT_FALSE(decode_ntm_record(Family::V6, Bytes(kMaxNtmRecord + 1, 1)));
}

TEST(NtmRecordVectors, TextIsFieldsAndValues) {
  EXPECT_EQ(to_string(bare_v6()),
            "NTMv6 version=1 flags=private,relay-only real=none virtual=fd12:3456:789a::7 dc=none");
  const std::string text = to_string(full_v4());
  EXPECT_TRUE(text.starts_with(
      "NTMv4 version=1 flags=behind-nat real=10.1.2.3:40000 virtual=198.18.0.7 "
      "outside=203.0.113.9:50123 dc=192.0.2.53:4753 key=1011"))
      << text;
  EXPECT_NE(text.find(" suites=1,2 zone=example.org dc_key=5051"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(" policy=dnssec")) << text;
}

TEST(DcRecordVectors, EncodesToTheGoldenBytesAndBack) {
  DcRecord small;
  small.priority = 2;
  small.port = 53;
  small.dc_key = key(0x50);
  DcRecord alias;
  alias.priority = 0;
  alias.port = 0;
  alias.target = name("_ntm._udp.example.net");
  const std::map<std::string, DcRecord> rows = {
      {"svcb_full", full_dc()}, {"svcb_small", small}, {"svcb_alias", alias}};
  for (const auto& [row, record] : rows) {
    EXPECT_EQ(to_hex(encode(record)), to_hex(golden(row))) << row;
    EXPECT_EQ(zone_file_text(record), golden_text(row + "_text"));
    Result<DcRecord> back = decode_dc_record(golden(row));
    ASSERT_TRUE(back) << row << ": " << back.error().text;
    EXPECT_EQ(*back, record) << row;
  }
}

TEST(DcRecordVectors, EveryCutIsAnError) {
  const Bytes whole = golden("svcb_full");
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (decode_dc_record(ByteView(whole).first(size))) ++accepted;
  }
  EXPECT_EQ(accepted, 1u);  // only where key65345, the last and optional one, is missing
}

TEST(DcRecordVectors, FollowsRfc9460) {
  const std::string dc_key = "ff400020" + to_hex(key(0x50).view());
  auto record = [&dc_key](const std::string& before, const std::string& after) {
    return decode_dc_record(from_hex("000100" + before + dc_key + after).value());
  };
  EXPECT_TRUE(record("000300021291", ""));
  EXPECT_FALSE(record("", ""));                              // no port
  EXPECT_FALSE(decode_dc_record(from_hex("000100000300021291").value()));  // no key
  EXPECT_FALSE(record("000300020000", ""));                  // port zero
  EXPECT_FALSE(record("000300021291000300021291", ""));      // the same key twice
  EXPECT_FALSE(record("00040004c0000201000300021291", ""));  // descending
  EXPECT_TRUE(record("000300021291000700012f", ""));         // dohpath: unknown, skipped
  EXPECT_FALSE(record("000000020007000300021291000700012f", ""));  // mandatory and unknown
  EXPECT_TRUE(record("000000020003000300021291", ""));             // mandatory and known
  EXPECT_FALSE(record("00000000000300021291", ""));                // an empty mandatory list
  EXPECT_FALSE(record("000300021291" "00040003c00002", ""));       // half an address
  EXPECT_FALSE(record("000300021291", "ff410005fd12345678"));      // five bytes of a /48
  EXPECT_FALSE(decode_dc_record(from_hex("0001c00c000300021291" + dc_key).value()));
}

TEST(DcRecordVectors, TextFormsAndEndpoints) {
  const DcRecord record = full_dc();
  EXPECT_TRUE(to_string(record).starts_with(
      "1 dc.example.org. port=4753 ipv4hint=192.0.2.53,192.0.2.54 ipv6hint=2001:db8::53 "
      "key65344=5051"))
      << to_string(record);
  ASSERT_EQ(record.endpoints().size(), 3u);
  EXPECT_EQ(to_string(record.endpoints()[0]), "[2001:db8::53]:4753");
  EXPECT_EQ(to_string(dc_record_name(name("example.org")).value()), "_ntm._udp.example.org");
}

// Whatever a decoder accepts, it must have understood: encoded and decoded again it is the same.
template <typename Decode>
std::size_t mutate(const Bytes& start, std::uint32_t seed, Decode decode) {
  std::minstd_rand random(seed);
  std::size_t accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = start;
    for (std::uint32_t change = random() % 4 + 1; change > 0; --change) {
      std::size_t at = random() % bytes.size();
      if (random() % 4 == 0) {
        bytes.resize(at + 1);
      } else {
        bytes[at] = static_cast<Byte>(random() >> 8);
      }
    }
    accepted += decode(bytes) ? 1 : 0;
  }
  return accepted;
}

TEST(RecordVectors, MutatedBytesAreRefusedOrUnderstood) {
  for (const char* row : {"ntmv4_full", "ntmv6_full", "ntmv6_unknown_tlv"}) {
    Family family = row[4] == '4' ? Family::V4 : Family::V6;
    std::size_t accepted = mutate(golden(row), 1, [family](const Bytes& bytes) {
      Result<NtmRecord> first = decode_ntm_record(family, bytes);
      if (!first) return false;
      EXPECT_EQ(decode_ntm_record(family, encode(*first)).value(), *first) << to_hex(bytes);
      return true;
    });
    EXPECT_GT(accepted, 1000u) << row;
    EXPECT_LT(accepted, 19000u) << row;
  }
  std::size_t accepted = mutate(golden("svcb_full"), 2, [](const Bytes& bytes) {
    Result<DcRecord> first = decode_dc_record(bytes);
    if (!first) return false;
    EXPECT_EQ(decode_dc_record(encode(*first)).value(), *first) << to_hex(bytes);
    return true;
  });
  EXPECT_GT(accepted, 1000u);
  EXPECT_LT(accepted, 19000u);
}

}  // namespace
}  // namespace ntm::wire
