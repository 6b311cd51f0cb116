// Plain look-ups and journalled writes.
#include "libntm/store/memory/state.hpp"

namespace ntm::store::memory {

namespace {

template <typename Key, typename Value>
std::optional<Value> find(const std::map<Key, Value>& table, const Key& key) {
  typename std::map<Key, Value>::const_iterator at = table.find(key);
  if (at == table.end()) return std::nullopt;
  return at->second;
}

template <typename Key, typename Value>
void erase(std::map<Key, Value>& table, const Key& key, Journal& journal) {
  typename std::map<Key, Value>::iterator at = table.find(key);
  if (at == table.end()) return;
  journal.push_back([&table, key, old = at->second] { table.insert_or_assign(key, old); });
  table.erase(at);
}

template <typename Key, typename Value>
void put(std::map<Key, Value>& table, const Key& key, const Value& value, Journal& journal) {
  typename std::map<Key, Value>::iterator at = table.find(key);
  if (at == table.end()) {
    journal.push_back([&table, key] { table.erase(key); });
  } else {
    journal.push_back([&table, key, old = at->second] { table.insert_or_assign(key, old); });
  }
  table.insert_or_assign(key, value);
}

RecordKey key_of(ZoneId zone, const Record& record) {
  return {zone, record.name.reversed_key(), record.type, record.rdata};
}

}  // namespace

std::optional<Zone> MemoryRows::zone(ZoneId id) {
  std::optional<ZoneRow> row = find(state_.zones, id);
  if (!row) return std::nullopt;
  return row->zone;
}

std::optional<Zone> MemoryRows::zone_by_apex(const Name& apex) {
  std::optional<ZoneId> id = find(state_.zones_by_apex, apex);
  return id ? zone(*id) : std::nullopt;
}

bool MemoryRows::zone_has_terminals(ZoneId id) {
  std::map<std::pair<ZoneId, std::string>, TerminalId>::iterator at =
      state_.terminals_by_zone.lower_bound({id, ""});
  return at != state_.terminals_by_zone.end() && at->first.first == id;
}

void MemoryRows::put_zone(const Zone& zone) {
  ZoneRow row = find(state_.zones, zone.id).value_or(ZoneRow{});
  row.zone = zone;
  put(state_.zones, zone.id, row, journal_);
  put(state_.zones_by_apex, zone.apex, zone.id, journal_);
}

void MemoryRows::set_zone_counters(ZoneId id, std::uint32_t serial, std::uint64_t generation) {
  std::optional<ZoneRow> row = find(state_.zones, id);
  if (!row) return;
  row->zone.serial = serial;
  row->zone.generation = generation;
  put(state_.zones, id, *row, journal_);
}

void MemoryRows::erase_zone(ZoneId id) {
  std::optional<ZoneRow> row = find(state_.zones, id);
  if (!row) return;
  std::vector<RecordKey> doomed;
  for (std::map<RecordKey, Record>::iterator at = state_.records.lower_bound({id, "", 0, {}});
       at != state_.records.end() && std::get<0>(at->first) == id; ++at)
    doomed.push_back(at->first);
  for (const RecordKey& key : doomed) erase(state_.records, key, journal_);
  erase(state_.zones_by_apex, row->zone.apex, journal_);
  erase(state_.zones, id, journal_);
}

std::vector<Record> MemoryRows::records(ZoneId zone, const Name& name) {
  std::string key = name.reversed_key();
  std::vector<Record> out;
  for (std::map<RecordKey, Record>::iterator at = state_.records.lower_bound({zone, key, 0, {}});
       at != state_.records.end() && std::get<0>(at->first) == zone &&
       std::get<1>(at->first) == key;
       ++at)
    out.push_back(at->second);
  return out;
}

void MemoryRows::put_record(ZoneId zone, const Record& record) {
  put(state_.records, key_of(zone, record), record, journal_);
}

void MemoryRows::erase_record(ZoneId zone, const Record& record) {
  erase(state_.records, key_of(zone, record), journal_);
}

std::optional<Terminal> MemoryRows::terminal(TerminalId id) { return find(state_.terminals, id); }

std::optional<Terminal> MemoryRows::terminal_by_name(const Name& name) {
  std::optional<TerminalId> id = find(state_.terminals_by_name, name);
  return id ? terminal(*id) : std::nullopt;
}

std::optional<Terminal> MemoryRows::terminal_by_address(const IpAddress& address) {
  std::optional<TerminalId> id = find(state_.terminals_by_address, address);
  return id ? terminal(*id) : std::nullopt;
}

std::optional<Terminal> MemoryRows::terminal_by_key(const PublicKey& key) {
  std::optional<TerminalId> id = find(state_.terminals_by_key, key);
  return id ? terminal(*id) : std::nullopt;
}

void MemoryRows::put_terminal(const Terminal& terminal) {
  if (std::optional<Terminal> old = find(state_.terminals, terminal.id); old && old->key)
    erase(state_.terminals_by_key, *old->key, journal_);
  const VirtualAddresses& addresses = terminal.virtual_addresses;
  put(state_.terminals, terminal.id, terminal, journal_);
  put(state_.terminals_by_name, terminal.name, terminal.id, journal_);
  put(state_.terminals_by_zone, {terminal.zone, terminal.name.reversed_key()}, terminal.id,
      journal_);
  if (addresses.v4)
    put(state_.terminals_by_address, IpAddress(*addresses.v4), terminal.id, journal_);
  if (addresses.v6)
    put(state_.terminals_by_address, IpAddress(*addresses.v6), terminal.id, journal_);
  if (terminal.key) put(state_.terminals_by_key, *terminal.key, terminal.id, journal_);
}

void MemoryRows::erase_terminal(TerminalId id) {
  std::optional<Terminal> terminal = find(state_.terminals, id);
  if (!terminal) return;
  const VirtualAddresses& addresses = terminal->virtual_addresses;
  erase(state_.terminals_by_name, terminal->name, journal_);
  erase(state_.terminals_by_zone, {terminal->zone, terminal->name.reversed_key()}, journal_);
  if (addresses.v4) erase(state_.terminals_by_address, IpAddress(*addresses.v4), journal_);
  if (addresses.v6) erase(state_.terminals_by_address, IpAddress(*addresses.v6), journal_);
  if (terminal->key) erase(state_.terminals_by_key, *terminal->key, journal_);
  erase(state_.locations, id, journal_);
  erase(state_.terminals, id, journal_);
}

std::optional<LocationHead> MemoryRows::location_head(TerminalId id) {
  std::optional<Terminal> terminal = find(state_.terminals, id);
  if (!terminal) return std::nullopt;
  LocationHead head;
  head.zone = terminal->zone;
  if (std::optional<Location> location = find(state_.locations, id)) {
    head.has_location = true;
    head.counter = location->counter;
    head.digest = location->digest;
  }
  return head;
}

std::optional<Location> MemoryRows::location(TerminalId id) { return find(state_.locations, id); }
void MemoryRows::put_location(const Location& location) {
  put(state_.locations, location.terminal, location, journal_);
}
void MemoryRows::erase_location(TerminalId id) { erase(state_.locations, id, journal_); }

std::optional<StoredToken> MemoryRows::token(TokenId id) { return find(state_.tokens, id); }
void MemoryRows::put_token(const StoredToken& token) {
  put(state_.tokens, token.token.id, token, journal_);
}
void MemoryRows::erase_token(TokenId id) { erase(state_.tokens, id, journal_); }

std::vector<Token> MemoryRows::tokens_of(const Name& subject) {
  std::vector<Token> out;
  for (const std::pair<const TokenId, StoredToken>& row : state_.tokens)
    if (row.second.token.subject == subject) out.push_back(row.second.token);
  return out;
}

std::optional<Relay> MemoryRows::relay(RelayId id) { return find(state_.relays, id); }

std::optional<Relay> MemoryRows::relay_by_name(const Name& name) {
  for (const std::pair<const RelayId, Relay>& row : state_.relays)
    if (row.second.name == name) return row.second;
  return std::nullopt;
}

void MemoryRows::put_relay(const Relay& relay) { put(state_.relays, relay.id, relay, journal_); }
void MemoryRows::erase_relay(RelayId id) { erase(state_.relays, id, journal_); }

std::optional<PeerDc> MemoryRows::peer_dc(const Name& zone) { return find(state_.peers, zone); }
void MemoryRows::put_peer_dc(const PeerDc& peer) { put(state_.peers, peer.zone, peer, journal_); }
void MemoryRows::erase_peer_dc(const Name& zone) { erase(state_.peers, zone, journal_); }

std::uint64_t MemoryRows::block_next(const std::string& counter) {
  return find(state_.blocks, counter).value_or(1);
}
void MemoryRows::set_block_next(const std::string& counter, std::uint64_t next) {
  put(state_.blocks, counter, next, journal_);
}

bool MemoryRows::zone_moved_since_bump(ZoneId id) {
  std::optional<ZoneRow> row = find(state_.zones, id);
  if (!row) return false;
  if (!state_.feed.empty() && state_.feed.front().sequence > row->bumped + 1) return true;
  for (std::deque<FeedRow>::reverse_iterator at = state_.feed.rbegin();
       at != state_.feed.rend() && at->sequence > row->bumped; ++at)
    for (const FeedItem& item : at->items)
      if (item.zone == id && item.bump) return true;
  return false;
}

void MemoryRows::set_bumped(ZoneId id, bool inclusive) {
  std::optional<ZoneRow> row = find(state_.zones, id);
  if (!row) return;
  row->bumped = inclusive ? state_.sequence + 1 : state_.sequence;
  put(state_.zones, id, *row, journal_);
}

}  // namespace ntm::store::memory
