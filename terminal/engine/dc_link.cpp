// Session with the DC. See the header.
#include "terminal/engine/dc_link.hpp"

#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::terminal {

DcLink::DcLink(Context& context) : context_(context) {
  use_token_ = context.settings.token.has_value() && !context.saved.enrolled;
}

void DcLink::drop_session() {
  if (!session_) return;
  former_ = std::move(session_);
  session_.reset();
  former_until_ = context_.now + kFormerSessionLife;
}

std::optional<datapath::Outer> DcLink::outer(Family family) const {
  std::vector<Endpoint> fitting;
  for (const Endpoint& e : context_.settings.dc_endpoints)
    if (e.family() == family) fitting.push_back(e);
  if (fitting.empty()) return std::nullopt;
  return context_.locals.outer_to(fitting[chosen_[family == Family::V4 ? 0 : 1] % fitting.size()]);
}

std::optional<Family> DcLink::primary() const {
  if (heard_ && reaches(*heard_)) return heard_;
  if (reaches(Family::V6)) return Family::V6;
  if (reaches(Family::V4)) return Family::V4;
  return std::nullopt;
}

bool DcLink::start_handshake(Family family, const wire::ControlMessage& payload) {
  std::optional<datapath::Outer> way = outer(family);
  if (!way) return false;
  exchange::HandshakeTarget target;
  target.responder = context_.settings.dc_key;
  target.zone = context_.settings.zone;
  target.suite = context_.settings.suite;
  if (use_token_) {
    const wire::EnrolmentToken& token = *context_.settings.token;
    target.token = token.id;
    target.psk = crypto::enrolment_psk(token.secret.view(), token.id);
  }
  initiator_.emplace(target, context_.settings.key);
  Result<Bytes> datagram = initiator_->start(wire::encode(payload), context_.random);
  if (!datagram) {
    context_.note("handshake_failed", {{"reason", datagram.error().text}});
    return false;
  }
  init_ = std::move(*datagram);
  init_family_ = family;
  context_.send(*way, init_);
  return true;
}

void DcLink::repeat_handshake() {
  std::optional<datapath::Outer> way = outer(init_family_);
  if (way && !init_.empty()) context_.send(*way, init_);
}

void DcLink::abandon_handshake() {
  initiator_.reset();
  init_.clear();
}

bool DcLink::send(const wire::ControlMessage& message, Family family) {
  std::optional<datapath::Outer> way = outer(family);
  if (!way || !session_) return false;
  Bytes plain = wire::encode(message);
  context_.send(*way, session_->seal(plain));
  wipe(plain);
  return true;
}

std::optional<DcLink::Incoming> DcLink::receive(const datapath::ControlReceived& received) {
  switch (*wire::datagram_type(received.datagram)) {
    case wire::DatagramType::HandshakeResponse:
      return on_response(received);
    case wire::DatagramType::Control:
      return on_record(received);
    case wire::DatagramType::Cookie: {
      if (!initiator_) return std::nullopt;
      Result<Bytes> again = initiator_->cookie(received.datagram);
      if (!again) return std::nullopt;
      init_ = std::move(*again);
      repeat_handshake();
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

std::optional<DcLink::Incoming> DcLink::on_response(const datapath::ControlReceived& received) {
  if (!initiator_ || init_.empty()) return std::nullopt;
  Result<exchange::HandshakeInitiator::Established> done =
      initiator_->response(received.datagram, context_.now);
  if (!done) return std::nullopt;
  Result<wire::ControlMessage> message = wire::decode_control(done->payload);
  wipe(done->payload);
  if (!message) return std::nullopt;
  drop_session();
  session_.emplace(std::move(done->session));
  abandon_handshake();
  heard_ = received.from.family();
  return Incoming{std::move(*message), received.from.family(), true};
}

std::optional<DcLink::Incoming> DcLink::on_record(const datapath::ControlReceived& received) {
  Result<wire::RecordHeader> header = wire::decode_record_header(received.datagram);
  if (!header) return std::nullopt;
  exchange::Session* session = nullptr;
  bool present = session_ && header->id == session_->local_id().value;
  if (present) session = &*session_;
  else if (former_ && context_.now < former_until_ && header->id == former_->local_id().value)
    session = &*former_;
  if (session == nullptr) return std::nullopt;
  tl::expected<exchange::Session::Opened, exchange::Session::Refusal> opened =
      session->open(received.datagram);
  if (!opened) return std::nullopt;
  Result<wire::ControlMessage> message = wire::decode_control(opened->plaintext);
  wipe(opened->plaintext);
  if (!message) {
    context_.note("bad_message", {{"reason", message.error().text}});
    return std::nullopt;
  }
  if (opened->newest && present) heard_ = received.from.family();
  return Incoming{std::move(*message), received.from.family(), false};
}

bool DcLink::is_hint(const datapath::ControlReceived& received) const {
  Result<wire::ControlHint> hint = wire::decode_control_hint(received.datagram);
  if (!hint || !hint_token_) return false;
  if (hint->key_hash != crypto::key_hash(context_.settings.key.public_key)) return false;
  return crypto::equal_secret(hint->token, *hint_token_);
}

}  // namespace ntm::terminal
