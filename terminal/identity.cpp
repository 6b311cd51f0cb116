// See the header.
#include "terminal/identity.hpp"

#include <nlohmann/json.hpp>

#include "libntm/base/text.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/host/files.hpp"

namespace ntm::terminal {

namespace {

constexpr std::size_t kMaxIdentity = 64 * 1024;

std::string path_of(const Folders& f) { return f.state + "/identity.json"; }

Result<PublicKey> key_from_hex(const std::string& text) {
  Result<Bytes> raw = from_hex(text);
  if (!raw || raw->size() != 32) return invalid("not a key");
  PublicKey out;
  std::copy(raw->begin(), raw->end(), out.raw.begin());
  return out;
}

Result<Key32> read_key(const std::string& path, const char* what) {
  Result<Bytes> bytes = host::read_secret_file(path, 32, what);
  if (!bytes) return pass(bytes.error());
  Key32 key = Key32::from(*bytes);
  wipe(*bytes);
  return key;
}

Result<void> write_key(const std::string& path, Random& random) {
  Key32 key;
  random.fill(key.span());
  return host::replace_file(path, key.view(), 0600);
}

Result<void> write_identity(const Folders& f, const wire::EnrolmentToken& token, bool with_token) {
  nlohmann::json out = {{"name", token.subject.text()},
                        {"zone", token.zone.text()},
                        {"dc_key", to_hex(token.dc_key.view())},
                        {"dc_endpoints", nlohmann::json::array()}};
  for (const Endpoint& e : token.dc_endpoints) out["dc_endpoints"].push_back(to_string(e));
  if (with_token) out["token"] = crypto::token_text(token);
  return host::replace_file(path_of(f), as_view(out.dump(2) + "\n"), 0600);
}

Result<Identity> parse_identity(const std::string& path, const nlohmann::json& in) {
  Identity out;
  try {
    Result<Name> name = Name::parse(in.at("name").get<std::string>());
    Result<Name> zone = Name::parse(in.at("zone").get<std::string>());
    Result<PublicKey> key = key_from_hex(in.at("dc_key").get<std::string>());
    if (!name || !zone || !key) return invalid(path + " is damaged; join again with a new token");
    out.name = *name;
    out.zone = *zone;
    out.dc_key = *key;
    for (const nlohmann::json& e : in.at("dc_endpoints")) {
      Result<Endpoint> endpoint = parse_endpoint(e.get<std::string>());
      if (!endpoint) return invalid(path + ": " + endpoint.error().text);
      out.dc_endpoints.push_back(*endpoint);
    }
    if (in.contains("token")) {
      Result<wire::EnrolmentToken> token =
          crypto::parse_token(in.at("token").get<std::string>());
      if (!token) return pass(token.error());
      out.token = *token;
    }
  } catch (const nlohmann::json::exception&) {
    return invalid(path + " is damaged; join again with a new token");
  }
  return out;
}

// The commented example; every line of it is a comment or a table head.
constexpr const char* kFirstConfiguration =
    "# ntm-terminal. All keys have defaults; /usr/share/doc/ntmobile/terminal.toml.example lists\n"
    "# them. For example:\n"
    "# accept_from = [\"*\"]\n"
    "# event_log = \"/run/ntmobile/terminal-events.jsonl\"\n"
    "[dns]\n"
    "# upstream = [\"192.0.2.53\"]\n";

}  // namespace

Result<Identity> load_identity(const Folders& f) {
  if (!host::exists(path_of(f)))
    return fail(ErrorKind::NotFound,
                "this terminal has not joined a zone; get a token from its DC (there: ntm dc "
                "terminal add NAME) and run: ntm join TOKEN");
  Result<Bytes> bytes = host::read_file(path_of(f), kMaxIdentity);
  if (!bytes) return pass(bytes.error());
  nlohmann::json json = nlohmann::json::parse(bytes->begin(), bytes->end(), nullptr, false);
  Result<Identity> out = parse_identity(path_of(f), json);
  if (!out) return out;
  Result<Key32> secret = read_key(f.state + "/terminal.key", "terminal key");
  if (!secret) return pass(secret.error());
  Result<Key32> reset = read_key(f.state + "/reset.key", "reset key");
  if (!reset) return pass(reset.error());
  out->key = crypto::key_pair_from(*secret);
  out->reset_secret = *reset;
  return out;
}

Result<void> may_join(const Folders& f, const std::string& text, bool again) {
  Result<wire::EnrolmentToken> token = crypto::parse_token(text);
  if (!token) return pass(token.error());
  if (again || !host::exists(path_of(f))) return {};
  Result<Identity> present = load_identity(f);
  std::string who = present ? " as " + present->name.text() : "";
  return fail(ErrorKind::Conflict, "this terminal has joined already" + who +
                                       "; to leave that and join anew: ntm join --again TOKEN");
}

Result<void> write_first_configuration(const Folders& f) {
  std::string config = f.config_file();
  if (host::exists(config)) return {};
  Result<void> made = host::make_folder(config.substr(0, config.rfind('/')), 0755);
  return made ? host::replace_file(config, as_view(kFirstConfiguration), 0644) : made;
}

Result<Identity> create_identity(const Folders& f, const std::string& text, bool again,
                                 Random& random) {
  if (Result<void> may = may_join(f, text, again); !may) return pass(may.error());
  Result<wire::EnrolmentToken> token = crypto::parse_token(text);
  if (!token) return pass(token.error());
  Result<void> folder = host::make_folder(f.state, 0700);
  if (!folder) return pass(folder.error());
  Result<Identity> before = load_identity(f);
  bool same_name = before && before->name == token->subject;
  if (!same_name || !host::exists(f.state + "/terminal.key")) {
    Result<void> key = write_key(f.state + "/terminal.key", random);
    if (!key) return pass(key.error());
    Result<void> reset = write_key(f.state + "/reset.key", random);
    if (!reset) return pass(reset.error());
  }
  Result<void> written = write_identity(f, *token, true);
  if (!written) return pass(written.error());
  if (Result<void> config = write_first_configuration(f); !config) return pass(config.error());
  return load_identity(f);
}

Result<void> forget_token(const Folders& f) {
  Result<Identity> identity = load_identity(f);
  if (!identity) return pass(identity.error());
  if (!identity->token) return {};
  return write_identity(f, *identity->token, false);
}

}  // namespace ntm::terminal
