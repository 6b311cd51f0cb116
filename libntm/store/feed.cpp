// Item: kind 1 (0x80: does not ask for a serial bump) | zone 4 | id 8 | name length 1 | name.
#include "libntm/store/feed.hpp"

namespace ntm::store {

namespace {
constexpr Byte kNoBump = 0x80;
}

Bytes encode_feed_items(const std::vector<FeedItem>& items) {
  Writer writer(items.size() * 16);
  for (const FeedItem& item : items) {
    Byte kind = static_cast<Byte>(item.change.kind);
    writer.u8(item.bump ? kind : static_cast<Byte>(kind | kNoBump));
    writer.u32(static_cast<std::uint32_t>(item.zone.value)).u64(item.change.id);
    if (item.change.name.is_root()) {
      writer.u8(0);
      continue;
    }
    writer.u8(static_cast<Byte>(item.change.name.wire().size()));
    writer.bytes(item.change.name.wire());
  }
  return writer.take();
}

bool decode_feed_items(ByteView bytes, std::vector<FeedItem>& out) {
  ntm::Reader reader(bytes);
  while (reader.left() > 0) {
    FeedItem item;
    Byte kind = reader.u8();
    item.bump = (kind & kNoBump) == 0;
    item.change.kind = static_cast<ChangeKind>(kind & 0x7f);
    item.zone.value = static_cast<std::int32_t>(reader.u32());
    item.change.id = reader.u64();
    ByteView name = reader.bytes(reader.u8());
    if (!reader.ok()) return false;
    if (!name.empty()) {
      Result<Name> parsed = Name::from_wire(name);
      if (!parsed) return false;
      item.change.name = *parsed;
    }
    out.push_back(std::move(item));
  }
  return reader.finish();
}

ChangeToken encode_token(const FeedPosition& position) {
  return {Writer(16).u64(position.history).u64(position.sequence).take()};
}

Result<FeedPosition> decode_token(const ChangeToken& token) {
  if (token.raw.empty()) return FeedPosition{};
  ntm::Reader reader(token.raw);
  FeedPosition out{reader.u64(), reader.u64()};
  if (!reader.finish()) return invalid("a change token is not one of this store");
  return out;
}

}  // namespace ntm::store
