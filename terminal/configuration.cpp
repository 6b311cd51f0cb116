// See the header.
#include "terminal/configuration.hpp"

#include <sys/stat.h>

#include "libntm/base/text.hpp"
#include "libntm/host/config.hpp"
#include "libntm/host/files.hpp"
#include "libntm/host/log.hpp"

namespace ntm::terminal {

namespace {

Result<void> read_accept(host::Config& file, Configuration& out) {
  std::vector<std::string> zones = file.texts("accept_from", {"*"});
  out.accept_any_zone = false;
  for (const std::string& zone : zones) {
    if (zone == "*") {
      out.accept_any_zone = true;
      continue;
    }
    Result<Name> name = Name::parse(zone);
    if (!name) return tl::unexpected(file.wrong("accept_from", name.error().text));
    out.accept_from.insert(*name);
  }
  return {};
}

Result<void> read_pins(host::Config& file, Configuration& out) {
  for (const std::string& pin : file.texts("pins")) {
    std::size_t space = pin.find(' ');
    Result<Name> name = Name::parse(pin.substr(0, space));
    Result<Bytes> key = space == std::string::npos ? Result<Bytes>(invalid("no key"))
                                                   : from_hex(pin.substr(space + 1));
    if (!name || !key || key->size() != 32)
      return tl::unexpected(file.wrong("pins", "'" + pin + "' is not NAME and 64 hex digits"));
    std::copy(key->begin(), key->end(), out.pins[*name].raw.begin());
  }
  return {};
}

Result<void> read_dns(host::Config& file, Configuration& out) {
  Result<dns::HookMode> hook = dns::parse_hook_mode(file.text("dns.hook", "auto"));
  if (!hook) return tl::unexpected(file.wrong("dns.hook", hook.error().text));
  out.dns_hook = *hook;
  out.dns_enabled = file.boolean("dns.enabled", true);
  out.dns_listen = file.endpoints("dns.listen");
  for (const IpAddress& a : file.addresses("dns.upstream")) out.dns_upstream.push_back({a, 53});
  for (const IpAddress& a : file.addresses("dns.own_zone_servers"))
    out.dns_zone_servers.push_back({a, 53});
  out.dns_trust_anchor = file.text("dns.trust_anchor", "");
  if (!out.dns_trust_anchor.empty() && !host::exists(out.dns_trust_anchor))
    return tl::unexpected(file.wrong("dns.trust_anchor", out.dns_trust_anchor + " is missing"));
  return {};
}

}  // namespace

std::string Folders::config_file() const {
  struct stat found {};
  bool is_file = ::stat(config.c_str(), &found) == 0 && S_ISREG(found.st_mode);
  bool names_file = config.size() > 5 && config.substr(config.size() - 5) == ".toml";
  return is_file || names_file ? config : config + "/terminal.toml";
}

Result<Configuration> read_configuration(const Folders& folders) {
  Configuration out;
  std::string path = folders.config_file();
  Result<host::Config> file =
      host::exists(path) ? host::Config::load(path) : host::Config::parse("", path);
  if (!file) return pass(file.error());
  out.interface = file->text("interface", out.interface);
  out.mtu = static_cast<std::uint16_t>(file->integer("mtu", out.mtu, 1280, 9000));
  out.port = static_cast<std::uint16_t>(file->integer("port", 0, 0, 65535));
  out.mark = static_cast<std::uint32_t>(file->integer("mark", out.mark, 1, 0xffffffff));
  out.log_level = file->text("log_level", out.log_level);
  out.event_log = file->text("event_log", "");
  out.private_locators = file->boolean("private", false);
  out.relay_only = file->boolean("relay_only", false);
  out.fast_handover = file->boolean("handover.fast", true);
  out.optimistic_dad = file->boolean("handover.optimistic_dad", true);
  out.virtual_ranges4 = file->prefixes("virtual_ranges4");
  if (out.virtual_ranges4.empty()) out.virtual_ranges4 = {{IpAddress(Ipv4{{198, 18, 0, 0}}), 15}};
  for (Result<void> (*part)(host::Config&, Configuration&) : {read_accept, read_pins, read_dns}) {
    Result<void> read = part(*file, out);
    if (!read) return pass(read.error());
  }
  if (!host::parse_log_level(out.log_level))
    return tl::unexpected(file->wrong("log_level", "must be debug, info, warning or error"));
  if (out.interface.empty() || out.interface.size() > 15)
    return tl::unexpected(file->wrong("interface", "must have 1 to 15 characters"));
  Result<void> finished = file->finish();
  if (!finished) return pass(finished.error());
  return out;
}

}  // namespace ntm::terminal
