// The terminal daemon's answers as text for people.
#pragma once

#include <nlohmann/json.hpp>

namespace ntm::cli {

void show_status(const nlohmann::json& answer);
void show_ping(const nlohmann::json& answer);
void show_lookup(const nlohmann::json& answer);

}  // namespace ntm::cli
