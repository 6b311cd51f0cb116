// Sealing and opening CTRL records.
#include "libntm/exchange/session.hpp"

#include "libntm/crypto/key_schedule.hpp"
#include "libntm/wire/framing.hpp"

namespace ntm::exchange {

namespace {
crypto::Aead direction(const Key32& split_output, crypto::Suite suite, crypto::Aead::Use use) {
  crypto::DirectionKeys keys = crypto::direction_keys(split_output, suite);
  return crypto::Aead(suite, use, keys.key, keys.iv);
}
}  // namespace

const char* to_string(Session::Refusal refusal) {
  switch (refusal) {
    case Session::Refusal::Malformed: return "malformed";
    case Session::Refusal::WrongSession: return "wrong session";
    case Session::Refusal::Replay: return "replay";
    case Session::Refusal::Forged: return "forged";
  }
  return "?";
}

Session::Session(SessionId local, SessionId remote, const PublicKey& peer, crypto::Suite suite,
                 const crypto::NoiseOutput& output, bool initiator, Instant now)
    : local_(local),
      remote_(remote),
      peer_(peer),
      suite_(suite),
      seal_(direction(initiator ? output.initiator_to_responder : output.responder_to_initiator,
                      suite, crypto::Aead::Use::Seal)),
      open_(direction(initiator ? output.responder_to_initiator : output.initiator_to_responder,
                      suite, crypto::Aead::Use::Open)),
      bits_(std::make_unique<unsigned long long[]>(NTM_REPLAY_CONTROL_WORDS)),
      made_(now) {
  ntm_replay_init(&window_, bits_.get(), NTM_REPLAY_CONTROL_WORDS);
}

Bytes Session::seal(ByteView plaintext) {
  wire::RecordHeader header;
  header.type = wire::DatagramType::Control;
  header.counter = ++send_counter_;
  header.id = remote_.value;
  std::array<Byte, wire::kRecordHeader> raw = wire::encode(header);
  Bytes out(wire::kRecordHeader + plaintext.size() + crypto::kTag);
  std::copy(raw.begin(), raw.end(), out.begin());
  seal_.seal(header.counter, raw, plaintext, ByteSpan(out).subspan(wire::kRecordHeader));
  return out;
}

tl::expected<Session::Opened, Session::Refusal> Session::open(ByteView datagram) {
  Result<wire::RecordHeader> header = wire::decode_record_header(datagram);
  if (!header || header->type != wire::DatagramType::Control)
    return tl::unexpected(Refusal::Malformed);
  if (header->id != local_.value) return tl::unexpected(Refusal::WrongSession);
  if (!ntm_replay_check(&window_, header->counter)) return tl::unexpected(Refusal::Replay);
  ByteView sealed = datagram.subspan(wire::kRecordHeader);
  Opened out;
  out.plaintext.resize(sealed.size() - crypto::kTag);
  if (!open_.open(header->counter, datagram.first(wire::kRecordHeader), sealed, out.plaintext))
    return tl::unexpected(Refusal::Forged);
  out.newest = !window_.any || header->counter > window_.highest;
  ntm_replay_accept(&window_, header->counter);
  return out;
}

}  // namespace ntm::exchange
