// `ntm join, up, down, status, ping, lookup, forget`: the terminal, for people.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/call.hpp"

namespace ntm::cli {

void add_terminal_commands(CLI::App& app, const Output& output, int& status);

}  // namespace ntm::cli
