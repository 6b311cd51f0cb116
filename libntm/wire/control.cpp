// Names of kinds and states, and the dispatch by kind byte.
#include "libntm/wire/control.hpp"

#include "libntm/wire/tlv.hpp"

namespace ntm::wire {

const char* to_string(MessageKind kind) {
  switch (kind) {
    case MessageKind::KeepAlive: return "Keep Alive";
    case MessageKind::RegistrationRequest: return "Registration Request";
    case MessageKind::RegistrationResponse: return "Registration Response";
    case MessageKind::DirectionRequest: return "Direction Request";
    case MessageKind::RelayDirection: return "Relay Direction";
    case MessageKind::RelayResponse: return "Relay Response";
    case MessageKind::RouteDirection: return "Route Direction";
    case MessageKind::RouteAck: return "Route Ack";
    case MessageKind::DirectionError: return "Direction Error";
    case MessageKind::PathRevoke: return "Path Revoke";
    case MessageKind::RelayAttach: return "Relay Attach";
    case MessageKind::RelayAttachResponse: return "Relay Attach Response";
    case MessageKind::RelayStatus: return "Relay Status";
    case MessageKind::PeerName: return "Peer Name";
  }
  return "?";
}

const char* to_string(Status status) {
  switch (status) {
    case Status::Ok: return "OK";
    case Status::UnknownName: return "UNKNOWN_NAME";
    case Status::Offline: return "OFFLINE";
    case Status::Moved: return "MOVED";
    case Status::Denied: return "DENIED";
    case Status::NoRelay: return "NO_RELAY";
    case Status::RelayFull: return "RELAY_FULL";
    case Status::PathIdInUse: return "PID_IN_USE";
    case Status::NoSuite: return "NO_SUITE";
    case Status::BadKey: return "BAD_KEY";
    case Status::Stale: return "STALE";
    case Status::RateLimited: return "RATE_LIMITED";
    case Status::TryLater: return "TRY_LATER";
    case Status::Version: return "VERSION";
  }
  return "?";
}

const char* to_string(DirectionReason reason) {
  switch (reason) {
    case DirectionReason::New: return "new";
    case DirectionReason::Handover: return "handover";
    case DirectionReason::PathLost: return "path-lost";
    case DirectionReason::Rekey: return "rekey";
  }
  return "?";
}

const char* to_string(RouteMode mode) { return mode == RouteMode::Direct ? "direct" : "relay"; }

MessageKind kind_of(const ControlMessage& message) {
  struct Visitor {
    MessageKind operator()(const KeepAlive&) { return MessageKind::KeepAlive; }
    MessageKind operator()(const RegistrationRequest&) { return MessageKind::RegistrationRequest; }
    MessageKind operator()(const RegistrationResponse&) {
      return MessageKind::RegistrationResponse;
    }
    MessageKind operator()(const DirectionRequest&) { return MessageKind::DirectionRequest; }
    MessageKind operator()(const RelayDirection&) { return MessageKind::RelayDirection; }
    MessageKind operator()(const RelayResponse&) { return MessageKind::RelayResponse; }
    MessageKind operator()(const RouteDirection&) { return MessageKind::RouteDirection; }
    MessageKind operator()(const RouteAck&) { return MessageKind::RouteAck; }
    MessageKind operator()(const DirectionError&) { return MessageKind::DirectionError; }
    MessageKind operator()(const PathRevoke&) { return MessageKind::PathRevoke; }
    MessageKind operator()(const RelayAttach&) { return MessageKind::RelayAttach; }
    MessageKind operator()(const RelayAttachResponse&) { return MessageKind::RelayAttachResponse; }
    MessageKind operator()(const RelayStatus&) { return MessageKind::RelayStatus; }
    MessageKind operator()(const PeerName&) { return MessageKind::PeerName; }
  };
  return std::visit(Visitor{}, message);
}

Bytes encode(const ControlMessage& message) {
  return std::visit([](const auto& m) { return encode_body(m); }, message);
}

Result<ControlMessage> decode_control(ByteView plaintext) {
  if (plaintext.empty()) return invalid("an empty control message");
  ByteView body = plaintext.subspan(1);
  switch (static_cast<MessageKind>(plaintext[0])) {
    case MessageKind::KeepAlive: return decode_keep_alive(body);
    case MessageKind::RegistrationRequest: return decode_registration_request(body);
    case MessageKind::RegistrationResponse: return decode_registration_response(body);
    case MessageKind::DirectionRequest: return decode_direction_request(body);
    case MessageKind::RelayDirection: return decode_relay_direction(body);
    case MessageKind::RelayResponse: return decode_relay_response(body);
    case MessageKind::RouteDirection: return decode_route_direction(body);
    case MessageKind::RouteAck: return decode_route_ack(body);
    case MessageKind::DirectionError: return decode_direction_error(body);
    case MessageKind::PathRevoke: return decode_path_revoke(body);
    case MessageKind::RelayAttach: return decode_relay_attach(body);
    case MessageKind::RelayAttachResponse: return decode_relay_attach_response(body);
    case MessageKind::RelayStatus: return decode_relay_status(body);
    case MessageKind::PeerName: return decode_peer_name(body);
  }
  return invalid("a control message of unknown kind");
}

}  // namespace ntm::wire
