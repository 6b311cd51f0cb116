// Result codes become sentences here and nowhere else.
#include "libntm/store/sqlite/connection.hpp"

#include <time.h>

#include <algorithm>
#include <cassert>

namespace ntm::store::sqlite {

namespace {

// What a person can do about it. The file is quoted by the caller.
std::string advice(int extended) {
  switch (extended & 0xff) {
    case SQLITE_NOTADB:
      return "is not a database of ntmobile; check the path, or move the file away";
    case SQLITE_CORRUPT:
      return "is damaged; stop all programs that use it and put back your last copy of it";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "is locked by another program; `fuser` on the file shows which one";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "cannot be written; check owner, group and mode of the file and its folder";
    case SQLITE_CANTOPEN:
      return "cannot be opened; check owner, group and mode of the file and its folder";
    case SQLITE_FULL:
      return "cannot grow: the disk, or the bound of pages, is full; make room and try again";
    case SQLITE_IOERR:
      return "had an input/output error; check the disk (dmesg)";
    case SQLITE_NOMEM:
      return "needs more memory than there is";
    default:
      return "failed";
  }
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path, Mode mode,
                                                     Duration busy_timeout) {
  std::unique_ptr<Connection> out(new Connection());
  out->path_ = path;
  out->busy_timeout_us_ = busy_timeout.us;
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
              (mode == Mode::ReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  int code = sqlite3_open_v2(path.c_str(), &out->db_, flags, nullptr);
  if (code != SQLITE_OK) {
    out->set_error(out->db_ ? sqlite3_extended_errcode(out->db_) : code);
    return pass(out->as_error());
  }
  sqlite3_extended_result_codes(out->db_, 1);
  sqlite3_busy_handler(out->db_, &Connection::wait_while_busy, out.get());
  return out;
}

Connection::~Connection() {
  for (std::pair<const char* const, Prepared>& entry : prepared_)
    sqlite3_finalize(entry.second.statement);
  sqlite3_close_v2(db_);
}

// Another process's commit takes about a millisecond, so waiting begins far below that; SQLite's
// own handler sleeps up to 100 ms.
int Connection::wait_while_busy(void* self, int calls) {
  Connection& connection = *static_cast<Connection*>(self);
  if (calls == 0) connection.waited_us_ = 0;
  if (connection.waited_us_ >= connection.busy_timeout_us_) return 0;
  std::int64_t pause = std::min<std::int64_t>(200ll << std::min(calls, 5), 5000);
  timespec span{0, static_cast<long>(pause * 1000)};
  nanosleep(&span, nullptr);
  connection.waited_us_ += pause;
  return 1;
}

bool Connection::execute(const char* sql) {
  if (error_) return false;
  int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) set_error(sqlite3_extended_errcode(db_));
  return code == SQLITE_OK;
}

void Connection::roll_back() {
  if (in_transaction()) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Connection::set_error(int extended_code) {
  if (error_) return;
  error_ = SqlError{extended_code, "'" + path_ + "' " + advice(extended_code) +
                                       " (SQLite: " + sqlite3_errstr(extended_code) + ")"};
}

void Connection::set_corrupt(const std::string& what) {
  if (error_) return;
  error_ =
      SqlError{SQLITE_CORRUPT, "'" + path_ + "' " + advice(SQLITE_CORRUPT) + " (" + what + ")"};
}

Error Connection::as_error() const {
  assert(error_);
  bool damaged = error_->primary() == SQLITE_CORRUPT || error_->primary() == SQLITE_NOTADB;
  return {damaged ? ErrorKind::Internal : ErrorKind::Unavailable, error_->text};
}

Query::Query(Connection& connection, const char* sql) : connection_(connection) {
  if (connection_.error_) return;
  Connection::Prepared& slot = connection_.prepared_[sql];
  if (slot.statement && !slot.busy) {
    statement_ = slot.statement;
  } else {
    // A caller may ask the same question while it walks the answer to the last one: such an inner
    // statement lives only as long as its Query.
    int code = sqlite3_prepare_v3(connection_.db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_,
                                  nullptr);
    if (code != SQLITE_OK) {
      connection_.set_error(sqlite3_extended_errcode(connection_.db_));
      return;
    }
    if (!slot.statement) slot.statement = statement_;
  }
  if (slot.statement == statement_) {
    slot.busy = true;
    cached_ = &slot;  // stable: unordered_map never moves its elements
  }
}

Query::~Query() {
  if (!statement_) return;
  if (!cached_) {
    sqlite3_finalize(statement_);
    return;
  }
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  cached_->busy = false;
}

Query& Query::bind(std::int64_t value) {
  if (statement_) sqlite3_bind_int64(statement_, next_parameter_++, value);
  return *this;
}

// A null pointer would bind NULL; the root's key and an empty rdata are empty, not missing.
Query& Query::bind(ByteView blob) {
  const void* data = blob.empty() ? static_cast<const void*>("") : blob.data();
  if (statement_)
    sqlite3_bind_blob64(statement_, next_parameter_++, data, blob.size(), SQLITE_TRANSIENT);
  return *this;
}

Query& Query::bind_text(std::string_view text) {
  const char* data = text.empty() ? "" : text.data();
  if (statement_)
    sqlite3_bind_text64(statement_, next_parameter_++, data, text.size(), SQLITE_TRANSIENT,
                        SQLITE_UTF8);
  return *this;
}

Query& Query::bind_null() {
  if (statement_) sqlite3_bind_null(statement_, next_parameter_++);
  return *this;
}

bool Query::row() {
  if (!statement_ || connection_.error_) return false;
  int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) connection_.set_error(sqlite3_extended_errcode(connection_.db_));
  return false;
}

bool Query::run() {
  bool unexpected = row();
  assert(!unexpected);
  (void)unexpected;
  return statement_ && !connection_.error_;
}

ByteView Query::blob(int column) {
  const Byte* data = static_cast<const Byte*>(sqlite3_column_blob(statement_, column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string_view Query::text(int column) {
  const unsigned char* data = sqlite3_column_text(statement_, column);
  if (!data) return {};
  return {reinterpret_cast<const char*>(data),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

}  // namespace ntm::store::sqlite
