// See the header.
#include "cli/terminal_views.hpp"

#include <cstdio>

#include "cli/call.hpp"

namespace ntm::cli {

using nlohmann::json;

namespace {

std::string text(const json& value, const char* missing = "-") {
  if (value.is_null()) return missing;
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string milliseconds_text(const json& value) {
  char out[32];
  std::snprintf(out, sizeof out, "%.1f ms", value.get<double>());
  return out;
}

std::string addresses(const json& v) {
  std::string out = text(v["v4"], "");
  if (!v["v6"].is_null()) out += (out.empty() ? "" : ", ") + text(v["v6"]);
  return out.empty() ? "none" : out;
}

void show_families(const json& families) {
  for (const json& f : families) {
    std::string line = f["family"] == 4 ? "  IPv4  " : "  IPv6  ";
    if (f["registered"].get<bool>()) {
      line += "registered from " + text(f["local"]) + " (" + text(f["interface"]) + ")";
      line += f["nat"] == "behind" ? ", behind NAT, seen as " + text(f["outside"])
                                   : ", seen as " + text(f["outside"]);
    } else {
      line += f.contains("problem") ? text(f["problem"]) : "not registered";
    }
    std::printf("%s\n", line.c_str());
  }
}

void show_peer(const json& p, std::vector<std::vector<std::string>>& rows) {
  const json* best = nullptr;
  for (const json& path : p["paths"])
    if (path["selected"].get<bool>()) best = &path;
  std::vector<std::string> row = {text(p["name"]), text(p["state"])};
  if (best == nullptr) {
    row.insert(row.end(), {"-", "-", "-", "-", addresses(p["virtual"])});
  } else {
    std::string sent = "-", received = "-";
    if (best->contains("counters")) {
      sent = text((*best)["counters"]["bytes_sent"]);
      received = text((*best)["counters"]["bytes_received"]);
    }
    row.insert(row.end(), {text((*best)["kind"]) + " " + text((*best)["remote"]),
                           milliseconds_text((*best)["rtt_ms"]), sent, received,
                           addresses(p["virtual"])});
  }
  rows.push_back(std::move(row));
}

}  // namespace

void show_status(const json& a) {
  std::printf("%s (zone %s): %s\n", text(a["name"]).c_str(), text(a["zone"]).c_str(),
              a["registered"].get<bool>() ? "registered" : "not registered");
  show_families(a["families"]);
  std::printf("  virtual addresses: %s on %s (datapath %s)\n", addresses(a["virtual"]).c_str(),
              text(a["interface"]).c_str(), text(a["datapath"]).c_str());
  for (const json& why : a["left_out"]) std::printf("    left out: %s\n", text(why).c_str());
  std::printf("  DNS: %s\n", a["dns"]["enabled"].get<bool>() ? text(a["dns"]["hook"]).c_str()
                                                             : "stub resolver off");
  if (a["peers"].empty()) return;
  std::vector<std::vector<std::string>> rows = {
      {"peer", "state", "path", "rtt", "sent", "received", "virtual addresses"}};
  for (const json& p : a["peers"]) show_peer(p, rows);
  std::printf("\n");
  print_table(rows);
  for (const json& p : a["peers"]) {
    for (const json& path : p["paths"])
      if (path["selected"].get<bool>())
        std::printf("%s: %s\n", text(p["name"]).c_str(), text(path["reason"]).c_str());
    for (const json& why : p["left_out"])
      std::printf("%s: left out: %s\n", text(p["name"]).c_str(), text(why).c_str());
  }
}

void show_ping(const json& a) {
  int number = 0;
  for (const json& r : a["results"]) {
    ++number;
    if (r["answered"].get<bool>())
      std::printf("%d: %s, %s over %s\n", number, milliseconds_text(r["rtt_ms"]).c_str(),
                  text(r["kind"]).c_str(), text(r["remote"]).c_str());
    else
      std::printf("%d: %s\n", number, text(r["reason"]).c_str());
  }
}

void show_lookup(const json& a) {
  if (!a["found"].get<bool>()) {
    std::printf("%s has no NTM record: it is no NTMobile terminal.\n", text(a["name"]).c_str());
    return;
  }
  if (a["last"] != a["name"])
    std::printf("%s is an alias of %s\n", text(a["name"]).c_str(), text(a["last"]).c_str());
  for (const char* key : {"ntm4", "ntm6"})
    if (a.contains(key)) std::printf("%s\n", text(a[key]["text"]).c_str());
  std::printf("DNSSEC: %s\n", a["bogus"].get<bool>()    ? "BOGUS, not used"
                              : a["secure"].get<bool>() ? "secure"
                                                        : "not validated");
}

}  // namespace ntm::cli
