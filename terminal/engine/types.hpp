// What goes into the terminal's engine and what comes out, as values (architecture R3).
//
// The engine is the whole control plane of a terminal: registration, direction, tunnels, handover
// (docs/PROTOCOL.md 3-6). It touches no socket, clock or file; the service feeds it events with
// the present Instant and performs the effects in the order in which they come.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/time.hpp"
#include "libntm/crypto/suite.hpp"
#include "libntm/crypto/x25519.hpp"
#include "libntm/datapath/change.hpp"
#include "libntm/datapath/event.hpp"
#include "libntm/wire/control.hpp"
#include "libntm/wire/ntm_record.hpp"
#include "libntm/wire/token.hpp"

namespace ntm::terminal {

// ---- what the engine is made with ------------------------------------------------------------

struct Settings {
  Name name;
  Name zone;  // whose DC serves us
  crypto::KeyPair key;
  PublicKey dc_key;
  std::vector<Endpoint> dc_endpoints;
  std::optional<wire::EnrolmentToken> token;  // used until the name is bound to our key
  Key32 reset_secret;                         // K_reset: tokens of TUNNEL_HINT
  crypto::Suite suite = crypto::Suite::AesGcm;
  bool accept_any_zone = false;
  std::set<Name> accept_from;  // foreign zones whose terminals may start a tunnel to us
  std::vector<Prefix> virtual_ranges4 = {{IpAddress(Ipv4{{198, 18, 0, 0}}), 15}};
  std::map<Name, PublicKey> pinned_keys;  // out of band; stronger than everything
  bool private_locators = false;
  bool relay_only = false;
  bool fast_handover = true;  // off: only the paper's procedure (for comparison)
};

// ---- what outlives the process ---------------------------------------------------------------

struct SavedPeer {
  Name zone;
  PublicKey key;
  std::optional<PublicKey> next_key;
  VirtualAddresses virtual_addresses;  // as accepted; leads packets to the name
  bool operator==(const SavedPeer&) const = default;
};
// A foreign zone whose /48 was seen once (docs/PROTOCOL.md 1): 10 KB for the bound of 128 zones.
constexpr std::size_t kMaxZones = 128;
// 4096 peers x about 250 bytes = 1 MB in memory, half of it in the state file.
constexpr std::size_t kMaxPeers = 4096;

struct SavedState {
  std::uint64_t counter_reserved = 0;  // registration counters below this may have been used
  bool enrolled = false;
  VirtualAddresses own;
  std::optional<Prefix> zone_virtual6;
  std::vector<Prefix> zone_pools4;
  std::uint16_t port4 = 0;
  std::uint16_t port6 = 0;
  std::map<Name, SavedPeer> peers;
  std::map<Name, Prefix> zones;  // pinned /48 of foreign zones
  bool operator==(const SavedState&) const = default;
};
// Counters are reserved in blocks, so that the file is written once in 65,536 registrations.
constexpr std::uint64_t kCounterBlock = 1u << 16;

// ---- events ----------------------------------------------------------------------------------

struct LocalAddress {
  IpAddress address;
  std::uint32_t interface = 0;
  std::string interface_name;
  wire::InterfaceKind kind = wire::InterfaceKind::Unknown;
  std::uint32_t metric = 0;  // of the default route over that interface; smaller is better
  bool operator==(const LocalAddress&) const = default;
};

// All addresses that can be used now (not tentative, with a route), and every real on-link or
// routed prefix of the machine, default routes and our own interface left out.
struct AddressesChanged {
  std::vector<LocalAddress> addresses;
  std::vector<Prefix> real_prefixes;
};

struct SocketsOpened {
  datapath::SocketId socket4;
  datapath::SocketId socket6;
  std::uint16_t port4 = 0;  // zero: the family is not to be had
  std::uint16_t port6 = 0;
};

// What DNS said about a name.
struct PeerRecords {
  Name name;  // the last name of a CNAME chain
  std::optional<wire::NtmRecord> v4;
  std::optional<wire::NtmRecord> v6;
  Bytes rdata4;
  Bytes rdata6;
  wire::DnssecState dnssec = wire::DnssecState::Insecure;
  bool bogus = false;   // validation failed: never used, never plain
  bool unasked = false;  // no answer at all
  bool any() const { return v4.has_value() || v6.has_value(); }
};

// A foreign zone's `_ntm._udp` record; no prefix: it has none, or could not be asked.
struct ZoneRecord {
  Name zone;
  std::optional<Prefix> virtual6;
};

// The stub holds an application's question; answered by LookupReady with the same id.
struct LookupWanted {
  std::uint64_t id = 0;
  PeerRecords records;
};
struct PingWanted {
  std::uint64_t id = 0;
  Name name;
};
struct ForgetPeer {
  Name name;
};
// Packets went over this path since the last such event.
struct PathTraffic {
  PathId path;
};
struct Leave {};

// ---- effects ---------------------------------------------------------------------------------

struct SendControl {
  datapath::Outer outer;
  Bytes datagram;
};
// Ask NTMv4 and NTMv6 of this name; answered by the event PeerRecords.
struct QueryPeer {
  Name name;
};
struct QueryZone {
  Name zone;
};
enum class LookupOutcome : std::uint8_t {
  Ready,    // a path is up
  Waiting,  // no path within the time; packets are held
  Refused,  // no path will come: packets are answered by ICMP unreachable
  Failed,   // no address may be used at all; the question is answered by SERVFAIL
};
const char* to_string(LookupOutcome outcome);
struct LookupReady {
  std::uint64_t id = 0;
  LookupOutcome outcome = LookupOutcome::Ready;
  VirtualAddresses addresses;
  std::string reason;
};
struct PingResult {
  std::uint64_t id = 0;
  bool answered = false;
  Duration rtt;
  bool relayed = false;
  Endpoint outer;
  std::string reason;  // when not answered
};
// Write the state. `urgent`: before anything that follows is sent.
struct PersistState {
  SavedState state;
  bool urgent = false;
};
struct ConfigureInterface {
  VirtualAddresses addresses;
  std::vector<Prefix> routes;
};
// One protocol step for the event trace and the log; names in docs/PROTOCOL.md 9.
struct Notify {
  std::string event;
  std::vector<std::pair<std::string, std::string>> fields;
};

using Effect = std::variant<datapath::Change, SendControl, QueryPeer, QueryZone, LookupReady,
                            PingResult, PersistState, ConfigureInterface, Notify>;

// ---- status for people -----------------------------------------------------------------------

struct FamilyStatus {
  Family family = Family::V4;
  bool usable = false;      // an address and a DC address of the family
  bool registered = false;
  IpAddress local;
  std::string interface;
  Endpoint observed;
  wire::NatVerdict nat = wire::NatVerdict::Unknown;
  std::string problem;  // empty when registered
};
struct PathStatus {
  PathId path;
  std::string state;
  bool selected = false;
  bool relayed = false;
  bool initiator = false;
  Endpoint remote;
  IpAddress local;
  Duration rtt;
  std::string reason;  // of the route, as the DC said
  Instant since;
};
struct PeerStatus {
  Name name;
  std::string state;
  VirtualAddresses addresses;
  std::vector<std::string> left_out;  // why a family is missing
  std::vector<PathStatus> paths;
};
struct EngineStatus {
  bool enrolled = false;
  bool session = false;
  Duration dc_rtt;
  VirtualAddresses virtual_addresses;
  std::vector<std::string> left_out;
  std::vector<FamilyStatus> families;
  std::vector<PeerStatus> peers;
};

}  // namespace ntm::terminal
