// See relay_table.hpp.
#include "libntm/datapath/relay_table.hpp"

namespace ntm::datapath {
namespace {

// A quota's burst is a quarter of a second: several super-packets even at 1 Mbit/s.
TokenBucket bucket(std::int64_t per_second, std::int64_t least_burst) {
  return TokenBucket(per_second, std::max(per_second / 4, least_burst));
}

bool comes_from(const Outer& from, const RelayLegState& leg) {
  return leg.outer && leg.outer->remote == from.remote && leg.outer->socket == from.socket;
}

}  // namespace

const char* to_string(RelayVerdict verdict) {
  switch (verdict) {
    case RelayVerdict::NotHere:
      return "not here";
    case RelayVerdict::Forward:
      return "forward";
    case RelayVerdict::Drop:
      return "drop";
  }
  return "?";
}

void RelayTable::update_leg(Leg& leg, const RelayLegState& state) {
  bool same_place = leg.state.outer && state.outer &&
                    leg.state.outer->remote == state.outer->remote &&
                    leg.state.outer->socket == state.outer->socket;
  if (!same_place || leg.state.validated)
    leg.allowance = state.credit;
  else
    leg.allowance += std::int64_t{state.credit} - std::int64_t{leg.state.credit};
  leg.state = state;
}

Result<void> RelayTable::put(Instant now, const PutRelay& change) {
  if (change.paths.empty()) return invalid("a relay entry needs a Path ID");
  std::shared_ptr<Entry> entry;
  for (PathId path : change.paths) {
    std::unordered_map<PathId, std::shared_ptr<Entry>>::iterator it = paths_.find(path);
    if (it == paths_.end()) continue;
    if (entry == nullptr && it->second->paths.front() == change.paths.front()) {
      entry = it->second;
    } else if (it->second != entry) {
      return fail(ErrorKind::Conflict, "path " + to_string(path) + " names another relay entry");
    }
  }
  if (entry == nullptr) {
    entry = std::make_shared<Entry>();
    entry->activity.path = change.paths.front();
    entry->reported = now - kRelayReportEvery;
  }
  for (PathId path : entry->paths) paths_.erase(path);
  entry->paths = change.paths;
  for (PathId path : entry->paths) paths_[path] = entry;
  update_leg(entry->legs[0], change.a);
  update_leg(entry->legs[1], change.b);
  if (entry->kbit_per_second != change.kbit_per_second) {
    entry->kbit_per_second = change.kbit_per_second;
    entry->bytes_limit = bucket(std::int64_t{change.kbit_per_second} * 125, 64 * 1024);
  }
  if (entry->packets_per_second != change.packets_per_second) {
    entry->packets_per_second = change.packets_per_second;
    entry->packets_limit = bucket(change.packets_per_second, 64);
  }
  return {};
}

Result<void> RelayTable::apply(Instant now, const Change& change) {
  if (const PutRelay* put_change = std::get_if<PutRelay>(&change)) return put(now, *put_change);
  const RemoveRelay* remove = std::get_if<RemoveRelay>(&change);
  if (remove == nullptr) return {};
  std::unordered_map<PathId, std::shared_ptr<Entry>>::iterator it = paths_.find(remove->path);
  if (it == paths_.end()) return invalid("no relay entry for path " + to_string(remove->path));
  std::shared_ptr<Entry> entry = it->second;
  for (PathId path : entry->paths) paths_.erase(path);
  return {};
}

RelayDecision RelayTable::forward(Instant now, const Outer& from, PathId path,
                                  std::size_t packets, std::size_t bytes,
                                  std::vector<Event>& events) {
  std::unordered_map<PathId, std::shared_ptr<Entry>>::iterator it = paths_.find(path);
  if (it == paths_.end()) return {};
  Entry& entry = *it->second;
  bool from_a = comes_from(from, entry.legs[0].state);
  if (!from_a && !comes_from(from, entry.legs[1].state)) {
    ++entry.dropped;
    if (foreign_.allow(now, from.remote.address))
      events.push_back(RelayForeignSource{path, from.socket, from.remote, from.local});
    return {RelayVerdict::Drop};
  }
  Leg& source = entry.legs[from_a ? 0 : 1];
  Leg& target = entry.legs[from_a ? 1 : 0];
  if (!source.state.validated) source.allowance += static_cast<std::int64_t>(3 * bytes);
  note(now, entry, from_a, packets, bytes, events);
  bool open = target.state.outer && target.state.consent &&
              (target.state.validated || target.allowance >= static_cast<std::int64_t>(bytes)) &&
              entry.packets_limit.spend(now, static_cast<std::int64_t>(packets)) &&
              entry.bytes_limit.spend(now, static_cast<std::int64_t>(bytes));
  if (!open) {
    entry.dropped += packets;
    return {RelayVerdict::Drop};
  }
  if (!target.state.validated) target.allowance -= static_cast<std::int64_t>(bytes);
  entry.packets += packets;
  entry.bytes += bytes;
  return {RelayVerdict::Forward, &*target.state.outer};
}

void RelayTable::report(Instant now, Entry& entry, std::vector<Event>& events) {
  events.push_back(entry.activity);
  entry.activity = RelayActivity{entry.activity.path};
  entry.reported = now;
  entry.dirty = false;
}

void RelayTable::note(Instant now, Entry& entry, bool from_a, std::size_t packets,
                      std::size_t bytes, std::vector<Event>& events) {
  (from_a ? entry.activity.from_a : entry.activity.from_b) = true;
  entry.activity.packets += packets;
  entry.activity.bytes += bytes;
  if (now - entry.reported >= kRelayReportEvery) {
    report(now, entry, events);
  } else if (!entry.dirty) {
    entry.dirty = true;
    dirty_.push_back(paths_.at(entry.paths.front()));
    if (report_at_ == Instant::never()) report_at_ = now + kRelayReportEvery;
  }
}

void RelayTable::on_timer(Instant now, std::vector<Event>& events) {
  if (now < report_at_) return;
  report_at_ = Instant::never();
  std::vector<std::weak_ptr<Entry>> waiting;
  waiting.swap(dirty_);
  for (std::weak_ptr<Entry>& weak : waiting) {
    std::shared_ptr<Entry> entry = weak.lock();
    if (entry == nullptr || !entry->dirty) continue;
    if (now - entry->reported >= kRelayReportEvery) {
      report(now, *entry, events);
    } else {
      dirty_.push_back(weak);
      report_at_ = now + kRelayReportEvery;
    }
  }
}

bool RelayTable::add_statistics(PathId path, PathStatistics& out) const {
  std::unordered_map<PathId, std::shared_ptr<Entry>>::const_iterator it = paths_.find(path);
  if (it == paths_.end()) return false;
  const Entry& entry = *it->second;
  out.path = path;
  if (entry.legs[1].state.outer) out.outer = *entry.legs[1].state.outer;
  out.packets_sent = entry.packets;
  out.bytes_sent = entry.bytes;
  out.dropped += entry.dropped;
  return true;
}

}  // namespace ntm::datapath
