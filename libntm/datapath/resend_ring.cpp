// See resend_ring.hpp. One block of memory is written round and round; entries are in the order of
// their place in it, so making room always drops the oldest.
#include "libntm/datapath/resend_ring.hpp"

#include <algorithm>
#include <cassert>

namespace ntm::datapath {

void ResendRing::allocate() {
  if (allocated()) return;
  memory_.reset(new Byte[limits_.bytes]);
  table_ = std::make_unique<Entry[]>(limits_.packets);
}

void ResendRing::release() {
  memory_.reset();
  table_.reset();
  first_ = count_ = pending_ = done_ = write_ = 0;
}

void ResendRing::drop_oldest() {
  assert(count_ > 0);
  if (at(0).pending) --pending_;
  first_ = (first_ + 1) % limits_.packets;
  --count_;
  if (done_ > 0) --done_;
}

void ResendRing::make_room(std::size_t size) {
  if (write_ + size > limits_.bytes) {
    // The rest of the block stays unused; whatever lies there is older than what lies at its start.
    while (count_ > 0 && at(0).offset >= write_) drop_oldest();
    write_ = 0;
  }
  while (count_ == limits_.packets ||
         (count_ > 0 && at(0).offset < write_ + size && at(0).offset + at(0).size > write_))
    drop_oldest();
}

void ResendRing::add(Instant now, PathId path, std::uint8_t epoch, std::uint64_t counter,
                     ByteView sealed) {
  if (!allocated() || sealed.size() > limits_.bytes) return;
  make_room(sealed.size());
  Entry& entry = at(count_);
  entry = {path, epoch, false, counter, write_, sealed.size(), now};
  std::memcpy(memory_.get() + write_, sealed.data(), sealed.size());
  write_ += sealed.size();
  ++count_;
}

void ResendRing::age(Instant now, bool silent) {
  while (count_ > 0) {
    const Entry& oldest = at(0);
    // A marked packet waits for credit or pace, not for news of the path.
    Duration limit = silent || oldest.pending ? kRingSilentAge : kRingAge;
    if (now - oldest.sent <= limit) return;
    drop_oldest();
  }
}

std::size_t ResendRing::mark_missing(Instant now, const wire::ReceiveState& state) {
  std::size_t marked = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    Entry& entry = at(i);
    if (entry.path != state.path || entry.epoch != state.epoch || entry.pending) continue;
    if (now - entry.resent < kResendAgain) continue;
    if (state.any && entry.counter <= state.highest) {
      if (entry.counter == state.highest) continue;
      std::uint64_t bit = state.highest - 1 - entry.counter;
      if (bit >= state.bitmap.size() * 8) continue;  // below it everything was received
      if ((state.bitmap[bit / 8] >> (7 - bit % 8) & 1) != 0) continue;
    }
    entry.pending = true;
    ++pending_;
    ++marked;
    done_ = std::min(done_, i);
  }
  return marked;
}

const ResendRing::Entry* ResendRing::next_pending() const {
  if (pending_ == 0) return nullptr;
  for (std::size_t i = done_; i < count_; ++i)
    if (at(i).pending) return &at(i);
  return nullptr;
}

void ResendRing::resent(Instant now) {
  for (std::size_t i = done_; i < count_; ++i) {
    if (!at(i).pending) continue;
    at(i).pending = false;
    at(i).resent = now;
    --pending_;
    done_ = i + 1;
    return;
  }
}

// ---- both rings ------------------------------------------------------------------------------

void ResendRings::release() {
  stream_.release();
  datagrams_.release();
}

void ResendRings::add(Traffic traffic, Instant now, PathId path, std::uint8_t epoch,
                      std::uint64_t counter, ByteView sealed) {
  ResendRing& ring = traffic == Traffic::Stream ? stream_ : datagrams_;
  ring.allocate();
  ring.add(now, path, epoch, counter, sealed);
}

void ResendRings::age(Instant now, bool silent) {
  stream_.age(now, silent);
  datagrams_.age(now, silent);
}

std::size_t ResendRings::mark_missing(Instant now, const wire::ReceiveState& state) {
  return stream_.mark_missing(now, state) + datagrams_.mark_missing(now, state);
}

const ResendRing::Entry* ResendRings::next_pending() {
  const ResendRing::Entry* stream = stream_.next_pending();
  const ResendRing::Entry* datagram = datagrams_.next_pending();
  bool first = datagram == nullptr || (stream != nullptr && stream->sent <= datagram->sent);
  turn_ = first ? &stream_ : &datagrams_;
  return first ? stream : datagram;
}

}  // namespace ntm::datapath
