// The rows of the memory double: ordered maps that mirror schema/db/schema.sql, copyable as a whole
// (a reader's snapshot is a shared pointer to one), with a journal that undoes an atomic batch.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <tuple>

#include "libntm/store/feed.hpp"
#include "libntm/store/rows.hpp"

namespace ntm::store::memory {

struct ZoneRow {
  Zone zone;
  std::uint64_t bumped = 0;
};
// zone, reversed name, type, rdata: the primary key of `record`.
using RecordKey = std::tuple<ZoneId, std::string, std::uint16_t, Bytes>;

struct FeedRow {
  std::uint64_t sequence = 0;
  std::vector<FeedItem> items;
};

struct State {
  std::map<ZoneId, ZoneRow> zones;
  std::map<Name, ZoneId> zones_by_apex;
  std::map<RecordKey, Record> records;
  std::map<TerminalId, Terminal> terminals;
  std::map<Name, TerminalId> terminals_by_name;
  std::map<IpAddress, TerminalId> terminals_by_address;
  std::map<PublicKey, TerminalId> terminals_by_key;
  std::map<std::pair<ZoneId, std::string>, TerminalId> terminals_by_zone;
  std::map<TerminalId, Location> locations;
  std::map<TokenId, StoredToken> tokens;
  std::map<RelayId, Relay> relays;
  std::map<Name, PeerDc> peers;
  std::map<std::string, std::uint64_t> blocks;
  std::deque<FeedRow> feed;
  std::uint64_t sequence = 0;  // of the newest feed row
  std::uint64_t commits = 0;
};

using Journal = std::vector<std::function<void()>>;

// The Rows of one write transaction on a State; nothing here can fail.
class MemoryRows final : public Rows {
 public:
  MemoryRows(State& state, Journal& journal) : state_(state), journal_(journal) {}
  bool failed() const override { return false; }

  std::optional<Zone> zone(ZoneId id) override;
  std::optional<Zone> zone_by_apex(const Name& apex) override;
  bool zone_has_terminals(ZoneId id) override;
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
  std::optional<LocationHead> location_head(TerminalId id) override;
  std::optional<Location> location(TerminalId id) override;
  void put_location(const Location& location) override;
  void erase_location(TerminalId id) override;
  std::optional<StoredToken> token(TokenId id) override;
  void put_token(const StoredToken& token) override;
  void erase_token(TokenId id) override;
  std::vector<Token> tokens_of(const Name& subject) override;
  std::optional<Relay> relay(RelayId id) override;
  std::optional<Relay> relay_by_name(const Name& name) override;
  void put_relay(const Relay& relay) override;
  void erase_relay(RelayId id) override;
  std::optional<PeerDc> peer_dc(const Name& zone) override;
  void put_peer_dc(const PeerDc& peer) override;
  void erase_peer_dc(const Name& zone) override;
  std::uint64_t block_next(const std::string& counter) override;
  void set_block_next(const std::string& counter, std::uint64_t next) override;
  bool zone_moved_since_bump(ZoneId id) override;
  void set_bumped(ZoneId id, bool inclusive) override;

 private:
  State& state_;
  Journal& journal_;
};

}  // namespace ntm::store::memory
