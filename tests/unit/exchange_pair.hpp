// What the tests of control sessions share: seeded randomness, and a terminal and a DC that can be
// taken through a handshake.
#pragma once

#include <gtest/gtest.h>

#include <random>

#include "libntm/exchange/handshake.hpp"

namespace ntm::exchange {

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(ByteSpan out) override {
    for (Byte& b : out) b = static_cast<Byte>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

struct HandshakePair {
  explicit HandshakePair(crypto::Suite chosen) : suite(chosen) {}

  SeededRandom random{11};
  crypto::Suite suite;
  Name zone = *Name::parse("mn.example");
  crypto::KeyPair terminal = crypto::make_key_pair(random);
  crypto::KeyPair dc = crypto::make_key_pair(random);
  Instant now{5'000'000};
  Bytes request{0x02, 1, 2, 3};
  Bytes answer{0x03, 9, 8};
  HandshakeInitiator initiator{HandshakeTarget{dc.public_key, zone, suite, {}, {}}, terminal};
  HandshakeResponder responder{zone, dc, std::nullopt, random};

  // Opened, read and answered; HS_RESP is in `datagram`.
  OpenedInit::Answer respond_to(ByteView init) {
    OpenedInit opened = *responder.open(init);
    EXPECT_TRUE(opened.read_payload(std::nullopt).has_value());
    return *opened.respond(answer, {77}, random, now);
  }
  struct Sessions {
    Session terminal;
    Session dc;
  };
  Sessions sessions() {
    OpenedInit::Answer responded = respond_to(*initiator.start(request, random));
    Session ours = std::move(initiator.response(responded.datagram, now)->session);
    return {std::move(ours), std::move(responded.session)};
  }
};

}  // namespace ntm::exchange
