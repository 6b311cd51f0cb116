// The relay's engine: entries by Relay Direction, legs by Tunnel Request, hints for the unknown.
// Pure: events and time in, effects out (architecture R1-R3).
#pragma once

#include <memory>
#include <vector>

#include "relay/engine/attachment.hpp"
#include "relay/engine/early_requests.hpp"
#include "relay/engine/entry_table.hpp"

namespace ntm::relay {

struct RelayConfig {
  crypto::KeyPair key;
  Key32 reset_secret;
  std::uint64_t counter = 1;             // first attach counter that was never used
  std::vector<Endpoint> endpoints;       // public ones, at most one a family
  std::vector<datapath::SocketId> sockets;  // by index of family: V4 first; see families
  std::vector<Family> families;          // the family of each socket
  std::size_t max_entries = kDefaultMaxEntries;
  bool allow_private_sources = false;
  std::vector<AttachmentConfig> dcs;
};

class RelayEngine final : public RelayFacts {
 public:
  RelayEngine(const RelayConfig& config, Random& random);
  ~RelayEngine() override;

  void start(Instant now);
  void handle(Instant now, const datapath::Event& event);
  void on_timer(Instant now);
  Instant next_deadline() const;
  void add_dc(Instant now, const AttachmentConfig& dc);
  void leave(Instant now);
  std::vector<Effect> take_effects();

  struct DcStatus {
    Name zone;
    Attachment::State state;
    bool enrolled = false;
    std::string error;
  };
  std::vector<DcStatus> dc_status() const;
  const EntryTable& table() const { return table_; }

 private:
  void handle_datagram(Instant now, const datapath::ControlReceived& received);
  void handle_message(Instant now, Attachment& from, const wire::ControlMessage& message);
  void hint(wire::HintCode code, PathId path, const datapath::Outer& to);

  // RelayFacts
  std::uint64_t next_counter(std::vector<Effect>& effects) override;
  void raise_counter(std::uint64_t past, std::vector<Effect>& effects) override;
  std::vector<Endpoint> public_endpoints() const override { return config_.endpoints; }
  std::uint32_t entries() const override { return static_cast<std::uint32_t>(table_.size()); }
  std::uint32_t capacity() const override {
    return static_cast<std::uint32_t>(config_.max_entries);
  }
  std::optional<datapath::SocketId> socket_for(Family family) const override;

  RelayConfig config_;
  Random& random_;
  EntryTable table_;
  EarlyRequests early_;
  std::vector<std::unique_ptr<Attachment>> attachments_;
  std::vector<Effect> effects_;
  std::uint64_t counter_;
  std::uint64_t reserved_below_;
  std::size_t hint_turn_ = 0;
};

constexpr std::uint64_t kCounterBlock = 65536;

}  // namespace ntm::relay
