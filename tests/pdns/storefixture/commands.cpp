// The parser of the fixture's script language.
#include "tests/pdns/storefixture/commands.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>

#include "libntm/base/text.hpp"

namespace ntm::storefixture {

namespace {

using Words = std::vector<std::string>;

std::uint64_t number(const std::string& text) {
  std::uint64_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

store::ZoneId zone_id(const std::string& text) {
  return {static_cast<std::int32_t>(number(text))};
}

// Values of `key=value` words, in order; a word without `=` has an empty value.
std::multimap<std::string, std::string> options(const Words& words, std::size_t from) {
  std::multimap<std::string, std::string> out;
  for (std::size_t i = from; i < words.size(); ++i) {
    std::size_t at = words[i].find('=');
    out.emplace(words[i].substr(0, at), at == std::string::npos ? "" : words[i].substr(at + 1));
  }
  return out;
}

std::string option(const std::multimap<std::string, std::string>& all, const std::string& key) {
  std::multimap<std::string, std::string>::const_iterator at = all.find(key);
  return at == all.end() ? "" : at->second;
}

Result<PublicKey> public_key(const std::string& hex) {
  Result<Bytes> bytes = from_hex(hex);
  PublicKey out;
  if (!bytes || bytes->size() != out.raw.size()) return invalid("a key is 64 hexadecimal digits");
  std::copy(bytes->begin(), bytes->end(), out.raw.begin());
  return out;
}

Result<store::Operation> zone(const Words& words) {
  if (words.size() < 3) return invalid("zone ID APEX …");
  store::Zone out;
  out.id = zone_id(words[1]);
  Result<Name> apex = Name::parse(words[2]);
  if (!apex) return pass(apex.error());
  out.apex = *apex;
  std::multimap<std::string, std::string> all = options(words, 3);
  if (option(all, "kind") == "primary") out.kind = store::ZoneKind::Primary;
  if (option(all, "kind") == "secondary") out.kind = store::ZoneKind::Secondary;
  if (option(all, "policy") == "dnssec") out.peer_policy = store::PeerPolicy::Dnssec;
  if (option(all, "policy") == "closed") out.peer_policy = store::PeerPolicy::Closed;
  if (option(all, "publish") == "outside") out.publish = store::PublishBehindNat::Outside;
  if (all.contains("serial")) {
    out.serial = static_cast<std::uint32_t>(number(option(all, "serial")));
  }
  out.has_terminals = option(all, "terminals") != "no";
  if (all.contains("key")) {
    Result<PublicKey> key = public_key(option(all, "key"));
    if (!key) return pass(key.error());
    out.dc_key = *key;
  }
  for (const std::pair<const std::string, std::string>& each : all) {
    if (each.first != "dc") continue;
    Result<Endpoint> endpoint = parse_endpoint(each.second);
    if (!endpoint) return pass(endpoint.error());
    out.dc_endpoints.push_back(*endpoint);
  }
  if (out.has_terminals) {
    out.virtual6 = parse_prefix("fd12:3456:789a::/48").value();
    out.pools4 = {parse_prefix("198.18.0.0/20").value()};
  }
  return store::PutZone{out};
}

Result<store::Operation> record(const Words& words, bool disabled) {
  if (words.size() < 5) return invalid("record ZONE NAME TYPE TTL RDATA-HEX…");
  Result<Name> owner = Name::parse(words[2]);
  if (!owner) return pass(owner.error());
  std::uint16_t type = static_cast<std::uint16_t>(number(words[3]));
  store::ReplaceRrset out{zone_id(words[1]), *owner, type, {}};
  for (std::size_t i = 5; i < words.size(); ++i) {
    Result<Bytes> rdata = from_hex(words[i]);
    if (!rdata) return pass(rdata.error());
    store::Record row;
    row.name = *owner;
    row.type = out.type;
    row.ttl = static_cast<std::uint32_t>(number(words[4]));
    row.rdata = *rdata;
    row.disabled = disabled;
    out.rows.push_back(row);
  }
  return out;
}

Result<store::Operation> terminal(const Words& words) {
  if (words.size() != 7) return invalid("terminal ID ZONE NAME V4|- V6|- KEY-HEX|-");
  store::Terminal out;
  out.id = {number(words[1])};
  out.zone = zone_id(words[2]);
  Result<Name> owner = Name::parse(words[3]);
  if (!owner) return pass(owner.error());
  out.name = *owner;
  for (std::size_t i : {4, 5}) {
    if (words[i] == "-") continue;
    Result<IpAddress> address = parse_address(words[i]);
    if (!address) return pass(address.error());
    if (address->is_v4()) out.virtual_addresses.v4 = address->v4();
    if (address->is_v6()) out.virtual_addresses.v6 = address->v6();
  }
  if (words[6] != "-") {
    Result<PublicKey> key = public_key(words[6]);
    if (!key) return pass(key.error());
    out.key = *key;
  }
  return store::CreateTerminal{out};
}

Result<void> family_location(const std::multimap<std::string, std::string>& all, const char* digit,
                             store::FamilyLocation& out) {
  std::string real = option(all, std::string("v") + digit);
  if (real.empty()) return {};
  Result<Endpoint> endpoint = parse_endpoint(real);
  if (!endpoint) return pass(endpoint.error());
  out.real = endpoint->address;
  out.real_port = endpoint->port;
  out.outside = *endpoint;
  out.behind_nat = all.contains(std::string("nat") + digit);
  std::string outside = option(all, std::string("out") + digit);
  if (outside.empty()) return {};
  endpoint = parse_endpoint(outside);
  if (!endpoint) return pass(endpoint.error());
  out.outside = *endpoint;
  return {};
}

Result<store::Operation> location(const Words& words) {
  if (words.size() < 3) return invalid("location ID COUNTER …");
  std::multimap<std::string, std::string> all = options(words, 3);
  store::Location out;
  out.terminal = {number(words[1])};
  out.counter = number(words[2]);
  out.suites = 3;
  if (all.contains("private")) out.flags = store::kLocationPrivate;
  Result<void> good = family_location(all, "4", out.v4);
  if (good) good = family_location(all, "6", out.v6);
  if (!good) return pass(good.error());
  return store::PutLocation{out};
}

}  // namespace

Result<store::Operation> parse_command(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  if (words.empty()) return invalid("an empty line");
  if (words[0] == "zone") return zone(words);
  if (words[0] == "record") return record(words, false);
  if (words[0] == "disabled") return record(words, true);
  if (words[0] == "terminal") return terminal(words);
  if (words[0] == "location") return location(words);
  if (words[0] == "gone" && words.size() == 2) {
    return store::DeleteTerminal{{number(words[1])}};
  }
  if (words[0] == "offline" && words.size() == 3) {
    return store::SetLocationFlags{{number(words[1])}, number(words[2]), store::kLocationOffline};
  }
  if (words[0] == "bump" && words.size() == 2) return store::BumpSerial{zone_id(words[1]), 0};
  return invalid("unknown command " + words[0]);
}

}  // namespace ntm::storefixture
