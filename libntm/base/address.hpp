// Network addresses as values: IPv4, IPv6, either, with port, with prefix; and the classes of
// address that the rules of docs/PROTOCOL.md speak of. Text forms are RFC 4291/5952.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>

#include "libntm/base/bytes.hpp"
#include "libntm/base/result.hpp"

namespace ntm {

enum class Family : std::uint8_t { V4 = 4, V6 = 6 };
const char* to_string(Family family);

struct Ipv4 {
  std::array<Byte, 4> raw{};  // network order
  auto operator<=>(const Ipv4&) const = default;
  static constexpr Ipv4 from_u32(std::uint32_t v) {
    return {{static_cast<Byte>(v >> 24), static_cast<Byte>(v >> 16), static_cast<Byte>(v >> 8),
             static_cast<Byte>(v)}};
  }
  constexpr std::uint32_t u32() const {
    return (std::uint32_t{raw[0]} << 24) | (std::uint32_t{raw[1]} << 16) |
           (std::uint32_t{raw[2]} << 8) | raw[3];
  }
  bool is_zero() const { return u32() == 0; }
};

struct Ipv6 {
  std::array<Byte, 16> raw{};
  auto operator<=>(const Ipv6&) const = default;
  bool is_zero() const { return *this == Ipv6{}; }
};

// An address of either family. A default one is IPv4 0.0.0.0, "unspecified".
class IpAddress {
 public:
  IpAddress() = default;
  IpAddress(Ipv4 v4) : family_(Family::V4) { std::memcpy(raw_.data(), v4.raw.data(), 4); }
  IpAddress(Ipv6 v6) : family_(Family::V6), raw_(v6.raw) {}

  Family family() const { return family_; }
  bool is_v4() const { return family_ == Family::V4; }
  bool is_v6() const { return family_ == Family::V6; }
  Ipv4 v4() const;  // asserts is_v4()
  Ipv6 v6() const;  // asserts is_v6()
  ByteView view() const { return {raw_.data(), is_v4() ? std::size_t{4} : std::size_t{16}}; }

  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_link_local() const;
  bool is_multicast() const;  // and IPv4 broadcast 255.255.255.255
  // RFC 1918, RFC 6598 (100.64/10) and RFC 4193 addresses: valid only inside some network.
  bool is_private() const;
  // Global unicast: none of the above, nor 0/8, 198.18/15, 240/4, documentation excluded not.
  bool is_global() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  Family family_ = Family::V4;
  std::array<Byte, 16> raw_{};
};

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
  Family family() const { return address.family(); }
  bool is_set() const { return port != 0 && !address.is_unspecified(); }
};

struct Prefix {
  IpAddress address;  // host bits zero
  std::uint8_t length = 0;
  auto operator<=>(const Prefix&) const = default;
  bool contains(const IpAddress& host) const;
  bool overlaps(const Prefix& other) const;
};

// The two virtual addresses of a terminal; either may be missing (docs/PROTOCOL.md, Names).
struct VirtualAddresses {
  std::optional<Ipv4> v4;
  std::optional<Ipv6> v6;
  auto operator<=>(const VirtualAddresses&) const = default;
};

std::string to_string(const Ipv4& address);
std::string to_string(const Ipv6& address);
std::string to_string(const IpAddress& address);
std::string to_string(const Endpoint& endpoint);  // 192.0.2.1:4753, [2001:db8::1]:4753
std::string to_string(const Prefix& prefix);

Result<IpAddress> parse_address(std::string_view text);
Result<Endpoint> parse_endpoint(std::string_view text);
Result<Prefix> parse_prefix(std::string_view text);  // host bits must be zero

}  // namespace ntm
