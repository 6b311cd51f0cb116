// See reassembly.hpp. Overlapping parts that disagree are not detected: both are authentic.
#include "libntm/datapath/reassembly.hpp"

namespace ntm::datapath {

Reassembly::Slot& Reassembly::slot_for(Instant now, std::uint16_t id) {
  Slot* best = &slots_.front();
  for (Slot& slot : slots_) {
    if (slot.used && now - slot.since > kReassemblyAge) slot.used = false;
    if (slot.used && slot.id == id) return slot;
    bool better = !slot.used ? best->used : best->used && slot.since < best->since;
    if (better) best = &slot;
  }
  *best = Slot{};
  best->used = true;
  best->id = id;
  best->since = now;
  return *best;
}

std::optional<Bytes> Reassembly::add(Instant now, const wire::Fragment& fragment) {
  std::size_t end = std::size_t{fragment.offset} + fragment.part.size();
  if (fragment.part.empty() || end > kMaxReassembledSize) return std::nullopt;
  Slot& slot = slot_for(now, fragment.id);
  if (slot.bytes.size() < end) {
    slot.bytes.resize(end);
    slot.have.resize(end);
  }
  for (std::size_t i = 0; i < fragment.part.size(); ++i) {
    std::size_t at = fragment.offset + i;
    slot.bytes[at] = fragment.part[i];
    if (!slot.have[at]) ++slot.got;
    slot.have[at] = true;
  }
  if (fragment.last) slot.total = end;
  if (slot.total == 0 || slot.got < slot.total || slot.bytes.size() != slot.total)
    return std::nullopt;
  Bytes whole = std::move(slot.bytes);
  slot = Slot{};
  return whole;
}

}  // namespace ntm::datapath
