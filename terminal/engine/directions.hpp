// Our Direction Requests that are on their way (paper 4.3, MN's side), and the answers that CN's
// side gave lately, so that a repeated Route Direction gets the same Route Ack.
#pragma once

#include <map>
#include <optional>

#include "libntm/exchange/requests.hpp"
#include "terminal/engine/dc_link.hpp"
#include "terminal/engine/directory.hpp"
#include "terminal/engine/e2e.hpp"

namespace ntm::terminal {

// A request is remembered this long after its answer, for replacing Route Directions.
constexpr Duration kRememberRequest = seconds(10);
// Given up when there is no session for this long.
constexpr Duration kWaitForSession = seconds(10);

class Directions {
 public:
  struct Pending {
    wire::DirectionRequest message;
    std::optional<crypto::Noise> noise;  // with message 1; none when asked by address
    PublicKey key;                       // that message 1 was made for
    crypto::Suite suite = crypto::Suite::AesGcm;
    bool routed = false;                 // a Route Direction came
    bool key_corrected = false;          // it is the one repetition with the DC's key
    int attempt = -1;                    // newest accepted
    Instant started;
    Instant forget = Instant::never();
  };

  Directions(Context& context, DcLink& link) : context_(context), link_(link) {}

  // NoSuite is a failure at once; otherwise it goes out now or with the next session.
  Result<void> start(const Peer& peer, wire::DirectionReason reason,
                     std::optional<PathId> old_path, std::optional<Family> over,
                     bool key_corrected = false);
  void start_by_address(const IpAddress& address);

  bool is_pending(const Name& peer) const;
  bool any_pending() const;
  Pending* find(RequestId request);
  void answered(RequestId request);  // no more retransmissions
  void drop(RequestId request);
  void drop_peer(const Name& peer);

  // Everything unanswered goes out again, over the new session or from the new address.
  void resend_all(const exchange::RttEstimator& rtt);

  struct Turn {
    bool session_failed = false;
    std::vector<Pending> failed;  // given up
  };
  Turn on_timer();
  Instant next_deadline() const;
  void set_rtt(const exchange::RttEstimator& rtt) { rtt_ = rtt; }

 private:
  void send(const Pending& pending, std::optional<Family> over);

  Context& context_;
  DcLink& link_;
  exchange::RttEstimator rtt_;
  std::map<RequestId, Pending> pending_;
  exchange::RequestTable<RequestId> timers_;
};

}  // namespace ntm::terminal
