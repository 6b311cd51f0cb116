// Column lists stand here once, as macros, so that each statement stays one literal.
#include "libntm/store/sqlite/queries.hpp"

#include "libntm/store/sqlite/columns.hpp"

#define ZONE_COLUMNS                                                                  \
  "id, apex, kind, serial, changes, has_terminals, peer_policy, publish_behind_nat, " \
  "virtual6, pools4, dc_endpoints, dc_key, dc_next_key"
#define RECORD_COLUMNS "name, type, rdata, ttl, auth, disabled, ordername"
#define RECORD_OF_ZONE \
  " FROM record WHERE zone = ?1 AND generation = (SELECT live FROM zone WHERE id = ?1)"
#define LOCATION_COLUMNS                                                                    \
  "l.terminal, l.counter, l.digest, l.flags, l.suites, l.real4, l.real4_port, l.outside4, " \
  "l.outside4_port, l.behind_nat4, l.real6, l.real6_port, l.outside6, l.outside6_port, "    \
  "l.behind_nat6, l.updated"
#define TERMINAL_WITH_LOCATION                                               \
  "SELECT t.id, t.zone, t.name, t.virtual4, t.virtual6, t.key, t.next_key, " \
  "t.created, " LOCATION_COLUMNS " FROM terminal t LEFT JOIN location l ON l.terminal = t.id "
#define TOKEN_COLUMNS "id, purpose, subject, psk, expires, uses_left, bound_key"

namespace ntm::store::sqlite {

std::vector<Zone> Queries::zones() {
  Query query(connection_, "SELECT " ZONE_COLUMNS " FROM zone ORDER BY apex");
  std::vector<Zone> out;
  while (query.row()) out.push_back(read_zone(connection_, query));
  return out;
}

std::optional<Zone> Queries::zone(ZoneId id) {
  Query query(connection_, "SELECT " ZONE_COLUMNS " FROM zone WHERE id = ?");
  if (!query.bind(id.value).row()) return std::nullopt;
  return read_zone(connection_, query);
}

std::optional<Zone> Queries::zone_by_apex(const Name& apex) {
  Query query(connection_, "SELECT " ZONE_COLUMNS " FROM zone WHERE apex = ?");
  if (!bind_name(query, apex).row()) return std::nullopt;
  return read_zone(connection_, query);
}

bool Queries::zone_has_terminals(ZoneId id) {
  Query query(connection_, "SELECT 1 FROM terminal WHERE zone = ? LIMIT 1");
  return query.bind(id.value).row();
}

std::uint64_t Queries::zone_bumped(ZoneId id) {
  Query query(connection_, "SELECT bumped FROM zone WHERE id = ?");
  return query.bind(id.value).row() ? query.u64(0) : 0;
}

void Queries::each_record(ZoneId zone, const Name& name,
                          const std::function<bool(const Record&)>& each) {
  Query query(connection_,
              "SELECT " RECORD_COLUMNS RECORD_OF_ZONE " AND name = ?2 ORDER BY type, rdata");
  query.bind(zone.value);
  bind_name(query, name);
  while (query.row())
    if (!each(read_record(connection_, query))) break;
}

// The subtree of a name is one range of keys: it ends at the name's key with the final 0x00 raised.
// Everything is below the root: a label has 63 octets, so 64 times 0xff is greater than any key.
void Queries::each_record_below(ZoneId zone, const Name& top,
                                const std::function<bool(const Record&)>& each) {
  std::string first = top.reversed_key();
  std::string end = first.empty() ? std::string(kMaxLabel + 1, '\xff') : first;
  if (!first.empty()) end.back() = '\x01';
  Query query(connection_, "SELECT " RECORD_COLUMNS RECORD_OF_ZONE
                           " AND name >= ?2 AND name < ?3 ORDER BY name, type, rdata");
  query.bind(zone.value).bind(as_view(first)).bind(as_view(end));
  while (query.row())
    if (!each(read_record(connection_, query))) break;
}

std::optional<TerminalView> Queries::terminal_of(Query& query) {
  if (!query.row()) return std::nullopt;
  TerminalView out{read_terminal(connection_, query), {}};
  if (!query.is_null(kTerminalColumns))
    out.location = read_location(connection_, query, kTerminalColumns);
  return out;
}

std::optional<TerminalView> Queries::terminal(TerminalId id) {
  Query query(connection_, TERMINAL_WITH_LOCATION "WHERE t.id = ?");
  query.bind_u64(id.value);
  return terminal_of(query);
}

std::optional<TerminalView> Queries::terminal_by_name(const Name& name) {
  Query query(connection_, TERMINAL_WITH_LOCATION "WHERE t.name = ?");
  bind_name(query, name);
  return terminal_of(query);
}

std::optional<TerminalView> Queries::terminal_by_address(const IpAddress& address) {
  Query query4(connection_, TERMINAL_WITH_LOCATION "WHERE t.virtual4 = ?");
  Query query6(connection_, TERMINAL_WITH_LOCATION "WHERE t.virtual6 = ?");
  Query& query = address.is_v4() ? query4 : query6;
  query.bind(address.view());
  return terminal_of(query);
}

std::optional<TerminalView> Queries::terminal_by_key(const PublicKey& key) {
  Query query(connection_, TERMINAL_WITH_LOCATION "WHERE t.key = ?");
  query.bind(key.view());
  return terminal_of(query);
}

void Queries::each_terminal(ZoneId zone, const std::function<bool(const TerminalView&)>& each) {
  Query query(connection_, TERMINAL_WITH_LOCATION "WHERE t.zone = ? ORDER BY t.name");
  query.bind(zone.value);
  while (std::optional<TerminalView> view = terminal_of(query))
    if (connection_.error() || !each(*view)) break;
}

std::optional<LocationHead> Queries::location_head(TerminalId id) {
  Query query(connection_,
              "SELECT t.zone, l.counter, l.digest FROM terminal t"
              " LEFT JOIN location l ON l.terminal = t.id WHERE t.id = ?");
  if (!query.bind_u64(id.value).row()) return std::nullopt;
  LocationHead head;
  head.zone.value = static_cast<std::int32_t>(query.i64(0));
  head.has_location = !query.is_null(1);
  head.counter = query.u64(1);
  ByteView digest = query.blob(2);
  if (digest.size() == head.digest.size())
    std::memcpy(head.digest.data(), digest.data(), digest.size());
  return head;
}

std::optional<Location> Queries::location(TerminalId id) {
  Query query(connection_, "SELECT " LOCATION_COLUMNS " FROM location l WHERE l.terminal = ?");
  if (!query.bind_u64(id.value).row()) return std::nullopt;
  return read_location(connection_, query, 0);
}

std::optional<StoredToken> Queries::token(TokenId id) {
  Query query(connection_, "SELECT " TOKEN_COLUMNS " FROM token WHERE id = ?");
  if (!query.bind_u64(id.value).row()) return std::nullopt;
  return read_token(connection_, query);
}

std::vector<Token> Queries::tokens() {
  Query query(connection_, "SELECT " TOKEN_COLUMNS " FROM token");
  std::vector<Token> out;
  while (query.row()) out.push_back(read_token(connection_, query).token);
  return out;
}

std::vector<Token> Queries::tokens_of(const Name& subject) {
  Query query(connection_, "SELECT " TOKEN_COLUMNS " FROM token WHERE subject = ?");
  bind_name(query, subject);
  std::vector<Token> out;
  while (query.row()) out.push_back(read_token(connection_, query).token);
  return out;
}

std::vector<Relay> Queries::relays() {
  Query query(connection_, "SELECT id, name, key, drained FROM relay");
  std::vector<Relay> out;
  while (query.row()) out.push_back(read_relay(connection_, query));
  return out;
}

std::optional<Relay> Queries::relay(RelayId id) {
  Query query(connection_, "SELECT id, name, key, drained FROM relay WHERE id = ?");
  if (!query.bind_u64(id.value).row()) return std::nullopt;
  return read_relay(connection_, query);
}

std::optional<Relay> Queries::relay_by_name(const Name& name) {
  Query query(connection_, "SELECT id, name, key, drained FROM relay WHERE name = ?");
  if (!bind_name(query, name).row()) return std::nullopt;
  return read_relay(connection_, query);
}

std::vector<PeerDc> Queries::peer_dcs() {
  Query query(connection_, "SELECT zone, key, listed, first_seen FROM peer_dc ORDER BY zone");
  std::vector<PeerDc> out;
  while (query.row()) out.push_back(read_peer_dc(connection_, query));
  return out;
}

std::optional<PeerDc> Queries::peer_dc(const Name& zone) {
  Query query(connection_, "SELECT zone, key, listed, first_seen FROM peer_dc WHERE zone = ?");
  if (!bind_name(query, zone).row()) return std::nullopt;
  return read_peer_dc(connection_, query);
}

std::uint64_t Queries::block_next(const std::string& counter) {
  Query query(connection_, "SELECT next FROM block WHERE counter = ?");
  return query.bind_text(counter).row() ? query.u64(0) : 1;
}

std::uint64_t Queries::history() {
  Query query(connection_, "SELECT history FROM store");
  if (!query.row()) {
    connection_.set_corrupt("the table 'store' has no row");
    return 0;
  }
  return ntm::Reader(query.blob(0)).u64();
}

FeedEnd Queries::newest_feed_row() {
  Query query(connection_, "SELECT seq, total FROM feed ORDER BY seq DESC LIMIT 1");
  return query.row() ? FeedEnd{query.u64(0), query.u64(1)} : FeedEnd{};
}

FeedEnd Queries::oldest_feed_row() {
  Query query(connection_, "SELECT seq, total FROM feed ORDER BY seq LIMIT 1");
  return query.row() ? FeedEnd{query.u64(0), query.u64(1)} : FeedEnd{};
}

void Queries::each_feed_row(std::uint64_t sequence,
                            const std::function<bool(std::uint64_t, std::vector<FeedItem>)>& each) {
  Query query(connection_, "SELECT seq, items FROM feed WHERE seq > ? ORDER BY seq");
  query.bind_u64(sequence);
  while (query.row()) {
    std::vector<FeedItem> items;
    if (!decode_feed_items(query.blob(1), items))
      return connection_.set_corrupt("a row of the change feed can't be read");
    if (!each(query.u64(0), std::move(items))) break;
  }
}

}  // namespace ntm::store::sqlite
