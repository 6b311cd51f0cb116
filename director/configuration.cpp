// Reads every key once; finish() then refuses what nobody asked for.
#include "director/configuration.hpp"

#include "libntm/host/config.hpp"
#include "libntm/host/log.hpp"

namespace ntm::director {

Result<Configuration> read_configuration(const std::string& path) {
  Result<host::Config> file = host::Config::load(path);
  if (!file) {
    if (file.error().kind == ErrorKind::NotFound)
      return fail(ErrorKind::NotFound, path + " does not exist; run `ntm dc init` first");
    return pass(file.error());
  }
  Configuration out;
  out.data = file->text("data", out.data);
  out.port = static_cast<std::uint16_t>(file->integer("port", out.port, 1, 65535));
  out.listen = file->addresses("listen");
  out.socket = file->text("socket", out.socket);
  out.resolvers = file->texts("resolvers", out.resolvers);
  out.cookie_threshold = static_cast<std::size_t>(file->integer("cookie_threshold", 2000, 1, 1'000'000));
  out.log_level = file->text("log_level", out.log_level);
  out.dns.program = file->text("dns.program", out.dns.program);
  out.dns.listen = file->endpoints("dns.listen");
  if (!file->has("dns.listen")) out.dns.listen = {{Ipv4{}, 53}, {Ipv6{}, 53}};
  out.dns.module_dir = file->text("dns.module_dir", "");
  out.dns.user = file->text("dns.user", "");
  out.dns.group = file->text("dns.group", "");
  out.dns.threads = static_cast<int>(file->integer("dns.threads", 2, 1, 64));
  out.dns.transfer_to = file->prefixes("dns.transfer_to");
  if (Result<void> end = file->finish(); !end) return pass(end.error());
  if (out.data.empty() || out.data[0] != '/')
    return pass(file->wrong("data", "must be an absolute path"));
  if (Result<host::LogLevel> level = host::parse_log_level(out.log_level); !level)
    return pass(file->wrong("log_level", level.error().text));
  return out;
}

}  // namespace ntm::director
