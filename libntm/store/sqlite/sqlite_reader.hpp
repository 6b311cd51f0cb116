// A reader of dc.db: its own read-only connection, in any process, writing or not.
#pragma once

#include "libntm/store/sqlite/queries.hpp"

namespace ntm::store::sqlite {

class SqliteReader final : public store::Reader {
 public:
  explicit SqliteReader(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)), queries_(*connection_) {}

  Result<void> begin() override;
  void end() override;
  Result<std::uint64_t> data_version() override;
  Result<std::vector<Zone>> zones() override;
  Result<std::optional<Zone>> zone(ZoneId id) override;
  Result<std::optional<Zone>> zone_by_apex(const Name& apex) override;
  Result<std::optional<Zone>> zone_of(const Name& name) override;
  Result<std::vector<Record>> records(ZoneId zone, const Name& name) override;
  Result<void> each_record(ZoneId zone, const Name& top,
                           const std::function<bool(const Record&)>& each) override;
  Result<std::optional<TerminalView>> terminal(const Name& name) override;
  Result<std::optional<TerminalView>> terminal_by_id(TerminalId id) override;
  Result<std::optional<TerminalView>> terminal_by_address(const IpAddress& address) override;
  Result<void> each_terminal(ZoneId zone,
                             const std::function<bool(const TerminalView&)>& each) override;
  Result<std::optional<Token>> token(TokenId id) override;
  Result<std::vector<Token>> tokens() override;
  Result<std::vector<Relay>> relays() override;
  Result<std::vector<PeerDc>> peer_dcs() override;
  Result<ChangeToken> now_token() override;
  Result<Changes> changes(const ChangeToken& after, std::size_t limit) override;
  bool wait_for(const ChangeToken& token, Duration timeout) override;

 private:
  // The value, or the connection's error if one came up on the way; the next call starts clean.
  template <typename Value>
  Result<Value> answer(Value value);
  Record shown(const Record& stored);

  std::unique_ptr<Connection> connection_;
  Queries queries_;
};

}  // namespace ntm::store::sqlite
