// Real terminal engines over fake datapaths on a simulated network, with a scripted DC and a relay
// made of the relay's own entry table: what the engine tests play on, under virtual time.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>

#include "libntm/datapath/fake/fake_datapath.hpp"
#include "libntm/exchange/handshake.hpp"
#include "relay/engine/entry_table.hpp"
#include "terminal/engine/engine.hpp"
#include "tests/scenario/network.hpp"
#include "tests/scenario/simulator.hpp"

namespace ntm::terminal::testing {

inline Name name(const char* text) { return Name::parse(text).value(); }
inline IpAddress ip(const char* text) { return parse_address(text).value(); }
inline Endpoint ep(const char* text) { return parse_endpoint(text).value(); }
inline Prefix net(const char* text) { return parse_prefix(text).value(); }

class World;

// A terminal: engine, datapath, and what came out of them.
class Node {
 public:
  Node(World& world, const char* name, Settings settings, SavedState saved = {});

  // Attaches the address in the network and tells the engine (with all others it has).
  void attach(scenario::SiteId site, const char* address, std::uint32_t metric = 100,
              std::uint32_t index = 1);
  void detach(const char* address);
  void announce();  // AddressesChanged with the present list
  // The next announce() leaves this prefix to the machine's real networks.
  void add_real(const char* prefix) { real_.push_back(net(prefix)); }
  void lookup(std::uint64_t id, const PeerRecords& records);
  template <typename E>
  void give(const E& event);
  void turn();  // performs effects, drains the datapath, arms the timer

  Node* dns_of = nullptr;  // questions about this peer are answered from its registration

  bool noted(const std::string& event, const std::string& field = {},
             const std::string& value = {}) const;
  int count(const std::string& event) const;
  void send_packet(const Ipv4& to, std::uint16_t id);
  std::size_t received() const { return inner.size(); }
  const LookupReady* ready(std::uint64_t id) const;
  PeerRecords records() const;  // as DNS would give them

  World& world;
  std::string label;
  Settings settings;
  std::unique_ptr<datapath::FakeDatapath> path;
  std::unique_ptr<Engine> engine;
  scenario::HostId host = 0;
  std::vector<Notify> notes;
  std::vector<LookupReady> lookups;
  std::vector<PingResult> pings;
  std::vector<QueryPeer> queries;
  std::vector<QueryZone> zone_queries;
  std::vector<PersistState> saves;
  std::optional<ConfigureInterface> interface;
  std::vector<datapath::Change> changes;
  std::vector<Bytes> inner;

 private:
  void perform(const Effect& effect);
  std::vector<LocalAddress> addresses_;
  std::vector<Prefix> real_;
  datapath::SocketId socket4_;
  datapath::SocketId socket6_;
  std::uint16_t port4_ = 0;
  std::uint16_t port6_ = 0;
  Instant armed_ = Instant::never();
};

// One DC for all terminals of the zone, as simple as the protocol allows: it answers at once,
// plans what the test says, and keeps everything it saw.
class ScriptedDc {
 public:
  ScriptedDc(World& world, scenario::SiteId site);

  struct Terminal {
    Name name;
    VirtualAddresses virtual_addresses;
    PublicKey key;
    std::optional<exchange::Session> session;
    std::map<Family, Endpoint> observed;
    std::vector<wire::Locator> locators;
    std::uint64_t counter = 0;
    int registrations = 0;
    int handshakes = 0;
  };
  void add(const char* name, const char* v4, const char* v6);
  Terminal& terminal(const Name& name) { return terminals.at(name); }
  void send(Terminal& terminal, const wire::ControlMessage& message);
  void forget_sessions();  // a restart
  void hint_all();

  crypto::KeyPair key;
  Key32 reset_secret;
  std::map<Name, Terminal> terminals;
  // What the test decides.
  wire::RouteMode mode = wire::RouteMode::Direct;
  bool with_relay = true;
  std::optional<wire::Status> refuse;  // every Direction Request
  bool silent = false;
  bool drop_route_to_initiator = false;
  std::optional<Key32> token_psk;      // enrolment
  std::optional<TokenId> token_id;
  bool lose_next_response = false;
  std::uint64_t stored_counter = 0;    // as from another life: older ones are Stale
  // What it saw.
  std::vector<wire::DirectionRequest> requests;
  std::vector<wire::RouteAck> acks;
  std::vector<wire::RegistrationRequest> registrations;

 private:
  friend class World;
  void receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram);
  void on_init(const Endpoint& from, const Endpoint& to, const Bytes& datagram);
  void on_control(const Endpoint& from, const Bytes& datagram);
  void on_request(Terminal& mn, const wire::DirectionRequest& request, const Endpoint& from);
  wire::RegistrationResponse register_at(Terminal& t, const wire::RegistrationRequest& r,
                                         const Endpoint& from);
  std::vector<Endpoint> targets(const Terminal& of, const Terminal& for_whom) const;

  World& world_;
  scenario::HostId host_ = 0;
  std::unique_ptr<exchange::HandshakeResponder> responder_;
  std::map<Family, Endpoint> own_;
  std::map<RequestId, std::vector<std::pair<Name, wire::RouteDirection>>> answered_;
};

class World {
 public:
  explicit World(std::uint64_t seed = 1);
  ~World();

  Settings settings(const char* terminal);
  // Runs until true; fails the test with `what` when it takes longer.
  void until(const char* what, Duration limit, const std::function<bool()>& condition);
  void run_for(Duration d) { sim.run_for(d); }
  void relay_direction(const wire::RelayDirection& direction);
  std::vector<Endpoint> relay_endpoints() const { return {ep("203.0.113.5:4753"),
                                                          ep("[2001:db8:5::1]:4753")}; }
  bool relay_knows(PathId path) const;
  void forget_relay();  // the relay restarts

  scenario::Simulator sim;
  scenario::Network network;
  scenario::SiteId dc_site;
  scenario::SiteId relay_site;
  scenario::SiteId left;    // IPv4 and IPv6, no NAT
  scenario::SiteId right;
  scenario::SiteId nat_a;   // behind an address-and-port-dependent NAT
  scenario::SiteId nat_b;
  std::unique_ptr<ScriptedDc> dc;

 private:
  struct Relay;
  std::unique_ptr<Relay> relay_;
  std::vector<std::unique_ptr<Relay>> retired_;
};

template <typename E>
void Node::give(const E& event) {
  engine->handle(world.sim.now(), event);
  turn();
}

}  // namespace ntm::terminal::testing
