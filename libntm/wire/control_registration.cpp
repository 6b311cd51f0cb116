// Keep Alive, Registration Request and Response (paper 4.2).
#include <cassert>

#include "libntm/wire/tlv.hpp"

namespace ntm::wire {

namespace {
// docs/PROTOCOL-MESSAGES.md repeats these tables.
enum KeepAliveTlv : std::uint8_t { kKaSequence = 1, kKaFlags = 2, kKaObserved = 3 };
enum RequestTlv : std::uint8_t {
  kReqCounter = 1, kReqName = 2, kReqFlags = 3, kReqLocator = 4, kReqVirtual4 = 5,
  kReqVirtual6 = 6, kReqSuites = 7, kReqCapabilities = 8, kReqNextKey = 9, kReqResumes = 10,
};
enum ResponseTlv : std::uint8_t {
  kResStatus = 1, kResCounter = 2, kResObserved = 3, kResNat = 4, kResVirtual4 = 5,
  kResVirtual6 = 6, kResZone = 7, kResPrefix6 = 8, kResPool4 = 9, kResLease = 10,
  kResKeepAlive = 11, kResHintToken = 12, kResNextKey = 13, kResTime = 14, kResDc = 15,
  kResRelay = 16,
};
constexpr std::uint8_t kWantEcho = 1;
constexpr std::uint8_t kIsEcho = 2;
constexpr std::uint8_t kLeaving = 1;
constexpr std::uint8_t kPrivate = 2;
constexpr std::uint8_t kRelayOnly = 4;
constexpr std::size_t kMaxList = 4;  // pools, DC endpoints, relay hints
}  // namespace

Bytes encode_body(const KeepAlive& m) {
  TlvWriter out(MessageKind::KeepAlive);
  out.u32(kKaSequence, m.sequence);
  out.u8(kKaFlags, static_cast<Byte>((m.want_echo ? kWantEcho : 0) | (m.is_echo ? kIsEcho : 0)));
  out.u32(kKaObserved, m.observed_hash);
  return out.take();
}

Result<ControlMessage> decode_keep_alive(ByteView body) {
  TlvReader in(body);
  KeepAlive m;
  while (in.next()) switch (in.type()) {
      case kKaSequence: in.once(); m.sequence = in.value().u32(); break;
      case kKaFlags: {
        in.once();
        std::uint8_t flags = in.value().u8();
        if (flags & ~(kWantEcho | kIsEcho)) in.fail();
        m.want_echo = flags & kWantEcho;
        m.is_echo = flags & kIsEcho;
        break;
      }
      case kKaObserved: in.once(); m.observed_hash = in.value().u32(); break;
      default: in.unknown();
    }
  if (!in.finish({kKaSequence, kKaFlags, kKaObserved})) return invalid("a bad Keep Alive");
  return ControlMessage(m);
}

Bytes encode_body(const RegistrationRequest& m) {
  assert(m.locators.size() <= kMaxLocators);
  TlvWriter out(MessageKind::RegistrationRequest);
  out.u64(kReqCounter, m.counter);
  out.name(kReqName, m.name);
  out.u8(kReqFlags, static_cast<Byte>((m.leaving ? kLeaving : 0) |
                                      (m.private_locators ? kPrivate : 0) |
                                      (m.relay_only ? kRelayOnly : 0)));
  for (const Locator& l : m.locators) out.locator(kReqLocator, l);
  if (m.virtual_echo.v4) out.address(kReqVirtual4, *m.virtual_echo.v4);
  if (m.virtual_echo.v6) out.address(kReqVirtual6, *m.virtual_echo.v6);
  out.u16(kReqSuites, m.suites);
  out.u32(kReqCapabilities, m.capabilities);
  if (m.next_key) out.bytes(kReqNextKey, m.next_key->view());
  if (m.resumes) out.u64(kReqResumes, m.resumes->value);
  return out.take();
}

Result<ControlMessage> decode_registration_request(ByteView body) {
  TlvReader in(body);
  RegistrationRequest m;
  while (in.next()) switch (in.type()) {
      case kReqCounter: in.once(); m.counter = in.value().u64(); break;
      case kReqName: in.once(); m.name = in.name(); break;
      case kReqFlags: {
        in.once();
        std::uint8_t flags = in.value().u8();
        if (flags & ~(kLeaving | kPrivate | kRelayOnly)) in.fail();
        m.leaving = flags & kLeaving;
        m.private_locators = flags & kPrivate;
        m.relay_only = flags & kRelayOnly;
        break;
      }
      case kReqLocator:
        in.many();
        m.locators.push_back(in.locator());
        if (m.locators.size() > kMaxLocators) in.fail();
        break;
      case kReqVirtual4: {
        in.once();
        m.virtual_echo.v4 = Ipv4{in.value().array<4>()};
        break;
      }
      case kReqVirtual6: {
        in.once();
        m.virtual_echo.v6 = Ipv6{in.value().array<16>()};
        break;
      }
      case kReqSuites: in.once(); m.suites = in.value().u16(); break;
      case kReqCapabilities: in.once(); m.capabilities = in.value().u32(); break;
      case kReqNextKey: in.once(); m.next_key = in.public_key(); break;
      case kReqResumes: in.once(); m.resumes = SessionId{in.value().u64()}; break;
      default: in.unknown();
    }
  if (!in.finish({kReqCounter, kReqName, kReqFlags, kReqSuites}))
    return invalid("a bad Registration Request");
  return ControlMessage(std::move(m));
}

Bytes encode_body(const RegistrationResponse& m) {
  assert(m.zone_pools4.size() <= kMaxList && m.dc_endpoints.size() <= kMaxList &&
         m.relay_hints.size() <= kMaxList);
  TlvWriter out(MessageKind::RegistrationResponse);
  out.u8(kResStatus, static_cast<Byte>(m.status));
  out.u64(kResCounter, m.counter);
  out.endpoint(kResObserved, m.observed);
  out.u8(kResNat, static_cast<Byte>(m.nat));
  if (m.virtual_addresses.v4) out.address(kResVirtual4, *m.virtual_addresses.v4);
  if (m.virtual_addresses.v6) out.address(kResVirtual6, *m.virtual_addresses.v6);
  out.name(kResZone, m.zone);
  if (m.zone_virtual6) out.prefix(kResPrefix6, *m.zone_virtual6);
  for (const Prefix& p : m.zone_pools4) out.prefix(kResPool4, p);
  out.u32(kResLease, m.lease_seconds);
  out.u32(kResKeepAlive, m.keep_alive_seconds);
  out.bytes(kResHintToken, m.control_hint_token);
  if (m.dc_next_key) out.bytes(kResNextKey, m.dc_next_key->view());
  out.u64(kResTime, m.time_us);
  for (const Endpoint& e : m.dc_endpoints) out.endpoint(kResDc, e);
  for (const Endpoint& e : m.relay_hints) out.endpoint(kResRelay, e);
  return out.take();
}

Result<ControlMessage> decode_registration_response(ByteView body) {
  TlvReader in(body);
  RegistrationResponse m;
  while (in.next()) switch (in.type()) {
      case kResStatus: in.once(); m.status = in.enumeration(Status::Version); break;
      case kResCounter: in.once(); m.counter = in.value().u64(); break;
      case kResObserved: in.once(); m.observed = in.endpoint(); break;
      case kResNat: in.once(); m.nat = in.enumeration(NatVerdict::Behind); break;
      case kResVirtual4: {
        in.once();
        m.virtual_addresses.v4 = Ipv4{in.value().array<4>()};
        break;
      }
      case kResVirtual6: {
        in.once();
        m.virtual_addresses.v6 = Ipv6{in.value().array<16>()};
        break;
      }
      case kResZone: in.once(); m.zone = in.name(); break;
      case kResPrefix6: in.once(); m.zone_virtual6 = in.prefix(); break;
      case kResPool4:
        in.many();
        m.zone_pools4.push_back(in.prefix());
        if (m.zone_pools4.size() > kMaxList) in.fail();
        break;
      case kResLease: in.once(); m.lease_seconds = in.value().u32(); break;
      case kResKeepAlive: in.once(); m.keep_alive_seconds = in.value().u32(); break;
      case kResHintToken: in.once(); m.control_hint_token = in.value().array<16>(); break;
      case kResNextKey: in.once(); m.dc_next_key = in.public_key(); break;
      case kResTime: in.once(); m.time_us = in.value().u64(); break;
      case kResDc:
        in.many();
        m.dc_endpoints.push_back(in.endpoint());
        if (m.dc_endpoints.size() > kMaxList) in.fail();
        break;
      case kResRelay:
        in.many();
        m.relay_hints.push_back(in.endpoint());
        if (m.relay_hints.size() > kMaxList) in.fail();
        break;
      default: in.unknown();
    }
  if (!in.finish({kResStatus, kResCounter, kResObserved, kResNat, kResZone}))
    return invalid("a bad Registration Response");
  return ControlMessage(std::move(m));
}

}  // namespace ntm::wire
