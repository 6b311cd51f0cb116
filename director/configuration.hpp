// director.toml as values; strict, see libntm/host/config.hpp.
#pragma once

#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/result.hpp"

namespace ntm::director {

struct DnsConfiguration {
  std::string program = "pdns_server";
  std::vector<Endpoint> listen;
  std::string module_dir;
  std::string user;
  std::string group;
  int threads = 2;
  std::vector<Prefix> transfer_to;
};

struct Configuration {
  std::string data = "/var/lib/ntmobile/dc";
  std::uint16_t port = 4753;
  std::vector<IpAddress> listen;
  std::string socket = "/run/ntmobile/director.sock";
  std::vector<std::string> resolvers = {"127.0.0.1"};
  std::size_t cookie_threshold = 2000;
  std::string log_level = "info";
  DnsConfiguration dns;
};

Result<Configuration> read_configuration(const std::string& path);

}  // namespace ntm::director
