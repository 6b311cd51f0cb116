// The control messages of the paper (4.2-4.5) as values: what a CTRL record, or the payload of a
// Noise message, carries in plaintext.
//
// Form: kind u8, then TLVs (type u8, length u16). Unknown TLVs with the high bit clear are
// skipped, with it set they are an error; a TLV that may stand once and stands twice is an error;
// TLV 0x00 is padding. Decoders are exact and change nothing on failure. docs/PROTOCOL.md,
// "Messages", gives each TLV's number.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/wire/framing.hpp"

namespace ntm::wire {

enum class MessageKind : std::uint8_t {
  KeepAlive = 0x01,
  RegistrationRequest = 0x02,
  RegistrationResponse = 0x03,
  DirectionRequest = 0x04,
  RelayDirection = 0x05,
  RelayResponse = 0x06,
  RouteDirection = 0x07,
  RouteAck = 0x08,
  DirectionError = 0x09,
  PathRevoke = 0x0a,
  RelayAttach = 0x0b,
  RelayAttachResponse = 0x0c,
  RelayStatus = 0x0d,
  PeerName = 0x0e,
};
const char* to_string(MessageKind kind);

enum class Status : std::uint8_t {
  Ok = 0,
  UnknownName = 1,
  Offline = 2,
  Moved = 3,
  Denied = 4,
  NoRelay = 5,
  RelayFull = 6,
  PathIdInUse = 7,
  NoSuite = 8,
  BadKey = 9,
  Stale = 10,
  RateLimited = 11,
  TryLater = 12,
  Version = 13,
};
const char* to_string(Status status);

// Suites as a set: bit 0 = 0x01 (X25519/AES-256-GCM/SHA-256), bit 1 = 0x02 (.../ChaCha20-Poly1305).
using SuiteSet = std::uint16_t;

enum class InterfaceKind : std::uint8_t { Unknown = 0, Ethernet = 1, Wireless = 2, Cellular = 3 };

// One address of the terminal's own interfaces, as the terminal says it.
struct Locator {
  Endpoint endpoint;
  InterfaceKind kind = InterfaceKind::Unknown;
  std::uint16_t metric = 0;  // smaller is better
  bool operator==(const Locator&) const = default;
};
constexpr std::size_t kMaxLocators = 8;

enum class NatVerdict : std::uint8_t { Unknown = 0, None = 1, Behind = 2 };

struct KeepAlive {
  std::uint32_t sequence = 0;
  bool want_echo = false;
  bool is_echo = false;
  // First 4 bytes of SHA-256(address ‖ port) of the source that the DC last saw; a mismatch tells
  // either side that the NAT rebound.
  std::uint32_t observed_hash = 0;
  bool operator==(const KeepAlive&) const = default;
};

struct RegistrationRequest {
  std::uint64_t counter = 0;  // persistent, strictly growing (docs/PROTOCOL.md, Replay)
  Name name;
  bool leaving = false;
  bool private_locators = false;
  bool relay_only = false;
  std::vector<Locator> locators;
  VirtualAddresses virtual_echo;
  SuiteSet suites = 0;
  std::uint32_t capabilities = 0;
  std::optional<PublicKey> next_key;
  std::optional<SessionId> resumes;
  bool operator==(const RegistrationRequest&) const = default;
};
constexpr std::uint32_t kCapabilityPartialSums = 1;  // finishes inner checksums (DATA flag bit 3)

struct RegistrationResponse {
  Status status = Status::Ok;
  std::uint64_t counter = 0;  // the request's; with Stale the stored one
  Endpoint observed;
  NatVerdict nat = NatVerdict::Unknown;  // for the family that the request came over
  VirtualAddresses virtual_addresses;
  Name zone;
  std::optional<Prefix> zone_virtual6;
  std::vector<Prefix> zone_pools4;
  std::uint32_t lease_seconds = 0;
  std::uint32_t keep_alive_seconds = 0;
  std::array<Byte, 16> control_hint_token{};
  std::optional<PublicKey> dc_next_key;
  std::uint64_t time_us = 0;  // wall clock of the DC; information only
  std::vector<Endpoint> dc_endpoints;
  std::vector<Endpoint> relay_hints;
  bool operator==(const RegistrationResponse&) const = default;
};

enum class DirectionReason : std::uint8_t { New = 0, Handover = 1, PathLost = 2, Rekey = 3 };
const char* to_string(DirectionReason reason);

struct DirectionRequest {
  RequestId request;
  Name peer;                                // root when asked by address
  std::optional<IpAddress> peer_address;    // virtual, of an own pool; answered by PeerName
  Name peer_zone;                           // from the peer's record; the DC verifies it
  DirectionReason reason = DirectionReason::New;
  std::optional<PathId> old_path;
  std::vector<Locator> locators;
  Bytes peer_ntm4;  // RDATA as resolved, as in the paper; empty when there is none
  Bytes peer_ntm6;
  std::array<Byte, 8> peer_key_hash{};  // of the key that message 1 was made for
  std::uint8_t suite = 0;
  Bytes message1;  // 112 bytes; empty when asked by address
  bool operator==(const DirectionRequest&) const = default;
};

struct PeerName {  // answer to a Direction Request by address
  RequestId request;
  Name name;
  bool operator==(const PeerName&) const = default;
};

struct RelayLeg {
  Key16 key;  // K_leg
  Family family = Family::V4;
  bool operator==(const RelayLeg&) const = default;
};

struct RelayDirection {
  RequestId request;
  std::vector<PathId> paths;  // every Path ID the pair holds keys for; the first is the new one
  RelayLeg leg_a;             // the MN's
  RelayLeg leg_b;             // the CN's
  std::uint32_t lifetime_seconds = 0;  // zero deletes the entry
  std::uint32_t kbit_per_second = 0;   // zero = the relay's default
  std::uint32_t packets_per_second = 0;
  bool operator==(const RelayDirection&) const = default;
};
constexpr std::size_t kMaxPathsPerPair = 4;

struct RelayResponse {
  RequestId request;
  Status status = Status::Ok;
  std::vector<Endpoint> endpoints;
  bool operator==(const RelayResponse&) const = default;
};

// Where a terminal may send its Tunnel Requests, in order of preference.
struct RelayTarget {
  std::vector<Endpoint> endpoints;  // at most one a family
  PathId path;
  Key16 leg_key;
  Leg leg = Leg::A;
  std::array<Byte, 16> reset_token{};
  bool operator==(const RelayTarget&) const = default;
};

enum class RouteMode : std::uint8_t {
  Direct = 0,      // try the targets at once, the relay when they stay silent
  Relay = 1,       // the relay at once; targets are checked for an upgrade
};
const char* to_string(RouteMode mode);
enum class Role : std::uint8_t { Initiator = 0, Responder = 1 };  // MN, CN of the e2e handshake
enum class DnssecState : std::uint8_t { Unknown = 0, Insecure = 1, Secure = 2 };

struct RouteDirection {
  RequestId request;
  std::uint8_t attempt = 0;  // a replacing one has attempt + 1
  Name to;                   // the terminal that it is for (DC to DC: whom to forward to)
  Role role = Role::Initiator;  // of `to`
  PathId path;
  std::vector<PathId> spares;  // at most 2
  Key32 path_secret;           // CK
  RouteMode mode = RouteMode::Direct;
  std::string reason;          // why this route, for people; at most 120 bytes
  std::vector<Endpoint> targets;  // at most 3
  std::optional<RelayTarget> relay;
  Name peer;
  Name initiator_zone;  // DC_MN's and DC_CN's names, bound into the tunnel's PSK
  Name responder_zone;
  VirtualAddresses peer_virtual;
  PublicKey peer_key;
  DnssecState dnssec = DnssecState::Unknown;
  DirectionReason direction_reason = DirectionReason::New;
  std::optional<PathId> old_path;
  std::uint8_t suite = 0;
  Bytes message1;  // to the responder only
  std::vector<Locator> peer_locators;
  std::uint32_t lifetime_seconds = 0;
  // DC to DC only: grows with every one that this DC ever sent, so that a replayed first message
  // of a handshake does nothing. Zero towards terminals.
  std::uint64_t sender_counter = 0;
  // DC to DC only: the outside addresses at which the plan supposes `to`. Its own DC answers Moved
  // when it knows better; none = the sender knows no place (a private terminal).
  std::vector<Endpoint> planned;
  bool operator==(const RouteDirection&) const = default;
};
constexpr std::size_t kMaxTargets = 3;
constexpr std::size_t kMaxPlanned = 2;
constexpr std::size_t kMaxReasonText = 120;

struct RouteAck {  // from CN to its DC, from DC_CN to DC_MN; also answers Path Revoke
  RequestId request;
  Status status = Status::Ok;
  std::vector<Locator> locators;  // with Moved: where the terminal is now
  std::optional<Endpoint> observed4;  // with Moved: as DC_CN sees it
  std::optional<Endpoint> observed6;
  bool operator==(const RouteAck&) const = default;
};

struct DirectionError {
  RequestId request;
  Status status = Status::UnknownName;
  bool operator==(const DirectionError&) const = default;
};

enum class RevokeReason : std::uint8_t { Policy = 0, KeyChanged = 1, Deleted = 2, Closed = 3 };

struct PathRevoke {
  RequestId request;
  Name to;  // DC to DC: whom to forward to; root otherwise
  std::vector<PathId> paths;
  RevokeReason reason = RevokeReason::Closed;
  bool operator==(const PathRevoke&) const = default;
};

struct RelayAttach {  // relay -> DC, payload of its handshake or a CTRL record
  std::uint64_t counter = 0;
  Name name;
  std::vector<Endpoint> endpoints;  // public, at most one a family
  std::uint32_t capacity = 0;       // entries
  std::uint32_t entries = 0;
  Key32 token_secret;  // HKDF(K_reset, DC): lets the DC compute the relay's reset tokens
  bool leaving = false;
  bool operator==(const RelayAttach&) const = default;
};

struct RelayAttachResponse {
  Status status = Status::Ok;
  std::uint64_t counter = 0;
  Endpoint observed;
  std::uint32_t keep_alive_seconds = 0;
  std::array<Byte, 16> control_hint_token{};
  bool operator==(const RelayAttachResponse&) const = default;
};

struct RelayStatus {  // relay -> DC, on change and with keep-alives
  std::uint32_t entries = 0;
  std::uint32_t capacity = 0;
  std::uint32_t kbit_per_second = 0;
  bool operator==(const RelayStatus&) const = default;
};

using ControlMessage =
    std::variant<KeepAlive, RegistrationRequest, RegistrationResponse, DirectionRequest,
                 RelayDirection, RelayResponse, RouteDirection, RouteAck, DirectionError,
                 PathRevoke, RelayAttach, RelayAttachResponse, RelayStatus, PeerName>;

MessageKind kind_of(const ControlMessage& message);
Bytes encode(const ControlMessage& message);
Result<ControlMessage> decode_control(ByteView plaintext);

}  // namespace ntm::wire
