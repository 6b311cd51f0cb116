// Reading rows in a snapshot, merging ordinary and derived ones, and the last-answer memory.
#include "pdns-backend/answers.hpp"

#include <unordered_set>

#include "libntm/wire/dc_record.hpp"

namespace ntm::pdns_backend {

namespace {

// begin()/end() around everything one answer is made of.
class Snapshot {
 public:
  explicit Snapshot(store::Reader& reader) : reader_(reader), begun_(reader.begin()) {}
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() {
    if (begun_) reader_.end();
  }
  const Result<void>& begun() const { return begun_; }

 private:
  store::Reader& reader_;
  Result<void> begun_;
};

std::string wire_text(const Name& name) {
  return {reinterpret_cast<const char*>(name.wire().data()), name.wire().size()};
}

Answer ordinary(const store::Zone& zone, const store::Record& row) {
  Answer out;
  out.name = row.name;
  out.type = row.type;
  out.ttl = row.ttl;
  out.rdata = row.rdata;
  out.auth = row.auth;
  out.disabled = row.disabled;
  if (row.type == kTypeSoa) {
    out.rdata = soa_rdata(zone, row.rdata);
    out.derived = derives(zone);  // its serial follows the moves
  }
  return out;
}

// The empty non-terminal's row. Nothing says when it will go, so no cache may keep it either.
Answer empty_non_terminal(const Name& name) {
  Answer out;
  out.name = name;
  out.derived = true;
  return out;
}

// Derived rows at one name, and which stored types they hide there.
struct Derived {
  bool exists = false;  // the name exists, whatever rows it has
  std::vector<Answer> rows;
  bool (*hides)(std::uint16_t) = nullptr;
};

Result<Derived> derived_at(store::Reader& reader, const store::Zone& zone, const Name& name) {
  Derived out;
  if (!derives(zone)) return out;
  Result<Name> dc_name = wire::dc_record_name(zone.apex);
  if (dc_name && (name == *dc_name || name == dc_name->parent())) {
    std::vector<Answer> rows = dc_answers(zone);
    out.exists = !rows.empty();
    if (name == *dc_name && out.exists) {
      out.rows = std::move(rows);
      out.hides = is_dc_type;
    }
    return out;
  }
  Result<std::optional<store::TerminalView>> view = reader.terminal(name);
  if (!view) return pass(view.error());
  if (!*view || (*view)->terminal.zone != zone.id) return out;
  out.exists = true;
  out.rows = terminal_answers(zone, **view);
  out.hides = is_terminal_type;
  return out;
}

Result<bool> anything_below(store::Reader& reader, const store::Zone& zone, const Name& name) {
  bool found = false;
  Result<void> read = reader.each_record(zone.id, name, [&](const store::Record& row) {
    found = !row.disabled && row.name != name;
    return !found;
  });
  if (!read) return pass(read.error());
  return found;
}

Result<std::vector<Answer>> rows_at(store::Reader& reader, const store::Zone& zone,
                                    const Name& name) {
  Result<std::vector<store::Record>> records = reader.records(zone.id, name);
  if (!records) return pass(records.error());
  Result<Derived> derived = derived_at(reader, zone, name);
  if (!derived) return pass(derived.error());
  std::vector<Answer> out = std::move(derived->rows);
  bool exists = derived->exists;
  for (const store::Record& row : *records) {
    if (row.disabled) continue;
    exists = true;
    if (row.type == kTypeEmptyNonTerminal) continue;
    if (derived->hides != nullptr && derived->hides(row.type)) continue;
    out.push_back(ordinary(zone, row));
  }
  if (!out.empty()) return out;
  if (!exists) {
    Result<bool> below = anything_below(reader, zone, name);
    if (!below) return pass(below.error());
    exists = *below;
  }
  if (exists) out.push_back(empty_non_terminal(name));
  return out;
}

// The derived rows of the whole zone at or below `top`, with the names at which they hide others.
struct DerivedListing {
  std::vector<Answer> rows;
  std::unordered_set<std::string> terminals;  // wire forms
  std::string dc_name;                        // empty: no DC records
};

Result<DerivedListing> derived_below(store::Reader& reader, const store::Zone& zone,
                                     const Name& top) {
  DerivedListing out;
  if (!derives(zone)) return out;
  for (Answer& answer : dc_answers(zone)) {
    if (!answer.name.is_under(top)) continue;
    out.dc_name = wire_text(answer.name);
    out.rows.push_back(std::move(answer));
  }
  Result<void> read = reader.each_terminal(zone.id, [&](const store::TerminalView& view) {
    if (!view.terminal.name.is_under(top)) return true;
    out.terminals.insert(wire_text(view.terminal.name));
    for (Answer& answer : terminal_answers(zone, view)) out.rows.push_back(std::move(answer));
    return true;
  });
  if (!read) return pass(read.error());
  return out;
}

Result<std::vector<Answer>> list_rows(store::Reader& reader, store::ZoneId id, const Name& top,
                                      bool include_disabled) {
  Snapshot snapshot(reader);
  if (!snapshot.begun()) return pass(snapshot.begun().error());
  Result<std::optional<store::Zone>> zone = reader.zone(id);
  if (!zone) return pass(zone.error());
  if (!*zone) return fail(ErrorKind::NotFound, "there is no zone " + std::to_string(id.value));
  Result<DerivedListing> derived = derived_below(reader, **zone, top);
  if (!derived) return pass(derived.error());
  std::vector<Answer> out;
  Result<void> read = reader.each_record(id, top, [&](const store::Record& row) {
    if (row.disabled && !include_disabled) return true;
    std::string key = wire_text(row.name);
    bool hidden = (is_terminal_type(row.type) && derived->terminals.contains(key)) ||
                  (is_dc_type(row.type) && key == derived->dc_name);
    if (!hidden) out.push_back(ordinary(**zone, row));
    return true;
  });
  if (!read) return pass(read.error());
  for (Answer& answer : derived->rows) out.push_back(std::move(answer));
  return out;
}

}  // namespace

template <typename T, typename Ask>
Result<T> Answers::asking(Ask ask) {
  for (int attempt = 0;; ++attempt) {
    if (!reader_) {
      Result<std::unique_ptr<store::Reader>> opened = open_();
      if (!opened) return pass(opened.error());
      reader_ = std::move(*opened);
      remembered_ = {};  // another handle counts its versions from elsewhere
      attempt = 1;
    }
    Result<T> answer = ask(*reader_);
    if (answer || answer.error().kind == ErrorKind::NotFound) return answer;
    reader_.reset();
    if (attempt > 0) return answer;
  }
}

Result<std::shared_ptr<const Found>> Answers::at(std::optional<store::ZoneId> zone,
                                                 const Name& name) {
  return asking<std::shared_ptr<const Found>>(
      [&](store::Reader& reader) { return look(reader, zone, name); });
}

Result<std::shared_ptr<const Found>> Answers::look(store::Reader& reader,
                                                   std::optional<store::ZoneId> id,
                                                   const Name& name) {
  // Read before the snapshot: what the snapshot shows is at least as new as this version.
  Result<std::uint64_t> version = reader.data_version();
  if (!version) return pass(version.error());
  for (const Remembered& slot : remembered_) {
    if (slot.found && slot.version == *version && slot.zone == id && slot.name == name) {
      return slot.found;
    }
  }
  Snapshot snapshot(reader);
  if (!snapshot.begun()) return pass(snapshot.begun().error());
  std::shared_ptr<Found> found = std::make_shared<Found>();
  Result<std::optional<store::Zone>> zone = id ? reader.zone(*id) : reader.zone_of(name);
  if (!zone) return pass(zone.error());
  if (*zone && name.is_under((*zone)->apex)) {
    Result<std::vector<Answer>> rows = rows_at(reader, **zone, name);
    if (!rows) return pass(rows.error());
    found->zone = std::move(**zone);
    found->rows = std::move(*rows);
  }
  remembered_[next_slot_] = {*version, id, name, found};
  next_slot_ = (next_slot_ + 1) % kRememberedNames;
  return std::shared_ptr<const Found>(found);
}

Result<std::vector<Answer>> Answers::listing(store::ZoneId zone, const Name& top,
                                             bool include_disabled) {
  return asking<std::vector<Answer>>([&](store::Reader& reader) {
    return list_rows(reader, zone, top, include_disabled);
  });
}

Result<std::vector<store::Zone>> Answers::zones() {
  return asking<std::vector<store::Zone>>([](store::Reader& reader) { return reader.zones(); });
}

Result<std::optional<store::Zone>> Answers::zone_by_apex(const Name& apex) {
  return asking<std::optional<store::Zone>>(
      [&](store::Reader& reader) { return reader.zone_by_apex(apex); });
}

Result<std::optional<Answers::Authority>> Answers::authority(const Name& name) {
  std::optional<Authority> none;
  Result<std::optional<store::Zone>> zone = asking<std::optional<store::Zone>>(
      [&](store::Reader& reader) { return reader.zone_of(name); });
  if (!zone) return pass(zone.error());
  if (!*zone) return none;
  Result<std::shared_ptr<const Found>> apex = at((*zone)->id, (*zone)->apex);
  if (!apex) return pass(apex.error());
  if (!(*apex)->zone) return none;  // deleted between the two questions
  for (const Answer& row : (*apex)->rows) {
    if (row.type == kTypeSoa) return std::optional<Authority>(Authority{*(*apex)->zone, row});
  }
  return none;
}

}  // namespace ntm::pdns_backend
