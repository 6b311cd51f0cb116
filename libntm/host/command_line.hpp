// A wrong command line ends every program of ours in the same way: one line on stderr that begins
// with the program's name and points to the help, status 2. CLI11 by itself prints two lines without
// a name, and a status that tells its exception's class. Header-only: only programs include CLI11.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <string>

#include "libntm/base/text.hpp"

namespace ntm::host {

constexpr int kUsageStatus = 2;

// Parses; a value is the status with which the program has to end now.
inline std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv,
                                             const char* program) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version
    std::string why = error.what();
    // `ntm sttaus` misses no command, it has a wrong one.
    if (error.get_name() == "RequiredError" && app.remaining_size() > 0)
      why = "unknown: " + app.remaining().front();
    while (!why.empty() && (why.back() == '\n' || why.back() == '.')) why.pop_back();
    std::fprintf(stderr, "%s: %s; see: %s --help\n", program,
                 printable(as_view(why), 200).c_str(), program);
    return kUsageStatus;
  }
}

}  // namespace ntm::host
