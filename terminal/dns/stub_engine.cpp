// See the header; the waiting rules themselves are in resolution.cpp.
#include "terminal/dns/stub_engine.hpp"

#include <algorithm>
#include <cassert>

namespace ntm::terminal::dns {

namespace {

bool is_address_type(std::uint16_t type) {
  return type == kTypeA || type == kTypeAaaa || type == kTypeAny;
}
bool is_service_type(std::uint16_t type) { return type == kTypeSvcb || type == kTypeHttps; }

// True when the two queries differ in nothing but the message id.
bool same_query(const Bytes& a, const Bytes& b) {
  return a.size() == b.size() && std::equal(a.begin() + 2, a.end(), b.begin() + 2);
}

Bytes rdata_of(const IpAddress& address) { return to_bytes(address.view()); }

std::string type_text(std::uint16_t type) {
  switch (type) {
    case kTypeA: return "A";
    case kTypeAaaa: return "AAAA";
    case kTypeHttps: return "HTTPS";
    case kTypeSvcb: return "SVCB";
    case kTypeAny: return "ANY";
    default: return "TYPE" + std::to_string(type);
  }
}

}  // namespace

bool may_be_ntm(const Name& name) {
  if (name.labels() < 2) return false;
  ByteView wire = name.wire();
  if (wire[0] > 0 && wire[1] == '_') return false;
  static const char* const kNever[] = {"local", "localhost", "arpa", "invalid", "onion"};
  std::string text = name.text();
  std::string top = text.substr(text.rfind('.') + 1);
  for (const char* never : kNever)
    if (top == never) return false;
  return true;
}

void StubEngine::pass_through(Instant, ClientId client, const Message& query, bool tcp) {
  UpstreamId id = next_id_++;
  Client& waiting = passed_[id];
  waiting.id = client;
  waiting.query = query;
  waiting.tcp = tcp;
  Name name = query.questions.empty() ? Name{} : query.questions.front().name;
  effects_.emplace_back(AskUpstream{id, name, query.bytes, tcp});
}

StubEngine::Resolution& StubEngine::resolution_for(Instant now, const Name& name) {
  std::map<Name, Resolution>::iterator it = names_.find(name);
  if (it != names_.end()) return it->second;
  Resolution& r = names_[name];
  r.name = name;
  r.started = now;
  std::map<Name, Memory>::iterator known = memory_.find(name);
  if (known != memory_.end() && known->second.until <= now) {
    memory_.erase(known);
    known = memory_.end();
  }
  if (known != memory_.end() && known->second.state == NtmState::Found) {
    r.knowledge = Knowledge::KnownNtm;
    r.ntm = NtmState::Found;
    r.ntm_answer = known->second.answer;
    return r;
  }
  if (known != memory_.end()) {
    r.knowledge = Knowledge::KnownPlain;
    r.ntm = known->second.state;
    if (known->second.state == NtmState::None) return r;
    // The authority was silent last time: asked again, but not waited for.
    r.ntm = NtmState::Asked;
  }
  if (rules_.knowledge && rules_.knowledge(name) != Knowledge::Nothing)
    r.knowledge = rules_.knowledge(name);
  effects_.emplace_back(AskNtm{name});
  return r;
}

std::size_t StubEngine::ask(Resolution& r, const Message& query, std::uint16_t type, bool tcp) {
  Result<Bytes> bytes = with_type(query, type);
  assert(bytes);
  for (std::size_t i = 0; i < r.upstream.size(); ++i)
    if (r.upstream[i].tcp == tcp && same_query(r.upstream[i].query, *bytes)) return i;
  Upstream up;
  up.id = next_id_++;
  up.type = type;
  up.query = *bytes;
  up.tcp = tcp;
  upstream_names_[up.id] = r.name;
  effects_.emplace_back(AskUpstream{up.id, r.name, *bytes, tcp});
  r.upstream.push_back(std::move(up));
  return r.upstream.size() - 1;
}

void StubEngine::on_question(Instant now, ClientId client, ByteView bytes, bool tcp) {
  Result<Message> query = read_message(bytes);
  if (!query) {
    Result<Message> head = read_head(bytes);
    if (!head || head->flags.response) return;
    Answer broken;
    broken.rcode = kFormErr;
    effects_.emplace_back(Reply{client, make_answer(*head, broken)});
    return;
  }
  if (query->flags.response) return;
  bool ordinary = query->flags.opcode == 0 && query->questions.size() == 1 &&
                  query->questions.front().klass == kClassIn && !query->flags.checking_disabled;
  std::uint16_t type = ordinary ? query->questions.front().type : 0;
  bool ours = is_address_type(type) || is_service_type(type);
  if (!ours || !may_be_ntm(query->questions.front().name) || names_.size() >= kMaxNames)
    return pass_through(now, client, *query, tcp);
  const Name name = query->questions.front().name;
  effects_.emplace_back(Step{"dns_question", {{"name", name.text()}, {"type", type_text(type)}}});
  Resolution& r = resolution_for(now, name);
  Client c;
  c.id = client;
  c.query = *query;
  c.type = type;
  c.tcp = tcp;
  // With the NTM records at hand nothing needs to be asked, unless the upstream's own records
  // are wanted too.
  bool needs_upstream = r.ntm != NtmState::Found || is_service_type(type);
  if (needs_upstream) {
    c.answer_slot = ask(r, *query, type, tcp);
    // Only whoever may still wait for NTM answers must know of the other address type.
    bool both = r.ntm == NtmState::Asked && r.knowledge == Knowledge::Nothing;
    if (both && type == kTypeA) ask(r, *query, kTypeAaaa, tcp);
    if (both && type == kTypeAaaa) ask(r, *query, kTypeA, tcp);
  }
  r.clients.push_back(std::move(c));
  settle(now, r);
  sweep();
}

void StubEngine::on_upstream(Instant now, UpstreamId id, ByteView bytes) {
  std::map<UpstreamId, Client>::iterator passed = passed_.find(id);
  if (passed != passed_.end()) {
    effects_.emplace_back(Reply{passed->second.id, to_bytes(bytes)});
    passed_.erase(passed);
    return;
  }
  std::map<UpstreamId, Name>::iterator named = upstream_names_.find(id);
  if (named == upstream_names_.end()) return;
  Resolution& r = names_.at(named->second);
  Result<Message> answer = read_message(bytes);
  if (!answer) return on_upstream_failed(now, id);
  for (Upstream& up : r.upstream) {
    if (up.id != id || up.answer) continue;
    std::uint16_t of = up.type;
    if (of == kTypeAny) of = kTypeA;
    up.facts = address_facts(*answer, of);
    up.answer = std::move(*answer);
    up.at = now;
  }
  settle(now, r);
  sweep();
}

void StubEngine::on_upstream_failed(Instant now, UpstreamId id) {
  if (std::map<UpstreamId, Client>::node_type passed = passed_.extract(id); passed)
    return give_up(passed.mapped());
  std::map<UpstreamId, Name>::iterator named = upstream_names_.find(id);
  if (named == upstream_names_.end()) return;
  Resolution& r = names_.at(named->second);
  for (Upstream& up : r.upstream) {
    if (up.id != id) continue;
    up.failed = true;
    up.at = now;
  }
  settle(now, r);
  sweep();
}

void StubEngine::remember(Instant now, const NtmAnswer& answer) {
  Memory m;
  m.state = answer.state;
  m.answer = answer;
  if (answer.state == NtmState::Found) m.until = now + kNtmMemory;
  else if (answer.state == NtmState::None)
    m.until = now + std::clamp(answer.remember, kPlainMemoryLeast, kPlainMemoryMost);
  else m.until = now + kSilentMemory;
  if (memory_.size() >= kMaxMemory && memory_.count(answer.name) == 0)
    memory_.erase(memory_.begin());
  memory_[answer.name] = std::move(m);
}

void StubEngine::on_ntm(Instant now, const NtmAnswer& answer) {
  remember(now, answer);
  std::map<Name, Resolution>::iterator it = names_.find(answer.name);
  if (it == names_.end() || it->second.ntm != NtmState::Asked) return;
  Resolution& r = it->second;
  r.ntm = answer.state;
  r.ntm_answer = answer;
  effects_.emplace_back(
      Step{"ntm_answer", {{"name", answer.name.text()}, {"state", to_string(answer.state)}}});
  settle(now, r);
  sweep();
}

void StubEngine::on_lookup(Instant now, const LookupReady& ready) {
  std::map<std::uint64_t, Name>::iterator it = lookup_names_.find(ready.id);
  if (it == lookup_names_.end()) return;
  std::map<Name, Resolution>::iterator r = names_.find(it->second);
  lookup_names_.erase(it);
  if (r == names_.end()) return;
  r->second.ready = ready;
  settle(now, r->second);
  sweep();
}

Progress StubEngine::progress_of(const Resolution& r, const Client& client) const {
  Progress p;
  p.started = r.started;
  p.knowledge = r.knowledge;
  p.ntm = r.ntm;
  for (std::size_t i = 0; i < r.upstream.size(); ++i) {
    const Upstream& up = r.upstream[i];
    if (!up.answer && !up.failed) continue;
    if (i == client.answer_slot) {
      p.mine = up.facts;
      p.mine_at = up.at;
    } else if (is_address_type(up.type)) {
      p.other = up.facts;
    }
  }
  return p;
}

void StubEngine::settle_client(Instant now, Resolution& r, Client& client) {
  if (is_service_type(client.type) && r.upstream[client.answer_slot].failed) return give_up(client);
  Decision decision = decide(progress_of(r, client), now);
  switch (decision.verdict) {
    case Verdict::Wait:
      r.wake = std::min(r.wake, decision.until);
      return;
    case Verdict::Plain:
      if (r.ntm == NtmState::Asked && memory_.count(r.name) == 0) {
        // The next question need not wait again; an NTM answer that comes late corrects this.
        NtmAnswer silent;
        silent.name = r.name;
        remember(now, silent);
      }
      return answer_plain(r, client);
    case Verdict::ServFail: return give_up(client);
    case Verdict::Virtual:
      break;
  }
  if (is_service_type(client.type)) {
    const Upstream& up = r.upstream[client.answer_slot];
    if (!up.answer) return;
    Bytes bytes = without_address_hints(*up.answer);
    set_message_id(bytes, client.query.id);
    effects_.emplace_back(Reply{client.id, std::move(bytes)});
    client.answered = true;
    return;
  }
  if (!r.ready) {
    if (r.lookup != 0) return;
    r.lookup = next_id_++;
    lookup_names_[r.lookup] = r.name;
    effects_.emplace_back(WantLookup{r.lookup, r.ntm_answer.records});
    return;
  }
  answer_virtual(r, client);
}

void StubEngine::settle(Instant now, Resolution& r) {
  r.wake = r.started + kClientPatience;
  for (Client& client : r.clients)
    if (!client.answered) settle_client(now, r, client);
}

bool StubEngine::hides_virtual(const AddressFacts& facts) const {
  for (const IpAddress& a : facts.addresses) {
    for (const Prefix& range : rules_.virtual_ranges4)
      if (a.is_v4() && range.contains(a)) return true;
    if (rules_.is_virtual && rules_.is_virtual(a)) return true;
  }
  return false;
}

void StubEngine::answer_plain(Resolution& r, Client& client) {
  const Upstream& up = r.upstream[client.answer_slot];
  if (!up.answer) return give_up(client);
  if (hides_virtual(up.facts)) {
    // A name without NTM records that points into the virtual ranges: an attempt to reach a
    // peer's service under a foreign name (DNS rebinding).
    effects_.emplace_back(Step{"rebinding_blocked", {{"name", r.name.text()}}});
    Answer blocked;
    blocked.error = ExtendedError::Blocked;
    return reply(client, blocked);
  }
  Bytes bytes = up.answer->bytes;
  set_message_id(bytes, client.query.id);
  effects_.emplace_back(Step{"dns_answer", {{"name", r.name.text()},
                                            {"type", type_text(client.type)},
                                            {"kind", "plain"}}});
  effects_.emplace_back(Reply{client.id, std::move(bytes)});
  client.answered = true;
}

void StubEngine::answer_virtual(Resolution& r, Client& client) {
  Answer answer;
  const LookupReady& ready = *r.ready;
  bool secure = r.ntm_answer.records.dnssec == wire::DnssecState::Secure;
  answer.authentic_data = secure && rules_.from_loopback_only && client.query.flags.authentic_data;
  if (ready.outcome == LookupOutcome::Failed) {
    answer.rcode = kServFail;
    answer.error = r.ntm_answer.records.bogus ? ExtendedError::DnssecBogus
                                              : ExtendedError::NoReachableAuthority;
  } else {
    for (NewRecord cname : r.ntm_answer.chain) {
      cname.ttl = kAnswerTtl;
      answer.records.push_back(std::move(cname));
    }
    const Name& owner = r.ntm_answer.records.name;
    bool wants4 = client.type != kTypeAaaa, wants6 = client.type != kTypeA;
    if (wants4 && ready.addresses.v4)
      answer.records.push_back({owner, kTypeA, kAnswerTtl, rdata_of(*ready.addresses.v4)});
    if (wants6 && ready.addresses.v6)
      answer.records.push_back({owner, kTypeAaaa, kAnswerTtl, rdata_of(*ready.addresses.v6)});
    if (client.query.edns && client.query.edns->dnssec_ok)
      answer.error = ExtendedError::ForgedAnswer;
  }
  effects_.emplace_back(Step{"dns_answer", {{"name", r.name.text()},
                                            {"type", type_text(client.type)},
                                            {"kind", "virtual"},
                                            {"outcome", terminal::to_string(ready.outcome)}}});
  reply(client, answer);
}

void StubEngine::reply(Client& client, const Answer& answer) {
  Bytes bytes = make_answer(client.query, answer);
  std::size_t limit = client.tcp           ? kMaxMessage
                      : client.query.edns ? std::max(std::size_t{client.query.edns->udp_payload},
                                                     std::size_t{512})
                                          : std::size_t{512};
  if (bytes.size() > limit) bytes = truncated(client.query, answer);
  effects_.emplace_back(Reply{client.id, std::move(bytes)});
  client.answered = true;
}

// No server answers, in all the tries of upstream.hpp: said before the application's own patience
// ends, so that it knows why and may ask again.
void StubEngine::give_up(Client& client) {
  Answer failed;
  failed.rcode = kServFail;
  failed.error = ExtendedError::NoReachableAuthority;
  reply(client, failed);
}

// A name is done when every application has its answer and nothing is on its way that would only
// be asked again by the next one (an NTM answer that comes later is remembered all the same).
void StubEngine::sweep() {
  for (std::map<Name, Resolution>::iterator it = names_.begin(); it != names_.end();) {
    Resolution& r = it->second;
    bool done = std::all_of(r.clients.begin(), r.clients.end(),
                            [](const Client& c) { return c.answered; });
    if (!done) {
      ++it;
      continue;
    }
    for (const Upstream& up : r.upstream) upstream_names_.erase(up.id);
    if (r.lookup != 0) lookup_names_.erase(r.lookup);
    it = names_.erase(it);
  }
}

void StubEngine::on_timer(Instant now) {
  for (auto& [name, r] : names_) {
    if (r.wake > now) continue;
    settle(now, r);
    if (now - r.started < kClientPatience) continue;
    for (Client& c : r.clients) c.answered = true;  // nobody waits that long
  }
  sweep();
}

Instant StubEngine::next_deadline() const {
  Instant when = Instant::never();
  for (const auto& [name, r] : names_) when = std::min(when, r.wake);
  return when;
}

}  // namespace ntm::terminal::dns
