// ntm-labwire: the lab's link emulator.
//
// The test machines have no netem, so frames cross user space here: one process joins pairs of
// interfaces of its network namespace and delays, loses, duplicates, reorders, corrupts, limits or
// cuts what passes, as told over a Unix socket (the commands are in switchboard.hpp). It runs with
// real-time priority and nanosecond time-outs, because the lab measures round trips to 0.1 ms on
// machines whose two cores are busy.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/netns/wire/switchboard.hpp"

namespace {

using ntm::lab::Nanoseconds;
using ntm::lab::Switchboard;

constexpr std::size_t kMaxCommand = 4096;  // a longer line ends its connection

Nanoseconds monotonic_now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

timespec to_timespec(Nanoseconds t) { return {t / 1'000'000'000, t % 1'000'000'000}; }

int listen_on(const std::string& path) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  if (path.size() >= sizeof where.sun_path) {
    fprintf(stderr, "ntm-labwire: %s is too long for a Unix socket\n", path.c_str());
    return -1;
  }
  memcpy(where.sun_path, path.c_str(), path.size() + 1);
  unlink(path.c_str());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
      listen(fd, 16) != 0) {
    fprintf(stderr, "ntm-labwire: cannot listen on %s: %s\n", path.c_str(), strerror(errno));
    return -1;
  }
  return fd;
}

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

// Control connections: fd -> what was read of an unfinished line.
class Controls {
 public:
  Controls(int epoll, int listener, Switchboard& board)
      : epoll_(epoll), listener_(listener), board_(board) {
    watch(epoll_, listener_);
  }

  // False: the event is not for a control socket.
  bool handle(int fd) {
    if (fd == listener_) {
      int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (client >= 0) {
        lines_[client];
        watch(epoll_, client);
      }
      return true;
    }
    if (!lines_.contains(fd)) return false;
    read_from(fd);
    return true;
  }

 private:
  void read_from(int fd) {
    char buffer[kMaxCommand];
    ssize_t count = read(fd, buffer, sizeof buffer);
    std::string& pending = lines_[fd];
    if (count > 0) pending.append(buffer, static_cast<std::size_t>(count));
    for (std::size_t end; (end = pending.find('\n')) != std::string::npos;) {
      std::string reply = board_.command(pending.substr(0, end)) + "\n";
      pending.erase(0, end + 1);
      if (send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) count = 0;
    }
    if (count == 0 || (count < 0 && errno != EAGAIN) || pending.size() > kMaxCommand) {
      close(fd);
      lines_.erase(fd);
    }
  }

  int epoll_;
  int listener_;
  Switchboard& board_;
  std::map<int, std::string> lines_;
};

// Sleeps until a moment, corrected by how late this machine has lately woken us (a virtual machine
// is 50 to 100 us late, which would otherwise come on top of every emulated delay).
class Alarm {
 public:
  // What is due within this time counts as due: cheaper than going to sleep again for it.
  static constexpr Nanoseconds kGrain = 10'000;

  timespec wait_for(Nanoseconds moment) {
    asked_ = std::max<Nanoseconds>(0, moment - lead_ - monotonic_now());
    started_ = monotonic_now();
    return to_timespec(asked_);
  }
  // Call when the time-out has passed (not when something else ended the wait).
  void rang() {
    Nanoseconds late = monotonic_now() - started_ - asked_;
    if (asked_ > 0) lead_ = std::min(kMaxLead, (lead_ * 15 + std::max<Nanoseconds>(0, late)) / 16);
  }

 private:
  static constexpr Nanoseconds kMaxLead = 150'000;
  Nanoseconds lead_ = 50'000;
  Nanoseconds asked_ = 0;
  Nanoseconds started_ = 0;
};

// Under load a wake-up for each frame would cost more than the frame: what arrives during this
// rest is read in one batch. Kernel time stamps keep it out of every delay that is longer.
void rest(Nanoseconds last_turn, std::optional<Nanoseconds> due) {
  constexpr Nanoseconds kRest = 40'000;
  Nanoseconds until = last_turn + kRest;
  if (due && *due < until) until = *due;
  timespec wake = to_timespec(until);
  if (until > monotonic_now()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, nullptr);
}

void run(int epoll, Controls& controls, Switchboard& board) {
  epoll_event events[64];
  std::size_t frames = 0;
  Alarm alarm;
  for (;;) {
    Nanoseconds now = monotonic_now();
    board.deliver(now + Alarm::kGrain);
    std::optional<Nanoseconds> due = board.next_due();
    if (frames > 1) {
      rest(now, due);
      board.deliver(monotonic_now() + Alarm::kGrain);
      due = board.next_due();
    }
    timespec wait{};
    if (due) wait = alarm.wait_for(*due);
    int count = epoll_pwait2(epoll, events, 64, due ? &wait : nullptr, nullptr);
    if (count == 0) alarm.rang();
    now = monotonic_now();
    frames = 0;
    for (int i = 0; i < count; ++i) {
      if (!controls.handle(events[i].data.fd)) frames += board.receive(events[i].data.fd, now);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') {
    fprintf(stderr,
            "usage: ntm-labwire SOCKET\n"
            "Joins interfaces of this network namespace as told on the Unix socket;\n"
            "the commands are described in tests/netns/wire/switchboard.hpp.\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1);
  sched_param priority{};
  priority.sched_priority = 1;
  if (sched_setscheduler(0, SCHED_RR, &priority) != 0)
    fprintf(stderr, "ntm-labwire: no real-time priority (%s); delays will be less exact\n",
            strerror(errno));
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_on(argv[1]);
  if (epoll < 0 || listener < 0) return 1;
  Switchboard board(epoll);
  Controls controls(epoll, listener, board);
  run(epoll, controls, board);
  return 0;
}
