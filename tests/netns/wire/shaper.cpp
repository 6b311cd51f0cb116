// The effects of one direction of a link, in the order that shaper.hpp gives.
#include "tests/netns/wire/shaper.hpp"

#include <algorithm>
#include <utility>

namespace ntm::lab {

bool Shaper::chance(double probability) {
  if (probability <= 0) return false;
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

std::optional<Nanoseconds> Shaper::leave_queue(Nanoseconds arrival, const Frame& frame) {
  if (settings.rate == 0) return arrival;
  Nanoseconds start = std::max(arrival, busy_until_);
  double bytes_waiting = static_cast<double>(start - arrival) * 1e-9 *
                         static_cast<double>(settings.rate) / 8;
  if (bytes_waiting > static_cast<double>(settings.queue_bytes)) return std::nullopt;
  double seconds = static_cast<double>(frame.wire_bytes()) * 8 / static_cast<double>(settings.rate);
  busy_until_ = start + static_cast<Nanoseconds>(seconds * 1e9);
  return busy_until_;
}

Nanoseconds Shaper::due_time(Nanoseconds left_queue, Nanoseconds path_delay) {
  Nanoseconds due = left_queue + settings.delay + path_delay;
  if (settings.jitter > 0) {
    std::uniform_int_distribution<Nanoseconds> spread(-settings.jitter, settings.jitter);
    due = std::max(left_queue, due + spread(random_));
  }
  if (chance(settings.reorder)) {
    ++counters.reordered;
    return due + settings.reorder_by;  // last_due_ stays: those behind may overtake
  }
  // In order within one path; a frame for a near destination does not wait behind a far one.
  if (path_delay == last_path_delay_) due = std::max(due, last_due_);
  last_path_delay_ = path_delay;
  last_due_ = due;
  return due;
}

void Shaper::offer(Nanoseconds arrival, Nanoseconds path_delay, Frame frame) {
  ++counters.frames;
  counters.bytes += frame.bytes.size();
  if (settings.cut) {
    ++counters.cut;
    return;
  }
  if (chance(settings.loss)) {
    ++counters.lost;
    return;
  }
  if (chance(settings.corrupt)) {
    ++counters.corrupted;
    if (!frame.corrupt(random_())) return;
  }
  std::optional<Nanoseconds> left = leave_queue(arrival, frame);
  if (!left || queue_.size() >= kMaxWaiting) {
    ++counters.queue_drops;
    return;
  }
  Nanoseconds due = due_time(*left, path_delay);
  if (chance(settings.duplicate)) {
    ++counters.duplicated;
    queue_.push(Entry{due, order_++, frame});
  }
  queue_.push(Entry{due, order_++, std::move(frame)});
}

std::optional<Nanoseconds> Shaper::next_due() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.top().due;
}

std::optional<Frame> Shaper::take(Nanoseconds now) {
  if (queue_.empty() || queue_.top().due > now) return std::nullopt;
  Frame frame = std::move(queue_.top().frame);
  queue_.pop();
  ++counters.delivered;
  return frame;
}

void Shaper::drop_waiting() {
  counters.cut += queue_.size();
  queue_ = {};
}

}  // namespace ntm::lab
