// Address classes and text forms. Parsing is by hand on top of strict rules (no octal, no
// inet_aton leniency) because base may not include the system's headers (architecture R1).
#include "libntm/base/address.hpp"

#include <charconv>

#include "libntm/base/text.hpp"

namespace ntm {

const char* to_string(Family family) { return family == Family::V4 ? "IPv4" : "IPv6"; }

Ipv4 IpAddress::v4() const {
  assert(is_v4());
  Ipv4 out;
  std::memcpy(out.raw.data(), raw_.data(), 4);
  return out;
}

Ipv6 IpAddress::v6() const {
  assert(is_v6());
  return Ipv6{raw_};
}

bool IpAddress::is_unspecified() const {
  for (Byte b : view())
    if (b != 0) return false;
  return true;
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return raw_[0] == 127;
  Ipv6 one;
  one.raw[15] = 1;
  return raw_ == one.raw;
}

bool IpAddress::is_link_local() const {
  if (is_v4()) return raw_[0] == 169 && raw_[1] == 254;
  return raw_[0] == 0xfe && (raw_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_multicast() const {
  if (is_v4()) return (raw_[0] & 0xf0) == 0xe0 || v4().u32() == 0xffffffffu;
  return raw_[0] == 0xff;
}

bool IpAddress::is_private() const {
  if (is_v6()) return (raw_[0] & 0xfe) == 0xfc;
  return raw_[0] == 10 || (raw_[0] == 172 && (raw_[1] & 0xf0) == 16) ||
         (raw_[0] == 192 && raw_[1] == 168) || (raw_[0] == 100 && (raw_[1] & 0xc0) == 64);
}

bool IpAddress::is_global() const {
  if (is_unspecified() || is_loopback() || is_link_local() || is_multicast() || is_private())
    return false;
  if (is_v6()) return (raw_[0] & 0xe0) == 0x20;
  if (raw_[0] == 0 || raw_[0] >= 240) return false;
  return !(raw_[0] == 198 && (raw_[1] & 0xfe) == 18);
}

bool Prefix::contains(const IpAddress& host) const {
  if (host.family() != address.family()) return false;
  ByteView a = address.view();
  ByteView b = host.view();
  for (std::size_t bit = 0; bit < length; ++bit) {
    Byte mask = static_cast<Byte>(0x80 >> (bit % 8));
    if ((a[bit / 8] & mask) != (b[bit / 8] & mask)) return false;
  }
  return true;
}

bool Prefix::overlaps(const Prefix& other) const {
  return length <= other.length ? contains(other.address) : other.contains(address);
}

std::string to_string(const Ipv4& address) {
  std::string out;
  for (int i = 0; i < 4; ++i) {
    if (i) out += '.';
    out += std::to_string(address.raw[i]);
  }
  return out;
}

std::string to_string(const Ipv6& address) {
  std::array<unsigned, 8> group{};
  for (int i = 0; i < 8; ++i) group[i] = (address.raw[2 * i] << 8) | address.raw[2 * i + 1];
  int best = -1;
  int best_length = 1;  // RFC 5952 4.2.2: a single zero group is not shortened
  for (int i = 0; i < 8;) {
    int j = i;
    while (j < 8 && group[j] == 0) ++j;
    if (j - i > best_length) {
      best = i;
      best_length = j - i;
    }
    i = j == i ? i + 1 : j;
  }
  std::string out;
  for (int i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_length - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    char text[8];
    std::to_chars_result end = std::to_chars(text, text + sizeof text, group[i], 16);
    out.append(text, end.ptr);
  }
  return out;
}

std::string to_string(const IpAddress& address) {
  return address.is_v4() ? to_string(address.v4()) : to_string(address.v6());
}

std::string to_string(const Endpoint& endpoint) {
  std::string host = to_string(endpoint.address);
  if (endpoint.address.is_v6()) host = "[" + host + "]";
  return host + ":" + std::to_string(endpoint.port);
}

std::string to_string(const Prefix& prefix) {
  return to_string(prefix.address) + "/" + std::to_string(prefix.length);
}

namespace {

bool parse_number(std::string_view text, unsigned limit, int base, unsigned& out) {
  if (text.empty()) return false;
  std::from_chars_result r = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return r.ec == std::errc() && r.ptr == text.data() + text.size() && out <= limit;
}

bool parse_v4(std::string_view text, Ipv4& out) {
  for (int i = 0; i < 4; ++i) {
    std::size_t dot = i < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return false;
    std::string_view part = text.substr(0, dot);
    unsigned value = 0;
    if (part.size() > 3 || (part.size() > 1 && part[0] == '0')) return false;
    if (!parse_number(part, 255, 10, value)) return false;
    out.raw[i] = static_cast<Byte>(value);
    text.remove_prefix(i < 3 ? dot + 1 : dot);
  }
  return text.empty();
}

// Reads colon-separated groups into `out`; false on bad syntax. The last one may be dotted IPv4
// where `ends_address` says that nothing follows (RFC 4291 2.2).
bool parse_groups(std::string_view text, bool ends_address, Bytes& out) {
  if (text.empty()) return true;
  while (true) {
    std::size_t colon = text.find(':');
    std::string_view part = text.substr(0, colon);
    if (ends_address && colon == std::string_view::npos &&
        part.find('.') != std::string_view::npos) {
      Ipv4 v4;
      if (!parse_v4(part, v4)) return false;
      out.insert(out.end(), v4.raw.begin(), v4.raw.end());
      return true;
    }
    unsigned value = 0;
    if (part.size() > 4 || !parse_number(part, 0xffff, 16, value)) return false;
    out.push_back(static_cast<Byte>(value >> 8));
    out.push_back(static_cast<Byte>(value));
    if (colon == std::string_view::npos) return true;
    text.remove_prefix(colon + 1);
  }
}

bool parse_v6(std::string_view text, Ipv6& out) {
  Bytes head;
  Bytes tail;
  std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    if (!parse_groups(text, true, head) || head.size() != 16) return false;
  } else {
    if (text.find("::", gap + 1) != std::string_view::npos) return false;
    if (!parse_groups(text.substr(0, gap), false, head) ||
        !parse_groups(text.substr(gap + 2), true, tail))
      return false;
    if (head.size() + tail.size() > 14) return false;
  }
  std::copy(head.begin(), head.end(), out.raw.begin());
  std::copy(tail.begin(), tail.end(), out.raw.end() - static_cast<std::ptrdiff_t>(tail.size()));
  return true;
}

}  // namespace

Result<IpAddress> parse_address(std::string_view text) {
  Ipv4 v4;
  if (parse_v4(text, v4)) return IpAddress(v4);
  Ipv6 v6;
  if (parse_v6(text, v6)) return IpAddress(v6);
  return invalid("'" + printable(as_view(text), 60) + "' is not an IPv4 or IPv6 address");
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  std::string_view host;
  std::size_t colon = text.rfind(':');
  std::string shown = printable(as_view(text), 60);
  if (colon == std::string_view::npos)
    return invalid("'" + shown + "' has no port; write ADDRESS:PORT or [IPV6]:PORT");
  host = text.substr(0, colon);
  unsigned port = 0;
  if (!parse_number(text.substr(colon + 1), 65535, 10, port) || port == 0)
    return invalid("'" + shown + "' does not end in a port from 1 to 65535");
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  Result<IpAddress> address = parse_address(host);
  if (!address) return pass(address.error());
  if (address->is_v6() != bracketed)
    return invalid("'" + shown + "': write an IPv6 address in brackets, as in [2001:db8::1]:4753");
  return Endpoint{*address, static_cast<std::uint16_t>(port)};
}

Result<Prefix> parse_prefix(std::string_view text) {
  std::size_t slash = text.find('/');
  std::string shown = printable(as_view(text), 60);
  if (slash == std::string_view::npos) return invalid("'" + shown + "' is not ADDRESS/LENGTH");
  Result<IpAddress> address = parse_address(text.substr(0, slash));
  if (!address) return pass(address.error());
  unsigned length = 0;
  unsigned limit = address->is_v4() ? 32 : 128;
  if (!parse_number(text.substr(slash + 1), limit, 10, length))
    return invalid("'" + shown + "' has no prefix length from 0 to " + std::to_string(limit));
  ByteView raw = address->view();
  for (std::size_t bit = length; bit < raw.size() * 8; ++bit)
    if (raw[bit / 8] & (0x80 >> (bit % 8)))
      return invalid("'" + shown + "' has bits set behind its prefix length");
  return Prefix{*address, static_cast<std::uint8_t>(length)};
}

}  // namespace ntm
