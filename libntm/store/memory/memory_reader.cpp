// Look-ups in a State, with the same answers as the SQL of libntm/store/sqlite.
#include "libntm/store/memory/memory_reader.hpp"

#include "libntm/store/rules.hpp"

namespace ntm::store::memory {

namespace {

// The end of the range of keys at or below `key`: its final 0x00 raised by one.
std::string subtree_end(std::string key) {
  if (!key.empty()) key.back() = '\x01';
  return key;
}

Record shown(const Record& stored, const Zone& zone) {
  Record out = stored;
  if (out.type == kTypeSoa) set_soa_serial(out.rdata, zone.serial);
  return out;
}

TerminalView joined(const State& state, const Terminal& terminal) {
  TerminalView out{terminal, {}};
  std::map<TerminalId, Location>::const_iterator at = state.locations.find(terminal.id);
  if (at != state.locations.end()) out.location = at->second;
  return out;
}

template <typename Table, typename Key>
std::optional<TerminalView> find_terminal(const State& state, const Table& table, const Key& key) {
  typename Table::const_iterator at = table.find(key);
  if (at == table.end()) return std::nullopt;
  return joined(state, state.terminals.at(at->second));
}

std::optional<Zone> find_zone(const State& state, const Name& apex) {
  std::map<Name, ZoneId>::const_iterator at = state.zones_by_apex.find(apex);
  if (at == state.zones_by_apex.end()) return std::nullopt;
  return state.zones.at(at->second).zone;
}

}  // namespace

Result<MemoryReader::View> MemoryReader::view() const {
  View newest = newest_();
  if (!newest) return fail(ErrorKind::Unavailable, "the store is switched off by a test");
  return snapshot_ ? snapshot_ : newest;
}

Result<void> MemoryReader::begin() {
  assert(!snapshot_);
  Result<View> state = view();
  if (!state) return pass(state.error());
  snapshot_ = *state;
  return {};
}

void MemoryReader::end() { snapshot_.reset(); }

Result<std::uint64_t> MemoryReader::data_version() {
  Result<View> state = view();
  if (!state) return pass(state.error());
  return (*state)->commits;
}

Result<std::vector<Zone>> MemoryReader::zones() {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::map<std::string, Zone> ordered;
  for (const std::pair<const ZoneId, ZoneRow>& row : (*state)->zones)
    ordered[row.second.zone.apex.reversed_key()] = row.second.zone;
  std::vector<Zone> out;
  for (const std::pair<const std::string, Zone>& row : ordered) out.push_back(row.second);
  return out;
}

Result<std::optional<Zone>> MemoryReader::zone(ZoneId id) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::map<ZoneId, ZoneRow>::const_iterator at = (*state)->zones.find(id);
  if (at == (*state)->zones.end()) return std::optional<Zone>();
  return std::optional<Zone>(at->second.zone);
}

Result<std::optional<Zone>> MemoryReader::zone_by_apex(const Name& apex) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  return find_zone(**state, apex);
}

Result<std::optional<Zone>> MemoryReader::zone_of(const Name& name) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  for (Name at = name;; at = at.parent()) {
    std::optional<Zone> zone = find_zone(**state, at);
    if (zone || at.is_root()) return zone;
  }
}

Result<std::vector<Record>> MemoryReader::records(ZoneId zone, const Name& name) {
  std::vector<Record> out;
  Result<void> done = each_record(zone, name, [&](const Record& record) {
    if (record.name != name) return false;
    out.push_back(record);
    return true;
  });
  if (!done) return pass(done.error());
  return out;
}

Result<void> MemoryReader::each_record(ZoneId zone, const Name& top,
                                       const std::function<bool(const Record&)>& each) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::map<ZoneId, ZoneRow>::const_iterator row = (*state)->zones.find(zone);
  if (row == (*state)->zones.end()) return {};
  std::string first = top.reversed_key();
  std::string end = subtree_end(first);
  const std::map<RecordKey, Record>& records = (*state)->records;
  for (std::map<RecordKey, Record>::const_iterator at = records.lower_bound({zone, first, 0, {}});
       at != records.end() && std::get<0>(at->first) == zone; ++at) {
    if (!end.empty() && std::get<1>(at->first) >= end) break;
    if (!each(shown(at->second, row->second.zone))) break;
  }
  return {};
}

Result<std::optional<TerminalView>> MemoryReader::terminal(const Name& name) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  return find_terminal(**state, (*state)->terminals_by_name, name);
}

Result<std::optional<TerminalView>> MemoryReader::terminal_by_id(TerminalId id) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::map<TerminalId, Terminal>::const_iterator at = (*state)->terminals.find(id);
  if (at == (*state)->terminals.end()) return std::optional<TerminalView>();
  return std::optional<TerminalView>(joined(**state, at->second));
}

Result<std::optional<TerminalView>> MemoryReader::terminal_by_address(const IpAddress& address) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  return find_terminal(**state, (*state)->terminals_by_address, address);
}

Result<void> MemoryReader::each_terminal(ZoneId zone,
                                         const std::function<bool(const TerminalView&)>& each) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  using Table = std::map<std::pair<ZoneId, std::string>, TerminalId>;
  const Table& table = (*state)->terminals_by_zone;
  for (Table::const_iterator at = table.lower_bound({zone, ""});
       at != table.end() && at->first.first == zone; ++at)
    if (!each(joined(**state, (*state)->terminals.at(at->second)))) break;
  return {};
}

Result<std::optional<Token>> MemoryReader::token(TokenId id) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::map<TokenId, StoredToken>::const_iterator at = (*state)->tokens.find(id);
  if (at == (*state)->tokens.end()) return std::optional<Token>();
  return std::optional<Token>(at->second.token);
}

Result<std::vector<Token>> MemoryReader::tokens() {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::vector<Token> out;
  for (const std::pair<const TokenId, StoredToken>& row : (*state)->tokens)
    out.push_back(row.second.token);
  return out;
}

Result<std::vector<Relay>> MemoryReader::relays() {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::vector<Relay> out;
  for (const std::pair<const RelayId, Relay>& row : (*state)->relays) out.push_back(row.second);
  return out;
}

Result<std::vector<PeerDc>> MemoryReader::peer_dcs() {
  Result<View> state = view();
  if (!state) return pass(state.error());
  std::map<std::string, PeerDc> ordered;
  for (const std::pair<const Name, PeerDc>& row : (*state)->peers)
    ordered[row.first.reversed_key()] = row.second;
  std::vector<PeerDc> out;
  for (const std::pair<const std::string, PeerDc>& row : ordered) out.push_back(row.second);
  return out;
}

Result<ChangeToken> MemoryReader::now_token() {
  Result<View> state = view();
  if (!state) return pass(state.error());
  return encode_token({0, (*state)->sequence});
}

Result<Changes> MemoryReader::changes(const ChangeToken& after, std::size_t limit) {
  Result<View> state = view();
  if (!state) return pass(state.error());
  Result<FeedPosition> from = decode_token(after);
  if (!from) return pass(from.error());
  Changes out;
  const std::deque<FeedRow>& feed = (*state)->feed;
  std::uint64_t oldest = feed.empty() ? (*state)->sequence + 1 : feed.front().sequence;
  std::uint64_t at = from->sequence;
  out.too_old = from->history != 0 || at + 1 < oldest || at > (*state)->sequence;
  if (out.too_old) at = (*state)->sequence;
  for (const FeedRow& row : feed) {
    if (row.sequence <= at) continue;
    if (out.items.size() >= limit) break;
    for (const FeedItem& item : row.items) out.items.push_back(item.change);
    at = row.sequence;
  }
  out.next = encode_token({0, at});
  return out;
}

bool MemoryReader::wait_for(const ChangeToken& token, Duration) {
  Result<View> state = view();
  Result<FeedPosition> wanted = decode_token(token);
  return state && wanted && wanted->history == 0 && wanted->sequence <= (*state)->sequence;
}

}  // namespace ntm::store::memory
