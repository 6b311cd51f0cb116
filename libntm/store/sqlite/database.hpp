// Opening a database file of ours: made if missing, checked, migrated, or refused in one line that
// says what to do. Used for dc.db, admin.db and status.db.
//
// Order, so that a file that is not ours or is damaged is left exactly as it was: identity, pages,
// then WAL mode, then migration. A migration is one transaction after a copy was made beside the
// file; versions expand first and contract one version later, so version N and N+1 run side by
// side while programs are replaced.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libntm/store/sqlite/connection.hpp"

namespace ntm::store::sqlite {

struct Migration {
  int from = 0;  // leads to from + 1
  const char* sql = nullptr;
};

struct DatabaseKind {
  const char* schema = nullptr;  // makes version `version` from nothing
  int version = 1;
  std::vector<Migration> migrations;  // every step from version 1 to `version`
  std::int32_t application_id = 0;    // PRAGMA application_id: which of our files it is
  unsigned mode = 0660;               // of a new file
  bool durable = true;                // synchronous=FULL; else a crash may lose the newest rows
};

// schema/db as compiled in.
const DatabaseKind& dc_database();
const DatabaseKind& admin_database();
const DatabaseKind& status_database();

struct DatabaseOptions {
  bool create = true;
  bool check_pages = true;
  Duration busy_timeout = seconds(5);
};

// Makes the folder (mode 2770) if it is missing and its parent is there.
Result<void> make_directory(const std::string& directory);
Result<std::unique_ptr<Connection>> open_database(const std::string& path, const DatabaseKind& kind,
                                                  const DatabaseOptions& options);
// Never changes the file; refuses one of another version.
Result<std::unique_ptr<Connection>> open_read_only(const std::string& path,
                                                   const DatabaseKind& kind, Duration busy_timeout);

}  // namespace ntm::store::sqlite
