// One function makes every key; the rest says from what.
#include "libntm/crypto/key_schedule.hpp"

#include <algorithm>

#include "libntm/base/text.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/tunnel_keys.hpp"
#include "libntm/wire/framing.hpp"

namespace ntm::crypto {

namespace {
std::array<Byte, 8> big_endian(std::uint64_t value) {
  std::array<Byte, 8> out;
  for (int i = 0; i < 8; ++i) out[i] = static_cast<Byte>(value >> (56 - 8 * i));
  return out;
}
constexpr std::string_view kTokenPrefix = "ntm1";
}  // namespace

void derive(ByteView secret, std::string_view label, std::uint8_t suite, ByteView context,
            ByteSpan out) {
  Writer info;
  info.bytes(as_view("ntm1 ")).bytes(as_view(label)).u8(suite);
  info.u16(static_cast<std::uint16_t>(out.size()));
  hkdf_expand(secret, {info.view(), context}, out);
}

Key32 derive32(ByteView secret, std::string_view label, std::uint8_t suite, ByteView context) {
  Key32 out;
  derive(secret, label, suite, context, out.span());
  return out;
}

DirectionKeys direction_keys(const Key32& split_output, Suite suite) {
  DirectionKeys out;
  std::uint8_t raw = static_cast<std::uint8_t>(suite);
  derive(split_output.view(), kLabelKey, raw, {}, out.key.span());
  derive(split_output.view(), kLabelIv, raw, {}, out.iv);
  return out;
}

Bytes prologue(Suite suite, PrologueRole role, const Name& initiator, const Name& responder) {
  Writer out;
  out.bytes(as_view("NTM/1")).u8(static_cast<std::uint8_t>(suite));
  out.u8(static_cast<std::uint8_t>(role));
  for (const Name* name : {&initiator, &responder}) {
    out.u8(static_cast<std::uint8_t>(name->wire().size()));
    out.bytes(name->wire());
  }
  return out.take();
}

Key32 mac1_key(const PublicKey& responder) { return derive32(responder.view(), kLabelMac1); }

DirectionKeys cookie_keys(const PublicKey& responder, ByteView salt) {
  std::array<Byte, 44> raw;
  derive(responder.view(), kLabelCookie, 0, salt, raw);
  DirectionKeys out;
  out.key = Key32::from(ByteView(raw.data(), 32));
  std::copy_n(raw.begin() + 32, 12, out.iv.begin());
  return out;
}

std::array<Byte, 16> control_hint_token(const Key32& reset_secret, ByteView hash) {
  std::array<Byte, 16> out;
  derive(reset_secret.view(), kLabelReset, 0, hash, out);
  return out;
}

std::array<Byte, 16> path_hint_token(const Key32& token_secret, PathId path) {
  std::array<Byte, 16> out;
  derive(token_secret.view(), kLabelReset, 0, big_endian(path.value), out);
  return out;
}

Key32 relay_token_secret(const Key32& reset_secret, const Name& zone) {
  return derive32(reset_secret.view(), kLabelRelay, 0, zone.wire());
}

Key32 enrolment_psk(ByteView token_secret, TokenId id) {
  return derive32(token_secret, kLabelEnrol, 0, big_endian(id.value));
}

std::string token_text(const wire::EnrolmentToken& token) {
  Bytes body = wire::encode_body(token);
  Digest digest = sha256({body});
  body.insert(body.end(), digest.begin(), digest.begin() + 2);
  std::string text = std::string(kTokenPrefix) + to_base32(body);
  wipe(body);
  return text;
}

Result<wire::EnrolmentToken> parse_token(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text.substr(0, kTokenPrefix.size()) != kTokenPrefix)
    return invalid("this is not an NTMobile token: it must begin with ntm1");
  Result<Bytes> raw = from_base32(text.substr(kTokenPrefix.size()));
  if (!raw || raw->size() < 3) return invalid("the token is damaged; copy the whole line again");
  ByteView body(raw->data(), raw->size() - 2);
  Digest digest = sha256({body});
  if (digest[0] != (*raw)[raw->size() - 2] || digest[1] != raw->back())
    return invalid("the token has a typing error (its checksum is wrong); copy it again");
  return wire::decode_body(body);
}

Key32 tunnel_psk(const Key32& path_secret, const Key32& user_psk, PathId path, Suite suite,
                 const Name& initiator_zone, const Name& responder_zone) {
  Key32 prk = hkdf_extract(as_view("ntm1 ck"), {path_secret.view(), user_psk.view()});
  Writer context;
  context.u64(path.value).u8(0);  // mode 0
  for (const Name* zone : {&initiator_zone, &responder_zone}) {
    context.u8(static_cast<std::uint8_t>(zone->wire().size()));
    context.bytes(zone->wire());
  }
  return derive32(prk.view(), kLabelPsk, static_cast<std::uint8_t>(suite), context.view());
}

Key32 rekey_psk(const NoiseOutput& output, Suite suite) {
  return derive32(output.chaining_key.view(), kLabelRekey, static_cast<std::uint8_t>(suite),
                  output.handshake_hash);
}

Key32 exporter(const NoiseOutput& output, Suite suite) {
  return derive32(output.chaining_key.view(), kLabelExporter, static_cast<std::uint8_t>(suite),
                  output.handshake_hash);
}

Key16 peer_to_peer_key(const Key32& path_secret) {
  Key16 out;
  derive(path_secret.view(), kLabelPeerToPeer, 0, {}, out.span());
  return out;
}

Bytes confirm_blob(const Key32& exporter_key, PathId path) {
  Digest mac =
      hmac_sha256(exporter_key.view(), {as_view("confirm"), big_endian(path.value)});
  Writer out;
  out.zeros(8).bytes(ByteView(mac.data(), 16));
  return out.take();
}

bool verify_confirm(const Key32& exporter_key, PathId path, ByteView blob) {
  return equal_secret(confirm_blob(exporter_key, path), blob);
}

std::string safety_number(const PublicKey& a, const PublicKey& b) {
  const PublicKey& low = std::min(a, b);
  const PublicKey& high = std::max(a, b);
  Digest digest = sha256({low.view(), high.view()});
  std::string out;
  for (int group = 0; group < 6; ++group) {
    std::uint64_t value = 0;
    for (int i = 0; i < 5; ++i)
      value = (value << 8) | digest[static_cast<std::size_t>(group * 5 + i)];
    std::string digits = std::to_string(value % 100000);
    out += (group ? " " : "") + std::string(5 - digits.size(), '0') + digits;
  }
  return out;
}

void append_tunnel_mac(const Key16& key, Bytes& datagram) {
  Digest mac = hmac_sha256(key.view(), {datagram});
  datagram.insert(datagram.end(), mac.begin(), mac.begin() + 16);
}

bool verify_tunnel_mac(const Key16& key, ByteView datagram) {
  if (datagram.size() < wire::kTunnelMac) return false;
  Digest mac = hmac_sha256(key.view(), {datagram.first(datagram.size() - wire::kTunnelMac)});
  return equal_secret(ByteView(mac.data(), 16), datagram.last(wire::kTunnelMac));
}

void append_tunnel_mac(HmacKey& key, Bytes& datagram) {
  Mac16 mac = key.mac16({datagram});
  datagram.insert(datagram.end(), mac.begin(), mac.end());
}

bool verify_tunnel_mac(HmacKey& key, ByteView datagram) {
  if (datagram.size() < wire::kTunnelMac) return false;
  return equal_secret(key.mac16({datagram.first(datagram.size() - wire::kTunnelMac)}),
                      datagram.last(wire::kTunnelMac));
}

}  // namespace ntm::crypto
