// ntm-director: the Direction Coordinator's process beside PowerDNS.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "director/service.hpp"
#include "libntm/host/command_line.hpp"
#include "libntm/host/log.hpp"

int main(int argc, char** argv) {
  CLI::App app{
      "ntm-director: registers NTMobile terminals and directs their tunnels.\n"
      "Set a DC up with `ntm dc init`; then run this with --with-dns, or beside PowerDNS."};
  std::string config_path = "/etc/ntmobile/director.toml";
  bool check = false;
  bool with_dns = false;
  app.add_option("-c,--config", config_path, "configuration file")->capture_default_str();
  app.add_flag("--with-dns", with_dns, "run pdns_server with our module as a child");
  app.add_flag("--check-config", check, "read the configuration, report errors, end");
  app.set_version_flag("--version", "ntm-director 0.1.0");
  if (std::optional<int> end = ntm::host::parse_command_line(app, argc, argv, "ntm-director")) return *end;

  ntm::Result<ntm::director::Configuration> config =
      ntm::director::read_configuration(config_path);
  if (!config) {
    std::fprintf(stderr, "ntm-director: %s\n", config.error().text.c_str());
    return 2;
  }
  if (check) {
    std::printf("%s: good\n", config_path.c_str());
    return 0;
  }
  ntm::host::set_log_name("ntm-director");
  ntm::host::set_log_level(*ntm::host::parse_log_level(config->log_level));
  ntm::host::EventLoop loop;
  ntm::Result<std::unique_ptr<ntm::director::Service>> service =
      ntm::director::Service::open(*config, with_dns, loop);
  if (!service) {
    std::fprintf(stderr, "ntm-director: %s\n", service.error().text.c_str());
    return 1;
  }
  (*service)->run();
  return 0;
}
