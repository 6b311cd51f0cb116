// One SQLite connection and its statements, with SQLite's error codes made values.
//
// Errors are sticky: the first one stays in the connection until clear_error(), and until then
// every query finds no rows and writes nothing. Callers run a whole operation straight down and
// ask once. A Connection belongs to one thread at a time (SQLITE_OPEN_NOMUTEX).
#pragma once

#include <sqlite3.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "libntm/base/bytes.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/time.hpp"

namespace ntm::store::sqlite {

struct SqlError {
  int code = 0;      // extended result code
  std::string text;  // one line for people: quotes the file and says what to do
  int primary() const { return code & 0xff; }
};

class Connection {
 public:
  enum class Mode { ReadOnly, ReadWrite };
  static Result<std::unique_ptr<Connection>> open(const std::string& path, Mode mode,
                                                  Duration busy_timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const std::string& path() const { return path_; }
  sqlite3* handle() { return db_; }

  // One or more statements without result rows; false on failure.
  bool execute(const char* sql);
  bool execute(const std::string& sql) { return execute(sql.c_str()); }
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  void roll_back();  // if in a transaction; keeps the error

  const std::optional<SqlError>& error() const { return error_; }
  void clear_error() { error_.reset(); }
  void set_error(int extended_code);
  void set_corrupt(const std::string& what);  // a row that our own decoding refuses
  // Internal for a damaged file, Unavailable for everything else; there must be an error.
  Error as_error() const;

 private:
  friend class Query;
  Connection() = default;
  struct Prepared {
    sqlite3_stmt* statement = nullptr;
    bool busy = false;
  };
  static int wait_while_busy(void* self, int calls);

  std::string path_;
  sqlite3* db_ = nullptr;
  std::int64_t busy_timeout_us_ = 0;
  std::int64_t waited_us_ = 0;
  std::unordered_map<const char*, Prepared> prepared_;  // by the literal's address
  std::optional<SqlError> error_;
};

// One run of one statement. `sql` must be a string literal: statements are cached by its address.
class Query {
 public:
  Query(Connection& connection, const char* sql);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(std::int64_t value);  // binds the next parameter
  Query& bind_u64(std::uint64_t value) { return bind(static_cast<std::int64_t>(value)); }
  Query& bind(ByteView blob);
  Query& bind_text(std::string_view text);
  Query& bind_null();

  bool row();  // steps; false at the end and on failure
  bool run();  // a statement without rows; false on failure

  std::int64_t i64(int column) { return sqlite3_column_int64(statement_, column); }
  std::uint64_t u64(int column) { return static_cast<std::uint64_t>(i64(column)); }
  bool is_null(int column) { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  ByteView blob(int column);  // until the next row()
  std::string_view text(int column);

 private:
  Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
  Connection::Prepared* cached_ = nullptr;
  int next_parameter_ = 1;
};

}  // namespace ntm::store::sqlite
