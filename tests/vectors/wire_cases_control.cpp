// Control messages of reference_wire.py, minimal and with every optional field.
#include "tests/vectors/wire_cases.hpp"

namespace ntm::tests {

using namespace wire;

namespace {

using Cases = std::map<std::string, ControlMessage>;
constexpr RequestId kRequest{0x0102030405060708};
constexpr PathId kPath{0x1112131415161718};
constexpr PathId kOldPath{0x2122232425262728};
constexpr PathId kSpare1{0x3132333435363738};
constexpr PathId kSpare2{0x4142434445464748};

VirtualAddresses both_virtual() {
  return {parse_address("198.18.0.7")->v4(), parse_address("fd12:3456:789a::7")->v6()};
}
PublicKey key(int first) { return {run_of<32>(first)}; }
Prefix prefix(std::string_view text) { return parse_prefix(text).value(); }

void add_keep_alives(Cases& out) {
  out["control/keep_alive_minimal"] = KeepAlive{0, false, false, 0};
  out["control/keep_alive_asks"] = KeepAlive{7, true, false, 0xdeadbeef};
  out["control/keep_alive_echo"] = KeepAlive{0xffffffff, false, true, 1};
  out["control/keep_alive_both"] = KeepAlive{8, true, true, 1};
}

void add_registration_requests(Cases& out) {
  RegistrationRequest minimal;
  minimal.counter = 1;
  minimal.name = name("a.example.org");
  out["control/registration_request_minimal"] = minimal;
  RegistrationRequest full;
  full.counter = ~std::uint64_t{0};
  full.name = name("mn.example.org");
  full.leaving = full.private_locators = full.relay_only = true;
  full.locators = all_locators();
  full.virtual_echo = both_virtual();
  full.suites = 3;
  full.capabilities = kCapabilityPartialSums;
  full.next_key = key(0x10);
  full.resumes = SessionId{0x5152535455565758};
  out["control/registration_request_full"] = full;
  RegistrationRequest flag = minimal;
  flag.counter = 5;
  flag.suites = 1;
  flag.leaving = true;
  out["control/registration_request_leaving"] = flag;
  flag.leaving = false;
  flag.private_locators = true;
  out["control/registration_request_private"] = flag;
  flag.private_locators = false;
  flag.relay_only = true;
  out["control/registration_request_relay_only"] = flag;
}

void add_registration_responses(Cases& out) {
  RegistrationResponse minimal;
  minimal.counter = 1;
  minimal.observed = endpoint("192.0.2.1:4000");
  minimal.zone = name("example.org");
  out["control/registration_response_minimal"] = minimal;
  RegistrationResponse full;
  full.status = Status::Stale;
  full.counter = 99;
  full.observed = endpoint("[2001:db8::9]:40001");
  full.nat = NatVerdict::Behind;
  full.virtual_addresses = both_virtual();
  full.zone = name("example.org");
  full.zone_virtual6 = prefix("fd12:3456:789a::/48");
  for (const char* text : {"198.18.0.0/16", "198.19.0.0/17", "0.0.0.0/0", "198.18.4.4/32"})
    full.zone_pools4.push_back(prefix(text));
  full.lease_seconds = 180;
  full.keep_alive_seconds = 15;
  full.control_hint_token = run_of<16>(0xe0);
  full.dc_next_key = key(0x30);
  full.time_us = 1700000000123456;
  for (const char* text : {"192.0.2.53:4753", "[2001:db8::53]:4753", "192.0.2.54:4753",
                           "[2001:db8::54]:4753"})
    full.dc_endpoints.push_back(endpoint(text));
  for (const char* text : {"192.0.2.61:4753", "[2001:db8::61]:4753", "192.0.2.62:4753",
                           "[2001:db8::62]:4753"})
    full.relay_hints.push_back(endpoint(text));
  out["control/registration_response_full"] = full;
}

void add_direction_requests(Cases& out) {
  DirectionRequest minimal;
  minimal.request = kRequest;
  minimal.peer = name("cn.example.net");
  minimal.message1 = run(0x60, 112);
  out["control/direction_request_minimal"] = minimal;
  for (int reason : {2, 3}) {
    DirectionRequest m = minimal;
    m.reason = static_cast<DirectionReason>(reason);
    out["control/direction_request_reason_" + std::to_string(reason)] = m;
  }
  DirectionRequest full = minimal;
  full.peer_zone = name("example.net");
  full.reason = DirectionReason::Handover;
  full.old_path = kOldPath;
  full.locators = all_locators();
  full.peer_ntm4 = run(1, 120);
  full.peer_ntm6 = run(2, 150);
  full.peer_key_hash = run_of<8>(0x20);
  full.suite = 2;
  out["control/direction_request_full"] = full;
  DirectionRequest by_address;
  by_address.request = kRequest;
  by_address.peer_address = parse_address("198.18.0.9").value();
  out["control/direction_request_address_v4"] = by_address;
  by_address.peer_address = parse_address("fd12:3456:789a::9").value();
  out["control/direction_request_address_v6"] = by_address;
}

RouteDirection minimal_route() {
  RouteDirection m;
  m.request = kRequest;
  m.to = name("mn.example.org");
  m.path = kPath;
  m.path_secret = Key32(run_of<32>(0x50));
  m.peer = name("cn.example.net");
  m.initiator_zone = name("example.org");
  m.responder_zone = name("example.net");
  m.peer_key = key(0x60);
  m.suite = 1;
  return m;
}

RouteDirection full_route() {
  RouteDirection m = minimal_route();
  m.attempt = 255;
  m.to = name("cn.example.net");
  m.role = Role::Responder;
  m.spares = {kSpare1, kSpare2};
  m.mode = RouteMode::Relay;
  m.reason = "both behind NAT, relay";
  m.targets = {endpoint("192.0.2.10:40000"), endpoint("[2001:db8::10]:40001"),
               endpoint("203.0.113.9:50123")};
  RelayTarget relay;
  relay.endpoints = {endpoint("192.0.2.61:4753"), endpoint("[2001:db8::61]:4753")};
  relay.path = kOldPath;
  relay.leg_key = Key16(run_of<16>(0x10));
  relay.leg = Leg::B;
  relay.reset_token = run_of<16>(0xe0);
  m.relay = relay;
  m.peer = name("mn.example.org");
  m.peer_virtual = both_virtual();
  m.dnssec = DnssecState::Secure;
  m.direction_reason = DirectionReason::Rekey;
  m.old_path = kOldPath;
  m.suite = 2;
  m.message1 = run(0x60, 112);
  m.peer_locators = all_locators();
  m.lifetime_seconds = 3600;
  m.sender_counter = 77;
  m.planned = {endpoint("203.0.113.9:50123"), endpoint("[2001:db8::10]:40001")};
  return m;
}

void add_route_acks(Cases& out) {
  out["control/route_ack_minimal"] = RouteAck{kRequest, Status::Ok, {}, {}, {}};
  RouteAck full{kRequest, Status::Moved, all_locators(), {}, {}};
  full.observed4 = endpoint("203.0.113.9:50123");
  full.observed6 = endpoint("[2001:db8::10]:40001");
  out["control/route_ack_full"] = full;
  for (int status = 0; status < 14; ++status) {
    Status value = static_cast<Status>(status);
    out["control/direction_error_status_" + std::to_string(status)] =
        DirectionError{kRequest, value};
    out["control/route_ack_status_" + std::to_string(status)] =
        RouteAck{kRequest, value, {}, {}, {}};
  }
}

void add_revokes(Cases& out) {
  PathRevoke minimal{kRequest, {}, {kPath}, RevokeReason::Policy};
  out["control/path_revoke_minimal"] = minimal;
  minimal.reason = RevokeReason::KeyChanged;
  out["control/path_revoke_reason_1"] = minimal;
  minimal.reason = RevokeReason::Deleted;
  out["control/path_revoke_reason_2"] = minimal;
  out["control/path_revoke_full"] = PathRevoke{kRequest, name("cn.example.net"),
                                               {kPath, kOldPath, kSpare1, kSpare2},
                                               RevokeReason::Closed};
  out["control/peer_name_minimal"] = PeerName{kRequest, {}};
  out["control/peer_name_full"] =
      PeerName{kRequest, name("x_1-2." + std::string(63, 'l') + ".org")};
}

void add_relay_directions(Cases& out) {
  RelayDirection minimal;
  minimal.request = kRequest;
  minimal.paths = {kPath};
  minimal.leg_a.key = Key16(run_of<16>(0x10));
  minimal.leg_b.key = Key16(run_of<16>(0x20));
  out["control/relay_direction_minimal"] = minimal;
  RelayDirection full = minimal;
  full.paths = {kPath, kOldPath, kSpare1, kSpare2};
  full.leg_a.family = Family::V6;
  full.lifetime_seconds = 3600;
  full.kbit_per_second = 100000;
  full.packets_per_second = 0xffffffff;
  out["control/relay_direction_full"] = full;
  out["control/relay_response_minimal"] = RelayResponse{kRequest, Status::Ok, {}};
  out["control/relay_response_full"] =
      RelayResponse{kRequest, Status::PathIdInUse,
                    {endpoint("192.0.2.61:4753"), endpoint("[2001:db8::61]:4753")}};
}

void add_relay_attaches(Cases& out) {
  RelayAttach minimal;
  minimal.counter = 1;
  minimal.name = name("rs.example.org");
  minimal.token_secret = Key32(run_of<32>(0x40));
  out["control/relay_attach_minimal"] = minimal;
  RelayAttach full = minimal;
  full.counter = std::uint64_t{1} << 63;
  full.endpoints = {endpoint("192.0.2.61:4753"), endpoint("[2001:db8::61]:4753")};
  full.capacity = 1000000;
  full.entries = 17;
  full.leaving = true;
  out["control/relay_attach_full"] = full;
  out["control/relay_attach_response_minimal"] =
      RelayAttachResponse{Status::Ok, 1, endpoint("192.0.2.61:4753"), 0, {}};
  out["control/relay_attach_response_full"] = RelayAttachResponse{
      Status::Version, 2, endpoint("[2001:db8::61]:4753"), 15, run_of<16>(0xe0)};
  out["control/relay_status_minimal"] = RelayStatus{0, 0, 0};
  out["control/relay_status_full"] = RelayStatus{5, 1000, 123456};
}

}  // namespace

std::vector<Locator> all_locators() {
  return {{endpoint("192.0.2.10:40000"), InterfaceKind::Ethernet, 10},
          {endpoint("[2001:db8::10]:40001"), InterfaceKind::Wireless, 20},
          {endpoint("10.1.2.3:40002"), InterfaceKind::Cellular, 65535},
          {endpoint("[fd00::3]:40003"), InterfaceKind::Unknown, 0},
          {endpoint("192.0.2.14:40004"), InterfaceKind::Ethernet, 1},
          {endpoint("192.0.2.15:40005"), InterfaceKind::Ethernet, 1},
          {endpoint("192.0.2.16:40006"), InterfaceKind::Ethernet, 1},
          {endpoint("192.0.2.17:40007"), InterfaceKind::Ethernet, 1}};
}

std::map<std::string, ControlMessage> control_cases() {
  Cases out;
  add_keep_alives(out);
  add_registration_requests(out);
  add_registration_responses(out);
  add_direction_requests(out);
  out["control/route_direction_minimal"] = minimal_route();
  out["control/route_direction_full"] = full_route();
  add_route_acks(out);
  add_revokes(out);
  add_relay_directions(out);
  add_relay_attaches(out);
  return out;
}

}  // namespace ntm::tests
