// Exact forms: every payload is consumed to its last byte or refused.
#include "libntm/wire/inner_control.hpp"

#include <cassert>

namespace ntm::wire {

namespace {

constexpr std::uint8_t kAnyReceived = 0x80;  // in the epoch byte of a receive state
constexpr std::uint8_t kLastFragment = 0x01;

struct Encoder {
  Writer out;
  void kind(InnerKind k) { out.u8(static_cast<Byte>(k)); }
  void operator()(const Probe& m) {
    kind(InnerKind::Probe);
    out.u32(m.id).u64(m.sent_us);
  }
  void operator()(const ProbeReply& m) {
    kind(InnerKind::ProbeReply);
    out.u32(m.id).u64(m.sent_us).u48(m.received);
  }
  void operator()(const ReceiveState& m) {
    assert(m.epoch < 4 && m.bitmap.size() <= kMaxStateBitmap);
    kind(InnerKind::ReceiveState);
    out.u64(m.path.value).u8(static_cast<Byte>(m.epoch | (m.any ? kAnyReceived : 0)));
    out.u48(m.highest).u16(static_cast<std::uint16_t>(m.bitmap.size())).bytes(m.bitmap);
  }
  void operator()(const Close& m) {
    kind(InnerKind::Close);
    out.u8(static_cast<Byte>(m.reason));
  }
  void operator()(const Candidates& m) {
    assert(m.endpoints.size() <= kMaxCandidates);
    kind(InnerKind::Candidates);
    out.u8(static_cast<Byte>(m.endpoints.size()));
    for (const Endpoint& e : m.endpoints)
      out.u8(static_cast<Byte>(e.family())).bytes(e.address.view()).u16(e.port);
  }
  void operator()(const Fragment& m) {
    kind(InnerKind::Fragment);
    out.u16(m.id).u16(m.offset).u8(m.last ? kLastFragment : 0).bytes(m.part);
  }
};

Result<InnerControl> done(const Reader& in, InnerControl control) {
  if (!in.finish()) return invalid("an inner control message has a wrong length");
  return control;
}

Result<InnerControl> decode_receive_state(Reader& in) {
  ReceiveState m;
  m.path = {in.u64()};
  std::uint8_t epoch = in.u8();
  if (epoch & ~(kAnyReceived | 3)) return invalid("a receive state has reserved bits set");
  m.epoch = epoch & 3;
  m.any = epoch & kAnyReceived;
  m.highest = in.u48();
  m.bitmap = to_bytes(in.bytes(in.u16()));
  if (!in.ok() || m.path.is_zero()) return invalid("a receive state is malformed");
  bool too_long = m.bitmap.size() > kMaxStateBitmap || (!m.any && !m.bitmap.empty());
  if (too_long || (!m.bitmap.empty() && m.bitmap.back() == 0xff))
    return invalid("a receive state has a bitmap of wrong length");
  return done(in, m);
}

Result<InnerControl> decode_candidates(Reader& in) {
  Candidates m;
  std::size_t count = in.u8();
  if (count > kMaxCandidates) return invalid("too many candidates");
  for (std::size_t i = 0; i < count; ++i) {
    std::uint8_t family = in.u8();
    if (family != 4 && family != 6) return invalid("a candidate of unknown family");
    Endpoint e;
    if (family == 4) e.address = Ipv4{in.array<4>()};
    else e.address = Ipv6{in.array<16>()};
    e.port = in.u16();
    m.endpoints.push_back(e);
  }
  return done(in, std::move(m));
}

Result<InnerControl> decode_fragment(Reader& in) {
  Fragment m;
  m.id = in.u16();
  m.offset = in.u16();
  std::uint8_t flags = in.u8();
  if (flags & ~kLastFragment) return invalid("a fragment has reserved flags set");
  m.last = flags & kLastFragment;
  m.part = to_bytes(in.bytes(in.left()));
  if (m.part.empty()) return invalid("an empty fragment");
  if (std::size_t{m.offset} + m.part.size() > 0xffff) return invalid("a fragment past 64 KiB");
  return done(in, std::move(m));
}

}  // namespace

Bytes encode(const InnerControl& control) {
  Encoder encoder;
  std::visit(encoder, control);
  return encoder.out.take();
}

Result<InnerControl> decode_inner_control(ByteView payload) {
  Reader in(payload);
  switch (static_cast<InnerKind>(in.u8())) {
    case InnerKind::Probe: {
      Probe m;
      m.id = in.u32();
      m.sent_us = in.u64();
      return done(in, m);
    }
    case InnerKind::ProbeReply: {
      ProbeReply m;
      m.id = in.u32();
      m.sent_us = in.u64();
      m.received = in.u48();
      return done(in, m);
    }
    case InnerKind::ReceiveState: return decode_receive_state(in);
    case InnerKind::Close: {
      std::uint8_t reason = in.u8();
      if (reason > 3) return invalid("a close with an unknown reason");
      return done(in, Close{static_cast<CloseReason>(reason)});
    }
    case InnerKind::Candidates: return decode_candidates(in);
    case InnerKind::Fragment: return decode_fragment(in);
  }
  return invalid("inner control of unknown kind");
}

}  // namespace ntm::wire
