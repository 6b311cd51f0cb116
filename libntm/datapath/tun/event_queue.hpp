// Events on their way from the datapath's threads to the caller's. Bounded: what strangers can
// cause (control datagrams) is dropped when the caller does not keep up; what the datapath itself
// concludes is always kept, because it is limited by the tunnels that exist.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "libntm/datapath/event.hpp"
#include "libntm/datapath/source_gate.hpp"

namespace ntm::datapath {

// 4096 x (1232 + about 100 bytes) = 5.5 MB while the caller is not served at all.
constexpr std::size_t kMaxControlWaiting = 4096;

class EventQueue {
 public:
  void push(std::vector<Event>& events) {
    if (events.empty()) return;
    std::lock_guard<std::mutex> guard(lock_);
    for (Event& event : events) add(std::move(event));
    events.clear();
    wake();
  }
  // One a second a destination: a dead network would fill the queue otherwise.
  void send_failed(Instant now, const SendFailed& event) {
    std::lock_guard<std::mutex> guard(lock_);
    if (!failures_.allow(now, event.remote.address)) return;
    add(event);
    wake();
  }
  std::vector<Event> drain() {
    std::lock_guard<std::mutex> guard(lock_);
    control_ = 0;
    woken_ = false;
    return std::exchange(events_, {});
  }
  void set_wakeup(std::function<void()> wakeup) {
    std::lock_guard<std::mutex> guard(lock_);
    wakeup_ = std::move(wakeup);
    woken_ = false;
    wake();
  }

 private:
  void add(Event event) {
    if (std::holds_alternative<ControlReceived>(event) && control_++ >= kMaxControlWaiting) return;
    events_.push_back(std::move(event));
  }
  // Under the lock, so that set_wakeup({}) is also "nobody is inside it any more".
  void wake() {
    if (woken_ || events_.empty() || !wakeup_) return;
    woken_ = true;
    wakeup_();
  }

  std::mutex lock_;  // guards everything below; a leaf: nothing else is taken under it but what
                     // the wakeup takes, which must only wake
  std::vector<Event> events_;
  std::size_t control_ = 0;
  bool woken_ = false;
  std::function<void()> wakeup_;
  SourceGate failures_;
};

}  // namespace ntm::datapath
