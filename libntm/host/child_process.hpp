// A supervised child (the director's pdns_server): started with an argument list, its output lines
// handed on, its end noticed through a pidfd, ended by SIGTERM then SIGKILL.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libntm/base/result.hpp"
#include "libntm/host/event_loop.hpp"

namespace ntm::host {

class ChildProcess {
 public:
  struct Handlers {
    std::function<void(const std::string& line)> on_line;  // stdout and stderr
    std::function<void(const std::string& how)> on_exit;   // "exit status 1", "signal 9"
  };
  static Result<std::unique_ptr<ChildProcess>> start(EventLoop& loop,
                                                     const std::vector<std::string>& arguments,
                                                     Handlers handlers);
  // Ends the child: SIGTERM, after 2 s SIGKILL; returns when it is gone.
  ~ChildProcess();
  int pid() const;

 private:
  struct Impl;
  explicit ChildProcess(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ntm::host
