// The stub resolver of a running terminal: listeners, upstream servers and libunbound around the
// pure StubEngine.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "libntm/host/event_loop.hpp"
#include "terminal/dns/listener.hpp"
#include "terminal/dns/ntm_asker.hpp"
#include "terminal/dns/stub_engine.hpp"
#include "terminal/dns/upstream.hpp"

namespace ntm::terminal::dns {

struct StubOptions {
  std::vector<Endpoint> listen;      // where the system is pointed to
  std::vector<Endpoint> upstream;
  Name zone;                         // own zone, asked at the own DC
  std::vector<Endpoint> zone_servers;
  std::string trust_anchor;
  std::uint32_t mark = 0;
};

class Stub {
 public:
  struct Hooks {
    std::function<void(const WantLookup&)> on_lookup;  // answer by lookup_ready()
    std::function<void(const Step&)> on_step;
    std::function<void()> before_question;  // cheap: it runs for every one
  };
  static Result<std::unique_ptr<Stub>> open(host::EventLoop& loop, Random& random,
                                            const StubOptions& options, StubEngine::Rules rules,
                                            Hooks hooks);
  ~Stub();

  void lookup_ready(const LookupReady& ready);
  void set_upstream(std::vector<Endpoint> servers);
  const std::vector<Endpoint>& upstream() const { return upstream_.servers(); }
  void forget(const Name& name) { engine_.forget(name); }

  // For packets without a look-up, and for `ntm lookup`.
  void query_ntm(const Name& name, std::function<void(const NtmAnswer&)> done);
  void query_zone(const Name& zone, std::function<void(const ZoneRecord&)> done);

  // The port that port 53 of this machine is redirected to.
  std::uint16_t redirect_port() const { return redirect_port_; }

 private:
  Stub(host::EventLoop& loop, Random& random, std::uint32_t mark, StubEngine::Rules rules,
       Hooks hooks);
  Result<void> listen(const StubOptions& options);
  void question(ByteView message, bool tcp, Listener::Respond respond);
  void through_door(ByteView message, bool tcp, Listener::Respond respond);
  void turn();
  void perform(StubEffect& effect);
  void arm();

  host::EventLoop& loop_;
  Hooks hooks_;
  StubEngine engine_;
  Upstream upstream_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<Listener> door_;  // libunbound's only server
  std::unique_ptr<NtmAsker> asker_;
  std::uint16_t redirect_port_ = 0;
  struct Waiting {
    Listener::Respond respond;
    Instant since;
  };
  std::map<ClientId, Waiting> clients_;
  ClientId next_client_ = 1;
  host::EventLoop::TimerId timer_ = 0;
  Instant armed_ = Instant::never();
  bool turning_ = false;
};

}  // namespace ntm::terminal::dns
