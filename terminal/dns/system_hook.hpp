// How the system is pointed at the stub, and put back (docs/PROTOCOL.md 7).
//
//   resolved     systemd-resolved runs: the virtual interface's link gets the stub as default DNS
//                route; gone with the interface
//   redirect     nftables sends this machine's own questions (port 53) to the stub; packets with
//                the daemon's mark are left alone
//   resolv.conf  only on request: the file is replaced, its former content kept beside the state
//   off          nothing; the stub only listens
//
// What was done is written to a note in the state folder first, so that a crash can be cleaned up
// at the next start, or by `ntm-terminal --restore-dns` (the unit's stop action).
#pragma once

#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/result.hpp"

namespace ntm::terminal::dns {

enum class HookMode : std::uint8_t { Auto, Resolved, Redirect, ResolvConf, Off };
const char* to_string(HookMode mode);
Result<HookMode> parse_hook_mode(std::string_view text);

struct HookOptions {
  HookMode mode = HookMode::Auto;
  std::string state_folder;
  std::string interface;         // virtual
  std::uint16_t redirect_port = 0;
  std::vector<Endpoint> listen;  // for resolv.conf: must be port 53
  std::vector<Endpoint> upstream;
  std::uint32_t mark = 0;
};

// The servers that the system used before us: from resolved's own list where resolved runs, else
// /etc/resolv.conf (the kept copy of it while ours is in place).
std::vector<Endpoint> system_servers(const std::string& state_folder);
bool resolved_runs();

// Tells by a stat(2) whether those servers may have changed since the last call: a network that is
// joined rewrites the file a moment after its address is usable, and no event says when.
class ServersWatch {
 public:
  explicit ServersWatch(std::string state_folder) : state_folder_(std::move(state_folder)) {}
  bool changed();

 private:
  std::string state_folder_;
  std::string last_;
};

// The mode that was chosen (never Auto). Undoes what a crash left first.
Result<HookMode> point_system_at_stub(const HookOptions& options);
// Idempotent; what is not there is not an error.
Result<void> restore_system(const std::string& state_folder);

// `nameserver` lines.
std::vector<Endpoint> parse_resolv_conf(std::string_view text);
// The nftables rules, for the test that reads them.
std::string redirect_rules(const HookOptions& options);

}  // namespace ntm::terminal::dns
