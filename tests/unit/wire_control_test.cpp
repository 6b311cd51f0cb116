// Control messages against docs/PROTOCOL-MESSAGES.md: the tables there are read here, and each of
// their columns (length, count, mandatory) is tried on every golden message, so that neither the
// decoders nor the document can change alone. Then sizes: what fits into one datagram.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "libntm/base/text.hpp"
#include "libntm/wire/control.hpp"
#include "tests/vectors/golden_file.hpp"
#include "tests/vectors/wire_cases.hpp"

namespace ntm::wire {
namespace {

using tests::GoldenCase;

// ---- the document ------------------------------------------------------------------------------

struct Row {
  std::string name;
  std::set<std::size_t> lengths;  // empty when it is a range
  std::size_t count = 1;
  bool mandatory = false;
};
using Table = std::map<Byte, Row>;

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out;
  for (std::size_t at = 2; at < line.size();) {
    std::size_t end = line.find(" |", at);
    if (end == std::string::npos) break;
    out.push_back(line.substr(at, end - at));
    at = end + 3;
  }
  return out;
}

Row row_of(const std::vector<std::string>& cell) {
  Row row;
  row.name = cell[1];
  if (cell[3].find('-') == std::string::npos) {
    std::string digits;
    for (char c : cell[3] + " ") {
      if (c >= '0' && c <= '9') {
        digits += c;
      } else if (!digits.empty()) {
        row.lengths.insert(std::stoul(digits));
        digits.clear();
      }
    }
  }
  if (cell[4].starts_with("up to ")) row.count = std::stoul(cell[4].substr(6));
  else EXPECT_EQ(cell[4], "once");
  row.mandatory = cell[5] == "yes";
  return row;
}

std::map<Byte, Table> documented() {
  std::map<Byte, Table> out;
  std::ifstream file(NTM_SOURCE_DIR "/docs/PROTOCOL-MESSAGES.md");
  Byte kind = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) kind = 0;
    if (line.starts_with("## 0x"))
      kind = static_cast<Byte>(std::stoul(line.substr(5, 2), nullptr, 16));
    std::vector<std::string> cell = cells(line);
    if (kind == 0 || cell.size() != 6 || cell[0].find_first_not_of("0123456789") != cell[0].npos)
      continue;
    out[kind][static_cast<Byte>(std::stoul(cell[0]))] = row_of(cell);
  }
  EXPECT_EQ(out.size(), std::variant_size_v<ControlMessage>);
  return out;
}

// ---- messages as lists of TLVs -----------------------------------------------------------------

struct Tlv {
  Byte type = 0;
  Bytes value;
  bool operator==(const Tlv&) const = default;
  auto operator<=>(const Tlv&) const = default;
};
struct Message {
  Byte kind = 0;
  std::vector<Tlv> tlvs;
};

// nullopt when a TLV is cut.
std::optional<Message> split(ByteView bytes) {
  Reader in(bytes);
  Message out;
  out.kind = in.u8();
  while (in.left() > 0) {
    Byte type = in.u8();
    std::size_t length = in.u16();
    out.tlvs.push_back({type, to_bytes(in.bytes(length))});
  }
  if (!in.finish()) return std::nullopt;
  return out;
}
Bytes join(const Message& message) {
  Writer out;
  out.u8(message.kind);
  for (const Tlv& tlv : message.tlvs)
    out.u8(tlv.type).u16(static_cast<std::uint16_t>(tlv.value.size())).bytes(tlv.value);
  return out.take();
}
bool accepted(const Message& message) { return decode_control(join(message)).has_value(); }

class ControlMessages : public ::testing::Test {
 protected:
  void SetUp() override {
    tables_ = documented();
    for (const GoldenCase& one : tests::golden_wire())
      if (one.kind == "control" && one.decodes_like.empty()) {
        golden_.push_back(one);
        messages_[one.name] = split(one.bytes).value();
      }
    ASSERT_GT(messages_.size(), 50u);
  }
  const Row& row(const Message& m, Byte type) { return tables_.at(m.kind).at(type); }

  std::map<Byte, Table> tables_;
  std::vector<GoldenCase> golden_;
  std::map<std::string, Message> messages_;
};

TEST_F(ControlMessages, TheGoldenOnesShowEveryTlvOfTheDocument) {
  std::map<Byte, std::map<Byte, std::size_t>> most;
  for (const std::pair<const std::string, Message>& one : messages_) {
    std::map<Byte, std::size_t> here;
    for (const Tlv& tlv : one.second.tlvs) ++here[tlv.type];
    for (const std::pair<const Byte, std::size_t>& entry : here)
      most[one.second.kind][entry.first] =
          std::max(most[one.second.kind][entry.first], entry.second);
  }
  for (const std::pair<const Byte, Table>& table : tables_)
    for (const std::pair<const Byte, Row>& entry : table.second)
      EXPECT_EQ(most[table.first][entry.first], entry.second.count)
          << int(table.first) << " " << entry.second.name;
}

TEST_F(ControlMessages, OneMoreThanTheCountIsRefused) {
  int tried = 0;
  for (const std::pair<const std::string, Message>& one : messages_) {
    std::map<Byte, std::size_t> here;
    for (const Tlv& tlv : one.second.tlvs) ++here[tlv.type];
    for (const std::pair<const Byte, std::size_t>& entry : here) {
      if (entry.second != row(one.second, entry.first).count) continue;
      Message more = one.second;
      for (const Tlv& tlv : one.second.tlvs)
        if (tlv.type == entry.first && more.tlvs.size() == one.second.tlvs.size())
          more.tlvs.push_back(tlv);
      // Path IDs may not stand twice anyway; a fresh one must be too many too.
      if (more.tlvs.back().value.size() == 8) more.tlvs.back().value[0] ^= 0x80;
      EXPECT_FALSE(accepted(more)) << one.first << " " << row(one.second, entry.first).name;
      ++tried;
    }
  }
  EXPECT_GT(tried, 200);
}

TEST_F(ControlMessages, AMissingTlvIsRefusedExactlyWhenMandatory) {
  for (const std::pair<const std::string, Message>& one : messages_) {
    std::set<Byte> types;
    for (const Tlv& tlv : one.second.tlvs) types.insert(tlv.type);
    for (Byte type : types) {
      Message less = one.second;
      std::erase_if(less.tlvs, [type](const Tlv& tlv) { return tlv.type == type; });
      bool direction = less.kind == 4 && (type == 3 || type == 12);
      bool route = less.kind == 7 && (type == 11 || type == 12 || type == 23);
      bool needed = row(less, type).mandatory || direction || route;
      EXPECT_EQ(accepted(less), !needed) << one.first << " " << row(less, type).name;
    }
  }
}

TEST_F(ControlMessages, OnlyTheLengthsOfTheDocumentAreAccepted) {
  for (const std::pair<const std::string, Message>& one : messages_) {
    for (std::size_t i = 0; i < one.second.tlvs.size(); ++i) {
      const Row& known = row(one.second, one.second.tlvs[i].type);
      if (known.lengths.empty()) continue;
      for (std::size_t length = 0; length < 130; ++length) {
        if (known.lengths.contains(length)) continue;
        Message other = one.second;
        other.tlvs[i].value.resize(length);
        EXPECT_FALSE(accepted(other)) << one.first << " " << known.name << " " << length;
      }
    }
  }
}

TEST_F(ControlMessages, PaddingAndUnknownLowTypesChangeNothingAnywhere) {
  std::map<std::string, ControlMessage> values = tests::control_cases();
  for (const std::pair<const std::string, Message>& one : messages_) {
    Byte first_unknown = static_cast<Byte>(tables_.at(one.second.kind).rbegin()->first + 1);
    for (std::size_t at = 0; at <= one.second.tlvs.size(); ++at) {
      for (Tlv extra : {Tlv{0, {}}, Tlv{0, Bytes(70, 9)}, Tlv{first_unknown, {}},
                        Tlv{0x7f, Bytes(3, 1)}}) {
        Message more = one.second;
        for (int twice = 0; twice < 2; ++twice)
          more.tlvs.insert(more.tlvs.begin() + static_cast<std::ptrdiff_t>(at), extra);
        Result<ControlMessage> decoded = decode_control(join(more));
        ASSERT_TRUE(decoded) << one.first << " " << int(extra.type) << " at " << at;
        EXPECT_TRUE(*decoded == values.at(one.first)) << one.first;
      }
    }
  }
}

TEST_F(ControlMessages, UnknownHighTypesAreRefusedAnywhere) {
  for (const std::pair<const std::string, Message>& one : messages_) {
    for (std::size_t at = 0; at <= one.second.tlvs.size(); ++at) {
      for (int type = 0x80; type < 0x100; type += at == 0 ? 1 : 0x7f) {
        Message more = one.second;
        more.tlvs.insert(more.tlvs.begin() + static_cast<std::ptrdiff_t>(at),
                         Tlv{static_cast<Byte>(type), {}});
        EXPECT_FALSE(accepted(more)) << one.first << " " << type << " at " << at;
      }
    }
  }
}

TEST_F(ControlMessages, TheOrderOfTypesDoesNotCount) {
  std::map<std::string, ControlMessage> values = tests::control_cases();
  for (const std::pair<const std::string, Message>& one : messages_) {
    Message turned = one.second;
    // Stable: the order within one type does count.
    std::stable_sort(turned.tlvs.begin(), turned.tlvs.end(),
                     [](const Tlv& a, const Tlv& b) { return a.type > b.type; });
    Result<ControlMessage> decoded = decode_control(join(turned));
    ASSERT_TRUE(decoded) << one.first;
    EXPECT_TRUE(*decoded == values.at(one.first)) << one.first;
  }
}

TEST_F(ControlMessages, UnknownKindsAreRefused) {
  Bytes bytes = golden_.front().bytes;
  for (int kind = 0; kind < 256; ++kind) {
    if (tables_.contains(static_cast<Byte>(kind))) continue;
    bytes[0] = static_cast<Byte>(kind);
    EXPECT_FALSE(decode_control(bytes)) << kind;
  }
  EXPECT_FALSE(decode_control({}));
}

TEST_F(ControlMessages, EveryCutInsideATlvIsRefused) {
  for (const GoldenCase& one : golden_)
    for (std::size_t size = 1; size < one.bytes.size(); ++size) {
      ByteView cut = ByteView(one.bytes).first(size);
      if (split(cut)) continue;  // between two TLVs: the mandatory ones decide, see above
      EXPECT_FALSE(decode_control(cut)) << one.name << " cut to " << size;
    }
}

// ---- flipped bits ------------------------------------------------------------------------------

Bytes lowered(Bytes bytes) {
  for (Byte& b : bytes)
    if (b >= 'A' && b <= 'Z') b += 32;
  return bytes;
}
bool all_zero(const Bytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](Byte b) { return b == 0; });
}
bool has(const Message& message, const Tlv& wanted) {
  return std::any_of(message.tlvs.begin(), message.tlvs.end(), [&wanted](const Tlv& tlv) {
    return tlv.type == wanted.type && lowered(tlv.value) == lowered(wanted.value);
  });
}

// A TLV message may be written in more than one way, so "the same bytes" is said TLV by TLV:
// nothing understood is lost, nothing is made up but zeros.
void expect_understood(const Message& read, const Message& written, const Table& table,
                       const std::string& what) {
  for (const Tlv& tlv : read.tlvs) {
    if (tlv.type == 0 || (!table.contains(tlv.type) && tlv.type < 0x80)) continue;
    EXPECT_TRUE(has(written, tlv) || all_zero(tlv.value)) << what << " lost " << int(tlv.type);
  }
  for (const Tlv& tlv : written.tlvs)
    EXPECT_TRUE(has(read, tlv) || all_zero(tlv.value)) << what << " made up " << int(tlv.type);
}

TEST_F(ControlMessages, EveryFlippedBitIsRefusedOrUnderstood) {
  int accepted_count = 0;
  int refused = 0;
  for (const GoldenCase& one : golden_) {
    for (std::size_t bit = 0; bit < one.bytes.size() * 8; ++bit) {
      Bytes bytes = one.bytes;
      bytes[bit / 8] ^= static_cast<Byte>(0x80 >> (bit % 8));
      Result<ControlMessage> decoded = decode_control(bytes);
      ++(decoded ? accepted_count : refused);
      if (!decoded) continue;
      std::string what = one.name + " bit " + std::to_string(bit);
      Bytes again = encode(*decoded);
      if (again == bytes) continue;
      std::optional<Message> read = split(bytes);
      ASSERT_TRUE(read) << what;
      expect_understood(*read, split(again).value(), tables_.at(bytes[0]), what);
      Result<ControlMessage> second = decode_control(again);
      ASSERT_TRUE(second) << what;
      EXPECT_TRUE(*second == *decoded) << what;
    }
  }
  EXPECT_GT(accepted_count, 1000);
  EXPECT_GT(refused, 1000);
}

// ---- values ------------------------------------------------------------------------------------

TEST_F(ControlMessages, ValuesOutsideTheirEnumerationAreRefused) {
  struct Case {
    const char* name;
    Byte type;
    std::size_t at;    // of the value's byte
    Byte last;         // greatest value that is known
  };
  const Case cases[] = {
      {"control/keep_alive_minimal", 2, 0, 3},
      {"control/registration_request_full", 3, 0, 7},
      {"control/registration_request_full", 4, 0, 3},
      {"control/registration_response_full", 1, 0, 13},
      {"control/registration_response_full", 4, 0, 2},
      {"control/direction_request_full", 5, 0, 3},
      {"control/relay_response_full", 2, 0, 13},
      {"control/route_direction_full", 8, 0, 1},
      {"control/route_direction_full", 12, 24, 1},
      {"control/route_direction_full", 19, 0, 2},
      {"control/route_direction_full", 20, 0, 3},
      {"control/route_ack_full", 2, 0, 13},
      {"control/direction_error_status_0", 2, 0, 13},
      {"control/path_revoke_full", 4, 0, 3},
      {"control/relay_attach_full", 7, 0, 1},
      {"control/relay_attach_response_full", 1, 0, 13},
  };
  for (const Case& one : cases) {
    for (int value = 0; value < 256; ++value) {
      Message message = messages_.at(one.name);
      for (Tlv& tlv : message.tlvs)
        if (tlv.type == one.type) tlv.value[one.at] = static_cast<Byte>(value);
      EXPECT_EQ(accepted(message), value <= one.last)
          << one.name << " " << int(one.type) << " " << value;
    }
  }
}

TEST_F(ControlMessages, PathIdsAreNeverZeroAndLegsHaveAFamily) {
  struct Case {
    const char* name;
    Byte type;
  };
  for (const Case& one : {Case{"control/direction_request_full", 6},
                          Case{"control/relay_direction_minimal", 2},
                          Case{"control/route_direction_full", 5},
                          Case{"control/route_direction_full", 6},
                          Case{"control/route_direction_full", 12},
                          Case{"control/route_direction_full", 21},
                          Case{"control/path_revoke_minimal", 3}}) {
    Message message = messages_.at(one.name);
    for (Tlv& tlv : message.tlvs)
      if (tlv.type == one.type) std::fill_n(tlv.value.begin(), 8, Byte{0});
    EXPECT_FALSE(accepted(message)) << one.name << " " << int(one.type);
  }
  for (int family = 0; family < 256; ++family) {
    Message message = messages_.at("control/relay_direction_minimal");
    message.tlvs[2].value[16] = static_cast<Byte>(family);
    EXPECT_EQ(accepted(message), family == 4 || family == 6) << family;
  }
}

TEST_F(ControlMessages, APathOfARelayDirectionStandsOnce) {
  Message message = messages_.at("control/relay_direction_minimal");
  message.tlvs.push_back(message.tlvs[1]);
  EXPECT_FALSE(accepted(message));
  message.tlvs.back().value[7] ^= 1;
  EXPECT_TRUE(accepted(message));
}

TEST_F(ControlMessages, HostBitsOfAPrefixAreZero) {
  Message message = messages_.at("control/registration_response_full");
  for (Tlv& tlv : message.tlvs)
    if (tlv.type == 8) tlv.value.back() = 1;
  EXPECT_FALSE(accepted(message));
  message = messages_.at("control/registration_response_full");
  for (Tlv& tlv : message.tlvs)
    if (tlv.type == 8) tlv.value[0] = 129;
  EXPECT_FALSE(accepted(message));
}

TEST_F(ControlMessages, ObservedAddressesAreOfTheirFamily) {
  Message message = messages_.at("control/route_ack_full");
  for (Tlv& tlv : message.tlvs)
    if (tlv.type == 4 || tlv.type == 5) tlv.type = static_cast<Byte>(9 - tlv.type);
  EXPECT_FALSE(accepted(message));
}

TEST_F(ControlMessages, TextAndRdataHaveTheirLimits) {
  struct Case {
    const char* name;
    Byte type;
    std::size_t least;
    std::size_t most;
  };
  for (const Case& one : {Case{"control/route_direction_full", 9, 0, 120},
                          Case{"control/direction_request_full", 8, 1, 400},
                          Case{"control/direction_request_full", 9, 1, 400}}) {
    for (std::size_t size : {std::size_t{0}, one.least, one.most, one.most + 1}) {
      Message message = messages_.at(one.name);
      for (Tlv& tlv : message.tlvs)
        if (tlv.type == one.type) tlv.value.assign(size, 'x');
      EXPECT_EQ(accepted(message), size >= one.least && size <= one.most)
          << one.name << " " << size;
    }
  }
}

}  // namespace
}  // namespace ntm::wire
