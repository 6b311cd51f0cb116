// Watches the machine's links, addresses and routes (rtnetlink) and says which addresses can be
// used now. A new link gets a Router Solicitation at once (the kernel waits up to a second,
// RFC 4861 6.3.7) and optimistic DAD, so that IPv6 is usable a round trip after the link is up
// (paper 5.1, 5.5).
//
// Notifications only say that something changed; what is true now is read by a fresh dump. Applying
// notifications to a kept table goes wrong: the kernel does not announce the IPv4 routes that
// disappear with a link.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libntm/host/event_loop.hpp"
#include "terminal/engine/types.hpp"

struct nl_sock;

namespace ntm::terminal {

struct NetwatchOptions {
  std::string own_interface;             // left out of everything
  std::vector<IpAddress> destinations;   // an address is usable when a route leads from it there
  bool optimistic_dad = true;
};

class Netwatch {
 public:
  using Changed = std::function<void(const AddressesChanged&)>;
  static Result<std::unique_ptr<Netwatch>> open(host::EventLoop& loop,
                                                const NetwatchOptions& options, Changed changed);
  ~Netwatch();

  // Reads everything now and tells it.
  void refresh();

 private:
  Netwatch(host::EventLoop& loop, const NetwatchOptions& options, Changed changed);
  Result<void> subscribe();
  void on_readable();
  void greet_links();
  void solicit(int index);
  AddressesChanged dump();

  host::EventLoop& loop_;
  NetwatchOptions options_;
  Changed changed_;
  nl_sock* events_ = nullptr;
  nl_sock* queries_ = nullptr;
  host::Fd icmp_;
  std::map<int, int> solicited_;  // link -> state that it was solicited in
  AddressesChanged told_;
  bool told_any_ = false;
};

}  // namespace ntm::terminal
