// Values of the model to columns and back. Whatever can't be decoded marks the connection as
// damaged, so a broken row is an error and never a wrong answer.
#pragma once

#include "libntm/store/rows.hpp"
#include "libntm/store/sqlite/connection.hpp"

namespace ntm::store::sqlite {

// The columns each reader below expects, in this order, from `first` on.
inline constexpr int kTerminalColumns = 8;

Zone read_zone(Connection& connection, Query& query);      // kZoneColumns of queries.cpp
Record read_record(Connection& connection, Query& query);  // without the SOA's serial
Terminal read_terminal(Connection& connection, Query& query);
Location read_location(Connection& connection, Query& query, int first);
StoredToken read_token(Connection& connection, Query& query);
Relay read_relay(Connection& connection, Query& query);
PeerDc read_peer_dc(Connection& connection, Query& query);

// The inverse of Name::reversed_key().
Result<Name> name_of_key(ByteView key);

Query& bind_name(Query& query, const Name& name);
Query& bind_key(Query& query, const std::optional<PublicKey>& key);
Query& bind_location(Query& query, const Location& location);
Query& bind_zone_settings(Query& query, const Zone& zone);  // has_terminals … dc_next_key

}  // namespace ntm::store::sqlite
