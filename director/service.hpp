// Joins the director's engine to the world: UDP sockets, the store with its feed, DNS look-ups,
// PowerDNS as a child, and the control socket of `ntm dc`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "director/configuration.hpp"
#include "director/dc_lookup.hpp"
#include "director/engine/director_engine.hpp"
#include "director/setup.hpp"
#include "libntm/host/child_process.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/control_socket.hpp"
#include "libntm/host/event_loop.hpp"
#include "libntm/host/udp_socket.hpp"
#include "libntm/store/sqlite/sqlite_store.hpp"
#include "libntm/store/sqlite/status_store.hpp"

namespace ntm::director {

class Service {
 public:
  using Written = std::function<void(const store::Completion&)>;

  static Result<std::unique_ptr<Service>> open(const Configuration& config, bool with_dns,
                                               host::EventLoop& loop);
  ~Service();
  void run();

  // ---- for Administration (administration.cpp) --------------------------------------------
  void write(store::Batch batch, Written done);
  store::Reader& reader() { return *reader_; }
  DirectorEngine& engine() { return *engine_; }
  store::sqlite::StatusStore* status_store() { return status_.get(); }
  const std::vector<ZoneIdentity>& zones() const { return zones_; }
  const DcKeys& keys() const { return *keys_; }
  host::SystemRandom& random() { return random_; }
  Instant now() const { return loop_.now(); }
  Instant started() const { return started_; }
  bool dns_runs() const { return dns_ != nullptr; }
  const Configuration& config() const { return config_; }

 private:
  Service(const Configuration& config, host::EventLoop& loop);
  Result<void> prepare(bool with_dns);
  Result<void> open_store();
  void open_status();
  Result<void> open_sockets();
  Result<void> load();
  Result<void> check_dns_ports();
  Result<void> start_dns();
  void perform();
  void perform(Effect& effect);
  void submit_waiting();
  void take_completions();
  void follow_feed();
  void apply(const store::Change& change);
  void reload_relays_and_peers();
  void reload_zones();
  void tick();
  void arm();
  void note(const Notify& notify);

  Configuration config_;
  host::EventLoop& loop_;
  host::SystemRandom random_;
  std::unique_ptr<DcKeys> keys_;
  std::vector<ZoneIdentity> zones_;
  std::unique_ptr<store::sqlite::SqliteStore> store_;
  std::unique_ptr<store::Reader> reader_;
  std::unique_ptr<store::sqlite::StatusStore> status_;
  std::unique_ptr<DirectorEngine> engine_;
  std::unique_ptr<DcLookup> lookup_;
  std::vector<host::UdpSocket> sockets_;
  std::unique_ptr<host::ControlServer> control_;
  std::unique_ptr<class Administration> administration_;
  std::unique_ptr<host::ChildProcess> dns_;
  std::string dns_folder_;
  int dns_starts_ = 0;

  struct Waiting {
    store::Batch batch;
    Written done;
  };
  std::deque<Waiting> waiting_;  // in order: kMaxBatchesInFlight may be under way
  std::map<std::uint64_t, Written> in_flight_;
  store::ChangeToken feed_;
  Instant started_;
  host::EventLoop::TimerId timer_ = 0;
  Instant armed_ = Instant::never();
};

}  // namespace ntm::director
