// See the header.
#include "terminal/dns/system_hook.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "libntm/host/fd.hpp"
#include "libntm/host/files.hpp"

namespace ntm::terminal::dns {

namespace {

// Of conntrack, for the stub's own questions.
constexpr int kOwnZone = 0x4e54;

constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr const char* kResolvedConf = "/run/systemd/resolve/resolv.conf";
constexpr std::size_t kMaxResolvConf = 64 * 1024;

std::string note_path(const std::string& state) { return state + "/dns-hook"; }
std::string kept_path(const std::string& state) { return state + "/resolv.conf.before"; }

std::string text_of(const std::string& path) {
  Result<Bytes> bytes = host::read_file(path, kMaxResolvConf);
  return bytes ? std::string(bytes->begin(), bytes->end()) : std::string();
}

// Runs a program with `input` on its standard input; its exit status, its error output in `said`.
int run(const std::vector<std::string>& words, const std::string& input, std::string& said) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return -1;
  if (::pipe2(out, O_CLOEXEC) != 0) {
    ::close(in[0]);
    ::close(in[1]);
    return -1;
  }
  host::Fd in_read(in[0]), in_write(in[1]), out_read(out[0]), out_write(out[1]);
  pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) {
    ::dup2(in_read.get(), 0);
    ::dup2(out_write.get(), 1);
    ::dup2(out_write.get(), 2);
    std::vector<char*> arguments;
    for (const std::string& w : words) arguments.push_back(const_cast<char*>(w.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  in_read.reset();
  out_write.reset();
  (void)!::write(in_write.get(), input.data(), input.size());
  in_write.reset();
  char buffer[4096];
  for (ssize_t n; (n = ::read(out_read.get(), buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(n));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  said = said.substr(0, said.find('\n'));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Result<void> must_run(const std::vector<std::string>& words, const std::string& input,
                      const char* what) {
  std::string said;
  int status = run(words, input, said);
  if (status == 0) return {};
  if (status == 127)
    return fail(ErrorKind::Unavailable, std::string(what) + ": the program " + words[0] +
                                            " is missing; install it or set dns.hook = \"off\"");
  return fail(ErrorKind::Unavailable, std::string(what) + ": " + words[0] + ": " + said);
}

std::string table_name(const std::string& interface) {
  std::string out = "ntmobile_";
  for (char c : interface) out += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return out;
}

Result<void> hook_resolved(const HookOptions& o) {
  Endpoint stub{Ipv4{{127, 0, 0, 1}}, o.redirect_port};
  const std::vector<std::vector<std::string>> steps = {
      {"resolvectl", "dns", o.interface, to_string(stub)},
      {"resolvectl", "domain", o.interface, "~."},
      {"resolvectl", "default-route", o.interface, "yes"},
      {"resolvectl", "dnssec", o.interface, "no"},
      {"resolvectl", "llmnr", o.interface, "no"},
      {"resolvectl", "mdns", o.interface, "no"},
  };
  for (const std::vector<std::string>& step : steps) {
    Result<void> done = must_run(step, {}, "pointing systemd-resolved at the stub");
    if (!done) return done;
  }
  return {};
}

Result<void> hook_resolv_conf(const HookOptions& o) {
  std::vector<Endpoint>::const_iterator at = std::find_if(
      o.listen.begin(), o.listen.end(), [](const Endpoint& e) { return e.port == 53; });
  if (at == o.listen.end())
    return invalid("dns.hook = \"resolv.conf\" needs a dns.listen address with port 53");
  std::string before = text_of(kResolvConf);
  Result<void> kept = host::replace_file(kept_path(o.state_folder), as_view(before), 0644);
  if (!kept) return kept;
  std::string ours = "# Written by ntm-terminal; put back when it stops.\nnameserver " +
                     to_string(at->address) + "\n";
  // In place: the file may be a mount point or a link that must stay one.
  host::Fd fd(::open(kResolvConf, O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!fd || ::write(fd.get(), ours.data(), ours.size()) != static_cast<ssize_t>(ours.size()))
    return fail(ErrorKind::Unavailable, std::string("can't write ") + kResolvConf + ": " +
                                            host::system_error_text(errno));
  return {};
}

Result<void> write_note(const HookOptions& o, HookMode mode) {
  std::string note = std::string(to_string(mode)) + " " + o.interface + "\n";
  return host::replace_file(note_path(o.state_folder), as_view(note), 0600);
}

}  // namespace

const char* to_string(HookMode mode) {
  switch (mode) {
    case HookMode::Auto: return "auto";
    case HookMode::Resolved: return "resolved";
    case HookMode::Redirect: return "redirect";
    case HookMode::ResolvConf: return "resolv.conf";
    case HookMode::Off: return "off";
  }
  return "?";
}

Result<HookMode> parse_hook_mode(std::string_view text) {
  for (HookMode mode : {HookMode::Auto, HookMode::Resolved, HookMode::Redirect,
                        HookMode::ResolvConf, HookMode::Off})
    if (text == to_string(mode)) return mode;
  return invalid("must be auto, resolved, redirect, resolv.conf or off");
}

std::vector<Endpoint> parse_resolv_conf(std::string_view text) {
  std::vector<Endpoint> out;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    constexpr std::string_view kWord = "nameserver";
    if (line.substr(0, kWord.size()) != kWord) continue;
    line.remove_prefix(kWord.size());
    std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos || first == 0) continue;
    line = line.substr(first);
    line = line.substr(0, line.find_first_of(" \t\r#;%"));
    Result<IpAddress> address = parse_address(line);
    if (address) out.push_back({*address, 53});
  }
  return out;
}

bool resolved_runs() {
  if (!host::exists(kResolvedConf)) return false;
  std::string said;
  return run({"resolvectl", "--no-pager", "dns"}, {}, said) == 0;
}

bool ServersWatch::changed() {
  std::string now;
  for (const std::string& path : {std::string(kResolvConf), std::string(kResolvedConf),
                                  kept_path(state_folder_)}) {
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) continue;
    now += std::to_string(s.st_ino) + ":" + std::to_string(s.st_mtim.tv_sec) + "." +
           std::to_string(s.st_mtim.tv_nsec) + ":" + std::to_string(s.st_size) + " ";
  }
  if (now == last_) return false;
  last_ = now;
  return true;
}

std::vector<Endpoint> system_servers(const std::string& state_folder) {
  std::string text = text_of(kResolvConf);
  if (host::exists(kept_path(state_folder))) text = text_of(kept_path(state_folder));
  std::vector<Endpoint> out = parse_resolv_conf(text);
  // The resolved stub is no upstream for us: it would ask us.
  bool stub_only = !out.empty() && std::all_of(out.begin(), out.end(), [](const Endpoint& e) {
    return to_string(e.address) == "127.0.0.53" || to_string(e.address) == "127.0.0.54";
  });
  if (stub_only && host::exists(kResolvedConf)) out = parse_resolv_conf(text_of(kResolvedConf));
  return out;
}

std::string redirect_rules(const HookOptions& o) {
  // With a resolver on this machine only what goes to it is redirected: its own questions to the
  // world must not come back to us.
  bool local = std::any_of(o.upstream.begin(), o.upstream.end(),
                           [](const Endpoint& e) { return e.address.is_loopback(); });
  std::string port = std::to_string(o.redirect_port);
  std::string out = "table inet " + table_name(o.interface) + "\ndelete table inet " +
                    table_name(o.interface) + "\ntable inet " + table_name(o.interface) +
                    " {\n  chain output {\n    type nat hook output priority -100; policy accept;\n"
                    "    meta mark " + std::to_string(o.mark) + " return\n";
  for (const char* match : {"ip daddr 127.0.0.0/8 ", "ip6 daddr ::1 "})
    for (const char* transport : {"udp", "tcp"})
      if (local)
        out += std::string("    ") + match + transport + " dport 53 redirect to :" + port + "\n";
  if (!local)
    for (const char* transport : {"udp", "tcp"})
      out += std::string("    ") + transport + " dport 53 redirect to :" + port + "\n";
  // A redirect holds for the whole conntrack entry. In one zone an application whose socket got the
  // port of one of our own questions of the last minutes would pass us by, and ours with the port
  // of an application's would come back to us. Replies stay where firewalls look for them.
  return out + "  }\n  chain own {\n    type filter hook output priority raw; policy accept;\n"
               "    meta mark " + std::to_string(o.mark) +
         " meta l4proto { tcp, udp } th dport 53 ct original zone set " +
         std::to_string(kOwnZone) + "\n  }\n}\n";
}

Result<HookMode> point_system_at_stub(const HookOptions& o) {
  Result<void> clean = restore_system(o.state_folder);
  if (!clean) return pass(clean.error());
  HookMode mode = o.mode;
  if (mode == HookMode::Auto) mode = resolved_runs() ? HookMode::Resolved : HookMode::Redirect;
  if (mode == HookMode::Off) return mode;
  Result<void> noted = write_note(o, mode);
  if (!noted) return pass(noted.error());
  Result<void> done;
  if (mode == HookMode::Resolved) done = hook_resolved(o);
  else if (mode == HookMode::ResolvConf) done = hook_resolv_conf(o);
  else done = must_run({"nft", "-f", "-"}, redirect_rules(o), "redirecting DNS to the stub");
  if (!done) {
    (void)restore_system(o.state_folder);
    return pass(done.error());
  }
  return mode;
}

Result<void> restore_system(const std::string& state_folder) {
  if (!host::exists(note_path(state_folder))) return {};
  std::string note = text_of(note_path(state_folder));
  std::size_t space = note.find(' ');
  std::string mode = note.substr(0, space);
  std::string interface = space == std::string::npos ? "" : note.substr(space + 1);
  if (!interface.empty() && interface.back() == '\n') interface.pop_back();
  std::string said;
  if (mode == to_string(HookMode::Redirect)) {
    // Adding the table first makes deleting it succeed whether it was there or not.
    std::string table = "table inet " + table_name(interface);
    Result<void> done = must_run({"nft", "-f", "-"}, table + "\ndelete " + table + "\n",
                                 "taking the redirect of DNS away");
    if (!done) return done;
  } else if (mode == to_string(HookMode::Resolved)) {
    (void)run({"resolvectl", "revert", interface}, {}, said);  // gone with the interface
  } else if (mode == to_string(HookMode::ResolvConf) && host::exists(kept_path(state_folder))) {
    std::string before = text_of(kept_path(state_folder));
    host::Fd fd(::open(kResolvConf, O_WRONLY | O_TRUNC | O_CLOEXEC));
    ssize_t size = static_cast<ssize_t>(before.size());
    if (!fd || ::write(fd.get(), before.data(), before.size()) != size)
      return fail(ErrorKind::Unavailable,
                  std::string("can't put ") + kResolvConf + " back from " +
                      kept_path(state_folder) + ": " + host::system_error_text(errno));
    ::unlink(kept_path(state_folder).c_str());
  }
  ::unlink(note_path(state_folder).c_str());
  return {};
}

}  // namespace ntm::terminal::dns
