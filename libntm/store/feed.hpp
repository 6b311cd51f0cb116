// The change feed's rows and tokens as bytes.
//
// A commit writes one feed row; its items name what changed and the zone it belongs to, so that
// BumpSerial learns from the feed whether a zone moved and no registration touches the zone's row.
// A token is (history, sequence): the history tells a cursor of a database that was restored from
// a copy meanwhile, where the same sequence means other commits.
#pragma once

#include <optional>
#include <vector>

#include "libntm/store/store.hpp"

namespace ntm::store {

// 1 million rows as architecture.md says; 4 million changes of about 14 octets each keep the feed
// under 100 MB also when every row is a full group of 256 moves.
constexpr std::uint64_t kFeedRows = 1'000'000;
constexpr std::uint64_t kFeedChanges = 4'000'000;

struct FeedItem {
  Change change;
  ZoneId zone;       // zero: belongs to none
  bool bump = true;  // whether the zone's content changed, so that its serial must grow
};

Bytes encode_feed_items(const std::vector<FeedItem>& items);
// False if the bytes are not what encode_feed_items() wrote.
bool decode_feed_items(ByteView bytes, std::vector<FeedItem>& out);

struct FeedPosition {
  std::uint64_t history = 0;
  std::uint64_t sequence = 0;
};
ChangeToken encode_token(const FeedPosition& position);
// An empty token is the beginning of any history.
Result<FeedPosition> decode_token(const ChangeToken& token);

}  // namespace ntm::store
