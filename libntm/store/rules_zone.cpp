// The rules of zones, ordinary records, serials and the life of a terminal.
#include "libntm/store/rules_zone.hpp"

#include <algorithm>
#include <tuple>

#include "libntm/store/outcome.hpp"

namespace ntm::store {

namespace {

constexpr std::size_t kMinSoa = 22;         // two root names and five 32-bit fields
constexpr std::size_t kSerialFromEnd = 20;  // the serial is the first of those five

bool serial_greater(std::uint32_t a, std::uint32_t b) {  // RFC 1982
  return a != b && static_cast<std::uint32_t>(a - b) < 0x80000000u;
}

std::uint32_t soa_serial(const Bytes& rdata) {
  return ntm::Reader(ByteView(rdata).last(kSerialFromEnd)).u32();
}

FeedItem zone_item(const Zone& zone, bool bump) {
  return {{ChangeKind::Zone, static_cast<std::uint64_t>(zone.id.value), zone.apex}, zone.id, bump};
}
FeedItem records_item(ZoneId zone, const Name& name) {
  return {{ChangeKind::Records, static_cast<std::uint64_t>(zone.value), name}, zone, true};
}

bool is_ordinary_forbidden_at_terminal(std::uint16_t type) {
  return type == kTypeA || type == kTypeAaaa || type == kTypeCname || type == kTypeNtm4 ||
         type == kTypeNtm6;
}

// What can't be written down in text and read back the same is refused at the door.
std::optional<std::string> bad_zone(const Zone& zone) {
  if (zone.id.value <= 0) return "a zone id is a positive 31-bit number";
  for (const Prefix& pool : zone.pools4) {
    Result<Prefix> again = parse_prefix(to_string(pool));
    if (!pool.address.is_v4() || !again || *again != pool)
      return to_string(pool) + " is no IPv4 pool";
  }
  if (zone.virtual6) {
    Result<Prefix> again = parse_prefix(to_string(*zone.virtual6));
    if (!zone.virtual6->address.is_v6() || !again || *again != *zone.virtual6)
      return to_string(*zone.virtual6) + " is no IPv6 prefix";
  }
  for (const Endpoint& endpoint : zone.dc_endpoints) {
    Result<Endpoint> again = parse_endpoint(to_string(endpoint));
    if (!again || *again != endpoint) return to_string(endpoint) + " is no address with a port";
  }
  return std::nullopt;
}

// Rows (name, type) as wanted: sorted, each rdata once, the SOA's serial taken out.
struct Wanted {
  std::vector<Record> rows;
  std::optional<std::uint32_t> serial;
  std::optional<std::string> refused;
};

std::optional<std::string> bad_row(const Record& row, const ReplaceRrset& op, const Zone& zone) {
  if (row.name != op.name) return "a row belongs to " + row.name.text();
  if (row.type == kTypeAny || (op.type != kTypeAny && row.type != op.type))
    return "a row has type " + std::to_string(row.type);
  if (row.type == kTypeEmpty && !row.rdata.empty()) return "an empty non-terminal has no data";
  if (row.rdata.size() > 65535) return "a row is longer than 65535 octets";
  if (row.type != kTypeSoa) return std::nullopt;
  if (row.name != zone.apex) return "an SOA stands only at the zone's apex";
  if (row.rdata.size() < kMinSoa) return "an SOA is too short";
  return std::nullopt;
}

Wanted wanted_rows(const ReplaceRrset& op, const Zone& zone) {
  Wanted out;
  for (const Record& given : op.rows) {
    out.refused = bad_row(given, op, zone);
    if (out.refused) return out;
    Record row = given;
    if (row.type == kTypeSoa) {
      if (out.serial) {
        out.refused = "a zone has one SOA";
        return out;
      }
      out.serial = soa_serial(row.rdata);
      set_soa_serial(row.rdata, 0);
    }
    out.rows.push_back(std::move(row));
  }
  std::sort(out.rows.begin(), out.rows.end(), [](const Record& a, const Record& b) {
    return std::tie(a.type, a.rdata) < std::tie(b.type, b.rdata);
  });
  out.rows.erase(std::unique(out.rows.begin(), out.rows.end(),
                             [](const Record& a, const Record& b) {
                               return a.type == b.type && a.rdata == b.rdata;
                             }),
                 out.rows.end());
  return out;
}

// Makes the stored rows of the name equal to `wanted`; true if anything changed.
bool write_difference(ZoneId zone, const std::vector<Record>& stored,
                      const std::vector<Record>& wanted, Rows& rows) {
  bool changed = false;
  for (const Record& old : stored) {
    bool kept = std::any_of(wanted.begin(), wanted.end(), [&](const Record& row) {
      return row.type == old.type && row.rdata == old.rdata;
    });
    if (kept) continue;
    rows.erase_record(zone, old);
    changed = true;
  }
  for (const Record& row : wanted) {
    if (std::find(stored.begin(), stored.end(), row) != stored.end()) continue;
    rows.put_record(zone, row);
    changed = true;
  }
  return changed;
}

void touch_zone(const Zone& zone, Rows& rows) {
  rows.set_zone_counters(zone.id, zone.serial, zone.generation + 1);
}

void mark_bumped(ZoneId zone, Rows& rows, Effects& effects) {
  rows.set_bumped(zone, true);
  effects.bumped[zone] = effects.items.size();
}

void put_row(ZoneId zone_id, const Record& row, Rows& rows, Effects& effects) {
  rows.put_record(zone_id, row);
  if (std::optional<Zone> zone = rows.zone(zone_id)) touch_zone(*zone, rows);
  effects.items.push_back(records_item(zone_id, row.name));
}

void drop_row(ZoneId zone_id, const Record& row, Rows& rows, Effects& effects) {
  rows.erase_record(zone_id, row);
  if (std::optional<Zone> zone = rows.zone(zone_id)) touch_zone(*zone, rows);
  effects.items.push_back(records_item(zone_id, row.name));
}

// The PTR rows of a terminal, each with the zone it goes to; zones of others have none here.
std::vector<std::pair<ZoneId, Record>> ptr_rows(const Terminal& terminal, Rows& rows) {
  std::vector<IpAddress> addresses;
  if (terminal.virtual_addresses.v4) addresses.push_back(*terminal.virtual_addresses.v4);
  if (terminal.virtual_addresses.v6) addresses.push_back(*terminal.virtual_addresses.v6);
  std::vector<std::pair<ZoneId, Record>> out;
  for (const IpAddress& address : addresses) {
    Name owner = reverse_name(address);
    std::optional<Zone> zone = zone_of(owner, rows);
    if (!zone || zone->kind == ZoneKind::Secondary) continue;
    Record row;
    row.name = owner;
    row.type = kTypePtr;
    row.ttl = kPtrTtl;
    row.rdata = to_bytes(terminal.name.wire());
    out.emplace_back(zone->id, std::move(row));
  }
  return out;
}

Record name_row(const Terminal& terminal) {
  Record row;
  row.name = terminal.name;
  row.type = kTypeEmpty;
  return row;
}

// Who else has the id, the name, an address or the key.
std::optional<std::string> taken(const Terminal& terminal, Rows& rows) {
  if (rows.terminal(terminal.id)) return "the terminal id " + to_string(terminal.id) + " is taken";
  if (rows.terminal_by_name(terminal.name)) return terminal.name.text() + " exists";
  const VirtualAddresses& addresses = terminal.virtual_addresses;
  if (addresses.v4 && rows.terminal_by_address(*addresses.v4))
    return "the virtual address " + to_string(*addresses.v4) + " is taken";
  if (addresses.v6 && rows.terminal_by_address(*addresses.v6))
    return "the virtual address " + to_string(*addresses.v6) + " is taken";
  if (terminal.key && rows.terminal_by_key(*terminal.key))
    return "the key belongs to another terminal";
  for (const Record& row : rows.records(terminal.zone, terminal.name))
    if (is_ordinary_forbidden_at_terminal(row.type))
      return terminal.name.text() + " has an ordinary record of type " + std::to_string(row.type);
  return std::nullopt;
}

bool content_changed_since_bump(ZoneId zone, Rows& rows, const Effects& effects) {
  std::map<ZoneId, std::size_t>::const_iterator bumped = effects.bumped.find(zone);
  std::size_t from = bumped == effects.bumped.end() ? 0 : bumped->second;
  for (std::size_t i = from; i < effects.items.size(); ++i)
    if (effects.items[i].zone == zone && effects.items[i].bump) return true;
  return bumped == effects.bumped.end() && rows.zone_moved_since_bump(zone);
}

}  // namespace

ItemResult apply_zone_operation(const PutZone& op, Rows& rows, Effects& effects) {
  if (std::optional<std::string> bad = bad_zone(op.zone)) return conflict(*bad);
  std::optional<Zone> named = rows.zone_by_apex(op.zone.apex);
  if (named && named->id != op.zone.id)
    return conflict("the zone " + op.zone.apex.text() + " exists under another id");
  std::optional<Zone> stored = rows.zone(op.zone.id);
  Zone zone = op.zone;
  if (stored) {
    if (stored->apex != zone.apex) return conflict("the zone id belongs to " + stored->apex.text());
    bool ours = zone.has_terminals && zone.kind != ZoneKind::Secondary;
    if (!ours && rows.zone_has_terminals(zone.id))
      return conflict(zone.apex.text() + " still has terminals; delete them first");
    // Counters belong to the store: a caller that read, edited and put must not turn them back.
    zone.serial = stored->serial;
    zone.generation = stored->generation;
    if (zone == *stored) return applied();
  }
  rows.put_zone(zone);
  effects.items.push_back(zone_item(zone, true));
  return applied();
}

// Terminals are enrolled devices; they don't vanish as a side effect of deleting a zone.
ItemResult apply_zone_operation(const DeleteZone& op, Rows& rows, Effects& effects) {
  std::optional<Zone> zone = rows.zone(op.zone);
  if (!zone) return applied();
  if (rows.zone_has_terminals(op.zone))
    return conflict(zone->apex.text() + " still has terminals; delete them first");
  rows.erase_zone(op.zone);
  effects.items.push_back(zone_item(*zone, false));
  return applied();
}

ItemResult apply_zone_operation(const CreateTerminal& op, Rows& rows, Effects& effects) {
  const Terminal& terminal = op.terminal;
  std::optional<Zone> zone = rows.zone(terminal.zone);
  if (!zone) return conflict("no zone has the id " + std::to_string(terminal.zone.value));
  if (!zone->has_terminals || zone->kind == ZoneKind::Secondary)
    return conflict(zone->apex.text() + " is not a zone for terminals");
  if (!terminal.name.is_under(zone->apex) || terminal.name == zone->apex)
    return conflict(terminal.name.text() + " is not below " + zone->apex.text());
  std::optional<Terminal> stored = rows.terminal(terminal.id);
  if (stored && stored->zone == terminal.zone && stored->name == terminal.name &&
      stored->virtual_addresses == terminal.virtual_addresses)
    return applied();
  if (std::optional<std::string> who = taken(terminal, rows)) return conflict(*who);
  rows.put_terminal(terminal);
  effects.items.push_back(
      {{ChangeKind::Terminal, terminal.id.value, terminal.name}, terminal.zone, true});
  put_row(terminal.zone, name_row(terminal), rows, effects);
  for (const std::pair<ZoneId, Record>& ptr : ptr_rows(terminal, rows))
    put_row(ptr.first, ptr.second, rows, effects);
  return applied();
}

ItemResult apply_zone_operation(const DeleteTerminal& op, Rows& rows, Effects& effects) {
  std::optional<Terminal> terminal = rows.terminal(op.terminal);
  if (!terminal) return applied();
  for (const std::pair<ZoneId, Record>& ptr : ptr_rows(*terminal, rows))
    drop_row(ptr.first, ptr.second, rows, effects);
  drop_row(terminal->zone, name_row(*terminal), rows, effects);
  erase_tokens_of(terminal->name, TokenPurpose::Terminal, rows, effects);
  rows.erase_terminal(op.terminal);
  effects.items.push_back(
      {{ChangeKind::Terminal, terminal->id.value, terminal->name}, terminal->zone, true});
  return applied();
}

// What belongs to a terminal stays its own: derived types are refused at its name, and its name
// row can be changed (auth, ordername) but not removed. A greater serial in a given SOA counts as
// a bump; in a secondary zone the serial is the primary's, whatever it is.
ItemResult apply_zone_operation(const ReplaceRrset& op, Rows& rows, Effects& effects) {
  std::optional<Zone> zone = rows.zone(op.zone);
  if (!zone) return conflict("no zone has the id " + std::to_string(op.zone.value));
  if (!op.name.is_under(zone->apex))
    return conflict(op.name.text() + " is not in " + zone->apex.text());
  Wanted wanted = wanted_rows(op, *zone);
  if (wanted.refused) return conflict(*wanted.refused);
  std::vector<Record> stored = rows.records(op.zone, op.name);
  if (op.type != kTypeAny)
    std::erase_if(stored, [&](const Record& row) { return row.type != op.type; });
  if (zone->kind != ZoneKind::Secondary && rows.terminal_by_name(op.name)) {
    bool has_name_row = false;
    for (const Record& row : wanted.rows) {
      has_name_row |= row.type == kTypeEmpty;
      if (is_ordinary_forbidden_at_terminal(row.type))
        return conflict(op.name.text() + " belongs to a terminal");
    }
    if (!has_name_row)
      std::erase_if(stored, [](const Record& row) { return row.type == kTypeEmpty; });
  }
  if (write_difference(op.zone, stored, wanted.rows, rows)) {
    zone->generation += 1;
    rows.set_zone_counters(zone->id, zone->serial, zone->generation);
    effects.items.push_back(records_item(op.zone, op.name));
  }
  bool secondary = zone->kind == ZoneKind::Secondary;
  if (wanted.serial && *wanted.serial != zone->serial &&
      (secondary || serial_greater(*wanted.serial, zone->serial))) {
    rows.set_zone_counters(zone->id, *wanted.serial, zone->generation);
    effects.items.push_back(zone_item(*zone, false));
    mark_bumped(zone->id, rows, effects);
  }
  return applied();
}

ItemResult apply_zone_operation(const BumpSerial& op, Rows& rows, Effects& effects) {
  std::optional<Zone> zone = rows.zone(op.zone);
  if (!zone) return conflict("no zone has the id " + std::to_string(op.zone.value));
  if (zone->kind == ZoneKind::Secondary)
    return conflict("the serial of " + zone->apex.text() + " comes from its primary");
  if (!content_changed_since_bump(op.zone, rows, effects)) return applied();
  std::uint32_t serial = zone->serial + 1;
  if (op.at_least != 0 && serial_greater(op.at_least, serial)) serial = op.at_least;
  rows.set_zone_counters(zone->id, serial, zone->generation);
  effects.items.push_back(zone_item(*zone, false));
  mark_bumped(zone->id, rows, effects);
  return applied();
}

void finish(Rows& rows, Effects& effects) {
  for (const std::pair<const ZoneId, std::size_t>& bumped : effects.bumped)
    for (std::size_t i = bumped.second; i < effects.items.size(); ++i)
      if (effects.items[i].zone == bumped.first && effects.items[i].bump) {
        rows.set_bumped(bumped.first, false);
        break;
      }
}

Name reverse_name(const IpAddress& address) {
  static const char* digits = "0123456789abcdef";
  std::string text;
  ByteView raw = address.view();
  for (std::size_t i = raw.size(); i-- > 0;) {
    if (address.is_v4()) {
      text += std::to_string(raw[i]) + ".";
    } else {
      text += {digits[raw[i] & 15], '.', digits[raw[i] >> 4], '.'};
    }
  }
  Result<Name> name = Name::parse(text + (address.is_v4() ? "in-addr.arpa" : "ip6.arpa"));
  assert(name);
  return *name;
}

std::optional<Zone> zone_of(const Name& name, Rows& rows) {
  for (Name at = name;; at = at.parent()) {
    std::optional<Zone> zone = rows.zone_by_apex(at);
    if (zone || at.is_root()) return zone;
  }
}

void set_soa_serial(Bytes& rdata, std::uint32_t serial) {
  if (rdata.size() < kMinSoa) return;
  Bytes field = Writer(4).u32(serial).take();
  std::copy(field.begin(), field.end(), rdata.end() - kSerialFromEnd);
}

}  // namespace ntm::store
