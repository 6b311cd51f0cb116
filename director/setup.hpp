// `ntm dc init`: the files of a new DC, and the records that the parent zone needs.
#pragma once

#include <string>
#include <vector>

#include "libntm/base/random.hpp"
#include "libntm/base/result.hpp"
#include "libntm/crypto/x25519.hpp"
#include "libntm/store/model.hpp"

namespace ntm::director {

struct InitOptions {
  Name zone;
  std::vector<IpAddress> addresses;  // public ones of this host, at most one a family
  std::uint16_t port = 4753;
  std::optional<Prefix> pool4;       // default: a random /20 of 198.18.0.0/15
  std::string data = "/var/lib/ntmobile/dc";
  std::string config = "/etc/ntmobile/director.toml";
  std::string socket = "/run/ntmobile/director.sock";
  store::PeerPolicy policy = store::PeerPolicy::Tofu;
};
struct InitResult {
  store::Zone zone;
  std::string config;
  std::vector<std::string> parent_records;
};
// Refuses to touch a folder or file that is already set up.
Result<InitResult> initialise(const InitOptions& options, Random& random, WallTime now);

// A zone and its SOA, NS and name server address rows.
store::Zone make_zone(store::ZoneId id, const Name& apex, const std::vector<Endpoint>& endpoints,
                      const PublicKey& key, const std::optional<Prefix>& pool4, Random& random);
// A random /20 of 198.18.0.0/15 that overlaps none of `taken`, while there is one.
Prefix random_pool4(Random& random, const std::vector<Prefix>& taken = {});
std::vector<store::Record> zone_rows(const store::Zone& zone);
// NS, glue and SVCB lines in zone file form, for people to copy.
std::vector<std::string> parent_records(const store::Zone& zone);

struct DcKeys {
  crypto::KeyPair key;
  Key32 reset_secret;
};
Result<DcKeys> load_keys(const std::string& data);

}  // namespace ntm::director
