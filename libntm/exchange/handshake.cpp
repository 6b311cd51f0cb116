// Building, checking and answering HS_INIT. See the header for the order and why.
#include "libntm/exchange/handshake.hpp"

#include <algorithm>
#include <cassert>

#include "libntm/crypto/key_schedule.hpp"

namespace ntm::exchange {

namespace {

constexpr Duration kCookieRotation = seconds(120);

tl::unexpected<Error> denied(const char* why) { return fail(ErrorKind::Denied, why); }

crypto::NoisePattern noise_pattern(wire::Pattern pattern) {
  return pattern == wire::Pattern::IKpsk1 ? crypto::NoisePattern::IKpsk1 : crypto::NoisePattern::IK;
}

Bytes control_prologue(crypto::Suite suite, const Name& zone) {
  return crypto::prologue(suite, crypto::PrologueRole::Control, Name{}, zone);
}

std::array<Byte, 16> mac16(ByteView key, std::initializer_list<ByteView> parts) {
  crypto::Digest digest = crypto::hmac_sha256(key, parts);
  std::array<Byte, 16> out;
  std::copy_n(digest.begin(), 16, out.begin());
  return out;
}

// Fills mac1 (and mac2 under the cookie) into an encoded HS_INIT.
void put_macs(Bytes& datagram, const PublicKey& responder, ByteView cookie) {
  std::size_t mac1_at = datagram.size() - wire::kMac1FromEnd;
  std::array<Byte, 16> mac1 =
      mac16(crypto::mac1_key(responder).view(), {ByteView(datagram).first(mac1_at)});
  std::copy(mac1.begin(), mac1.end(), datagram.begin() + static_cast<std::ptrdiff_t>(mac1_at));
  if (cookie.empty()) return;
  std::size_t mac2_at = datagram.size() - 16;
  std::array<Byte, 16> mac2 = mac16(cookie, {ByteView(datagram).first(mac2_at)});
  std::copy(mac2.begin(), mac2.end(), datagram.begin() + static_cast<std::ptrdiff_t>(mac2_at));
}

}  // namespace

// ---- initiator -------------------------------------------------------------------------------

HandshakeInitiator::HandshakeInitiator(const HandshakeTarget& target, const crypto::KeyPair& own)
    : target_(target), own_(own) {}

Result<Bytes> HandshakeInitiator::start(ByteView payload, Random& random) {
  bool enrol = target_.token.has_value();
  wire::HandshakeInit message;
  message.suite = static_cast<std::uint8_t>(target_.suite);
  message.pattern = enrol ? wire::Pattern::IKpsk1 : wire::Pattern::IK;
  do message.sender = {random.u64()};
  while (message.sender.is_zero());
  message.responder_hint = crypto::key_hash(target_.responder);
  if (enrol) message.token = *target_.token;
  // Padded with the payload's own padding TLVs (type 0, length 2) so that the datagram is at least
  // as long as any answer to it.
  Bytes padded(payload.begin(), payload.end());
  std::size_t bare = wire::kHandshakeInitFixed + padded.size();
  if (bare < wire::kHandshakeInitMin) {
    std::size_t pad = std::max<std::size_t>(wire::kHandshakeInitMin - bare, 3);
    padded.push_back(0x00);
    padded.push_back(static_cast<Byte>((pad - 3) >> 8));
    padded.push_back(static_cast<Byte>(pad - 3));
    padded.insert(padded.end(), pad - 3, Byte{0});
  }
  crypto::Noise noise(noise_pattern(message.pattern), target_.suite,
                      crypto::NoiseRole::Initiator,
                      control_prologue(target_.suite, target_.zone), own_, target_.responder);
  Result<Bytes> first =
      noise.write_message1(crypto::make_key_pair(random), padded, target_.psk);
  wipe(padded);
  if (!first) return pass(first.error());
  std::copy_n(first->begin(), 32, message.ephemeral.begin());
  std::copy_n(first->begin() + 32, 48, message.encrypted_static.begin());
  message.encrypted_payload.assign(first->begin() + 80, first->end());
  Bytes datagram = wire::encode(message);
  put_macs(datagram, target_.responder, {});
  noise_ = std::move(noise);
  local_ = message.sender;
  init_ = datagram;
  return datagram;
}

Result<HandshakeInitiator::Established> HandshakeInitiator::response(ByteView datagram,
                                                                    Instant now) {
  Result<wire::HandshakeResponse> message = wire::decode_handshake_response(datagram);
  if (!message) return pass(message.error());
  if (!noise_ || message->receiver != local_) return denied("an answer to no handshake of ours");
  if (message->suite != static_cast<std::uint8_t>(target_.suite))
    return denied("the answer changes the suite");
  std::array<Byte, 16> mac1 = mac16(crypto::mac1_key(own_.public_key).view(),
                                    {datagram.first(datagram.size() - 16)});
  if (!crypto::equal_secret(mac1, message->mac1)) return denied("the answer's mac1 is wrong");
  crypto::Noise trial = *noise_;  // a forged answer must not spoil the state
  Bytes second(message->ephemeral.begin(), message->ephemeral.end());
  second.insert(second.end(), message->encrypted_payload.begin(),
                message->encrypted_payload.end());
  Result<Bytes> payload = trial.read_message2(second);
  if (!payload) return pass(payload.error());
  noise_.reset();
  init_.clear();
  return Established{Session(local_, message->sender, target_.responder, target_.suite,
                             trial.split(), true, now),
                     std::move(*payload)};
}

Result<Bytes> HandshakeInitiator::cookie(ByteView datagram) {
  Result<wire::CookieMessage> message = wire::decode_cookie(datagram);
  if (!message) return pass(message.error());
  if (!noise_ || message->receiver != local_) return denied("a cookie for no handshake of ours");
  crypto::DirectionKeys keys = crypto::cookie_keys(target_.responder, message->salt);
  crypto::Aead aead(crypto::Suite::AesGcm, crypto::Aead::Use::Open, keys.key, keys.iv);
  std::array<Byte, 16> cookie;
  ByteView mac1 = ByteView(init_).subspan(init_.size() - wire::kMac1FromEnd, 16);
  if (!aead.open(0, mac1, message->encrypted_cookie, cookie)) return denied("the cookie is forged");
  put_macs(init_, target_.responder, cookie);
  return init_;
}

// ---- responder -------------------------------------------------------------------------------

void CookieJar::rotate(Instant now) {
  if (any_ && now - since_ < kCookieRotation) return;
  // After a silence of two periods the secret of before is no longer the last but one.
  if (any_ && now - since_ < kCookieRotation * 2) previous_ = current_;
  else random_.fill(previous_.span());
  random_.fill(current_.span());
  since_ = now;
  any_ = true;
}

namespace {
std::array<Byte, 16> cookie_of(const Key32& secret, const Endpoint& source) {
  Byte port[2] = {static_cast<Byte>(source.port >> 8), static_cast<Byte>(source.port)};
  return mac16(secret.view(), {source.address.view(), port});
}
}  // namespace

std::array<Byte, 16> CookieJar::make(Instant now, const Endpoint& source) {
  rotate(now);
  return cookie_of(current_, source);
}

std::array<Byte, 16> CookieJar::previous(const Endpoint& source) const {
  return cookie_of(previous_, source);
}

HandshakeResponder::HandshakeResponder(const Name& zone, const crypto::KeyPair& current,
                                       const std::optional<crypto::KeyPair>& next, Random& random)
    : zone_(zone), current_(current), random_(random), cookies_(random) {
  if (next) next_.emplace(*next);
}

HandshakeResponder::OwnKey::OwnKey(const crypto::KeyPair& own)
    : pair(own),
      hint(crypto::key_hash(own.public_key)),
      mac1(crypto::mac1_key(own.public_key).view()) {}

bool HandshakeResponder::OwnKey::made_mac1_of(ByteView datagram) const {
  std::size_t mac1_at = datagram.size() - wire::kMac1FromEnd;
  return crypto::equal_secret(mac1.mac16({datagram.first(mac1_at)}),
                              datagram.subspan(mac1_at, 16));
}

const HandshakeResponder::OwnKey* HandshakeResponder::key_for(ByteView hint) const {
  if (equal(hint, current_.hint)) return &current_;
  if (next_ && equal(hint, next_->hint)) return &*next_;
  return nullptr;
}

bool HandshakeResponder::is_for_us(ByteView datagram) const {
  if (datagram.size() < wire::kHandshakeInitMin || datagram.size() > wire::kMaxControlDatagram)
    return false;
  if (wire::datagram_type(datagram) != wire::DatagramType::HandshakeInit) return false;
  const OwnKey* key = key_for(datagram.subspan(12, 8));
  return key != nullptr && key->made_mac1_of(datagram);
}

std::optional<Bytes> HandshakeResponder::demand_cookie(Instant now, const Endpoint& source,
                                                       ByteView datagram) {
  assert(datagram.size() >= wire::kHandshakeInitMin);
  std::array<Byte, 16> cookie = cookies_.make(now, source);
  ByteView mac2 = datagram.last(16);
  ByteView covered = datagram.first(datagram.size() - 16);
  // Valid under either generation: compute mac2 for both cookies.
  if (crypto::equal_secret(mac16(cookie, {covered}), mac2)) return std::nullopt;
  std::array<Byte, 16> older = cookies_.previous(source);
  if (crypto::equal_secret(mac16(older, {covered}), mac2)) return std::nullopt;

  wire::CookieMessage message;
  message.receiver = {Reader(datagram.subspan(4, 8)).u64()};
  random_.fill(message.salt);
  const OwnKey* key = key_for(datagram.subspan(12, 8));
  const PublicKey& ours = key ? key->pair.public_key : current_.pair.public_key;
  crypto::DirectionKeys keys = crypto::cookie_keys(ours, message.salt);
  crypto::Aead aead(crypto::Suite::AesGcm, crypto::Aead::Use::Seal, keys.key, keys.iv);
  ByteView mac1 = datagram.subspan(datagram.size() - wire::kMac1FromEnd, 16);
  aead.seal(0, mac1, cookie, message.encrypted_cookie);
  return wire::encode(message);
}

Result<OpenedInit> HandshakeResponder::open(ByteView datagram) const {
  Result<wire::HandshakeInit> message = wire::decode_handshake_init(datagram);
  if (!message) return pass(message.error());
  std::optional<crypto::Suite> suite = crypto::suite_from(message->suite);
  if (!suite) return denied("an unknown suite");
  const OwnKey* key = key_for(message->responder_hint);
  if (key == nullptr || !key->made_mac1_of(datagram))
    return denied("not for one of our keys");
  crypto::Noise noise(noise_pattern(message->pattern), *suite, crypto::NoiseRole::Responder,
                      control_prologue(*suite, zone_), key->pair, {});
  Result<PublicKey> initiator = noise.read_static(message->ephemeral, message->encrypted_static);
  if (!initiator) return pass(initiator.error());
  return OpenedInit(std::move(*message), std::move(noise), *suite, key->pair.public_key,
                    datagram.size());
}

Result<Bytes> OpenedInit::read_payload(const std::optional<Key32>& psk,
                                       const std::optional<Key32>& static_shared) {
  return noise_.read_payload(message_.encrypted_payload, psk, static_shared);
}

Result<OpenedInit::Answer> OpenedInit::respond(ByteView payload, SessionId local, Random& random,
                                               Instant now) {
  if (wire::kHandshakeResponseFixed + payload.size() > size_)
    return fail(ErrorKind::Internal, "the answer would be longer than the request");
  Result<Bytes> second = noise_.write_message2(crypto::make_key_pair(random), payload);
  if (!second) return pass(second.error());
  wire::HandshakeResponse message;
  message.suite = static_cast<std::uint8_t>(suite_);
  message.receiver = message_.sender;
  message.sender = local;
  std::copy_n(second->begin(), 32, message.ephemeral.begin());
  message.encrypted_payload.assign(second->begin() + 32, second->end());
  Bytes datagram = wire::encode(message);
  std::array<Byte, 16> mac1 = mac16(crypto::mac1_key(noise_.remote_static()).view(),
                                    {ByteView(datagram).first(datagram.size() - 16)});
  std::copy(mac1.begin(), mac1.end(), datagram.end() - 16);
  return Answer{std::move(datagram), Session(local, message_.sender, noise_.remote_static(),
                                             suite_, noise_.split(), false, now)};
}

SourceLimiter::SourceLimiter(Random& random) : salt_(random.u64()), slots_(kSlots) {}

bool SourceLimiter::allow(Instant now, const IpAddress& source) {
  ByteView key = source.is_v4() ? source.view() : source.view().first(8);
  std::uint64_t hash = salt_ ^ 0xcbf29ce484222325ull;
  for (Byte b : key) hash = (hash ^ b) * 0x100000001b3ull;
  Slot& slot = slots_[(hash ^ (hash >> 32)) % kSlots];
  // Only whole thousandths are taken, and the clock moves on by just what they stand for: else a
  // source faster than one datagram in 50 us would round its whole refill away.
  constexpr std::int64_t kUsPerMilli = 1000 / kPerSecond;
  static_assert(kUsPerMilli * kPerSecond == 1000);
  std::int64_t gained = (now.us - slot.us) / kUsPerMilli;
  slot.us += gained * kUsPerMilli;
  slot.millis = std::min<std::int64_t>(kBurst * 1000, slot.millis + gained);
  if (slot.millis < 1000) return false;
  slot.millis -= 1000;
  return true;
}

}  // namespace ntm::exchange
