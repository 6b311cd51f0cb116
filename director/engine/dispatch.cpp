// Datagrams in: which of our zones, who sent it, and to whose code it goes.
//
// The order in which an HS_INIT is judged keeps a stranger cheap: length, type and mac1; the same
// one again gets the same answer; source limit; under load or over the limit a cookie; one DH;
// the key or token must be known; then the rest (docs/PROTOCOL.md 3).
#include <algorithm>

#include "director/engine/director_engine.hpp"

namespace ntm::director {

namespace {
bool can_be_a_source(const Endpoint& from) {
  return from.port != 0 && !from.address.is_multicast() && !from.address.is_unspecified();
}

// mac1 names an HS_INIT: it covers all of it but the cookie's MAC.
std::array<Byte, 16> mac1_of(ByteView datagram) {
  std::array<Byte, 16> out;
  ByteView mac1 = datagram.subspan(datagram.size() - wire::kMac1FromEnd, 16);
  std::copy(mac1.begin(), mac1.end(), out.begin());
  return out;
}
}  // namespace

void DirectorEngine::handle(Instant now, WallTime wall, const Datagram& datagram) {
  wall_ = wall;
  latest_ = now;
  std::optional<wire::DatagramType> type = wire::datagram_type(datagram.bytes);
  if (!type || !can_be_a_source(datagram.from)) return;
  switch (*type) {
    case wire::DatagramType::HandshakeInit: handle_init(now, wall, datagram); return;
    case wire::DatagramType::Control: handle_control(now, wall, datagram); return;
    case wire::DatagramType::HandshakeResponse:
    case wire::DatagramType::Cookie: handle_dc_response(now, datagram); return;
    case wire::DatagramType::ControlHint: handle_dc_hint(now, datagram); return;
    default: return;  // DATA and tunnel messages are not a DC's business
  }
}

void DirectorEngine::handle_init(Instant now, WallTime wall, const Datagram& datagram) {
  bool judged = false;
  for (std::size_t zone = 0; zone < responders_.size(); ++zone) {
    exchange::HandshakeResponder& responder = *responders_[zone];
    if (!responder.is_for_us(datagram.bytes)) continue;
    if (!judged) {
      // Our answer was lost, or somebody replays: the same answer costs nothing and does nothing.
      if (const Bytes* kept = kept_response(now, mac1_of(datagram.bytes))) {
        effects_.push_back(SendDatagram{datagram.local, datagram.from, *kept});
        return;
      }
      if (!may_open(now, datagram, responder)) return;
      judged = true;
      ++counters_.handshakes;
    }
    // Zones of one host share the key, and so the hint: the prologue decides which one is meant.
    Result<exchange::OpenedInit> opened = responder.open(datagram.bytes);
    if (!opened) continue;
    handle_opened(now, wall,
                  std::make_shared<Arrival>(Arrival{std::move(*opened), mac1_of(datagram.bytes),
                                                    datagram.from, datagram.local, zone}));
    return;
  }
}

bool DirectorEngine::proven_may_open(Instant now, const IpAddress& source) {
  ByteView key = source.is_v4() ? source.view() : source.view().first(8);
  std::uint64_t hash = proven_salt_ ^ 0xcbf29ce484222325ull;
  for (Byte b : key) hash = (hash ^ b) * 0x100000001b3ull;
  return proven_[(hash ^ (hash >> 32)) % kProvenSlots].allow(now, kProvenPerSecond);
}

bool DirectorEngine::may_open(Instant now, const Datagram& datagram,
                              exchange::HandshakeResponder& responder) {
  bool within_limit = limiter_.allow(now, datagram.from.address);
  bool calm = handshake_load_.allow(now, static_cast<int>(config_.cookie_threshold));
  if (within_limit && calm) return true;
  if (std::optional<Bytes> cookie = responder.demand_cookie(now, datagram.from, datagram.bytes)) {
    if (!within_limit) ++counters_.limited;
    effects_.push_back(SendDatagram{datagram.local, datagram.from, std::move(*cookie)});
    return false;
  }
  if (within_limit || proven_may_open(now, datagram.from.address)) return true;
  ++counters_.limited;
  return false;
}

void DirectorEngine::handle_opened(Instant now, WallTime wall, const ArrivalPtr& arrival) {
  std::optional<Key32> psk;
  if (arrival->opened.pattern() == wire::Pattern::IKpsk1) {
    std::map<TokenId, store::Token>::iterator token = tokens_.find(arrival->opened.token());
    if (token == tokens_.end() || token->second.expires <= wall) {
      ++counters_.refused;
      return;
    }
    psk = token->second.psk;
  }
  Result<Bytes> payload = arrival->opened.read_payload(psk);
  if (!payload) {
    ++counters_.refused;
    return;
  }
  Result<wire::ControlMessage> message = wire::decode_control(*payload);
  wipe(*payload);
  if (message) handle_first(now, wall, arrival, psk.has_value(), std::move(*message));
  else ++counters_.refused;
}

void DirectorEngine::handle_first(Instant now, WallTime wall, const ArrivalPtr& arrival,
                                  bool enrols, wire::ControlMessage message) {
  if (wire::RegistrationRequest* r = std::get_if<wire::RegistrationRequest>(&message)) {
    if (enrols) enrol_terminal(now, wall, arrival, *r);
    else first_registration(now, wall, arrival, std::move(*r));
  } else if (wire::RelayAttach* a = std::get_if<wire::RelayAttach>(&message)) {
    if (enrols) {
      enrol_relay(now, wall, arrival, *a);
      return;
    }
    std::map<PublicKey, Name>::iterator known = relay_keys_.find(arrival->opened.initiator());
    if (known == relay_keys_.end() || known->second != a->name) {
      ++counters_.refused;
      return;
    }
    relay_attach(now, *arrival, *a, relays_.at(known->second));
  } else if (wire::RouteDirection* d = std::get_if<wire::RouteDirection>(&message)) {
    if (enrols) ++counters_.refused;
    else first_contact(now, Stranger{d->initiator_zone, arrival, std::move(*d), now});
  } else {
    ++counters_.refused;
  }
}

void DirectorEngine::first_registration(Instant now, WallTime wall, const ArrivalPtr& arrival,
                                        wire::RegistrationRequest request) {
  const PublicKey& key = arrival->opened.initiator();
  std::map<PublicKey, Name>::iterator known = terminal_keys_.find(key);
  if (known == terminal_keys_.end() || known->second != request.name ||
      zone_of(request.name) != arrival->zone) {
    ++counters_.refused;
    notify(Notify::Kind::Refused, request.name,
           "registration with a key that is not the name's, from " + to_string(arrival->from));
    return;
  }
  PendingRegistration pending;
  pending.request = std::move(request);
  pending.from = arrival->from;
  pending.local = arrival->local;
  pending.arrival = arrival;
  pending.key = key;
  registration(now, wall, std::move(pending), terminals_.at(known->second));
}

// A session stands on a key. Who has lost the name (a new enrolment, another key) has lost the
// session too; and an enrolment whose token was used up by another key never gets one.
bool DirectorEngine::key_still_valid(const SessionEntry& session) const {
  if (session.kind == PeerKind::Terminal) {
    std::map<Name, TerminalEntry>::const_iterator it = terminals_.find(session.name);
    return it != terminals_.end() && it->second.view.terminal.key == session.session.peer();
  }
  if (session.kind == PeerKind::Relay) {
    std::map<Name, RelayEntry>::const_iterator it = relays_.find(session.name);
    return it != relays_.end() && it->second.relay.key == session.session.peer();
  }
  return true;  // peers_changed() ends the sessions of DCs that are not believed any more
}

void DirectorEngine::handle_control(Instant now, WallTime wall, const Datagram& datagram) {
  Result<wire::RecordHeader> header = wire::decode_record_header(datagram.bytes);
  if (!header) return;
  std::unordered_map<SessionId, SessionEntry>::iterator it = sessions_.find({header->id});
  if (it == sessions_.end()) {
    hint_unknown_session(now, datagram, {header->id});
    return;
  }
  SessionEntry& entry = it->second;
  tl::expected<exchange::Session::Opened, exchange::Session::Refusal> opened =
      entry.session.open(datagram.bytes);
  if (!opened) return;
  if (!key_still_valid(entry)) {
    ++counters_.refused;
    sessions_.erase(it);
    return;
  }
  if (opened->newest) {
    entry.peer = datagram.from;
    entry.local = datagram.local;
  }
  entry.last = now;
  if (!entry.confirmed) {
    entry.confirmed = true;
    make_current(it->first);
  }
  Result<wire::ControlMessage> message = wire::decode_control(opened->plaintext);
  wipe(opened->plaintext);
  if (message) handle_message(now, wall, entry, *message);
  else ++counters_.refused;
}

void DirectorEngine::handle_message(Instant now, WallTime wall, SessionEntry& session,
                                    const wire::ControlMessage& message) {
  if (const wire::KeepAlive* m = std::get_if<wire::KeepAlive>(&message)) {
    keep_alive(now, session, *m);
  } else if (session.kind == PeerKind::Terminal) {
    from_terminal(now, wall, session, terminals_.at(session.name), message);
  } else if (session.kind == PeerKind::Relay) {
    from_relay(now, session, relays_.at(session.name), message);
  } else {
    from_dc(now, session, message);
  }
}

void DirectorEngine::from_terminal(Instant now, WallTime wall, SessionEntry& session,
                                   TerminalEntry& entry, const wire::ControlMessage& message) {
  touch(now, entry);
  if (const wire::RegistrationRequest* r = std::get_if<wire::RegistrationRequest>(&message)) {
    if (r->name != session.name) return;
    PendingRegistration pending;
    pending.request = *r;
    pending.from = session.peer;
    pending.local = session.local;
    pending.session = session.session.local_id();
    pending.key = session.session.peer();
    registration(now, wall, std::move(pending), entry);
  } else if (const wire::DirectionRequest* d = std::get_if<wire::DirectionRequest>(&message)) {
    direction_request(now, session, *d);
  } else if (const wire::RouteAck* a = std::get_if<wire::RouteAck>(&message)) {
    route_ack(now, session, *a);
  }
}

void DirectorEngine::from_relay(Instant now, SessionEntry& session, RelayEntry& entry,
                                const wire::ControlMessage& message) {
  entry.last_seen = now;
  if (const wire::RelayStatus* s = std::get_if<wire::RelayStatus>(&message)) {
    entry.entries = s->entries;
    entry.capacity = s->capacity;
  } else if (const wire::RelayResponse* r = std::get_if<wire::RelayResponse>(&message)) {
    relay_response(now, session, *r);
  } else if (const wire::RelayAttach* a = std::get_if<wire::RelayAttach>(&message)) {
    if (!a->leaving || a->counter <= entry.counter) return;
    entry.session.reset();
    entry.counter = a->counter;
    notify(Notify::Kind::RelayDown, session.name, "left");
  }
}

void DirectorEngine::from_dc(Instant now, SessionEntry& session,
                             const wire::ControlMessage& message) {
  if (const wire::RouteDirection* d = std::get_if<wire::RouteDirection>(&message))
    dc_route_direction(now, session, *d);
  else if (const wire::RouteAck* a = std::get_if<wire::RouteAck>(&message))
    route_ack(now, session, *a);
  else if (const wire::PathRevoke* v = std::get_if<wire::PathRevoke>(&message))
    dc_path_revoke(now, session, *v);
}

}  // namespace ntm::director
