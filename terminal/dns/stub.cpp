// See the header.
#include "terminal/dns/stub.hpp"

#include <algorithm>

namespace ntm::terminal::dns {

namespace {
// Applications that got no answer are forgotten after this; they ask again or gave up long ago.
constexpr Duration kForgetClient = seconds(15);
constexpr std::size_t kMaxClients = 8192;
}  // namespace

Stub::Stub(host::EventLoop& loop, Random& random, std::uint32_t mark, StubEngine::Rules rules,
           Hooks hooks)
    : loop_(loop), hooks_(std::move(hooks)), engine_(std::move(rules)),
      upstream_(loop, random, mark) {}

Stub::~Stub() { loop_.cancel(timer_); }

Result<std::unique_ptr<Stub>> Stub::open(host::EventLoop& loop, Random& random,
                                         const StubOptions& options, StubEngine::Rules rules,
                                         Hooks hooks) {
  std::unique_ptr<Stub> stub(
      new Stub(loop, random, options.mark, std::move(rules), std::move(hooks)));
  stub->upstream_.set_servers(options.upstream);
  stub->upstream_.set_zone(options.zone, options.zone_servers);
  Result<void> listening = stub->listen(options);
  if (!listening) return pass(listening.error());
  Result<std::unique_ptr<NtmAsker>> asker =
      NtmAsker::start(loop, stub->door_->port(), options.trust_anchor);
  if (!asker) return pass(asker.error());
  stub->asker_ = std::move(*asker);
  return stub;
}

Result<void> Stub::listen(const StubOptions& options) {
  Listener::Question on_question = [this](ByteView m, bool tcp, Listener::Respond respond) {
    question(m, tcp, std::move(respond));
  };
  for (const Endpoint& at : options.listen) {
    Result<std::unique_ptr<Listener>> opened = Listener::open(loop_, at, on_question);
    if (!opened) return pass(opened.error());
    listeners_.push_back(std::move(*opened));
  }
  // What a redirect needs: the same port on both loopback addresses.
  Endpoint v4{Ipv4{{127, 0, 0, 1}}, 0};
  Result<std::unique_ptr<Listener>> first = Listener::open(loop_, v4, on_question);
  if (!first) return pass(first.error());
  redirect_port_ = (*first)->port();
  listeners_.push_back(std::move(*first));
  Ipv6 loopback;
  loopback.raw[15] = 1;
  Result<std::unique_ptr<Listener>> second =
      Listener::open(loop_, {loopback, redirect_port_}, on_question);
  if (second) listeners_.push_back(std::move(*second));  // a machine may have no IPv6
  Result<std::unique_ptr<Listener>> door =
      Listener::open(loop_, v4, [this](ByteView m, bool tcp, Listener::Respond respond) {
        through_door(m, tcp, std::move(respond));
      });
  if (!door) return pass(door.error());
  door_ = std::move(*door);
  return {};
}

void Stub::question(ByteView message, bool tcp, Listener::Respond respond) {
  std::erase_if(clients_, [&](const auto& entry) {
    return entry.second.since + kForgetClient <= loop_.now();
  });
  if (clients_.size() >= kMaxClients) return;
  if (hooks_.before_question) hooks_.before_question();
  ClientId id = next_client_++;
  clients_[id] = {std::move(respond), loop_.now()};
  engine_.on_question(loop_.now(), id, message, tcp);
  turn();
}

// libunbound's question goes to the server that is right for the name, and always gets an answer.
void Stub::through_door(ByteView message, bool tcp, Listener::Respond respond) {
  Result<Message> query = read_message(message);
  if (!query || query->questions.size() != 1) return;
  Message kept = *query;
  upstream_.ask(query->questions.front().name, to_bytes(message), tcp,
                [kept, respond](Result<Bytes> answer) {
                  if (answer) return respond(*answer);
                  Answer failed;
                  failed.rcode = kServFail;
                  respond(make_answer(kept, failed));
                });
}

void Stub::lookup_ready(const LookupReady& ready) {
  engine_.on_lookup(loop_.now(), ready);
  turn();
}

void Stub::set_upstream(std::vector<Endpoint> servers) {
  if (servers == upstream_.servers()) return;
  upstream_.set_servers(std::move(servers));
  engine_.forget_all();
}

void Stub::query_ntm(const Name& name, std::function<void(const NtmAnswer&)> done) {
  asker_->ask(name, std::move(done));
}

void Stub::query_zone(const Name& zone, std::function<void(const ZoneRecord&)> done) {
  asker_->ask_zone(zone, std::move(done));
}

void Stub::perform(StubEffect& effect) {
  if (AskUpstream* a = std::get_if<AskUpstream>(&effect)) {
    UpstreamId id = a->id;
    upstream_.ask(a->name, std::move(a->query), a->tcp, [this, id](Result<Bytes> answer) {
      if (answer) engine_.on_upstream(loop_.now(), id, *answer);
      else engine_.on_upstream_failed(loop_.now(), id);
      turn();
    });
  } else if (AskNtm* n = std::get_if<AskNtm>(&effect)) {
    asker_->ask(n->name, [this](const NtmAnswer& answer) {
      engine_.on_ntm(loop_.now(), answer);
      turn();
    });
  } else if (Reply* r = std::get_if<Reply>(&effect)) {
    std::map<ClientId, Waiting>::iterator it = clients_.find(r->client);
    if (it == clients_.end()) return;
    it->second.respond(r->message);
    clients_.erase(it);
  } else if (WantLookup* w = std::get_if<WantLookup>(&effect)) {
    hooks_.on_lookup(*w);
  } else if (Step* s = std::get_if<Step>(&effect)) {
    hooks_.on_step(*s);
  }
}

void Stub::turn() {
  if (turning_) return;  // an effect led back here: the outer turn goes on with what came
  turning_ = true;
  while (true) {
    std::vector<StubEffect> effects = engine_.take_effects();
    if (effects.empty()) break;
    for (StubEffect& e : effects) perform(e);
  }
  turning_ = false;
  arm();
}

void Stub::arm() {
  Instant next = engine_.next_deadline();
  if (next == armed_) return;
  loop_.cancel(timer_);
  armed_ = next;
  if (next == Instant::never()) return;
  timer_ = loop_.at(next, [this] {
    armed_ = Instant::never();
    engine_.on_timer(loop_.now());
    turn();
  });
}

}  // namespace ntm::terminal::dns
