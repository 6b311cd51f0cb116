// What DCs and relays say to each other: attach, status, Relay Direction and Response (paper 4.3).
#include <cassert>

#include "libntm/wire/tlv.hpp"

namespace ntm::wire {

namespace {
enum DirectionTlv : std::uint8_t {
  kDirRequest = 1, kDirPath = 2, kDirLegA = 3, kDirLegB = 4, kDirLifetime = 5, kDirKbit = 6,
  kDirPackets = 7,
};
enum ResponseTlv : std::uint8_t { kResRequest = 1, kResStatus = 2, kResEndpoint = 3 };
enum AttachTlv : std::uint8_t {
  kAttCounter = 1, kAttName = 2, kAttEndpoint = 3, kAttCapacity = 4, kAttEntries = 5,
  kAttSecret = 6, kAttLeaving = 7,
};
enum AttachResponseTlv : std::uint8_t {
  kAreStatus = 1, kAreCounter = 2, kAreObserved = 3, kAreKeepAlive = 4, kAreToken = 5,
};
enum StatusTlv : std::uint8_t { kStaEntries = 1, kStaCapacity = 2, kStaKbit = 3 };
constexpr std::size_t kMaxEndpoints = 2;  // at most one a family

void put_leg(TlvWriter& out, std::uint8_t type, const RelayLeg& leg) {
  out.begin(type).bytes(leg.key.view()).u8(static_cast<Byte>(leg.family));
  out.end();
}
RelayLeg get_leg(TlvReader& in) {
  RelayLeg leg;
  leg.key = in.key16();
  std::uint8_t family = in.value().u8();
  if (family != 4 && family != 6) in.fail();
  leg.family = family == 6 ? Family::V6 : Family::V4;
  return leg;
}
void get_endpoint(TlvReader& in, std::vector<Endpoint>& out) {
  in.many();
  out.push_back(in.endpoint());
  if (out.size() > kMaxEndpoints) in.fail();
}
}  // namespace

Bytes encode_body(const RelayDirection& m) {
  assert(!m.paths.empty() && m.paths.size() <= kMaxPathsPerPair);
  TlvWriter out(MessageKind::RelayDirection);
  out.u64(kDirRequest, m.request.value);
  for (PathId p : m.paths) out.u64(kDirPath, p.value);
  put_leg(out, kDirLegA, m.leg_a);
  put_leg(out, kDirLegB, m.leg_b);
  out.u32(kDirLifetime, m.lifetime_seconds);
  out.u32(kDirKbit, m.kbit_per_second);
  out.u32(kDirPackets, m.packets_per_second);
  return out.take();
}

Result<ControlMessage> decode_relay_direction(ByteView body) {
  TlvReader in(body);
  RelayDirection m;
  while (in.next()) switch (in.type()) {
      case kDirRequest: in.once(); m.request = {in.value().u64()}; break;
      case kDirPath: {
        in.many();
        PathId path = in.path();
        for (PathId other : m.paths)
          if (other == path) in.fail();
        m.paths.push_back(path);
        if (m.paths.size() > kMaxPathsPerPair) in.fail();
        break;
      }
      case kDirLegA: in.once(); m.leg_a = get_leg(in); break;
      case kDirLegB: in.once(); m.leg_b = get_leg(in); break;
      case kDirLifetime: in.once(); m.lifetime_seconds = in.value().u32(); break;
      case kDirKbit: in.once(); m.kbit_per_second = in.value().u32(); break;
      case kDirPackets: in.once(); m.packets_per_second = in.value().u32(); break;
      default: in.unknown();
    }
  if (!in.finish({kDirRequest, kDirPath, kDirLegA, kDirLegB, kDirLifetime}))
    return invalid("a bad Relay Direction");
  return ControlMessage(std::move(m));
}

Bytes encode_body(const RelayResponse& m) {
  assert(m.endpoints.size() <= kMaxEndpoints);
  TlvWriter out(MessageKind::RelayResponse);
  out.u64(kResRequest, m.request.value);
  out.u8(kResStatus, static_cast<Byte>(m.status));
  for (const Endpoint& e : m.endpoints) out.endpoint(kResEndpoint, e);
  return out.take();
}

Result<ControlMessage> decode_relay_response(ByteView body) {
  TlvReader in(body);
  RelayResponse m;
  while (in.next()) switch (in.type()) {
      case kResRequest: in.once(); m.request = {in.value().u64()}; break;
      case kResStatus: in.once(); m.status = in.enumeration(Status::Version); break;
      case kResEndpoint: get_endpoint(in, m.endpoints); break;
      default: in.unknown();
    }
  if (!in.finish({kResRequest, kResStatus})) return invalid("a bad Relay Response");
  return ControlMessage(std::move(m));
}

Bytes encode_body(const RelayAttach& m) {
  assert(m.endpoints.size() <= kMaxEndpoints);
  TlvWriter out(MessageKind::RelayAttach);
  out.u64(kAttCounter, m.counter);
  out.name(kAttName, m.name);
  for (const Endpoint& e : m.endpoints) out.endpoint(kAttEndpoint, e);
  out.u32(kAttCapacity, m.capacity);
  out.u32(kAttEntries, m.entries);
  out.bytes(kAttSecret, m.token_secret.view());
  out.u8(kAttLeaving, m.leaving ? 1 : 0);
  return out.take();
}

Result<ControlMessage> decode_relay_attach(ByteView body) {
  TlvReader in(body);
  RelayAttach m;
  while (in.next()) switch (in.type()) {
      case kAttCounter: in.once(); m.counter = in.value().u64(); break;
      case kAttName: in.once(); m.name = in.name(); break;
      case kAttEndpoint: get_endpoint(in, m.endpoints); break;
      case kAttCapacity: in.once(); m.capacity = in.value().u32(); break;
      case kAttEntries: in.once(); m.entries = in.value().u32(); break;
      case kAttSecret: in.once(); m.token_secret = in.key32(); break;
      case kAttLeaving: in.once(); m.leaving = in.boolean(); break;
      default: in.unknown();
    }
  if (!in.finish({kAttCounter, kAttName, kAttCapacity, kAttSecret}))
    return invalid("a bad Relay Attach");
  return ControlMessage(std::move(m));
}

Bytes encode_body(const RelayAttachResponse& m) {
  TlvWriter out(MessageKind::RelayAttachResponse);
  out.u8(kAreStatus, static_cast<Byte>(m.status));
  out.u64(kAreCounter, m.counter);
  out.endpoint(kAreObserved, m.observed);
  out.u32(kAreKeepAlive, m.keep_alive_seconds);
  out.bytes(kAreToken, m.control_hint_token);
  return out.take();
}

Result<ControlMessage> decode_relay_attach_response(ByteView body) {
  TlvReader in(body);
  RelayAttachResponse m;
  while (in.next()) switch (in.type()) {
      case kAreStatus: in.once(); m.status = in.enumeration(Status::Version); break;
      case kAreCounter: in.once(); m.counter = in.value().u64(); break;
      case kAreObserved: in.once(); m.observed = in.endpoint(); break;
      case kAreKeepAlive: in.once(); m.keep_alive_seconds = in.value().u32(); break;
      case kAreToken: in.once(); m.control_hint_token = in.value().array<16>(); break;
      default: in.unknown();
    }
  if (!in.finish({kAreStatus, kAreCounter, kAreObserved}))
    return invalid("a bad Relay Attach Response");
  return ControlMessage(std::move(m));
}

Bytes encode_body(const RelayStatus& m) {
  TlvWriter out(MessageKind::RelayStatus);
  out.u32(kStaEntries, m.entries);
  out.u32(kStaCapacity, m.capacity);
  out.u32(kStaKbit, m.kbit_per_second);
  return out.take();
}

Result<ControlMessage> decode_relay_status(ByteView body) {
  TlvReader in(body);
  RelayStatus m;
  while (in.next()) switch (in.type()) {
      case kStaEntries: in.once(); m.entries = in.value().u32(); break;
      case kStaCapacity: in.once(); m.capacity = in.value().u32(); break;
      case kStaKbit: in.once(); m.kbit_per_second = in.value().u32(); break;
      default: in.unknown();
    }
  if (!in.finish({kStaEntries, kStaCapacity})) return invalid("a bad Relay Status");
  return ControlMessage(m);
}

}  // namespace ntm::wire
