// The golden bytes of wire.json as the tests read them.
#pragma once

#include <string>
#include <vector>

#include "libntm/base/bytes.hpp"

namespace ntm::tests {

struct GoldenCase {
  std::string name;
  std::string kind;  // datagram, control, inner, token
  Bytes bytes;
  std::string text;          // of a token
  std::string decodes_like;  // name of the case whose value these bytes mean, or empty
};
// Fails the running test when the file cannot be read.
std::vector<GoldenCase> golden_wire();

}  // namespace ntm::tests
