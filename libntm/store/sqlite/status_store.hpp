// status.db: what people like to look at and nobody must keep: the last moves of each terminal,
// events, counters. Losable by contract: writing never waits for the disk, a full queue drops the
// newest and counts it, and a damaged file is put aside and begun anew. A thread of its own writes
// it, so that no registration ever waits for it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libntm/store/model.hpp"

namespace ntm::store::sqlite {

// Bounds of architecture.md 3. A row of `move` takes about 60 octets: a million terminals that
// all moved 64 times fill 4 GB; an event at most 700, a million of them 700 MB.
constexpr std::uint64_t kMovesPerTerminal = 64;
constexpr std::uint64_t kEvents = 1'000'000;
constexpr Duration kEventAge = seconds(30 * 24 * 3600);
// Memory: at most 65536 waiting items of about 1 KB, 64 MB when the disk stands still.
constexpr std::size_t kStatusQueue = 65'536;
constexpr std::size_t kMaxEventKind = 32, kMaxEventSubject = 255, kMaxEventText = 400;

struct Move {
  TerminalId terminal;
  WallTime at;
  std::uint8_t flags = 0;  // LocationFlags
  Endpoint outside4;       // not set: not on that family
  Endpoint outside6;
  bool behind_nat4 = false;
  bool behind_nat6 = false;
  bool operator==(const Move&) const = default;
};

struct Event {
  std::uint64_t number = 0;  // given by the store, growing
  WallTime at;
  std::string kind;     // one word: registered, left, enrolled, …
  std::string subject;  // a name, mostly
  std::string text;
  bool operator==(const Event&) const = default;
};

struct StatusBounds {
  std::uint64_t moves_per_terminal = kMovesPerTerminal;
  std::uint64_t events = kEvents;
  Duration event_age = kEventAge;
};

class StatusStore {
 public:
  static Result<std::unique_ptr<StatusStore>> open(const std::string& directory,
                                                   const StatusBounds& bounds = {});
  ~StatusStore();  // writes what waits

  // Never block; any thread.
  void add_move(const Move& move);
  void add_event(Event event);
  void add_to_counter(const std::string& name, std::uint64_t amount);

  // Newest first.
  Result<std::vector<Move>> moves(TerminalId terminal);
  // Newest first, those with a number below `before` (0: from the newest).
  Result<std::vector<Event>> events(std::uint64_t before, std::size_t limit);
  Result<std::map<std::string, std::uint64_t>> counters();

  // Waits until what was added before is readable or lost; false after the time.
  bool flush(Duration timeout);
  std::uint64_t lost() const;  // items that never reached the file
  bool began_anew() const;     // the file was damaged and put aside as status.db.damaged

 private:
  class Impl;
  explicit StatusStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ntm::store::sqlite
