// ntm-relay: the Relay Server daemon.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "libntm/host/command_line.hpp"
#include "libntm/host/log.hpp"
#include "relay/service.hpp"

int main(int argc, char** argv) {
  CLI::App app{
      "ntm-relay: forwards tunnel packets between NTMobile terminals that can't reach each other.\n"
      "Enrol it with a DC: on the DC `ntm dc relay add NAME`, here `ntm relay join TOKEN`."};
  std::string config_path = "/etc/ntmobile/relay.toml";
  bool check = false;
  app.add_option("-c,--config", config_path, "configuration file")->capture_default_str();
  app.add_flag("--check-config", check, "read the configuration, report errors, end");
  app.set_version_flag("--version", "ntm-relay 0.1.0");
  if (std::optional<int> end = ntm::host::parse_command_line(app, argc, argv, "ntm-relay")) return *end;

  ntm::Result<ntm::relay::ServiceConfig> config = ntm::relay::read_config(config_path);
  if (!config) {
    std::fprintf(stderr, "ntm-relay: %s\n", config.error().text.c_str());
    return 2;
  }
  if (check) {
    std::printf("%s: good\n", config_path.c_str());
    return 0;
  }
  ntm::host::set_log_name("ntm-relay");
  ntm::host::set_log_level(*ntm::host::parse_log_level(config->log_level));
  ntm::host::EventLoop loop;
  ntm::Result<std::unique_ptr<ntm::relay::Service>> service =
      ntm::relay::Service::open(*config, loop);
  if (!service) {
    std::fprintf(stderr, "ntm-relay: %s\n", service.error().text.c_str());
    return 1;
  }
  (*service)->run();
  return 0;
}
