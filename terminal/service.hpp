// Joins the terminal's engine to the world: datapath, netwatch, stub resolver, state files, control
// socket. All protocol decisions are the engine's; this performs its effects in order.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "libntm/datapath/datapath.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/control_socket.hpp"
#include "libntm/host/event_loop.hpp"
#include "terminal/configuration.hpp"
#include "terminal/dns/stub.hpp"
#include "terminal/engine/engine.hpp"
#include "terminal/event_log.hpp"
#include "terminal/identity.hpp"
#include "terminal/netwatch/netwatch.hpp"

namespace ntm::terminal {

class Service {
 public:
  static Result<std::unique_ptr<Service>> open(const Folders& folders,
                                               const Configuration& configuration,
                                               host::EventLoop& loop);
  ~Service();
  // Until it is told to stop; an error when it can't go on.
  Result<void> run();

 private:
  using Respond = host::ControlServer::Respond;
  Service(const Folders& folders, const Configuration& configuration, host::EventLoop& loop);

  // service.cpp
  Result<void> prepare();
  Result<void> open_sockets(const SavedState& saved);
  Result<void> open_stub();
  Result<void> point_system();
  Result<void> open_netwatch();
  void turn();
  void perform(const Effect& effect);
  void perform(const ConfigureInterface& effect);
  void persist(const PersistState& effect);
  void write_state();
  void arm();
  void watch_traffic();
  void stop();
  dns::StubEngine::Rules stub_rules();

  // service_verbs.cpp
  void serve(const nlohmann::json& request, Respond respond);
  nlohmann::json status();
  void ping(const Name& name, int count, Respond respond);
  void next_ping(std::uint64_t id);
  void on_ping_result(const PingResult& result);
  void lookup(const Name& name, Respond respond);
  // `done` gets a LookupReady once the tunnel is up or will not come.
  void resolve(const Name& name, std::function<void(const LookupReady&)> done);

  Folders folders_;
  Configuration configuration_;
  host::EventLoop& loop_;
  host::SystemRandom random_;
  Identity identity_;
  EventLog events_;
  std::unique_ptr<datapath::Datapath> datapath_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<dns::Stub> stub_;
  std::unique_ptr<Netwatch> netwatch_;
  std::unique_ptr<host::ControlServer> control_;
  dns::HookMode hook_ = dns::HookMode::Off;
  std::optional<dns::ServersWatch> servers_watch_;  // none: dns.upstream says them
  Instant started_;

  // The state as it shall be on disk; written at once or shortly after.
  SavedState state_;
  bool state_dirty_ = false;
  host::EventLoop::TimerId state_timer_ = 0;

  host::EventLoop::TimerId timer_ = 0;
  Instant armed_ = Instant::never();
  bool turning_ = false;
  bool stopping_ = false;
  std::optional<Error> failure_;
  datapath::SocketInfo socket4_;
  datapath::SocketInfo socket6_;

  std::map<PathId, std::uint64_t> traffic_;  // packets at the last look
  std::map<std::uint64_t, std::function<void(const LookupReady&)>> resolving_;
  struct Pinging {  // `ntm ping` on its way
    Name name;
    int left = 0;
    nlohmann::json results;
    Respond respond;
  };
  std::map<std::uint64_t, std::unique_ptr<Pinging>> pinging_;
  std::uint64_t next_id_ = std::uint64_t{1} << 63;  // apart from the stub's ids
};

}  // namespace ntm::terminal
