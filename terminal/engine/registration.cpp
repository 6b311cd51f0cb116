// The state table of the header.
#include "terminal/engine/registration.hpp"

#include <algorithm>

#include "libntm/crypto/hash.hpp"

namespace ntm::terminal {

namespace {

constexpr Family kFamilies[] = {Family::V6, Family::V4};  // IPv6 first among equals
// A handshake moves on to the other family or DC address after this many tries (about 2 s).
constexpr int kHandshakeTries = 3;
// Records that stay unanswered mean a session that the DC lost: it can't tell us by CTRL_HINT once
// our address is another one than it knows. So a new handshake comes after 1 to 4 s already.
constexpr int kRecordTries = 4;
constexpr Duration kRetryRefused = seconds(60);  // a person must act first
constexpr Duration kRetryBusy = seconds(5);
constexpr Duration kRetrySilentMost = seconds(15);

// First 4 bytes of SHA-256(address ‖ port) (KeepAlive::observed_hash).
std::uint32_t endpoint_hash(const Endpoint& e) {
  Byte port[2] = {static_cast<Byte>(e.port >> 8), static_cast<Byte>(e.port)};
  return Reader(crypto::sha256({e.address.view(), port})).u32();
}

std::string explain(wire::Status status) {
  switch (status) {
    case wire::Status::UnknownName: return "the DC does not know this name; ask for a new token";
    case wire::Status::BadKey: return "the name is bound to another key; ask for a new token";
    case wire::Status::Denied: return "the DC refuses: the token is used up or the name disabled";
    case wire::Status::Version: return "the DC speaks another protocol version";
    default: return std::string("the DC answered ") + to_string(status);
  }
}

}  // namespace

wire::RegistrationRequest Registration::request() {
  wire::RegistrationRequest out;
  out.counter = context_.next_counter();
  out.name = context_.settings.name;
  out.leaving = leaving_;
  out.private_locators = context_.settings.private_locators;
  out.relay_only = context_.settings.relay_only;
  out.locators = context_.locals.locators();
  out.virtual_echo = context_.saved.own;
  out.suites = crypto::kAllSuites;
  out.capabilities = wire::kCapabilityPartialSums;
  return out;
}

void Registration::send_registration(Family family, bool by_handshake) {
  FamilyState& f = state(family);
  wire::RegistrationRequest message = request();
  std::uint64_t id = message.counter;
  context_.note("registration_sent", {{"family", to_string(family)},
                                      {"handshake", by_handshake ? "yes" : "no"}});
  bool sent = by_handshake ? link_.start_handshake(family, message) : link_.send(message, family);
  if (!sent) return refused(family, "no way to the DC over this family", kRetryBusy);
  f.registering = true;
  f.queued = false;
  f.retry = Instant::never();
  if (by_handshake) {
    handshake_id_ = id;
    hinted_ = false;
  }
  requests_.start(context_.now, id, Try{family, by_handshake, message}, rtt_, context_.random,
                  by_handshake ? kHandshakeTries : kRecordTries);
}

void Registration::register_family(Family family) {
  FamilyState& f = state(family);
  if (!link_.reaches(family)) {
    f.registering = f.queued = false;
    f.retry = Instant::never();
    return;
  }
  f.registering = true;
  f.queued = true;
  f.retry = Instant::never();  // it has come; while this family waits there is no deadline
  run_queue();
}

// Over the session if there is one; else the first family opens it and the other one waits.
void Registration::run_queue() {
  bool by_record = link_.has_session() && !link_.is_worn();
  for (Family family : kFamilies) {
    if (!state(family).queued) continue;
    if (!by_record && link_.handshake_running()) return;
    send_registration(family, !by_record);
  }
}

void Registration::register_all() {
  requests_.clear();
  for (Family family : kFamilies) register_family(family);
}

void Registration::on_addresses(const Locals::Difference& difference) {
  if (!difference.any && !difference.best4 && !difference.best6) return;
  for (Family family : kFamilies) {
    FamilyState& f = state(family);
    if (link_.reaches(family)) continue;
    f = FamilyState{};
  }
  // Every family tells the DC the new list of locators; the one that moved goes first, because a
  // handover waits for it.
  requests_.clear();
  echoes_.clear();
  if (link_.handshake_running()) link_.abandon_handshake();
  for (Family family : kFamilies)
    if (difference.best(family)) register_family(family);
  for (Family family : kFamilies)
    if (!difference.best(family) && difference.any) register_family(family);
}

bool Registration::take_grant(const wire::RegistrationResponse& response) {
  SavedState& saved = context_.saved;
  SavedState before = saved;
  saved.enrolled = true;
  saved.own = response.virtual_addresses;
  saved.zone_virtual6 = response.zone_virtual6;
  saved.zone_pools4 = response.zone_pools4;
  link_.use_token(false);
  link_.set_hint_token(response.control_hint_token);
  if (saved == before) return false;
  context_.save(saved.enrolled != before.enrolled);
  return true;
}

Registration::Outcome Registration::on_response(const wire::RegistrationResponse& response,
                                                Family family, bool handshake) {
  Outcome out;
  out.session_is_new = handshake;
  if (response.status == wire::Status::Stale) {
    context_.raise_counter(response.counter);
    context_.note("registration_stale", {{"family", to_string(family)}});
    register_all();
    return out;
  }
  // The answer names the request by its counter, and so the family that it was sent over.
  const Try* known = requests_.find(response.counter);
  if (known == nullptr) return out;
  family = known->family;
  std::optional<Duration> rtt = requests_.answered(response.counter, context_.now);
  if (rtt) rtt_.sample(*rtt);
  context_.dc_rtt = rtt_.smoothed();
  if (handshake) handshake_failures_ = 0;
  FamilyState& f = state(family);
  f.registering = false;
  if (response.status != wire::Status::Ok) {
    bool busy = response.status == wire::Status::TryLater ||
                response.status == wire::Status::RateLimited;
    refused(family, explain(response.status), busy ? kRetryBusy : kRetryRefused);
    return out;
  }
  out.registered = true;
  out.left = leaving_;
  out.addresses_changed = take_grant(response);
  f.registered = true;
  f.problem.clear();
  f.observed = response.observed;
  f.nat = response.nat;
  if (response.keep_alive_seconds != 0)
    f.timer.set_interval(seconds(response.keep_alive_seconds));
  f.timer.start(context_.now, context_.random);
  context_.note("registered",
                {{"family", to_string(family)},
                 {"observed", to_string(response.observed)},
                 {"nat", response.nat == wire::NatVerdict::Behind ? "behind" : "none"}});
  // The DC answers again: a family that found it silent need not wait for its own next attempt.
  for (Family other : kFamilies)
    if (handshake && state(other).retry != Instant::never()) register_family(other);
  run_queue();
  return out;
}

void Registration::on_keep_alive(const wire::KeepAlive& message, Family family) {
  if (message.want_echo) {
    wire::KeepAlive echo;
    echo.sequence = message.sequence;
    echo.is_echo = true;
    link_.send(echo, family);
  }
  if (!message.is_echo) return;
  const Family* sent_over = echoes_.find(message.sequence);
  if (sent_over == nullptr) return;
  Family over = *sent_over;
  std::optional<Duration> rtt = echoes_.answered(message.sequence, context_.now);
  if (rtt) rtt_.sample(*rtt);
  context_.dc_rtt = rtt_.smoothed();
  FamilyState& f = state(over);
  if (!f.registered || message.observed_hash == endpoint_hash(f.observed)) return;
  context_.note("nat_rebound", {{"family", to_string(over)}});
  register_family(over);
}

void Registration::on_hint() {
  handshake_failures_ = 0;  // the DC is there: no long waits if the next attempt is lost
  if (link_.handshake_running()) return hurry_handshake();
  context_.note("dc_restarted");
  link_.drop_session();
  echoes_.clear();
  register_all();
  hinted_ = true;  // the DC hints over each family
}

// It was begun towards a DC that was down: its next repetition, or after the last one the next
// attempt, may be 15 s away. Once an attempt, so that a copied hint makes no stream of them.
void Registration::hurry_handshake() {
  const Try* running = requests_.find(handshake_id_);
  if (hinted_ || running == nullptr) return;
  hinted_ = true;
  context_.note("dc_restarted");
  link_.repeat_handshake();
  requests_.start(context_.now, handshake_id_, Try(*running), rtt_, context_.random,
                  kHandshakeTries);
}

void Registration::session_failed() {
  if (link_.handshake_running()) return;
  context_.note("session_lost");
  link_.drop_session();
  echoes_.clear();
  register_all();
}

void Registration::leave() {
  leaving_ = true;
  std::optional<Family> family = link_.primary();
  if (family && link_.has_session()) send_registration(*family, false);
}

void Registration::refused(Family family, const std::string& why, Duration again) {
  FamilyState& f = state(family);
  f.registering = f.queued = f.registered = false;
  f.problem = why;
  f.retry = context_.now + context_.jittered(again);
  context_.note("registration_failed", {{"family", to_string(family)}, {"reason", why}});
}

// A session that the DC lost, or a family without a way: where the other family is registered its
// echo tells, and a broken one must not end the session of one that works.
void Registration::record_failed(Family family) {
  for (Family other : kFamilies) {
    const FamilyState& f = state(other);
    if (other == family || !f.registered || f.registering) continue;
    refused(family, "the DC does not answer", kRetrySilentMost);
    return send_keep_alive(other);
  }
  session_failed();
}

void Registration::failed(const Try& attempt) {
  if (!attempt.handshake) return record_failed(attempt.family);
  link_.abandon_handshake();
  link_.next_endpoint(attempt.family);
  ++handshake_failures_;
  // The answer to an enrolment may have been lost after the DC had bound the name to our key: the
  // token is burnt then and plain IK is right, so both are tried in turn.
  bool every_family_tried = handshake_failures_ % 2 == 0;
  if (context_.settings.token && !context_.saved.enrolled && every_family_tried)
    link_.use_token(!link_.uses_token());
  Duration again = milliseconds(std::min<std::int64_t>(
      kRetrySilentMost.ms(), 200ll << std::min(handshake_failures_, 10)));
  refused(attempt.family, "the DC does not answer", again);
  // The other family, if it waited, opens the session instead.
  run_queue();
}

void Registration::send_keep_alive(Family family) {
  wire::KeepAlive message;
  message.sequence = ++sequence_;
  message.want_echo = true;
  message.observed_hash = endpoint_hash(state(family).observed);
  state(family).timer.sent(context_.now, context_.random);
  if (!link_.send(message, family)) return;
  echoes_.start(context_.now, message.sequence, family, rtt_, context_.random, kRecordTries);
}

void Registration::on_timer() {
  exchange::RequestTable<Try>::Turn turn = requests_.due(context_.now, context_.random);
  for (const exchange::RequestTable<Try>::Due& due : turn.again) {
    if (due.to.handshake) link_.repeat_handshake();
    else link_.send(due.to.message, due.to.family);
  }
  for (const exchange::RequestTable<Try>::Due& due : turn.failed) failed(due.to);
  exchange::RequestTable<Family>::Turn echo = echoes_.due(context_.now, context_.random);
  for (const exchange::RequestTable<Family>::Due& due : echo.again) {
    wire::KeepAlive message;
    message.sequence = static_cast<std::uint32_t>(due.id);
    message.want_echo = true;
    message.observed_hash = endpoint_hash(state(due.to).observed);
    link_.send(message, due.to);
  }
  if (!echo.failed.empty()) session_failed();
  for (Family family : kFamilies) {
    FamilyState& f = state(family);
    if (f.retry <= context_.now) register_family(family);
    if (!f.registered || f.registering || f.timer.deadline() > context_.now) continue;
    if (link_.is_worn()) register_all();
    else send_keep_alive(family);
  }
}

Instant Registration::next_deadline() const {
  Instant when = std::min(requests_.next_deadline(), echoes_.next_deadline());
  for (const FamilyState& f : families_) {
    when = std::min(when, f.retry);
    if (f.registered && !f.registering) when = std::min(when, f.timer.deadline());
  }
  return when;
}

std::vector<FamilyStatus> Registration::status() const {
  std::vector<FamilyStatus> out;
  for (Family family : kFamilies) {
    const FamilyState& f = families_[family == Family::V4 ? 0 : 1];
    FamilyStatus s;
    s.family = family;
    const LocalAddress* local = context_.locals.best(family);
    if (local != nullptr) {
      s.local = local->address;
      s.interface = local->interface_name;
    }
    s.usable = link_.reaches(family);
    s.registered = f.registered;
    s.observed = f.observed;
    s.nat = f.nat;
    s.problem = f.problem;
    if (!f.registered && s.problem.empty()) {
      if (local == nullptr) s.problem = "this machine has no usable address of the family";
      else if (!s.usable) s.problem = "the DC has no address of the family";
      else s.problem = "registering";
    }
    out.push_back(s);
  }
  return out;
}

}  // namespace ntm::terminal
