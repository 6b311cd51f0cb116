// Key schedule, Noise and sealed datagrams against a second implementation (reference_keys.py ->
// golden/keys.json). Control handshakes go through exchange, so that the golden bytes are those
// that really leave a terminal and a DC.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "libntm/base/text.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/crypto/tunnel_keys.hpp"
#include "libntm/exchange/handshake.hpp"
#include "tests/vectors/wire_cases.hpp"

namespace ntm::crypto {
namespace {

using tests::name;
using tests::run;
using tests::run_of;

constexpr PathId kPath{0x1112131415161718};
constexpr TokenId kToken{0x7172737475767778};
const Suite kSuites[] = {Suite::AesGcm, Suite::ChaChaPoly};

Key32 key32(int first) { return Key32(run_of<32>(first)); }
KeyPair initiator() { return key_pair_from(key32(0x01)); }
KeyPair responder() { return key_pair_from(key32(0x40)); }
std::string number(Suite suite) { return std::to_string(static_cast<int>(suite)); }

// Gives out bytes that the test lined up, and fails when asked for others.
class Scripted final : public Random {
 public:
  explicit Scripted(Bytes script) : script_(std::move(script)) {}
  void fill(ByteSpan out) override {
    ASSERT_LE(out.size(), script_.size() - at_) << "more randomness than the test lined up";
    std::copy_n(script_.begin() + static_cast<std::ptrdiff_t>(at_), out.size(), out.begin());
    at_ += out.size();
  }

 private:
  Bytes script_;
  std::size_t at_ = 0;
};

class KeysVectors : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(NTM_SOURCE_DIR "/tests/vectors/golden/keys.json");
    nlohmann::json rows = nlohmann::json::parse(file, nullptr, false);
    ASSERT_TRUE(rows.is_object());
    for (nlohmann::json::iterator row = rows.begin(); row != rows.end(); ++row)
      golden_[row.key()] = row.value().get<std::string>();
  }
  Bytes golden(const std::string& label) {
    EXPECT_TRUE(golden_.contains(label)) << label;
    return from_hex(golden_[label]).value();
  }
  void expect(const std::string& label, ByteView value) {
    EXPECT_TRUE(golden_.contains(label)) << label;
    EXPECT_EQ(to_hex(value), golden_[label]) << label;
  }
  void expect_output(const std::string& label, const NoiseOutput& output) {
    expect(label + "/ck", output.chaining_key.view());
    expect(label + "/h", output.handshake_hash);
    expect(label + "/to_responder", output.initiator_to_responder.view());
    expect(label + "/to_initiator", output.responder_to_initiator.view());
  }
  void end_to_end(Suite suite);
  void control(Suite suite, bool enrol);

  std::map<std::string, std::string> golden_;
};

TEST_F(KeysVectors, EveryLabel) {
  Bytes secret = run(1, 32);
  for (std::string_view label : {kLabelKey, kLabelIv, kLabelExporter, kLabelRekey,
                                 kLabelPeerToPeer, kLabelPsk, kLabelMac1, kLabelCookie,
                                 kLabelReset, kLabelRelay, kLabelEnrol})
    expect("derive/" + std::string(label),
           derive32(secret, label, 1, as_view("context")).view());
  Bytes iv(12);
  derive(secret, kLabelIv, 2, {}, iv);
  expect("derive/no_context_12", iv);
  Bytes longer(100);
  derive(secret, kLabelKey, 0, run(7, 300), longer);
  expect("derive/long_100", longer);
}

TEST_F(KeysVectors, DirectionsAndPrologues) {
  for (Suite suite : kSuites) {
    DirectionKeys keys = direction_keys(key32(9), suite);
    expect("direction/" + number(suite) + "/key", keys.key.view());
    expect("direction/" + number(suite) + "/iv", keys.iv);
    expect("prologue/" + number(suite) + "/control",
           prologue(suite, PrologueRole::Control, Name{}, name("example.org")));
    expect("prologue/" + number(suite) + "/end_to_end",
           prologue(suite, PrologueRole::EndToEnd, name("mn.example.org"),
                    name("cn.example.net")));
  }
}

TEST_F(KeysVectors, TokensAndMacKeys) {
  PublicKey key = responder().public_key;
  expect("public/responder", key.view());
  expect("public/initiator", initiator().public_key.view());
  expect("key_hash", key_hash(key));
  expect("mac1_key", mac1_key(key).view());
  DirectionKeys cookie = cookie_keys(key, run(0x30, 24));
  expect("cookie_keys", Writer().bytes(cookie.key.view()).bytes(cookie.iv).view());
  expect("control_hint_token", control_hint_token(key32(3), key_hash(key)));
  expect("path_hint_token", path_hint_token(key32(3), kPath));
  expect("relay_token_secret", relay_token_secret(key32(3), name("example.org")).view());
  expect("enrolment_psk", enrolment_psk(run(0x90, 16), kToken).view());
  expect("peer_to_peer_key", peer_to_peer_key(key32(5)).view());
  expect("safety_number", as_view(safety_number(key, initiator().public_key)));
  expect("safety_number", as_view(safety_number(initiator().public_key, key)));
}

TEST_F(KeysVectors, TunnelRequest) {
  wire::TunnelMessage m;
  m.blob_kind = wire::BlobKind::Confirm;
  m.counter = 2;
  m.path = kPath;
  m.challenge = 0x2122232425262728;
  m.echo = 0x3132333435363738;
  m.blob = confirm_blob(key32(0x33), kPath);
  Bytes datagram = wire::encode_without_mac(m);
  append_tunnel_mac(peer_to_peer_key(key32(5)), datagram);
  expect("tunnel_req", datagram);
  EXPECT_TRUE(verify_tunnel_mac(peer_to_peer_key(key32(5)), golden("tunnel_req")));
}

void KeysVectors::end_to_end(Suite suite) {
  std::string label = "ikpsk2/" + number(suite);
  Name org = name("example.org");
  Name net = name("example.net");
  Key32 psk = tunnel_psk(key32(5), Key32{}, kPath, suite, org, net);
  expect("tunnel_psk/" + number(suite) + "/plain", psk.view());
  expect("tunnel_psk/" + number(suite) + "/user",
         tunnel_psk(key32(5), key32(6), kPath, suite, org, net).view());
  Bytes opening = prologue(suite, PrologueRole::EndToEnd, name("mn.example.org"),
                           name("cn.example.net"));
  Noise mn(NoisePattern::IKpsk2, suite, NoiseRole::Initiator, opening, initiator(),
           responder().public_key);
  Noise cn(NoisePattern::IKpsk2, suite, NoiseRole::Responder, opening, responder(), {});
  Bytes payload1 = Writer().u64(77).u32(0).u16(3).u16(0).take();
  Bytes message1 = mn.write_message1(key_pair_from(key32(0x81)), payload1).value();
  expect(label + "/message1", message1);
  EXPECT_EQ(message1.size(), wire::kMessage1Size);
  ByteView view = message1;
  EXPECT_EQ(cn.read_static(view.first(32), view.subspan(32, 48)).value(),
            initiator().public_key);
  EXPECT_EQ(cn.read_payload(view.subspan(80)).value(), payload1);
  Bytes message2 = cn.write_message2(key_pair_from(key32(0xc1)), Bytes(8), psk).value();
  expect(label + "/message2", message2);
  EXPECT_EQ(message2.size(), wire::kMessage2Size);
  EXPECT_EQ(mn.read_message2(message2, psk).value(), Bytes(8));
  expect_output(label, mn.split());
  expect_output(label, cn.split());
  Key32 exporter_key = exporter(mn.split(), suite);
  expect(label + "/exporter", exporter_key.view());
  expect(label + "/rekey_psk", rekey_psk(mn.split(), suite).view());
  expect(label + "/confirm", confirm_blob(exporter_key, kPath));
  EXPECT_TRUE(verify_confirm(exporter_key, kPath, golden(label + "/confirm")));
}

TEST_F(KeysVectors, EndToEndHandshakes) {
  for (Suite suite : kSuites) end_to_end(suite);
}

TEST_F(KeysVectors, DataRecords) {
  for (Suite suite : kSuites) {
    std::string label = "ikpsk2/" + number(suite);
    Key32 split = Key32::from(golden(label + "/to_responder"));
    DirectionKeys keys = direction_keys(split, suite);
    wire::RecordHeader header;
    header.epoch = 1;
    header.early = true;
    header.counter = wire::kMaxCounter - 1;
    header.id = kPath.value;
    std::array<Byte, wire::kRecordHeader> raw = wire::encode(header);
    Bytes sealed(64 + kTag);
    Aead(suite, Aead::Use::Seal, keys.key, keys.iv)
        .seal(header.counter, raw, run(0x45, 64), sealed);
    expect(label + "/data", Writer().bytes(raw).bytes(sealed).view());
  }
}

// HS_INIT, COOKIE, HS_RESP and CTRL between an initiator and a responder of exchange, whose
// randomness is the transcript's.
void KeysVectors::control(Suite suite, bool enrol) {
  std::string label = (enrol ? "ikpsk1/" : "ik/") + number(suite);
  exchange::HandshakeTarget target;
  target.responder = responder().public_key;
  target.zone = name("example.org");
  target.suite = suite;
  std::optional<Key32> psk;
  if (enrol) psk = enrolment_psk(run(0x90, 16), kToken);
  if (enrol) target.token = kToken;
  target.psk = psk;
  exchange::HandshakeInitiator mn(target, initiator());
  Scripted mn_random(Writer().bytes(run(0x51, 8)).bytes(run(0x81, 32)).take());
  expect(label + "/hs_init", mn.start(run(0x11, 400), mn_random).value());
  Bytes init = mn.cookie(golden(label + "/cookie")).value();
  expect(label + "/hs_init_with_cookie", init);

  Scripted dc_random(run(0xc1, 32));
  exchange::HandshakeResponder dc(name("example.org"), responder(), std::nullopt, dc_random);
  ASSERT_TRUE(dc.is_for_us(init));
  Result<exchange::OpenedInit> opened = dc.open(init);
  ASSERT_TRUE(opened) << opened.error().text;
  EXPECT_EQ(opened->read_payload(psk).value(), run(0x11, 400));
  Result<exchange::OpenedInit::Answer> answer =
      opened->respond(run(0x22, 40), SessionId{0x6162636465666768}, dc_random, Instant{});
  ASSERT_TRUE(answer) << answer.error().text;
  expect(label + "/hs_resp", answer->datagram);
  Result<exchange::HandshakeInitiator::Established> made =
      mn.response(golden(label + "/hs_resp"), Instant{});
  ASSERT_TRUE(made) << made.error().text;
  EXPECT_EQ(made->payload, run(0x22, 40));

  Bytes keep_alive = wire::encode(tests::control_cases().at("control/keep_alive_asks"));
  for (const char* record : {"/ctrl_1", "/ctrl_2"}) {
    expect(label + record, made->session.seal(keep_alive));
    tl::expected<exchange::Session::Opened, exchange::Session::Refusal> plain =
        answer->session.open(golden(label + record));
    ASSERT_TRUE(plain) << exchange::to_string(plain.error());
    EXPECT_EQ(plain->plaintext, keep_alive);
  }
}

TEST_F(KeysVectors, ControlHandshakes) {
  for (Suite suite : kSuites) {
    control(suite, false);
    control(suite, true);
  }
}

// Exchange shows neither chaining key nor hash, so those of IK and IKpsk1 are compared here.
TEST_F(KeysVectors, ControlTranscripts) {
  for (Suite suite : kSuites) {
    for (NoisePattern pattern : {NoisePattern::IK, NoisePattern::IKpsk1}) {
      bool enrol = pattern == NoisePattern::IKpsk1;
      std::string label = (enrol ? "ikpsk1/" : "ik/") + number(suite);
      std::optional<Key32> psk;
      if (enrol) psk = enrolment_psk(run(0x90, 16), kToken);
      Noise mn(pattern, suite, NoiseRole::Initiator,
               prologue(suite, PrologueRole::Control, Name{}, name("example.org")), initiator(),
               responder().public_key);
      expect(label + "/message1",
             mn.write_message1(key_pair_from(key32(0x81)), run(0x11, 400), psk).value());
      EXPECT_EQ(mn.read_message2(golden(label + "/message2")).value(), run(0x22, 40));
      expect_output(label, mn.split());
    }
  }
}

}  // namespace
}  // namespace ntm::crypto
