// What the store keeps, as values without SQL: zones, ordinary record rows, terminals, their one
// location row, enrolment tokens, relays, pinned peer DCs.
//
// A terminal's A, AAAA, NTMv4 and NTMv6 records exist nowhere: they are derived from its location
// row when somebody asks (docs/ARCHITECTURE.md, The DC), so a move of a terminal writes one row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/base/time.hpp"

namespace ntm::store {

// 64-bit ids come from the caller (16 bits node, 48 bits counter of a leased block).
using TerminalId = Id64<struct TerminalIdTag>;
using RelayId = Id64<struct RelayIdTag>;
// PowerDNS sees zone ids as int: positive 31-bit numbers from leased blocks.
struct ZoneId {
  std::int32_t value = 0;
  auto operator<=>(const ZoneId&) const = default;
};

enum class ZoneKind : std::uint8_t { Native = 0, Primary = 1, Secondary = 2 };
const char* to_string(ZoneKind kind);

// Whether DCs of other zones are believed (docs/PROTOCOL.md, DC to DC).
enum class PeerPolicy : std::uint8_t { Tofu = 0, Dnssec = 1, Closed = 2 };
const char* to_string(PeerPolicy policy);

// What A/AAAA of a terminal behind NAT show to ordinary hosts.
enum class PublishBehindNat : std::uint8_t { None = 0, Outside = 1 };

struct Zone {
  ZoneId id;
  Name apex;
  ZoneKind kind = ZoneKind::Native;
  std::uint32_t serial = 1;
  std::uint64_t generation = 1;  // grows with every change of the zone's ordinary rows
  bool has_terminals = true;     // false: a plain zone that we only serve
  PeerPolicy peer_policy = PeerPolicy::Tofu;
  PublishBehindNat publish = PublishBehindNat::None;
  std::optional<Prefix> virtual6;      // ULA /48 (RFC 4193)
  std::vector<Prefix> pools4;          // virtual IPv4, normally one /20 of 198.18.0.0/15
  std::vector<Endpoint> dc_endpoints;  // where this zone's director listens, both families
  PublicKey dc_key;                    // current
  std::optional<PublicKey> dc_next_key;
  bool operator==(const Zone&) const = default;
};

// An ordinary row. The SOA is one too; its serial field is overwritten with Zone::serial.
struct Record {
  Name name;
  std::uint16_t type = 0;  // 0 = empty non-terminal
  std::uint32_t ttl = 0;
  Bytes rdata;  // wire form, uncompressed names
  bool auth = true;
  bool disabled = false;
  std::optional<std::string> ordername;
  bool operator==(const Record&) const = default;
};

// Name, key and virtual addresses: written once, when the terminal is created and enrolled.
struct Terminal {
  TerminalId id;
  ZoneId zone;
  Name name;
  VirtualAddresses virtual_addresses;
  std::optional<PublicKey> key;  // none until enrolled
  std::optional<PublicKey> next_key;
  WallTime created;
  bool operator==(const Terminal&) const = default;
};

// Where a terminal is, per family. The row changes with every move and nothing else does.
struct FamilyLocation {
  IpAddress real;     // the address on the terminal's interface; unspecified = not on this family
  std::uint16_t real_port = 0;
  Endpoint outside;   // what the DC saw; equal to real when there is no NAT
  bool behind_nat = false;
  bool operator==(const FamilyLocation&) const = default;
};

enum LocationFlags : std::uint8_t {
  kLocationPrivate = 0x40,    // real addresses only by Route Direction, never in DNS
  kLocationRelayOnly = 0x20,
  kLocationUpdating = 0x10,
  kLocationOffline = 0x01,    // left, or lease ended: NTM records stay with real address zero
};

struct Location {
  TerminalId terminal;
  std::uint64_t counter = 0;       // the terminal's reg-counter; only a greater one replaces
  std::array<Byte, 32> digest{};   // of the registration; equal counter and digest = the same again
  std::uint8_t flags = 0;
  std::uint16_t suites = 0;        // bit 0: suite 0x01, bit 1: suite 0x02
  FamilyLocation v4;
  FamilyLocation v6;
  WallTime updated;
  bool operator==(const Location&) const = default;
};

enum class TokenPurpose : std::uint8_t { Terminal = 0, Relay = 1 };

// An enrolment token as stored: never the secret, only the PSK derived from it (protocol S2).
struct Token {
  TokenId id;
  TokenPurpose purpose = TokenPurpose::Terminal;
  Name subject;  // the terminal's or relay's name
  Key32 psk;
  WallTime expires;
  std::uint32_t uses_left = 1;
  bool operator==(const Token&) const = default;
};

struct Relay {
  RelayId id;
  Name name;
  std::optional<PublicKey> key;  // none until enrolled
  bool drained = false;
  bool operator==(const Relay&) const = default;
};

// The key first seen (tofu) or configured (closed) for another owner's DC.
struct PeerDc {
  Name zone;
  PublicKey key;
  bool listed = false;  // by the administrator, for `closed`
  WallTime first_seen;
  bool operator==(const PeerDc&) const = default;
};

}  // namespace ntm::store
