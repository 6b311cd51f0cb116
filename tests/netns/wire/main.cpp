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

#include <map>
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

void run(int epoll, Controls& controls, Switchboard& board) {
  epoll_event events[64];
  for (;;) {
    Nanoseconds now = monotonic_now();
    board.deliver(now);
    timespec wait{};
    timespec* timeout = nullptr;
    if (std::optional<Nanoseconds> due = board.next_due()) {
      Nanoseconds left = *due - monotonic_now();
      if (left < 0) left = 0;
      wait = {left / 1'000'000'000, left % 1'000'000'000};
      timeout = &wait;
    }
    int count = epoll_pwait2(epoll, events, 64, timeout, nullptr);
    now = monotonic_now();
    for (int i = 0; i < count; ++i) {
      if (!controls.handle(events[i].data.fd)) board.receive(events[i].data.fd, now);
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
