// The end-to-end handshake between two terminals, IKpsk2 (docs/PROTOCOL.md 3.8): building and
// reading its two messages, and cutting the path's keys from the result.
#pragma once

#include "libntm/crypto/key_schedule.hpp"
#include "libntm/crypto/noise.hpp"
#include "libntm/datapath/change.hpp"
#include "terminal/engine/context.hpp"

namespace ntm::terminal {

struct StartedHandshake {
  crypto::Noise noise;
  Bytes message1;  // 112 bytes
};
// MN: message 1 for the responder's key.
Result<StartedHandshake> start_end_to_end(Context& context, crypto::Suite suite,
                                          const Name& initiator, const Name& responder,
                                          const PublicKey& responder_key);
// CN: reads message 1; Denied when it does not open or is not from `initiator_key`.
Result<crypto::Noise> read_end_to_end(Context& context, crypto::Suite suite,
                                      const Name& initiator, const Name& responder,
                                      const PublicKey& initiator_key, ByteView message1);
// CN: message 2, 56 bytes.
Result<Bytes> answer_end_to_end(Context& context, crypto::Noise& noise, const Key32& psk);

datapath::PathKeys path_keys(const crypto::NoiseOutput& output, crypto::Suite suite,
                             std::uint8_t epoch, bool initiator);

}  // namespace ntm::terminal
