// Asks the NTM questions through libunbound, which also validates them when a trust anchor is
// given (docs/PROTOCOL.md 2: bogus is never used).
//
// libunbound gets no server of the network but a door of our own on loopback: that door asks the
// right server with marked sockets (so that the redirect of port 53 does not catch them), knows the
// own zone, and always answers, if only with SERVFAIL, so that an authority which drops unknown
// types can't make libunbound believe that the resolver is dead.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "libntm/base/result.hpp"
#include "libntm/host/event_loop.hpp"
#include "terminal/dns/stub_engine.hpp"

struct ub_ctx;
struct ub_result;

namespace ntm::terminal::dns {

class NtmAsker {
 public:
  // `trust_anchor`: a file of DS or DNSKEY records; empty = no validation.
  static Result<std::unique_ptr<NtmAsker>> start(host::EventLoop& loop, std::uint16_t door_port,
                                                 const std::string& trust_anchor);
  ~NtmAsker();

  void ask(const Name& name, std::function<void(const NtmAnswer&)> done);
  void ask_zone(const Name& zone, std::function<void(const ZoneRecord&)> done);

 private:
  struct Question;
  NtmAsker(host::EventLoop& loop, ub_ctx* context);
  static void on_result(void* question, int error, ub_result* result);
  void resolve(const Name& name, std::uint16_t type,
               std::function<void(const ub_result*)> done);

  host::EventLoop& loop_;
  ub_ctx* context_;
  // libunbound forgets what runs when its context ends, so they are owned here.
  std::unordered_map<Question*, std::unique_ptr<Question>> running_;
};

}  // namespace ntm::terminal::dns
