// See the header. Addresses and names are text, so that a person can read the file.
#include "terminal/state_file.hpp"

#include <nlohmann/json.hpp>

#include "libntm/base/text.hpp"
#include "libntm/host/files.hpp"

namespace ntm::terminal {

namespace {

using nlohmann::json;

// 4096 peers x about 400 bytes of text.
constexpr std::size_t kMaxStateFile = 4 * 1024 * 1024;

std::string path_of(const std::string& folder) { return folder + "/state.json"; }

json write_virtual(const VirtualAddresses& v) {
  json out = json::object();
  if (v.v4) out["v4"] = to_string(*v.v4);
  if (v.v6) out["v6"] = to_string(*v.v6);
  return out;
}

// Throws like nlohmann on what is not as it should be; caught in load_state.
[[noreturn]] void damaged() { throw json::other_error::create(599, "damaged", nullptr); }

VirtualAddresses read_virtual(const json& in) {
  VirtualAddresses out;
  if (in.contains("v4")) {
    Result<IpAddress> a = parse_address(in["v4"].get<std::string>());
    if (!a || !a->is_v4()) damaged();
    out.v4 = a->v4();
  }
  if (in.contains("v6")) {
    Result<IpAddress> a = parse_address(in["v6"].get<std::string>());
    if (!a || !a->is_v6()) damaged();
    out.v6 = a->v6();
  }
  return out;
}

Prefix read_prefix(const json& in) {
  Result<Prefix> p = parse_prefix(in.get<std::string>());
  if (!p) damaged();
  return *p;
}

Name read_name(const std::string& text) {
  Result<Name> n = Name::parse(text);
  if (!n) damaged();
  return *n;
}

PublicKey read_key(const json& in) {
  Result<Bytes> raw = from_hex(in.get<std::string>());
  if (!raw || raw->size() != 32) damaged();
  PublicKey out;
  std::copy(raw->begin(), raw->end(), out.raw.begin());
  return out;
}

SavedState read(const json& in) {
  SavedState out;
  out.counter_reserved = in.at("counter_reserved").get<std::uint64_t>();
  out.enrolled = in.at("enrolled").get<bool>();
  out.own = read_virtual(in.at("own"));
  if (in.contains("zone_virtual6")) out.zone_virtual6 = read_prefix(in["zone_virtual6"]);
  for (const json& p : in.at("zone_pools4")) out.zone_pools4.push_back(read_prefix(p));
  out.port4 = in.at("port4").get<std::uint16_t>();
  out.port6 = in.at("port6").get<std::uint16_t>();
  for (const auto& [name, peer] : in.at("peers").items()) {
    SavedPeer p;
    p.zone = read_name(peer.at("zone").get<std::string>());
    p.key = read_key(peer.at("key"));
    if (peer.contains("next_key")) p.next_key = read_key(peer["next_key"]);
    p.virtual_addresses = read_virtual(peer.at("virtual"));
    out.peers[read_name(name)] = p;
  }
  for (const auto& [zone, prefix] : in.at("zones").items())
    out.zones[read_name(zone)] = read_prefix(prefix);
  return out;
}

}  // namespace

Result<SavedState> load_state(const std::string& folder) {
  std::string path = path_of(folder);
  if (!host::exists(path)) return SavedState{};
  Result<Bytes> bytes = host::read_file(path, kMaxStateFile);
  if (!bytes) return pass(bytes.error());
  try {
    return read(json::parse(bytes->begin(), bytes->end()));
  } catch (const json::exception&) {
    return invalid(path + " is damaged; move it away and start again (pinned keys of peers and " +
                   "virtual addresses are then learnt anew)");
  }
}

Result<void> store_state(const std::string& folder, const SavedState& s) {
  json out = {{"counter_reserved", s.counter_reserved},
              {"enrolled", s.enrolled},
              {"own", write_virtual(s.own)},
              {"zone_pools4", json::array()},
              {"port4", s.port4},
              {"port6", s.port6},
              {"peers", json::object()},
              {"zones", json::object()}};
  if (s.zone_virtual6) out["zone_virtual6"] = to_string(*s.zone_virtual6);
  for (const Prefix& p : s.zone_pools4) out["zone_pools4"].push_back(to_string(p));
  for (const auto& [name, peer] : s.peers) {
    json p = {{"zone", peer.zone.text()},
              {"key", to_hex(peer.key.view())},
              {"virtual", write_virtual(peer.virtual_addresses)}};
    if (peer.next_key) p["next_key"] = to_hex(peer.next_key->view());
    out["peers"][name.text()] = std::move(p);
  }
  for (const auto& [zone, prefix] : s.zones) out["zones"][zone.text()] = to_string(prefix);
  return host::replace_file(path_of(folder), as_view(out.dump(1) + "\n"), 0600);
}

}  // namespace ntm::terminal
