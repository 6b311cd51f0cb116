// The steps of opening, each refusing in words.
#include "libntm/store/sqlite/database.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ntm::store::sqlite {

namespace {

tl::unexpected<Error> cannot(const std::string& path, const std::string& what, int code) {
  return fail(ErrorKind::Unavailable, "'" + path + "' " + what + ": " + strerror(code));
}

bool exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

// A new file is safe from a power cut only when its folder is on the disk too.
void sync_folder_of(const std::string& path) {
  int folder = ::open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

// Not through SQLite, whose new files get mode 0644. Its -wal and -shm copy this file's mode.
Result<void> make_file(const std::string& path, unsigned mode) {
  int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0 && errno == EEXIST) return {};
  if (file < 0) return cannot(path, "cannot be created", errno);
  ::fchmod(file, mode);
  ::close(file);
  sync_folder_of(path);
  return {};
}

std::int64_t pragma(Connection& connection, const char* sql) {
  Query query(connection, sql);
  return query.row() ? query.i64(0) : 0;
}

struct Identity {
  bool empty = false;
  std::int64_t application = 0;
  std::int64_t version = 0;
};

Identity identity_of(Connection& connection) {
  Identity out;
  out.application = pragma(connection, "PRAGMA application_id");
  out.version = pragma(connection, "PRAGMA user_version");
  Query query(connection, "SELECT count(*) FROM sqlite_schema");
  out.empty = query.row() && query.i64(0) == 0 && out.application == 0 && out.version == 0;
  return out;
}

Result<void> check_identity(Connection& connection, const Identity& identity,
                            const DatabaseKind& kind) {
  const std::string quoted = "'" + connection.path() + "'";
  if (connection.error()) return pass(connection.as_error());
  if (identity.empty) return {};
  if (identity.application != kind.application_id)
    return invalid(quoted + " is a database of another program; check the path");
  if (identity.version > kind.version)
    return invalid(quoted + " has schema version " + std::to_string(identity.version) +
                   ", this program knows " + std::to_string(kind.version) +
                   "; install the newer version of ntmobile that made it");
  if (identity.version < 1) return invalid(quoted + " has no schema version; check the path");
  return {};
}

Result<void> check_pages(Connection& connection) {
  Query query(connection, "PRAGMA quick_check(1)");
  if (query.row() && query.text(0) != "ok") {
    std::string finding(query.text(0));
    std::replace(finding.begin(), finding.end(), '\n', ' ');
    connection.set_corrupt("page check: " + finding);
  }
  if (connection.error()) return pass(connection.as_error());
  return {};
}

// Turning WAL on needs the file alone for a moment and does not wait by itself.
Result<void> turn_on_wal(Connection& connection, Duration patience) {
  constexpr Duration kPause = milliseconds(5);
  for (Duration waited;; waited = waited + kPause) {
    {
      Query query(connection, "PRAGMA journal_mode = WAL");
      if (query.row() && query.text(0) == "wal") return {};
    }
    bool busy = connection.error() && connection.error()->primary() == SQLITE_BUSY;
    if (connection.error() && (!busy || waited >= patience)) return pass(connection.as_error());
    if (!connection.error() && waited >= patience)
      return fail(ErrorKind::Unavailable, "'" + connection.path() +
                                              "' is on a file system without shared memory, which "
                                              "WAL mode needs; put the folder on a local disk");
    connection.clear_error();
    ::usleep(static_cast<useconds_t>(kPause.us));
  }
}

Result<void> write_version(Connection& connection, int version) {
  connection.execute("PRAGMA user_version = " + std::to_string(version));
  connection.execute("UPDATE store SET schema_version = " + std::to_string(version));
  if (connection.error()) return pass(connection.as_error());
  return {};
}

Result<void> create_tables(Connection& connection, const DatabaseKind& kind) {
  connection.execute(kind.schema);
  connection.execute("PRAGMA application_id = " + std::to_string(kind.application_id));
  // A file of identity: dc.db's store row also names its history.
  bool has_history =
      pragma(connection, "SELECT count(*) FROM pragma_table_info('store') WHERE name='history'");
  connection.execute(has_history ? "INSERT INTO store VALUES (1, 0, randomblob(8))"
                                 : "INSERT INTO store VALUES (1, 0)");
  return write_version(connection, kind.version);
}

// The copy is one consistent state: the caller holds the write lock. Never over an older copy.
Result<void> copy_beside(const std::string& path, std::int64_t version, unsigned mode,
                         Duration busy_timeout) {
  std::string copy = path + ".v" + std::to_string(version) + ".bak";
  for (int n = 2; exists(copy); ++n)
    copy = path + ".v" + std::to_string(version) + ".bak" + std::to_string(n);
  if (Result<void> made = make_file(copy, mode); !made) return made;
  Result<std::unique_ptr<Connection>> source =
      Connection::open(path, Connection::Mode::ReadOnly, busy_timeout);
  if (!source) return pass(source.error());
  Query query(**source, "VACUUM INTO ?");
  bool copied = query.bind_text(copy).run();
  int file = ::open(copy.c_str(), O_RDONLY | O_CLOEXEC);
  bool synced = file >= 0 && ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (copied && synced) return {};
  ::unlink(copy.c_str());
  std::string why = (*source)->error() ? (*source)->error()->text : strerror(errno);
  return fail(ErrorKind::Unavailable, "'" + path + "' must be migrated, and the copy '" + copy +
                                          "' cannot be made first: " + why);
}

Result<void> migrate(Connection& connection, const DatabaseKind& kind, std::int64_t version,
                     Duration busy_timeout) {
  Result<void> copied = copy_beside(connection.path(), version, kind.mode, busy_timeout);
  if (!copied) return copied;
  for (; version < kind.version; ++version) {
    const char* sql = nullptr;
    for (const Migration& step : kind.migrations)
      if (step.from == version) sql = step.sql;
    if (!sql)
      return invalid("'" + connection.path() + "' has schema version " + std::to_string(version) +
                     ", from which this program can't migrate");
    if (!connection.execute(sql)) return pass(connection.as_error());
  }
  return write_version(connection, kind.version);
}

// Looks again under the write lock: another process may have been faster.
Result<void> bring_up_to_date(Connection& connection, const DatabaseKind& kind,
                              Duration busy_timeout) {
  if (!connection.execute("BEGIN IMMEDIATE")) return pass(connection.as_error());
  Identity identity = identity_of(connection);
  Result<void> done = check_identity(connection, identity, kind);
  if (done && identity.empty) {
    done = create_tables(connection, kind);
  } else if (done && identity.version < kind.version) {
    done = migrate(connection, kind, identity.version, busy_timeout);
  }
  if (done && !connection.execute("COMMIT")) done = pass(connection.as_error());
  if (!done) connection.roll_back();
  return done;
}

Result<void> prepare(Connection& connection, const DatabaseKind& kind,
                     const DatabaseOptions& options) {
  Identity identity = identity_of(connection);
  if (Result<void> ours = check_identity(connection, identity, kind); !ours) return ours;
  if (sqlite3_db_readonly(connection.handle(), "main") == 1) {
    connection.set_error(SQLITE_READONLY);
    return pass(connection.as_error());
  }
  if (options.check_pages && !identity.empty)
    if (Result<void> sound = check_pages(connection); !sound) return sound;
  if (Result<void> wal = turn_on_wal(connection, options.busy_timeout); !wal) return wal;
  connection.execute(kind.durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  connection.execute("PRAGMA wal_autocheckpoint = 0");
  connection.execute("PRAGMA trusted_schema = OFF");
  if (connection.error()) return pass(connection.as_error());
  if (!identity.empty && identity.version == kind.version) return {};
  return bring_up_to_date(connection, kind, options.busy_timeout);
}

}  // namespace

Result<void> make_directory(const std::string& directory) {
  struct stat status;
  if (::stat(directory.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return invalid("'" + directory + "' is not a folder");
  }
  if (::mkdir(directory.c_str(), 0770) != 0 && errno != EEXIST)
    return cannot(directory, "cannot be created", errno);
  ::chmod(directory.c_str(), 02770);
  return {};
}

Result<std::unique_ptr<Connection>> open_database(const std::string& path, const DatabaseKind& kind,
                                                  const DatabaseOptions& options) {
  if (!exists(path)) {
    if (!options.create)
      return fail(ErrorKind::Unavailable,
                  "'" + path + "' does not exist; make it with `ntm dc init`");
    if (Result<void> made = make_file(path, kind.mode); !made) return pass(made.error());
  }
  Result<std::unique_ptr<Connection>> connection =
      Connection::open(path, Connection::Mode::ReadWrite, options.busy_timeout);
  if (!connection) return connection;
  Result<void> ready = prepare(**connection, kind, options);
  if (!ready) return pass(ready.error());
  return connection;
}

Result<std::unique_ptr<Connection>> open_read_only(const std::string& path,
                                                   const DatabaseKind& kind,
                                                   Duration busy_timeout) {
  if (!exists(path))
    return fail(ErrorKind::Unavailable,
                "'" + path + "' does not exist; make it with `ntm dc init`");
  Result<std::unique_ptr<Connection>> connection =
      Connection::open(path, Connection::Mode::ReadOnly, busy_timeout);
  if (!connection) return connection;
  Identity identity = identity_of(**connection);
  if (Result<void> ours = check_identity(**connection, identity, kind); !ours)
    return pass(ours.error());
  if (identity.version != kind.version)
    return fail(ErrorKind::Unavailable, "'" + path + "' has schema version " +
                                            std::to_string(identity.version) +
                                            ", this program needs " + std::to_string(kind.version) +
                                            "; start ntm-director, which migrates it");
  return connection;
}

}  // namespace ntm::store::sqlite
