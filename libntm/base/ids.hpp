// Identifiers as distinct types, so that a Path ID can't be passed for a Session ID.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>

#include "libntm/base/bytes.hpp"

namespace ntm {

template <typename Tag>
struct Id64 {
  std::uint64_t value = 0;
  constexpr auto operator<=>(const Id64&) const = default;
  constexpr bool is_zero() const { return value == 0; }
};
using PathId = Id64<struct PathIdTag>;        // a tunnel path (paper 4.3); random, never zero
using SessionId = Id64<struct SessionIdTag>;  // a control session, named by its receiver
using RequestId = Id64<struct RequestIdTag>;  // one request and its retransmissions
using TokenId = Id64<struct TokenIdTag>;      // an enrolment token; zero = none

template <typename Tag>
std::string to_string(const Id64<Tag>& id) {
  static const char* const digits = "0123456789abcdef";
  std::string out(16, '0');
  for (int i = 0; i < 16; ++i) out[i] = digits[(id.value >> (60 - 4 * i)) & 15];
  return out;
}

// X25519 public key of a terminal, relay or DC. Public: printable.
struct PublicKey {
  std::array<Byte, 32> raw{};
  auto operator<=>(const PublicKey&) const = default;
  bool is_zero() const { return *this == PublicKey{}; }
  ByteView view() const { return raw; }
};

}  // namespace ntm

template <typename Tag>
struct std::hash<ntm::Id64<Tag>> {
  std::size_t operator()(const ntm::Id64<Tag>& id) const noexcept {
    // Ids are random on the wire, but a peer may choose them: mix so that buckets stay even.
    std::uint64_t x = id.value * 0x9e3779b97f4a7c15ull;
    return static_cast<std::size_t>(x ^ (x >> 32));
  }
};
