// How long each control message can get, and with which names it still fits into one datagram of
// kMaxControlDatagram. A record adds 32 bytes; the first message of a handshake 156 (HS_INIT) or
// 84 (HS_RESP) to its payload.
#include <gtest/gtest.h>

#include <map>

#include "libntm/wire/ntm_record.hpp"
#include "tests/vectors/wire_cases.hpp"

namespace ntm::wire {
namespace {

// A name whose wire form has exactly `size` octets (3..255).
Name name_of(std::size_t size) {
  Name out;
  for (std::size_t left = size - 1; left > 0;) {
    std::size_t label = std::min<std::size_t>(left - 1, 63);
    if (left - 1 - label == 1) --label;  // one octet alone is no label
    out = out.child(std::string(label, 'n')).value();
    left -= 1 + label;
  }
  EXPECT_EQ(out.wire().size(), size);
  return out;
}

std::vector<Endpoint> endpoints(std::size_t count) {
  return std::vector<Endpoint>(count, tests::endpoint("[2001:db8::1]:4753"));
}
std::vector<Locator> locators() {
  return std::vector<Locator>(kMaxLocators,
                              {tests::endpoint("[2001:db8::1]:4753"), InterfaceKind::Wireless, 9});
}
ControlMessage full(const char* name) { return tests::control_cases().at(name); }

// A record with every TLV.
Bytes rdata(Family family, const Name& zone) {
  NtmRecord record = NtmRecord::empty(family);
  record.terminal_key = record.terminal_next_key = PublicKey{tests::run_of<32>(1)};
  record.dc_key = record.dc_next_key = record.terminal_key;
  record.suites = 3;
  record.dc_name = zone;
  record.policy_hints = 1;
  return encode(record);
}

// The greatest message of each kind whose names all have `size` octets.
std::map<MessageKind, ControlMessage> greatest(std::size_t size) {
  std::map<MessageKind, ControlMessage> out;
  Name long_name = name_of(size);
  for (const char* name :
       {"control/keep_alive_both", "control/relay_direction_full", "control/relay_status_full",
        "control/relay_attach_response_full", "control/direction_error_status_13"})
    out[kind_of(full(name))] = full(name);

  RegistrationRequest request =
      std::get<RegistrationRequest>(full("control/registration_request_full"));
  request.name = long_name;
  request.locators = locators();
  out[MessageKind::RegistrationRequest] = request;
  RegistrationResponse response =
      std::get<RegistrationResponse>(full("control/registration_response_full"));
  response.zone = long_name;
  response.dc_endpoints = response.relay_hints = endpoints(4);
  out[MessageKind::RegistrationResponse] = response;
  DirectionRequest direction = std::get<DirectionRequest>(full("control/direction_request_full"));
  direction.peer = direction.peer_zone = long_name;
  direction.locators = locators();
  direction.peer_ntm4 = rdata(Family::V4, long_name);
  direction.peer_ntm6 = rdata(Family::V6, long_name);
  out[MessageKind::DirectionRequest] = direction;
  RelayResponse relay = std::get<RelayResponse>(full("control/relay_response_full"));
  relay.endpoints = endpoints(2);
  out[MessageKind::RelayResponse] = relay;
  RouteDirection route = std::get<RouteDirection>(full("control/route_direction_full"));
  route.to = route.peer = route.initiator_zone = route.responder_zone = long_name;
  route.reason.assign(kMaxReasonText, 'r');
  route.targets = endpoints(kMaxTargets);
  route.planned = endpoints(kMaxPlanned);
  route.relay->endpoints = endpoints(2);
  route.peer_locators = locators();
  out[MessageKind::RouteDirection] = route;
  RouteAck ack = std::get<RouteAck>(full("control/route_ack_full"));
  ack.locators = locators();
  out[MessageKind::RouteAck] = ack;
  PathRevoke revoke = std::get<PathRevoke>(full("control/path_revoke_full"));
  revoke.to = long_name;
  out[MessageKind::PathRevoke] = revoke;
  RelayAttach attach = std::get<RelayAttach>(full("control/relay_attach_full"));
  attach.name = long_name;
  attach.endpoints = endpoints(2);
  out[MessageKind::RelayAttach] = attach;
  out[MessageKind::PeerName] = PeerName{RequestId{1}, long_name};
  EXPECT_EQ(out.size(), std::variant_size_v<ControlMessage>);
  return out;
}

// The longest names with which the greatest message of this kind and `overhead` fit; 0: none do.
std::size_t longest_names(MessageKind kind, std::size_t overhead) {
  for (std::size_t size = kMaxNameWire; size >= 3; --size)
    if (encode(greatest(size).at(kind)).size() + overhead <= kMaxControlDatagram) return size;
  return 0;
}

TEST(ControlSizes, AllButTwoFitWhateverTheirNames) {
  for (const std::pair<const MessageKind, ControlMessage>& one : greatest(kMaxNameWire)) {
    if (one.first == MessageKind::RouteDirection || one.first == MessageKind::DirectionRequest)
      continue;
    EXPECT_LE(encode(one.second).size() + kMinRecord, kMaxControlDatagram) << to_string(one.first);
  }
}

TEST(ControlSizes, WhatHandshakesCarryFits) {
  std::map<MessageKind, ControlMessage> all = greatest(kMaxNameWire);
  for (MessageKind kind : {MessageKind::RegistrationRequest, MessageKind::RelayAttach})
    EXPECT_LE(encode(all.at(kind)).size() + kHandshakeInitFixed, kMaxControlDatagram)
        << to_string(kind);
  for (MessageKind kind : {MessageKind::RegistrationResponse, MessageKind::RelayAttachResponse,
                           MessageKind::RouteAck})
    EXPECT_LE(encode(all.at(kind)).size() + kHandshakeResponseFixed, kMaxControlDatagram)
        << to_string(kind);
}

// The two that name both ends and both zones. These are the limits that docs/PROTOCOL-MESSAGES.md
// gives; real names are far below, and nothing shortens a message that is too long.
TEST(ControlSizes, NamesThatTheGreatestDirectionsLeaveRoomFor) {
  EXPECT_EQ(longest_names(MessageKind::DirectionRequest, kMinRecord), 114u);
  EXPECT_EQ(longest_names(MessageKind::RouteDirection, kMinRecord), 93u);
  EXPECT_EQ(longest_names(MessageKind::RouteDirection, kHandshakeInitFixed), 62u);
}

}  // namespace
}  // namespace ntm::wire
