// Text of pdns.conf; each setting stands beside why it is so.
#include "pdns-backend/configuration.hpp"

#include <algorithm>

namespace ntm::pdns_backend {

namespace {

constexpr int kMaxThreads = 64;

// Caches: all off. The module's answers bypass them anyway (TTL 0, scopeMask), but a name that
// does not exist yet can't say so, and ordinary rows are written beside PowerDNS, which would not
// notice. The zone cache is off for the same reason: a new zone answers at once.
constexpr std::string_view kFixed = R"(launch=ntmobile
# Nothing may be remembered across a commit of the director.
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
# Every question asks the module once for all types of a name.
consistent-backends=yes
# The store is written by the director only.
dnsupdate=no
primary=no
secondary=no
autosecondary=no
# ANY over UDP would amplify.
any-to-tcp=yes
udp-truncation-threshold=1232
expand-alias=no
enable-lua-records=no
dname-processing=no
# Run in the foreground under whoever started us.
daemon=no
guardian=no
disable-syslog=yes
log-timestamp=no
write-pid=no
webserver=no
api=no
version-string=anonymous
# Asks nobody on the internet about its own version.
security-poll-suffix=
)";

Result<void> check_text(std::string_view what, const std::string& text) {
  bool clean = std::all_of(text.begin(), text.end(),
                           [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
  if (text.empty() || !clean) {
    return invalid("pdns configuration: the " + std::string(what) +
                   " is empty or has a control character");
  }
  return {};
}

Result<void> check_path(std::string_view what, const std::string& path) {
  Result<void> clean = check_text(what, path);
  if (!clean) return clean;
  if (path[0] != '/') {
    return invalid("pdns configuration: the " + std::string(what) + " \"" + path +
                   "\" is not an absolute path");
  }
  return {};
}

Result<void> check(const PdnsSettings& settings) {
  Result<void> out = check_path("store directory", settings.store_directory);
  if (out) out = check_path("module directory", settings.module_directory);
  if (out) out = check_path("socket directory", settings.socket_directory);
  if (out && settings.user) out = check_text("user", *settings.user);
  if (out && settings.group) out = check_text("group", *settings.group);
  if (!out) return out;
  if (settings.listen.empty()) return invalid("pdns configuration: no address to listen on");
  for (const Endpoint& endpoint : settings.listen) {
    if (endpoint.port == 0) return invalid("pdns configuration: a listen address has no port");
  }
  if (settings.threads < 1 || settings.threads > kMaxThreads) {
    return invalid("pdns configuration: threads must be 1 to " + std::to_string(kMaxThreads));
  }
  return {};
}

template <typename Item>
std::string joined(const std::vector<Item>& items) {
  std::string out;
  for (const Item& item : items) out += (out.empty() ? "" : ", ") + to_string(item);
  return out;
}

}  // namespace

Result<std::string> pdns_configuration(const PdnsSettings& settings) {
  Result<void> good = check(settings);
  if (!good) return pass(good.error());
  std::string out = "# Written by NTMobile; changes are lost at the next start.\n";
  out += kFixed;
  out += "module-dir=" + settings.module_directory + "\n";
  out += "ntmobile-directory=" + settings.store_directory + "\n";
  out += "socket-dir=" + settings.socket_directory + "\n";
  out += "local-address=" + joined(settings.listen) + "\n";
  if (settings.transfer_to.empty()) {
    out += "disable-axfr=yes\n";
  } else {
    out += "disable-axfr=no\nallow-axfr-ips=" + joined(settings.transfer_to) + "\n";
  }
  out += "receiver-threads=1\ndistributor-threads=" + std::to_string(settings.threads) + "\n";
  if (settings.user) out += "setuid=" + *settings.user + "\n";
  if (settings.group) out += "setgid=" + *settings.group + "\n";
  out += settings.verbose ? "log-dns-queries=yes\nloglevel=6\n" : "loglevel=4\n";
  return out;
}

}  // namespace ntm::pdns_backend
