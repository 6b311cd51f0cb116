// Location row and zone row -> records; the rules of docs/PROTOCOL.md 1 in one place.
#include "pdns-backend/derived_records.hpp"

#include <algorithm>

#include "libntm/wire/dc_record.hpp"

namespace ntm::pdns_backend {

namespace {

constexpr std::uint8_t kShownFlags =
    store::kLocationPrivate | store::kLocationRelayOnly | store::kLocationUpdating;
static_assert(std::uint8_t{store::kLocationPrivate} == std::uint8_t{wire::kNtmPrivate});
static_assert(std::uint8_t{store::kLocationRelayOnly} == std::uint8_t{wire::kNtmRelayOnly});
static_assert(std::uint8_t{store::kLocationUpdating} == std::uint8_t{wire::kNtmUpdating});

// SOA RDATA ends with serial, refresh, retry, expire, minimum (RFC 1035 3.3.13).
constexpr std::size_t kSoaSerialFromEnd = 20;
constexpr std::size_t kSoaMinimumFromEnd = 4;

const store::FamilyLocation& of_family(const store::Location& location, Family family) {
  return family == Family::V4 ? location.v4 : location.v6;
}

bool is_offline(const store::Location& location) {
  return (location.flags & store::kLocationOffline) != 0;
}

bool is_private(const store::Location& location) {
  return (location.flags & store::kLocationPrivate) != 0;
}

std::optional<Endpoint> first_of(const std::vector<Endpoint>& endpoints, Family family) {
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.family() == family && endpoint.is_set()) return endpoint;
  }
  return std::nullopt;
}

std::uint8_t policy_hints(store::PeerPolicy policy) {
  switch (policy) {
    case store::PeerPolicy::Tofu: return 0;
    case store::PeerPolicy::Dnssec: return wire::kNtmHintDnssec;
    case store::PeerPolicy::Closed: return wire::kNtmHintClosed;
  }
  return 0;
}

void add_location(wire::NtmRecord& record, const store::Location& location) {
  record.suites = location.suites;
  record.flags = location.flags & kShownFlags;
  const store::FamilyLocation& here = of_family(location, record.family);
  if (is_offline(location) || here.real.is_unspecified()) return;
  if (here.behind_nat) record.flags |= wire::kNtmBehindNat;
  if (is_private(location) || here.real.family() != record.family) return;
  record.real = {here.real, here.real_port};
  if (record.family == Family::V4 && here.outside.family() == Family::V4) {
    record.nat_outside = here.outside;
  }
}

void patch_u32(Bytes& rdata, std::size_t from_end, std::uint32_t value) {
  Byte* at = rdata.data() + rdata.size() - from_end;
  for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<Byte>(value >> shift);
}

Answer address_answer(const Name& name, const IpAddress& address, std::uint32_t ttl) {
  Answer out;
  out.name = name;
  out.type = address.is_v4() ? kTypeA : kTypeAaaa;
  out.ttl = ttl;
  out.rdata = to_bytes(address.view());
  out.derived = true;
  return out;
}

// One record a port, in the order in which the zone names them; smaller priority first.
std::vector<wire::DcRecord> dc_records(const store::Zone& zone) {
  std::vector<wire::DcRecord> out;
  for (const Endpoint& endpoint : zone.dc_endpoints) {
    if (!endpoint.is_set()) continue;
    std::vector<wire::DcRecord>::iterator at =
        std::find_if(out.begin(), out.end(),
                     [&endpoint](const wire::DcRecord& r) { return r.port == endpoint.port; });
    if (at == out.end()) {
      wire::DcRecord fresh;
      fresh.priority = static_cast<std::uint16_t>(out.size() + 1);
      fresh.port = endpoint.port;
      fresh.dc_key = zone.dc_key;
      fresh.dc_next_key = zone.dc_next_key;
      fresh.zone_virtual6 = zone.virtual6;
      at = out.insert(out.end(), fresh);
    }
    if (endpoint.address.is_v4()) {
      at->ipv4_hints.push_back(endpoint.address.v4());
    } else {
      at->ipv6_hints.push_back(endpoint.address.v6());
    }
  }
  return out;
}

}  // namespace

bool derives(const store::Zone& zone) {
  return zone.has_terminals && zone.kind != store::ZoneKind::Secondary;
}

std::optional<IpAddress> public_address(const store::Zone& zone, const store::Location& location,
                                        Family family) {
  if (is_offline(location) || is_private(location)) return std::nullopt;
  const store::FamilyLocation& here = of_family(location, family);
  if (here.real.is_unspecified()) return std::nullopt;
  IpAddress address = here.real;
  if (here.behind_nat) {
    if (zone.publish != store::PublishBehindNat::Outside) return std::nullopt;
    address = here.outside.address;
  }
  if (address.family() != family || !address.is_global()) return std::nullopt;
  return address;
}

std::optional<wire::NtmRecord> ntm_record(const store::Zone& zone, const store::TerminalView& view,
                                          Family family) {
  const store::Terminal& terminal = view.terminal;
  if (!terminal.key) return std::nullopt;
  wire::NtmRecord record = wire::NtmRecord::empty(family);
  const VirtualAddresses& virtual_addresses = terminal.virtual_addresses;
  if (family == Family::V4 && virtual_addresses.v4) record.virtual_address = *virtual_addresses.v4;
  if (family == Family::V6 && virtual_addresses.v6) record.virtual_address = *virtual_addresses.v6;
  if (view.location) add_location(record, *view.location);
  if (record.virtual_address.is_unspecified() && !record.has_real()) return std::nullopt;
  if (std::optional<Endpoint> dc = first_of(zone.dc_endpoints, family)) record.dc = *dc;
  record.terminal_key = terminal.key;
  record.terminal_next_key = terminal.next_key;
  record.dc_name = zone.apex;
  if (!zone.dc_key.is_zero()) record.dc_key = zone.dc_key;
  record.dc_next_key = zone.dc_next_key;
  record.policy_hints = policy_hints(zone.peer_policy);
  return record;
}

std::vector<Answer> terminal_answers(const store::Zone& zone, const store::TerminalView& view) {
  std::vector<Answer> out;
  for (Family family : {Family::V4, Family::V6}) {
    std::optional<wire::NtmRecord> record = ntm_record(zone, view, family);
    if (record) {
      Answer answer;
      answer.name = view.terminal.name;
      answer.type = wire::type_of(family);
      answer.ttl = kLocationTtl;
      answer.rdata = wire::encode(*record);
      answer.derived = true;
      out.push_back(std::move(answer));
    }
    if (!view.location) continue;
    std::optional<IpAddress> address = public_address(zone, *view.location, family);
    if (address) out.push_back(address_answer(view.terminal.name, *address, kLocationTtl));
  }
  return out;
}

bool is_terminal_type(std::uint16_t type) {
  return type == kTypeA || type == kTypeAaaa || type == wire::kTypeNtmV4 ||
         type == wire::kTypeNtmV6;
}

std::vector<Answer> dc_answers(const store::Zone& zone) {
  std::vector<Answer> out;
  Result<Name> owner = wire::dc_record_name(zone.apex);
  if (!owner || zone.dc_key.is_zero()) return out;
  for (const wire::DcRecord& record : dc_records(zone)) {
    Answer answer;
    answer.name = *owner;
    answer.type = wire::kTypeSvcb;
    answer.ttl = kDcRecordTtl;
    answer.rdata = wire::encode(record);
    answer.derived = true;
    out.push_back(std::move(answer));
    for (const Endpoint& endpoint : record.endpoints()) {
      Answer address = address_answer(*owner, endpoint.address, kDcRecordTtl);
      // Two ports on one host give the same address twice.
      if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
    }
  }
  return out;
}

bool is_dc_type(std::uint16_t type) {
  return type == wire::kTypeSvcb || type == kTypeA || type == kTypeAaaa;
}

Bytes soa_rdata(const store::Zone& zone, const Bytes& stored) {
  Bytes out = stored;
  if (out.size() < kSoaSerialFromEnd) return out;  // not an SOA; PowerDNS will say so
  patch_u32(out, kSoaSerialFromEnd, zone.serial);
  if (derives(zone)) patch_u32(out, kSoaMinimumFromEnd, 0);
  return out;
}

}  // namespace ntm::pdns_backend
