// Direction Request, Route Direction, Route Ack, Direction Error, Path Revoke, Peer Name
// (paper 4.3 to 4.5).
#include <cassert>

#include "libntm/wire/tlv.hpp"

namespace ntm::wire {

namespace {
enum RequestTlv : std::uint8_t {
  kReqRequest = 1, kReqPeer = 2, kReqAddress = 3, kReqZone = 4, kReqReason = 5, kReqOldPath = 6,
  kReqLocator = 7, kReqNtm4 = 8, kReqNtm6 = 9, kReqKeyHash = 10, kReqSuite = 11,
  kReqMessage1 = 12,
};
enum RouteTlv : std::uint8_t {
  kRteRequest = 1, kRteAttempt = 2, kRteTo = 3, kRteRole = 4, kRtePath = 5, kRteSpare = 6,
  kRteSecret = 7, kRteMode = 8, kRteReason = 9, kRteTarget = 10, kRteRelayEndpoint = 11,
  kRteRelay = 12, kRtePeer = 13, kRteInitiatorZone = 14, kRteResponderZone = 15,
  kRteVirtual4 = 16, kRteVirtual6 = 17, kRtePeerKey = 18, kRteDnssec = 19,
  kRteDirectionReason = 20, kRteOldPath = 21, kRteSuite = 22, kRteMessage1 = 23,
  kRteLocator = 24, kRteLifetime = 25, kRteCounter = 26, kRtePlanned = 27,
};
enum AckTlv : std::uint8_t {
  kAckRequest = 1, kAckStatus = 2, kAckLocator = 3, kAckObserved4 = 4, kAckObserved6 = 5,
};
enum ErrorTlv : std::uint8_t { kErrRequest = 1, kErrStatus = 2 };
enum RevokeTlv : std::uint8_t { kRevRequest = 1, kRevTo = 2, kRevPath = 3, kRevReason = 4 };
enum PeerTlv : std::uint8_t { kPeeRequest = 1, kPeeName = 2 };

constexpr std::size_t kMaxSpares = 2;
constexpr std::size_t kMaxRdata = 400;  // an NTM record with two keys and names is about 250
constexpr std::size_t kMaxRelayEndpoints = 2;

Bytes get_message1(TlvReader& in) {
  ByteView view = in.value().bytes(in.value().left());
  if (view.size() != kMessage1Size) in.fail();
  return to_bytes(view);
}
Bytes get_rdata(TlvReader& in) {
  ByteView view = in.value().bytes(in.value().left());
  if (view.empty() || view.size() > kMaxRdata) in.fail();
  return to_bytes(view);
}
void get_locator(TlvReader& in, std::vector<Locator>& out) {
  in.many();
  out.push_back(in.locator());
  if (out.size() > kMaxLocators) in.fail();
}
}  // namespace

Bytes encode_body(const DirectionRequest& m) {
  assert(m.locators.size() <= kMaxLocators);
  assert(m.message1.empty() || m.message1.size() == kMessage1Size);
  TlvWriter out(MessageKind::DirectionRequest);
  out.u64(kReqRequest, m.request.value);
  out.name(kReqPeer, m.peer);
  if (m.peer_address) out.address(kReqAddress, *m.peer_address);
  out.name(kReqZone, m.peer_zone);
  out.u8(kReqReason, static_cast<Byte>(m.reason));
  if (m.old_path) out.u64(kReqOldPath, m.old_path->value);
  for (const Locator& l : m.locators) out.locator(kReqLocator, l);
  if (!m.peer_ntm4.empty()) out.bytes(kReqNtm4, m.peer_ntm4);
  if (!m.peer_ntm6.empty()) out.bytes(kReqNtm6, m.peer_ntm6);
  out.bytes(kReqKeyHash, m.peer_key_hash);
  out.u8(kReqSuite, m.suite);
  if (!m.message1.empty()) out.bytes(kReqMessage1, m.message1);
  return out.take();
}

Result<ControlMessage> decode_direction_request(ByteView body) {
  TlvReader in(body);
  DirectionRequest m;
  while (in.next()) switch (in.type()) {
      case kReqRequest: in.once(); m.request = {in.value().u64()}; break;
      case kReqPeer: in.once(); m.peer = in.name(); break;
      case kReqAddress: in.once(); m.peer_address = in.address(); break;
      case kReqZone: in.once(); m.peer_zone = in.name(); break;
      case kReqReason: in.once(); m.reason = in.enumeration(DirectionReason::Rekey); break;
      case kReqOldPath: in.once(); m.old_path = in.path(); break;
      case kReqLocator: get_locator(in, m.locators); break;
      case kReqNtm4: in.once(); m.peer_ntm4 = get_rdata(in); break;
      case kReqNtm6: in.once(); m.peer_ntm6 = get_rdata(in); break;
      case kReqKeyHash: in.once(); m.peer_key_hash = in.value().array<8>(); break;
      case kReqSuite: in.once(); m.suite = in.value().u8(); break;
      case kReqMessage1: in.once(); m.message1 = get_message1(in); break;
      default: in.unknown();
    }
  if (!in.finish({kReqRequest, kReqPeer, kReqReason})) return invalid("a bad Direction Request");
  // By name with message 1, or by address without: nothing in between makes sense.
  if (m.peer_address.has_value() != m.peer.is_root() ||
      m.peer_address.has_value() != m.message1.empty())
    return invalid("a Direction Request must name its peer by name and message, or by address");
  return ControlMessage(std::move(m));
}

namespace {
void put_route_core(TlvWriter& out, const RouteDirection& m) {
  out.u64(kRteRequest, m.request.value);
  out.u8(kRteAttempt, m.attempt);
  out.name(kRteTo, m.to);
  out.u8(kRteRole, static_cast<Byte>(m.role));
  out.u64(kRtePath, m.path.value);
  for (PathId p : m.spares) out.u64(kRteSpare, p.value);
  out.bytes(kRteSecret, m.path_secret.view());
  out.u8(kRteMode, static_cast<Byte>(m.mode));
  if (!m.reason.empty()) out.bytes(kRteReason, as_view(m.reason));
  for (const Endpoint& e : m.targets) out.endpoint(kRteTarget, e);
}
void put_relay(TlvWriter& out, const RelayTarget& relay) {
  for (const Endpoint& e : relay.endpoints) out.endpoint(kRteRelayEndpoint, e);
  out.begin(kRteRelay)
      .u64(relay.path.value)
      .bytes(relay.leg_key.view())
      .u8(static_cast<Byte>(relay.leg))
      .bytes(relay.reset_token);
  out.end();
}
}  // namespace

Bytes encode_body(const RouteDirection& m) {
  assert(m.spares.size() <= kMaxSpares && m.targets.size() <= kMaxTargets);
  assert(m.reason.size() <= kMaxReasonText && m.peer_locators.size() <= kMaxLocators);
  assert(m.message1.empty() || m.message1.size() == kMessage1Size);
  assert(m.planned.size() <= kMaxPlanned);
  assert(!m.relay || m.relay->endpoints.size() <= kMaxRelayEndpoints);
  TlvWriter out(MessageKind::RouteDirection);
  put_route_core(out, m);
  if (m.relay) put_relay(out, *m.relay);
  out.name(kRtePeer, m.peer);
  out.name(kRteInitiatorZone, m.initiator_zone);
  out.name(kRteResponderZone, m.responder_zone);
  if (m.peer_virtual.v4) out.address(kRteVirtual4, *m.peer_virtual.v4);
  if (m.peer_virtual.v6) out.address(kRteVirtual6, *m.peer_virtual.v6);
  out.bytes(kRtePeerKey, m.peer_key.view());
  out.u8(kRteDnssec, static_cast<Byte>(m.dnssec));
  out.u8(kRteDirectionReason, static_cast<Byte>(m.direction_reason));
  if (m.old_path) out.u64(kRteOldPath, m.old_path->value);
  out.u8(kRteSuite, m.suite);
  if (!m.message1.empty()) out.bytes(kRteMessage1, m.message1);
  for (const Locator& l : m.peer_locators) out.locator(kRteLocator, l);
  out.u32(kRteLifetime, m.lifetime_seconds);
  if (m.sender_counter != 0) out.u64(kRteCounter, m.sender_counter);
  for (const Endpoint& e : m.planned) out.endpoint(kRtePlanned, e);
  return out.take();
}

namespace {
// The TLVs that need more than one line; false when the type is not one of them.
bool get_route_special(TlvReader& in, RouteDirection& m, RelayTarget& relay) {
  switch (in.type()) {
    case kRteSpare:
      in.many();
      m.spares.push_back(in.path());
      if (m.spares.size() > kMaxSpares) in.fail();
      return true;
    case kRteReason: {
      in.once();
      ByteView view = in.value().bytes(in.value().left());
      if (view.size() > kMaxReasonText) in.fail();
      m.reason.assign(view.begin(), view.end());
      return true;
    }
    case kRteTarget:
      in.many();
      m.targets.push_back(in.endpoint());
      if (m.targets.size() > kMaxTargets) in.fail();
      return true;
    case kRtePlanned:
      in.many();
      m.planned.push_back(in.endpoint());
      if (m.planned.size() > kMaxPlanned) in.fail();
      return true;
    case kRteRelayEndpoint:
      in.many();
      relay.endpoints.push_back(in.endpoint());
      if (relay.endpoints.size() > kMaxRelayEndpoints) in.fail();
      return true;
    case kRteRelay: {
      in.once();
      relay.path = in.path();
      relay.leg_key = in.key16();
      std::uint8_t leg = in.value().u8();
      if (leg > 1) in.fail();
      relay.leg = leg == 1 ? Leg::B : Leg::A;
      relay.reset_token = in.value().array<16>();
      return true;
    }
    case kRteVirtual4:
      in.once();
      m.peer_virtual.v4 = Ipv4{in.value().array<4>()};
      return true;
    case kRteVirtual6:
      in.once();
      m.peer_virtual.v6 = Ipv6{in.value().array<16>()};
      return true;
    default: return false;
  }
}
}  // namespace

Result<ControlMessage> decode_route_direction(ByteView body) {
  TlvReader in(body);
  RouteDirection m;
  RelayTarget relay;
  while (in.next()) {
    if (get_route_special(in, m, relay)) continue;
    switch (in.type()) {
      case kRteRequest: in.once(); m.request = {in.value().u64()}; break;
      case kRteAttempt: in.once(); m.attempt = in.value().u8(); break;
      case kRteTo: in.once(); m.to = in.name(); break;
      case kRteRole: in.once(); m.role = in.enumeration(Role::Responder); break;
      case kRtePath: in.once(); m.path = in.path(); break;
      case kRteSecret: in.once(); m.path_secret = in.key32(); break;
      case kRteMode: in.once(); m.mode = in.enumeration(RouteMode::Relay); break;
      case kRtePeer: in.once(); m.peer = in.name(); break;
      case kRteInitiatorZone: in.once(); m.initiator_zone = in.name(); break;
      case kRteResponderZone: in.once(); m.responder_zone = in.name(); break;
      case kRtePeerKey: in.once(); m.peer_key = in.public_key(); break;
      case kRteDnssec: in.once(); m.dnssec = in.enumeration(DnssecState::Secure); break;
      case kRteDirectionReason:
        in.once();
        m.direction_reason = in.enumeration(DirectionReason::Rekey);
        break;
      case kRteOldPath: in.once(); m.old_path = in.path(); break;
      case kRteSuite: in.once(); m.suite = in.value().u8(); break;
      case kRteMessage1: in.once(); m.message1 = get_message1(in); break;
      case kRteLocator: get_locator(in, m.peer_locators); break;
      case kRteLifetime: in.once(); m.lifetime_seconds = in.value().u32(); break;
      case kRteCounter: in.once(); m.sender_counter = in.value().u64(); break;
      default: in.unknown();
    }
  }
  bool relay_whole = in.seen(kRteRelay) == in.seen(kRteRelayEndpoint);
  if (!relay_whole || !in.finish({kRteRequest, kRteTo, kRteRole, kRtePath, kRteSecret, kRteMode,
                                  kRtePeer, kRteInitiatorZone, kRteResponderZone, kRtePeerKey,
                                  kRteSuite, kRteLifetime}))
    return invalid("a bad Route Direction");
  if ((m.role == Role::Responder) != !m.message1.empty())
    return invalid("a Route Direction carries message 1 exactly when it is for the responder");
  if (in.seen(kRteRelay)) m.relay = std::move(relay);
  return ControlMessage(std::move(m));
}

Bytes encode_body(const RouteAck& m) {
  assert(m.locators.size() <= kMaxLocators);
  TlvWriter out(MessageKind::RouteAck);
  out.u64(kAckRequest, m.request.value);
  out.u8(kAckStatus, static_cast<Byte>(m.status));
  for (const Locator& l : m.locators) out.locator(kAckLocator, l);
  if (m.observed4) out.endpoint(kAckObserved4, *m.observed4);
  if (m.observed6) out.endpoint(kAckObserved6, *m.observed6);
  return out.take();
}

Result<ControlMessage> decode_route_ack(ByteView body) {
  TlvReader in(body);
  RouteAck m;
  while (in.next()) switch (in.type()) {
      case kAckRequest: in.once(); m.request = {in.value().u64()}; break;
      case kAckStatus: in.once(); m.status = in.enumeration(Status::Version); break;
      case kAckLocator: get_locator(in, m.locators); break;
      case kAckObserved4:
        in.once();
        m.observed4 = in.endpoint();
        if (!m.observed4->address.is_v4()) in.fail();
        break;
      case kAckObserved6:
        in.once();
        m.observed6 = in.endpoint();
        if (!m.observed6->address.is_v6()) in.fail();
        break;
      default: in.unknown();
    }
  if (!in.finish({kAckRequest, kAckStatus})) return invalid("a bad Route Ack");
  return ControlMessage(std::move(m));
}

Bytes encode_body(const DirectionError& m) {
  TlvWriter out(MessageKind::DirectionError);
  out.u64(kErrRequest, m.request.value);
  out.u8(kErrStatus, static_cast<Byte>(m.status));
  return out.take();
}

Result<ControlMessage> decode_direction_error(ByteView body) {
  TlvReader in(body);
  DirectionError m;
  while (in.next()) switch (in.type()) {
      case kErrRequest: in.once(); m.request = {in.value().u64()}; break;
      case kErrStatus: in.once(); m.status = in.enumeration(Status::Version); break;
      default: in.unknown();
    }
  if (!in.finish({kErrRequest, kErrStatus})) return invalid("a bad Direction Error");
  return ControlMessage(m);
}

Bytes encode_body(const PathRevoke& m) {
  assert(!m.paths.empty() && m.paths.size() <= kMaxPathsPerPair);
  TlvWriter out(MessageKind::PathRevoke);
  out.u64(kRevRequest, m.request.value);
  out.name(kRevTo, m.to);
  for (PathId p : m.paths) out.u64(kRevPath, p.value);
  out.u8(kRevReason, static_cast<Byte>(m.reason));
  return out.take();
}

Result<ControlMessage> decode_path_revoke(ByteView body) {
  TlvReader in(body);
  PathRevoke m;
  while (in.next()) switch (in.type()) {
      case kRevRequest: in.once(); m.request = {in.value().u64()}; break;
      case kRevTo: in.once(); m.to = in.name(); break;
      case kRevPath:
        in.many();
        m.paths.push_back(in.path());
        if (m.paths.size() > kMaxPathsPerPair) in.fail();
        break;
      case kRevReason: in.once(); m.reason = in.enumeration(RevokeReason::Closed); break;
      default: in.unknown();
    }
  if (!in.finish({kRevRequest, kRevTo, kRevPath, kRevReason})) return invalid("a bad Path Revoke");
  return ControlMessage(std::move(m));
}

Bytes encode_body(const PeerName& m) {
  TlvWriter out(MessageKind::PeerName);
  out.u64(kPeeRequest, m.request.value);
  out.name(kPeeName, m.name);
  return out.take();
}

Result<ControlMessage> decode_peer_name(ByteView body) {
  TlvReader in(body);
  PeerName m;
  while (in.next()) switch (in.type()) {
      case kPeeRequest: in.once(); m.request = {in.value().u64()}; break;
      case kPeeName: in.once(); m.name = in.name(); break;
      default: in.unknown();
    }
  if (!in.finish({kPeeRequest, kPeeName})) return invalid("a bad Peer Name");
  return ControlMessage(std::move(m));
}

}  // namespace ntm::wire
