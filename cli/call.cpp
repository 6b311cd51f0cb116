// One line of error, one exit status, one table printer.
#include "cli/call.hpp"

#include <algorithm>
#include <cstdio>

#include "libntm/host/control_socket.hpp"

namespace ntm::cli {

int fail_with(const std::string& text) {
  std::fprintf(stderr, "ntm: %s\n", text.c_str());
  return 1;
}

namespace {

// The sockets have these names wherever the folder is.
std::string start_hint(const std::string& socket) {
  std::string name = socket.substr(socket.rfind('/') + 1);
  if (name == "director.sock") return "; start it: ntm-director --with-dns";
  if (name == "relay.sock") return "; start it: ntm-relay";
  if (name == "terminal.sock") return "; start it: ntm up";
  return "";
}

}  // namespace

int call_daemon(const std::string& socket, const nlohmann::json& request, const Output& output,
                const View& view, Duration timeout) {
  Result<nlohmann::json> answer = host::control_call(socket, request, timeout);
  if (!answer) {
    std::string why = answer.error().text;
    if (why.starts_with("no daemon answers")) why += start_hint(socket);
    if (output.json)
      std::printf("%s\n", nlohmann::json{{"ok", false}, {"error", why}}.dump(2).c_str());
    return fail_with(why);
  }
  if (output.json) std::printf("%s\n", answer->dump(2).c_str());
  else view(*answer);
  return 0;
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> width;
  for (const std::vector<std::string>& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (width.size() <= i) width.push_back(0);
      width[i] = std::max(width[i], row[i].size());
    }
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(width[i] - row[i].size() + 2, ' ');
    }
    std::printf("%s\n", line.c_str());
  }
}

}  // namespace ntm::cli
