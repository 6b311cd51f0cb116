// Is the path alive, and are its keys fresh: probes, consent, keep-alives, rekey
// (docs/PROTOCOL.md 4 and 5).
#include <algorithm>

#include "libntm/crypto/tunnel_keys.hpp"
#include "libntm/wire/inner_control.hpp"
#include "terminal/engine/path.hpp"

namespace ntm::terminal {

namespace {

constexpr int kProbes = 3;
constexpr Duration kProbeSpacing = milliseconds(200);  // or 1.5 round trips, if that is longer
constexpr Duration kRekeyFirst = milliseconds(500);
constexpr int kKeptConsentTries = 4;

}  // namespace

void Path::start_probes(int count) {
  if (probing_ || (state_ != PathState::Up && state_ != PathState::Lost)) return;
  probing_ = true;
  probes_left_ = count;
  probe_at_ = context_.now;
  probe_timer();
}

void Path::on_silent() {
  context_.note("path_silent", {{"peer", route_.peer.text()}, {"path", ntm::to_string(id())}});
  start_probes(kProbes);
}

void Path::on_alive() {
  probing_ = false;
  if (state_ != PathState::Lost) return;
  become_up();
}

void Path::on_probe_answer(std::uint32_t, Duration rtt) {
  rtt_.sample(rtt);
  on_alive();
}

void Path::probe_timer() {
  if (!probing_ || probe_at_ > context_.now) return;
  if (state_ != PathState::Up && state_ != PathState::Lost) {
    probing_ = false;
    return;
  }
  if (probes_left_ == 0) {
    probing_ = false;
    if (state_ == PathState::Up) lose("probes stayed unanswered");
    return;
  }
  --probes_left_;
  wire::Probe probe;
  // Ids with the highest bit are the datapath's own.
  probe.id = probe_id_ = static_cast<std::uint32_t>(context_.random.u64() & 0x3fffffff);
  probe.sent_us = static_cast<std::uint64_t>(context_.now.us);
  context_.change(datapath::SendInner{id(), wire::encode(wire::InnerControl(probe))});
  probe_at_ = context_.now + std::max(kProbeSpacing, rtt_.smoothed() * 3 / 2);
}

// Nothing answers at the present address: try all others of the same Route Direction while the
// tunnel asks the DC for a new one.
void Path::lose(const std::string& why) {
  fail(why);
  relay_families_tried_ = 0;
  candidates_.clear();
  add_targets(false);
  add_relay(false);
  candidate_timers();
}

// The relay lets us through, which says nothing about the peer: it may hold the leg of a terminal
// that left long ago. So the path stays lost until the peer itself is heard.
void Path::ask_through(const datapath::Outer& relay) {
  outer_ = relay;
  relayed_ = true;
  context_.change(datapath::MovePath{id(), relay, std::nullopt});
  probing_ = false;
  start_probes(kProbes);
}

// From the peer the token can't be checked (it made it from a secret of its own after losing all
// keys), so a hint only makes us look at once, with one probe; a relay's token came with the Route
// Direction.
void Path::on_hint(const wire::TunnelHint& hint) {
  if (state_ != PathState::Up) return;
  bool relay_says = relayed_ && route_.relay && hint.token == route_.relay->reset_token;
  if (!relay_says) return start_probes(1);
  context_.note("relay_hint", {{"peer", route_.peer.text()}, {"path", ntm::to_string(id())}});
  if (hint.code == wire::HintCode::AddressChanged) {
    add_candidate(*outer_, true, true);
    candidate_timers();
  } else {
    fail("the relay lost the path");
  }
}

void Path::upkeep_timer() {
  if (upkeep_at_ <= context_.now) {
    upkeep_at_ = context_.now + context_.jittered(kConsentEvery);
    if (state_ != PathState::Up) {
      upkeep_at_ = Instant::never();
    } else if (relayed_) {
      Candidate* c = add_candidate(*outer_, true, false);
      c->consent = true;
      c->echo_sent = true;
      c->max_tries = kKeptConsentTries;
      c->timeout = kRekeyFirst;
      candidate_timers();
    } else {
      context_.change(datapath::SendKeepAlive{id()});
    }
  }
  if (state_ != PathState::Up) return;
  if (rekey_.is_due(context_.now)) start_rekey();
  if (rekey_.running && rekey_.running->next <= context_.now) send_rekey();
}

// ---- rekey -----------------------------------------------------------------------------------

void Path::start_rekey() {
  // Through a relay only DATA passes, so fresh keys come with a fresh path from the DC.
  if (relayed_) {
    rekey_.postpone(context_.now + kRekeyAfter);
    needs_direction_ = true;
    return;
  }
  Result<StartedHandshake> started =
      start_end_to_end(context_, suite_, own_, route_.peer, route_.peer_key);
  if (!started) return rekey_.postpone(context_.now + kRekeyAfter);
  rekey_.running.emplace(Rekey::Running{std::move(started->noise), std::move(started->message1),
                                        context_.random_nonzero(), 0, context_.now});
  context_.note("rekey_started", {{"peer", route_.peer.text()}, {"path", ntm::to_string(id())}});
}

void Path::send_rekey() {
  Rekey::Running& run = *rekey_.running;
  if (run.tries == kRekeyTries) {
    rekey_.running.reset();
    rekey_.postpone(context_.now + kRekeyAfter);
    needs_direction_ = true;
    return;
  }
  wire::TunnelMessage m;
  m.type = wire::DatagramType::TunnelRequest;
  m.rekey = true;
  m.challenge = run.challenge;
  m.echo = peer_side_.peer_challenge;
  m.blob_kind = wire::BlobKind::Message1;
  m.blob = run.message1;
  send_tunnel_message(std::move(m), *outer_, false);
  run.next = context_.now + (kRekeyFirst * (std::int64_t{1} << run.tries));
  ++run.tries;
}

void Path::finish_rekey(const crypto::NoiseOutput& output, bool by_us) {
  output_ = output;
  exporter_ = crypto::exporter(output_, suite_);
  epoch_ = static_cast<std::uint8_t>((epoch_ + 1) & 3);
  context_.change(datapath::AddKeys{id(), path_keys(output_, suite_, epoch_, by_us)});
  rekey_.keys_made(context_.now, by_us);
  if (!by_us) {  // sends with them once the peer did
    waiting_epoch_ = epoch_;
    return;
  }
  context_.change(datapath::UseEpoch{id(), epoch_});
  context_.change(datapath::SendKeepAlive{id()});
  context_.note("rekeyed", {{"peer", route_.peer.text()},
                            {"path", ntm::to_string(id())},
                            {"epoch", std::to_string(epoch_)}});
}

void Path::on_rekey_request(const wire::TunnelMessage& m, const datapath::ControlReceived& from) {
  if (m.blob_kind != wire::BlobKind::Message1 || !confirmed_ || !outer_) return;
  if (m.blob != rekey_.answered_message1) {
    Result<crypto::Noise> noise =
        read_end_to_end(context_, suite_, route_.peer, own_, route_.peer_key, m.blob);
    if (!noise) return;
    Result<Bytes> message2 =
        answer_end_to_end(context_, *noise, crypto::rekey_psk(output_, suite_));
    if (!message2) return;
    rekey_.answered_message1 = m.blob;
    rekey_.answer_message2 = std::move(*message2);
    finish_rekey(noise->split(), false);
  }
  wire::TunnelMessage answer;
  answer.type = wire::DatagramType::TunnelResponse;
  answer.rekey = true;
  answer.challenge = context_.random_nonzero();
  answer.echo = m.challenge;
  answer.blob_kind = wire::BlobKind::Message2;
  answer.blob = rekey_.answer_message2;
  send_tunnel_message(std::move(answer),
                      {from.socket, from.from, from.local, from.interface}, false);
}

void Path::on_rekey_response(const wire::TunnelMessage& m) {
  if (!rekey_.running || m.echo != rekey_.running->challenge) return;
  if (m.blob_kind != wire::BlobKind::Message2) return;
  crypto::Noise trial = rekey_.running->noise;
  if (!trial.read_message2(m.blob, crypto::rekey_psk(output_, suite_))) return;
  finish_rekey(trial.split(), true);
}

}  // namespace ntm::terminal
