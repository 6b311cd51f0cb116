// Every datagram of NTM/1 as it stands on the wire: types, lengths, flags, and one struct a kind.
//
// One UDP port carries control and data. The first byte says which kind; 0x50-0x5f collide with
// neither STUN, DTLS, TURN channels nor QUIC long headers. Lengths are checked in one place,
// before any field is read. All integers are big-endian. docs/PROTOCOL.md, "Framing".
#pragma once

#include <array>
#include <optional>

#include "libntm/base/bytes.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/result.hpp"

namespace ntm::wire {

enum class DatagramType : std::uint8_t {
  Data = 0x50,
  TunnelRequest = 0x51,
  TunnelResponse = 0x52,
  TunnelHint = 0x53,
  HandshakeInit = 0x54,
  HandshakeResponse = 0x55,
  Control = 0x56,
  Cookie = 0x57,
  ControlHint = 0x58,
  Notice = 0x59,
};
const char* to_string(DatagramType type);

// nullopt: shorter than any datagram of ours or of a foreign type; dropped silently.
std::optional<DatagramType> datagram_type(ByteView datagram);

constexpr std::size_t kMaxDatagram = 65507;      // UDP over IPv4
constexpr std::size_t kMaxControlDatagram = 1232;  // fits IPv6's minimum MTU of 1280
constexpr std::size_t kTagSize = 16;

// ---- DATA and CTRL -------------------------------------------------------------------------
//  0        1        2                                   7
// +--------+--------+------------------------------------+
// | type   | flags  |  counter (48 bit)                  |
// +--------+--------+------------------------------------+
// |              Path ID / Session ID (64 bit)           |
// +------------------------------------------------------+
// |  ciphertext ...                              tag 16  |
// The 16 bytes are the AAD. The nonce is IV xor (0^32 ‖ counter as 64 bit).
constexpr std::size_t kRecordHeader = 16;
constexpr std::size_t kMinRecord = kRecordHeader + kTagSize;
constexpr std::uint64_t kMaxCounter = (std::uint64_t{1} << 48) - 1;

constexpr std::uint8_t kRecordEpochShift = 6;     // bits 7-6: key epoch, mod 4
constexpr std::uint8_t kRecordEarly = 0x20;       // sent before key confirmation
constexpr std::uint8_t kRecordPartialSum = 0x08;  // DATA: inner checksum is the pseudo-header sum
constexpr std::uint8_t kRecordMustBeZero = 0x17;

struct RecordHeader {
  DatagramType type = DatagramType::Data;
  std::uint8_t epoch = 0;
  bool early = false;
  bool partial_sum = false;
  std::uint64_t counter = 0;  // below 2^48
  std::uint64_t id = 0;       // Path ID or Session ID
  bool operator==(const RecordHeader&) const = default;
};
std::array<Byte, kRecordHeader> encode(const RecordHeader& header);
Result<RecordHeader> decode_record_header(ByteView datagram);  // also checks kMinRecord

// ---- TUNNEL_REQ and TUNNEL_RES -------------------------------------------------------------
// type 1 ‖ flags 1 ‖ counter 6 ‖ Path ID 8 ‖ challenge 8 ‖ echo 8 ‖ blob length 2 ‖ 0 2 ‖ blob ‖
// zero padding ‖ MAC 16. A request is always 192 bytes; a response is never longer than what it
// answers. The MAC is HMAC-SHA256-128 under K_leg (to a relay) or K_pp (terminal to terminal)
// over everything before it.
constexpr std::size_t kTunnelHeader = 36;
constexpr std::size_t kTunnelMac = 16;
constexpr std::size_t kTunnelRequestSize = 192;
constexpr std::size_t kMinTunnelResponse = kTunnelHeader + kTunnelMac;  // 52
constexpr std::size_t kMessage1Size = 112;  // IKpsk2 message 1
constexpr std::size_t kMessage2Size = 56;   // IKpsk2 message 2
constexpr std::size_t kConfirmSize = 24;    // flags 8 ‖ MAC 16 under the exporter

enum class BlobKind : std::uint8_t { None = 0, Message1 = 1, Message2 = 2, Confirm = 3 };
enum class Leg : std::uint8_t { A = 0, B = 1 };  // A: the MN side of the Relay Direction

struct TunnelMessage {
  DatagramType type = DatagramType::TunnelRequest;  // or TunnelResponse
  BlobKind blob_kind = BlobKind::None;              // flags bits 7-6
  Leg leg = Leg::A;                                 // bit 5
  bool handover = false;                            // bit 4
  bool rekey = false;                               // bit 3
  bool pending = false;                             // bit 2: from a relay, the other leg is down
  bool ready = false;                               // bit 1: from a relay, both legs are up
  std::uint64_t counter = 0;                        // per sender and Path ID, strictly growing
  PathId path;
  std::uint64_t challenge = 0;
  std::uint64_t echo = 0;  // the peer's last challenge; zero when none
  Bytes blob;
  bool operator==(const TunnelMessage&) const = default;
};
// Everything but the MAC, padded; the caller appends the 16 MAC bytes.
Bytes encode_without_mac(const TunnelMessage& message);
// Structure only: the MAC must be verified by the caller over datagram[0, size-16).
Result<TunnelMessage> decode_tunnel_message(ByteView datagram);

// ---- HS_INIT and HS_RESP -------------------------------------------------------------------
// HS_INIT: type 1 ‖ suite 1 ‖ pattern 1 ‖ 0 1 ‖ sender session 8 ‖ responder-key hint 8 ‖
// token id 8 ‖ e 32 ‖ enc(s) 48 ‖ enc(payload) n+16 ‖ mac1 16 ‖ mac2 16; at least 512 bytes.
enum class Pattern : std::uint8_t { IK = 1, IKpsk1 = 2 };
constexpr std::size_t kHandshakeInitFixed = 156;  // with n = 0
constexpr std::size_t kHandshakeInitMin = 512;
constexpr std::size_t kHandshakeResponseFixed = 84;

struct HandshakeInit {
  std::uint8_t suite = 0;
  Pattern pattern = Pattern::IK;
  SessionId sender;
  std::array<Byte, 8> responder_hint{};  // first bytes of SHA-256 of the responder's key
  TokenId token;
  std::array<Byte, 32> ephemeral{};
  std::array<Byte, 48> encrypted_static{};
  Bytes encrypted_payload;  // with tag
  std::array<Byte, 16> mac1{};
  std::array<Byte, 16> mac2{};
  bool operator==(const HandshakeInit&) const = default;
};
Bytes encode(const HandshakeInit& message);
Result<HandshakeInit> decode_handshake_init(ByteView datagram);
constexpr std::size_t kMac1FromEnd = 32;  // mac1 covers all before it; mac2 all before mac2

// type 1 ‖ suite 1 ‖ 0 2 ‖ receiver session 8 ‖ sender session 8 ‖ e 32 ‖ enc(payload) m+16 ‖
// mac1 16
struct HandshakeResponse {
  std::uint8_t suite = 0;
  SessionId receiver;
  SessionId sender;
  std::array<Byte, 32> ephemeral{};
  Bytes encrypted_payload;  // with tag
  std::array<Byte, 16> mac1{};
  bool operator==(const HandshakeResponse&) const = default;
};
Bytes encode(const HandshakeResponse& message);
Result<HandshakeResponse> decode_handshake_response(ByteView datagram);

// ---- small stateless ones ------------------------------------------------------------------
// COOKIE: type 1 ‖ 0 3 ‖ receiver session 8 ‖ salt 24 ‖ enc(cookie) 32. 68 bytes.
struct CookieMessage {
  SessionId receiver;
  std::array<Byte, 24> salt{};
  std::array<Byte, 32> encrypted_cookie{};  // 16 + tag
  bool operator==(const CookieMessage&) const = default;
};
constexpr std::size_t kCookieSize = 68;
Bytes encode(const CookieMessage& message);
Result<CookieMessage> decode_cookie(ByteView datagram);

// TUNNEL_HINT: type 1 ‖ code 1 ‖ 0 6 ‖ Path ID 8 ‖ reset token 16. 32 bytes, so never larger than
// the shortest DATA that it answers.
enum class HintCode : std::uint8_t { UnknownPath = 1, AddressChanged = 2 };
struct TunnelHint {
  HintCode code = HintCode::UnknownPath;
  PathId path;
  std::array<Byte, 16> token{};
  bool operator==(const TunnelHint&) const = default;
};
constexpr std::size_t kTunnelHintSize = 32;
Bytes encode(const TunnelHint& message);
Result<TunnelHint> decode_tunnel_hint(ByteView datagram);

// CTRL_HINT: type 1 ‖ 0 7 ‖ key hash 8 ‖ token 16. 32 bytes. Sent by a DC without the session;
// `key_hash` = first 8 bytes of SHA-256 of the terminal's key, the token is made from it.
struct ControlHint {
  std::array<Byte, 8> key_hash{};
  std::array<Byte, 16> token{};
  bool operator==(const ControlHint&) const = default;
};
constexpr std::size_t kControlHintSize = 32;
Bytes encode(const ControlHint& message);
Result<ControlHint> decode_control_hint(ByteView datagram);

// NOTICE: type 1 ‖ version 1 ‖ suites 2. Advisory, never acted on alone.
struct Notice {
  std::uint8_t version = 1;
  std::uint16_t suites = 0;
  bool operator==(const Notice&) const = default;
};
constexpr std::size_t kNoticeSize = 4;
Bytes encode(const Notice& message);
Result<Notice> decode_notice(ByteView datagram);

}  // namespace ntm::wire
