// What each operation means, once for every engine: when it is applied, stale or a conflict, and
// which rows and feed items follow. Pure: rows in, rows out, time only from the operation.
//
// Contract: an operation checks everything before it writes anything, so an item that is not
// applied has changed nothing; a batch that must be atomic is undone by the engine (savepoint).
#pragma once

#include <map>
#include <vector>

#include "libntm/store/feed.hpp"
#include "libntm/store/rows.hpp"
#include "libntm/store/store.hpp"

namespace ntm::store {

constexpr std::uint32_t kPtrTtl = 3600;  // a terminal's virtual addresses never change

// DNS types that the rules know (RFC 1035, 3596; docs/PROTOCOL.md 1 for the private ones).
constexpr std::uint16_t kTypeEmpty = 0, kTypeA = 1, kTypeCname = 5, kTypeSoa = 6, kTypePtr = 12;
constexpr std::uint16_t kTypeAaaa = 28, kTypeAny = 255, kTypeNtm4 = 65341, kTypeNtm6 = 65342;

// What one transaction has done so far. The engine copies it before an atomic batch and puts the
// copy back if the batch is undone.
struct Effects {
  std::vector<FeedItem> items;
  std::map<ZoneId, std::size_t> bumped;  // items.size() at the bump
};

// The whole batch is refused with this reason, if any, before its first item.
std::optional<std::string> refuse_batch(const Batch& batch, Rows& rows);
ItemResult apply(const Operation& operation, Rows& rows, Effects& effects);
// Before the commit: what was changed after a bump in the same transaction asks for another one.
void finish(Rows& rows, Effects& effects);

// The PTR owner name of an address: 1.0.18.198.in-addr.arpa, nibbles under ip6.arpa.
Name reverse_name(const IpAddress& address);
// The zone with the longest apex at or above the name.
std::optional<Zone> zone_of(const Name& name, Rows& rows);
// Overwrites the serial inside an SOA's rdata; leaves anything shorter than an SOA alone.
void set_soa_serial(Bytes& rdata, std::uint32_t serial);

}  // namespace ntm::store
