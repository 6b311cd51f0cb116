// /etc/ntmobile/terminal.toml and the folders of a terminal. Every key is in
// terminal.toml.example with its meaning.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/result.hpp"
#include "terminal/dns/system_hook.hpp"

namespace ntm::terminal {

// So that many terminals run on one machine, each in its network namespace.
struct Folders {
  std::string config = "/etc/ntmobile";  // a folder, or the file itself
  std::string state = "/var/lib/ntmobile/terminal";
  std::string run = "/run/ntmobile";

  std::string config_file() const;
  std::string socket() const { return run + "/terminal.sock"; }
};

struct Configuration {
  std::string interface = "ntm0";
  std::uint16_t mtu = 1400;
  std::uint16_t port = 0;
  std::uint32_t mark = 0x4e54;
  std::string log_level = "info";
  std::string event_log;
  bool accept_any_zone = true;
  std::set<Name> accept_from;
  std::vector<Prefix> virtual_ranges4;
  std::map<Name, PublicKey> pins;
  bool private_locators = false;
  bool relay_only = false;
  bool fast_handover = true;
  bool optimistic_dad = true;
  dns::HookMode dns_hook = dns::HookMode::Auto;
  bool dns_enabled = true;
  std::vector<Endpoint> dns_listen;
  std::vector<Endpoint> dns_upstream;
  std::vector<Endpoint> dns_zone_servers;
  std::string dns_trust_anchor;
};
// A missing file means all defaults; an unknown key or a wrong value is an error with its line.
Result<Configuration> read_configuration(const Folders& folders);

}  // namespace ntm::terminal
