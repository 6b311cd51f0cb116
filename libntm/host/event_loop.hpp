// The event loop of a daemon: epoll, one timer heap, signals, and a door for other threads.
//
// The clock is read once per wake-up; now() gives that reading to everything that runs in the
// turn, so that one turn sees one instant. Not thread-safe except post() and stop().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "libntm/base/time.hpp"
#include "libntm/host/fd.hpp"

namespace ntm::host {

class EventLoop {
 public:
  using Task = std::function<void()>;
  using FdHandler = std::function<void(std::uint32_t epoll_events)>;
  using TimerId = std::uint64_t;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  Instant now() const { return now_; }

  // EPOLLIN/EPOLLOUT/... level-triggered. The descriptor stays the caller's.
  void watch(int fd, std::uint32_t epoll_events, FdHandler handler);
  void rewatch(int fd, std::uint32_t epoll_events);
  void unwatch(int fd);

  // Fires once at or after `when`.
  TimerId at(Instant when, Task task);
  TimerId after(Duration delay, Task task) { return at(now_ + delay, std::move(task)); }
  void cancel(TimerId timer);

  // Runs before the loop sleeps, after the handlers of each turn: engines perform their effects
  // and tell the next deadline there.
  void on_turn_end(Task task);

  // From any thread: runs the task in the loop.
  void post(Task task);

  // SIGTERM, SIGINT, SIGHUP, ... as ordinary events. Call before threads are started.
  void on_signals(const std::vector<int>& signals, std::function<void(int)> handler);

  void run();
  void stop();  // from any thread

 private:
  void fire_timers();
  void drain_posted();
  int sleep_ms() const;

  struct Watch {
    FdHandler handler;
    std::uint64_t generation = 0;
  };

  Fd epoll_;
  Fd wake_;
  Fd signal_;
  Instant now_;
  bool stopped_ = false;
  std::uint64_t next_generation_ = 1;
  TimerId next_timer_ = 1;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::map<std::pair<Instant, TimerId>, Task> timers_;
  std::unordered_map<TimerId, Instant> timer_times_;
  std::vector<Task> turn_end_;
  std::mutex mutex_;          // guards posted_
  std::vector<Task> posted_;
};

}  // namespace ntm::host
