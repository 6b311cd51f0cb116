// fork/exec with a pipe for output and a pidfd for the end. The child dies with us
// (PR_SET_PDEATHSIG), so a killed director leaves no PowerDNS that answers from a dead store.
#include "libntm/host/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>

namespace ntm::host {

struct ChildProcess::Impl {
  EventLoop& loop;
  Handlers handlers;
  pid_t pid = -1;
  Fd output;
  Fd pidfd;
  std::string partial;
  bool reaped = false;

  explicit Impl(EventLoop& l, Handlers h) : loop(l), handlers(std::move(h)) {}

  void read_output() {
    char chunk[4096];
    ssize_t n = ::read(output.get(), chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      loop.unwatch(output.get());
      output.reset();
      return;
    }
    partial.append(chunk, static_cast<std::size_t>(n));
    std::size_t end = 0;
    while ((end = partial.find('\n')) != std::string::npos) {
      if (handlers.on_line) handlers.on_line(partial.substr(0, end));
      partial.erase(0, end + 1);
    }
    if (partial.size() > 65536) partial.clear();
  }

  static std::string describe(int status) {
    if (WIFEXITED(status)) return "exit status " + std::to_string(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
    return "status " + std::to_string(status);
  }

  void ended() {
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) != pid) return;
    reaped = true;
    loop.unwatch(pidfd.get());
    // on_exit may destroy this object: nothing of it is touched afterwards.
    std::function<void(const std::string&)> tell = handlers.on_exit;
    if (tell) tell(describe(status));
  }
};

ChildProcess::ChildProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

int ChildProcess::pid() const { return impl_->pid; }

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(
    EventLoop& loop, const std::vector<std::string>& arguments, Handlers handlers) {
  std::unique_ptr<Impl> impl = std::make_unique<Impl>(loop, std::move(handlers));
  int pipes[2];
  if (::pipe2(pipes, O_CLOEXEC) != 0)
    return fail(ErrorKind::Unavailable, "can't make a pipe: " + system_error_text(errno));
  Fd read_end(pipes[0]);
  Fd write_end(pipes[1]);
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  pid_t parent = ::getpid();
  pid_t pid = ::fork();
  if (pid < 0) return fail(ErrorKind::Unavailable, "can't fork: " + system_error_text(errno));
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(write_end.get(), 1);
    ::dup2(write_end.get(), 2);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  impl->pid = pid;
  impl->output = std::move(read_end);
  ::fcntl(impl->output.get(), F_SETFL, O_NONBLOCK);
  impl->pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  Impl* raw = impl.get();
  loop.watch(raw->output.get(), EPOLLIN, [raw](std::uint32_t) { raw->read_output(); });
  loop.watch(raw->pidfd.get(), EPOLLIN, [raw](std::uint32_t) { raw->ended(); });
  return std::unique_ptr<ChildProcess>(new ChildProcess(std::move(impl)));
}

ChildProcess::~ChildProcess() {
  if (impl_->output) impl_->loop.unwatch(impl_->output.get());
  if (impl_->reaped) return;
  impl_->loop.unwatch(impl_->pidfd.get());
  ::kill(impl_->pid, SIGTERM);
  pollfd poller{impl_->pidfd.get(), POLLIN, 0};
  if (::poll(&poller, 1, 2000) <= 0) ::kill(impl_->pid, SIGKILL);
  ::waitpid(impl_->pid, nullptr, 0);
}

}  // namespace ntm::host
