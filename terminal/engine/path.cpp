// Keys and states of a path; see the table in the header.
#include "terminal/engine/path.hpp"

#include <algorithm>

namespace ntm::terminal {

const char* to_string(PathState state) {
  switch (state) {
    case PathState::Opening: return "opening";
    case PathState::Keyed: return "keyed";
    case PathState::Up: return "up";
    case PathState::Lost: return "lost";
    case PathState::Closing: return "closing";
  }
  return "?";
}

const char* to_string(LookupOutcome outcome) {
  switch (outcome) {
    case LookupOutcome::Ready: return "ready";
    case LookupOutcome::Waiting: return "waiting";
    case LookupOutcome::Refused: return "refused";
    case LookupOutcome::Failed: return "failed";
  }
  return "?";
}

Path::Path(Context& context, const Made& made, crypto::Suite suite, bool initiator)
    : context_(context),
      tunnel_(made.tunnel),
      own_(made.own),
      route_(made.route),
      suite_(suite),
      initiator_(initiator),
      own_key_(made.own_key),
      initiator_key_(initiator ? made.own_key : made.route.peer_key),
      made_(context.now) {
  peer_side_.key = crypto::peer_to_peer_key(route_.path_secret);
  if (route_.relay) leg_side_.key = route_.relay->leg_key;
}

Path::Path(Context& context, const Made& made, crypto::Suite suite, crypto::Noise noise,
           Bytes message1)
    : Path(context, made, suite, true) {
  noise_.emplace(std::move(noise));
  message1_ = std::move(message1);
}

Path::Path(Context& context, const Made& made, crypto::Suite suite, crypto::Noise noise)
    : Path(context, made, suite, false) {
  Key32 psk = crypto::tunnel_psk(route_.path_secret, Key32{}, route_.path, suite_,
                                 route_.initiator_zone, route_.responder_zone);
  Result<Bytes> message2 = answer_end_to_end(context_, noise, psk);
  if (!message2) {
    fail(message2.error().text);
    return;
  }
  message2_ = std::move(*message2);
  output_ = noise.split();
  install_keys();
  state_ = PathState::Keyed;
  confirm_until_ = context_.now + kConfirmWithin;
}

void Path::install_keys() {
  exporter_ = crypto::exporter(output_, suite_);
  datapath::PutPath put;
  put.tunnel = tunnel_;
  put.path = id();
  put.keys = path_keys(output_, suite_, epoch_, initiator_);
  put.outer = outer_;
  context_.change(put);
  has_keys_ = true;
  rekey_.keys_made(context_.now, initiator_);
}

bool Path::take_message2(ByteView message2) {
  if (!initiator_ || !noise_) return false;
  crypto::Noise trial = *noise_;  // a wrong message must not spoil the state
  Key32 psk = crypto::tunnel_psk(route_.path_secret, Key32{}, route_.path, suite_,
                                 route_.initiator_zone, route_.responder_zone);
  Result<Bytes> payload = trial.read_message2(message2, psk);
  if (!payload) return false;
  output_ = trial.split();
  noise_.reset();
  state_ = PathState::Keyed;
  confirmed_ = true;  // only the holder of the peer's key could have made message 2
  install_keys();
  return true;
}

void Path::start(bool may_be_early) {
  may_be_early_ = may_be_early;
  bool direct = route_.mode == wire::RouteMode::Direct;
  if (direct) {
    add_targets(false);
    Duration patience = std::max(kRelayFallback, context_.dc_rtt * 3 / 2);
    if (route_.relay) relay_at_ = context_.now + patience;
    if (candidates_.empty()) relay_at_ = context_.now;
  } else {
    add_relay(false);
    add_targets(false);
  }
  candidate_timers();
}

void Path::become_up() {
  if (state_ == PathState::Up || state_ == PathState::Closing) return;
  if (!confirmed_ || !outer_) return;
  bool first = up_since_.us == 0;
  state_ = PathState::Up;
  up_since_ = context_.now;
  if (early_) context_.change(datapath::UseEpoch{id(), epoch_});
  early_ = false;
  confirm_until_ = Instant::never();
  upkeep_at_ = context_.now + context_.jittered(kConsentEvery);
  // Shows the responder that we hold the keys, also when no application sends first.
  if (initiator_ && first) context_.change(datapath::SendKeepAlive{id()});
  upgrade_every_ = kUpgradeFirst;
  upgrade_at_ = relayed_ && !route_.targets.empty() ? context_.now + upgrade_every_
                                                    : Instant::never();
  context_.note("path_up", {{"peer", route_.peer.text()},
                            {"path", ntm::to_string(id())},
                            {"kind", relayed_ ? "relay" : "direct"},
                            {"remote", ntm::to_string(outer_->remote)},
                            {"first", first ? "yes" : "no"},
                            {"role", initiator_ ? "initiator" : "responder"}});
}

void Path::on_confirmed(std::uint8_t epoch) {
  if (!initiator_ && !confirmed_) {
    confirmed_ = true;
    become_up();
  }
  if (waiting_epoch_ != epoch) return;
  waiting_epoch_.reset();
  context_.change(datapath::UseEpoch{id(), epoch});
}

// Data of this path goes to `outer` from now on.
void Path::adopt(const datapath::Outer& outer, bool relay, bool validated) {
  bool moved = outer_ && (outer_->remote != outer.remote || outer_->local != outer.local);
  if (outer_ == outer && relayed_ == relay && state_ == PathState::Up) return;
  bool changed = relayed_ != relay;
  outer_ = outer;
  relayed_ = relay;
  if (has_keys()) {
    datapath::MovePath move{id(), outer, std::nullopt};
    if (!validated) move.credit = kRoamCredit;
    context_.change(move);
  }
  if (moved) {
    moved_now_ = true;
    context_.note("path_moved", {{"peer", route_.peer.text()},
                                 {"path", ntm::to_string(id())},
                                 {"kind", relay ? "relay" : "direct"},
                                 {"remote", ntm::to_string(outer.remote)},
                                 {"local", ntm::to_string(outer.local)}});
  }
  if (state_ == PathState::Up && changed && !relay) upgrade_at_ = Instant::never();
  become_up();
}

void Path::on_moved(const datapath::Outer& outer) {
  if (state_ == PathState::Closing) return;
  bool relay = false;
  if (route_.relay)
    for (const Endpoint& e : route_.relay->endpoints) relay = relay || e == outer.remote;
  outer_ = outer;
  relayed_ = relay;
  context_.note("path_moved", {{"peer", route_.peer.text()},
                               {"path", ntm::to_string(id())},
                               {"kind", relay ? "relay" : "direct"},
                               {"remote", ntm::to_string(outer.remote)},
                               {"by", "peer"}});
  if (!relay) upgrade_at_ = Instant::never();
}

void Path::close(Instant remove_at) {
  state_ = PathState::Closing;
  remove_at_ = remove_at;
  candidates_.clear();
  probing_ = false;
  relay_at_ = upgrade_at_ = upkeep_at_ = confirm_until_ = Instant::never();
}

void Path::fail(const std::string& why) {
  if (state_ == PathState::Lost || state_ == PathState::Closing) return;
  state_ = PathState::Lost;
  lost_now_ = true;
  context_.note("path_lost", {{"peer", route_.peer.text()},
                              {"path", ntm::to_string(id())},
                              {"reason", why}});
}

std::string Path::reason() const {
  bool planned_relay = route_.mode == wire::RouteMode::Relay;
  if (!outer_ || planned_relay == relayed_) return route_.reason;
  return relayed_ ? "relayed: nothing answered directly (" + route_.reason + ")"
                  : "direct: the terminals got through to each other (" + route_.reason + ")";
}

Instant Path::next_deadline() const {
  Instant when = std::min({relay_at_, upgrade_at_, upkeep_at_, remove_at_, confirm_until_});
  if (probing_) when = std::min(when, probe_at_);
  if (state_ == PathState::Up) when = std::min(when, rekey_.next_deadline());
  for (const Candidate& c : candidates_) when = std::min(when, c.next);
  return when;
}

void Path::on_timer() {
  if (state_ == PathState::Closing) return;
  candidate_timers();
  probe_timer();
  upkeep_timer();
  if (confirm_until_ <= context_.now) {
    confirm_until_ = Instant::never();
    if (state_ == PathState::Keyed) fail("the peer never showed its keys");
  }
}

}  // namespace ntm::terminal
