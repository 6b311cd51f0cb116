// Every codec against the bytes of a second encoder (reference_wire.py -> golden/wire.json):
// our encoder writes exactly those bytes, and our decoder reads exactly the value they stand for.
#include <gtest/gtest.h>

#include <set>

#include "libntm/base/text.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "tests/vectors/golden_file.hpp"
#include "tests/vectors/wire_cases.hpp"

namespace ntm::tests {
namespace {

template <typename Value, typename Encode, typename Decode>
void check(const std::string& kind, const std::map<std::string, Value>& cases, Encode encode,
           Decode decode) {
  std::set<std::string> seen;
  for (const GoldenCase& golden : golden_wire()) {
    if (golden.kind != kind) continue;
    const std::string& like = golden.decodes_like.empty() ? golden.name : golden.decodes_like;
    typename std::map<std::string, Value>::const_iterator found = cases.find(like);
    if (found == cases.end()) {
      ADD_FAILURE() << golden.name << " has no C++ value";
      continue;
    }
    Result<Value> decoded = decode(ByteView(golden.bytes));
    if (!decoded) {
      ADD_FAILURE() << golden.name << ": " << decoded.error().text;
      continue;
    }
    EXPECT_TRUE(*decoded == found->second) << golden.name;
    if (golden.decodes_like.empty()) {
      EXPECT_EQ(to_hex(encode(*decoded)), to_hex(golden.bytes)) << golden.name;
      EXPECT_EQ(to_hex(encode(found->second)), to_hex(golden.bytes)) << golden.name;
      seen.insert(golden.name);
    }
  }
  for (const std::pair<const std::string, Value>& one : cases)
    EXPECT_TRUE(seen.contains(one.first)) << one.first << " has no golden bytes";
}

TEST(WireVectors, Datagrams) {
  check("datagram", datagram_cases(), encode_datagram, decode_datagram);
}

TEST(WireVectors, ControlMessages) {
  check("control", control_cases(),
        [](const wire::ControlMessage& m) { return wire::encode(m); }, wire::decode_control);
}

TEST(WireVectors, EveryKindOfControlMessageIsThere) {
  std::set<wire::MessageKind> kinds;
  for (const std::pair<const std::string, wire::ControlMessage>& one : control_cases())
    kinds.insert(wire::kind_of(one.second));
  EXPECT_EQ(kinds.size(), std::variant_size_v<wire::ControlMessage>);
}

TEST(WireVectors, InnerControl) {
  check("inner", inner_cases(), [](const wire::InnerControl& m) { return wire::encode(m); },
        wire::decode_inner_control);
}

TEST(WireVectors, TokenBodies) {
  check("token", token_cases(),
        [](const wire::EnrolmentToken& t) { return wire::encode_body(t); }, wire::decode_body);
}

TEST(WireVectors, TokenTexts) {
  std::map<std::string, wire::EnrolmentToken> cases = token_cases();
  int compared = 0;
  for (const GoldenCase& golden : golden_wire()) {
    if (golden.kind != "token") continue;
    EXPECT_EQ(crypto::token_text(cases.at(golden.name)), golden.text);
    Result<wire::EnrolmentToken> parsed = crypto::parse_token(golden.text);
    ASSERT_TRUE(parsed) << parsed.error().text;
    EXPECT_TRUE(*parsed == cases.at(golden.name));
    ++compared;
  }
  EXPECT_EQ(compared, 2);
}

}  // namespace
}  // namespace ntm::tests
