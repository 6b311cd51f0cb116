// The Noise IK / IKpsk1 handshakes of control sessions: HS_INIT, HS_RESP, COOKIE
// (docs/PROTOCOL.md 3 and 9).
//
// Responder order, so that a stranger costs as little as possible and nothing is allocated for
// him: length and type -> mac1 (keyed by our public key) -> source limit -> under load: cookie
// (mac2) -> one DH opens enc(s) -> the owner decides whether this key or token is known -> the
// rest. What is decoded up to there is freed when the step fails; nothing is kept for him.
#pragma once

#include <optional>

#include "libntm/base/address.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/random.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/time.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/noise.hpp"
#include "libntm/exchange/session.hpp"
#include "libntm/wire/framing.hpp"

namespace ntm::exchange {

// ---- initiator -------------------------------------------------------------------------------

struct HandshakeTarget {
  PublicKey responder;  // the DC's key
  Name zone;            // the DC's zone; in the prologue
  crypto::Suite suite = crypto::Suite::AesGcm;
  // Enrolment (IKpsk1): the token's id and PSK.
  std::optional<TokenId> token;
  std::optional<Key32> psk;
};

class HandshakeInitiator {
 public:
  HandshakeInitiator(const HandshakeTarget& target, const crypto::KeyPair& own);

  // A fresh HS_INIT with this payload (a control message). Every call draws a new ephemeral; only
  // the newest can be answered. `datagram` may be sent again unchanged (retransmission).
  Result<Bytes> start(ByteView payload, Random& random);
  struct Established {
    Session session;
    Bytes payload;  // the responder's control message
  };
  // Invalid/Denied leaves everything unchanged: the genuine answer may still come.
  Result<Established> response(ByteView datagram, Instant now);
  // COOKIE: the newest HS_INIT again with mac2; Denied if it is not for us or forged.
  Result<Bytes> cookie(ByteView datagram);
  SessionId local_id() const { return local_; }

 private:
  HandshakeTarget target_;
  crypto::KeyPair own_;
  std::optional<crypto::Noise> noise_;
  SessionId local_;
  Bytes init_;  // the newest HS_INIT
};

// ---- responder -------------------------------------------------------------------------------

// Cookies prove that a source address can receive. Stateless: MAC of address and port under a
// secret that rotates every 120 s; the last two are valid, so a cookie lives 120 to 240 s. Rotation
// happens in make(); previous() belongs right after it.
class CookieJar {
 public:
  explicit CookieJar(Random& random) : random_(random) {}
  std::array<Byte, 16> make(Instant now, const Endpoint& source);
  // What make() would have given under the secret before this one.
  std::array<Byte, 16> previous(const Endpoint& source) const;

 private:
  void rotate(Instant now);
  Random& random_;
  Key32 current_;
  Key32 previous_;
  Instant since_{};
  bool any_ = false;
};

// An HS_INIT whose enc(s) opened: authenticated to come from the owner of `initiator` only after
// read_payload() succeeded.
class OpenedInit {
 public:
  const PublicKey& initiator() const { return noise_.remote_static(); }
  wire::Pattern pattern() const { return message_.pattern; }
  TokenId token() const { return message_.token; }
  SessionId remote_session() const { return message_.sender; }
  // The key of ours that it was made for: current or next.
  const PublicKey& responder() const { return responder_; }
  // The control message; `psk` for IKpsk1. Once. `static_shared` = x25519(our key, initiator()),
  // if the owner keeps it for this peer: saves one of the four DHs of a handshake.
  Result<Bytes> read_payload(const std::optional<Key32>& psk,
                             const std::optional<Key32>& static_shared = std::nullopt);

  struct Answer {
    Bytes datagram;
    Session session;
  };
  // HS_RESP with this payload and the session, once read_payload() has succeeded. `local` must be
  // unused at the responder.
  Result<Answer> respond(ByteView payload, SessionId local, Random& random, Instant now);

 private:
  friend class HandshakeResponder;
  OpenedInit(wire::HandshakeInit message, crypto::Noise noise, crypto::Suite suite,
             const PublicKey& responder, std::size_t size)
      : message_(std::move(message)),
        noise_(std::move(noise)),
        suite_(suite),
        responder_(responder),
        size_(size) {}
  wire::HandshakeInit message_;
  crypto::Noise noise_;
  crypto::Suite suite_;
  PublicKey responder_;
  std::size_t size_;  // of the HS_INIT: the answer may not be longer
};

class HandshakeResponder {
 public:
  // `next` is the key that is announced for rotation, if any.
  HandshakeResponder(const Name& zone, const crypto::KeyPair& current,
                     const std::optional<crypto::KeyPair>& next, Random& random);

  // True when the hint and mac1 fit one of our keys: cheap, before any DH. The zone of a host
  // with several zones is chosen by it.
  bool is_for_us(ByteView datagram) const;
  // COOKIE for this HS_INIT (never longer than it), or nullopt if mac2 is valid for the source.
  // Only for a datagram that is_for_us().
  std::optional<Bytes> demand_cookie(Instant now, const Endpoint& source, ByteView datagram);
  // The one DH that opens enc(s).
  Result<OpenedInit> open(ByteView datagram) const;

 private:
  // A key pair with what every HS_INIT asks of it, made once.
  struct OwnKey {
    explicit OwnKey(const crypto::KeyPair& own);
    bool made_mac1_of(ByteView datagram) const;
    crypto::KeyPair pair;
    std::array<Byte, 8> hint;
    mutable crypto::HmacKey mac1;  // keeps no more than scratch space between calls
  };
  const OwnKey* key_for(ByteView hint) const;
  Name zone_;
  OwnKey current_;
  std::optional<OwnKey> next_;
  Random& random_;
  CookieJar cookies_;
};

// Token buckets per source (IPv4 /32, IPv6 /64): 20 a second, burst 5, in a fixed table of 4096
// slots x 16 bytes = 64 KB. Two sources in one slot share it: never more, sometimes less.
class SourceLimiter {
 public:
  static constexpr std::size_t kSlots = 4096;
  static constexpr int kPerSecond = 20;
  static constexpr int kBurst = 5;
  explicit SourceLimiter(Random& random);
  bool allow(Instant now, const IpAddress& source);

 private:
  struct Slot {
    std::int64_t us = 0;                   // up to here the refill is counted
    std::int64_t millis = kBurst * 1000;  // tokens x 1000
  };
  std::uint64_t salt_;
  std::vector<Slot> slots_;
};

}  // namespace ntm::exchange
