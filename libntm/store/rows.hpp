// What the rules of the store need from an engine that keeps rows: plain get and put inside one
// write transaction. SQLite and the memory double implement it; libntm/store/rules.hpp decides.
//
// Failures of the engine are sticky instead of returned by each call: after one, reads give
// nothing, writes do nothing, failed() is true and the caller rolls the whole transaction back. So
// a rule that misreads "could not ask" as "not found" can't do harm.
#pragma once

#include <optional>
#include <vector>

#include "libntm/store/model.hpp"

namespace ntm::store {

struct StoredToken {
  Token token;
  std::optional<PublicKey> bound_key;  // which key burnt the last use
};

// What accepting a registration must know; one look-up, it is the hot path.
struct LocationHead {
  ZoneId zone;
  bool has_location = false;
  std::uint64_t counter = 0;
  std::array<Byte, 32> digest{};
};

class Rows {
 public:
  virtual ~Rows() = default;
  virtual bool failed() const = 0;

  virtual std::optional<Zone> zone(ZoneId id) = 0;
  virtual std::optional<Zone> zone_by_apex(const Name& apex) = 0;
  virtual bool zone_has_terminals(ZoneId id) = 0;
  // Settings only, for an existing zone; everything, with `serial` and `generation`, for a new one.
  virtual void put_zone(const Zone& zone) = 0;
  virtual void set_zone_counters(ZoneId id, std::uint32_t serial, std::uint64_t generation) = 0;
  virtual void erase_zone(ZoneId id) = 0;  // with its record rows

  virtual std::vector<Record> records(ZoneId zone, const Name& name) = 0;  // as stored
  virtual void put_record(ZoneId zone, const Record& record) = 0;          // by name, type, rdata
  virtual void erase_record(ZoneId zone, const Record& record) = 0;

  virtual std::optional<Terminal> terminal(TerminalId id) = 0;
  virtual std::optional<Terminal> terminal_by_name(const Name& name) = 0;
  virtual std::optional<Terminal> terminal_by_address(const IpAddress& address) = 0;
  virtual std::optional<Terminal> terminal_by_key(const PublicKey& key) = 0;
  virtual void put_terminal(const Terminal& terminal) = 0;
  virtual void erase_terminal(TerminalId id) = 0;  // with its location

  // None: no such terminal.
  virtual std::optional<LocationHead> location_head(TerminalId id) = 0;
  virtual std::optional<Location> location(TerminalId id) = 0;
  virtual void put_location(const Location& location) = 0;
  virtual void erase_location(TerminalId id) = 0;

  virtual std::optional<StoredToken> token(TokenId id) = 0;
  virtual void put_token(const StoredToken& token) = 0;
  virtual void erase_token(TokenId id) = 0;
  virtual std::vector<Token> tokens_of(const Name& subject) = 0;

  virtual std::optional<Relay> relay(RelayId id) = 0;
  virtual std::optional<Relay> relay_by_name(const Name& name) = 0;
  virtual void put_relay(const Relay& relay) = 0;
  virtual void erase_relay(RelayId id) = 0;

  virtual std::optional<PeerDc> peer_dc(const Name& zone) = 0;
  virtual void put_peer_dc(const PeerDc& peer) = 0;
  virtual void erase_peer_dc(const Name& zone) = 0;

  virtual std::uint64_t block_next(const std::string& counter) = 0;  // 1 for a new one
  virtual void set_block_next(const std::string& counter, std::uint64_t next) = 0;

  // Whether a commit before this transaction changed the zone's content since the last bump.
  virtual bool zone_moved_since_bump(ZoneId id) = 0;
  // The bump covers everything up to this transaction; `inclusive` also all of this one.
  virtual void set_bumped(ZoneId id, bool inclusive) = 0;
};

}  // namespace ntm::store
