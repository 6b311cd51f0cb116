// The pdns.conf under which the module's promises hold, as text, with the reason of each line.
//
// Problem: PowerDNS caches by default what may change with every registration; a server with the
// package's defaults would answer up to 60 s old. The director writes this text for `--with-dns`,
// `ntm dc init` for the packaged pdns unit. No PowerDNS types.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/result.hpp"

namespace ntm::pdns_backend {

struct PdnsSettings {
  std::string store_directory;   // holds dc.db
  std::string module_directory;  // holds libntmobilebackend.so
  std::string socket_directory;  // for pdns_control; writable for the server's user
  std::vector<Endpoint> listen;
  std::vector<Prefix> transfer_to;  // who may ask for AXFR; empty = nobody
  std::optional<std::string> user;  // to change to after binding; and its group
  std::optional<std::string> group;
  int threads = 2;      // that answer UDP questions, each with a reader of its own
  bool verbose = false;  // log every question
};

// Invalid: no address to listen on, a path that is not absolute, a line break in any text.
Result<std::string> pdns_configuration(const PdnsSettings& settings);

}  // namespace ntm::pdns_backend
