// Hex and base32, and the one place where untrusted bytes become log text.
#include "libntm/base/text.hpp"

#include <algorithm>

#include "libntm/base/result.hpp"
#include "libntm/base/secret.hpp"

namespace ntm {

namespace {
constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
}  // namespace

void wipe(ByteSpan memory) {
  volatile Byte* p = memory.data();
  for (std::size_t i = 0; i < memory.size(); ++i) p[i] = 0;
}

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Invalid: return "invalid";
    case ErrorKind::NotFound: return "not-found";
    case ErrorKind::Unavailable: return "unavailable";
    case ErrorKind::Denied: return "denied";
    case ErrorKind::Conflict: return "conflict";
    case ErrorKind::Full: return "full";
    case ErrorKind::Internal: return "internal";
  }
  return "?";
}

std::string to_hex(ByteView bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (Byte b : bytes) {
    out += kHex[b >> 4];
    out += kHex[b & 15];
  }
  return out;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return invalid("hex text has an odd number of digits");
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    std::size_t high = kHex.find(lower(text[i]));
    std::size_t low = kHex.find(lower(text[i + 1]));
    if (high == std::string_view::npos || low == std::string_view::npos)
      return invalid("hex text has a sign that is no hex digit");
    out.push_back(static_cast<Byte>((high << 4) | low));
  }
  return out;
}

std::string to_base32(ByteView bytes) {
  std::string out;
  unsigned held = 0;
  int bits = 0;
  for (Byte b : bytes) {
    held = (held << 8) | b;
    bits += 8;
    while (bits >= 5) {
      out += kBase32[(held >> (bits - 5)) & 31];
      bits -= 5;
    }
    held &= (1u << bits) - 1;
  }
  if (bits > 0) out += kBase32[(held << (5 - bits)) & 31];
  return out;
}

Result<Bytes> from_base32(std::string_view text) {
  Bytes out;
  unsigned held = 0;
  int bits = 0;
  for (char c : text) {
    std::size_t value = kBase32.find(lower(c));
    if (value == std::string_view::npos) return invalid("base32 text has a sign outside a-z, 2-7");
    held = (held << 5) | static_cast<unsigned>(value);
    bits += 5;
    if (bits >= 8) {
      out.push_back(static_cast<Byte>(held >> (bits - 8)));
      bits -= 8;
    }
    held &= (1u << bits) - 1;
  }
  if (held != 0 || bits >= 5) return invalid("base32 text is cut short or has stray bits");
  return out;
}

std::string printable(ByteView bytes, std::size_t limit) {
  std::string out;
  for (Byte b : bytes) {
    if (out.size() >= limit) return out + "...";
    if (b >= 0x20 && b < 0x7f) {
      out += static_cast<char>(b);
    } else {
      out += "\\x";
      out += kHex[b >> 4];
      out += kHex[b & 15];
    }
  }
  return out;
}

}  // namespace ntm
