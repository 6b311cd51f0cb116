// Dispatch of events to the table, the attachments and the early requests.
#include "relay/engine/relay_engine.hpp"

#include <algorithm>

#include "libntm/crypto/key_schedule.hpp"

namespace ntm::relay {

RelayEngine::RelayEngine(const RelayConfig& config, Random& random)
    : config_(config),
      random_(random),
      table_(config.max_entries, config.allow_private_sources, random),
      counter_(config.counter),
      reserved_below_(config.counter) {}
RelayEngine::~RelayEngine() = default;

void RelayEngine::start(Instant now) {
  for (const AttachmentConfig& dc : config_.dcs) add_dc(now, dc);
}

void RelayEngine::add_dc(Instant now, const AttachmentConfig& dc) {
  std::erase_if(attachments_,
                [&](const std::unique_ptr<Attachment>& a) { return a->zone() == dc.zone; });
  attachments_.push_back(std::make_unique<Attachment>(
      dc, config_.key, crypto::relay_token_secret(config_.reset_secret, dc.zone), *this, random_));
  attachments_.back()->start(now, effects_);
}

std::uint64_t RelayEngine::next_counter(std::vector<Effect>& effects) {
  // Blocks are reserved on disk before their first use; effects are performed in order, so the
  // reservation is durable before the datagram behind it leaves.
  if (counter_ >= reserved_below_) {
    reserved_below_ = counter_ + kCounterBlock;
    effects.push_back(ReserveCounter{reserved_below_});
  }
  return counter_++;
}

void RelayEngine::raise_counter(std::uint64_t past, std::vector<Effect>& effects) {
  counter_ = std::max(counter_, past + kCounterBlock);
  reserved_below_ = counter_ + kCounterBlock;
  effects.push_back(ReserveCounter{reserved_below_});
}

std::optional<datapath::SocketId> RelayEngine::socket_for(Family family) const {
  for (std::size_t i = 0; i < config_.families.size(); ++i)
    if (config_.families[i] == family) return config_.sockets[i];
  return std::nullopt;
}

void RelayEngine::handle(Instant now, const datapath::Event& event) {
  if (const datapath::ControlReceived* e = std::get_if<datapath::ControlReceived>(&event)) {
    handle_datagram(now, *e);
  } else if (const datapath::RelayActivity* a = std::get_if<datapath::RelayActivity>(&event)) {
    table_.activity(now, *a);
  } else if (const datapath::UnknownPath* u = std::get_if<datapath::UnknownPath>(&event)) {
    hint(wire::HintCode::UnknownPath, u->path, {u->socket, u->from, u->local, 0});
  } else if (const datapath::RelayForeignSource* f =
                 std::get_if<datapath::RelayForeignSource>(&event)) {
    hint(wire::HintCode::AddressChanged, f->path, {f->socket, f->from, f->local, 0});
  }
}

void RelayEngine::hint(wire::HintCode code, PathId path, const datapath::Outer& to) {
  if (!acceptable_source(to.remote, config_.allow_private_sources) || attachments_.empty()) return;
  // A known entry names its DC; after a restart nothing does, so the DCs take turns.
  const Name* zone = nullptr;
  if (const std::string* owner = table_.owner_of(path)) {
    for (const std::unique_ptr<Attachment>& a : attachments_)
      if (a->zone().text() == *owner) zone = &a->zone();
  }
  if (zone == nullptr) zone = &attachments_[hint_turn_++ % attachments_.size()]->zone();
  wire::TunnelHint message;
  message.code = code;
  message.path = path;
  message.token =
      crypto::path_hint_token(crypto::relay_token_secret(config_.reset_secret, *zone), path);
  effects_.push_back(SendControl{to, wire::encode(message)});
}

void RelayEngine::handle_datagram(Instant now, const datapath::ControlReceived& received) {
  std::optional<wire::DatagramType> type = wire::datagram_type(received.datagram);
  if (!type) return;
  if (*type == wire::DatagramType::TunnelRequest) {
    Result<wire::TunnelMessage> message = wire::decode_tunnel_message(received.datagram);
    if (!message) return;
    if (table_.request(now, received, *message, effects_) ==
        EntryTable::RequestResult::UnknownPath)
      early_.keep(now, message->path, received);
    return;
  }
  for (const std::unique_ptr<Attachment>& attachment : attachments_) {
    std::vector<wire::ControlMessage> messages;
    if (!attachment->handle(now, received, messages, effects_)) continue;
    for (const wire::ControlMessage& message : messages)
      handle_message(now, *attachment, message);
    return;
  }
}

void RelayEngine::handle_message(Instant now, Attachment& from,
                                 const wire::ControlMessage& message) {
  const wire::RelayDirection* direction = std::get_if<wire::RelayDirection>(&message);
  if (direction == nullptr) return;  // nothing else is a relay's business
  wire::RelayResponse response;
  response.request = direction->request;
  response.status = table_.direct(now, from.zone().text(), *direction, effects_);
  response.endpoints = config_.endpoints;
  from.send(now, wire::ControlMessage(response), effects_);
  if (response.status != wire::Status::Ok) return;
  for (PathId path : direction->paths)
    for (const datapath::ControlReceived& waiting : early_.take(now, path)) {
      Result<wire::TunnelMessage> request = wire::decode_tunnel_message(waiting.datagram);
      if (request) table_.request(now, waiting, *request, effects_);
    }
}

void RelayEngine::on_timer(Instant now) {
  table_.expire(now, effects_);
  for (const std::unique_ptr<Attachment>& attachment : attachments_)
    attachment->on_timer(now, effects_);
}

Instant RelayEngine::next_deadline() const {
  Instant when = table_.next_deadline();
  for (const std::unique_ptr<Attachment>& attachment : attachments_)
    when = std::min(when, attachment->next_deadline());
  return when;
}

void RelayEngine::leave(Instant now) {
  for (const std::unique_ptr<Attachment>& attachment : attachments_)
    attachment->leave(now, effects_);
}

std::vector<Effect> RelayEngine::take_effects() {
  std::vector<Effect> out;
  out.swap(effects_);
  return out;
}

std::vector<RelayEngine::DcStatus> RelayEngine::dc_status() const {
  std::vector<DcStatus> out;
  for (const std::unique_ptr<Attachment>& a : attachments_)
    out.push_back({a->zone(), a->state(), !a->is_enrolling(), a->last_error()});
  return out;
}

}  // namespace ntm::relay
