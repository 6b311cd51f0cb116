// The cases of reference_wire.py as C++ values, by the same names, written field by field.
#pragma once

#include <map>
#include <string>

#include "libntm/wire/control.hpp"
#include "libntm/wire/inner_control.hpp"
#include "libntm/wire/token.hpp"
#include "tests/vectors/any_datagram.hpp"

namespace ntm::tests {

// first, first+1, ...
Bytes run(int first, std::size_t count);
template <std::size_t N>
std::array<Byte, N> run_of(int first) {
  std::array<Byte, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = static_cast<Byte>(first + static_cast<int>(i));
  return out;
}
Endpoint endpoint(std::string_view text);
Name name(std::string_view text);
std::vector<wire::Locator> all_locators();  // kMaxLocators of them

std::map<std::string, Datagram> datagram_cases();
std::map<std::string, wire::ControlMessage> control_cases();
std::map<std::string, wire::InnerControl> inner_cases();
std::map<std::string, wire::EnrolmentToken> token_cases();

}  // namespace ntm::tests
