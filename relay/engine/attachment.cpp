// See the header for the states.
#include "relay/engine/attachment.hpp"

#include <algorithm>

#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::relay {

namespace {
constexpr std::uint64_t kHandshakeTry = 1;
constexpr int kLostKeepAlives = 3;
constexpr Duration kKeepAliveAgain = milliseconds(500);
constexpr Duration kRetryStart = seconds(2);
constexpr Duration kRetryMost = seconds(120);
}  // namespace

const char* to_string(Attachment::State state) {
  switch (state) {
    case Attachment::State::Idle: return "idle";
    case Attachment::State::Attaching: return "attaching";
    case Attachment::State::Attached: return "attached";
    case Attachment::State::Waiting: return "waiting";
  }
  return "?";
}

Attachment::Attachment(const AttachmentConfig& config, const crypto::KeyPair& own,
                       const Key32& token_secret, RelayFacts& facts, Random& random)
    : config_(config), own_(own), token_secret_(token_secret), facts_(facts), random_(random) {}

void Attachment::start(Instant now, std::vector<Effect>& effects) { attach(now, effects); }

wire::RelayAttach Attachment::attach_message(std::vector<Effect>& effects) {
  wire::RelayAttach message;
  message.counter = facts_.next_counter(effects);
  message.name = config_.own_name;
  message.endpoints = facts_.public_endpoints();
  message.capacity = facts_.capacity();
  message.entries = facts_.entries();
  message.token_secret = token_secret_;
  return message;
}

void Attachment::attach(Instant now, std::vector<Effect>& effects) {
  exchange::HandshakeTarget target;
  target.responder = config_.dc_key;
  target.zone = config_.zone;
  target.suite = crypto::preferred_suite();
  if (config_.token) {
    target.token = config_.token->id;
    target.psk = crypto::enrolment_psk(config_.token->secret.view(), config_.token->id);
  }
  handshake_.emplace(target, own_);
  Result<Bytes> init =
      handshake_->start(wire::encode(wire::ControlMessage(attach_message(effects))), random_);
  if (!init) {
    wait(now, init.error().text, effects);
    return;
  }
  init_ = *init;
  state_ = State::Attaching;
  retry_ = Instant::never();
  tries_.start(now, kHandshakeTry, 0, rtt_, random_);
  send_datagram(init_, effects);
}

void Attachment::wait(Instant now, const std::string& why, std::vector<Effect>& effects) {
  if (why != last_error_)
    effects.push_back(Notify{Notify::Level::Warning,
                             "not attached to the DC of " + config_.zone.text() + ": " + why});
  last_error_ = why;
  state_ = State::Waiting;
  tries_.clear();
  Duration delay = std::min(kRetryStart * (std::int64_t{1} << std::min(refusals_, 6)), kRetryMost);
  ++refusals_;
  retry_ = now + delay;
  endpoint_ = (endpoint_ + 1) % config_.dc_endpoints.size();
}

void Attachment::send_datagram(Bytes datagram, std::vector<Effect>& effects) {
  // A family that this relay lacks: the next address of the DC, if there is one.
  for (std::size_t i = 0; i < config_.dc_endpoints.size(); ++i) {
    if (std::optional<datapath::SocketId> socket = facts_.socket_for(target().family())) {
      effects.push_back(SendControl{{*socket, target(), {}, 0}, std::move(datagram)});
      return;
    }
    endpoint_ = (endpoint_ + 1) % config_.dc_endpoints.size();
  }
}

bool Attachment::handle(Instant now, const datapath::ControlReceived& received,
                        std::vector<wire::ControlMessage>& messages,
                        std::vector<Effect>& effects) {
  ByteView datagram = received.datagram;
  std::optional<wire::DatagramType> type = wire::datagram_type(datagram);
  if (!type) return false;
  switch (*type) {
    case wire::DatagramType::HandshakeResponse: return handle_response(now, datagram, effects);
    case wire::DatagramType::Control: return handle_control(now, datagram, messages, effects);
    case wire::DatagramType::Cookie: {
      if (!handshake_) return false;
      Result<Bytes> again = handshake_->cookie(datagram);
      if (!again) return false;
      init_ = *again;
      send_datagram(init_, effects);
      return true;
    }
    case wire::DatagramType::ControlHint: {
      Result<wire::ControlHint> hint = wire::decode_control_hint(datagram);
      bool ours = hint && state_ == State::Attached &&
                  equal(hint->key_hash, crypto::key_hash(own_.public_key)) &&
                  crypto::equal_secret(hint->token, hint_token_);
      if (ours) attach(now, effects);
      return ours;
    }
    default: return false;
  }
}

bool Attachment::handle_response(Instant now, ByteView datagram, std::vector<Effect>& effects) {
  if (!handshake_) return false;
  Result<exchange::HandshakeInitiator::Established> done = handshake_->response(datagram, now);
  if (!done) return false;
  Result<wire::ControlMessage> message = wire::decode_control(done->payload);
  const wire::RelayAttachResponse* response =
      message ? std::get_if<wire::RelayAttachResponse>(&*message) : nullptr;
  handshake_.reset();
  if (std::optional<Duration> rtt = tries_.answered(kHandshakeTry, now)) rtt_.sample(*rtt);
  if (response == nullptr) {
    wait(now, "its answer is unreadable", effects);
    return true;
  }
  if (response->status == wire::Status::Stale) {
    facts_.raise_counter(response->counter, effects);
    attach(now, effects);
    return true;
  }
  if (response->status != wire::Status::Ok) {
    wait(now, std::string("it answers ") + wire::to_string(response->status), effects);
    return true;
  }
  attached(now, std::move(done->session), *response, effects);
  return true;
}

void Attachment::attached(Instant now, exchange::Session session,
                          const wire::RelayAttachResponse& response,
                          std::vector<Effect>& effects) {
  if (state_ != State::Attached)
    effects.push_back(Notify{Notify::Level::Info, "attached to the DC of " +
                                                      config_.zone.text() + " at " +
                                                      to_string(target())});
  if (session_) previous_ = std::move(session_);
  session_ = std::move(session);
  state_ = State::Attached;
  refusals_ = 0;
  unanswered_ = 0;
  last_error_.clear();
  config_.token.reset();
  hint_token_ = response.control_hint_token;
  if (response.keep_alive_seconds > 0)
    keep_alive_.set_interval(seconds(response.keep_alive_seconds));
  keep_alive_.start(now, random_);
}

bool Attachment::handle_control(Instant now, ByteView datagram,
                                std::vector<wire::ControlMessage>& messages,
                                std::vector<Effect>&) {
  for (std::optional<exchange::Session>* slot : {&session_, &previous_}) {
    if (!*slot) continue;
    tl::expected<exchange::Session::Opened, exchange::Session::Refusal> opened =
        (*slot)->open(datagram);
    if (!opened) {
      if (opened.error() == exchange::Session::Refusal::WrongSession) continue;
      return true;  // ours but replayed or forged: dropped
    }
    Result<wire::ControlMessage> message = wire::decode_control(opened->plaintext);
    if (!message) return true;
    if (const wire::KeepAlive* echo = std::get_if<wire::KeepAlive>(&*message)) {
      if (echo->is_echo && echo->sequence == sequence_) unanswered_ = 0;
      return true;
    }
    keep_alive_.sent(now, random_);  // the DC is there
    unanswered_ = 0;
    messages.push_back(std::move(*message));
    return true;
  }
  return false;
}

void Attachment::send(Instant, const wire::ControlMessage& message,
                      std::vector<Effect>& effects) {
  if (!session_) return;
  send_datagram(session_->seal(wire::encode(message)), effects);
}

void Attachment::on_timer(Instant now, std::vector<Effect>& effects) {
  exchange::RequestTable<int>::Turn turn = tries_.due(now, random_);
  if (!turn.again.empty()) send_datagram(init_, effects);
  if (!turn.failed.empty()) wait(now, "no answer from " + to_string(target()), effects);
  if (retry_ <= now) attach(now, effects);
  if (state_ != State::Attached) return;
  if (session_->is_worn(now)) {
    attach(now, effects);
    return;
  }
  if (keep_alive_.deadline() > now && (unanswered_ == 0 || probe_ > now)) return;
  if (unanswered_ >= kLostKeepAlives) {
    attach(now, effects);
    return;
  }
  ++unanswered_;
  wire::KeepAlive alive;
  alive.sequence = ++sequence_;
  alive.want_echo = true;
  send(now, wire::ControlMessage(alive), effects);
  wire::RelayStatus status;
  status.entries = facts_.entries();
  status.capacity = facts_.capacity();
  send(now, wire::ControlMessage(status), effects);
  keep_alive_.sent(now, random_);
  // A DC that restarted does not know this session and, unlike with terminals, nothing in its
  // store says where we are: so the first unanswered one is repeated quickly, then we attach anew.
  probe_ = now + kKeepAliveAgain;
}

Instant Attachment::next_deadline() const {
  Instant when = std::min(tries_.next_deadline(), retry_);
  if (state_ == State::Attached) when = std::min(when, keep_alive_.deadline());
  if (state_ == State::Attached && unanswered_ > 0) when = std::min(when, probe_);
  return when;
}

void Attachment::leave(Instant now, std::vector<Effect>& effects) {
  if (!session_) return;
  wire::RelayAttach message = attach_message(effects);
  message.leaving = true;
  send(now, wire::ControlMessage(std::move(message)), effects);
}

}  // namespace ntm::relay
