// In which order a change reaches the halves of the datapath. Keys must be able to receive before
// anything is sent under them (the answer may be fast), and the Sender is the one that can refuse
// a tunnel, so it is asked first there. Either way: what is refused changed nothing.
#pragma once

#include "libntm/datapath/change.hpp"
#include "libntm/base/result.hpp"

namespace ntm::datapath {

template <typename ToSender, typename ToReceiver>
Result<void> apply_to_halves(const Change& change, ToSender to_sender, ToReceiver to_receiver) {
  bool receiver_first =
      std::holds_alternative<PutPath>(change) || std::holds_alternative<AddKeys>(change);
  Result<void> first = receiver_first ? to_receiver(change) : to_sender(change);
  if (!first) return first;
  return receiver_first ? to_sender(change) : to_receiver(change);
}

}  // namespace ntm::datapath
