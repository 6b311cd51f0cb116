// `ntm dc ...` and `ntm relay ...`: set-up and administration of a DC, enrolment of a relay.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/call.hpp"

namespace ntm::cli {

// Sub-commands set `status` to the exit status when they ran.
void add_dc_commands(CLI::App& app, const Output& output, int& status);
void add_relay_commands(CLI::App& app, const Output& output, int& status);

}  // namespace ntm::cli
