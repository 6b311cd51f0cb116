// The three IK patterns token by token (Noise specification, 7.5 and 9.3).
#include "libntm/crypto/noise.hpp"

#include <algorithm>
#include <cassert>

#include "libntm/crypto/aead.hpp"
#include "libntm/crypto/hash.hpp"

namespace ntm::crypto {

namespace {

std::string protocol_name(NoisePattern pattern, Suite suite) {
  std::string name = std::string("Noise_") + to_string(pattern) + "_25519_";
  name += suite == Suite::AesGcm ? "AESGCM" : "ChaChaPoly";
  return name + "_SHA256";
}

// Noise numbers AES-GCM nonces big-endian and ChaCha nonces little-endian (specification 12).
std::uint64_t noise_counter(Suite suite, std::uint64_t n) {
  return suite == Suite::AesGcm ? n : __builtin_bswap64(n);
}

tl::unexpected<Error> refused(const char* what) {
  return fail(ErrorKind::Denied, std::string("handshake refused: ") + what);
}

// RFC 5869 with two or three outputs, as Noise uses it.
void noise_hkdf(const Key32& chaining, ByteView input, std::initializer_list<Key32*> outputs) {
  Key32 prk = hkdf_extract(chaining.view(), {input});
  std::array<Byte, 96> out{};
  hkdf_expand(prk.view(), {}, ByteSpan(out.data(), outputs.size() * 32));
  std::size_t at = 0;
  for (Key32* key : outputs) {
    *key = Key32::from(ByteView(out.data() + at, 32));
    at += 32;
  }
  wipe(out);
}

}  // namespace

const char* to_string(NoisePattern pattern) {
  switch (pattern) {
    case NoisePattern::IK: return "IK";
    case NoisePattern::IKpsk1: return "IKpsk1";
    case NoisePattern::IKpsk2: return "IKpsk2";
  }
  return "?";
}

const char* to_string(NoiseRole role) {
  return role == NoiseRole::Initiator ? "initiator" : "responder";
}

Noise::Noise(NoisePattern pattern, Suite suite, NoiseRole role, ByteView prologue,
             const KeyPair& local, const PublicKey& remote)
    : pattern_(pattern), suite_(suite), role_(role), static_(local), remote_(remote) {
  std::string name = protocol_name(pattern, suite);
  if (name.size() <= 32)
    std::copy(name.begin(), name.end(), hash_.begin());
  else
    hash_ = sha256({as_view(name)});
  chaining_ = Key32(hash_);
  mix_hash(prologue);
  // The responder's static key is the pre-message of IK.
  mix_hash(role == NoiseRole::Initiator ? remote_.view() : static_.public_key.view());
}

// The state is Dead from here until the step has succeeded.
bool Noise::leave(NoiseRole role, Step from) {
  bool in_order = role_ == role && step_ == from;
  step_ = Step::Dead;
  return in_order;
}

void Noise::mix_hash(ByteView data) { hash_ = sha256({hash_, data}); }

void Noise::mix_key(ByteView input) {
  Key32 chaining;
  noise_hkdf(chaining_, input, {&chaining, &key_});
  chaining_ = chaining;
  has_key_ = true;
  nonce_ = 0;
}

void Noise::mix_key_and_hash(const Key32& psk) {
  Key32 chaining;
  Key32 hash;
  noise_hkdf(chaining_, psk.view(), {&chaining, &hash, &key_});
  chaining_ = chaining;
  mix_hash(hash.view());
  has_key_ = true;
  nonce_ = 0;
}

Result<void> Noise::mix_dh(const Key32& secret, const PublicKey& peer) {
  Result<Key32> shared = x25519(secret, peer);
  if (!shared) return pass(shared.error());
  mix_key(shared->view());
  return {};
}

Result<void> Noise::mix_static(const std::optional<Key32>& shared) {
  if (!shared) return mix_dh(static_.secret, remote_);
  mix_key(shared->view());
  return {};
}

void Noise::mix_ephemeral(ByteView e) {
  mix_hash(e);
  // In PSK patterns the ephemeral is mixed into the key as well (specification 9.2).
  if (psk_pattern()) mix_key(e);
}

Bytes Noise::encrypt_and_hash(ByteView plain) {
  Bytes out(plain.size() + kTag);
  Aead aead(suite_, Aead::Use::Seal, key_, Iv{});
  aead.seal(noise_counter(suite_, nonce_++), hash_, plain, out);
  mix_hash(out);
  return out;
}

Result<Bytes> Noise::decrypt_and_hash(ByteView sealed) {
  if (sealed.size() < kTag) return refused("a field is shorter than its tag");
  Bytes out(sealed.size() - kTag);
  Aead aead(suite_, Aead::Use::Open, key_, Iv{});
  if (!aead.open(noise_counter(suite_, nonce_), hash_, sealed, out)) return refused("wrong key");
  ++nonce_;
  mix_hash(sealed);
  return out;
}

Result<Bytes> Noise::write_message1(const KeyPair& ephemeral, ByteView payload,
                                    const std::optional<Key32>& psk,
                                    const std::optional<Key32>& static_shared) {
  if (!leave(NoiseRole::Initiator, Step::Start)) return refused("message 1 out of order");
  ephemeral_ = ephemeral;
  Writer out(96 + payload.size());
  out.bytes(ephemeral_.public_key.view());
  mix_ephemeral(ephemeral_.public_key.view());
  if (Result<void> es = mix_dh(ephemeral_.secret, remote_); !es) return pass(es.error());
  out.bytes(encrypt_and_hash(static_.public_key.view()));
  if (Result<void> ss = mix_static(static_shared); !ss) return pass(ss.error());
  if (pattern_ == NoisePattern::IKpsk1) {
    if (!psk) return refused("no PSK");
    mix_key_and_hash(*psk);
  }
  out.bytes(encrypt_and_hash(payload));
  step_ = Step::Sent;
  return out.take();
}

Result<PublicKey> Noise::read_static(ByteView ephemeral, ByteView encrypted_static) {
  if (!leave(NoiseRole::Responder, Step::Start)) return refused("message 1 out of order");
  if (ephemeral.size() != 32 || encrypted_static.size() != 48) return refused("wrong length");
  std::copy(ephemeral.begin(), ephemeral.end(), remote_ephemeral_.raw.begin());
  mix_ephemeral(ephemeral);
  if (Result<void> es = mix_dh(static_.secret, remote_ephemeral_); !es) return pass(es.error());
  Result<Bytes> key = decrypt_and_hash(encrypted_static);
  if (!key) return pass(key.error());
  std::copy(key->begin(), key->end(), remote_.raw.begin());
  step_ = Step::Named;
  return remote_;
}

Result<Bytes> Noise::read_payload(ByteView encrypted_payload, const std::optional<Key32>& psk,
                                  const std::optional<Key32>& static_shared) {
  if (!leave(NoiseRole::Responder, Step::Named)) return refused("payload 1 out of order");
  if (Result<void> ss = mix_static(static_shared); !ss) return pass(ss.error());
  if (pattern_ == NoisePattern::IKpsk1) {
    if (!psk) return refused("no PSK");
    mix_key_and_hash(*psk);
  }
  Result<Bytes> payload = decrypt_and_hash(encrypted_payload);
  if (payload) step_ = Step::Read;
  return payload;
}

Result<Bytes> Noise::write_message2(const KeyPair& ephemeral, ByteView payload,
                                    const std::optional<Key32>& psk) {
  if (!leave(NoiseRole::Responder, Step::Read)) return refused("message 2 out of order");
  ephemeral_ = ephemeral;
  Writer out(48 + payload.size());
  out.bytes(ephemeral_.public_key.view());
  mix_ephemeral(ephemeral_.public_key.view());
  if (Result<void> ee = mix_dh(ephemeral_.secret, remote_ephemeral_); !ee) return pass(ee.error());
  if (Result<void> se = mix_dh(ephemeral_.secret, remote_); !se) return pass(se.error());
  if (pattern_ == NoisePattern::IKpsk2) {
    if (!psk) return refused("no PSK");
    mix_key_and_hash(*psk);
  }
  out.bytes(encrypt_and_hash(payload));
  step_ = Step::Done;
  return out.take();
}

Result<Bytes> Noise::read_message2(ByteView message, const std::optional<Key32>& psk) {
  if (!leave(NoiseRole::Initiator, Step::Sent)) return refused("message 2 out of order");
  if (message.size() < 32 + kTag) return refused("message 2 is too short");
  ByteView e = message.first(32);
  std::copy(e.begin(), e.end(), remote_ephemeral_.raw.begin());
  mix_ephemeral(e);
  if (Result<void> ee = mix_dh(ephemeral_.secret, remote_ephemeral_); !ee) return pass(ee.error());
  if (Result<void> se = mix_dh(static_.secret, remote_ephemeral_); !se) return pass(se.error());
  if (pattern_ == NoisePattern::IKpsk2) {
    if (!psk) return refused("no PSK");
    mix_key_and_hash(*psk);
  }
  Result<Bytes> payload = decrypt_and_hash(message.subspan(32));
  if (payload) step_ = Step::Done;
  return payload;
}

NoiseOutput Noise::split() const {
  assert(step_ == Step::Done);
  NoiseOutput out;
  noise_hkdf(chaining_, {}, {&out.initiator_to_responder, &out.responder_to_initiator});
  out.chaining_key = chaining_;
  out.handshake_hash = hash_;
  return out;
}

}  // namespace ntm::crypto
