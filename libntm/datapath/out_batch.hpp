// Sealed datagrams on their way out, already in the shape that UDP_SEGMENT wants: datagrams of one
// size to one place lie side by side in memory and leave with one system call. A shorter one may
// only be the last of its run. Making runs where the datagrams are made costs nothing; finding them
// afterwards would copy everything once more.
#pragma once

#include <memory>
#include <vector>

#include "libntm/datapath/change.hpp"

namespace ntm::datapath {

// Limits of one UDP_SEGMENT send: UDP_MAX_SEGMENTS of Linux before 6.9, and what fits one IPv4
// datagram with room for headers.
constexpr std::size_t kMaxRunSegments = 64;
constexpr std::size_t kMaxRunBytes = 65000;

struct OutRun {
  Outer outer;
  PathId path;
  std::size_t offset = 0;   // in the batch's memory
  std::size_t segment = 0;  // size of each datagram but perhaps the last
  std::size_t length = 0;   // of all
  std::size_t count = 0;
};

class OutBatch {
 public:
  // Memory for one datagram of at most `capacity` bytes, behind what was committed. Valid until the
  // next call; a reservation that is not committed costs nothing.
  Byte* reserve(std::size_t capacity) {
    if (used_ + capacity > size_) grow(used_ + capacity);
    return memory_.get() + used_;
  }
  void commit(const Outer& outer, PathId path, std::size_t size) {
    if (runs_.empty() || !joins(runs_.back(), outer, path, size))
      runs_.push_back({outer, path, used_, size, 0, 0});
    runs_.back().length += size;
    ++runs_.back().count;
    used_ += size;
  }
  void append(const Outer& outer, PathId path, ByteView datagram) {
    std::memcpy(reserve(datagram.size()), datagram.data(), datagram.size());
    commit(outer, path, datagram.size());
  }

  const std::vector<OutRun>& runs() const { return runs_; }
  ByteView bytes(const OutRun& run) const { return {memory_.get() + run.offset, run.length}; }
  std::size_t used() const { return used_; }
  bool empty() const { return runs_.empty(); }
  // Runs that can't grow any more, counted from the front: all but perhaps the last.
  std::size_t full_runs() const {
    if (runs_.empty()) return 0;
    const OutRun& last = runs_.back();
    bool open = last.length == last.count * last.segment && last.count < kMaxRunSegments &&
                last.length + last.segment <= kMaxRunBytes;
    return runs_.size() - (open ? 1 : 0);
  }
  // Forgets the first `count` runs; what is left moves to the front of the memory.
  void drop(std::size_t count) {
    std::size_t from = count < runs_.size() ? runs_[count].offset : used_;
    if (used_ != from) std::memmove(memory_.get(), memory_.get() + from, used_ - from);
    runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(count));
    for (OutRun& run : runs_) run.offset -= from;
    used_ -= from;
  }

 private:
  static bool joins(const OutRun& run, const Outer& outer, PathId path, std::size_t size) {
    return run.path == path && size <= run.segment && run.length == run.count * run.segment &&
           run.count < kMaxRunSegments && run.length + size <= kMaxRunBytes && run.outer == outer;
  }
  void grow(std::size_t need) {
    std::size_t size = std::max<std::size_t>(need * 2, 128 * 1024);
    std::unique_ptr<Byte[]> memory(new Byte[size]);
    if (used_ != 0) std::memcpy(memory.get(), memory_.get(), used_);
    memory_ = std::move(memory);
    size_ = size;
  }

  std::unique_ptr<Byte[]> memory_;  // not a vector: growing must not clear the new bytes
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  std::vector<OutRun> runs_;
};

}  // namespace ntm::datapath
