// The paper's NTMv4 and NTMv6 records (2.2, 4.2) as RDATA: where a terminal is, its virtual
// address, its DC, and beyond the paper the keys that make a tunnel possible without asking again.
//
// Problem: a name must tell a stranger everything that Direction Request needs in one DNS answer,
// and still be readable by a later version: fixed fields first, then TLVs, unknown ones skipped.
//
//  0         1        2                      address    port        address
// +---------+--------+----------------------+----------+-------------------------+
// | version | flags  | real address (4|16)  | real port| virtual address (4|16)  |
// +---------+--------+----------------------+----------+-------------------------+
// | NAT-outside address 4, port 2 (NTMv4)   | DC address (4|16)  | DC port       |
// +-----------------------------------------+--------------------+---------------+
// | TLVs: type u8, length u16, value ...                                          |
// +-------------------------------------------------------------------------------+
// All integers big-endian, names uncompressed. An address that is not known, not published or of
// a family that the terminal does not have is all zero, and so is its port. docs/PROTOCOL.md 1.
#pragma once

#include <optional>
#include <string>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/result.hpp"

namespace ntm::wire {

// Private-use types (RFC 6895). 65400-65402 are taken inside PowerDNS.
constexpr std::uint16_t kTypeNtmV4 = 65341;
constexpr std::uint16_t kTypeNtmV6 = 65342;

constexpr std::uint8_t kNtmRecordVersion = 1;
// A record of version 1 with every TLV and the longest name has 461 bytes; anything longer than
// this is refused before it is read, so that a stranger's answer can't make us keep more.
constexpr std::size_t kMaxNtmRecord = 1024;

// Bits 3-0 are reserved: sent as zero, ignored when read.
enum NtmRecordFlags : std::uint8_t {
  kNtmBehindNat = 0x80,
  kNtmPrivate = 0x40,    // real addresses are zero: they reach peers only by Route Direction
  kNtmRelayOnly = 0x20,  // the terminal is reached through a relay only
  kNtmUpdating = 0x10,   // the terminal is moving; ask again soon
};

enum class NtmRecordTlv : std::uint8_t {
  TerminalKey = 0x01,      // 32: X25519 key, current
  TerminalNextKey = 0x02,  // 32: the key that will follow
  Suites = 0x03,           // 2: bit 0 = suite 0x01, bit 1 = suite 0x02
  DcName = 0x04,           // apex of the zone whose DC serves the terminal, wire form
  DcKey = 0x05,            // 32: that DC's key, current
  DcNextKey = 0x06,        // 32
  PolicyHints = 0x07,      // 1: below; later versions may append, so longer is not an error
};
const char* to_string(NtmRecordTlv type);

// What the zone's DC demands of other zones' DCs, so that a terminal which can't fulfil it need
// not ask. A hint only: the DC decides. Unknown bits are ignored.
enum NtmPolicyHints : std::uint8_t {
  kNtmHintClosed = 0x01,  // only zones that the administrator listed
  kNtmHintDnssec = 0x02,  // only zones whose DC key is DNSSEC-secure
};

struct NtmRecord {
  Family family = Family::V4;  // which of the two types this is
  std::uint8_t version = kNtmRecordVersion;
  std::uint8_t flags = 0;
  Endpoint real;
  IpAddress virtual_address;
  Endpoint nat_outside;  // NTMv4 only
  Endpoint dc;
  std::optional<PublicKey> terminal_key;
  std::optional<PublicKey> terminal_next_key;
  std::uint16_t suites = 0;  // zero: the TLV is absent
  std::optional<Name> dc_name;
  std::optional<PublicKey> dc_key;
  std::optional<PublicKey> dc_next_key;
  std::optional<std::uint8_t> policy_hints;
  bool operator==(const NtmRecord&) const = default;

  // Every address field of `family`, all zero.
  static NtmRecord empty(Family family);
  // False for an offline terminal, a family that it is not on, and a private one.
  bool has_real() const { return real.is_set(); }
};

constexpr std::uint16_t type_of(Family family) {
  return family == Family::V4 ? kTypeNtmV4 : kTypeNtmV6;
}

// The addresses must be of the record's family.
Bytes encode(const NtmRecord& record);
// Errors: another version, too short, a TLV that overruns or ends with bytes left over, the same
// TLV twice, a known TLV of wrong length or a DC name that is no name.
Result<NtmRecord> decode_ntm_record(Family family, ByteView rdata);

// One line for people: "NTMv4 version=1 flags=behind-nat real=10.0.0.2:40000 virtual=198.18.0.7
// outside=203.0.113.9:40000 dc=... key=... suites=1,2 zone=example.org dc_key=... policy=closed".
// Absent fields are left out; an all-zero real address reads "real=none".
std::string to_string(const NtmRecord& record);

}  // namespace ntm::wire
