// DNS messages as far as a stub needs them (RFC 1035 4, RFC 6891): reading header, question,
// records and EDNS of a message without changing it, and writing queries and answers.
//
// Own and small on purpose: what is passed through keeps its bytes, so no library may re-encode it.
// Names may be compressed; a pointer must go backwards, so reading always ends.
#pragma once

#include <optional>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/result.hpp"

namespace ntm::terminal::dns {

enum Type : std::uint16_t {
  kTypeA = 1,
  kTypeNs = 2,
  kTypeCname = 5,
  kTypeSoa = 6,
  kTypePtr = 12,
  kTypeAaaa = 28,
  kTypeOpt = 41,
  kTypeRrsig = 46,
  kTypeSvcb = 64,
  kTypeHttps = 65,
  kTypeAny = 255,
};
constexpr std::uint16_t kClassIn = 1;

enum Rcode : std::uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
};

constexpr std::size_t kDnsHeader = 12;
constexpr std::size_t kMaxMessage = 65535;
constexpr std::uint16_t kUdpPayload = 1232;  // what we announce; no fragments

struct Flags {
  bool response = false;
  std::uint8_t opcode = 0;
  bool authoritative = false;
  bool truncated = false;
  bool recursion_desired = false;
  bool recursion_available = false;
  bool authentic_data = false;
  bool checking_disabled = false;
  std::uint8_t rcode = 0;
  bool operator==(const Flags&) const = default;
};

struct Question {
  Name name;
  std::uint16_t type = 0;
  std::uint16_t klass = kClassIn;
  bool operator==(const Question&) const = default;
};

enum class Section : std::uint8_t { Answer, Authority, Additional };

struct Record {
  Section section = Section::Answer;
  Name owner;
  std::uint16_t type = 0;
  std::uint16_t klass = kClassIn;
  std::uint32_t ttl = 0;
  std::size_t start = 0;         // of the record in the message
  std::size_t rdata_offset = 0;
  std::size_t rdata_length = 0;
};

struct Edns {
  std::uint16_t udp_payload = 512;
  bool dnssec_ok = false;
  std::uint8_t version = 0;
  std::uint8_t extended_rcode = 0;
};

// A message that was read; `bytes` is the original.
struct Message {
  std::uint16_t id = 0;
  Flags flags;
  std::vector<Question> questions;
  std::size_t question_end = kDnsHeader;
  std::vector<Record> records;
  std::optional<Edns> edns;
  Bytes bytes;

  ByteView rdata(const Record& record) const {
    return ByteView(bytes).subspan(record.rdata_offset, record.rdata_length);
  }
  // The domain name that is the whole RDATA (CNAME, PTR), decompressed.
  Result<Name> rdata_name(const Record& record) const;
};
// Invalid: shorter than a header, counts that do not fit, names or records that overrun.
Result<Message> read_message(ByteView bytes);
// Of a response only the header and question: enough to match it to its query.
Result<Message> read_head(ByteView bytes);

std::uint16_t message_id(ByteView bytes);                    // bytes.size() >= 2
void set_message_id(Bytes& bytes, std::uint16_t id);

// A recursive query with EDNS.
Bytes make_query(std::uint16_t id, const Name& name, std::uint16_t type, bool dnssec_ok = false);
// The same query for another type; it must have exactly one question.
Result<Bytes> with_type(const Message& query, std::uint16_t type);

// ---- answers -------------------------------------------------------------------------------

// RFC 8914 extended DNS errors that the stub uses.
enum class ExtendedError : std::uint16_t {
  None = 0xffff,
  ForgedAnswer = 4,
  DnssecBogus = 6,
  Blocked = 15,
  NoReachableAuthority = 22,
};

struct NewRecord {
  Name owner;
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;
  Bytes rdata;
};
struct Answer {
  std::uint8_t rcode = kNoError;
  bool authentic_data = false;
  std::vector<NewRecord> records;
  ExtendedError error = ExtendedError::None;  // told only to who speaks EDNS
};
// The answer to `query`: same id and question, RD copied, RA set.
Bytes make_answer(const Message& query, const Answer& answer);

// The message cut to at most `limit` bytes with TC set: header and question only.
Bytes truncated(const Message& query, const Answer& answer);

}  // namespace ntm::terminal::dns
