// Opening: each bad file is refused in one line that quotes it and says what to do, and is left as
// it was; older schemas are migrated after a copy, newer ones are refused; released schemas end at
// schema/db/schema.sql.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "libntm/store/sqlite/database.hpp"
#include "tests/unit/store_fixture.hpp"

namespace ntm::store::test {
namespace {

using sqlite::Connection;
using sqlite::DatabaseKind;
using sqlite::OpenOptions;
using sqlite::SqliteStore;

std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

void put_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

Result<std::unique_ptr<SqliteStore>> try_open(const std::string& directory) {
  OpenOptions options;
  options.directory = directory;
  options.busy_timeout = milliseconds(50);
  return SqliteStore::open(options);
}

void make_store(const std::string& directory) {
  Result<std::unique_ptr<SqliteStore>> store = try_open(directory);
  ASSERT_TRUE(store);
  write(**store, {PutZone{zone()}});
  for (std::uint64_t n = 1; n <= 200; ++n) {
    write_one(**store, CreateTerminal{terminal(n)});
    write_one(**store, PutLocation{location(n, 1)});
  }
}

void run_sql(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK)
      << (error ? error : "");
  sqlite3_free(error);
  sqlite3_close(db);
}

// One line, quoting the path, with the hint; neither opening nor reading succeeds, and the file
// is unchanged.
void expect_refused(const TemporaryFolder& folder, const std::string& hint) {
  std::string before = file_bytes(folder.dc());
  Result<std::unique_ptr<SqliteStore>> store = try_open(folder.path());
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().text.find("'" + folder.dc() + "'"), std::string::npos)
      << store.error().text;
  EXPECT_NE(store.error().text.find(hint), std::string::npos) << store.error().text;
  EXPECT_EQ(store.error().text.find('\n'), std::string::npos);
  EXPECT_EQ(file_bytes(folder.dc()), before);
}

TEST(StoreOpen, AMissingFileIsMadeOrNamed) {
  TemporaryFolder folder;
  OpenOptions options;
  options.directory = folder.path();
  options.create = false;
  Result<std::unique_ptr<SqliteStore>> store = SqliteStore::open(options);
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().text.find("ntm dc init"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder.dc()));
  EXPECT_FALSE(sqlite::open_reader(folder.path()));
  EXPECT_TRUE(try_open(folder.path()));
}

TEST(StoreOpen, AFolderThatCannotBe) {
  TemporaryFolder folder;
  put_bytes(folder.path() + "/file", "x");
  EXPECT_NE(try_open(folder.path() + "/file").error().text.find("is not a folder"),
            std::string::npos);
  EXPECT_NE(try_open(folder.path() + "/a/b").error().text.find("cannot be created"),
            std::string::npos);
}

TEST(StoreOpen, SomethingThatIsNoDatabase) {
  TemporaryFolder folder;
  put_bytes(folder.dc(), std::string(5000, 'x'));
  expect_refused(folder, "is not a database of ntmobile");
  Result<std::unique_ptr<Reader>> reader = sqlite::open_reader(folder.path());
  ASSERT_FALSE(reader);
  EXPECT_NE(reader.error().text.find("is not a database of ntmobile"), std::string::npos);
}

TEST(StoreOpen, TheDatabaseOfAnotherProgram) {
  TemporaryFolder folder;
  run_sql(folder.dc(), "CREATE TABLE bookmarks (url TEXT)");
  expect_refused(folder, "another program");
  run_sql(folder.dc(), "PRAGMA application_id = 7; PRAGMA user_version = 1");
  expect_refused(folder, "another program");
}

TEST(StoreOpen, ANewerSchema) {
  TemporaryFolder folder;
  make_store(folder.path());
  run_sql(folder.dc(), "PRAGMA user_version = 2");
  expect_refused(folder, "has schema version 2, this program knows 1; install the newer version");
  EXPECT_FALSE(sqlite::open_reader(folder.path()));
}

TEST(StoreOpen, ADamagedPage) {
  TemporaryFolder folder;
  make_store(folder.path());
  std::string bytes = file_bytes(folder.dc());
  int found = 0;
  for (std::size_t page = 1; page * 4096 < bytes.size(); ++page) {
    std::string damaged = bytes;
    for (std::size_t at = page * 4096; at < page * 4096 + 12; ++at) damaged[at] = '\x5a';
    put_bytes(folder.dc(), damaged);
    if (!try_open(folder.path())) {
      ++found;
      expect_refused(folder, "put back your last copy");
    }
  }
  EXPECT_EQ(found, static_cast<int>(bytes.size() / 4096) - 1) << "each page but the first";
}

TEST(StoreOpen, ATruncatedFile) {
  TemporaryFolder folder;
  make_store(folder.path());
  std::string bytes = file_bytes(folder.dc());
  put_bytes(folder.dc(), bytes.substr(0, bytes.size() / 2 / 4096 * 4096));
  expect_refused(folder, "is damaged");
  put_bytes(folder.dc(), bytes.substr(0, 60));
  EXPECT_FALSE(try_open(folder.path()));
}

TEST(StoreOpen, AFileInUseByASingleUser) {
  TemporaryFolder folder;
  make_store(folder.path());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(folder.dc().c_str(), &other), SQLITE_OK);
  sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT", nullptr, nullptr,
               nullptr);
  Result<std::unique_ptr<SqliteStore>> store = try_open(folder.path());
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().text.find("is locked by another program"), std::string::npos);
  sqlite3_close(other);
  EXPECT_TRUE(try_open(folder.path()));
}

// Root may write anything, so the attempt is made as nobody.
TEST(StoreOpen, AFileThatCannotBeWritten) {
  TemporaryFolder folder;
  make_store(folder.path());
  ::chmod(folder.path().c_str(), 0755);
  ::chmod(folder.dc().c_str(), 0444);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(2);
    Result<std::unique_ptr<SqliteStore>> store = try_open(folder.path());
    std::string text = store ? "opened" : store.error().text;
    _exit(::write(ends[1], text.data(), text.size()) < 0);
  }
  close(ends[1]);
  char text[1000] = {};
  EXPECT_GT(::read(ends[0], text, sizeof text - 1), 0);
  close(ends[0]);
  waitpid(child, nullptr, 0);
  EXPECT_NE(std::string(text).find("'" + folder.dc() + "' cannot be written; check owner"),
            std::string::npos)
      << text;
}

// ---- migrations ----

const char* const kVersion1 =
    "CREATE TABLE store (only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),"
    " schema_version INTEGER NOT NULL) STRICT; CREATE TABLE thing (a INTEGER NOT NULL) STRICT;";
const char* const kVersion3 =
    "CREATE TABLE store (only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),"
    " schema_version INTEGER NOT NULL) STRICT; CREATE TABLE thing (a INTEGER NOT NULL,"
    " b INTEGER NOT NULL DEFAULT 7) STRICT; -- the new one\nCREATE INDEX thing_b ON thing (b);";

DatabaseKind version(int number) {
  DatabaseKind kind;
  kind.schema = number == 1 ? kVersion1 : kVersion3;
  kind.version = number;
  kind.application_id = 0x4e544d44;
  if (number == 3)
    kind.migrations = {{1, "ALTER TABLE thing ADD COLUMN b INTEGER NOT NULL DEFAULT 7"},
                       {2, "CREATE INDEX thing_b ON thing (b)"}};
  return kind;
}

// The schema without comments and differences of white space.
std::string schema_of(const std::string& path) {
  Result<std::unique_ptr<Connection>> db =
      Connection::open(path, Connection::Mode::ReadOnly, seconds(1));
  EXPECT_TRUE(db);
  sqlite::Query query(**db, "SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name");
  std::string out;
  while (query.row()) out += std::string(query.text(0)) + ";\n";
  out = std::regex_replace(out, std::regex("--[^\n]*"), "");
  out = std::regex_replace(out, std::regex("\\s+"), " ");
  return std::regex_replace(out, std::regex(" ?([(),]) ?"), "$1");
}

std::int64_t number(const std::string& path, const char* sql) {
  Result<std::unique_ptr<Connection>> db =
      Connection::open(path, Connection::Mode::ReadOnly, seconds(1));
  sqlite::Query query(**db, sql);
  return query.row() ? query.i64(0) : -1;
}

TEST(StoreMigration, OlderIsBroughtToTheFreshSchemaAfterACopy) {
  TemporaryFolder folder;
  ASSERT_TRUE(open_database(folder.dc(), version(1), {}));
  run_sql(folder.dc(), "INSERT INTO thing VALUES (42)");
  ASSERT_TRUE(open_database(folder.dc(), version(3), {}));
  const std::string fresh = folder.path() + "/fresh.db";
  ASSERT_TRUE(open_database(fresh, version(3), {}));
  EXPECT_EQ(schema_of(folder.dc()), schema_of(fresh));
  EXPECT_EQ(number(folder.dc(), "PRAGMA user_version"), 3);
  EXPECT_EQ(number(folder.dc(), "SELECT schema_version FROM store"), 3);
  EXPECT_EQ(number(folder.dc(), "SELECT a + b FROM thing"), 49);
  const std::string copy = folder.dc() + ".v1.bak";
  EXPECT_EQ(number(copy, "PRAGMA user_version"), 1);
  EXPECT_EQ(number(copy, "SELECT a FROM thing"), 42);
  ASSERT_TRUE(open_database(folder.dc(), version(3), {}));
  EXPECT_FALSE(std::filesystem::exists(folder.dc() + ".v3.bak"));
}

TEST(StoreMigration, AFailingStepChangesNothing) {
  TemporaryFolder folder;
  ASSERT_TRUE(open_database(folder.dc(), version(1), {}));
  std::string before = schema_of(folder.dc());
  DatabaseKind broken = version(3);
  broken.migrations[1].sql = "CREATE INDEX thing_c ON thing (no_such_column)";
  EXPECT_FALSE(open_database(folder.dc(), broken, {}));
  EXPECT_EQ(schema_of(folder.dc()), before);
  EXPECT_EQ(number(folder.dc(), "PRAGMA user_version"), 1);
  broken.migrations.pop_back();
  Result<std::unique_ptr<Connection>> gap = open_database(folder.dc(), broken, {});
  ASSERT_FALSE(gap);
  EXPECT_NE(gap.error().text.find("can't migrate"), std::string::npos);
  EXPECT_TRUE(open_database(folder.dc(), version(3), {}));
  EXPECT_TRUE(std::filesystem::exists(folder.dc() + ".v1.bak3")) << "no copy is overwritten";
}

TEST(StoreMigration, WithoutACopyThereIsNoMigration) {
  TemporaryFolder folder;
  ASSERT_TRUE(open_database(folder.dc(), version(1), {}));
  std::filesystem::create_symlink(folder.path() + "/nowhere/x", folder.dc() + ".v1.bak");
  Result<std::unique_ptr<Connection>> refused = open_database(folder.dc(), version(3), {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find(".v1.bak' cannot be made"), std::string::npos)
      << refused.error().text;
  EXPECT_EQ(number(folder.dc(), "PRAGMA user_version"), 1);
}

// Every released version, as schema/db/releases keeps it, ends at schema/db/schema.sql with its
// data readable. A change of schema.sql without a new version fails here.
TEST(StoreMigration, EveryReleasedSchemaEndsAtTheFreshOne) {
  int tried = 0;
  for (const std::filesystem::directory_entry& dump :
       std::filesystem::directory_iterator(NTM_SOURCE_DIR "/schema/db/releases")) {
    if (dump.path().extension() != ".sql") continue;
    TemporaryFolder released;
    TemporaryFolder fresh;
    run_sql(released.dc(), file_bytes(dump.path()));
    Result<std::unique_ptr<SqliteStore>> store = try_open(released.path());
    ASSERT_TRUE(store) << dump.path() << ": " << store.error().text;
    ASSERT_TRUE(try_open(fresh.path()));
    EXPECT_EQ(schema_of(released.dc()), schema_of(fresh.dc())) << dump.path();
    std::unique_ptr<Reader> reader = std::move(*(*store)->open_reader());
    EXPECT_EQ((*reader->terminal(name("t1.mobile.example")))->location, location(1, 3));
    EXPECT_EQ((*reader->zone({1}))->pools4, zone().pools4);
    EXPECT_EQ(reader->tokens()->size(), 1u);
    ++tried;
  }
  EXPECT_GE(tried, 1);
}

}  // namespace
}  // namespace ntm::store::test
