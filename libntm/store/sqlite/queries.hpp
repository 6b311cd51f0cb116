// Every SELECT of dc.db, for the writer's transaction and for readers alike.
#pragma once

#include <functional>
#include <vector>

#include "libntm/store/feed.hpp"
#include "libntm/store/rows.hpp"
#include "libntm/store/sqlite/connection.hpp"
#include "libntm/store/store.hpp"

namespace ntm::store::sqlite {

struct FeedEnd {
  std::uint64_t sequence = 0;  // 0: the feed is empty
  std::uint64_t total = 0;
};

// Failures stay in the connection (Connection::error).
class Queries {
 public:
  explicit Queries(Connection& connection) : connection_(connection) {}

  std::vector<Zone> zones();
  std::optional<Zone> zone(ZoneId id);
  std::optional<Zone> zone_by_apex(const Name& apex);
  bool zone_has_terminals(ZoneId id);
  std::uint64_t zone_bumped(ZoneId id);

  // As stored: the serial inside an SOA is zero.
  void each_record(ZoneId zone, const Name& name, const std::function<bool(const Record&)>& each);
  void each_record_below(ZoneId zone, const Name& top,
                         const std::function<bool(const Record&)>& each);

  std::optional<TerminalView> terminal(TerminalId id);
  std::optional<TerminalView> terminal_by_name(const Name& name);
  std::optional<TerminalView> terminal_by_address(const IpAddress& address);
  std::optional<TerminalView> terminal_by_key(const PublicKey& key);
  void each_terminal(ZoneId zone, const std::function<bool(const TerminalView&)>& each);
  std::optional<LocationHead> location_head(TerminalId id);
  std::optional<Location> location(TerminalId id);

  std::optional<StoredToken> token(TokenId id);
  std::vector<Token> tokens();
  std::vector<Token> tokens_of(const Name& subject);
  std::vector<Relay> relays();
  std::optional<Relay> relay(RelayId id);
  std::optional<Relay> relay_by_name(const Name& name);
  std::vector<PeerDc> peer_dcs();
  std::optional<PeerDc> peer_dc(const Name& zone);
  std::uint64_t block_next(const std::string& counter);

  std::uint64_t history();
  FeedEnd newest_feed_row();
  FeedEnd oldest_feed_row();
  // Rows after `sequence` in order, until `each` returns false.
  void each_feed_row(std::uint64_t sequence,
                     const std::function<bool(std::uint64_t, std::vector<FeedItem>)>& each);

 private:
  std::optional<TerminalView> terminal_of(Query& query);
  Connection& connection_;
};

}  // namespace ntm::store::sqlite
