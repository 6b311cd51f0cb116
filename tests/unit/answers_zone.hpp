// A zone with terminals for the tests of pdns-backend: rows built by hand, and a store that holds
// them.
#pragma once

#include <gtest/gtest.h>

#include "libntm/store/memory/memory_store.hpp"
#include "pdns-backend/answers.hpp"

namespace ntm::pdns_backend::testing {

inline Name name(std::string_view text) { return Name::parse(text).value(); }
inline IpAddress address(std::string_view text) { return parse_address(text).value(); }
inline Endpoint endpoint(std::string_view text) { return parse_endpoint(text).value(); }

inline PublicKey key(int first) {
  PublicKey out;
  for (std::size_t i = 0; i < out.raw.size(); ++i) out.raw[i] = static_cast<Byte>(first + i);
  return out;
}

inline store::Zone zone() {
  store::Zone out;
  out.id = {7};
  out.apex = name("example.org");
  out.serial = 41;
  out.virtual6 = parse_prefix("fd12:3456:789a::/48").value();
  out.pools4 = {parse_prefix("198.18.0.0/20").value()};
  out.dc_endpoints = {endpoint("192.0.2.53:4753"), endpoint("[2001:db8::53]:4753")};
  out.dc_key = key(0x50);
  return out;
}

inline store::Record row(std::string_view owner, std::uint16_t type, Bytes rdata,
                         std::uint32_t ttl = 300) {
  store::Record out;
  out.name = name(owner);
  out.type = type;
  out.ttl = ttl;
  out.rdata = std::move(rdata);
  return out;
}

inline Bytes soa() {
  Writer out;
  out.bytes(name("ns.example.org").wire()).bytes(name("hostmaster.example.org").wire());
  out.u32(0).u32(3600).u32(600).u32(604800).u32(300);
  return out.take();
}

inline Bytes a(std::string_view text) { return to_bytes(address(text).view()); }

inline store::Terminal terminal(std::uint64_t id, std::string_view owner) {
  store::Terminal out;
  out.id = {id};
  out.zone = {7};
  out.name = name(owner);
  out.virtual_addresses.v4 = Ipv4::from_u32(0xc6120000u + static_cast<std::uint32_t>(id));
  Ipv6 v6 = address("fd12:3456:789a::").v6();
  v6.raw[15] = static_cast<Byte>(id);
  out.virtual_addresses.v6 = v6;
  out.key = key(0x0d + static_cast<int>(id));  // no two terminals share a key
  return out;
}

// On the global address 203.0.113.5, IPv4 only.
inline store::Location location(std::uint64_t id, std::uint64_t counter = 1) {
  store::Location out;
  out.terminal = {id};
  out.counter = counter;
  out.suites = 3;
  out.v4.real = address("203.0.113.5");
  out.v4.real_port = 40000;
  out.v4.outside = endpoint("203.0.113.5:40000");
  return out;
}

// The rows of one type; all with type 255.
inline std::vector<Answer> of_type(const std::vector<Answer>& rows, std::uint16_t type) {
  std::vector<Answer> out;
  for (const Answer& answer : rows) {
    if (answer.type == type) out.push_back(answer);
  }
  return out;
}

}  // namespace ntm::pdns_backend::testing
