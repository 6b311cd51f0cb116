// Each call runs its query straight down and turns a sticky error into Unavailable at the end.
#include "libntm/store/sqlite/sqlite_reader.hpp"

#include <time.h>

#include <algorithm>

#include "libntm/store/rules.hpp"

namespace ntm::store::sqlite {

template <typename Value>
Result<Value> SqliteReader::answer(Value value) {
  if (!connection_->error()) return value;
  // Readers promise Unavailable for everything that is not an answer, a damaged page included.
  std::string text = connection_->as_error().text;
  connection_->clear_error();
  return fail(ErrorKind::Unavailable, text);
}

// A read transaction takes its snapshot at its first read, so one follows at once.
Result<void> SqliteReader::begin() {
  assert(!connection_->in_transaction());
  connection_->execute("BEGIN");
  queries_.newest_feed_row();
  if (!connection_->error()) return {};
  connection_->roll_back();
  Result<bool> failed = answer(false);
  return pass(failed.error());
}

void SqliteReader::end() { connection_->roll_back(); }

Result<std::uint64_t> SqliteReader::data_version() {
  Query query(*connection_, "PRAGMA data_version");
  return answer(query.row() ? query.u64(0) : 0);
}

Result<std::vector<Zone>> SqliteReader::zones() { return answer(queries_.zones()); }
Result<std::optional<Zone>> SqliteReader::zone(ZoneId id) { return answer(queries_.zone(id)); }
Result<std::optional<Zone>> SqliteReader::zone_by_apex(const Name& apex) {
  return answer(queries_.zone_by_apex(apex));
}

Result<std::optional<Zone>> SqliteReader::zone_of(const Name& name) {
  for (Name at = name;; at = at.parent()) {
    std::optional<Zone> zone = queries_.zone_by_apex(at);
    if (zone || at.is_root()) return answer(zone);
  }
}

Record SqliteReader::shown(const Record& stored) {
  Record out = stored;
  if (out.type != kTypeSoa) return out;
  if (std::optional<Zone> zone = queries_.zone_by_apex(out.name))
    set_soa_serial(out.rdata, zone->serial);
  return out;
}

Result<std::vector<Record>> SqliteReader::records(ZoneId zone, const Name& name) {
  std::vector<Record> out;
  queries_.each_record(zone, name, [&](const Record& record) {
    out.push_back(shown(record));
    return true;
  });
  return answer(std::move(out));
}

Result<void> SqliteReader::each_record(ZoneId zone, const Name& top,
                                       const std::function<bool(const Record&)>& each) {
  queries_.each_record_below(zone, top, [&](const Record& record) {
    Record out = shown(record);
    return !connection_->error() && each(out);
  });
  Result<bool> done = answer(true);
  if (!done) return pass(done.error());
  return {};
}

Result<std::optional<TerminalView>> SqliteReader::terminal(const Name& name) {
  return answer(queries_.terminal_by_name(name));
}
Result<std::optional<TerminalView>> SqliteReader::terminal_by_id(TerminalId id) {
  return answer(queries_.terminal(id));
}
Result<std::optional<TerminalView>> SqliteReader::terminal_by_address(const IpAddress& address) {
  return answer(queries_.terminal_by_address(address));
}

Result<void> SqliteReader::each_terminal(ZoneId zone,
                                         const std::function<bool(const TerminalView&)>& each) {
  queries_.each_terminal(zone, each);
  Result<bool> done = answer(true);
  if (!done) return pass(done.error());
  return {};
}

Result<std::optional<Token>> SqliteReader::token(TokenId id) {
  std::optional<StoredToken> stored = queries_.token(id);
  return answer(stored ? std::optional<Token>(stored->token) : std::nullopt);
}
Result<std::vector<Token>> SqliteReader::tokens() { return answer(queries_.tokens()); }
Result<std::vector<Relay>> SqliteReader::relays() { return answer(queries_.relays()); }
Result<std::vector<PeerDc>> SqliteReader::peer_dcs() { return answer(queries_.peer_dcs()); }

Result<ChangeToken> SqliteReader::now_token() {
  FeedPosition now{queries_.history(), queries_.newest_feed_row().sequence};
  return answer(encode_token(now));
}

Result<Changes> SqliteReader::changes(const ChangeToken& after, std::size_t limit) {
  Result<FeedPosition> from = decode_token(after);
  if (!from) return pass(from.error());
  std::uint64_t history = queries_.history();
  std::uint64_t newest = queries_.newest_feed_row().sequence;
  std::uint64_t oldest = newest == 0 ? 1 : queries_.oldest_feed_row().sequence;
  bool beginning = after.raw.empty();
  Changes out;
  std::uint64_t at = from->sequence;
  out.too_old = (!beginning && from->history != history) || at + 1 < oldest || at > newest;
  if (out.too_old) at = newest;
  if (!out.too_old && limit > 0)
    queries_.each_feed_row(at, [&](std::uint64_t sequence, const std::vector<FeedItem>& items) {
      for (const FeedItem& item : items) out.items.push_back(item.change);
      at = sequence;
      return out.items.size() < limit;
    });
  out.next = encode_token({history, at});
  return answer(std::move(out));
}

// A commit of another process gives no signal, so this polls; the first look nearly always does,
// because a commit is visible to every reader of the machine before its completion is told.
bool SqliteReader::wait_for(const ChangeToken& token, Duration timeout) {
  constexpr Duration kPause = milliseconds(1);
  Result<FeedPosition> wanted = decode_token(token);
  if (!wanted) return false;
  for (Duration waited;; waited = waited + kPause) {
    Result<ChangeToken> now = now_token();
    Result<FeedPosition> seen = now ? decode_token(*now) : Result<FeedPosition>(FeedPosition{});
    if (now && (token.raw.empty() || seen->history == wanted->history) &&
        seen->sequence >= wanted->sequence)
      return true;
    if (connection_->in_transaction() || waited >= timeout) return false;
    timespec span{0, static_cast<long>(kPause.us * 1000)};
    nanosleep(&span, nullptr);
  }
}

}  // namespace ntm::store::sqlite
