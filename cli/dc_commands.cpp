// One function a group of verbs; options live in shared structs because CLI11 keeps references.
#include "cli/dc_commands.hpp"

#include <cstdio>
#include <memory>

#include "director/setup.hpp"
#include "libntm/host/clock.hpp"

namespace ntm::cli {

using nlohmann::json;

namespace {

struct DcOptions {
  std::string socket = "/run/ntmobile/director.sock";
  std::string name;
  std::string zone;
  std::vector<std::string> addresses;
  std::string pool4;
  std::string policy;
  std::string key;
  int port = 4753;
  std::int64_t hours = 24;
  std::string data = "/var/lib/ntmobile/dc";
  std::string config = "/etc/ntmobile/director.toml";
  bool token_only = false;
  bool publish = false;
  bool no_publish = false;
};
using Shared = std::shared_ptr<DcOptions>;

std::string text_of(const json& value, const char* key, const char* missing = "-") {
  if (!value.contains(key) || value[key].is_null()) return missing;
  if (value[key].is_string()) return value[key].get<std::string>();
  return value[key].dump();
}

void print_token(const json& answer, const char* command) {
  std::printf("%s\n", answer["token"].get<std::string>().c_str());
  std::fprintf(stderr, "\nOn %s run:  %s TOKEN\nThe token works once, for %s hours.\n",
               answer["name"].get<std::string>().c_str(), command,
               text_of(answer, "expires_hours").c_str());
}

void print_lines(const json& list) {
  for (const json& line : list) std::printf("  %s\n", line.get<std::string>().c_str());
}

int run_init(const DcOptions& o, const Output& output) {
  director::InitOptions init;
  Result<Name> zone = Name::parse(o.zone);
  if (!zone) return fail_with("--zone: " + zone.error().text);
  init.zone = *zone;
  for (const std::string& text : o.addresses) {
    Result<IpAddress> address = parse_address(text);
    if (!address) return fail_with("--address: " + address.error().text);
    init.addresses.push_back(*address);
  }
  if (!o.pool4.empty()) {
    Result<Prefix> pool = parse_prefix(o.pool4);
    if (!pool) return fail_with("--pool4: " + pool.error().text);
    init.pool4 = *pool;
  }
  init.port = static_cast<std::uint16_t>(o.port);
  init.data = o.data;
  init.config = o.config;
  init.socket = o.socket;
  host::SystemRandom random;
  Result<director::InitResult> done = director::initialise(init, random, host::wall_now());
  if (!done) return fail_with(done.error().text);
  if (output.json) {
    json out{{"ok", true}, {"zone", done->zone.apex.text()}, {"config", done->config},
             {"parent_records", done->parent_records}};
    std::printf("%s\n", out.dump(2).c_str());
    return 0;
  }
  std::printf("DC of %s is set up in %s.\n\n1. Put these records into the parent zone:\n",
              done->zone.apex.text().c_str(), o.data.c_str());
  for (const std::string& line : done->parent_records) std::printf("  %s\n", line.c_str());
  std::printf("2. Start it:               ntm-director --config %s --with-dns\n"
              "3. Add a terminal:         ntm dc terminal add NAME\n"
              "4. Add a relay:            ntm dc relay add NAME\n"
              "Later:                     ntm dc zone show, ntm dc status\n",
              o.config.c_str());
  return 0;
}

void add_init(CLI::App& dc, const Output& output, int& status) {
  Shared o = std::make_shared<DcOptions>();
  CLI::App* init = dc.add_subcommand("init", "set up a DC on this host: keys, store, zone");
  init->add_option("--zone", o->zone, "the zone that this DC serves")->required();
  init->add_option("--address", o->addresses,
                   "public address of this host; once for IPv4, once for IPv6")
      ->required();
  init->add_option("--port", o->port, "UDP port")->check(CLI::Range(1, 65535))->capture_default_str();
  init->add_option("--pool4", o->pool4, "virtual IPv4 pool (default: a random /20 of 198.18.0.0/15)");
  init->add_option("--data", o->data, "folder of store and keys")->capture_default_str();
  init->add_option("--config", o->config, "configuration file to write")->capture_default_str();
  init->add_option("--socket", o->socket, "control socket to configure")->capture_default_str();
  init->callback([o, &output, &status] { status = run_init(*o, output); });
}

void show_zone(const json& z) {
  std::printf("zone      %s (serial %s, peer policy %s)\n", text_of(z, "zone").c_str(),
              text_of(z, "serial").c_str(), text_of(z, "policy").c_str());
  std::printf("virtual   %s", text_of(z, "virtual6").c_str());
  for (const json& p : z["pools4"]) std::printf(", %s", p.get<std::string>().c_str());
  std::printf("\nDC key    %s\n", text_of(z, "dc_key").c_str());
  if (z.contains("parent_records")) {
    std::printf("\nThe parent zone needs:\n");
    print_lines(z["parent_records"]);
  }
  if (z.contains("svcb"))
    std::printf("\nServed by this DC itself (an undelegated zone's peers can be told it):\n  %s\n",
                text_of(z, "svcb").c_str());
  std::printf("\nThe zone is not signed yet, so the parent needs no DS record.\n");
}

void add_zone(CLI::App& dc, const Shared& o, const Output& output, int& status) {
  CLI::App* zone = dc.add_subcommand("zone", "zones of this DC")->require_subcommand(1);
  zone->add_subcommand("list", "all zones")->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "zone.list"}}, output, [](const json& a) {
      std::vector<std::vector<std::string>> rows{{"ZONE", "SERIAL", "POLICY", "VIRTUAL IPV6"}};
      for (const json& z : a["zones"])
        rows.push_back({text_of(z, "zone"), text_of(z, "serial"), text_of(z, "policy"),
                        text_of(z, "virtual6")});
      print_table(rows);
    });
  });
  CLI::App* show = zone->add_subcommand("show", "one zone, and what its parent zone needs");
  show->add_option("name", o->name, "the zone (default: the only one)");
  show->callback([o, &output, &status] {
    json request{{"verb", "zone.show"}};
    if (!o->name.empty()) request["name"] = o->name;
    status = call_daemon(o->socket, request, output, show_zone);
  });
  CLI::App* add = zone->add_subcommand("add", "another zone on this DC");
  add->add_option("name", o->name, "the zone")->required();
  add->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "zone.add"}, {"name", o->name}}, output, show_zone);
  });
  CLI::App* set = zone->add_subcommand("set", "settings of a zone");
  set->add_option("name", o->name, "the zone")->required();
  set->add_option("--policy", o->policy, "which other DCs are believed: tofu, dnssec or closed");
  set->add_flag("--publish-behind-nat", o->publish, "A shows the NAT's outside address");
  set->add_flag("--no-publish-behind-nat", o->no_publish, "no A for terminals behind NAT");
  set->callback([o, &output, &status] {
    json request{{"verb", "zone.set"}, {"name", o->name}};
    if (!o->policy.empty()) request["policy"] = o->policy;
    if (o->publish || o->no_publish) request["publish_behind_nat"] = o->publish;
    status = call_daemon(o->socket, request, output, show_zone);
  });
}

std::string place_of(const json& t) {
  std::string out;
  for (const char* family : {"ipv4", "ipv6"})
    if (t.contains(family) && !t[family].is_null()) {
      out += (out.empty() ? "" : " ") + text_of(t[family], "outside");
      if (t[family]["behind_nat"].get<bool>()) out += "(NAT)";
    }
  return out.empty() ? "-" : out;
}

void show_terminal(const json& t) {
  std::printf("name      %s (%s)\nvirtual   %s  %s\nplace     %s\n", text_of(t, "name").c_str(),
              text_of(t, "state").c_str(), text_of(t, "virtual4").c_str(),
              text_of(t, "virtual6").c_str(), place_of(t).c_str());
  std::printf("key       %s\n", text_of(t, "key").c_str());
  if (!t.contains("moves") || t["moves"].empty()) return;
  std::printf("moves     (newest first)\n");
  for (const json& m : t["moves"])
    std::printf("  %.3f  %s %s%s\n", m["at_us"].get<double>() / 1e6, text_of(m, "ipv4", "").c_str(),
                text_of(m, "ipv6", "").c_str(), m["offline"].get<bool>() ? "offline" : "");
}

void add_terminal(CLI::App& dc, const Shared& o, const Output& output, int& status) {
  CLI::App* terminal = dc.add_subcommand("terminal", "terminals")->require_subcommand(1);
  for (const char* verb : {"add", "token"}) {
    bool adds = std::string(verb) == "add";
    CLI::App* command = terminal->add_subcommand(
        verb, adds ? "a new terminal; prints its one-use token" : "a new token for a terminal");
    command->add_option("name", o->name, "its name; a bare label is put below the zone")->required();
    command->add_option("--hours", o->hours, "life of the token")->capture_default_str();
    command->add_flag("--token-only", o->token_only, "print nothing but the token");
    std::string full = std::string("terminal.") + verb;
    command->callback([o, full, &output, &status] {
      json request{{"verb", full}, {"name", o->name}, {"hours", o->hours}};
      status = call_daemon(o->socket, request, output, [o](const json& a) {
        if (o->token_only) std::printf("%s\n", a["token"].get<std::string>().c_str());
        else print_token(a, "ntm join");
      });
    });
  }
  terminal->add_subcommand("list", "all terminals")->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "terminal.list"}}, output, [](const json& a) {
      std::vector<std::vector<std::string>> rows{
          {"NAME", "STATE", "VIRTUAL IPV4", "VIRTUAL IPV6", "PLACE"}};
      for (const json& t : a["terminals"])
        rows.push_back({text_of(t, "name"), text_of(t, "state"), text_of(t, "virtual4"),
                        text_of(t, "virtual6"), place_of(t)});
      print_table(rows);
    });
  });
  for (const char* verb : {"show", "remove"}) {
    CLI::App* command = terminal->add_subcommand(
        verb, std::string(verb) == "show" ? "one terminal and its moves" : "forget a terminal");
    command->add_option("name", o->name, "the terminal")->required();
    std::string full = std::string("terminal.") + verb;
    command->callback([o, full, &output, &status] {
      status = call_daemon(o->socket, {{"verb", full}, {"name", o->name}}, output,
                           [full](const json& a) {
                             if (full == "terminal.show") show_terminal(a);
                             else std::printf("removed %s\n", text_of(a, "name").c_str());
                           });
    });
  }
}

void add_relays_and_peers(CLI::App& dc, const Shared& o, const Output& output, int& status) {
  CLI::App* relay = dc.add_subcommand("relay", "relays of this DC")->require_subcommand(1);
  CLI::App* add = relay->add_subcommand("add", "a relay; prints its one-use token");
  add->add_option("name", o->name, "its name; a bare label is put below the zone")->required();
  add->add_option("--hours", o->hours, "life of the token")->capture_default_str();
  add->add_flag("--token-only", o->token_only, "print nothing but the token");
  add->callback([o, &output, &status] {
    status = call_daemon(o->socket,
                         {{"verb", "relay.add"}, {"name", o->name}, {"hours", o->hours}}, output,
                         [o](const json& a) {
                           if (o->token_only)
                             std::printf("%s\n", a["token"].get<std::string>().c_str());
                           else print_token(a, "ntm relay join");
                         });
  });
  relay->add_subcommand("list", "all relays")->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "relay.list"}}, output, [](const json& a) {
      std::vector<std::vector<std::string>> rows{{"NAME", "STATE", "PATHS", "ADDRESSES"}};
      for (const json& r : a["relays"]) {
        std::string addresses;
        for (const json& e : r["addresses"]) addresses += e.get<std::string>() + " ";
        std::string state = !r["enrolled"].get<bool>()   ? "not enrolled"
                            : r["attached"].get<bool>() ? "attached"
                                                        : "away";
        rows.push_back({text_of(r, "name"), state,
                        text_of(r, "entries") + "/" + text_of(r, "capacity"), addresses});
      }
      print_table(rows);
    });
  });
  CLI::App* remove = relay->add_subcommand("remove", "forget a relay");
  remove->add_option("name", o->name, "the relay")->required();
  remove->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "relay.remove"}, {"name", o->name}}, output,
                         [](const json& a) { std::printf("removed %s\n", text_of(a, "name").c_str()); });
  });

  CLI::App* peer = dc.add_subcommand("peer", "DCs of other zones")->require_subcommand(1);
  peer->add_subcommand("list", "those whose key is pinned or listed")->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "peer.list"}}, output, [](const json& a) {
      std::vector<std::vector<std::string>> rows{{"ZONE", "HOW", "KEY"}};
      for (const json& p : a["peers"])
        rows.push_back({text_of(p, "zone"), p["listed"].get<bool>() ? "listed" : "first seen",
                        text_of(p, "key")});
      print_table(rows);
    });
  });
  CLI::App* list = peer->add_subcommand("add", "list a zone's DC key (policy closed)");
  list->add_option("zone", o->zone, "the other zone")->required();
  list->add_option("key", o->key, "its DC key, 64 hexadecimal digits")->required();
  list->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "peer.add"}, {"zone", o->zone}, {"key", o->key}},
                         output, [](const json& a) { std::printf("listed %s\n", text_of(a, "zone").c_str()); });
  });
  CLI::App* forget = peer->add_subcommand("remove", "forget a zone's DC key");
  forget->add_option("zone", o->zone, "the other zone")->required();
  forget->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "peer.remove"}, {"zone", o->zone}}, output,
                         [](const json& a) { std::printf("forgotten %s\n", text_of(a, "zone").c_str()); });
  });
}

}  // namespace

void add_dc_commands(CLI::App& app, const Output& output, int& status) {
  CLI::App* dc = app.add_subcommand("dc", "set up and administer a Direction Coordinator");
  dc->require_subcommand(1);
  Shared o = std::make_shared<DcOptions>();
  dc->add_option("--socket", o->socket, "the director's control socket")->capture_default_str();
  add_init(*dc, output, status);
  add_zone(*dc, o, output, status);
  add_terminal(*dc, o, output, status);
  add_relays_and_peers(*dc, o, output, status);
  dc->add_subcommand("status", "what this DC does")->callback([o, &output, &status] {
    status = call_daemon(o->socket, {{"verb", "status"}}, output, [](const json& a) {
      std::printf("zones      ");
      for (const json& z : a["zones"]) std::printf("%s ", z.get<std::string>().c_str());
      std::printf("\nterminals  %s online of %s\nrelays     %s attached\nDNS        %s\n",
                  text_of(a, "terminals_online").c_str(), text_of(a, "terminals").c_str(),
                  text_of(a, "relays_attached").c_str(),
                  a["with_dns"].get<bool>() ? "our pdns_server runs" : "not run by this director");
      std::printf("since start (%s s):\n", text_of(a, "uptime_seconds").c_str());
      for (const auto& [key, value] : a["counters"].items())
        std::printf("  %-18s %s\n", key.c_str(), value.dump().c_str());
    });
  });
}

void add_relay_commands(CLI::App& app, const Output& output, int& status) {
  CLI::App* relay = app.add_subcommand("relay", "this host's Relay Server");
  relay->require_subcommand(1);
  std::shared_ptr<std::string> socket = std::make_shared<std::string>("/run/ntmobile/relay.sock");
  std::shared_ptr<std::string> token = std::make_shared<std::string>();
  relay->add_option("--socket", *socket, "the relay's control socket")->capture_default_str();
  CLI::App* join = relay->add_subcommand("join", "enrol with a DC");
  join->add_option("token", *token, "what `ntm dc relay add` printed")->required();
  join->callback([socket, token, &output, &status] {
    status = call_daemon(*socket, {{"verb", "join"}, {"token", *token}}, output, [](const json& a) {
      std::printf("enrolling as %s with the DC of %s; see: ntm relay status\n",
                  text_of(a, "name").c_str(), text_of(a, "zone").c_str());
    });
  });
  relay->add_subcommand("status", "its DCs and paths")->callback([socket, token, &output, &status] {
    status = call_daemon(*socket, {{"verb", "status"}}, output, [](const json& a) {
      std::printf("datapath  %s, %s of %s paths\n", text_of(a, "datapath").c_str(),
                  text_of(a, "entries").c_str(), text_of(a, "max_entries").c_str());
      for (const json& dc : a["dcs"])
        std::printf("DC        %s: %s %s\n", text_of(dc, "zone").c_str(), text_of(dc, "state").c_str(),
                    text_of(dc, "error", "").c_str());
      std::vector<std::vector<std::string>> rows{{"PATH", "ZONE", "LEG A", "LEG B", "PACKETS", "BYTES"}};
      for (const json& p : a["paths"])
        rows.push_back({text_of(p, "path"), text_of(p, "zone"), text_of(p["a"], "address"),
                        text_of(p["b"], "address"), text_of(p, "packets"), text_of(p, "bytes")});
      if (rows.size() > 1) print_table(rows);
    });
  });
}

}  // namespace ntm::cli
