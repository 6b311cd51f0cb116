// Key material that is wiped when it dies and has no way into a log line.
#pragma once

#include <array>

#include "libntm/base/bytes.hpp"

namespace ntm {

// Writes zeros that the compiler may not drop.
void wipe(ByteSpan memory);

template <std::size_t N>
class Secret {
 public:
  Secret() = default;
  explicit Secret(const std::array<Byte, N>& value) : value_(value) {}
  static Secret from(ByteView view) {
    Secret out;
    assert(view.size() == N);
    std::memcpy(out.value_.data(), view.data(), N);
    return out;
  }
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  Secret(Secret&& other) noexcept : value_(other.value_) { wipe(other.value_); }
  Secret& operator=(Secret&& other) noexcept {
    value_ = other.value_;
    if (this != &other) wipe(other.value_);
    return *this;
  }
  ~Secret() { wipe(value_); }

  ByteView view() const { return value_; }
  ByteSpan span() { return value_; }
  static constexpr std::size_t size() { return N; }
  bool is_zero() const {
    Byte any = 0;
    for (Byte b : value_) any |= b;
    return any == 0;
  }
  // Constant time in the content.
  bool operator==(const Secret& other) const {
    Byte diff = 0;
    for (std::size_t i = 0; i < N; ++i) diff |= value_[i] ^ other.value_[i];
    return diff == 0;
  }

 private:
  std::array<Byte, N> value_{};
};

using Key32 = Secret<32>;
using Key16 = Secret<16>;

}  // namespace ntm
