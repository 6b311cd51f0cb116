// What the `ntm` command asks at the control socket: status, ping, lookup, forget, down.
#include "libntm/base/text.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "terminal/service.hpp"

namespace ntm::terminal {

using nlohmann::json;

namespace {

constexpr int kMaxPings = 100;
constexpr Duration kPingEvery = milliseconds(500);

json error(const std::string& text) { return {{"ok", false}, {"error", text}}; }

json virtual_json(const VirtualAddresses& v) {
  json out = json::object();
  out["v4"] = v.v4 ? json(to_string(*v.v4)) : json();
  out["v6"] = v.v6 ? json(to_string(*v.v6)) : json();
  return out;
}

const char* nat_text(wire::NatVerdict nat) {
  switch (nat) {
    case wire::NatVerdict::None: return "none";
    case wire::NatVerdict::Behind: return "behind";
    case wire::NatVerdict::Unknown: break;
  }
  return "unknown";
}

json family_json(const FamilyStatus& f) {
  json out = {{"family", f.family == Family::V4 ? 4 : 6},
              {"registered", f.registered},
              {"usable", f.usable},
              {"interface", f.interface},
              {"nat", nat_text(f.nat)}};
  out["local"] = f.local.is_unspecified() ? json() : json(to_string(f.local));
  out["outside"] = f.observed.is_set() ? json(to_string(f.observed)) : json();
  if (!f.problem.empty()) out["problem"] = f.problem;
  return out;
}

json record_json(const wire::NtmRecord& r) {
  json out = {{"text", wire::to_string(r)}, {"behind_nat", (r.flags & wire::kNtmBehindNat) != 0},
              {"private", (r.flags & wire::kNtmPrivate) != 0},
              {"relay_only", (r.flags & wire::kNtmRelayOnly) != 0}};
  out["real"] = r.has_real() ? json(to_string(r.real)) : json();
  out["virtual"] = r.virtual_address.is_unspecified() ? json() : json(to_string(r.virtual_address));
  out["nat_outside"] = r.nat_outside.is_set() ? json(to_string(r.nat_outside)) : json();
  out["dc"] = r.dc.is_set() ? json(to_string(r.dc)) : json();
  if (r.dc_name) out["zone"] = r.dc_name->text();
  if (r.terminal_key) out["key"] = to_hex(r.terminal_key->view());
  return out;
}

}  // namespace

void Service::serve(const json& request, Respond respond) {
  std::string verb = request.value("verb", "");
  if (verb == "status") return respond(status());
  if (verb == "down") {
    respond({{"ok", true}});
    return stop();
  }
  if (verb == "ping" || verb == "lookup" || verb == "forget") {
    Result<Name> name = Name::parse(request.value("name", ""));
    if (!name) return respond(error(name.error().text));
    if (verb == "ping") return ping(*name, request.value("count", 3), std::move(respond));
    if (verb == "lookup") return lookup(*name, std::move(respond));
    engine_->handle(loop_.now(), ForgetPeer{*name});
    if (stub_) stub_->forget(*name);
    turn();
    return respond({{"ok", true}});
  }
  respond(error("the daemon does not know the verb '" + printable(as_view(verb), 40) + "'"));
}

json Service::status() {
  EngineStatus s = engine_->status();
  bool registered = false;
  json families = json::array();
  for (const FamilyStatus& f : s.families) {
    families.push_back(family_json(f));
    registered = registered || f.registered;
  }
  json peers = json::array();
  for (const PeerStatus& p : s.peers) {
    json paths = json::array();
    for (const PathStatus& path : p.paths) {
      json out = {{"path", to_string(path.path)},
                  {"state", path.state},
                  {"selected", path.selected},
                  {"kind", path.relayed ? "relay" : "direct"},
                  {"role", path.initiator ? "initiator" : "responder"},
                  {"reason", path.reason},
                  {"rtt_ms", static_cast<double>(path.rtt.us) / 1000.0}};
      out["remote"] = path.remote.is_set() ? json(to_string(path.remote)) : json();
      out["local"] = path.local.is_unspecified() ? json() : json(to_string(path.local));
      std::optional<datapath::PathStatistics> c = datapath_->statistics(path.path);
      if (c)
        out["counters"] = {{"packets_sent", c->packets_sent}, {"bytes_sent", c->bytes_sent},
                           {"packets_received", c->packets_received},
                           {"bytes_received", c->bytes_received}, {"resent", c->resent},
                           {"replayed", c->replayed}, {"forged", c->forged},
                           {"held", c->held}, {"dropped", c->dropped}};
      paths.push_back(std::move(out));
    }
    peers.push_back({{"name", p.name.text()}, {"state", p.state},
                     {"virtual", virtual_json(p.addresses)}, {"left_out", p.left_out},
                     {"paths", std::move(paths)}});
  }
  json dns_part = {{"enabled", stub_ != nullptr}, {"hook", dns::to_string(hook_)}};
  if (stub_) {
    dns_part["port"] = stub_->redirect_port();
    dns_part["upstream"] = json::array();
    for (const Endpoint& e : stub_->upstream()) dns_part["upstream"].push_back(to_string(e));
  }
  return {{"ok", true}, {"name", identity_.name.text()}, {"zone", identity_.zone.text()},
          {"registered", registered}, {"enrolled", s.enrolled}, {"session", s.session},
          {"dc_rtt_ms", static_cast<double>(s.dc_rtt.us) / 1000.0},
          {"families", families}, {"virtual", virtual_json(s.virtual_addresses)},
          {"left_out", s.left_out}, {"interface", configuration_.interface},
          {"datapath", datapath_->kind()}, {"port", socket4_.port}, {"dns", dns_part},
          {"uptime_s", (loop_.now() - started_).us / 1'000'000}, {"peers", peers}};
}

void Service::resolve(const Name& name, std::function<void(const LookupReady&)> done) {
  if (!stub_) {
    LookupReady failed;
    failed.outcome = LookupOutcome::Failed;
    failed.reason = "the stub resolver is switched off (dns.enabled)";
    return done(failed);
  }
  stub_->query_ntm(name, [this, name, done](const dns::NtmAnswer& answer) {
    if (answer.state != dns::NtmState::Found) {
      LookupReady failed;
      failed.outcome = LookupOutcome::Failed;
      failed.reason = answer.state == dns::NtmState::None
                          ? name.text() + " has no NTM record: it is no NTMobile terminal"
                          : "no DNS server answers for " + name.text();
      return done(failed);
    }
    std::uint64_t id = next_id_++;
    resolving_[id] = done;
    engine_->handle(loop_.now(), LookupWanted{id, answer.records});
    turn();
  });
}

void Service::ping(const Name& name, int count, Respond respond) {
  if (count < 1 || count > kMaxPings)
    return respond(error("the count must be 1 to " + std::to_string(kMaxPings)));
  resolve(name, [this, name, count, respond](const LookupReady& ready) {
    if (ready.outcome != LookupOutcome::Ready)
      return respond(error(name.text() + ": " +
                           (ready.reason.empty() ? "no path came up within 2 s" : ready.reason)));
    std::uint64_t id = next_id_++;
    pinging_[id] = std::make_unique<Pinging>(Pinging{name, count, json::array(), respond});
    next_ping(id);
  });
}

void Service::next_ping(std::uint64_t id) {
  std::map<std::uint64_t, std::unique_ptr<Pinging>>::iterator it = pinging_.find(id);
  if (it == pinging_.end()) return;
  --it->second->left;
  engine_->handle(loop_.now(), PingWanted{id, it->second->name});
  turn();
}

void Service::on_ping_result(const PingResult& result) {
  std::map<std::uint64_t, std::unique_ptr<Pinging>>::iterator it = pinging_.find(result.id);
  if (it == pinging_.end()) return;
  json one = {{"answered", result.answered}};
  if (result.answered) {
    one["rtt_ms"] = static_cast<double>(result.rtt.us) / 1000.0;
    one["kind"] = result.relayed ? "relay" : "direct";
    one["remote"] = to_string(result.outer);
  } else {
    one["reason"] = result.reason;
  }
  Pinging& p = *it->second;
  p.results.push_back(std::move(one));
  if (p.left > 0) {
    loop_.after(kPingEvery, [this, id = result.id] { next_ping(id); });
    return;
  }
  p.respond({{"ok", true}, {"name", p.name.text()}, {"results", p.results}});
  pinging_.erase(it);
}

void Service::lookup(const Name& name, Respond respond) {
  if (!stub_) return respond(error("the stub resolver is switched off (dns.enabled)"));
  stub_->query_ntm(name, [name, respond](const dns::NtmAnswer& answer) {
    if (answer.state == dns::NtmState::Failed)
      return respond(error("no DNS server answers for " + name.text()));
    bool found = answer.state == dns::NtmState::Found;
    json out = {{"ok", true}, {"name", name.text()}, {"found", found},
                {"last", answer.records.name.text()}, {"bogus", answer.records.bogus},
                {"secure", answer.records.dnssec == wire::DnssecState::Secure}};
    if (answer.records.v4) out["ntm4"] = record_json(*answer.records.v4);
    if (answer.records.v6) out["ntm6"] = record_json(*answer.records.v6);
    respond(out);
  });
}

}  // namespace ntm::terminal
