// ntm-terminal: the terminal's daemon.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "libntm/host/command_line.hpp"
#include "libntm/host/log.hpp"
#include "terminal/enrol.hpp"
#include "terminal/service.hpp"

namespace {

using namespace ntm;
using namespace ntm::terminal;

int fail_with(const std::string& text, int status) {
  std::fprintf(stderr, "ntm-terminal: %s\n", text.c_str());
  return status;
}

int run_daemon(const Folders& folders, const Configuration& configuration) {
  host::set_log_name("ntm-terminal");
  host::set_log_level(*host::parse_log_level(configuration.log_level));
  host::EventLoop loop;
  Result<std::unique_ptr<Service>> service = Service::open(folders, configuration, loop);
  if (!service) return fail_with(service.error().text, 1);
  Result<void> ran = (*service)->run();
  return ran ? 0 : fail_with(ran.error().text, 1);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "ntm-terminal: gives this machine a name and addresses that stay while it moves.\n"
      "First: ntm join TOKEN. The DC's administrator gets the token by: ntm dc terminal add NAME"};
  Folders folders;
  bool check = false, restore = false, enrol_only = false;
  app.add_option("-c,--config", folders.config, "folder of terminal.toml, or the file")
      ->capture_default_str();
  app.add_option("--state", folders.state, "folder of keys and state")->capture_default_str();
  app.add_option("--run", folders.run, "folder of the control socket")->capture_default_str();
  app.add_flag("--check-config", check, "read the configuration, report errors, end");
  app.add_flag("--restore-dns", restore,
               "take away what a crashed daemon left in the system's DNS");
  app.add_flag("--enrol", enrol_only, "register once with the token of ntm join, end");
  app.set_version_flag("--version", "ntm-terminal 0.1.0");
  if (std::optional<int> end = host::parse_command_line(app, argc, argv, "ntm-terminal")) return *end;

  if (restore) {
    Result<void> restored = dns::restore_system(folders.state);
    return restored ? 0 : fail_with(restored.error().text, 1);
  }
  Result<Configuration> configuration = read_configuration(folders);
  if (!configuration) return fail_with(configuration.error().text, 2);
  if (check) {
    std::printf("%s: good\n", folders.config_file().c_str());
    return 0;
  }
  if (!enrol_only) return run_daemon(folders, *configuration);
  host::SystemRandom random;
  Result<void> enrolled = enrol(folders, random);
  return enrolled ? 0 : fail_with(enrolled.error().text, 1);
}
