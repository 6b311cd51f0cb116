// A power cut, as SQLite's files would be found after it.
//
// kill -9 can't show a missing fsync: the kernel still writes what the process wrote. So an SQLite
// VFS stands between SQLite and the disk, remembers for each file what the last sync made durable
// and each write since, and can write the files to another folder as after a cut at this moment:
// of what was not synced, any 512-byte sector may be there or not, in any order.
#pragma once

#include <cstdint>
#include <string>

namespace ntm::store::test {

class PowerCut {
 public:
  // Becomes the process's default VFS. One instance a process, before any database is opened.
  PowerCut();
  ~PowerCut();
  PowerCut(const PowerCut&) = delete;

  // Files of `directory`, as a cut now leaves them, go to `target`. Writing goes on undisturbed.
  void write_remains(const std::string& directory, const std::string& target, std::uint64_t seed);
  // The next sync of a file with this ending fails as a broken disk's does.
  void fail_next_sync(const std::string& ending);
  std::uint64_t syncs() const;
};

}  // namespace ntm::store::test
