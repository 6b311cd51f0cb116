// Noise_IK, Noise_IKpsk1 and Noise_IKpsk2 with X25519, SHA-256 and either AEAD
// (noiseprotocol.org revision 34), as one HandshakeState.
//
// The responder reads message 1 in two steps, because who asks decides which PSK applies and
// whether to go on at all: read_static() opens enc(s) (one DH) and gives the initiator's key;
// read_payload() does the rest. A failed step leaves the state dead: make a new one.
#pragma once

#include <optional>

#include "libntm/base/bytes.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/crypto/suite.hpp"
#include "libntm/crypto/x25519.hpp"

namespace ntm::crypto {

enum class NoisePattern : std::uint8_t { IK, IKpsk1, IKpsk2 };
enum class NoiseRole : std::uint8_t { Initiator, Responder };

// What Split() gives, plus what the key schedule hangs on.
struct NoiseOutput {
  Key32 initiator_to_responder;
  Key32 responder_to_initiator;
  Key32 chaining_key;
  std::array<Byte, 32> handshake_hash{};
};

class Noise {
 public:
  // `remote` is the responder's static key (initiator), or ignored (responder).
  Noise(NoisePattern pattern, Suite suite, NoiseRole role, ByteView prologue,
        const KeyPair& local, const PublicKey& remote);

  // ---- initiator
  // Message 1: e 32 ‖ enc(s) 48 ‖ enc(payload) n+16. `psk` for IKpsk1.
  Result<Bytes> write_message1(const KeyPair& ephemeral, ByteView payload,
                               const std::optional<Key32>& psk = std::nullopt);
  // Message 2: e 32 ‖ enc(payload) n+16. `psk` for IKpsk2. The payload on success.
  Result<Bytes> read_message2(ByteView message, const std::optional<Key32>& psk = std::nullopt);

  // ---- responder
  Result<PublicKey> read_static(ByteView ephemeral, ByteView encrypted_static);
  Result<Bytes> read_payload(ByteView encrypted_payload,
                             const std::optional<Key32>& psk = std::nullopt);
  Result<Bytes> write_message2(const KeyPair& ephemeral, ByteView payload,
                               const std::optional<Key32>& psk = std::nullopt);

  // After message 2.
  NoiseOutput split() const;
  const PublicKey& remote_static() const { return remote_; }

 private:
  void mix_hash(ByteView data);
  void mix_key(ByteView input);
  void mix_key_and_hash(const Key32& psk);
  Result<void> mix_dh(const Key32& secret, const PublicKey& peer);
  Bytes encrypt_and_hash(ByteView plain);
  Result<Bytes> decrypt_and_hash(ByteView sealed);
  bool psk_pattern() const { return pattern_ != NoisePattern::IK; }
  void mix_ephemeral(ByteView e);

  NoisePattern pattern_;
  Suite suite_;
  NoiseRole role_;
  KeyPair static_;
  KeyPair ephemeral_;
  PublicKey remote_;
  PublicKey remote_ephemeral_;
  Key32 chaining_;
  std::array<Byte, 32> hash_{};
  Key32 key_;
  bool has_key_ = false;
  std::uint64_t nonce_ = 0;
};

}  // namespace ntm::crypto
