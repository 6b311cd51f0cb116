// Noise_IK, Noise_IKpsk1 and Noise_IKpsk2 with X25519, SHA-256 and either AEAD
// (noiseprotocol.org revision 34), as one HandshakeState (docs/PROTOCOL.md 9).
//
// The responder reads message 1 in two steps, because who asks decides which PSK applies and
// whether to go on at all: read_static() opens enc(s) (one DH) and gives the initiator's key;
// read_payload() does the rest. Static-static DH may be handed in by an owner who keeps it for a
// known peer; a wrong one only makes the handshake fail.
//
//   initiator:  Start -- write_message1 --> Sent -- read_message2 --> Done
//   responder:  Start -- read_static --> Named -- read_payload --> Read -- write_message2 --> Done
// A failed step, or one out of this order, leaves the state Dead, where everything is refused: no
// answer can be made to a message 1 that did not open. Copy the object to try a step.
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
const char* to_string(NoisePattern pattern);
const char* to_string(NoiseRole role);

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
                               const std::optional<Key32>& psk = std::nullopt,
                               const std::optional<Key32>& static_shared = std::nullopt);
  // Message 2: e 32 ‖ enc(payload) n+16. `psk` for IKpsk2. The payload on success.
  Result<Bytes> read_message2(ByteView message, const std::optional<Key32>& psk = std::nullopt);

  // ---- responder
  Result<PublicKey> read_static(ByteView ephemeral, ByteView encrypted_static);
  Result<Bytes> read_payload(ByteView encrypted_payload,
                             const std::optional<Key32>& psk = std::nullopt,
                             const std::optional<Key32>& static_shared = std::nullopt);
  Result<Bytes> write_message2(const KeyPair& ephemeral, ByteView payload,
                               const std::optional<Key32>& psk = std::nullopt);

  // Only when Done.
  NoiseOutput split() const;
  const PublicKey& remote_static() const { return remote_; }

 private:
  enum class Step : std::uint8_t { Start, Sent, Named, Read, Done, Dead };
  bool leave(NoiseRole role, Step from);
  void mix_hash(ByteView data);
  void mix_key(ByteView input);
  void mix_key_and_hash(const Key32& psk);
  Result<void> mix_dh(const Key32& secret, const PublicKey& peer);
  Result<void> mix_static(const std::optional<Key32>& shared);
  Bytes encrypt_and_hash(ByteView plain);
  Result<Bytes> decrypt_and_hash(ByteView sealed);
  bool psk_pattern() const { return pattern_ != NoisePattern::IK; }
  void mix_ephemeral(ByteView e);

  NoisePattern pattern_;
  Suite suite_;
  NoiseRole role_;
  Step step_ = Step::Start;
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
