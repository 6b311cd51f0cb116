// Relay entries, pure: which leg a DATA datagram came from, whether it may go to the other leg, and
// how much. No keys: the relay reads the Path ID and nothing else (paper 4.3).
//
// A leg's address is exactly what the engine authenticated (address, port and socket). To a leg
// whose address is not validated goes at most 3 x what came from it, plus the engine's credit.
// Not thread-safe: the tun datapath guards it with one lock (tun/tun_core.hpp).
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "libntm/base/time.hpp"
#include "libntm/datapath/datapath.hpp"
#include "libntm/datapath/pace.hpp"
#include "libntm/datapath/source_gate.hpp"

namespace ntm::datapath {

constexpr Duration kRelayReportEvery = seconds(1);

enum class RelayVerdict : std::uint8_t {
  NotHere,  // no entry has this Path ID
  Forward,
  Drop,     // no other leg yet, no consent, no credit, over quota, or a foreign source
};
const char* to_string(RelayVerdict verdict);

struct RelayDecision {
  RelayVerdict verdict = RelayVerdict::NotHere;
  const Outer* to = nullptr;  // with Forward; valid until the table changes
};

class RelayTable {
 public:
  // Changes that don't concern relaying are accepted and ignored.
  Result<void> apply(Instant now, const Change& change);
  bool has_path(PathId path) const { return paths_.contains(path); }
  bool empty() const { return paths_.empty(); }
  // `packets` datagrams of one Path ID, `bytes` together, came from `from`.
  RelayDecision forward(Instant now, const Outer& from, PathId path, std::size_t packets,
                        std::size_t bytes, std::vector<Event>& events);

  void on_timer(Instant now, std::vector<Event>& events);
  Instant next_deadline() const { return report_at_; }
  bool add_statistics(PathId path, PathStatistics& out) const;

 private:
  struct Leg {
    RelayLegState state;
    std::int64_t allowance = 0;  // used while the address is not validated
  };
  struct Entry {
    std::vector<PathId> paths;
    Leg legs[2];
    std::uint32_t kbit_per_second = 0;
    std::uint32_t packets_per_second = 0;
    TokenBucket bytes_limit;
    TokenBucket packets_limit;
    RelayActivity activity;
    Instant reported{};
    bool dirty = false;
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t dropped = 0;
  };

  Result<void> put(Instant now, const PutRelay& change);
  static void update_leg(Leg& leg, const RelayLegState& state);
  void note(Instant now, Entry& entry, bool from_a, std::size_t packets, std::size_t bytes,
            std::vector<Event>& events);
  static void report(Instant now, Entry& entry, std::vector<Event>& events);

  std::unordered_map<PathId, std::shared_ptr<Entry>> paths_;  // several Path IDs name one entry
  std::vector<std::weak_ptr<Entry>> dirty_;  // saw bytes since their last report
  Instant report_at_ = Instant::never();
  SourceGate foreign_;
};

}  // namespace ntm::datapath
