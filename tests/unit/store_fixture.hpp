// Values and stores for the store's tests: a zone, terminals by number, a temporary folder.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>

#include "libntm/store/memory/memory_store.hpp"
#include "libntm/store/sqlite/sqlite_store.hpp"

namespace ntm::store::test {

inline Name name(std::string_view text) {
  Result<Name> parsed = Name::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : Name();
}

inline PublicKey key(Byte fill) {
  PublicKey out;
  out.raw.fill(fill);
  return out;
}

inline Zone zone(std::int32_t id = 1, std::string_view apex = "mobile.example") {
  Zone out;
  out.id = {id};
  out.apex = name(apex);
  out.virtual6 = *parse_prefix("fd00:1:2::/48");
  out.pools4 = {*parse_prefix("198.18.16.0/20"), *parse_prefix("198.19.0.0/20")};
  out.dc_endpoints = {*parse_endpoint("192.0.2.1:4753"), *parse_endpoint("[2001:db8::1]:4753")};
  out.dc_key = key(7);
  return out;
}

// Terminal n of zone 1: t<n>.mobile.example with virtual addresses made from n.
inline Terminal terminal(std::uint64_t n, std::string_view apex = "mobile.example") {
  Terminal out;
  out.id = {n};
  out.zone = {1};
  out.name = name("t" + std::to_string(n) + "." + std::string(apex));
  out.virtual_addresses.v4 = Ipv4::from_u32(0xc6121000u + static_cast<std::uint32_t>(n));
  Ipv6 v6 = parse_address("fd00:1:2::")->v6();
  for (int i = 0; i < 4; ++i) v6.raw[15 - i] = static_cast<Byte>(n >> (8 * i));
  out.virtual_addresses.v6 = v6;
  out.created = {1'700'000'000'000'000};
  return out;
}

inline Location location(std::uint64_t n, std::uint64_t counter) {
  Location out;
  out.terminal = {n};
  out.counter = counter;
  out.digest.fill(static_cast<Byte>(counter));
  out.flags = kLocationUpdating;
  out.suites = 3;
  out.v4.real = Ipv4::from_u32(0x0a000000u + static_cast<std::uint32_t>(n));
  out.v4.real_port = 40000;
  out.v4.outside = {Ipv4::from_u32(0xcb007101u), 61000};
  out.v4.behind_nat = true;
  out.updated = {static_cast<std::int64_t>(counter) * 1'000'000};
  return out;
}

inline Token token(std::uint64_t id, std::string_view subject, std::uint32_t uses = 1) {
  Token out;
  out.id = {id};
  out.subject = name(subject);
  std::array<Byte, 32> psk;
  psk.fill(static_cast<Byte>(id));
  out.psk = Key32(psk);
  out.expires = {1000};
  out.uses_left = uses;
  return out;
}

inline Record row(std::string_view owner, std::uint16_t type, Bytes rdata,
                  std::uint32_t ttl = 300) {
  Record out;
  out.name = name(owner);
  out.type = type;
  out.ttl = ttl;
  out.rdata = std::move(rdata);
  return out;
}

// mname and rname are the root.
inline Record soa(std::string_view apex, std::uint32_t serial) {
  return row(apex, 6, Writer().u8(0).u8(0).u32(serial).zeros(16).take());
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    const char* base = getenv("TMPDIR");
    std::string pattern = std::string(base ? base : "/tmp") + "/ntm-store-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string dc() const { return path_ + "/dc.db"; }

 private:
  std::string path_;
};

inline Completion write(Store& store, std::vector<Operation> items, bool atomic = false) {
  Batch batch;
  batch.items = std::move(items);
  batch.atomic = atomic;
  return store.submit_and_wait(std::move(batch), seconds(20));
}

inline ItemResult write_one(Store& store, Operation item) {
  return write(store, {std::move(item)}).items.at(0);
}

}  // namespace ntm::store::test
