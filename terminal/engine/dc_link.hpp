// The control session with our own DC: handshake, records, hints (docs/PROTOCOL.md 3).
//
// One session serves both families. While it is renewed the former one still opens records for
// kFormerSessionLife, because the DC may have sent before it saw the new one.
#pragma once

#include <array>
#include <optional>

#include "libntm/exchange/handshake.hpp"
#include "libntm/exchange/session.hpp"
#include "terminal/engine/context.hpp"

namespace ntm::terminal {

constexpr Duration kFormerSessionLife = seconds(10);

class DcLink {
 public:
  explicit DcLink(Context& context);

  bool has_session() const { return session_.has_value(); }
  bool is_worn() const { return session_ && session_->is_worn(context_.now); }
  void drop_session();

  // The DC's address of this family, reached from our best address; nullopt: not to be had.
  std::optional<datapath::Outer> outer(Family family) const;
  bool reaches(Family family) const { return outer(family).has_value(); }
  // Try the next of several DC addresses of a family.
  void next_endpoint(Family family) { ++chosen_[family == Family::V4 ? 0 : 1]; }
  // The family on which the DC was last heard and which is still to be had; else any.
  std::optional<Family> primary() const;

  // HS_INIT with this payload; false when the family can't be used.
  bool start_handshake(Family family, const wire::ControlMessage& payload);
  bool handshake_running() const { return !init_.empty(); }
  Family handshake_family() const { return init_family_; }
  void repeat_handshake();
  void abandon_handshake();
  // IKpsk1 with the enrolment token, or plain IK with the registered key.
  void use_token(bool yes) { use_token_ = yes && context_.settings.token.has_value(); }
  bool uses_token() const { return use_token_; }

  // One CTRL record; false without a session or address.
  bool send(const wire::ControlMessage& message, Family family);

  struct Incoming {
    wire::ControlMessage message;
    Family family = Family::V4;
    bool handshake = false;  // it is the payload of HS_RESP: the session is new
  };
  // HS_RESP, COOKIE and CTRL; nothing for what is forged, foreign or repeated.
  std::optional<Incoming> receive(const datapath::ControlReceived& received);
  // A CTRL_HINT that our DC made for our key.
  bool is_hint(const datapath::ControlReceived& received) const;
  void set_hint_token(const std::array<Byte, 16>& token) { hint_token_ = token; }

 private:
  std::optional<Incoming> on_response(const datapath::ControlReceived& received);
  std::optional<Incoming> on_record(const datapath::ControlReceived& received);

  Context& context_;
  std::optional<exchange::HandshakeInitiator> initiator_;
  Bytes init_;  // the HS_INIT that waits for its answer
  Family init_family_ = Family::V4;
  std::optional<exchange::Session> session_;
  std::optional<exchange::Session> former_;
  Instant former_until_;
  std::optional<Family> heard_;
  std::array<std::size_t, 2> chosen_{};
  std::optional<std::array<Byte, 16>> hint_token_;
  bool use_token_ = false;
};

}  // namespace ntm::terminal
