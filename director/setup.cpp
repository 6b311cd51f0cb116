// Making a DC. Everything is checked before the first file is written.
#include "director/setup.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "libntm/base/text.hpp"
#include "libntm/host/files.hpp"
#include "libntm/store/sqlite/sqlite_store.hpp"
#include "libntm/wire/dc_record.hpp"

namespace ntm::director {

namespace {

constexpr std::uint16_t kTypeA = 1;
constexpr std::uint16_t kTypeNs = 2;
constexpr std::uint16_t kTypeSoa = 6;
constexpr std::uint16_t kTypeAaaa = 28;
constexpr std::uint32_t kPlainTtl = 3600;
constexpr std::string_view kServerLabel = "ns1";

Name server_name(const Name& apex) {
  Result<Name> name = apex.child(kServerLabel);
  return name ? *name : apex;  // an apex that long has no room for a label
}

Bytes soa_rdata(const Name& apex) {
  Writer out;
  out.bytes(server_name(apex).wire());
  Result<Name> mailbox = apex.child("hostmaster");
  out.bytes((mailbox ? *mailbox : apex).wire());
  // Serial is filled in from the zone. Minimum 0: a name that registers must not stay NXDOMAIN.
  out.u32(1).u32(3600).u32(600).u32(1209600).u32(0);
  return out.take();
}

Prefix random_ula(Random& random) {
  Ipv6 prefix;
  random.fill(ByteSpan(prefix.raw).first(6));
  prefix.raw[0] = 0xfd;  // RFC 4193: locally assigned, 40 random bits
  return Prefix{prefix, 48};
}

Result<void> check(const InitOptions& o) {
  if (o.zone.is_root()) return invalid("--zone: the root can't be a DC's zone");
  if (o.addresses.empty())
    return invalid("--address: name the public IPv4 and/or IPv6 address of this host");
  if (o.addresses.size() > 2 ||
      (o.addresses.size() == 2 && o.addresses[0].family() == o.addresses[1].family()))
    return invalid("--address: at most one IPv4 and one IPv6 address");
  for (const IpAddress& a : o.addresses)
    if (a.is_unspecified() || a.is_loopback() || a.is_multicast())
      return invalid("--address: " + to_string(a) + " can't be reached by terminals");
  if (o.pool4 && (!o.pool4->address.is_v4() || o.pool4->length > 29))
    return invalid("--pool4: an IPv4 prefix of length 29 or less, as 198.18.16.0/20");
  for (const std::string& path : {o.data + "/dc.db", o.data + "/dc.key", o.config})
    if (host::exists(path))
      return fail(ErrorKind::Conflict, path + " exists: this DC is set up already. To add a zone "
                                              "run `ntm dc zone add`; nothing was changed");
  return {};
}

std::string config_text(const InitOptions& o) {
  std::string listen;
  return "# Written by `ntm dc init`. Every key: see director.toml.example in the documentation.\n"
         "data = \"" + o.data + "\"\n"
         "port = " + std::to_string(o.port) + "\n"
         "socket = \"" + o.socket + "\"\n"
         "resolvers = [\"127.0.0.1\"]\n"
         "log_level = \"info\"\n\n[dns]\nlisten = [\"0.0.0.0:53\", \"[::]:53\"]\n";
}

}  // namespace

Prefix random_pool4(Random& random, const std::vector<Prefix>& taken) {
  // One of the 32 /20 networks of 198.18.0.0/15 (RFC 2544's benchmarking range: never routed).
  constexpr std::uint32_t kPools = 32;
  std::uint32_t base = (198u << 24) | (18u << 16);
  std::uint32_t start = static_cast<std::uint32_t>(random.below(kPools));
  for (std::uint32_t i = 0; i < kPools; ++i) {
    Prefix pool{Ipv4::from_u32(base + (((start + i) % kPools) << 12)), 20};
    bool free = std::none_of(taken.begin(), taken.end(),
                             [&](const Prefix& t) { return t.overlaps(pool); });
    if (free) return pool;
  }
  return Prefix{Ipv4::from_u32(base + (start << 12)), 20};
}

store::Zone make_zone(store::ZoneId id, const Name& apex, const std::vector<Endpoint>& endpoints,
                      const PublicKey& key, const std::optional<Prefix>& pool4, Random& random) {
  store::Zone zone;
  zone.id = id;
  zone.apex = apex;
  zone.virtual6 = random_ula(random);
  zone.pools4 = {pool4 ? *pool4 : random_pool4(random)};
  zone.dc_endpoints = endpoints;
  zone.dc_key = key;
  return zone;
}

std::vector<store::Record> zone_rows(const store::Zone& zone) {
  std::vector<store::Record> out;
  Name server = server_name(zone.apex);
  auto add = [&](const Name& name, std::uint16_t type, ByteView rdata) {
    store::Record r;
    r.name = name;
    r.type = type;
    r.ttl = kPlainTtl;
    r.rdata = to_bytes(rdata);
    out.push_back(std::move(r));
  };
  add(zone.apex, kTypeSoa, soa_rdata(zone.apex));
  add(zone.apex, kTypeNs, server.wire());
  for (const Endpoint& e : zone.dc_endpoints)
    add(server, e.address.is_v4() ? kTypeA : kTypeAaaa, e.address.view());
  return out;
}

std::vector<std::string> parent_records(const store::Zone& zone) {
  std::vector<std::string> out;
  Name server = server_name(zone.apex);
  out.push_back(zone.apex.text() + ". 3600 IN NS " + server.text() + ".");
  for (const Endpoint& e : zone.dc_endpoints)
    out.push_back(server.text() + ". 3600 IN " + (e.address.is_v4() ? "A " : "AAAA ") +
                  to_string(e.address));
  return out;
}

Result<InitResult> initialise(const InitOptions& o, Random& random, WallTime now) {
  (void)now;
  if (Result<void> good = check(o); !good) return pass(good.error());
  if (Result<void> made = host::make_folder(o.data, 02770); !made) return pass(made.error());
  crypto::KeyPair key = crypto::make_key_pair(random);
  Key32 reset;
  random.fill(reset.span());
  std::vector<Endpoint> endpoints;
  for (const IpAddress& a : o.addresses) endpoints.push_back({a, o.port});
  InitResult out;
  out.zone = make_zone({1}, o.zone, endpoints, key.public_key, o.pool4, random);
  out.zone.peer_policy = o.policy;
  out.config = o.config;
  out.parent_records = parent_records(out.zone);
  {
    store::sqlite::OpenOptions open;
    open.directory = o.data;
    Result<std::unique_ptr<store::sqlite::SqliteStore>> made = store::sqlite::SqliteStore::open(open);
    if (!made) return pass(made.error());
    store::Batch batch;
    batch.atomic = true;
    batch.items.push_back(store::LeaseBlock{"zone", 1});
    batch.items.push_back(store::PutZone{out.zone});
    std::vector<store::Record> rows = zone_rows(out.zone);
    for (std::size_t i = 0; i < rows.size();) {
      store::ReplaceRrset rrset{out.zone.id, rows[i].name, rows[i].type, {}};
      while (i < rows.size() && rows[i].name == rrset.name && rows[i].type == rrset.type)
        rrset.rows.push_back(rows[i++]);
      batch.items.push_back(std::move(rrset));
    }
    store::Completion done = (*made)->submit_and_wait(std::move(batch), seconds(30));
    for (const store::ItemResult& item : done.items)
      if (item.outcome != store::Outcome::Applied)
        return fail(ErrorKind::Unavailable, "can't write the zone: " + item.reason);
    if (Result<void> admin = store::sqlite::prepare_admin_database(o.data); !admin)
      return pass(admin.error());
  }
  if (Result<void> w = host::replace_file(o.data + "/dc.key", key.secret.view(), 0600); !w)
    return pass(w.error());
  if (Result<void> w = host::replace_file(o.data + "/reset.key", reset.view(), 0600); !w)
    return pass(w.error());
  std::size_t slash = o.config.rfind('/');
  if (slash != std::string::npos && slash > 0)
    if (Result<void> made = host::make_folder(o.config.substr(0, slash), 0755); !made)
      return pass(made.error());
  if (Result<void> w = host::replace_file(o.config, as_view(config_text(o)), 0644); !w)
    return pass(w.error());
  return out;
}

Result<DcKeys> load_keys(const std::string& data) {
  Result<Bytes> key = host::read_secret_file(data + "/dc.key", 32, "the DC's key");
  if (!key) return pass(key.error());
  Result<Bytes> reset = host::read_secret_file(data + "/reset.key", 32, "the DC's reset secret");
  if (!reset) return pass(reset.error());
  DcKeys out{crypto::key_pair_from(Key32::from(*key)), Key32::from(*reset)};
  wipe(*key);
  wipe(*reset);
  return out;
}

}  // namespace ntm::director
