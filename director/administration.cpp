// See the header. Bad input changes nothing and gets one line that says what to do.
#include "director/administration.hpp"

#include <algorithm>

#include "director/service.hpp"
#include "libntm/base/text.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/wire/dc_record.hpp"

namespace ntm::director {

using nlohmann::json;

namespace {

constexpr std::int64_t kTokenHours = 24;  // docs/PROTOCOL.md 2

json failure(const std::string& text) { return {{"ok", false}, {"error", text}}; }

// The first item that was not applied, in words; empty when all were.
std::string refusal(const store::Completion& completion) {
  for (const store::ItemResult& item : completion.items) {
    if (item.outcome == store::Outcome::Applied) continue;
    return item.reason.empty() ? std::string("the store answers ") + to_string(item.outcome)
                               : item.reason;
  }
  return "";
}

json family_json(const store::FamilyLocation& f) {
  if (!f.outside.is_set()) return nullptr;
  return {{"real", to_string(Endpoint{f.real, f.real_port})},
          {"outside", to_string(f.outside)},
          {"behind_nat", f.behind_nat}};
}

json terminal_json(const DirectorEngine::TerminalStatus& t) {
  const store::Terminal& term = t.view.terminal;
  json out{{"name", term.name.text()}, {"id", term.id.value}, {"enrolled", term.key.has_value()}};
  if (term.virtual_addresses.v4) out["virtual4"] = to_string(*term.virtual_addresses.v4);
  if (term.virtual_addresses.v6) out["virtual6"] = to_string(*term.virtual_addresses.v6);
  if (term.key) out["key"] = to_hex(term.key->view());
  bool online = t.view.location && !(t.view.location->flags & store::kLocationOffline);
  out["state"] = !term.key ? "not enrolled" : online ? "online" : "offline";
  if (t.view.location) {
    out["ipv4"] = family_json(t.view.location->v4);
    out["ipv6"] = family_json(t.view.location->v6);
    out["counter"] = t.view.location->counter;
    out["updated_us"] = t.view.location->updated.us;
  }
  if (t.last_seen) out["last_seen_seconds"] = t.last_seen->us / 1'000'000;
  return out;
}

json zone_json(const store::Zone& z) {
  json out{{"zone", z.apex.text()},
           {"serial", z.serial},
           {"kind", to_string(z.kind)},
           {"policy", to_string(z.peer_policy)},
           {"publish_behind_nat", z.publish == store::PublishBehindNat::Outside},
           {"dc_key", to_hex(z.dc_key.view())},
           {"pools4", json::array()},
           {"dc_endpoints", json::array()}};
  for (const Prefix& p : z.pools4) out["pools4"].push_back(to_string(p));
  for (const Endpoint& e : z.dc_endpoints) out["dc_endpoints"].push_back(to_string(e));
  if (z.virtual6) out["virtual6"] = to_string(*z.virtual6);
  return out;
}

}  // namespace

Administration::Administration(Service& service)
    : service_(service),
      verbs_{{"status", &Administration::status},
             {"zone.list", &Administration::zone_list},
             {"zone.show", &Administration::zone_show},
             {"zone.add", &Administration::zone_add},
             {"zone.set", &Administration::zone_set},
             {"terminal.add", &Administration::terminal_add},
             {"terminal.token", &Administration::terminal_token},
             {"terminal.list", &Administration::terminal_list},
             {"terminal.show", &Administration::terminal_show},
             {"terminal.remove", &Administration::terminal_remove},
             {"relay.add", &Administration::relay_add},
             {"relay.list", &Administration::relay_list},
             {"relay.remove", &Administration::relay_remove},
             {"peer.list", &Administration::peer_list},
             {"peer.add", &Administration::peer_add},
             {"peer.remove", &Administration::peer_remove}} {}

void Administration::handle(const json& request, Respond respond) {
  std::string verb = request.at("verb").get<std::string>();
  std::map<std::string, Verb, std::less<>>::iterator it = verbs_.find(verb);
  if (it == verbs_.end()) {
    respond(failure("the director knows no verb '" + printable(as_view(verb), 40) + "'"));
    return;
  }
  (this->*it->second)(request, std::move(respond));
}

// ---- common ---------------------------------------------------------------------------------------

Result<Name> Administration::full_name(const json& request, const char* key) const {
  std::string text = request.at(key).get<std::string>();
  Result<Name> name = Name::parse(text);
  if (!name) return name;
  if (name->labels() == 1 && text.back() != '.') {
    if (service_.zones().size() != 1)
      return invalid("'" + text + "': this DC has several zones; write the name in full");
    return service_.zones()[0].zone.apex.child(text);
  }
  return name;
}

const store::Zone* Administration::zone_for(const Name& name) const {
  const store::Zone* best = nullptr;
  for (const ZoneIdentity& z : service_.zones())
    if (name.is_under(z.zone.apex) &&
        (best == nullptr || z.zone.apex.labels() > best->apex.labels()))
      best = &z.zone;
  return best;
}

void Administration::with_id(const std::string& counter, Respond respond,
                             std::function<void(std::uint64_t)> next) {
  store::Batch batch;
  batch.items.push_back(store::LeaseBlock{counter, 1});
  service_.write(std::move(batch), [respond, next](const store::Completion& done) {
    std::string why = refusal(done);
    if (!why.empty()) respond(failure(why));
    else next(done.items[0].granted_from);
  });
}

void Administration::put_token(store::TokenPurpose purpose, const Name& subject,
                               const store::Zone& zone, std::int64_t hours, json answer,
                               Respond respond) {
  wire::EnrolmentToken token;
  token.zone = zone.apex;
  token.subject = subject;
  token.dc_key = zone.dc_key;
  token.dc_endpoints = zone.dc_endpoints;
  if (token.dc_endpoints.size() > 4) token.dc_endpoints.resize(4);
  do token.id = {service_.random().u64()};
  while (token.id.is_zero());
  service_.random().fill(token.secret.span());
  store::Token row;
  row.id = token.id;
  row.purpose = purpose;
  row.subject = subject;
  row.psk = crypto::enrolment_psk(token.secret.view(), token.id);
  row.expires = host::wall_now() + seconds(hours * 3600);
  std::string text = crypto::token_text(token);
  store::Batch batch;
  batch.items.push_back(store::PutToken{row});
  service_.write(std::move(batch), [this, answer, text, row, hours,
                                    respond](const store::Completion& done) mutable {
    std::string why = refusal(done);
    if (!why.empty()) {
      respond(failure(why));
      return;
    }
    service_.engine().token_changed(row.id, row);
    answer["ok"] = true;
    answer["token"] = text;
    answer["expires_hours"] = hours;
    respond(answer);
  });
}

// ---- status ---------------------------------------------------------------------------------------

void Administration::status(const json&, Respond respond) {
  const DirectorEngine::Counters& c = service_.engine().counters();
  std::size_t online = 0;
  std::vector<DirectorEngine::TerminalStatus> terminals =
      service_.engine().terminals(service_.now());
  for (const DirectorEngine::TerminalStatus& t : terminals)
    online += t.view.location && !(t.view.location->flags & store::kLocationOffline);
  std::size_t relays_up = 0;
  for (const DirectorEngine::RelayStatusView& r : service_.engine().relays(service_.now()))
    relays_up += r.attached;
  json zones = json::array();
  for (const ZoneIdentity& z : service_.zones()) zones.push_back(z.zone.apex.text());
  respond({{"ok", true},
           {"zones", zones},
           {"terminals", terminals.size()},
           {"terminals_online", online},
           {"relays_attached", relays_up},
           {"with_dns", service_.dns_runs()},
           {"uptime_seconds", (service_.now() - service_.started()).us / 1'000'000},
           {"counters",
            {{"registrations", c.registrations},
             {"stale", c.stale},
             {"refused", c.refused},
             {"directions", c.directions},
             {"directions_failed", c.directions_failed},
             {"handshakes", c.handshakes},
             {"rate_limited", c.limited},
             {"hints", c.hints}}}});
}

// ---- zones ----------------------------------------------------------------------------------------

void Administration::zone_list(const json&, Respond respond) {
  json zones = json::array();
  for (const ZoneIdentity& z : service_.zones()) zones.push_back(zone_json(z.zone));
  respond({{"ok", true}, {"zones", zones}});
}

void Administration::zone_show(const json& request, Respond respond) {
  const store::Zone* zone = nullptr;
  if (!request.contains("name")) {
    if (service_.zones().size() == 1) zone = &service_.zones()[0].zone;
  } else {
    Result<Name> name = Name::parse(request.at("name").get<std::string>());
    for (const ZoneIdentity& z : service_.zones())
      if (name && z.zone.apex == *name) zone = &z.zone;
  }
  if (zone == nullptr) {
    respond(failure("name one of this DC's zones; `ntm dc zone list` shows them"));
    return;
  }
  json out = zone_json(*zone);
  out["ok"] = true;
  out["parent_records"] = parent_records(*zone);
  wire::DcRecord svcb;
  svcb.port = zone->dc_endpoints.empty() ? 4753 : zone->dc_endpoints[0].port;
  for (const Endpoint& e : zone->dc_endpoints) {
    if (e.address.is_v4()) svcb.ipv4_hints.push_back(e.address.v4());
    else svcb.ipv6_hints.push_back(e.address.v6());
  }
  svcb.dc_key = zone->dc_key;
  svcb.zone_virtual6 = zone->virtual6;
  out["svcb"] = "_ntm._udp." + zone->apex.text() + ". 60 IN SVCB " + wire::zone_file_text(svcb);
  respond(out);
}

void Administration::zone_add(const json& request, Respond respond) {
  Result<Name> name = Name::parse(request.at("name").get<std::string>());
  if (!name || name->is_root()) {
    respond(failure(name ? "the root can't be a DC's zone" : name.error().text));
    return;
  }
  for (const ZoneIdentity& z : service_.zones())
    if (z.zone.apex == *name) {
      respond(failure("zone " + name->text() + " is here already"));
      return;
    }
  std::vector<Endpoint> endpoints;
  if (!service_.zones().empty()) endpoints = service_.zones()[0].zone.dc_endpoints;
  with_id("zone", respond, [this, name = *name, endpoints, respond](std::uint64_t id) {
    std::vector<Prefix> taken;
    for (const ZoneIdentity& z : service_.zones())
      taken.insert(taken.end(), z.zone.pools4.begin(), z.zone.pools4.end());
    Prefix pool = random_pool4(service_.random(), taken);
    store::Zone zone = make_zone({static_cast<std::int32_t>(id)}, name, endpoints,
                                 service_.keys().key.public_key, pool, service_.random());
    store::Batch batch;
    batch.atomic = true;
    batch.items.push_back(store::PutZone{zone});
    std::vector<store::Record> rows = zone_rows(zone);
    for (std::size_t i = 0; i < rows.size();) {
      store::ReplaceRrset rrset{zone.id, rows[i].name, rows[i].type, {}};
      while (i < rows.size() && rows[i].name == rrset.name && rows[i].type == rrset.type)
        rrset.rows.push_back(rows[i++]);
      batch.items.push_back(std::move(rrset));
    }
    service_.write(std::move(batch), [zone, respond](const store::Completion& done) {
      std::string why = refusal(done);
      if (!why.empty()) {
        respond(failure(why));
        return;
      }
      json out = zone_json(zone);
      out["ok"] = true;
      out["parent_records"] = parent_records(zone);
      respond(out);
    });
  });
}

void Administration::zone_set(const json& request, Respond respond) {
  Result<Name> name = Name::parse(request.at("name").get<std::string>());
  const store::Zone* known = nullptr;
  for (const ZoneIdentity& z : service_.zones())
    if (name && z.zone.apex == *name) known = &z.zone;
  if (known == nullptr) {
    respond(failure("no such zone here; `ntm dc zone list` shows them"));
    return;
  }
  store::Zone zone = *known;
  if (request.contains("policy")) {
    std::string policy = request.at("policy").get<std::string>();
    bool found = false;
    for (store::PeerPolicy p : {store::PeerPolicy::Tofu, store::PeerPolicy::Dnssec, store::PeerPolicy::Closed})
      if (policy == to_string(p)) {
        zone.peer_policy = p;
        found = true;
      }
    if (!found) {
      respond(failure("policy is tofu, dnssec or closed"));
      return;
    }
  }
  if (request.contains("publish_behind_nat"))
    zone.publish = request.at("publish_behind_nat").get<bool>() ? store::PublishBehindNat::Outside
                                                                : store::PublishBehindNat::None;
  store::Batch batch;
  batch.items.push_back(store::PutZone{zone});
  service_.write(std::move(batch), [zone, respond](const store::Completion& done) {
    std::string why = refusal(done);
    json out = zone_json(zone);
    out["ok"] = true;
    respond(why.empty() ? out : failure(why));
  });
}

// ---- terminals --------------------------------------------------------------------------------------

void Administration::terminal_add(const json& request, Respond respond) {
  Result<Name> name = full_name(request, "name");
  if (!name) {
    respond(failure(name.error().text));
    return;
  }
  const store::Zone* zone = zone_for(*name);
  if (zone == nullptr || *name == zone->apex || !zone->has_terminals) {
    respond(failure("'" + name->text() + "' is not below a zone of this DC; `ntm dc zone list`"));
    return;
  }
  Result<std::optional<store::TerminalView>> known = service_.reader().terminal(*name);
  if (!known || known->has_value()) {
    respond(failure(known ? name->text() + " exists already; for a new token run "
                                           "`ntm dc terminal token " + name->text() + "`"
                          : known.error().text));
    return;
  }
  std::int64_t hours = request.value("hours", kTokenHours);
  if (hours < 1 || hours > 24 * 366) {
    respond(failure("a token lives 1 to 8784 hours"));
    return;
  }
  with_id("terminal", respond, [this, name = *name, zone = *zone, hours, respond](std::uint64_t id) {
    store::Terminal terminal;
    terminal.id = {id};
    terminal.zone = zone.id;
    terminal.name = name;
    terminal.virtual_addresses = service_.engine().allocate(zone.id);
    terminal.created = host::wall_now();
    store::Batch batch;
    batch.items.push_back(store::CreateTerminal{terminal});
    service_.write(std::move(batch), [this, terminal, zone, hours,
                                      respond](const store::Completion& done) {
      std::string why = refusal(done);
      if (!why.empty()) {
        service_.engine().release(zone.id, terminal.virtual_addresses);
        respond(failure(why));
        return;
      }
      service_.engine().terminal_changed(service_.now(), {terminal, std::nullopt});
      json answer{{"name", terminal.name.text()}};
      if (terminal.virtual_addresses.v4)
        answer["virtual4"] = to_string(*terminal.virtual_addresses.v4);
      if (terminal.virtual_addresses.v6)
        answer["virtual6"] = to_string(*terminal.virtual_addresses.v6);
      put_token(store::TokenPurpose::Terminal, terminal.name, zone, hours, answer, respond);
    });
  });
}

void Administration::terminal_token(const json& request, Respond respond) {
  Result<Name> name = full_name(request, "name");
  Result<std::optional<store::TerminalView>> known =
      name ? service_.reader().terminal(*name)
           : Result<std::optional<store::TerminalView>>(pass(name.error()));
  if (!known || !known->has_value()) {
    respond(failure(known ? "no terminal " + name->text() + "; `ntm dc terminal list` shows all"
                          : known.error().text));
    return;
  }
  const store::Zone* zone = zone_for(*name);
  put_token(store::TokenPurpose::Terminal, *name, *zone, request.value("hours", kTokenHours),
            {{"name", name->text()}}, respond);
}

void Administration::terminal_list(const json&, Respond respond) {
  json out = json::array();
  for (const DirectorEngine::TerminalStatus& t : service_.engine().terminals(service_.now()))
    out.push_back(terminal_json(t));
  respond({{"ok", true}, {"terminals", out}});
}

void Administration::terminal_show(const json& request, Respond respond) {
  Result<Name> name = full_name(request, "name");
  if (!name) {
    respond(failure(name.error().text));
    return;
  }
  std::vector<DirectorEngine::TerminalStatus> found = service_.engine().terminals_named(*name);
  if (found.empty()) {
    respond(failure("no terminal " + name->text() + "; `ntm dc terminal list` shows all"));
    return;
  }
  json out = terminal_json(found[0]);
  out["ok"] = true;
  out["moves"] = json::array();
  if (service_.status_store() != nullptr) {
    Result<std::vector<store::sqlite::Move>> moves =
        service_.status_store()->moves(found[0].view.terminal.id);
    if (moves)
      for (const store::sqlite::Move& m : *moves) {
        json move{{"at_us", m.at.us}, {"offline", bool(m.flags & store::kLocationOffline)}};
        if (m.outside4.is_set()) move["ipv4"] = to_string(m.outside4);
        if (m.outside6.is_set()) move["ipv6"] = to_string(m.outside6);
        out["moves"].push_back(move);
      }
  }
  respond(out);
}

void Administration::terminal_remove(const json& request, Respond respond) {
  Result<Name> name = full_name(request, "name");
  Result<std::optional<store::TerminalView>> known =
      name ? service_.reader().terminal(*name)
           : Result<std::optional<store::TerminalView>>(pass(name.error()));
  if (!known || !known->has_value()) {
    respond(failure(known ? "no terminal " + name->text() : known.error().text));
    return;
  }
  store::TerminalId id = (*known)->terminal.id;
  store::Batch batch;
  batch.items.push_back(store::DeleteTerminal{id});
  service_.write(std::move(batch), [this, id, name = *name, respond](const store::Completion& done) {
    std::string why = refusal(done);
    if (!why.empty()) {
      respond(failure(why));
      return;
    }
    service_.engine().terminal_removed(service_.now(), id);
    respond({{"ok", true}, {"name", name.text()}});
  });
}

// ---- relays and peers ---------------------------------------------------------------------------------

void Administration::relay_add(const json& request, Respond respond) {
  Result<Name> name = full_name(request, "name");
  if (!name || service_.zones().empty()) {
    respond(failure(name ? "this DC has no zone yet" : name.error().text));
    return;
  }
  const store::Zone* below = zone_for(*name);
  store::Zone zone = below != nullptr ? *below : service_.zones()[0].zone;
  Result<std::vector<store::Relay>> relays = service_.reader().relays();
  if (!relays) {
    respond(failure(relays.error().text));
    return;
  }
  std::int64_t hours = request.value("hours", kTokenHours);
  for (const store::Relay& r : *relays)
    if (r.name == *name) {  // a new token for a relay that lost its key
      put_token(store::TokenPurpose::Relay, *name, zone, hours, {{"name", name->text()}}, respond);
      return;
    }
  with_id("relay", respond, [this, name = *name, zone, hours, respond](std::uint64_t id) {
    store::Relay relay;
    relay.id = {id};
    relay.name = name;
    store::Batch batch;
    batch.items.push_back(store::PutRelay{relay});
    service_.write(std::move(batch), [this, relay, zone, hours,
                                      respond](const store::Completion& done) {
      std::string why = refusal(done);
      if (!why.empty()) {
        respond(failure(why));
        return;
      }
      if (Result<std::vector<store::Relay>> all = service_.reader().relays())
        service_.engine().relays_changed(service_.now(), *all);
      put_token(store::TokenPurpose::Relay, relay.name, zone, hours,
                {{"name", relay.name.text()}}, respond);
    });
  });
}

void Administration::relay_list(const json&, Respond respond) {
  json out = json::array();
  for (const DirectorEngine::RelayStatusView& r : service_.engine().relays(service_.now())) {
    json item{{"name", r.relay.name.text()},
              {"enrolled", r.relay.key.has_value()},
              {"attached", r.attached},
              {"drained", r.relay.drained},
              {"entries", r.entries},
              {"capacity", r.capacity},
              {"addresses", json::array()}};
    for (const Endpoint& e : r.endpoints) item["addresses"].push_back(to_string(e));
    out.push_back(item);
  }
  respond({{"ok", true}, {"relays", out}});
}

void Administration::relay_remove(const json& request, Respond respond) {
  Result<Name> name = full_name(request, "name");
  Result<std::vector<store::Relay>> relays = service_.reader().relays();
  if (!name || !relays) {
    respond(failure(name ? relays.error().text : name.error().text));
    return;
  }
  for (const store::Relay& r : *relays) {
    if (r.name != *name) continue;
    store::Batch batch;
    batch.items.push_back(store::DeleteRelay{r.id});
    service_.write(std::move(batch), [name = *name, respond](const store::Completion& done) {
      std::string why = refusal(done);
      respond(why.empty() ? json{{"ok", true}, {"name", name.text()}} : failure(why));
    });
    return;
  }
  respond(failure("no relay " + name->text() + "; `ntm dc relay list` shows all"));
}

void Administration::peer_list(const json&, Respond respond) {
  Result<std::vector<store::PeerDc>> peers = service_.reader().peer_dcs();
  if (!peers) {
    respond(failure(peers.error().text));
    return;
  }
  json out = json::array();
  for (const store::PeerDc& p : *peers)
    out.push_back({{"zone", p.zone.text()},
                   {"key", to_hex(p.key.view())},
                   {"listed", p.listed},
                   {"first_seen_us", p.first_seen.us}});
  respond({{"ok", true}, {"peers", out}});
}

void Administration::peer_add(const json& request, Respond respond) {
  Result<Name> zone = Name::parse(request.at("zone").get<std::string>());
  Result<Bytes> key = from_hex(request.at("key").get<std::string>());
  if (!zone || !key || key->size() != 32) {
    respond(failure(!zone ? zone.error().text : "the key is 64 hexadecimal digits"));
    return;
  }
  store::PeerDc peer;
  peer.zone = *zone;
  std::copy(key->begin(), key->end(), peer.key.raw.begin());
  peer.listed = true;
  peer.first_seen = host::wall_now();
  store::Batch batch;
  batch.items.push_back(store::PutPeerDc{peer});
  service_.write(std::move(batch), [zone = *zone, respond](const store::Completion& done) {
    std::string why = refusal(done);
    respond(why.empty() ? json{{"ok", true}, {"zone", zone.text()}} : failure(why));
  });
}

void Administration::peer_remove(const json& request, Respond respond) {
  Result<Name> zone = Name::parse(request.at("zone").get<std::string>());
  if (!zone) {
    respond(failure(zone.error().text));
    return;
  }
  store::Batch batch;
  batch.items.push_back(store::DeletePeerDc{*zone});
  service_.write(std::move(batch), [zone = *zone, respond](const store::Completion& done) {
    std::string why = refusal(done);
    respond(why.empty() ? json{{"ok", true}, {"zone", zone.text()}} : failure(why));
  });
}

}  // namespace ntm::director
