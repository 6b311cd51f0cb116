// A control session: the two AEAD directions that a Noise IK handshake left behind, as CTRL
// records (docs/PROTOCOL.md 3). Each record is one control message, replay-checked in a window of
// 128 bits; the newest counter tells the owner whose source address to follow.
#pragma once

#include <memory>
#include <optional>

#include "kernel/core/ntm_replay.h"
#include "libntm/base/ids.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/time.hpp"
#include "libntm/crypto/aead.hpp"
#include "libntm/crypto/noise.hpp"

namespace ntm::exchange {

constexpr Duration kSessionLife = seconds(3600);  // then a new handshake
constexpr std::uint64_t kSessionMaxRecords = std::uint64_t{1} << 26;

class Session {
 public:
  Session(SessionId local, SessionId remote, const PublicKey& peer, crypto::Suite suite,
          const crypto::NoiseOutput& output, bool initiator, Instant now);

  SessionId local_id() const { return local_; }
  SessionId remote_id() const { return remote_; }
  const PublicKey& peer() const { return peer_; }
  crypto::Suite suite() const { return suite_; }

  // A whole CTRL datagram.
  Bytes seal(ByteView plaintext);

  enum class Refusal : std::uint8_t { Malformed, WrongSession, Replay, Forged };
  struct Opened {
    Bytes plaintext;
    bool newest = false;  // greatest counter so far: follow its source address
  };
  tl::expected<Opened, Refusal> open(ByteView datagram);

  bool is_worn(Instant now) const {
    return now - made_ >= kSessionLife || send_counter_ >= kSessionMaxRecords;
  }
  Instant made() const { return made_; }

 private:
  SessionId local_;
  SessionId remote_;
  PublicKey peer_;
  crypto::Suite suite_;
  crypto::Aead seal_;
  crypto::Aead open_;
  std::uint64_t send_counter_ = 0;
  // The window points into `bits_`: on the heap so that a Session can move.
  std::unique_ptr<unsigned long long[]> bits_;
  ntm_replay window_;
  Instant made_;
};
const char* to_string(Session::Refusal refusal);

}  // namespace ntm::exchange
