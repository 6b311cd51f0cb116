// epoll with one deadline: the earliest timer decides how long the loop sleeps.
#include "libntm/host/event_loop.hpp"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <limits>

#include "libntm/host/clock.hpp"

namespace ntm::host {

std::string system_error_text(int error) {
  char buffer[128];
  return std::string(strerror_r(error, buffer, sizeof buffer));
}

EventLoop::EventLoop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      now_(monotonic_now()) {
  assert(epoll_ && wake_);
  watch(wake_.get(), EPOLLIN, [this](std::uint32_t) {
    std::uint64_t count = 0;
    [[maybe_unused]] ssize_t n = ::read(wake_.get(), &count, sizeof count);
    drain_posted();
  });
}

EventLoop::~EventLoop() = default;

void EventLoop::watch(int fd, std::uint32_t epoll_events, FdHandler handler) {
  std::shared_ptr<Watch> entry = std::make_shared<Watch>();
  entry->handler = std::move(handler);
  entry->generation = next_generation_++;
  epoll_event event{};
  event.events = epoll_events;
  event.data.fd = fd;
  int op = watches_.count(fd) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  [[maybe_unused]] int rc = epoll_ctl(epoll_.get(), op, fd, &event);
  assert(rc == 0);
  watches_[fd] = std::move(entry);
}

void EventLoop::rewatch(int fd, std::uint32_t epoll_events) {
  epoll_event event{};
  event.events = epoll_events;
  event.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::unwatch(int fd) {
  if (watches_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::at(Instant when, Task task) {
  TimerId id = next_timer_++;
  timers_.emplace(std::make_pair(when, id), std::move(task));
  timer_times_.emplace(id, when);
  return id;
}

void EventLoop::cancel(TimerId timer) {
  std::unordered_map<TimerId, Instant>::iterator it = timer_times_.find(timer);
  if (it == timer_times_.end()) return;
  timers_.erase({it->second, timer});
  timer_times_.erase(it);
}

void EventLoop::on_turn_end(Task task) { turn_end_.push_back(std::move(task)); }

void EventLoop::post(Task task) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    posted_.push_back(std::move(task));
  }
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::drain_posted() {
  std::vector<Task> tasks;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::on_signals(const std::vector<int>& signals, std::function<void(int)> handler) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal_ = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  int fd = signal_.get();
  watch(fd, EPOLLIN, [fd, handler = std::move(handler)](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info))
      handler(static_cast<int>(info.ssi_signo));
  });
}

void EventLoop::fire_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= now_) {
    Task task = std::move(timers_.begin()->second);
    timer_times_.erase(timers_.begin()->first.second);
    timers_.erase(timers_.begin());
    task();
  }
}

int EventLoop::sleep_ms() const {
  if (timers_.empty()) return -1;
  Duration left = timers_.begin()->first.first - monotonic_now();
  if (left.us <= 0) return 0;
  // Rounded up: waking before the deadline would only spin.
  std::int64_t ms = (left.us + 999) / 1000;
  return static_cast<int>(std::min<std::int64_t>(ms, std::numeric_limits<int>::max()));
}

void EventLoop::run() {
  stopped_ = false;
  while (!stopped_) {
    now_ = monotonic_now();
    fire_timers();
    for (Task& task : turn_end_) task();
    if (stopped_) break;
    std::array<epoll_event, 64> events;
    int n = epoll_wait(epoll_.get(), events.data(), events.size(), sleep_ms());
    now_ = monotonic_now();
    for (int i = 0; i < n; ++i) {
      // Kept alive by copy: a handler may unwatch itself or another that is due in this turn.
      std::unordered_map<int, std::shared_ptr<Watch>>::iterator it =
          watches_.find(events[i].data.fd);
      if (it == watches_.end()) continue;
      std::shared_ptr<Watch> entry = it->second;
      entry->handler(events[i].events);
    }
  }
}

void EventLoop::stop() {
  post([this] { stopped_ = true; });
}

}  // namespace ntm::host
