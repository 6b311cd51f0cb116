// The whole system in one process under virtual time: real director, relay and terminal engines on
// the simulated network, with the memory store, the fake datapath (real keys, ring, hold queue)
// and a simulated DNS that derives NTM records from the store by the module's own rules.
//
// Every protocol datagram is recorded with time, sender and receiver, so that a test can draw the
// run as a sequence diagram (docs/PROTOCOL.md has some).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "director/engine/director_engine.hpp"
#include "libntm/datapath/fake/fake_datapath.hpp"
#include "libntm/store/memory/memory_store.hpp"
#include "relay/engine/relay_engine.hpp"
#include "terminal/engine/engine.hpp"
#include "tests/scenario/network.hpp"

namespace ntm::scenario {

constexpr std::uint16_t kPort = 4753;

class World;

struct Recorded {
  Instant at;
  std::string from;
  std::string to;
  std::string what;
  std::size_t size = 0;
};

// A DC: engine, store, and its answers to DNS questions.
class DcNode {
 public:
  DcNode(World& world, const std::string& name, const std::string& zone, SiteId site,
         const std::vector<std::string>& addresses);
  ~DcNode();
  wire::EnrolmentToken add_terminal(const std::string& label);
  wire::EnrolmentToken add_relay(const std::string& label);
  void restart();        // the process dies and starts again on its store
  void crash();          // stays dead until restart()
  bool is_up() const { return engine_ != nullptr; }
  director::DirectorEngine& engine() { return *engine_; }
  store::Reader& reader() { return *reader_; }
  store::memory::MemoryStore& store() { return store_; }
  const store::Zone& zone() const { return zone_; }
  terminal::PeerRecords records(const Name& name);
  void receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram);
  std::vector<director::Notify> notes;

 private:
  friend class World;
  void start();
  void run();  // effects until there are none, then the timer
  void arm();
  void put(store::Batch batch);
  wire::EnrolmentToken token(store::TokenPurpose purpose, const Name& subject);

  World& world_;
  std::string name_;
  store::memory::MemoryStore store_;
  std::unique_ptr<store::Reader> reader_;
  crypto::KeyPair key_;
  Key32 reset_;
  store::Zone zone_;
  HostId host_;
  std::uint64_t next_id_ = 1;
  std::unique_ptr<director::DirectorEngine> engine_;
  void submit_waiting();
  std::map<std::uint64_t, std::uint64_t> tags_;  // batch -> tag
  std::deque<director::StoreWrite> writes_;      // the store takes 16 batches at a time
  Instant armed_ = Instant::never();
  std::uint64_t life_ = 0;  // events of a former life are ignored
};

class RelayNode {
 public:
  RelayNode(World& world, const std::string& name, SiteId site,
            const std::vector<std::string>& addresses);
  void join(const wire::EnrolmentToken& token);
  void restart();
  relay::RelayEngine& engine() { return *engine_; }
  void receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram);

 private:
  void start();
  void run();
  void arm();
  World& world_;
  std::string name_;
  HostId host_;
  std::vector<Endpoint> endpoints_;
  crypto::KeyPair key_;
  Key32 reset_;
  std::uint64_t counter_ = 1;
  std::map<Name, relay::AttachmentConfig> dcs_;
  std::unique_ptr<datapath::FakeDatapath> datapath_;
  std::unique_ptr<relay::RelayEngine> engine_;
  Instant armed_ = Instant::never();
  std::uint64_t life_ = 0;
};

class TerminalNode {
 public:
  TerminalNode(World& world, const wire::EnrolmentToken& token);
  ~TerminalNode();
  const Name& name() const { return name_; }
  void attach(SiteId site, const std::string& address);
  void detach(const std::string& address);
  void restart();  // the process dies and starts again on its saved state
  // As the stub would: asks DNS, then the engine; the answer arrives in `lookups`.
  std::uint64_t look_up(const Name& name);
  const terminal::LookupReady* answer(std::uint64_t id) const;
  // A UDP packet from our virtual address; false when we have none of the family.
  bool send_to(const IpAddress& virtual_address, const std::string& payload);
  std::vector<std::string> received;  // payloads, in order of arrival
  std::map<std::string, int> received_count;
  terminal::Engine& engine() { return *engine_; }
  datapath::FakeDatapath& datapath() { return *datapath_; }
  void receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram);
  // The selected path to a peer, if any.
  std::optional<terminal::PathStatus> path_to(const Name& peer) const;
  std::vector<std::string> events;  // names of protocol steps
  terminal::Settings& settings() { return settings_; }

 private:
  friend class World;
  void start();
  void run();
  void arm();
  void tell_addresses();
  void perform(const terminal::Effect& effect);
  World& world_;
  Name name_;
  HostId host_;
  terminal::Settings settings_;
  terminal::SavedState saved_;
  std::map<std::string, SiteId> places_;
  std::unique_ptr<datapath::FakeDatapath> datapath_;
  std::unique_ptr<terminal::Engine> engine_;
  VirtualAddresses own_;
  std::uint64_t next_lookup_ = 1;
  std::map<std::uint64_t, terminal::LookupReady> lookups_;
  Instant armed_ = Instant::never();
  std::uint64_t life_ = 0;
};

class World {
 public:
  explicit World(std::uint64_t seed);
  ~World();
  Simulator sim;
  Network net;

  SiteId open_site(const std::string& name, Duration access);
  SiteId nat_site(const std::string& name, Duration access, const std::string& outside,
                  NatOptions nat = {});
  DcNode& add_dc(const std::string& name, const std::string& zone, SiteId site,
                 const std::vector<std::string>& addresses);
  RelayNode& add_relay(const std::string& name, SiteId site,
                       const std::vector<std::string>& addresses,
                       const std::vector<DcNode*>& dcs);
  TerminalNode& add_terminal(DcNode& dc, const std::string& label);

  terminal::PeerRecords resolve(const Name& name);  // what DNS says now
  DcNode* dc_of(const Name& name);
  std::vector<Recorded> trace;
  // The recorded messages between two instants as a sequence diagram in text.
  std::string diagram(Instant from, Instant to) const;
  Duration dns_delay = milliseconds(20);
  std::map<Name, terminal::PeerRecords> forged_records;  // DNS answers of an attacker

 private:
  friend class DcNode;
  friend class RelayNode;
  friend class TerminalNode;
  void record(const Endpoint& from, const Endpoint& to, const Bytes& datagram);
  std::map<IpAddress, std::string> who_;
  std::map<std::string, std::string> hosts_;
  std::vector<std::unique_ptr<DcNode>> dcs_;
  std::vector<std::unique_ptr<RelayNode>> relays_;
  std::vector<std::unique_ptr<TerminalNode>> terminals_;
};

// A UDP packet between virtual addresses, with right checksums, and back.
Bytes udp_packet(const IpAddress& from, const IpAddress& to, const std::string& payload);
std::optional<std::string> udp_payload(ByteView packet);

}  // namespace ntm::scenario
