// Every INSERT, UPDATE and DELETE of the operations. Upserts, so that repeating one is harmless.
#include "libntm/store/sqlite/sqlite_rows.hpp"

#include "libntm/store/sqlite/columns.hpp"

namespace ntm::store::sqlite {

namespace {

std::optional<Terminal> without_location(const std::optional<TerminalView>& view) {
  if (!view) return std::nullopt;
  return view->terminal;
}

}  // namespace

// `changes`, `serial`, `live` and `bumped` are set for a new zone only.
void SqliteRows::put_zone(const Zone& zone) {
  Query query(connection_,
              "INSERT INTO zone (id, apex, kind, serial, changes, live, bumped, has_terminals,"
              " peer_policy, publish_behind_nat, virtual6, pools4, dc_endpoints, dc_key,"
              " dc_next_key) VALUES (?, ?, ?, ?, ?, 1, 0, ?, ?, ?, ?, ?, ?, ?, ?)"
              " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind,"
              " has_terminals = excluded.has_terminals, peer_policy = excluded.peer_policy,"
              " publish_behind_nat = excluded.publish_behind_nat, virtual6 = excluded.virtual6,"
              " pools4 = excluded.pools4, dc_endpoints = excluded.dc_endpoints,"
              " dc_key = excluded.dc_key, dc_next_key = excluded.dc_next_key");
  query.bind(zone.id.value);
  bind_name(query, zone.apex);
  query.bind(static_cast<int>(zone.kind)).bind(zone.serial).bind_u64(zone.generation);
  bind_zone_settings(query, zone).run();
}

void SqliteRows::set_zone_counters(ZoneId id, std::uint32_t serial, std::uint64_t generation) {
  Query query(connection_, "UPDATE zone SET serial = ?, changes = ? WHERE id = ?");
  query.bind(serial).bind_u64(generation).bind(id.value).run();
}

void SqliteRows::erase_zone(ZoneId id) {
  Query(connection_, "DELETE FROM record WHERE zone = ?").bind(id.value).run();
  Query(connection_, "DELETE FROM zone WHERE id = ?").bind(id.value).run();
  quiet_.erase(id);
}

std::vector<Record> SqliteRows::records(ZoneId zone, const Name& name) {
  std::vector<Record> out;
  queries_.each_record(zone, name, [&](const Record& record) {
    out.push_back(record);
    return true;
  });
  return out;
}

void SqliteRows::put_record(ZoneId zone, const Record& record) {
  Query query(connection_,
              "INSERT INTO record (zone, generation, name, type, rdata, ttl, auth, disabled,"
              " ordername) VALUES (?1, (SELECT live FROM zone WHERE id = ?1), ?, ?, ?, ?, ?, ?, ?)"
              " ON CONFLICT (zone, generation, name, type, rdata) DO UPDATE SET"
              " ttl = excluded.ttl, auth = excluded.auth, disabled = excluded.disabled,"
              " ordername = excluded.ordername");
  query.bind(zone.value);
  bind_name(query, record.name);
  query.bind(record.type).bind(ByteView(record.rdata)).bind(record.ttl);
  query.bind(record.auth ? 1 : 0).bind(record.disabled ? 1 : 0);
  if (record.ordername) {
    query.bind_text(*record.ordername);
  } else {
    query.bind_null();
  }
  query.run();
}

void SqliteRows::erase_record(ZoneId zone, const Record& record) {
  Query query(connection_,
              "DELETE FROM record WHERE zone = ?1 AND generation ="
              " (SELECT live FROM zone WHERE id = ?1) AND name = ? AND type = ? AND rdata = ?");
  query.bind(zone.value);
  bind_name(query, record.name).bind(record.type).bind(ByteView(record.rdata)).run();
}

std::optional<Terminal> SqliteRows::terminal(TerminalId id) {
  return without_location(queries_.terminal(id));
}
std::optional<Terminal> SqliteRows::terminal_by_name(const Name& name) {
  return without_location(queries_.terminal_by_name(name));
}
std::optional<Terminal> SqliteRows::terminal_by_address(const IpAddress& address) {
  return without_location(queries_.terminal_by_address(address));
}
std::optional<Terminal> SqliteRows::terminal_by_key(const PublicKey& key) {
  return without_location(queries_.terminal_by_key(key));
}

void SqliteRows::put_terminal(const Terminal& terminal) {
  Query query(connection_,
              "INSERT INTO terminal (id, zone, name, virtual4, virtual6, key, next_key, created)"
              " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
              " key = excluded.key, next_key = excluded.next_key");
  query.bind_u64(terminal.id.value).bind(terminal.zone.value);
  bind_name(query, terminal.name);
  const VirtualAddresses& addresses = terminal.virtual_addresses;
  if (addresses.v4) {
    query.bind(ByteView(addresses.v4->raw));
  } else {
    query.bind_null();
  }
  if (addresses.v6) {
    query.bind(ByteView(addresses.v6->raw));
  } else {
    query.bind_null();
  }
  bind_key(query, terminal.key);
  bind_key(query, terminal.next_key).bind(terminal.created.us).run();
}

void SqliteRows::erase_terminal(TerminalId id) {
  erase_location(id);
  Query(connection_, "DELETE FROM terminal WHERE id = ?").bind_u64(id.value).run();
}

void SqliteRows::put_location(const Location& location) {
  Query query(connection_,
              "INSERT OR REPLACE INTO location (terminal, counter, digest, flags, suites, real4,"
              " real4_port, outside4, outside4_port, behind_nat4, real6, real6_port, outside6,"
              " outside6_port, behind_nat6, updated)"
              " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  bind_location(query, location).run();
}

void SqliteRows::erase_location(TerminalId id) {
  Query(connection_, "DELETE FROM location WHERE terminal = ?").bind_u64(id.value).run();
}

void SqliteRows::put_token(const StoredToken& stored) {
  const Token& token = stored.token;
  Query query(connection_,
              "INSERT INTO token (id, purpose, subject, psk, expires, uses_left, bound_key)"
              " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
              " expires = excluded.expires, uses_left = excluded.uses_left,"
              " bound_key = excluded.bound_key");
  query.bind_u64(token.id.value).bind(static_cast<int>(token.purpose));
  bind_name(query, token.subject);
  query.bind(token.psk.view()).bind(token.expires.us).bind(token.uses_left);
  bind_key(query, stored.bound_key).run();
}

void SqliteRows::erase_token(TokenId id) {
  Query(connection_, "DELETE FROM token WHERE id = ?").bind_u64(id.value).run();
}

void SqliteRows::put_relay(const Relay& relay) {
  Query query(connection_,
              "INSERT INTO relay (id, name, key, drained) VALUES (?, ?, ?, ?)"
              " ON CONFLICT (id) DO UPDATE SET name = excluded.name, key = excluded.key,"
              " drained = excluded.drained");
  query.bind_u64(relay.id.value);
  bind_name(query, relay.name);
  bind_key(query, relay.key).bind(relay.drained ? 1 : 0).run();
}

void SqliteRows::erase_relay(RelayId id) {
  Query(connection_, "DELETE FROM relay WHERE id = ?").bind_u64(id.value).run();
}

void SqliteRows::put_peer_dc(const PeerDc& peer) {
  Query query(connection_,
              "INSERT INTO peer_dc (zone, key, listed, first_seen) VALUES (?, ?, ?, ?)"
              " ON CONFLICT (zone) DO UPDATE SET listed = excluded.listed,"
              " first_seen = excluded.first_seen");
  bind_name(query, peer.zone).bind(peer.key.view()).bind(peer.listed ? 1 : 0);
  query.bind(peer.first_seen.us).run();
}

void SqliteRows::erase_peer_dc(const Name& zone) {
  Query query(connection_, "DELETE FROM peer_dc WHERE zone = ?");
  bind_name(query, zone).run();
}

void SqliteRows::set_block_next(const std::string& counter, std::uint64_t next) {
  Query query(connection_,
              "INSERT INTO block (counter, next) VALUES (?, ?)"
              " ON CONFLICT (counter) DO UPDATE SET next = excluded.next");
  query.bind_text(counter).bind_u64(next).run();
}

// A feed that was trimmed past the last bump can't say; then the zone counts as moved.
bool SqliteRows::zone_moved_since_bump(ZoneId id) {
  std::uint64_t bumped = queries_.zone_bumped(id);
  std::uint64_t from = std::max(bumped, quiet_[id]);
  if (newest_.sequence <= from) return false;
  if (queries_.oldest_feed_row().sequence > from + 1) return true;
  bool moved = false;
  queries_.each_feed_row(from, [&](std::uint64_t, const std::vector<FeedItem>& items) {
    for (const FeedItem& item : items) moved |= item.zone == id && item.bump;
    return !moved;
  });
  if (!moved && !failed()) quiet_[id] = newest_.sequence;
  return moved;
}

void SqliteRows::set_bumped(ZoneId id, bool inclusive) {
  Query query(connection_, "UPDATE zone SET bumped = ? WHERE id = ?");
  query.bind_u64(newest_.sequence + (inclusive ? 1 : 0)).bind(id.value).run();
}

}  // namespace ntm::store::sqlite
