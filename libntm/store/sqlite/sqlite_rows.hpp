// The Rows of one write transaction on dc.db. Reads come from Queries; this adds the writes.
#pragma once

#include <map>

#include "libntm/store/sqlite/queries.hpp"

namespace ntm::store::sqlite {

// Up to which feed row a zone is known not to have moved since its last bump, so that the ticker
// of a quiet zone does not walk the same rows each second. Lives as long as the writer.
using QuietUntil = std::map<ZoneId, std::uint64_t>;

class SqliteRows final : public Rows {
 public:
  // `newest` is the feed's end when the transaction began.
  SqliteRows(Connection& connection, FeedEnd newest, QuietUntil& quiet)
      : connection_(connection), queries_(connection), newest_(newest), quiet_(quiet) {}
  bool failed() const override { return connection_.error().has_value(); }

  std::optional<Zone> zone(ZoneId id) override { return queries_.zone(id); }
  std::optional<Zone> zone_by_apex(const Name& apex) override {
    return queries_.zone_by_apex(apex);
  }
  bool zone_has_terminals(ZoneId id) override { return queries_.zone_has_terminals(id); }
  void put_zone(const Zone& zone) override;
  void set_zone_counters(ZoneId id, std::uint32_t serial, std::uint64_t generation) override;
  void erase_zone(ZoneId id) override;
  std::vector<Record> records(ZoneId zone, const Name& name) override;
  void put_record(ZoneId zone, const Record& record) override;
  void erase_record(ZoneId zone, const Record& record) override;
  std::optional<Terminal> terminal(TerminalId id) override;
  std::optional<Terminal> terminal_by_name(const Name& name) override;
  std::optional<Terminal> terminal_by_address(const IpAddress& address) override;
  std::optional<Terminal> terminal_by_key(const PublicKey& key) override;
  void put_terminal(const Terminal& terminal) override;
  void erase_terminal(TerminalId id) override;
  std::optional<LocationHead> location_head(TerminalId id) override {
    return queries_.location_head(id);
  }
  std::optional<Location> location(TerminalId id) override { return queries_.location(id); }
  void put_location(const Location& location) override;
  void erase_location(TerminalId id) override;
  std::optional<StoredToken> token(TokenId id) override { return queries_.token(id); }
  void put_token(const StoredToken& token) override;
  void erase_token(TokenId id) override;
  std::vector<Token> tokens_of(const Name& subject) override { return queries_.tokens_of(subject); }
  std::optional<Relay> relay(RelayId id) override { return queries_.relay(id); }
  std::optional<Relay> relay_by_name(const Name& name) override {
    return queries_.relay_by_name(name);
  }
  void put_relay(const Relay& relay) override;
  void erase_relay(RelayId id) override;
  std::optional<PeerDc> peer_dc(const Name& zone) override { return queries_.peer_dc(zone); }
  void put_peer_dc(const PeerDc& peer) override;
  void erase_peer_dc(const Name& zone) override;
  std::uint64_t block_next(const std::string& counter) override {
    return queries_.block_next(counter);
  }
  void set_block_next(const std::string& counter, std::uint64_t next) override;
  bool zone_moved_since_bump(ZoneId id) override;
  void set_bumped(ZoneId id, bool inclusive) override;

 private:
  Connection& connection_;
  Queries queries_;
  FeedEnd newest_;
  QuietUntil& quiet_;
};

}  // namespace ntm::store::sqlite
