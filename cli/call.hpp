// How every sub-command speaks to its daemon: one call, then either the JSON as it came (--json)
// or a view for people. Errors go to standard error in one line, exit status 1.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "libntm/base/time.hpp"

namespace ntm::cli {

struct Output {
  bool json = false;
};
using View = std::function<void(const nlohmann::json& answer)>;

// Exit status of the program.
int call_daemon(const std::string& socket, const nlohmann::json& request, const Output& output,
                const View& view, Duration timeout = seconds(30));
int fail_with(const std::string& text);

// Left-aligned columns; the first row is the head.
void print_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace ntm::cli
