// Key files are raw 32 bytes, 0600; enrolments one JSON file each, named after the zone.
#include "relay/state.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "libntm/base/text.hpp"
#include "libntm/host/files.hpp"

namespace ntm::relay {

namespace {

Result<Key32> open_key(const std::string& path, const char* what, Random& random) {
  if (!host::exists(path)) {
    Key32 made;
    random.fill(made.span());
    if (Result<void> written = host::replace_file(path, made.view(), 0600); !written)
      return pass(written.error());
    return made;
  }
  Result<Bytes> raw = host::read_secret_file(path, 32, what);
  if (!raw) return pass(raw.error());
  Key32 key = Key32::from(*raw);
  wipe(*raw);
  return key;
}

nlohmann::json to_json(const Enrolment& e) {
  nlohmann::json out{{"zone", e.zone.text()},
                     {"name", e.own_name.text()},
                     {"dc_key", to_hex(e.dc_key.view())},
                     {"dc_endpoints", nlohmann::json::array()}};
  for (const Endpoint& p : e.dc_endpoints) out["dc_endpoints"].push_back(to_string(p));
  if (e.token) out["token"] = to_hex(wire::encode_body(*e.token));
  return out;
}

Result<Enrolment> from_json(const nlohmann::json& in, const std::string& path) {
  Enrolment out;
  tl::unexpected<Error> bad =
      invalid(path + " is not an enrolment; remove it and run `ntm relay join TOKEN` again");
  try {
    Result<Name> zone = Name::parse(in.at("zone").get<std::string>());
    Result<Name> name = Name::parse(in.at("name").get<std::string>());
    Result<Bytes> key = from_hex(in.at("dc_key").get<std::string>());
    if (!zone || !name || !key || key->size() != 32) return bad;
    out.zone = *zone;
    out.own_name = *name;
    std::copy(key->begin(), key->end(), out.dc_key.raw.begin());
    for (const nlohmann::json& item : in.at("dc_endpoints")) {
      Result<Endpoint> endpoint = parse_endpoint(item.get<std::string>());
      if (!endpoint) return bad;
      out.dc_endpoints.push_back(*endpoint);
    }
    if (in.contains("token")) {
      Result<Bytes> body = from_hex(in.at("token").get<std::string>());
      if (!body) return bad;
      Result<wire::EnrolmentToken> token = wire::decode_body(*body);
      if (!token) return bad;
      out.token = *token;
    }
  } catch (const nlohmann::json::exception&) {
    return bad;
  }
  if (out.dc_endpoints.empty()) return bad;
  return out;
}

std::string file_of(const std::string& folder, const Name& zone) {
  return folder + "/dc-" + to_hex(zone.wire()) + ".json";
}

}  // namespace

Result<RelayState> RelayState::open(const std::string& folder, Random& random) {
  if (Result<void> made = host::make_folder(folder, 0700); !made) return pass(made.error());
  RelayState out;
  out.folder_ = folder;
  Result<Key32> key = open_key(folder + "/relay.key", "the relay's key", random);
  if (!key) return pass(key.error());
  out.key_ = *key;
  Result<Key32> reset = open_key(folder + "/reset.key", "the relay's reset secret", random);
  if (!reset) return pass(reset.error());
  out.reset_ = *reset;
  std::string counter_file = folder + "/counter";
  if (host::exists(counter_file)) {
    Result<Bytes> raw = host::read_file(counter_file, 8);
    if (!raw || raw->size() != 8)
      return invalid(counter_file + " is damaged; remove it (the DC then tells the next counter)");
    out.counter_ = Reader(*raw).u64();
  }
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr) return fail(ErrorKind::Unavailable, "can't list " + folder);
  std::vector<std::string> files;
  while (dirent* entry = ::readdir(listing)) {
    std::string name = entry->d_name;
    if (name.rfind("dc-", 0) == 0 && name.size() > 8 && name.substr(name.size() - 5) == ".json")
      files.push_back(folder + "/" + name);
  }
  ::closedir(listing);
  std::sort(files.begin(), files.end());
  for (const std::string& path : files) {
    Result<Bytes> raw = host::read_file(path, 65536);
    if (!raw) return pass(raw.error());
    Result<Enrolment> enrolment = from_json(
        nlohmann::json::parse(raw->begin(), raw->end(), nullptr, false), path);
    if (!enrolment) return pass(enrolment.error());
    out.enrolments_.push_back(*enrolment);
  }
  return out;
}

Result<void> RelayState::reserve_counter(std::uint64_t below) {
  Writer w;
  w.u64(below);
  Result<void> written = host::replace_file(folder_ + "/counter", w.view(), 0600);
  if (written) counter_ = below;
  return written;
}

Result<void> RelayState::put_enrolment(const Enrolment& enrolment) {
  std::string text = to_json(enrolment).dump(2) + "\n";
  Result<void> written = host::replace_file(file_of(folder_, enrolment.zone), as_view(text), 0600);
  if (!written) return written;
  for (Enrolment& e : enrolments_)
    if (e.zone == enrolment.zone) {
      e = enrolment;
      return {};
    }
  enrolments_.push_back(enrolment);
  return {};
}

Result<void> RelayState::remove_enrolment(const Name& zone) {
  std::string path = file_of(folder_, zone);
  if (::unlink(path.c_str()) != 0)
    return fail(ErrorKind::NotFound, "this relay is not enrolled with " + zone.text());
  std::erase_if(enrolments_, [&](const Enrolment& e) { return e.zone == zone; });
  return {};
}

Result<void> RelayState::enrolled(const Name& zone) {
  for (const Enrolment& e : enrolments_) {
    if (e.zone != zone || !e.token) continue;
    Enrolment kept = e;
    kept.token.reset();
    return put_enrolment(kept);
  }
  return {};
}

}  // namespace ntm::relay
