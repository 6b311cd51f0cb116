// Which outer addresses of a path are tried, when, and what an answer means.
#include <algorithm>

#include "libntm/crypto/tunnel_keys.hpp"
#include "terminal/engine/path.hpp"

namespace ntm::terminal {

namespace {

constexpr int kHandoverTries = 6;   // 0, 50, 150, 350, 750, 1550 ms
constexpr int kConsentTries = 4;
constexpr int kUpgradeTries = 2;
constexpr Duration kPendingAgain = milliseconds(500);

datapath::Outer outer_of(const datapath::ControlReceived& from) {
  return {from.socket, from.from, from.local, from.interface};
}

// A target that no network of ours can mean.
bool is_nonsense(const Endpoint& e) {
  return !e.is_set() || e.address.is_loopback() || e.address.is_multicast() ||
         e.address.is_link_local();
}

}  // namespace

bool Path::is_target(const Endpoint& remote) const {
  return std::find(route_.targets.begin(), route_.targets.end(), remote) != route_.targets.end();
}

Candidate* Path::find_candidate(const datapath::Outer& outer, bool relay) {
  for (Candidate& c : candidates_)
    if (c.relay == relay && c.outer.remote == outer.remote && c.outer.local == outer.local)
      return &c;
  return nullptr;
}

Candidate* Path::add_candidate(const datapath::Outer& outer, bool relay, bool handover) {
  Candidate* c = find_candidate(outer, relay);
  if (c == nullptr) {
    if (candidates_.size() == kMaxCandidates) candidates_.erase(candidates_.begin());
    c = &candidates_.emplace_back();
  }
  *c = Candidate{};
  c->outer = outer;
  c->relay = relay;
  c->handover = handover;
  c->challenge = context_.random_nonzero();
  c->max_tries = relay ? kRelayTries : handover ? kHandoverTries : kTargetTries;
  c->timeout = relay && !handover ? rtt_.first_timeout() : kTargetFirst;
  c->next = context_.now;
  return c;
}

void Path::add_targets(bool handover) {
  for (const Endpoint& target : route_.targets) {
    if (is_nonsense(target)) continue;
    std::optional<datapath::Outer> outer = context_.locals.outer_to(target);
    if (outer) add_candidate(*outer, false, handover);
  }
}

// One family at a time: the relay sends to where the newest request came from.
bool Path::add_relay(bool handover) {
  relay_at_ = Instant::never();
  if (!route_.relay) return false;
  for (Family family : {Family::V6, Family::V4}) {
    unsigned bit = family == Family::V4 ? 1u : 2u;
    if ((relay_families_tried_ & bit) != 0) continue;
    for (const Endpoint& e : route_.relay->endpoints) {
      if (e.family() != family || is_nonsense(e)) continue;
      std::optional<datapath::Outer> outer = context_.locals.outer_to(e);
      if (!outer) continue;
      relay_families_tried_ |= bit;
      add_candidate(*outer, true, handover);
      return true;
    }
  }
  return false;
}

// Is this candidate still worth a request?
bool Path::wants(const Candidate& c) const {
  if (c.answered) return false;
  if (state_ != PathState::Up || c.handover || c.consent) return true;
  return relayed_ && !c.relay;
}

Bytes Path::blob_for(bool relay, wire::BlobKind& kind) const {
  kind = wire::BlobKind::None;
  if (initiator_) {
    if (relay || has_keys()) return {};
    kind = wire::BlobKind::Message1;
    return message1_;
  }
  if (confirmed_) return {};
  kind = wire::BlobKind::Message2;
  return message2_;
}

void Path::send_tunnel_message(wire::TunnelMessage message, const datapath::Outer& to,
                               bool relay) {
  message.path = id();
  message.counter = ++counter_;
  if (relay) message.leg = route_.relay->leg;
  Bytes datagram = wire::encode_without_mac(message);
  crypto::append_tunnel_mac(side(relay).key, datagram);
  context_.send(to, std::move(datagram));
}

void Path::send_request(Candidate& c) {
  wire::TunnelMessage m;
  m.type = wire::DatagramType::TunnelRequest;
  m.challenge = c.challenge;
  m.echo = side(c.relay).peer_challenge;
  m.handover = c.handover;
  m.blob = blob_for(c.relay, m.blob_kind);
  c.sent = context_.now;
  if (c.tries == 0)
    context_.note("tunnel_request_sent", {{"peer", route_.peer.text()},
                                          {"path", ntm::to_string(id())},
                                          {"to", c.relay ? "relay" : "peer"},
                                          {"remote", ntm::to_string(c.outer.remote)},
                                          {"handover", c.handover ? "yes" : "no"}});
  send_tunnel_message(std::move(m), c.outer, c.relay);
}

// The address proves that it received our challenge only by the next request's echo.
void Path::echo_once(Candidate& c, const wire::TunnelMessage& message) {
  if (c.echo_sent || message.challenge == 0) return;
  c.echo_sent = true;
  send_request(c);
}

void Path::respond(const wire::TunnelMessage& request, const datapath::Outer& to,
                   std::uint64_t challenge) {
  wire::TunnelMessage m;
  m.type = wire::DatagramType::TunnelResponse;
  m.challenge = challenge;
  m.echo = request.challenge;
  if (initiator_ && has_keys()) {
    m.blob_kind = wire::BlobKind::Confirm;
    m.blob = crypto::confirm_blob(exporter_, id());
  } else if (!initiator_ && !confirmed_) {
    m.blob_kind = wire::BlobKind::Message2;
    m.blob = message2_;
  }
  send_tunnel_message(std::move(m), to, false);
}

bool Path::on_request(const wire::TunnelMessage& m, const datapath::ControlReceived& from) {
  if (m.counter <= peer_side_.last) return false;
  if (!crypto::verify_tunnel_mac(peer_side_.key, from.datagram)) return false;
  peer_side_.last = m.counter;
  peer_side_.peer_challenge = m.challenge;
  if (m.rekey) {
    on_rekey_request(m, from);
    return true;
  }
  datapath::Outer outer = outer_of(from);
  context_.note("tunnel_request_received", {{"peer", route_.peer.text()},
                                            {"path", ntm::to_string(id())},
                                            {"from", ntm::to_string(from.from)},
                                            {"handover", m.handover ? "yes" : "no"}});
  if (m.blob_kind == wire::BlobKind::Message2) take_message2(m.blob);
  Candidate* c = find_candidate(outer, false);
  bool echoed = c != nullptr && m.echo == c->challenge;
  // A place that we did not know: our own request to it will validate it.
  if (c == nullptr && state_ != PathState::Closing) c = add_candidate(outer, false, false);
  respond(m, outer, c != nullptr ? c->challenge : context_.random_nonzero());
  if (!has_keys() || state_ == PathState::Closing) return true;
  bool trusted = echoed || is_target(from.from);
  bool first = !outer_ || state_ == PathState::Lost;
  if (first || m.handover || (relayed_ && echoed)) adopt(outer, false, trusted);
  if (c != nullptr && echoed) c->answered = true;
  candidate_timers();
  return true;
}

bool Path::on_response(const wire::TunnelMessage& m, const datapath::ControlReceived& from) {
  if (m.rekey) {
    if (!crypto::verify_tunnel_mac(peer_side_.key, from.datagram)) return false;
    on_rekey_response(m);
    return true;
  }
  for (Candidate& c : candidates_) {
    if (c.challenge != m.echo || c.outer.remote != from.from) continue;
    if (!crypto::verify_tunnel_mac(side(c.relay).key, from.datagram)) return false;
    answered(c, m);
    candidate_timers();
    return true;
  }
  return false;
}

void Path::answered(Candidate& c, const wire::TunnelMessage& m) {
  side(c.relay).peer_challenge = m.challenge;
  if (c.tries == 1 && !m.ready) rtt_.sample(context_.now - c.sent);
  context_.note("tunnel_response", {{"peer", route_.peer.text()},
                                    {"path", ntm::to_string(id())},
                                    {"from", c.relay ? "relay" : "peer"},
                                    {"state", m.pending ? "pending" : m.ready ? "ready" : "ok"}});
  if (c.relay) relay_answered(c, m);
  else direct_answered(c, m);
}

void Path::direct_answered(Candidate& c, const wire::TunnelMessage& m) {
  if (m.blob_kind == wire::BlobKind::Message2) take_message2(m.blob);
  if (m.blob_kind == wire::BlobKind::Confirm && !initiator_ && !confirmed_)
    confirmed_ = crypto::verify_confirm(exporter_, id(), m.blob);
  if (!has_keys()) return;  // an answer without message 2 does not help yet
  c.answered = true;
  probing_ = false;
  bool better = !outer_ || state_ != PathState::Up || relayed_ || c.handover;
  if (better) adopt(c.outer, false, true);
  else if (outer_ == c.outer) context_.change(datapath::MovePath{id(), c.outer, std::nullopt});
  if (c.handover) echo_once(c, m);
}

void Path::relay_answered(Candidate& c, const wire::TunnelMessage& m) {
  if (m.blob_kind == wire::BlobKind::Message2) take_message2(m.blob);
  if (m.pending) {
    // The other leg is not up yet. The relay pushes `ready`; asking again covers its loss.
    if (!c.echo_sent) {
      c.tries = 1;
      c.timeout = kPendingAgain;
      c.next = context_.now + c.timeout;
    }
    echo_once(c, m);
    return;
  }
  echo_once(c, m);
  if (!has_keys()) return;
  c.answered = true;
  c.consent = false;
  bool better = !outer_ || state_ != PathState::Up || c.handover;
  if (!better) return;
  if (state_ == PathState::Lost) return ask_through(c.outer);
  bool was_early = early_;
  early_ = !confirmed_ && may_be_early_ && !initiator_;
  if (early_ && !was_early) {
    datapath::PutPath put;
    put.tunnel = tunnel_;
    put.path = id();
    put.keys = path_keys(output_, suite_, epoch_, initiator_);
    put.outer = c.outer;
    put.early = true;
    context_.change(put);
  }
  adopt(c.outer, true, true);
}

void Path::candidate_silent(Candidate& c) {
  c.next = Instant::never();
  if (c.consent) {
    c.consent = false;
    lose("the relay does not answer");
    return;
  }
  bool handover = c.handover;
  if (c.relay && add_relay(handover)) return;  // `c` may be gone from here on
  check_all_silent();
}

void Path::check_all_silent() {
  for (const Candidate& c : candidates_)
    if (c.next != Instant::never() || c.answered) return;
  if (relay_at_ != Instant::never()) return;
  bool waiting_for_peer = !initiator_ && state_ == PathState::Keyed;  // confirm_until_ decides
  if (state_ == PathState::Opening || (state_ == PathState::Up && !outer_) )
    fail("nothing answers");
  else if (state_ == PathState::Up && !context_.locals.has(outer_->local))
    fail("the new address reaches nothing");
  else if (waiting_for_peer)
    return;
}

void Path::retry_upgrade() {
  upgrade_every_ = std::min(upgrade_every_ * 2, kUpgradeMost);
  upgrade_at_ = context_.now + upgrade_every_;
  if (state_ != PathState::Up || !relayed_) {
    upgrade_at_ = Instant::never();
    return;
  }
  for (const Endpoint& target : route_.targets) {
    if (is_nonsense(target)) continue;
    std::optional<datapath::Outer> outer = context_.locals.outer_to(target);
    if (outer) add_candidate(*outer, false, false)->max_tries = kUpgradeTries;
  }
}

void Path::candidate_timers() {
  if (relay_at_ <= context_.now) {
    relay_at_ = Instant::never();
    if (state_ != PathState::Up) {
      context_.note("relay_fallback", {{"peer", route_.peer.text()},
                                       {"path", ntm::to_string(id())}});
      add_relay(state_ == PathState::Lost);
    }
  }
  if (upgrade_at_ <= context_.now) retry_upgrade();
  // By index: a silent candidate may add another one.
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    Candidate& c = candidates_[i];
    if (c.next > context_.now) continue;
    if (!wants(c)) {
      c.next = Instant::never();
      continue;
    }
    if (c.tries >= c.max_tries) {
      candidate_silent(c);
      continue;
    }
    send_request(c);
    ++c.tries;
    c.next = context_.now + context_.jittered(c.timeout);
    c.timeout = std::min(c.timeout * 2, kTryMost);
  }
}

void Path::on_addresses() {
  relay_families_tried_ = 0;
  if (state_ == PathState::Closing) return;
  if (state_ == PathState::Opening || state_ == PathState::Keyed) {
    candidates_.clear();
    start(may_be_early_);
    return;
  }
  if (!context_.settings.fast_handover || !outer_) return;
  std::optional<datapath::Outer> same = context_.locals.outer_to(outer_->remote);
  if (same && same->local == outer_->local) return;
  if (same) {
    add_candidate(*same, relayed_, true);
    if (!relayed_ && route_.relay) relay_at_ = context_.now + kRelayFallback;
  } else if (relayed_) {
    add_relay(true);
  } else {
    add_targets(true);
    bool any = std::any_of(candidates_.begin(), candidates_.end(),
                           [](const Candidate& c) { return c.handover && !c.answered; });
    if (any) relay_at_ = context_.now + kRelayFallback;
    else add_relay(true);
  }
  candidate_timers();
}

}  // namespace ntm::terminal
