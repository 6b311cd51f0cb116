// See hold_queue.hpp.
#include "libntm/datapath/hold_queue.hpp"

#include <algorithm>

namespace ntm::datapath {

void HoldQueue::trim() {
  while (packets_.size() > max_packets_ || bytes_ > max_bytes_) {
    pop();
    ++dropped_;
  }
}

void HoldQueue::push(Instant now, Bytes packet, std::uint8_t traffic_class) {
  bytes_ += packet.size();
  packets_.push_back({std::move(packet), now, is_urgent(traffic_class)});
  trim();
}

const Bytes* HoldQueue::front(Instant now) {
  while (!packets_.empty()) {
    const Held& oldest = packets_.front();
    if (now - oldest.at <= (oldest.urgent ? kHoldUrgentAge : kHoldAge)) return &oldest.packet;
    pop();
    ++dropped_;
  }
  return nullptr;
}

void HoldQueue::pop() {
  bytes_ -= packets_.front().packet.size();
  packets_.pop_front();
}

void HoldQueue::take_over(HoldQueue& other) {
  for (Held& held : other.packets_) {
    bytes_ += held.packet.size();
    packets_.push_back(std::move(held));
  }
  other.packets_.clear();
  other.bytes_ = 0;
  std::stable_sort(packets_.begin(), packets_.end(),
                   [](const Held& a, const Held& b) { return a.at < b.at; });
  trim();
}

void HoldQueue::clear() {
  packets_.clear();
  bytes_ = 0;
}

}  // namespace ntm::datapath
