// The local door of a daemon for the `ntm` command: a Unix stream socket, one JSON object a line
// each way. Only root and the daemon's own user are let in (peer credentials).
//
// Request {"verb": "...", ...}; answer {"ok": true, ...} or {"ok": false, "error": "one line"}.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "libntm/base/result.hpp"
#include "libntm/base/time.hpp"
#include "libntm/host/event_loop.hpp"

namespace ntm::host {

class ControlServer {
 public:
  using Respond = std::function<void(const nlohmann::json&)>;
  // `respond` may be called later (once), from the loop's thread.
  using Handler = std::function<void(const nlohmann::json& request, Respond respond)>;

  // Removes a stale socket file of a dead daemon; a live one is ErrorKind::Conflict.
  static Result<std::unique_ptr<ControlServer>> open(EventLoop& loop, const std::string& path,
                                                     Handler handler);
  ~ControlServer();

 private:
  struct Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Blocking call for the command line. Unavailable with what to do when no daemon answers.
Result<nlohmann::json> control_call(const std::string& path, const nlohmann::json& request,
                                    Duration timeout);

}  // namespace ntm::host
