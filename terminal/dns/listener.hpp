// Where applications' questions arrive: one address and port, UDP and TCP (RFC 7766).
#pragma once

#include <functional>
#include <memory>

#include "libntm/base/address.hpp"
#include "libntm/base/result.hpp"
#include "libntm/host/event_loop.hpp"

namespace ntm::terminal::dns {

// TCP connections at once, and how long one may be idle.
constexpr std::size_t kMaxConnections = 64;
constexpr Duration kConnectionIdle = seconds(20);

class Listener {
 public:
  // `respond` may be called later, once; it does nothing when the asker is gone.
  using Respond = std::function<void(ByteView)>;
  using Question = std::function<void(ByteView, bool tcp, Respond)>;

  // Port 0: the system's choice, the same for UDP and TCP.
  static Result<std::unique_ptr<Listener>> open(host::EventLoop& loop, const Endpoint& at,
                                                Question on_question);
  ~Listener();
  std::uint16_t port() const;

 private:
  struct Impl;
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace ntm::terminal::dns
