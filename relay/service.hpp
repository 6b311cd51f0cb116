// Joins the relay's engine to the world: the datapath with its sockets, the loop's timers, the
// state folder and the control socket. All decisions are the engine's.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "libntm/datapath/datapath.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/control_socket.hpp"
#include "libntm/host/event_loop.hpp"
#include "relay/engine/relay_engine.hpp"
#include "relay/state.hpp"

namespace ntm::relay {

struct ServiceConfig {
  std::uint16_t port = 4753;
  std::vector<IpAddress> addresses;
  std::string state = "/var/lib/ntmobile/relay";
  std::string socket = "/run/ntmobile/relay.sock";
  std::size_t max_entries = kDefaultMaxEntries;
  bool allow_private_sources = false;
  std::string log_level = "info";
};
// Strict: an unknown key or a wrong value is an error with file and line.
Result<ServiceConfig> read_config(const std::string& path);

class Service {
 public:
  static Result<std::unique_ptr<Service>> open(const ServiceConfig& config, host::EventLoop& loop);
  ~Service();
  void run();

 private:
  Service(const ServiceConfig& config, host::EventLoop& loop) : config_(config), loop_(loop) {}
  Result<void> prepare();
  void perform();
  void perform(const Effect& effect);
  void arm();
  void note_enrolled();
  void answer(const nlohmann::json& request, const host::ControlServer::Respond& respond);
  nlohmann::json status() const;
  nlohmann::json join(const std::string& token);

  ServiceConfig config_;
  host::EventLoop& loop_;
  host::SystemRandom random_;
  std::unique_ptr<RelayState> state_;
  std::unique_ptr<datapath::Datapath> datapath_;
  std::unique_ptr<RelayEngine> engine_;
  std::unique_ptr<host::ControlServer> control_;
  Instant started_;
  host::EventLoop::TimerId timer_ = 0;
  Instant armed_ = Instant::never();
};

}  // namespace ntm::relay
