// Finds another zone's DC: `_ntm._udp.<zone>` SVCB through libunbound, which validates when it has
// a trust anchor. Asynchronous; libunbound works in a thread of its own and tells by a descriptor.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "director/engine/director_engine.hpp"
#include "libntm/host/event_loop.hpp"

struct ub_ctx;
struct ub_result;

namespace ntm::director {

class DcLookup {
 public:
  using Answer = std::function<void(const Name& zone, const Result<DcAddress>& address)>;
  static Result<std::unique_ptr<DcLookup>> open(host::EventLoop& loop,
                                                const std::vector<std::string>& resolvers,
                                                Answer answer);
  ~DcLookup();
  void resolve(const Name& zone);

 private:
  struct Query {
    DcLookup* owner;
    Name zone;
    Name asked;
    int aliases = 0;
  };
  explicit DcLookup(host::EventLoop& loop, Answer answer)
      : loop_(loop), answer_(std::move(answer)) {}
  void ask(std::unique_ptr<Query> query);
  void done(Query& query, int error, ub_result* result);
  static void callback(void* query, int error, ub_result* result);

  host::EventLoop& loop_;
  Answer answer_;
  ub_ctx* context_ = nullptr;
  std::map<Query*, std::unique_ptr<Query>> queries_;
};

}  // namespace ntm::director
