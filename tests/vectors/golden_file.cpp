// Reads wire.json, which reference_wire.py writes.
#include "tests/vectors/golden_file.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "libntm/base/text.hpp"

namespace ntm::tests {

std::vector<GoldenCase> golden_wire() {
  std::vector<GoldenCase> out;
  std::ifstream file(NTM_SOURCE_DIR "/tests/vectors/golden/wire.json");
  nlohmann::json rows = nlohmann::json::parse(file, nullptr, false);
  EXPECT_TRUE(rows.is_array() && !rows.empty()) << "golden/wire.json is no list";
  if (!rows.is_array()) return out;
  for (const nlohmann::json& row : rows) {
    Result<Bytes> bytes = from_hex(row.value("hex", "-"));
    EXPECT_TRUE(bytes) << row.value("name", "?");
    if (!bytes) continue;
    out.push_back({row.value("name", ""), row.value("kind", ""), *bytes, row.value("text", ""),
                   row.value("decodes_like", "")});
  }
  return out;
}

}  // namespace ntm::tests
