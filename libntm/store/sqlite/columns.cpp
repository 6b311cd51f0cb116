// Column orders are those of the SELECT and INSERT lists in queries.cpp and sqlite_rows.cpp.
#include "libntm/store/sqlite/columns.hpp"

namespace ntm::store::sqlite {

namespace {

Name name_column(Connection& connection, Query& query, int column) {
  Result<Name> name = name_of_key(query.blob(column));
  if (name) return *name;
  connection.set_corrupt("a name can't be read");
  return {};
}

template <std::size_t N>
std::array<Byte, N> array_column(Connection& connection, Query& query, int column) {
  std::array<Byte, N> out{};
  ByteView view = query.blob(column);
  if (view.size() == N) {
    std::memcpy(out.data(), view.data(), N);
  } else {
    connection.set_corrupt("a value has a wrong length");
  }
  return out;
}

std::optional<PublicKey> key_column(Connection& connection, Query& query, int column) {
  if (query.is_null(column)) return std::nullopt;
  return PublicKey{array_column<32>(connection, query, column)};
}

// NULL is the address of neither family.
IpAddress address_column(Connection& connection, Query& query, int column) {
  if (query.is_null(column)) return {};
  ByteView view = query.blob(column);
  if (view.size() == 4) return Ipv4{array_column<4>(connection, query, column)};
  return Ipv6{array_column<16>(connection, query, column)};
}

template <typename Enum>
Enum enum_column(Connection& connection, Query& query, int column, Enum last) {
  std::int64_t value = query.i64(column);
  if (value >= 0 && value <= static_cast<std::int64_t>(last)) return static_cast<Enum>(value);
  connection.set_corrupt("a value is out of its range");
  return static_cast<Enum>(0);
}

template <typename Value>
void parse_list(Connection& connection, std::string_view text,
                Result<Value> (*parse)(std::string_view), std::vector<Value>& out) {
  while (!text.empty()) {
    std::size_t end = std::min(text.find(' '), text.size());
    Result<Value> value = parse(text.substr(0, end));
    if (!value) return connection.set_corrupt("an address can't be read");
    out.push_back(*value);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

template <typename Value>
std::string list_text(const std::vector<Value>& values) {
  std::string out;
  for (const Value& value : values) out += (out.empty() ? "" : " ") + to_string(value);
  return out;
}

void bind_address(Query& query, const IpAddress& address) {
  if (address == IpAddress()) {
    query.bind_null();
  } else {
    query.bind(address.view());
  }
}

void bind_family(Query& query, const FamilyLocation& location) {
  bind_address(query, location.real);
  query.bind(location.real_port);
  bind_address(query, location.outside.address);
  query.bind(location.outside.port).bind(location.behind_nat ? 1 : 0);
}

FamilyLocation read_family(Connection& connection, Query& query, int first) {
  FamilyLocation out;
  out.real = address_column(connection, query, first);
  out.real_port = static_cast<std::uint16_t>(query.i64(first + 1));
  out.outside.address = address_column(connection, query, first + 2);
  out.outside.port = static_cast<std::uint16_t>(query.i64(first + 3));
  out.behind_nat = query.i64(first + 4) != 0;
  return out;
}

}  // namespace

Zone read_zone(Connection& connection, Query& query) {
  Zone zone;
  zone.id.value = static_cast<std::int32_t>(query.i64(0));
  zone.apex = name_column(connection, query, 1);
  zone.kind = enum_column(connection, query, 2, ZoneKind::Secondary);
  zone.serial = static_cast<std::uint32_t>(query.i64(3));
  zone.generation = query.u64(4);
  zone.has_terminals = query.i64(5) != 0;
  zone.peer_policy = enum_column(connection, query, 6, PeerPolicy::Closed);
  zone.publish = enum_column(connection, query, 7, PublishBehindNat::Outside);
  std::vector<Prefix> virtual6;
  parse_list(connection, query.text(8), &parse_prefix, virtual6);
  if (!virtual6.empty()) zone.virtual6 = virtual6.front();
  parse_list(connection, query.text(9), &parse_prefix, zone.pools4);
  parse_list(connection, query.text(10), &parse_endpoint, zone.dc_endpoints);
  zone.dc_key = key_column(connection, query, 11).value_or(PublicKey{});
  zone.dc_next_key = key_column(connection, query, 12);
  return zone;
}

Query& bind_zone_settings(Query& query, const Zone& zone) {
  query.bind(zone.has_terminals ? 1 : 0).bind(static_cast<int>(zone.peer_policy));
  query.bind(static_cast<int>(zone.publish));
  if (zone.virtual6) {
    query.bind_text(to_string(*zone.virtual6));
  } else {
    query.bind_null();
  }
  query.bind_text(list_text(zone.pools4)).bind_text(list_text(zone.dc_endpoints));
  query.bind(zone.dc_key.view());
  return bind_key(query, zone.dc_next_key);
}

Record read_record(Connection& connection, Query& query) {
  Record record;
  record.name = name_column(connection, query, 0);
  record.type = static_cast<std::uint16_t>(query.i64(1));
  record.rdata = to_bytes(query.blob(2));
  record.ttl = static_cast<std::uint32_t>(query.i64(3));
  record.auth = query.i64(4) != 0;
  record.disabled = query.i64(5) != 0;
  if (!query.is_null(6)) record.ordername = std::string(query.text(6));
  return record;
}

Terminal read_terminal(Connection& connection, Query& query) {
  Terminal terminal;
  terminal.id.value = query.u64(0);
  terminal.zone.value = static_cast<std::int32_t>(query.i64(1));
  terminal.name = name_column(connection, query, 2);
  if (!query.is_null(3))
    terminal.virtual_addresses.v4 = Ipv4{array_column<4>(connection, query, 3)};
  if (!query.is_null(4))
    terminal.virtual_addresses.v6 = Ipv6{array_column<16>(connection, query, 4)};
  terminal.key = key_column(connection, query, 5);
  terminal.next_key = key_column(connection, query, 6);
  terminal.created.us = query.i64(7);
  return terminal;
}

Location read_location(Connection& connection, Query& query, int first) {
  Location location;
  location.terminal.value = query.u64(first);
  location.counter = query.u64(first + 1);
  location.digest = array_column<32>(connection, query, first + 2);
  location.flags = static_cast<std::uint8_t>(query.i64(first + 3));
  location.suites = static_cast<std::uint16_t>(query.i64(first + 4));
  location.v4 = read_family(connection, query, first + 5);
  location.v6 = read_family(connection, query, first + 10);
  location.updated.us = query.i64(first + 15);
  return location;
}

Query& bind_location(Query& query, const Location& location) {
  query.bind_u64(location.terminal.value).bind_u64(location.counter).bind(location.digest);
  query.bind(location.flags).bind(location.suites);
  bind_family(query, location.v4);
  bind_family(query, location.v6);
  return query.bind(location.updated.us);
}

StoredToken read_token(Connection& connection, Query& query) {
  StoredToken out;
  out.token.id.value = query.u64(0);
  out.token.purpose = enum_column(connection, query, 1, TokenPurpose::Relay);
  out.token.subject = name_column(connection, query, 2);
  out.token.psk = Key32(array_column<32>(connection, query, 3));
  out.token.expires.us = query.i64(4);
  out.token.uses_left = static_cast<std::uint32_t>(query.i64(5));
  out.bound_key = key_column(connection, query, 6);
  return out;
}

Relay read_relay(Connection& connection, Query& query) {
  Relay relay;
  relay.id.value = query.u64(0);
  relay.name = name_column(connection, query, 1);
  relay.key = key_column(connection, query, 2);
  relay.drained = query.i64(3) != 0;
  return relay;
}

PeerDc read_peer_dc(Connection& connection, Query& query) {
  PeerDc peer;
  peer.zone = name_column(connection, query, 0);
  peer.key = key_column(connection, query, 1).value_or(PublicKey{});
  peer.listed = query.i64(2) != 0;
  peer.first_seen.us = query.i64(3);
  return peer;
}

Result<Name> name_of_key(ByteView key) {
  std::string wire;
  std::string label;
  for (std::size_t at = 0; at < key.size(); ++at) {
    if (key[at] == 0) {
      if (label.empty() || label.size() > kMaxLabel) return invalid("a name key has a bad label");
      wire.insert(0, static_cast<char>(label.size()) + label);
      label.clear();
    } else if (key[at] != 1) {
      label += static_cast<char>(key[at]);
    } else {
      if (++at == key.size() || key[at] == 0) return invalid("a name key has a bad escape");
      label += static_cast<char>(key[at] - 1);
    }
  }
  if (!label.empty()) return invalid("a name key has no end");
  wire += '\0';
  return Name::from_wire(as_view(wire));
}

Query& bind_name(Query& query, const Name& name) {
  return query.bind(as_view(name.reversed_key()));
}

Query& bind_key(Query& query, const std::optional<PublicKey>& key) {
  return key ? query.bind(key->view()) : query.bind_null();
}

}  // namespace ntm::store::sqlite
