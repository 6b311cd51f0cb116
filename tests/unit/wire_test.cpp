// Datagrams, inner control and tokens: their forms are exact, so whatever a decoder accepts must
// encode to the very bytes it was read from. Started from the golden cases: every truncation,
// every flip of one bit, every appended byte; then what each form forbids by name.
#include <gtest/gtest.h>

#include "libntm/base/text.hpp"
#include "libntm/wire/framing.hpp"
#include "tests/vectors/golden_file.hpp"
#include "tests/vectors/wire_cases.hpp"

namespace ntm::wire {
namespace {

using tests::GoldenCase;
using tests::golden_wire;

std::vector<GoldenCase> golden(std::string_view kind) {
  std::vector<GoldenCase> out;
  for (const GoldenCase& one : golden_wire())
    if (one.kind == kind) out.push_back(one);
  EXPECT_FALSE(out.empty()) << kind;
  return out;
}
Bytes bytes_of(const std::string& name) {
  for (const GoldenCase& one : golden_wire())
    if (one.name == name) return one.bytes;
  ADD_FAILURE() << "no golden case " << name;
  return {};
}

// The bytes again, or nullopt when they are refused.
using Again = std::optional<Bytes> (*)(ByteView);
std::optional<Bytes> datagram_again(ByteView bytes) {
  Result<tests::Datagram> decoded = tests::decode_datagram(bytes);
  if (!decoded) return std::nullopt;
  return tests::encode_datagram(*decoded);
}
std::optional<Bytes> inner_again(ByteView bytes) {
  Result<InnerControl> decoded = decode_inner_control(bytes);
  if (!decoded) return std::nullopt;
  return encode(*decoded);
}
std::optional<Bytes> token_again(ByteView bytes) {
  Result<EnrolmentToken> decoded = decode_body(bytes);
  if (!decoded) return std::nullopt;
  return encode_body(*decoded);
}

struct Form {
  const char* kind;
  Again again;
};
class ExactForm : public ::testing::TestWithParam<Form> {
 protected:
  // True when accepted.
  bool exact_or_refused(const Bytes& bytes, const std::string& what) {
    std::optional<Bytes> again = GetParam().again(bytes);
    if (!again) return false;
    // Names are lower-cased when read: the one place where two texts mean the same.
    Bytes expected = bytes;
    if (std::string_view(GetParam().kind) == "token" && *again != bytes)
      for (std::size_t i = 0; i < expected.size() && i < again->size(); ++i)
        if ((*again)[i] >= 'a' && (*again)[i] <= 'z' && expected[i] + 32 == (*again)[i])
          expected[i] = (*again)[i];
    EXPECT_EQ(to_hex(*again), to_hex(expected)) << what;
    return true;
  }
};

TEST_P(ExactForm, EveryTruncationIsRefusedOrExact) {
  for (const GoldenCase& one : golden(GetParam().kind))
    for (std::size_t size = 0; size < one.bytes.size(); ++size)
      exact_or_refused(to_bytes(ByteView(one.bytes).first(size)),
                       one.name + " cut to " + std::to_string(size));
}

TEST_P(ExactForm, EveryFlippedBitIsRefusedOrExact) {
  int accepted = 0;
  int refused = 0;
  for (const GoldenCase& one : golden(GetParam().kind)) {
    for (std::size_t bit = 0; bit < one.bytes.size() * 8; ++bit) {
      Bytes bytes = one.bytes;
      bytes[bit / 8] ^= static_cast<Byte>(0x80 >> (bit % 8));
      bool ok = exact_or_refused(bytes, one.name + " bit " + std::to_string(bit));
      ++(ok ? accepted : refused);
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 0);
}

TEST_P(ExactForm, AppendedBytesAreRefusedOrExact) {
  for (const GoldenCase& one : golden(GetParam().kind)) {
    Bytes bytes = one.bytes;
    for (int extra = 0; extra < 20; ++extra) {
      bytes.push_back(static_cast<Byte>(extra));
      exact_or_refused(bytes, one.name + " longer by " + std::to_string(extra + 1));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Wire, ExactForm,
                         ::testing::Values(Form{"datagram", datagram_again},
                                           Form{"inner", inner_again},
                                           Form{"token", token_again}),
                         [](const ::testing::TestParamInfo<Form>& form) {
                           return std::string(form.param.kind);
                         });

// ---- what must be refused, by name -------------------------------------------------------------

// The golden case with the byte at `at` replaced.
bool accepts_with(const std::string& name, std::size_t at, Byte value) {
  Bytes bytes = bytes_of("datagram/" + name);
  bytes.at(at) = value;
  return tests::decode_datagram(bytes).has_value();
}
bool accepts_size(const std::string& name, std::size_t size) {
  Bytes bytes = bytes_of("datagram/" + name);
  bytes.resize(size);
  return tests::decode_datagram(bytes).has_value();
}

TEST(FramingTest, TypesOfOthersAreNotOurs) {
  for (int first = 0; first < 256; ++first) {
    Bytes bytes(64, 0);
    bytes[0] = static_cast<Byte>(first);
    EXPECT_EQ(datagram_type(bytes).has_value(), first >= 0x50 && first <= 0x59) << first;
  }
  EXPECT_FALSE(datagram_type({}));
  EXPECT_FALSE(datagram_type(Bytes{0x50, 0, 0})) << "shorter than the shortest of ours";
}

TEST(FramingTest, SizesAreThoseOfTheDiagrams) {
  EXPECT_TRUE(accepts_size("data_smallest", 32));
  EXPECT_FALSE(accepts_size("data_smallest", 31));
  EXPECT_FALSE(accepts_size("ctrl", 31));
  EXPECT_FALSE(accepts_size("tunnel_req_plain", 191));
  EXPECT_FALSE(accepts_size("tunnel_req_plain", 193));
  EXPECT_FALSE(accepts_size("tunnel_res_pending", 51));
  EXPECT_FALSE(accepts_size("tunnel_res_pending", 53));
  EXPECT_FALSE(accepts_size("tunnel_res_message1", 193));
  EXPECT_FALSE(accepts_size("hs_init_ik", 511));
  EXPECT_TRUE(accepts_size("hs_init_ik", 513));
  EXPECT_FALSE(accepts_size("hs_init_longest", 1233));
  EXPECT_FALSE(accepts_size("hs_resp_empty", 83));
  EXPECT_FALSE(accepts_size("hs_resp_longest", 1233));
  for (std::size_t size : {67, 69}) EXPECT_FALSE(accepts_size("cookie", size));
  for (std::size_t size : {31, 33}) EXPECT_FALSE(accepts_size("tunnel_hint_unknown", size));
  for (std::size_t size : {31, 33}) EXPECT_FALSE(accepts_size("ctrl_hint", size));
  for (std::size_t size : {3, 5}) EXPECT_FALSE(accepts_size("notice", size));
}

TEST(FramingTest, ReservedBitsAndBytesMustBeZero) {
  for (Byte bit : {0x01, 0x02, 0x04, 0x10}) {
    EXPECT_FALSE(accepts_with("data_smallest", 1, bit));
    EXPECT_FALSE(accepts_with("ctrl", 1, bit));
  }
  for (Byte bit : {0x08, 0x20, 0x40, 0x80}) {
    EXPECT_TRUE(accepts_with("data_smallest", 1, bit));
    EXPECT_FALSE(accepts_with("ctrl", 1, bit)) << "a CTRL record has no flags";
  }
  EXPECT_FALSE(accepts_with("tunnel_req_plain", 1, 0x01));
  for (std::size_t at : {34, 35}) EXPECT_FALSE(accepts_with("tunnel_res_pending", at, 1));
  for (std::size_t at = 36; at < 176; ++at)
    EXPECT_FALSE(accepts_with("tunnel_req_plain", at, 1)) << "padding at " << at;
  EXPECT_TRUE(accepts_with("tunnel_req_plain", 176, 1)) << "the MAC is not padding";
  EXPECT_FALSE(accepts_with("hs_init_ik", 3, 1));
  for (std::size_t at : {2, 3}) EXPECT_FALSE(accepts_with("hs_resp_empty", at, 1));
  for (std::size_t at : {1, 2, 3}) EXPECT_FALSE(accepts_with("cookie", at, 1));
  for (std::size_t at = 2; at < 8; ++at) EXPECT_FALSE(accepts_with("tunnel_hint_unknown", at, 1));
  for (std::size_t at = 1; at < 8; ++at) EXPECT_FALSE(accepts_with("ctrl_hint", at, 1));
}

TEST(FramingTest, BlobsHaveTheLengthOfTheirKind) {
  for (int kind = 0; kind < 4; ++kind) {
    Byte flags = static_cast<Byte>(kind << 6);
    EXPECT_EQ(accepts_with("tunnel_req_plain", 1, flags), kind == 0) << kind;
    EXPECT_EQ(accepts_with("tunnel_req_message1", 1, flags), kind == 1) << kind;
    EXPECT_EQ(accepts_with("tunnel_res_ready_message2", 1, flags), kind == 2) << kind;
    EXPECT_EQ(accepts_with("tunnel_res_confirm", 1, flags), kind == 3) << kind;
  }
  EXPECT_FALSE(accepts_with("tunnel_req_message1", 33, 113));
  EXPECT_FALSE(accepts_with("tunnel_req_message1", 32, 1));
}

TEST(FramingTest, PatternsAndTokensFit) {
  for (Byte pattern : {0, 3, 255}) EXPECT_FALSE(accepts_with("hs_init_ik", 2, pattern));
  EXPECT_FALSE(accepts_with("hs_init_ik", 2, 2)) << "IKpsk1 without a token";
  EXPECT_FALSE(accepts_with("hs_init_ikpsk1", 2, 1)) << "IK with a token";
  EXPECT_FALSE(accepts_with("hs_init_ik", 27, 1)) << "IK with a token";
  for (Byte code : {0, 3, 255}) EXPECT_FALSE(accepts_with("tunnel_hint_unknown", 1, code));
}

bool accepts_zeroed(const std::string& name, std::size_t at) {
  Bytes bytes = bytes_of("datagram/" + name);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 8, Byte{0});
  return tests::decode_datagram(bytes).has_value();
}

TEST(FramingTest, IdsThatMustNotBeZero) {
  EXPECT_FALSE(accepts_zeroed("data_smallest", 8));
  EXPECT_FALSE(accepts_zeroed("ctrl", 8));
  EXPECT_FALSE(accepts_zeroed("cookie", 4));
  EXPECT_FALSE(accepts_zeroed("tunnel_req_plain", 8));
  EXPECT_FALSE(accepts_zeroed("tunnel_res_pending", 8));
  EXPECT_FALSE(accepts_zeroed("tunnel_hint_changed", 8));
  EXPECT_FALSE(accepts_zeroed("hs_init_ik", 4));
  EXPECT_FALSE(accepts_zeroed("hs_resp_empty", 4));
  EXPECT_FALSE(accepts_zeroed("hs_resp_empty", 12));
}

// ---- inner control -----------------------------------------------------------------------------

bool accepts_inner(std::string_view hex) {
  return decode_inner_control(from_hex(hex).value()).has_value();
}

TEST(InnerControlTest, RefusesBadForms) {
  EXPECT_FALSE(accepts_inner(""));
  EXPECT_FALSE(accepts_inner("00"));
  EXPECT_FALSE(accepts_inner("07"));
  EXPECT_FALSE(accepts_inner("0404")) << "an unknown reason";
  EXPECT_FALSE(accepts_inner("0500" "04")) << "more than the count says";
  EXPECT_FALSE(accepts_inner("0501" "05" "c0000201" "1291")) << "a family between 4 and 6";
  EXPECT_TRUE(accepts_inner("0501" "04" "c0000201" "1291"));
  EXPECT_FALSE(accepts_inner("0502" "04" "c0000201" "1291")) << "less than the count says";
  EXPECT_FALSE(accepts_inner("06" "0001" "0000" "00")) << "an empty fragment";
  EXPECT_FALSE(accepts_inner("06" "0001" "0000" "02" "45")) << "a reserved flag";
  EXPECT_TRUE(accepts_inner("06" "0001" "fffe" "01" "45"));
  EXPECT_FALSE(accepts_inner("06" "0001" "ffff" "01" "45")) << "past 64 KiB";
}

TEST(InnerControlTest, NineCandidatesAreTooMany) {
  std::string eight;
  for (int i = 0; i < 8; ++i) eight += "04" "c0000201" "1291";
  EXPECT_TRUE(accepts_inner("0508" + eight));
  EXPECT_FALSE(accepts_inner("0509" + eight + "04" "c0000201" "1291"));
}

TEST(InnerControlTest, ReceiveStateNamesAPathAndKnownFlags) {
  std::string path = "1112131415161718";
  std::string highest = "000000000009";
  std::string rest = highest + "0000";
  EXPECT_TRUE(accepts_inner("03" + path + "80" + rest));
  for (const char* epoch : {"04", "08", "10", "20", "40"})
    EXPECT_FALSE(accepts_inner("03" + path + epoch + rest)) << epoch;
  EXPECT_FALSE(accepts_inner("03" + std::string(16, '0') + "80" + rest)) << "Path ID zero";
  std::string full = "0200" + std::string(1024, '0');
  EXPECT_TRUE(accepts_inner("03" + path + "80" + highest + full));
  EXPECT_TRUE(accepts_inner("03" + path + "80" + highest + "0002fffe"));
  EXPECT_FALSE(accepts_inner("03" + path + "80" + highest + "0002feff")) << "not the shortest";
  EXPECT_FALSE(accepts_inner("03" + path + "80" + highest + "0201" + std::string(1026, '0')));
  EXPECT_FALSE(accepts_inner("03" + path + "80" + highest + "0002fe")) << "shorter than it says";
  EXPECT_FALSE(accepts_inner("03" + path + "80" + highest + "0001fefe")) << "longer";
  EXPECT_FALSE(accepts_inner("03" + path + "00" + "000000000000" + "0001fe")) << "of nothing";
}

// ---- tokens ------------------------------------------------------------------------------------

bool accepts_token(std::size_t at, std::string_view replacement) {
  Bytes bytes = bytes_of("token/token_one");
  Bytes with = from_hex(replacement).value();
  std::copy(with.begin(), with.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  return decode_body(bytes).has_value();
}

TEST(TokenTest, RefusesBadBodies) {
  // version 1 ‖ zone 13 ‖ subject 16 ‖ key 32 ‖ count ‖ family ‖ address 4 ‖ port 2 ‖ id 8 ‖ ...
  constexpr std::size_t kCount = 1 + 13 + 16 + 32;
  EXPECT_TRUE(accepts_token(kCount, "0104c0000235"));
  EXPECT_FALSE(accepts_token(0, "02")) << "another version";
  EXPECT_FALSE(accepts_token(1, "c0")) << "a compressed name";
  EXPECT_FALSE(accepts_token(kCount, "00"));
  EXPECT_FALSE(accepts_token(kCount, "02"));
  EXPECT_FALSE(accepts_token(kCount, "05"));
  EXPECT_FALSE(accepts_token(kCount + 1, "05"));
  EXPECT_FALSE(accepts_token(kCount + 2, "00000000")) << "address zero";
  EXPECT_FALSE(accepts_token(kCount + 6, "0000")) << "port zero";
  EXPECT_FALSE(accepts_token(kCount + 8, "0000000000000000")) << "id zero";
}

}  // namespace
}  // namespace ntm::wire
