// Every key that is not a Noise key, in one table (docs/PROTOCOL.md 9).
//
// Derivation: HKDF-Expand(secret, label ‖ context, length) where label = "ntm1 " ‖ name ‖
// suite u8 ‖ length u16, so that two uses, two suites or two lengths never share a key.
#pragma once

#include <array>
#include <string_view>

#include "libntm/base/bytes.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/crypto/aead.hpp"
#include "libntm/crypto/noise.hpp"
#include "libntm/crypto/suite.hpp"
#include "libntm/wire/token.hpp"

namespace ntm::crypto {

inline constexpr std::string_view kLabelKey = "key";        // AEAD key of a direction
inline constexpr std::string_view kLabelIv = "iv";          // nonce base of a direction
inline constexpr std::string_view kLabelExporter = "exp";   // from ck, h
inline constexpr std::string_view kLabelRekey = "rekey";    // PSK of the next IKpsk2 of a tunnel
inline constexpr std::string_view kLabelPeerToPeer = "pp";  // K_pp, from CK
inline constexpr std::string_view kLabelPsk = "psk";        // PSK of the first IKpsk2, from CK
inline constexpr std::string_view kLabelMac1 = "mac1";      // from the responder's public key
inline constexpr std::string_view kLabelCookie = "cookie";  // from public key and salt
inline constexpr std::string_view kLabelReset = "reset";    // tokens, from K_reset and an id
inline constexpr std::string_view kLabelRelay = "relay";    // a relay's token secret for one DC
inline constexpr std::string_view kLabelEnrol = "enrol";    // PSK of IKpsk1, from the token secret

void derive(ByteView secret, std::string_view label, std::uint8_t suite, ByteView context,
            ByteSpan out);
Key32 derive32(ByteView secret, std::string_view label, std::uint8_t suite = 0,
               ByteView context = {});

// Key and IV of one direction from a Split() output.
struct DirectionKeys {
  Key32 key;
  Iv iv{};
};
DirectionKeys direction_keys(const Key32& split_output, Suite suite);

// ---- control sessions ----------------------------------------------------------------------
enum class PrologueRole : std::uint8_t { Control = 0, EndToEnd = 4 };
// "NTM/1" ‖ suite ‖ role ‖ len ‖ initiator ‖ len ‖ responder (wire form). Control handshakes give
// the root as initiator: the responder can't know it yet (docs/DECISIONS.md 2).
Bytes prologue(Suite suite, PrologueRole role, const Name& initiator, const Name& responder);

Key32 mac1_key(const PublicKey& responder);
DirectionKeys cookie_keys(const PublicKey& responder, ByteView salt);
// CTRL_HINT of a DC for the terminal with this key hash, TUNNEL_HINT for this Path ID.
std::array<Byte, 16> control_hint_token(const Key32& reset_secret, ByteView key_hash);
std::array<Byte, 16> path_hint_token(const Key32& token_secret, PathId path);
// What a relay gives a DC at attach, so that the DC can compute path_hint_token itself.
Key32 relay_token_secret(const Key32& reset_secret, const Name& zone);

// ---- enrolment -----------------------------------------------------------------------------
Key32 enrolment_psk(ByteView token_secret, TokenId id);
std::string token_text(const wire::EnrolmentToken& token);  // "ntm1..." with checksum
Result<wire::EnrolmentToken> parse_token(std::string_view text);

// ---- end to end ----------------------------------------------------------------------------
// PSK of the first IKpsk2 of a path: CK, Path ID, suite and both zones are bound through it.
Key32 tunnel_psk(const Key32& path_secret, const Key32& user_psk, PathId path, Suite suite,
                 const Name& initiator_zone, const Name& responder_zone);
Key32 rekey_psk(const NoiseOutput& output, Suite suite);
Key32 exporter(const NoiseOutput& output, Suite suite);
Key16 peer_to_peer_key(const Key32& path_secret);
// confirm blob: 8 zero bytes ‖ HMAC-SHA256-128(exporter, "confirm" ‖ Path ID).
Bytes confirm_blob(const Key32& exporter_key, PathId path);
bool verify_confirm(const Key32& exporter_key, PathId path, ByteView blob);
// 30 decimal digits of SHA-256(sorted keys) for two people to compare.
std::string safety_number(const PublicKey& a, const PublicKey& b);

}  // namespace ntm::crypto
