// Joining and starting touch files and processes of this machine; everything else is one call to
// the daemon.
#include "cli/terminal_commands.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "cli/terminal_views.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/control_socket.hpp"
#include "libntm/host/fd.hpp"
#include "libntm/host/files.hpp"
#include "terminal/joining.hpp"

namespace ntm::cli {

using nlohmann::json;

namespace {

struct TerminalOptions {
  terminal::Folders folders;
  std::string token;
  std::string name;
  int count = 3;
  bool again = false;
  bool later = false;
};
using Shared = std::shared_ptr<TerminalOptions>;

constexpr Duration kStartPatience = seconds(5);
// The daemon waits 2 s for a path; each ping takes half a second, at worst 2 s.
constexpr Duration kPingPatience = seconds(30);

// ntm-terminal lies beside ntm, or on the path.
std::string daemon_program() {
  char self[4096];
  ssize_t n = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (n > 0) {
    std::string beside(self, static_cast<std::size_t>(n));
    beside = beside.substr(0, beside.rfind('/')) + "/ntm-terminal";
    if (::access(beside.c_str(), X_OK) == 0) return beside;
  }
  return "ntm-terminal";
}

std::vector<std::string> daemon_words(const TerminalOptions& o) {
  return {daemon_program(), "--config", o.folders.config, "--state", o.folders.state,
          "--run", o.folders.run};
}

void exec_words(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& w : words) arguments.push_back(const_cast<char*>(w.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  std::fprintf(stderr, "ntm: can't run %s: %s\n", arguments[0],
               host::system_error_text(errno).c_str());
  ::_exit(127);
}

int run_and_wait(const std::vector<std::string>& words) {
  std::fflush(nullptr);
  pid_t child = ::fork();
  if (child == 0) exec_words(words);
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

bool daemon_runs(const TerminalOptions& o) {
  return host::control_call(o.folders.socket(), {{"verb", "status"}}, seconds(2)).has_value();
}

int run_join(const TerminalOptions& o, const Output& output) {
  if (daemon_runs(o))
    return fail_with("ntm-terminal runs with its present name; stop it first: ntm down");
  host::SystemRandom random;
  Result<terminal::Identity> made = terminal::begin_join(o.folders, o.token, o.again, random);
  if (!made) return fail_with(made.error().text);
  if (!o.later) {
    TerminalOptions fresh = o;
    fresh.folders.state = terminal::joining_folders(o.folders).state;
    std::vector<std::string> words = daemon_words(fresh);
    words.push_back("--enrol");
    if (run_and_wait(words) != 0) {  // it said why
      terminal::drop_join(o.folders);
      return 1;
    }
  }
  if (Result<void> done = terminal::finish_join(o.folders); !done)
    return fail_with(done.error().text);
  if (output.json) {
    json out{{"ok", true}, {"name", made->name.text()}, {"zone", made->zone.text()},
             {"enrolled", !o.later}, {"state", o.folders.state},
             {"config", o.folders.config_file()}};
    std::printf("%s\n", out.dump(2).c_str());
    return 0;
  }
  std::printf("This machine is %s in the zone %s.\n", made->name.text().c_str(),
              made->zone.text().c_str());
  if (o.later) std::printf("It will register when its DC can be reached.\n");
  std::printf("Start it now: ntm up\n");
  return 0;
}

std::string log_path(const TerminalOptions& o) { return o.folders.state + "/terminal.log"; }

// What a daemon that ended at once had to say.
std::string last_words(const TerminalOptions& o) {
  Result<Bytes> log = host::read_file(log_path(o), 1 << 20);
  std::string text = log ? std::string(log->begin(), log->end()) : std::string();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text = text.substr(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1);
  return text.empty() ? "ntm-terminal did not start" : text;
}

// In the background, with its own log; not for machines where systemd runs the packaged unit.
pid_t start_daemon(const TerminalOptions& o) {
  std::fflush(nullptr);
  pid_t child = ::fork();
  if (child != 0) return child;
  ::setsid();
  host::Fd null(::open("/dev/null", O_RDWR));
  host::Fd log(::open(log_path(o).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
  ::dup2(null.get(), 0);
  ::dup2(null.get(), 1);
  ::dup2(log ? log.get() : null.get(), 2);
  exec_words(daemon_words(o));
  return -1;
}

bool has_unit() {
  return host::exists("/run/systemd/system") &&
         (host::exists("/lib/systemd/system/ntm-terminal.service") ||
          host::exists("/etc/systemd/system/ntm-terminal.service"));
}

int run_up(const TerminalOptions& o, const Output& output) {
  if (!daemon_runs(o)) {
    Result<terminal::Identity> identity = terminal::load_identity(o.folders);
    if (!identity) return fail_with(identity.error().text);
    pid_t child = 0;
    if (has_unit()) {
      if (run_and_wait({"systemctl", "start", "ntm-terminal"}) != 0)
        return fail_with("see: systemctl status ntm-terminal");
    } else {
      child = start_daemon(o);
    }
    Instant until = host::monotonic_now() + kStartPatience;
    while (!daemon_runs(o)) {
      int status = 0;
      if (child != 0 && ::waitpid(child, &status, WNOHANG) != 0) return fail_with(last_words(o));
      if (host::monotonic_now() >= until)
        return fail_with("ntm-terminal does not answer after 5 s; see " + log_path(o));
      ::usleep(20'000);
    }
  }
  return call_daemon(o.folders.socket(), {{"verb", "status"}}, output, show_status);
}

CLI::App* add_verb(CLI::App& app, const Shared& o, const char* name, const char* about) {
  CLI::App* verb = app.add_subcommand(name, about);
  verb->add_option("--config", o->folders.config, "folder of terminal.toml, or the file");
  verb->add_option("--state", o->folders.state, "folder of keys and state");
  verb->add_option("--run", o->folders.run, "folder of the control socket");
  return verb;
}

}  // namespace

void add_terminal_commands(CLI::App& app, const Output& output, int& status) {
  Shared o = std::make_shared<TerminalOptions>();
  CLI::App* join = add_verb(app, o, "join", "make this machine a terminal, with a token of its DC");
  join->add_option("TOKEN", o->token, "printed by: ntm dc terminal add NAME")->required();
  join->add_flag("--again", o->again, "replace the name that this machine has");
  join->add_flag("--later", o->later, "without asking the DC: the daemon will, when it can");
  join->callback([o, &output, &status] { status = run_join(*o, output); });

  add_verb(app, o, "up", "start the terminal")->callback([o, &output, &status] {
    status = run_up(*o, output);
  });
  add_verb(app, o, "down", "leave the network and stop the terminal")
      ->callback([o, &output, &status] {
        status = call_daemon(o->folders.socket(), {{"verb", "down"}}, output,
                             [](const json&) { std::printf("down\n"); });
      });
  add_verb(app, o, "status", "how this terminal is connected")->callback([o, &output, &status] {
    status = call_daemon(o->folders.socket(), {{"verb", "status"}}, output, show_status);
  });

  CLI::App* ping = add_verb(app, o, "ping", "round trips through the tunnel to a terminal");
  ping->add_option("NAME", o->name, "the terminal's name")->required();
  ping->add_option("-n,--count", o->count, "how many")->capture_default_str();
  ping->callback([o, &output, &status] {
    status = call_daemon(o->folders.socket(),
                         {{"verb", "ping"}, {"name", o->name}, {"count", o->count}}, output,
                         show_ping, kPingPatience);
  });
  CLI::App* lookup = add_verb(app, o, "lookup", "a terminal's NTM records, in words");
  lookup->add_option("NAME", o->name, "the terminal's name")->required();
  lookup->callback([o, &output, &status] {
    status = call_daemon(o->folders.socket(), {{"verb", "lookup"}, {"name", o->name}}, output,
                         show_lookup);
  });
  CLI::App* forget = add_verb(app, o, "forget", "drop the pinned key of a peer that changed it");
  forget->add_option("NAME", o->name, "the peer's name")->required();
  forget->callback([o, &output, &status] {
    status = call_daemon(o->folders.socket(), {{"verb", "forget"}, {"name", o->name}}, output,
                         [](const json&) { std::printf("forgotten\n"); });
  });
}

}  // namespace ntm::cli
