// What is fuzzed: one entry function a decoder. Each takes any bytes and aborts with a line on
// stderr when a property breaks; a crash, a sanitizer's report or a hang counts as well.
#pragma once

#include <span>

#include "libntm/base/bytes.hpp"

namespace ntm::fuzz {

struct Target {
  const char* name;  // also its folder under corpus/
  void (*run)(ByteView input);
};
std::span<const Target> targets();
// nullptr when there is none of this name.
const Target* find_target(std::string_view name);

}  // namespace ntm::fuzz
