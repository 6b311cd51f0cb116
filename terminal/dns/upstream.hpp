// Asking DNS servers for the stub: one socket with a random port for each question, so that an
// answer can only come from whom it was asked; names of the own zone go to the own DC.
//
// The sockets carry the daemon's mark, which keeps the system's redirect of port 53 from turning
// them back to the stub.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/random.hpp"
#include "libntm/base/result.hpp"
#include "libntm/host/event_loop.hpp"

namespace ntm::terminal::dns {

// Tries at 0, 0.8 … 4.0 s, each at the next server; given up at 4.8 s, just before the 5 s after
// which glibc asks again. A host that is between two networks for 4 s still gets its answer.
constexpr Duration kUpstreamTry = milliseconds(800);
constexpr int kUpstreamTries = 6;
// Sockets open at once.
constexpr std::size_t kMaxUpstream = 1024;

class Upstream {
 public:
  using Done = std::function<void(Result<Bytes>)>;

  Upstream(host::EventLoop& loop, Random& random, std::uint32_t mark);
  ~Upstream();

  void set_servers(std::vector<Endpoint> servers);
  // Names under `zone` are asked here first, then at the general servers.
  void set_zone(const Name& zone, std::vector<Endpoint> servers);
  const std::vector<Endpoint>& servers() const { return servers_; }

  // `query` is sent with a message id of our own; the answer carries the query's.
  void ask(const Name& name, Bytes query, bool tcp, Done done);

 private:
  struct Pending;
  std::vector<Endpoint> servers_for(const Name& name) const;
  void attempt(const std::shared_ptr<Pending>& pending);
  void on_readable(const std::shared_ptr<Pending>& pending, std::uint32_t events);
  void read_tcp(const std::shared_ptr<Pending>& pending, std::uint32_t events);
  void next(const std::shared_ptr<Pending>& pending);
  void finish(const std::shared_ptr<Pending>& pending, Result<Bytes> result);
  bool accept_answer(const std::shared_ptr<Pending>& pending, ByteView bytes);

  host::EventLoop& loop_;
  Random& random_;
  std::uint32_t mark_;
  std::vector<Endpoint> servers_;
  Name zone_;
  std::vector<Endpoint> zone_servers_;
  std::map<std::uint64_t, std::shared_ptr<Pending>> pending_;
  std::uint64_t next_ = 1;
};

}  // namespace ntm::terminal::dns
