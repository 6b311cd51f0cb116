// The relay table (paper 4.3, figure 6): which legs belong together, where each leg is, and who may
// be sent how much.
//
// An entry is made only by an attached DC's Relay Direction. A leg's address is learned only from a
// Tunnel Request whose MAC under that leg's K_leg is right and whose counter is newer than any
// before: nothing in a message ever says "send there". Until the challenge came back from that
// address the leg is unvalidated and gets at most 3 x what it sent, plus the credit that its last
// validated address had earned (RFC 8046 5.6). Answers are never longer than the request.
//
//   leg state    event                                   next       sends
//   ---------    -----                                   ----       -----
//   Absent       authentic request                       Pending    RES pending, challenge
//   Pending      request echoes our challenge            Valid      RES pending | ready
//   Valid        request from the same address           Valid      RES (consent refreshed)
//   Valid        request from another address            Pending    RES pending | ready, challenge
//   any          kConsentFor without a request           Silent     (datapath stops sending to it)
//   Silent       authentic request                       Pending/Valid as above
//   both legs up (Pending or better)                     -          RES ready to both legs, once
//   any          kForgetAfter silence of both, lifetime  entry gone
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "libntm/base/random.hpp"
#include "libntm/base/time.hpp"
#include "libntm/datapath/event.hpp"
#include "libntm/wire/control.hpp"
#include "libntm/wire/framing.hpp"
#include "relay/engine/effect.hpp"

namespace ntm::relay {

constexpr Duration kConsentFor = seconds(30);    // RFC 7675; docs/PROTOCOL.md 6
constexpr Duration kForgetAfter = seconds(120);  // both legs silent
constexpr Duration kMaxLifetime = seconds(24 * 3600);
// 20,000 entries x about 700 bytes (two legs, four indexed Path IDs) = 14 MB: what one DC may take.
constexpr std::size_t kDefaultMaxEntries = 20'000;
// Bytes that a moved leg may get at once before its new address is validated.
constexpr std::uint32_t kMaxMoveCredit = 256 * 1024;
constexpr std::uint32_t kBytesPerRequest = 3 * wire::kTunnelRequestSize;

// Sources that a leg may never have; private ones only where the configuration allows them.
bool acceptable_source(const Endpoint& from, bool allow_private);

struct LegSnapshot {
  std::optional<datapath::Outer> outer;
  bool validated = false;
  bool consent = false;
};
struct EntrySnapshot {
  PathId path;
  std::string owner;
  LegSnapshot a;
  LegSnapshot b;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

class EntryTable {
 public:
  EntryTable(std::size_t max_entries, bool allow_private, Random& random);
  ~EntryTable();

  // Makes, refreshes or (lifetime 0) deletes an entry for the DC `owner`.
  wire::Status direct(Instant now, const std::string& owner, const wire::RelayDirection& direction,
                      std::vector<Effect>& effects);

  enum class RequestResult : std::uint8_t { Handled, UnknownPath, Refused };
  // A TUNNEL_REQ as it came; `raw` is the whole datagram (its MAC is checked here).
  RequestResult request(Instant now, const datapath::ControlReceived& from,
                        const wire::TunnelMessage& message, std::vector<Effect>& effects);

  void activity(Instant now, const datapath::RelayActivity& activity);
  // Consent and lifetimes.
  void expire(Instant now, std::vector<Effect>& effects);
  Instant next_deadline() const;

  std::size_t size() const { return entries_.size(); }
  bool knows(PathId path) const { return by_path_.count(path) != 0; }
  const std::string* owner_of(PathId path) const;
  std::vector<EntrySnapshot> snapshot() const;
  std::uint64_t forged() const { return forged_; }

 private:
  struct LegState {
    Key16 key;
    Family family = Family::V4;
    std::optional<datapath::Outer> outer;
    std::uint64_t last_counter = 0;
    std::uint64_t our_counter = 0;
    std::uint64_t our_challenge = 0;
    std::uint64_t peer_challenge = 0;
    PathId last_path;  // the Path ID it asked with: answers name the same
    Instant last_request;
    bool validated = false;
    bool consent = false;
    bool ready_sent = false;
    std::uint32_t credit = 0;
  };
  struct Entry {
    std::uint64_t id = 0;
    std::string owner;
    std::vector<PathId> paths;
    // Path IDs of the pair's older entry: when both legs of this one are up its data comes here,
    // because what was sent under the old keys is sent again over the new legs (handover).
    std::vector<PathId> adopts;
    bool data_elsewhere = false;  // a younger entry adopted ours: only Tunnel Requests stay
    std::array<LegState, 2> legs;
    Bytes message2;        // from CN's Tunnel Request, handed to MN
    Instant made;
    Instant ends;
    std::uint32_t kbit_per_second = 0;
    std::uint32_t packets_per_second = 0;
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
  };

  Entry* find(PathId path);
  bool authentic(const LegState& leg, const wire::TunnelMessage& message, ByteView raw) const;
  void bind_leg(Instant now, LegState& leg, const datapath::ControlReceived& from,
                const wire::TunnelMessage& message);
  void answer(Entry& entry, wire::Leg which, bool ready, std::vector<Effect>& effects);
  void adopt(Entry& entry, std::vector<Effect>& effects);
  void announce(const Entry& entry, std::vector<Effect>& effects) const;
  void remove(std::uint64_t id, std::vector<Effect>& effects);
  Instant deadline_of(const Entry& entry) const;
  void reschedule(Entry& entry);

  std::size_t max_entries_;
  bool allow_private_;
  Random& random_;
  std::uint64_t next_id_ = 1;
  std::uint64_t forged_ = 0;
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::unordered_map<PathId, std::uint64_t> by_path_;
  std::map<std::pair<Instant, std::uint64_t>, bool> deadlines_;
  std::unordered_map<std::uint64_t, Instant> deadline_of_id_;
};

}  // namespace ntm::relay
