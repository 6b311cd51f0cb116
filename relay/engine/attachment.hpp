// A relay's bond with one DC: attach (Noise IK, with a token the first time), keep-alives, load
// reports, and the CTRL door through which Relay Directions come (docs/PROTOCOL.md 3).
//
//   state      event                                     next
//   -----      -----                                     ----
//   Idle       start                                     Attaching: HS_INIT(RelayAttach)
//   Attaching  HS_RESP Ok                                Attached
//   Attaching  HS_RESP Stale                             Attaching with a counter past the stored
//   Attaching  8 tries unanswered, or refused            Waiting (10 s, growing to 120 s)
//   Waiting    time over                                 Attaching, at the DC's next address
//   Attached   keep-alive unanswered 3 times (0.5 s
//              apart), valid CTRL_HINT, session worn     Attaching (the old session still receives)
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libntm/base/name.hpp"
#include "libntm/base/random.hpp"
#include "libntm/datapath/event.hpp"
#include "libntm/exchange/handshake.hpp"
#include "libntm/exchange/requests.hpp"
#include "libntm/wire/control.hpp"
#include "libntm/wire/token.hpp"
#include "relay/engine/effect.hpp"

namespace ntm::relay {

struct AttachmentConfig {
  Name zone;
  Name own_name;
  PublicKey dc_key;
  std::vector<Endpoint> dc_endpoints;
  std::optional<wire::EnrolmentToken> token;
};

// What the attachment needs from its relay each time it speaks.
class RelayFacts {
 public:
  virtual ~RelayFacts() = default;
  virtual std::uint64_t next_counter(std::vector<Effect>& effects) = 0;
  virtual void raise_counter(std::uint64_t past, std::vector<Effect>& effects) = 0;
  virtual std::vector<Endpoint> public_endpoints() const = 0;
  virtual std::uint32_t entries() const = 0;
  virtual std::uint32_t capacity() const = 0;
  // The socket to speak to that address through; nullopt when the relay lacks the family.
  virtual std::optional<datapath::SocketId> socket_for(Family family) const = 0;
};

class Attachment {
 public:
  enum class State : std::uint8_t { Idle, Attaching, Attached, Waiting };

  Attachment(const AttachmentConfig& config, const crypto::KeyPair& own, const Key32& token_secret,
             RelayFacts& facts, Random& random);

  const Name& zone() const { return config_.zone; }
  State state() const { return state_; }
  const std::string& last_error() const { return last_error_; }
  bool is_enrolling() const { return config_.token.has_value(); }

  void start(Instant now, std::vector<Effect>& effects);
  // True when the datagram was for this attachment (HS_RESP, COOKIE, CTRL_HINT, CTRL).
  // Control messages that are the relay's business come out of `messages`.
  bool handle(Instant now, const datapath::ControlReceived& datagram,
              std::vector<wire::ControlMessage>& messages, std::vector<Effect>& effects);
  void send(Instant now, const wire::ControlMessage& message, std::vector<Effect>& effects);
  void on_timer(Instant now, std::vector<Effect>& effects);
  Instant next_deadline() const;
  // Tells the DC that this relay goes away.
  void leave(Instant now, std::vector<Effect>& effects);

 private:
  void attach(Instant now, std::vector<Effect>& effects);
  void wait(Instant now, const std::string& why, std::vector<Effect>& effects);
  bool handle_response(Instant now, ByteView datagram, std::vector<Effect>& effects);
  bool handle_control(Instant now, ByteView datagram, std::vector<wire::ControlMessage>& messages,
                      std::vector<Effect>& effects);
  void attached(Instant now, exchange::Session session, const wire::RelayAttachResponse& response,
                std::vector<Effect>& effects);
  void send_datagram(Bytes datagram, std::vector<Effect>& effects);
  const Endpoint& target() const { return config_.dc_endpoints[endpoint_]; }
  wire::RelayAttach attach_message(std::vector<Effect>& effects);

  AttachmentConfig config_;
  crypto::KeyPair own_;
  Key32 token_secret_;
  RelayFacts& facts_;
  Random& random_;
  State state_ = State::Idle;
  std::size_t endpoint_ = 0;
  int refusals_ = 0;
  std::string last_error_;
  std::optional<exchange::HandshakeInitiator> handshake_;
  Bytes init_;
  exchange::RequestTable<int> tries_;  // one entry: the handshake
  exchange::RttEstimator rtt_;
  std::optional<exchange::Session> session_;
  std::optional<exchange::Session> previous_;  // answers under way when the session was renewed
  exchange::KeepAliveTimer keep_alive_;
  std::uint32_t sequence_ = 0;
  int unanswered_ = 0;
  Instant probe_ = Instant::never();  // when an unanswered keep-alive is repeated
  std::array<Byte, 16> hint_token_{};
  Instant retry_ = Instant::never();
};

const char* to_string(Attachment::State state);

}  // namespace ntm::relay
