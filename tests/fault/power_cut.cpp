// A shim over SQLite's own "unix" VFS: everything is done by that one, writes are noted beside.
#include "tests/fault/power_cut.hpp"

#include <sqlite3.h>

#include <cassert>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <vector>

namespace ntm::store::test {

namespace {

constexpr std::size_t kSector = 512;

struct Write {
  std::size_t offset = 0;
  std::string bytes;  // empty: the file was cut to `offset`
};

struct Image {
  std::string synced;
  std::vector<Write> pending;
};

// All of the process: SQLite's VFS is one by nature, and a test has one PowerCut at a time.
struct Disk {
  std::mutex lock;
  std::map<std::string, Image> images;
  std::string failing_ending;
  std::uint64_t syncs = 0;
  sqlite3_vfs* real = nullptr;
  sqlite3_vfs shim{};
};

Disk& disk() {
  static Disk instance;
  return instance;
}

struct File {
  sqlite3_file base;
  const char* path;  // SQLite keeps it alive while the file is open
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* file_of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* real(sqlite3_file* file) { return file_of(file)->real(); }
const sqlite3_io_methods* methods(sqlite3_file* file) { return real(file)->pMethods; }

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() &&
         text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

void put(std::string& content, const Write& write) {
  if (write.bytes.empty()) {
    content.resize(write.offset);
    return;
  }
  content.resize(std::max(content.size(), write.offset + write.bytes.size()));
  content.replace(write.offset, write.bytes.size(), write.bytes);
}

// Each sector of each write reached the disk or did not.
void put_some(std::string& content, const Write& write, std::mt19937_64& random) {
  if (write.bytes.empty()) {
    if (random() & 1) put(content, write);
    return;
  }
  for (std::size_t at = 0; at < write.bytes.size(); at += kSector)
    if (random() & 1) put(content, {write.offset + at, write.bytes.substr(at, kSector)});
}

void note(sqlite3_file* file, Write write) {
  const char* path = file_of(file)->path;
  if (!path) return;
  std::lock_guard<std::mutex> guard(disk().lock);
  disk().images[path].pending.push_back(std::move(write));
}

int do_close(sqlite3_file* file) { return methods(file)->xClose(real(file)); }
int do_read(sqlite3_file* file, void* to, int size, sqlite3_int64 at) {
  return methods(file)->xRead(real(file), to, size, at);
}
int do_write(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
  note(file, {static_cast<std::size_t>(at),
              std::string(static_cast<const char*>(from), static_cast<std::size_t>(size))});
  return methods(file)->xWrite(real(file), from, size, at);
}
int do_truncate(sqlite3_file* file, sqlite3_int64 size) {
  note(file, {static_cast<std::size_t>(size), {}});
  return methods(file)->xTruncate(real(file), size);
}

int do_sync(sqlite3_file* file, int flags) {
  const char* path = file_of(file)->path;
  {
    std::lock_guard<std::mutex> guard(disk().lock);
    if (path && !disk().failing_ending.empty() && ends_with(path, disk().failing_ending)) {
      disk().failing_ending.clear();
      return SQLITE_IOERR_FSYNC;
    }
  }
  int code = methods(file)->xSync(real(file), flags);
  std::lock_guard<std::mutex> guard(disk().lock);
  ++disk().syncs;
  if (!path) return code;
  Image& image = disk().images[path];
  for (const Write& write : image.pending) put(image.synced, write);
  image.pending.clear();
  return code;
}

int do_size(sqlite3_file* file, sqlite3_int64* size) {
  return methods(file)->xFileSize(real(file), size);
}
int do_lock(sqlite3_file* file, int level) { return methods(file)->xLock(real(file), level); }
int do_unlock(sqlite3_file* file, int level) { return methods(file)->xUnlock(real(file), level); }
int do_check(sqlite3_file* file, int* out) {
  return methods(file)->xCheckReservedLock(real(file), out);
}
int do_control(sqlite3_file* file, int operation, void* argument) {
  return methods(file)->xFileControl(real(file), operation, argument);
}
int do_sector(sqlite3_file* file) { return methods(file)->xSectorSize(real(file)); }
int do_traits(sqlite3_file* file) { return methods(file)->xDeviceCharacteristics(real(file)); }
int do_shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  return methods(file)->xShmMap(real(file), page, size, extend, out);
}
int do_shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  return methods(file)->xShmLock(real(file), offset, count, flags);
}
void do_shm_barrier(sqlite3_file* file) { methods(file)->xShmBarrier(real(file)); }
int do_shm_unmap(sqlite3_file* file, int remove) {
  return methods(file)->xShmUnmap(real(file), remove);
}

const sqlite3_io_methods kMethods = {
    2,           do_close,       do_read,      do_write,   do_truncate, do_sync,   do_size,
    do_lock,     do_unlock,      do_check,     do_control, do_sector,   do_traits, do_shm_map,
    do_shm_lock, do_shm_barrier, do_shm_unmap, nullptr,    nullptr};

// Temporary files (no name) and shared memory are not part of what a cut leaves.
int do_open(sqlite3_vfs*, const char* path, sqlite3_file* out, int flags, int* out_flags) {
  File* file = file_of(out);
  file->base.pMethods = nullptr;
  bool kept = (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
  file->path = kept ? path : nullptr;
  int code = disk().real->xOpen(disk().real, path, file->real(), flags, out_flags);
  if (file->real()->pMethods) file->base.pMethods = &kMethods;
  return code;
}

int do_delete(sqlite3_vfs*, const char* path, int sync_directory) {
  std::lock_guard<std::mutex> guard(disk().lock);
  disk().images.erase(path);
  return disk().real->xDelete(disk().real, path, sync_directory);
}

}  // namespace

PowerCut::PowerCut() {
  Disk& all = disk();
  assert(!all.real);
  all.real = sqlite3_vfs_find(nullptr);
  all.shim = *all.real;
  all.shim.zName = "power-cut";
  all.shim.szOsFile = static_cast<int>(sizeof(File)) + all.real->szOsFile;
  all.shim.xOpen = do_open;
  all.shim.xDelete = do_delete;
  sqlite3_vfs_register(&all.shim, 1);
}

PowerCut::~PowerCut() {
  sqlite3_vfs_register(disk().real, 1);
  sqlite3_vfs_unregister(&disk().shim);
  disk().images.clear();
  disk().real = nullptr;
}

void PowerCut::write_remains(const std::string& directory, const std::string& target,
                             std::uint64_t seed) {
  std::map<std::string, Image> images;
  {
    std::lock_guard<std::mutex> guard(disk().lock);
    images = disk().images;
  }
  std::mt19937_64 random(seed);
  for (std::pair<const std::string, Image>& entry : images) {
    if (entry.first.compare(0, directory.size() + 1, directory + "/") != 0) continue;
    std::string content = entry.second.synced;
    for (const Write& write : entry.second.pending) put_some(content, write, random);
    std::ofstream file(target + entry.first.substr(directory.size()), std::ios::binary);
    file << content;
  }
}

void PowerCut::fail_next_sync(const std::string& ending) {
  std::lock_guard<std::mutex> guard(disk().lock);
  disk().failing_ending = ending;
}

std::uint64_t PowerCut::syncs() const {
  std::lock_guard<std::mutex> guard(disk().lock);
  return disk().syncs;
}

}  // namespace ntm::store::test
