// Files that must be right: secrets with checked modes, state that is replaced as a whole.
#pragma once

#include <string>

#include "libntm/base/bytes.hpp"
#include "libntm/base/result.hpp"

namespace ntm::host {

Result<Bytes> read_file(const std::string& path, std::size_t limit);
// Written beside, fsynced, renamed over, folder fsynced: after a crash old or new, never half.
Result<void> replace_file(const std::string& path, ByteView content, unsigned mode);
// Refuses a file that group or others can read, is not exactly `size` bytes, or is missing: each
// with a line that says what to do.
Result<Bytes> read_secret_file(const std::string& path, std::size_t size, const char* what);
Result<void> make_folder(const std::string& path, unsigned mode);
bool exists(const std::string& path);

}  // namespace ntm::host
