// The token's body; the text form with checksum is libntm/crypto/key_schedule.hpp.
#include "libntm/wire/token.hpp"

#include <cassert>

namespace ntm::wire {

namespace {
constexpr std::uint8_t kTokenVersion = 1;
constexpr std::size_t kMaxTokenEndpoints = 4;

// Reads one wire-form name off the front of the input.
Result<Name> read_name(Reader& in) {
  Writer wire;
  while (true) {
    std::uint8_t length = in.u8();
    if (!in.ok() || length > kMaxLabel) return invalid("the token has a malformed name");
    wire.u8(length);
    if (length == 0) break;
    wire.bytes(in.bytes(length));
    if (wire.size() > kMaxNameWire) return invalid("the token has a malformed name");
  }
  return Name::from_wire(wire.view());
}
}  // namespace

Bytes encode_body(const EnrolmentToken& token) {
  assert(!token.dc_endpoints.empty() && token.dc_endpoints.size() <= kMaxTokenEndpoints);
  Writer out;
  out.u8(kTokenVersion).bytes(token.zone.wire()).bytes(token.subject.wire());
  out.bytes(token.dc_key.view()).u8(static_cast<Byte>(token.dc_endpoints.size()));
  for (const Endpoint& e : token.dc_endpoints)
    out.u8(static_cast<Byte>(e.family())).bytes(e.address.view()).u16(e.port);
  out.u64(token.id.value).bytes(token.secret.view());
  return out.take();
}

Result<EnrolmentToken> decode_body(ByteView body) {
  Reader in(body);
  if (in.u8() != kTokenVersion)
    return invalid("the token is of another version than this program knows");
  EnrolmentToken out;
  Result<Name> zone = read_name(in);
  if (!zone) return pass(zone.error());
  Result<Name> subject = read_name(in);
  if (!subject) return pass(subject.error());
  out.zone = *zone;
  out.subject = *subject;
  out.dc_key.raw = in.array<32>();
  std::size_t count = in.u8();
  if (count == 0 || count > kMaxTokenEndpoints) return invalid("the token names no DC address");
  for (std::size_t i = 0; i < count; ++i) {
    std::uint8_t family = in.u8();
    if (family != 4 && family != 6) return invalid("the token has an address of unknown family");
    Endpoint e;
    if (family == 4) e.address = Ipv4{in.array<4>()};
    else e.address = Ipv6{in.array<16>()};
    e.port = in.u16();
    if (!e.is_set()) return invalid("the token names an unusable DC address");
    out.dc_endpoints.push_back(e);
  }
  out.id = {in.u64()};
  ByteView secret = in.bytes(Key16::size());
  if (secret.size() == Key16::size()) out.secret = Key16::from(secret);
  if (!in.finish()) return invalid("the token has a wrong length");
  if (out.id.is_zero()) return invalid("the token has no id");
  return out;
}

}  // namespace ntm::wire
