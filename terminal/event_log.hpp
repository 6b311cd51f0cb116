// The machine-readable trace of protocol steps: one JSON object a line, {"us": monotonic
// microseconds, "event": name, fields...}. The demo and the benches draw their timelines from it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libntm/base/result.hpp"
#include "libntm/base/time.hpp"
#include "libntm/host/fd.hpp"

namespace ntm::terminal {

class EventLog {
 public:
  // Empty path: events go to the debug log only.
  static Result<EventLog> open(const std::string& path);
  void write(Instant now, const std::string& event,
             const std::vector<std::pair<std::string, std::string>>& fields);

 private:
  host::Fd file_;
};

}  // namespace ntm::terminal
