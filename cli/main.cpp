// ntm: the one command for people.
#include "cli/dc_commands.hpp"
#include "cli/terminal_commands.hpp"
#include "libntm/host/command_line.hpp"

int main(int argc, char** argv) {
  CLI::App app{"ntm: NTMobile for people - terminals, relays and DCs"};
  app.set_version_flag("--version", "ntm 0.1.0");
  app.require_subcommand(1);
  app.fallthrough();
  ntm::cli::Output output;
  int status = 0;
  app.add_flag("--json", output.json, "print JSON for programs");
  ntm::cli::add_terminal_commands(app, output, status);
  ntm::cli::add_dc_commands(app, output, status);
  ntm::cli::add_relay_commands(app, output, status);
  if (std::optional<int> end = ntm::host::parse_command_line(app, argc, argv, "ntm")) return *end;
  return status;
}
