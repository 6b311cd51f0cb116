// The cipher suites of NTM/1 and how one is chosen (docs/PROTOCOL.md 2). A suite fixes curve, AEAD
// and hash together: the suite byte is in every handshake's prologue, so it can't be swapped.
#pragma once

#include <cstdint>
#include <optional>

namespace ntm::crypto {

enum class Suite : std::uint8_t {
  AesGcm = 0x01,      // X25519, AES-256-GCM, SHA-256
  ChaChaPoly = 0x02,  // X25519, ChaCha20-Poly1305, SHA-256
};
const char* to_string(Suite suite);
std::optional<Suite> suite_from(std::uint8_t raw);

// As a set on the wire: bit 0 = AesGcm, bit 1 = ChaChaPoly.
constexpr std::uint16_t suite_bit(Suite suite) {
  return suite == Suite::AesGcm ? 0x0001 : 0x0002;
}
constexpr std::uint16_t kAllSuites = 0x0003;

// AES where this CPU has instructions for it, else ChaCha20 (2-7 times faster then).
Suite preferred_suite();
// The initiator's choice: its preferred one if the peer has it, else any common one.
std::optional<Suite> choose_suite(std::uint16_t mine, std::uint16_t theirs, Suite preferred);

}  // namespace ntm::crypto
