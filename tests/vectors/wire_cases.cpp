// Datagrams, inner control and tokens; control messages are in wire_cases_control.cpp.
#include "tests/vectors/wire_cases.hpp"

namespace ntm::tests {

using namespace wire;

namespace {

constexpr PathId kPath{0x1112131415161718};
constexpr SessionId kSender{0x5152535455565758};

Record record(DatagramType type, std::uint8_t epoch, bool flags, std::uint64_t counter,
              std::uint64_t id, Bytes sealed) {
  RecordHeader header;
  header.type = type;
  header.epoch = epoch;
  header.early = flags;
  header.partial_sum = flags;
  header.counter = counter;
  header.id = id;
  return {header, std::move(sealed)};
}

Tunnel tunnel(DatagramType type, std::uint64_t counter, std::uint64_t challenge,
              std::uint64_t echo, BlobKind kind, Bytes blob) {
  TunnelMessage m;
  m.type = type;
  m.counter = counter;
  m.path = kPath;
  m.challenge = challenge;
  m.echo = echo;
  m.blob_kind = kind;
  m.blob = std::move(blob);
  return {m, run(0xa0, 16)};
}

HandshakeInit init(std::uint8_t suite, Pattern pattern, std::uint64_t token, Bytes payload) {
  HandshakeInit m;
  m.suite = suite;
  m.pattern = pattern;
  m.sender = kSender;
  m.responder_hint = run_of<8>(0x20);
  m.token = {token};
  m.ephemeral = run_of<32>(0x30);
  m.encrypted_static = run_of<48>(0x40);
  m.encrypted_payload = std::move(payload);
  m.mac1 = run_of<16>(0x80);
  m.mac2 = run_of<16>(0xb0);
  return m;
}

HandshakeResponse response(std::uint8_t suite, Bytes payload) {
  HandshakeResponse m;
  m.suite = suite;
  m.receiver = kSender;
  m.sender = {0x6162636465666768};
  m.ephemeral = run_of<32>(0x30);
  m.encrypted_payload = std::move(payload);
  m.mac1 = run_of<16>(0x80);
  return m;
}

void add_tunnels(std::map<std::string, Datagram>& out) {
  constexpr DatagramType kReq = DatagramType::TunnelRequest;
  constexpr DatagramType kRes = DatagramType::TunnelResponse;
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  Bytes message1 = run(0x60, 112);
  Bytes message2 = run(0x90, 56);
  Bytes confirm = Writer().zeros(8).bytes(run(0x70, 16)).take();
  out["datagram/tunnel_req_plain"] = tunnel(kReq, 1, 7, 0, BlobKind::None, {});
  out["datagram/tunnel_req_message1"] = tunnel(kReq, 2, 8, 9, BlobKind::Message1, message1);
  Tunnel rekey = tunnel(kReq, 3, 8, 9, BlobKind::Message1, message1);
  rekey.message.rekey = true;
  out["datagram/tunnel_req_rekey"] = rekey;
  Tunnel leg_b = tunnel(kReq, 4, kAll, 1, BlobKind::Message2, message2);
  leg_b.message.leg = Leg::B;
  out["datagram/tunnel_req_message2_leg_b"] = leg_b;
  Tunnel handover = tunnel(kReq, kMaxCounter, 1, 2, BlobKind::Confirm, confirm);
  handover.message.handover = true;
  out["datagram/tunnel_req_confirm_handover"] = handover;
  Tunnel pending = tunnel(kRes, 5, 10, 11, BlobKind::None, {});
  pending.message.pending = true;
  out["datagram/tunnel_res_pending"] = pending;
  Tunnel ready = tunnel(kRes, 6, 12, 13, BlobKind::Message2, message2);
  ready.message.ready = true;
  out["datagram/tunnel_res_ready_message2"] = ready;
  Tunnel confirmed = tunnel(kRes, 7, 14, 15, BlobKind::Confirm, confirm);
  confirmed.message.leg = Leg::B;
  out["datagram/tunnel_res_confirm"] = confirmed;
  out["datagram/tunnel_res_message1"] = tunnel(kRes, 8, 16, 17, BlobKind::Message1, message1);
}

}  // namespace

Bytes run(int first, std::size_t count) {
  Bytes out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<Byte>(first + static_cast<int>(i));
  return out;
}
Endpoint endpoint(std::string_view text) { return parse_endpoint(text).value(); }
Name name(std::string_view text) { return Name::parse(text).value(); }

std::map<std::string, Datagram> datagram_cases() {
  constexpr DatagramType kData = DatagramType::Data;
  std::map<std::string, Datagram> out;
  out["datagram/data_smallest"] = record(kData, 0, false, 0, 1, run(0xc0, 16));
  out["datagram/data_all_flags"] =
      record(kData, 3, true, kMaxCounter, ~std::uint64_t{0}, run(0xc0, 36));
  out["datagram/data_epoch_1"] =
      record(kData, 1, false, 0x010203040506, kPath.value, run(1, 100));
  out["datagram/ctrl"] =
      record(DatagramType::Control, 0, false, 0x0102, kSender.value, run(0xd0, 33));
  add_tunnels(out);
  out["datagram/tunnel_hint_unknown"] =
      TunnelHint{HintCode::UnknownPath, kPath, run_of<16>(0xe0)};
  out["datagram/tunnel_hint_changed"] =
      TunnelHint{HintCode::AddressChanged, kPath, run_of<16>(0xe0)};
  out["datagram/hs_init_ik"] = init(1, Pattern::IK, 0, run(0, 512 - 140));
  out["datagram/hs_init_ikpsk1"] = init(2, Pattern::IKpsk1, 0x7172737475767778, run(3, 600));
  out["datagram/hs_init_longest"] = init(1, Pattern::IK, 0, run(5, kMaxControlDatagram - 140));
  out["datagram/hs_resp_empty"] = response(1, run(0xf0, 16));
  out["datagram/hs_resp_longest"] = response(2, run(0xf1, kMaxControlDatagram - 68));
  out["datagram/cookie"] = CookieMessage{kSender, run_of<24>(0x10), run_of<32>(0x50)};
  out["datagram/ctrl_hint"] = ControlHint{run_of<8>(0x20), run_of<16>(0xe0)};
  out["datagram/notice"] = Notice{1, 3};
  return out;
}

std::map<std::string, InnerControl> inner_cases() {
  std::map<std::string, InnerControl> out;
  out["inner/probe"] = Probe{0x01020304, 0x1112131415161718};
  out["inner/probe_reply"] = ProbeReply{0x01020304, 0x1112131415161718, kMaxCounter};
  out["inner/receive_state_none"] = ReceiveState{kPath, 0, 0, false, {}};
  out["inner/receive_state"] = ReceiveState{kPath, 3, 0x010203040506, true, run(0x80, 64)};
  out["inner/receive_state_all"] = ReceiveState{kPath, 0, 9, true, {}};
  out["inner/receive_state_full"] = ReceiveState{kPath, 0, 5000, true, Bytes(512)};
  for (int reason = 0; reason < 4; ++reason)
    out["inner/close_" + std::to_string(reason)] = Close{static_cast<CloseReason>(reason)};
  out["inner/candidates_none"] = Candidates{};
  Candidates full;
  for (int i = 0; i < 8; ++i) {
    Endpoint one = endpoint(i % 2 ? "192.0.2.1:1" : "[2001:db8::1]:1");
    one.port = static_cast<std::uint16_t>(40000 + i);
    full.endpoints.push_back(one);
  }
  out["inner/candidates_full"] = full;
  out["inner/fragment_first"] = Fragment{0x0102, 0, false, run(0x45, 50)};
  out["inner/fragment_last"] = Fragment{0x0102, 0xfffe, true, Bytes{0x45}};
  return out;
}

std::map<std::string, EnrolmentToken> token_cases() {
  EnrolmentToken token;
  token.zone = name("example.org");
  token.subject = name("mn.example.org");
  token.dc_key = {run_of<32>(0x50)};
  token.dc_endpoints = {endpoint("192.0.2.53:4753")};
  token.id = {0x7172737475767778};
  token.secret = Key16(run_of<16>(0x90));
  EnrolmentToken four = token;
  for (const char* text : {"[2001:db8::53]:4753", "192.0.2.54:1", "[2001:db8::54]:65535"})
    four.dc_endpoints.push_back(endpoint(text));
  return {{"token/token_one", token}, {"token/token_four", four}};
}

}  // namespace ntm::tests
