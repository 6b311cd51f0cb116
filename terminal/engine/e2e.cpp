// See the header. Message 1's payload: counter 8 ‖ zero 4 ‖ suites 2 ‖ flags 2; message 2's:
// zero 8 (reserved).
#include "terminal/engine/e2e.hpp"

#include "libntm/wire/framing.hpp"

namespace ntm::terminal {

Result<StartedHandshake> start_end_to_end(Context& context, crypto::Suite suite,
                                          const Name& initiator, const Name& responder,
                                          const PublicKey& responder_key) {
  crypto::Noise noise(crypto::NoisePattern::IKpsk2, suite, crypto::NoiseRole::Initiator,
                      crypto::prologue(suite, crypto::PrologueRole::EndToEnd, initiator, responder),
                      context.settings.key, responder_key);
  Writer payload(16);
  payload.u64(context.next_counter()).u32(0).u16(crypto::kAllSuites).u16(0);
  Result<Bytes> message =
      noise.write_message1(crypto::make_key_pair(context.random), payload.view());
  if (!message) return pass(message.error());
  return StartedHandshake{std::move(noise), std::move(*message)};
}

Result<crypto::Noise> read_end_to_end(Context& context, crypto::Suite suite,
                                      const Name& initiator, const Name& responder,
                                      const PublicKey& initiator_key, ByteView message1) {
  if (message1.size() != wire::kMessage1Size)
    return fail(ErrorKind::Denied, "message 1 has a wrong length");
  crypto::Noise noise(crypto::NoisePattern::IKpsk2, suite, crypto::NoiseRole::Responder,
                      crypto::prologue(suite, crypto::PrologueRole::EndToEnd, initiator, responder),
                      context.settings.key, {});
  Result<PublicKey> key = noise.read_static(message1.first(32), message1.subspan(32, 48));
  if (!key) return pass(key.error());
  if (*key != initiator_key)
    return fail(ErrorKind::Denied, "message 1 is not from the key that the DC named");
  Result<Bytes> payload = noise.read_payload(message1.subspan(80));
  if (!payload) return pass(payload.error());
  return noise;
}

Result<Bytes> answer_end_to_end(Context& context, crypto::Noise& noise, const Key32& psk) {
  std::array<Byte, 8> payload{};
  return noise.write_message2(crypto::make_key_pair(context.random), payload, psk);
}

datapath::PathKeys path_keys(const crypto::NoiseOutput& output, crypto::Suite suite,
                             std::uint8_t epoch, bool initiator) {
  crypto::DirectionKeys out = crypto::direction_keys(
      initiator ? output.initiator_to_responder : output.responder_to_initiator, suite);
  crypto::DirectionKeys in = crypto::direction_keys(
      initiator ? output.responder_to_initiator : output.initiator_to_responder, suite);
  datapath::PathKeys keys;
  keys.suite = static_cast<std::uint8_t>(suite);
  keys.epoch = epoch;
  keys.send = {out.key, out.iv};
  keys.receive = {in.key, in.iv};
  return keys;
}

}  // namespace ntm::terminal
