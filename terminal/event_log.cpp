// See the header. Each line is one write(2) to a file opened for appending, so a reader never sees
// half a line of ours.
#include "terminal/event_log.hpp"

#include <fcntl.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "libntm/host/log.hpp"

namespace ntm::terminal {

Result<EventLog> EventLog::open(const std::string& path) {
  EventLog log;
  if (path.empty()) return log;
  log.file_ = host::Fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
  if (!log.file_)
    return fail(ErrorKind::Unavailable, "event_log: can't open " + path + ": " +
                                            host::system_error_text(errno));
  return log;
}

void EventLog::write(Instant now, const std::string& event,
                     const std::vector<std::pair<std::string, std::string>>& fields) {
  if (host::log_enabled(host::LogLevel::Debug)) {
    std::string text = event;
    for (const auto& [key, value] : fields) text += " " + key + "=" + value;
    host::log_line(host::LogLevel::Debug, text);
  }
  if (!file_) return;
  nlohmann::ordered_json line = {{"us", now.us}, {"event", event}};
  for (const auto& [key, value] : fields) line[key] = value;
  std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  (void)!::write(file_.get(), text.data(), text.size());
}

}  // namespace ntm::terminal
