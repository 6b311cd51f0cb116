// Bytes in memory, and the two cursors with which every decoder and encoder of the project works.
//
// Problem: a decoder that checks lengths field by field forgets one. Here a Reader fails sticky:
// after the first overrun every further read gives zero and ok() stays false, so a decoder reads
// all its fields straight down and asks once, with finish(), whether the whole input was consumed
// exactly. All integers on the wire are big-endian (docs/PROTOCOL.md, Framing).
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ntm {

using Byte = std::uint8_t;
using Bytes = std::vector<Byte>;
using ByteView = std::span<const Byte>;
using ByteSpan = std::span<Byte>;

inline ByteView as_view(std::string_view text) {
  return {reinterpret_cast<const Byte*>(text.data()), text.size()};
}
inline Bytes to_bytes(ByteView view) { return Bytes(view.begin(), view.end()); }
inline bool equal(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// Reads big-endian fields off a view. Never reads past the end; a failed read yields zeros.
class Reader {
 public:
  explicit Reader(ByteView input) : input_(input) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(integer(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(integer(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(integer(4)); }
  std::uint64_t u48() { return integer(6); }
  std::uint64_t u64() { return integer(8); }

  // A view into the input, empty after a failure.
  ByteView bytes(std::size_t count) {
    if (failed_ || input_.size() - at_ < count) {
      failed_ = true;
      return {};
    }
    ByteView out = input_.subspan(at_, count);
    at_ += count;
    return out;
  }
  template <std::size_t N>
  std::array<Byte, N> array() {
    std::array<Byte, N> out{};
    ByteView view = bytes(N);
    if (view.size() == N) std::memcpy(out.data(), view.data(), N);
    return out;
  }
  void fail() { failed_ = true; }
  bool ok() const { return !failed_; }
  std::size_t left() const { return failed_ ? 0 : input_.size() - at_; }
  // True when nothing failed and every byte was consumed.
  bool finish() const { return !failed_ && at_ == input_.size(); }

 private:
  std::uint64_t integer(std::size_t width) {
    std::uint64_t value = 0;
    for (Byte b : bytes(width)) value = (value << 8) | b;
    return value;
  }
  ByteView input_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

// Appends big-endian fields to a growing buffer.
class Writer {
 public:
  Writer() = default;
  explicit Writer(std::size_t reserve) { out_.reserve(reserve); }

  Writer& u8(std::uint8_t value) { return integer(value, 1); }
  Writer& u16(std::uint16_t value) { return integer(value, 2); }
  Writer& u32(std::uint32_t value) { return integer(value, 4); }
  Writer& u48(std::uint64_t value) { return integer(value, 6); }
  Writer& u64(std::uint64_t value) { return integer(value, 8); }
  Writer& bytes(ByteView view) {
    out_.insert(out_.end(), view.begin(), view.end());
    return *this;
  }
  Writer& zeros(std::size_t count) {
    out_.insert(out_.end(), count, Byte{0});
    return *this;
  }
  std::size_t size() const { return out_.size(); }
  void patch_u16(std::size_t at, std::uint16_t value) {
    assert(at + 2 <= out_.size());
    out_[at] = static_cast<Byte>(value >> 8);
    out_[at + 1] = static_cast<Byte>(value);
  }
  Bytes take() { return std::move(out_); }
  ByteView view() const { return out_; }

 private:
  Writer& integer(std::uint64_t value, int width) {
    for (int shift = (width - 1) * 8; shift >= 0; shift -= 8)
      out_.push_back(static_cast<Byte>(value >> shift));
    return *this;
  }
  Bytes out_;
};

}  // namespace ntm
