// spdlog's stderr sink behind our four functions. The logger is created on first use and lives to
// the end of the process: the one piece of state that a log can't do without.
#include "libntm/host/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace ntm::host {

namespace {

spdlog::logger& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    std::shared_ptr<spdlog::logger> made = std::make_shared<spdlog::logger>(
        "ntm", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::Debug: return spdlog::level::debug;
    case LogLevel::Info: return spdlog::level::info;
    case LogLevel::Warning: return spdlog::level::warn;
    case LogLevel::Error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view text) {
  if (text == "debug") return LogLevel::Debug;
  if (text == "info") return LogLevel::Info;
  if (text == "warning") return LogLevel::Warning;
  if (text == "error") return LogLevel::Error;
  return invalid("'" + std::string(text.substr(0, 40)) +
                 "' is not a log level; use debug, info, warning or error");
}

void set_log_level(LogLevel level) { logger().set_level(level_of(level)); }

void set_log_name(std::string_view program) {
  logger().set_pattern("%Y-%m-%dT%H:%M:%S.%e " + std::string(program) + " %l: %v");
}

bool log_enabled(LogLevel level) { return logger().should_log(level_of(level)); }

void log_line(LogLevel level, std::string_view text) {
  logger().log(level_of(level), spdlog::string_view_t(text.data(), text.size()));
}

bool LogLimit::allow(Instant now) {
  if (now - since_ >= seconds(60)) {
    since_ = now;
    used_ = 0;
  }
  return used_++ < burst_;
}

}  // namespace ntm::host
