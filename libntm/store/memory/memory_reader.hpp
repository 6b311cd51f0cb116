// A reader of the memory double: every call works on one immutable State.
#pragma once

#include <memory>

#include "libntm/store/memory/state.hpp"
#include "libntm/store/store.hpp"

namespace ntm::store::memory {

// Where readers get the newest state from; null: readers are to fail with Unavailable.
using NewestState = std::function<std::shared_ptr<const State>()>;

class MemoryReader final : public store::Reader {
 public:
  explicit MemoryReader(NewestState newest) : newest_(std::move(newest)) {}

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
  using View = std::shared_ptr<const State>;
  Result<View> view() const;

  NewestState newest_;
  View snapshot_;
};

}  // namespace ntm::store::memory
