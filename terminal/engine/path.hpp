// One path of a tunnel: the end-to-end handshake of one Route Direction, the addresses that are
// tried, and where the path goes now (paper 4.3, docs/PROTOCOL.md 3.5-3.9, 4, 5).
//
//   Opening   the initiator waits for message 2
//   Keyed     both ends could have the keys; no outer address answered yet, or (responder) the
//             initiator has not shown that it holds them
//   Up        usable: keys confirmed and an outer address answered
//   Lost      nothing answers any more; kept while a replacement is made
//   Closing   replaced; still receives until remove_at
//
//   | state   | event                                             | next    | effect              |
//   |---------|---------------------------------------------------|---------|---------------------|
//   | Opening | message 2 in a REQ (direct) or RES (direct, relay)| Up      | PutPath, keep-alive |
//   | Keyed   | confirm in a RES, or PathConfirmed                | Up      | UseEpoch / MovePath |
//   | Keyed   | relay says ready, no other path of the tunnel up  | Keyed   | MovePath, early DATA|
//   | Opening, Keyed | all candidates silent                      | Lost    | failed              |
//   | Up      | RES of a better candidate                         | Up      | MovePath            |
//   | Up      | REQ(handover), newest counter                     | Up      | MovePath + credit   |
//   | Up      | probes or consent unanswered                      | Lost    | lost                |
//   | Lost    | the relay says ready                              | Lost    | MovePath, probes    |
//   | Lost    | the peer is heard                                 | Up      | MovePath            |
//   | any     | replaced                                          | Closing |                     |
//
// A candidate is one outer address (from one local address) that is tried by Tunnel Requests:
// authentic first wins; direct beats relay; a new local address beats the old one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libntm/crypto/key_schedule.hpp"
#include "libntm/crypto/noise.hpp"
#include "libntm/exchange/requests.hpp"
#include "terminal/engine/context.hpp"
#include "terminal/engine/rekey.hpp"

namespace ntm::terminal {

enum class PathState : std::uint8_t { Opening, Keyed, Up, Lost, Closing };
const char* to_string(PathState state);

// Direct targets get 4 tries at 0, 50, 150, 350 ms. A relay gets 6 over about 8 s: by then the DC
// must be asked again, because the peer will have moved or be gone.
constexpr int kTargetTries = 4;
constexpr Duration kTargetFirst = milliseconds(50);
constexpr int kRelayTries = 6;
constexpr Duration kTryMost = seconds(2);
// Direct mode falls back to the relay after max(this, 1.5 RTT) without anything authentic.
constexpr Duration kRelayFallback = milliseconds(300);
// A relayed path tries its targets again at 1, 2, 4 ... 60 s.
constexpr Duration kUpgradeFirst = seconds(1);
constexpr Duration kUpgradeMost = seconds(60);
// Consent of the relay (RFC 7675) and the refreshing of NATs on direct paths.
constexpr Duration kConsentEvery = seconds(15);
// Bytes beyond 3 x received that may go to an address that has not echoed yet: what one round
// trip of 100 ms at 10 Mbit/s carries, so that a download does not stand still at a handover.
constexpr std::uint32_t kRoamCredit = 128 * 1024;
constexpr std::size_t kMaxCandidates = 8;
// A responder's path that the initiator never used is given up after this, which is longer than the
// initiator tries.
constexpr Duration kConfirmWithin = seconds(15);

struct Candidate {
  datapath::Outer outer;
  bool relay = false;
  bool handover = false;  // says so in its requests
  bool consent = false;   // keeps the relay's leg open: silence means that the path is lost
  bool answered = false;
  bool echo_sent = false;
  std::uint64_t challenge = 0;
  int tries = 0;
  int max_tries = kTargetTries;
  Duration timeout = kTargetFirst;
  Instant next = Instant::never();
  Instant sent;
};

class Path {
 public:
  struct Made {
    datapath::TunnelId tunnel;
    Name own;
    wire::RouteDirection route;
    PublicKey own_key;
  };
  // MN: keeps the Noise state that wrote message 1.
  Path(Context& context, const Made& made, crypto::Suite suite, crypto::Noise noise,
       Bytes message1);
  // CN: message 1 was read; makes message 2 and puts the keys.
  Path(Context& context, const Made& made, crypto::Suite suite, crypto::Noise noise);

  PathId id() const { return route_.path; }
  PathState state() const { return state_; }
  bool usable() const { return state_ == PathState::Up || (state_ == PathState::Keyed && early_); }
  bool has_keys() const { return has_keys_; }  // and the datapath knows the path
  bool is_initiator() const { return initiator_; }
  const PublicKey& initiator_key() const { return initiator_key_; }
  const wire::RouteDirection& route() const { return route_; }
  const std::optional<datapath::Outer>& outer() const { return outer_; }
  bool relayed() const { return relayed_; }
  // Why it goes this way: the DC's words, and what became of them.
  std::string reason() const;
  Instant made() const { return made_; }
  Instant up_since() const { return up_since_; }
  Duration rtt() const { return rtt_.smoothed(); }
  Instant remove_at() const { return remove_at_; }
  const crypto::NoiseOutput& noise_output() const { return output_; }

  // ---- what happens
  // First Tunnel Requests. `may_be_early`: the responder may send before confirmation.
  void start(bool may_be_early);
  // False: not authentic, or not newer than what came before; nothing was changed.
  bool on_request(const wire::TunnelMessage& message, const datapath::ControlReceived& from);
  bool on_response(const wire::TunnelMessage& message, const datapath::ControlReceived& from);
  void on_confirmed(std::uint8_t epoch);
  void on_moved(const datapath::Outer& outer);   // the datapath followed the peer
  void on_silent();
  void on_alive();
  void on_probe_answer(std::uint32_t id, Duration rtt);
  void on_hint(const wire::TunnelHint& hint);
  void on_traffic() { rekey_.on_traffic(); }
  void on_key_worn() { rekey_.on_worn(context_.now); }
  // The machine's addresses changed: announce the path's new outer address (handover fast path).
  void on_addresses();
  void close(Instant remove_at);  // replaced
  void fail(const std::string& why);
  void on_timer();
  Instant next_deadline() const;

  // Since the last call: became Lost, or rekeying needs the DC.
  bool take_lost() { return std::exchange(lost_now_, false); }
  bool take_needs_direction() { return std::exchange(needs_direction_, false); }
  // The outer address changed since the last call (a receive state is due).
  bool take_moved() { return std::exchange(moved_now_, false); }

 private:
  struct MacSide {  // per MAC key: K_pp or K_leg
    Key16 key;
    std::uint64_t last = 0;           // newest counter accepted in a REQ
    std::uint64_t peer_challenge = 0;
  };
  Path(Context& context, const Made& made, crypto::Suite suite, bool initiator);
  // path.cpp: keys and states
  bool take_message2(ByteView message2);
  void install_keys();
  void become_up();
  void adopt(const datapath::Outer& outer, bool relay, bool validated);
  // path_candidates.cpp: who is tried and when
  Candidate* add_candidate(const datapath::Outer& outer, bool relay, bool handover);
  void add_targets(bool handover);
  bool add_relay(bool handover);
  bool is_target(const Endpoint& remote) const;
  bool wants(const Candidate& candidate) const;
  Candidate* find_candidate(const datapath::Outer& outer, bool relay);
  void send_request(Candidate& candidate);
  void send_tunnel_message(wire::TunnelMessage message, const datapath::Outer& to, bool relay);
  void respond(const wire::TunnelMessage& request, const datapath::Outer& to,
               std::uint64_t challenge);
  void answered(Candidate& candidate, const wire::TunnelMessage& message);
  void relay_answered(Candidate& candidate, const wire::TunnelMessage& message);
  void direct_answered(Candidate& candidate, const wire::TunnelMessage& message);
  void echo_once(Candidate& candidate, const wire::TunnelMessage& message);
  void candidate_timers();
  void candidate_silent(Candidate& candidate);
  void check_all_silent();
  void retry_upgrade();
  Bytes blob_for(bool relay, wire::BlobKind& kind) const;
  MacSide& side(bool relay) { return relay ? leg_side_ : peer_side_; }
  // path_liveness.cpp: probes, consent, keep-alives, rekey
  void start_probes(int count);
  void probe_timer();
  void upkeep_timer();
  void lose(const std::string& why);
  void ask_through(const datapath::Outer& relay);
  void start_rekey();
  void on_rekey_request(const wire::TunnelMessage& message, const datapath::ControlReceived& from);
  void on_rekey_response(const wire::TunnelMessage& message);
  void send_rekey();
  void finish_rekey(const crypto::NoiseOutput& output, bool by_us);

  Context& context_;
  datapath::TunnelId tunnel_;
  Name own_;
  wire::RouteDirection route_;
  crypto::Suite suite_;
  bool initiator_;
  PublicKey own_key_;
  PublicKey initiator_key_;
  Instant made_;
  PathState state_ = PathState::Opening;

  std::optional<crypto::Noise> noise_;  // initiator, until message 2
  Bytes message1_;
  Bytes message2_;
  crypto::NoiseOutput output_;
  Key32 exporter_;
  bool has_keys_ = false;
  std::uint8_t epoch_ = 0;
  std::optional<std::uint8_t> waiting_epoch_;  // of a rekey by the peer, until it uses the keys
  bool confirmed_ = false;
  bool early_ = false;
  bool may_be_early_ = false;

  MacSide peer_side_;  // K_pp
  MacSide leg_side_;   // K_leg
  std::uint64_t counter_ = 0;  // of all our REQ and RES of this Path ID

  std::optional<datapath::Outer> outer_;
  bool relayed_ = false;
  Instant up_since_;
  exchange::RttEstimator rtt_;
  std::vector<Candidate> candidates_;
  Instant relay_at_ = Instant::never();    // direct mode: fall-back
  Instant upgrade_at_ = Instant::never();
  Duration upgrade_every_ = kUpgradeFirst;
  Instant upkeep_at_ = Instant::never();
  unsigned relay_families_tried_ = 0;  // bit 0 IPv4, bit 1 IPv6
  Instant confirm_until_ = Instant::never();  // responder: the initiator must have shown its keys

  bool probing_ = false;
  int probes_left_ = 0;
  std::uint32_t probe_id_ = 0;
  Instant probe_at_ = Instant::never();

  Rekey rekey_;
  Instant remove_at_ = Instant::never();
  bool lost_now_ = false;
  bool needs_direction_ = false;
  bool moved_now_ = false;
};

}  // namespace ntm::terminal
