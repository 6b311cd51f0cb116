// Real director engines on memory stores, with scripted terminals and relays on the simulated
// network, under virtual time. Nothing answers by itself unless a test says so: what a director
// does is seen in the datagrams it sends, the store it writes and the effects it gives.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/exchange/handshake.hpp"
#include "libntm/store/memory/memory_store.hpp"
#include "tests/scenario/network.hpp"
#include "tests/scenario/simulator.hpp"

namespace ntm::director::testing {

inline Name name(const std::string& text) { return Name::parse(text).value(); }
inline IpAddress ip(const std::string& text) { return parse_address(text).value(); }
inline Endpoint ep(const std::string& text) { return parse_endpoint(text).value(); }

class World;

// One DC of one zone: engine and store. `restart` drops the engine and all that is not stored.
class Dc {
 public:
  Dc(World& world, const std::string& zone, scenario::SiteId site,
     const std::vector<std::string>& addresses);
  void restart();
  void turn();  // performs effects, takes completions, arms the timer

  // A terminal or relay and a token for it, as `ntm dc … add` makes them.
  wire::EnrolmentToken add_terminal(const std::string& terminal);
  // One more zone on this host, under the same key and at the same addresses.
  void add_zone(const std::string& apex);
  const store::Zone& zone_of(const Name& terminal) const;
  wire::EnrolmentToken token_for(const std::string& subject, store::TokenPurpose purpose);
  wire::EnrolmentToken add_relay(const std::string& relay);
  void write(store::Operation operation);
  std::optional<store::TerminalView> stored(const std::string& terminal);
  std::optional<store::Location> location(const std::string& terminal);
  int noted(Notify::Kind kind, const std::string& subject) const;
  DcAddress address() const;
  Endpoint endpoint(Family family) const;
  // What its terminals get from DNS: the NTM record of the family.
  Bytes record(const std::string& terminal, Family family);

  World& world;
  store::Zone zone;
  crypto::KeyPair key;
  Key32 reset_secret;
  std::unique_ptr<store::memory::MemoryStore> store;
  std::unique_ptr<DirectorEngine> engine;
  std::vector<Notify> notes;
  std::vector<Name> resolved;  // zones that it looked up
  bool takes_completions = true;
  std::size_t cookie_threshold = 2000;

 private:
  void perform(Effect& effect);
  std::vector<IpAddress> addresses_;
  std::vector<store::Zone> more_zones_;
  scenario::HostId host_ = 0;
  std::map<std::uint64_t, std::uint64_t> tags_;  // batch -> tag
  std::deque<StoreWrite> unsent_;
  Instant armed_ = Instant::never();
  std::uint64_t next_id_ = 1;
};

// A terminal or relay played by the test: it says what it is told to and keeps what it gets.
class Peer {
 public:
  Peer(World& world, Dc& dc, const std::string& name);
  void attach(scenario::SiteId site, const std::string& address);
  void detach(const std::string& address);

  // HS_INIT with this message; `again` sends the same datagram once more.
  void handshake(Family family, const wire::ControlMessage& message,
                 const std::optional<wire::EnrolmentToken>& token = std::nullopt);
  void again(Family family);
  void send(Family family, const wire::ControlMessage& message);  // CTRL
  Bytes sealed(const wire::ControlMessage& message) { return session->seal(wire::encode(message)); }
  void send_raw(Family family, Bytes datagram);

  wire::RegistrationRequest request();  // with the next counter
  wire::DirectionRequest direction(const std::string& peer, const std::string& zone);
  // Enrols with a fresh token / registers by handshake / by record, and runs until answered.
  bool enrol(Family family = Family::V4);
  bool reg(Family family = Family::V4);
  wire::Status last_status() const;
  std::size_t answers() const { return got<wire::RegistrationResponse>().size(); }

  template <typename M>
  std::vector<M> got() const {
    std::vector<M> out;
    for (const wire::ControlMessage& m : inbox)
      if (const M* one = std::get_if<M>(&m)) out.push_back(*one);
    return out;
  }
  Endpoint own(Family family) const;

  World& world;
  Dc* dc;
  Name who;
  crypto::KeyPair key;
  std::uint64_t counter = 0;
  std::optional<exchange::Session> session;
  std::vector<wire::ControlMessage> inbox;
  std::vector<wire::ControlHint> hints;
  int cookies = 0;
  int responses = 0;
  std::vector<wire::Locator> extra_locators;
  bool acks = true;                            // Route Directions and Path Revokes
  wire::Status ack_status = wire::Status::Ok;
  bool relays = false;                         // answers Relay Directions
  wire::Status relay_status = wire::Status::Ok;
  bool follows_hints = false;                  // registers again, as a terminal does
  std::vector<Endpoint> relay_endpoints;

 private:
  void receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram);
  void react(Family family, const wire::ControlMessage& message);
  scenario::HostId host_ = 0;
  std::map<Family, Endpoint> own_;
  std::unique_ptr<exchange::HandshakeInitiator> initiator_;
  Bytes init_;
};

class World {
 public:
  explicit World(std::uint64_t seed = 1);
  bool until(Duration limit, const std::function<bool()>& condition) {
    return sim.run_until_true(limit, condition);
  }
  void run_for(Duration d) { sim.run_for(d); }
  WallTime wall() const { return {1'700'000'000'000'000 + sim.now().us}; }
  Dc& dc(const std::string& zone);  // makes it at first
  Peer& terminal(const std::string& name);  // of the DC of its zone; with a terminal row
  Peer& terminal(const std::string& name, Dc& of);
  Peer& relay(const std::string& name, const std::vector<std::string>& addresses);

  scenario::Simulator sim;
  scenario::Network network;
  scenario::SiteId open;    // no NAT
  scenario::SiteId nat_a;
  scenario::SiteId nat_b;
  // DNS: what a look-up of the zone gives; by default the DC's own truth.
  std::map<Name, Result<DcAddress>> dns;
  Duration dns_delay = milliseconds(20);

 private:
  friend class Dc;
  friend class Peer;
  std::map<std::string, std::unique_ptr<Dc>> dcs_;
  std::map<std::string, std::unique_ptr<Peer>> peers_;
  int next_address_ = 10;
};

}  // namespace ntm::director::testing
