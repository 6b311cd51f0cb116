// Registration over each family, keep-alives, enrolment, leaving (paper 4.2, docs/PROTOCOL.md 3).
//
// States of a family:
//   absent       no usable address, or the DC has no address of the family
//   registering  a request is on its way, or waits for the session that the other family opens
//   registered   the DC acknowledged; keep-alives run
//   refused      the DC said no, or is silent; tried again at `retry`
//
//   | state       | event                               | next                                  |
//   |-------------|-------------------------------------|---------------------------------------|
//   | any         | address of the family gone          | absent                                |
//   | any         | addresses changed, hint, renewal    | registering                           |
//   | registering | RegistrationResponse Ok             | registered                            |
//   | registering | Stale                               | registering, counter raised           |
//   | registering | hint, while a handshake runs        | registering, HS_INIT repeated at once |
//   | registering | record unanswered 4 times           | registering, by a new handshake;      |
//   |             |                                     | refused if the other is registered    |
//   | registering | other status, handshake unanswered  | refused                               |
//   | registered  | echo shows another outside address  | registering                           |
//   | registered  | keep-alive unanswered 4 times       | registering, by a new handshake       |
//   | refused     | `retry` is reached                  | registering                           |
#pragma once

#include <array>

#include "libntm/exchange/requests.hpp"
#include "terminal/engine/dc_link.hpp"

namespace ntm::terminal {

class Registration {
 public:
  Registration(Context& context, DcLink& link) : context_(context), link_(link) {}

  // What the engine must know of a turn.
  struct Outcome {
    bool session_is_new = false;      // resend what waits for a session
    bool registered = false;          // a family was acknowledged
    bool addresses_changed = false;   // our virtual addresses or pools are other ones
    bool left = false;                // the DC acknowledged `leaving`
  };

  void on_addresses(const Locals::Difference& difference);
  Outcome on_response(const wire::RegistrationResponse& response, Family family, bool handshake);
  void on_keep_alive(const wire::KeepAlive& message, Family family);
  void on_hint();  // authentic: the DC lost its sessions
  // A request over the session stayed unanswered: the session is dead.
  void session_failed();
  void leave();

  void on_timer();
  Instant next_deadline() const;

  bool is_registered() const { return families_[0].registered || families_[1].registered; }
  std::vector<FamilyStatus> status() const;
  const exchange::RttEstimator& rtt() const { return rtt_; }

 private:
  struct FamilyState {
    bool registering = false;
    bool registered = false;
    bool queued = false;  // waits for the session
    Endpoint observed;
    wire::NatVerdict nat = wire::NatVerdict::Unknown;
    exchange::KeepAliveTimer timer;
    Instant retry = Instant::never();
    std::string problem;
  };
  struct Try {
    Family family = Family::V4;
    bool handshake = false;
    wire::ControlMessage message;
  };
  FamilyState& state(Family family) { return families_[family == Family::V4 ? 0 : 1]; }
  void register_family(Family family);
  void register_all();
  void run_queue();
  void send_registration(Family family, bool by_handshake);
  wire::RegistrationRequest request() ;
  void hurry_handshake();
  void send_keep_alive(Family family);
  void failed(const Try& attempt);
  void record_failed(Family family);
  void refused(Family family, const std::string& why, Duration again);
  bool take_grant(const wire::RegistrationResponse& response);

  Context& context_;
  DcLink& link_;
  std::array<FamilyState, 2> families_;
  exchange::RttEstimator rtt_;
  exchange::RequestTable<Try> requests_;     // by registration counter
  exchange::RequestTable<Family> echoes_;    // by keep-alive sequence
  std::uint32_t sequence_ = 0;
  int handshake_failures_ = 0;
  std::uint64_t handshake_id_ = 0;  // counter of the request in the newest HS_INIT
  bool hinted_ = false;             // that HS_INIT was sent or repeated because of a hint
  bool leaving_ = false;
};

}  // namespace ntm::terminal
