// The association with one peer: its paths, which one data goes out on, and what is done when none
// works (paper 4.5, docs/PROTOCOL.md 3.9 and 4).
//
// Which of two usable paths carries data, first rule that fits:
//   | N replaces C (its Route Direction named C as old path)         | N               |
//   | both made within kSimultaneous of each other, by both ends     | the one whose initiator has
//   |   (two resolved each other at once, or both moved at once)     | the smaller key |
//   | otherwise                                                      | the newer one   |
// The one that lost stays for late packets (kKeepReplaced) and is then removed: make before break.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "terminal/engine/path.hpp"

namespace ntm::terminal {

constexpr Duration kKeepReplaced = seconds(10);
constexpr Duration kSimultaneous = seconds(5);
// Both ends keep a path that only one of them prefers for this long.
constexpr Duration kKeepOther = seconds(60);
// Without any path packets are held this long, then the tunnel is given up.
constexpr Duration kHoldAtMost = seconds(60);
constexpr Duration kRetryFirst = seconds(1);
constexpr Duration kRetryMost = seconds(16);
// A set-up is tried again with a new Direction this often before the application is told.
constexpr int kSetupTries = 2;
// Each path is about 2 KB with its handshake state: 8 x 512 tunnels x 2 KB = 8 MB at most.
constexpr std::size_t kMaxPaths = 8;

class Tunnel {
 public:
  Tunnel(Context& context, datapath::TunnelId id, const Name& peer);
  ~Tunnel();

  datapath::TunnelId id() const { return id_; }
  const Name& peer() const { return peer_; }
  const VirtualAddresses& addresses() const { return addresses_; }
  void set_addresses(const VirtualAddresses& addresses);

  Path* add(std::unique_ptr<Path> path);
  Path* find(PathId path);
  // A replacing Route Direction of the same request: the former attempt is given up.
  void drop_attempts(RequestId request, std::uint8_t below);
  const std::vector<std::unique_ptr<Path>>& paths() const { return paths_; }
  Path* selected() const { return selected_; }
  bool usable() const { return selected_ != nullptr && selected_->usable(); }
  bool ever_up() const { return ever_up_; }

  // What the tunnel needs of the engine after settle().
  struct Needs {
    bool became_usable = false;
    bool dead = false;  // given up: remove it, tell applications
    std::optional<wire::DirectionReason> direction;
    std::optional<PathId> old_path;
  };
  // After every event: selects, holds, removes, and says what is needed.
  Needs settle();

  void on_addresses();
  void revoke(const std::vector<PathId>& paths);
  // The last Direction failed; try again later if packets may still wait.
  void direction_failed();
  void direction_started() { retry_at_ = Instant::never(); }
  void on_timer();
  Instant next_deadline() const;
  // Paths that are gone since the last call, for the engine's index.
  std::vector<PathId> take_removed() { return std::exchange(removed_, {}); }
  // When this machine's address changed and no path answered from the new one yet.
  void handover_started() { handover_since_ = context_.now; }

 private:
  Path* choose() const;
  void collect_losses(bool works, Path* best, Needs& needs);
  void note_handover(const Path& path, bool moved);
  static bool beats(const Path& n, const Path& c);
  void select(Path* path);
  void hold();
  void remove_due();
  bool is_hopeless() const;

  Context& context_;
  datapath::TunnelId id_;
  Name peer_;
  VirtualAddresses addresses_;
  bool put_ = false;
  std::vector<std::unique_ptr<Path>> paths_;
  Path* selected_ = nullptr;
  bool held_ = false;
  bool ever_up_ = false;
  int setup_failures_ = 0;
  std::optional<Instant> handover_since_;
  Instant held_since_;
  Instant retry_at_ = Instant::never();
  Duration retry_every_ = kRetryFirst;
  std::vector<PathId> removed_;
};

}  // namespace ntm::terminal
