// Logging: one line a fact, to standard error (the journal takes it from there). Rate limits for
// what strangers can provoke are the caller's (log_limited). spdlog stays behind this header.
#pragma once

#include <fmt/format.h>

#include <string_view>

#include "libntm/base/result.hpp"
#include "libntm/base/time.hpp"

namespace ntm::host {

enum class LogLevel { Debug, Info, Warning, Error };
Result<LogLevel> parse_log_level(std::string_view text);

void set_log_level(LogLevel level);
void set_log_name(std::string_view program);  // prefix of each line
void log_line(LogLevel level, std::string_view text);
bool log_enabled(LogLevel level);

template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::Debug))
    log_line(LogLevel::Debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::Info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::Warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::Error, fmt::format(format, std::forward<Args>(args)...));
}

// At most `burst` lines a minute per call site object.
class LogLimit {
 public:
  explicit LogLimit(unsigned burst = 10) : burst_(burst) {}
  bool allow(Instant now);

 private:
  unsigned burst_;
  unsigned used_ = 0;
  Instant since_{};
};

}  // namespace ntm::host
