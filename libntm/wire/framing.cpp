// Encoding and decoding of every datagram's outer form. Each decoder checks the whole length
// before it reads a field.
#include "libntm/wire/framing.hpp"

#include <algorithm>
#include <cassert>

namespace ntm::wire {

namespace {

tl::unexpected<Error> bad(const char* what) { return invalid(what); }

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](Byte b) { return b == 0; });
}

bool is_type(ByteView datagram, DatagramType type) {
  return !datagram.empty() && datagram[0] == static_cast<Byte>(type);
}

constexpr Byte kTunnelHandover = 0x10;
constexpr Byte kTunnelRekey = 0x08;
constexpr Byte kTunnelPending = 0x04;
constexpr Byte kTunnelReady = 0x02;
constexpr Byte kTunnelMustBeZero = 0x01;

std::size_t blob_size(BlobKind kind) {
  switch (kind) {
    case BlobKind::None: return 0;
    case BlobKind::Message1: return kMessage1Size;
    case BlobKind::Message2: return kMessage2Size;
    case BlobKind::Confirm: return kConfirmSize;
  }
  return 0;
}

}  // namespace

const char* to_string(DatagramType type) {
  switch (type) {
    case DatagramType::Data: return "DATA";
    case DatagramType::TunnelRequest: return "TUNNEL_REQ";
    case DatagramType::TunnelResponse: return "TUNNEL_RES";
    case DatagramType::TunnelHint: return "TUNNEL_HINT";
    case DatagramType::HandshakeInit: return "HS_INIT";
    case DatagramType::HandshakeResponse: return "HS_RESP";
    case DatagramType::Control: return "CTRL";
    case DatagramType::Cookie: return "COOKIE";
    case DatagramType::ControlHint: return "CTRL_HINT";
    case DatagramType::Notice: return "NOTICE";
  }
  return "?";
}

std::optional<DatagramType> datagram_type(ByteView datagram) {
  if (datagram.size() < kNoticeSize) return std::nullopt;
  Byte first = datagram[0];
  if (first < 0x50 || first > 0x59) return std::nullopt;
  return static_cast<DatagramType>(first);
}

std::array<Byte, kRecordHeader> encode(const RecordHeader& header) {
  assert(header.counter <= kMaxCounter && header.epoch < 4);
  std::array<Byte, kRecordHeader> out;
  out[0] = static_cast<Byte>(header.type);
  out[1] = static_cast<Byte>(header.epoch << kRecordEpochShift);
  if (header.early) out[1] |= kRecordEarly;
  if (header.partial_sum) out[1] |= kRecordPartialSum;
  for (int i = 0; i < 6; ++i) out[2 + i] = static_cast<Byte>(header.counter >> (40 - 8 * i));
  for (int i = 0; i < 8; ++i) out[8 + i] = static_cast<Byte>(header.id >> (56 - 8 * i));
  return out;
}

Result<RecordHeader> decode_record_header(ByteView datagram) {
  if (datagram.size() < kMinRecord) return bad("a record is shorter than header and tag");
  Reader in(datagram);
  RecordHeader out;
  std::uint8_t type = in.u8();
  if (type != static_cast<Byte>(DatagramType::Data) &&
      type != static_cast<Byte>(DatagramType::Control))
    return bad("not a DATA or CTRL record");
  out.type = static_cast<DatagramType>(type);
  std::uint8_t flags = in.u8();
  if (flags & kRecordMustBeZero) return bad("a record has reserved flags set");
  out.epoch = flags >> kRecordEpochShift;
  out.early = flags & kRecordEarly;
  out.partial_sum = flags & kRecordPartialSum;
  if (out.type == DatagramType::Control && flags != 0) return bad("a CTRL record has flags set");
  out.counter = in.u48();
  out.id = in.u64();
  if (out.id == 0) return bad("a record names Path ID or session zero");
  return out;
}

Bytes encode_without_mac(const TunnelMessage& m) {
  assert(m.blob.size() == blob_size(m.blob_kind));
  Writer out(kTunnelRequestSize);
  Byte flags = static_cast<Byte>(static_cast<Byte>(m.blob_kind) << 6);
  flags |= static_cast<Byte>(static_cast<Byte>(m.leg) << 5);
  if (m.handover) flags |= kTunnelHandover;
  if (m.rekey) flags |= kTunnelRekey;
  if (m.pending) flags |= kTunnelPending;
  if (m.ready) flags |= kTunnelReady;
  out.u8(static_cast<Byte>(m.type)).u8(flags).u48(m.counter).u64(m.path.value);
  out.u64(m.challenge).u64(m.echo).u16(static_cast<std::uint16_t>(m.blob.size())).u16(0);
  out.bytes(m.blob);
  if (m.type == DatagramType::TunnelRequest)
    out.zeros(kTunnelRequestSize - kTunnelMac - out.size());
  return out.take();
}

Result<TunnelMessage> decode_tunnel_message(ByteView datagram) {
  bool request = is_type(datagram, DatagramType::TunnelRequest);
  if (!request && !is_type(datagram, DatagramType::TunnelResponse))
    return bad("not a Tunnel Request or Response");
  if (request ? datagram.size() != kTunnelRequestSize
              : datagram.size() < kMinTunnelResponse || datagram.size() > kTunnelRequestSize)
    return bad("a tunnel message has a wrong length");
  Reader in(datagram.first(datagram.size() - kTunnelMac));
  TunnelMessage m;
  m.type = static_cast<DatagramType>(in.u8());
  std::uint8_t flags = in.u8();
  if (flags & kTunnelMustBeZero) return bad("a tunnel message has reserved flags set");
  m.blob_kind = static_cast<BlobKind>(flags >> 6);
  m.leg = flags & 0x20 ? Leg::B : Leg::A;
  m.handover = flags & kTunnelHandover;
  m.rekey = flags & kTunnelRekey;
  m.pending = flags & kTunnelPending;
  m.ready = flags & kTunnelReady;
  m.counter = in.u48();
  m.path = {in.u64()};
  m.challenge = in.u64();
  m.echo = in.u64();
  std::size_t length = in.u16();
  if (in.u16() != 0) return bad("a tunnel message has reserved bytes set");
  if (length != blob_size(m.blob_kind)) return bad("a tunnel message's blob has a wrong length");
  m.blob = to_bytes(in.bytes(length));
  ByteView padding = in.bytes(in.left());
  if (request ? !all_zero(padding) : !padding.empty())
    return bad("a tunnel message has wrong padding");
  if (!in.finish()) return bad("a tunnel message is cut short");
  if (m.path.is_zero()) return bad("a tunnel message names Path ID zero");
  return m;
}

Bytes encode(const HandshakeInit& m) {
  Writer out(kHandshakeInitFixed + m.encrypted_payload.size());
  out.u8(static_cast<Byte>(DatagramType::HandshakeInit)).u8(m.suite);
  out.u8(static_cast<Byte>(m.pattern)).u8(0).u64(m.sender.value).bytes(m.responder_hint);
  out.u64(m.token.value).bytes(m.ephemeral).bytes(m.encrypted_static);
  out.bytes(m.encrypted_payload).bytes(m.mac1).bytes(m.mac2);
  return out.take();
}

Result<HandshakeInit> decode_handshake_init(ByteView datagram) {
  if (!is_type(datagram, DatagramType::HandshakeInit)) return bad("not an HS_INIT");
  if (datagram.size() < kHandshakeInitMin || datagram.size() > kMaxControlDatagram)
    return bad("an HS_INIT has a wrong length");
  Reader in(datagram);
  in.u8();
  HandshakeInit m;
  m.suite = in.u8();
  std::uint8_t pattern = in.u8();
  if (pattern != 1 && pattern != 2) return bad("an HS_INIT has an unknown pattern");
  m.pattern = static_cast<Pattern>(pattern);
  if (in.u8() != 0) return bad("an HS_INIT has reserved bytes set");
  m.sender = {in.u64()};
  m.responder_hint = in.array<8>();
  m.token = {in.u64()};
  m.ephemeral = in.array<32>();
  m.encrypted_static = in.array<48>();
  m.encrypted_payload = to_bytes(in.bytes(in.left() - 32));
  m.mac1 = in.array<16>();
  m.mac2 = in.array<16>();
  if (!in.finish()) return bad("an HS_INIT is cut short");
  if (m.sender.is_zero()) return bad("an HS_INIT names session zero");
  if (m.token.is_zero() != (m.pattern == Pattern::IK))
    return bad("an HS_INIT's token does not fit its pattern");
  return m;
}

Bytes encode(const HandshakeResponse& m) {
  Writer out(kHandshakeResponseFixed + m.encrypted_payload.size());
  out.u8(static_cast<Byte>(DatagramType::HandshakeResponse)).u8(m.suite).u16(0);
  out.u64(m.receiver.value).u64(m.sender.value).bytes(m.ephemeral);
  out.bytes(m.encrypted_payload).bytes(m.mac1);
  return out.take();
}

Result<HandshakeResponse> decode_handshake_response(ByteView datagram) {
  if (!is_type(datagram, DatagramType::HandshakeResponse)) return bad("not an HS_RESP");
  if (datagram.size() < kHandshakeResponseFixed || datagram.size() > kMaxControlDatagram)
    return bad("an HS_RESP has a wrong length");
  Reader in(datagram);
  in.u8();
  HandshakeResponse m;
  m.suite = in.u8();
  if (in.u16() != 0) return bad("an HS_RESP has reserved bytes set");
  m.receiver = {in.u64()};
  m.sender = {in.u64()};
  m.ephemeral = in.array<32>();
  m.encrypted_payload = to_bytes(in.bytes(in.left() - 16));
  m.mac1 = in.array<16>();
  if (!in.finish()) return bad("an HS_RESP is cut short");
  if (m.sender.is_zero() || m.receiver.is_zero()) return bad("an HS_RESP names session zero");
  return m;
}

Bytes encode(const CookieMessage& m) {
  Writer out(kCookieSize);
  out.u8(static_cast<Byte>(DatagramType::Cookie)).zeros(3).u64(m.receiver.value);
  out.bytes(m.salt).bytes(m.encrypted_cookie);
  return out.take();
}

Result<CookieMessage> decode_cookie(ByteView datagram) {
  if (!is_type(datagram, DatagramType::Cookie) || datagram.size() != kCookieSize)
    return bad("not a COOKIE");
  Reader in(datagram);
  in.u8();
  if (!all_zero(in.bytes(3))) return bad("a COOKIE has reserved bytes set");
  CookieMessage m;
  m.receiver = {in.u64()};
  m.salt = in.array<24>();
  m.encrypted_cookie = in.array<32>();
  if (!in.finish()) return bad("a COOKIE is cut short");
  if (m.receiver.is_zero()) return bad("a COOKIE names session zero");
  return m;
}

Bytes encode(const TunnelHint& m) {
  Writer out(kTunnelHintSize);
  out.u8(static_cast<Byte>(DatagramType::TunnelHint)).u8(static_cast<Byte>(m.code)).zeros(6);
  out.u64(m.path.value).bytes(m.token);
  return out.take();
}

Result<TunnelHint> decode_tunnel_hint(ByteView datagram) {
  if (!is_type(datagram, DatagramType::TunnelHint) || datagram.size() != kTunnelHintSize)
    return bad("not a TUNNEL_HINT");
  Reader in(datagram);
  in.u8();
  std::uint8_t code = in.u8();
  if (code != 1 && code != 2) return bad("a TUNNEL_HINT has an unknown code");
  if (!all_zero(in.bytes(6))) return bad("a TUNNEL_HINT has reserved bytes set");
  TunnelHint m;
  m.code = static_cast<HintCode>(code);
  m.path = {in.u64()};
  m.token = in.array<16>();
  if (m.path.is_zero()) return bad("a TUNNEL_HINT names Path ID zero");
  return m;
}

Bytes encode(const ControlHint& m) {
  Writer out(kControlHintSize);
  out.u8(static_cast<Byte>(DatagramType::ControlHint)).zeros(7).bytes(m.key_hash).bytes(m.token);
  return out.take();
}

Result<ControlHint> decode_control_hint(ByteView datagram) {
  if (!is_type(datagram, DatagramType::ControlHint) || datagram.size() != kControlHintSize)
    return bad("not a CTRL_HINT");
  Reader in(datagram);
  in.u8();
  if (!all_zero(in.bytes(7))) return bad("a CTRL_HINT has reserved bytes set");
  ControlHint m;
  m.key_hash = in.array<8>();
  m.token = in.array<16>();
  return m;
}

Bytes encode(const Notice& m) {
  Writer out(kNoticeSize);
  out.u8(static_cast<Byte>(DatagramType::Notice)).u8(m.version).u16(m.suites);
  return out.take();
}

Result<Notice> decode_notice(ByteView datagram) {
  if (!is_type(datagram, DatagramType::Notice) || datagram.size() != kNoticeSize)
    return bad("not a NOTICE");
  Reader in(datagram);
  in.u8();
  Notice m;
  m.version = in.u8();
  m.suites = in.u16();
  return m;
}

}  // namespace ntm::wire
