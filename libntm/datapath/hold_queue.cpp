// See hold_queue.hpp.
#include "libntm/datapath/hold_queue.hpp"

#include <algorithm>

namespace ntm::datapath {

void HoldQueue::Lane::pop() {
  bytes -= packets.front().packet.size();
  packets.pop_front();
}

void HoldQueue::trim(Lane& lane) {
  while (lane.packets.size() > max_packets_ || lane.bytes > max_bytes_) {
    lane.pop();
    ++dropped_;
  }
}

void HoldQueue::push(Instant now, Bytes packet, Traffic traffic, std::uint8_t traffic_class) {
  Lane& lane = lanes_[static_cast<std::size_t>(traffic)];
  lane.bytes += packet.size();
  lane.packets.push_back({std::move(packet), now, arrived_++, is_urgent(traffic_class)});
  trim(lane);
}

// The lane whose first packet is the oldest of all; any if there is none.
HoldQueue::Lane& HoldQueue::oldest() {
  Lane& a = lanes_[0];
  Lane& b = lanes_[1];
  if (a.packets.empty() || b.packets.empty()) return a.packets.empty() ? b : a;
  return a.packets.front().number < b.packets.front().number ? a : b;
}

const Bytes* HoldQueue::front(Instant now) {
  while (!empty()) {
    const Held& first = oldest().packets.front();
    if (now - first.at <= (first.urgent ? kHoldUrgentAge : kHoldAge)) return &first.packet;
    oldest().pop();
    ++dropped_;
  }
  return nullptr;
}

void HoldQueue::pop() { oldest().pop(); }

void HoldQueue::take_over(HoldQueue& other) {
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = lanes_[i];
    for (Held& held : other.lanes_[i].packets) {
      lane.bytes += held.packet.size();
      lane.packets.push_back(std::move(held));
    }
  }
  other.clear();
  // Both count arrivals from zero, so only the times compare.
  std::vector<Held*> all;
  for (Lane& lane : lanes_) {
    std::stable_sort(lane.packets.begin(), lane.packets.end(),
                     [](const Held& a, const Held& b) { return a.at < b.at; });
    for (Held& held : lane.packets) all.push_back(&held);
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Held* a, const Held* b) { return a->at < b->at; });
  arrived_ = 0;
  for (Held* held : all) held->number = arrived_++;
  for (Lane& lane : lanes_) trim(lane);
}

void HoldQueue::clear() {
  for (Lane& lane : lanes_) lane = {};
}

}  // namespace ntm::datapath
