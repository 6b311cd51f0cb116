// Atomic replacement and mode checks.
#include "libntm/host/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "libntm/host/fd.hpp"

namespace ntm::host {

namespace {
tl::unexpected<Error> file_error(const char* act, const std::string& path, int error) {
  ErrorKind kind = error == ENOENT ? ErrorKind::NotFound : ErrorKind::Unavailable;
  return fail(kind, std::string("can't ") + act + " " + path + ": " + system_error_text(error));
}

std::string folder_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}
}  // namespace

Result<Bytes> read_file(const std::string& path, std::size_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return file_error("read", path, errno);
  Bytes out;
  Byte chunk[4096];
  while (true) {
    ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error("read", path, errno);
    if (n == 0) return out;
    if (out.size() + static_cast<std::size_t>(n) > limit)
      return invalid(path + " is larger than " + std::to_string(limit) + " bytes");
    out.insert(out.end(), chunk, chunk + n);
  }
}

Result<void> replace_file(const std::string& path, ByteView content, unsigned mode) {
  std::string beside = path + ".new";
  ::unlink(beside.c_str());
  Fd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return file_error("write", beside, errno);
  ::fchmod(fd.get(), mode);
  std::size_t done = 0;
  while (done < content.size()) {
    ssize_t n = ::write(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      int error = errno;
      ::unlink(beside.c_str());
      return file_error("write", beside, error);
    }
    done += static_cast<std::size_t>(n);
  }
  if (::fsync(fd.get()) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
    int error = errno;
    ::unlink(beside.c_str());
    return file_error("write", path, error);
  }
  Fd folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) ::fsync(folder.get());
  return {};
}

Result<Bytes> read_secret_file(const std::string& path, std::size_t size, const char* what) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT)
      return fail(ErrorKind::NotFound, std::string(what) + " " + path +
                                           " does not exist; restore it from a backup or set "
                                           "this host up again");
    return file_error("read", path, errno);
  }
  if (info.st_mode & 077)
    return fail(ErrorKind::Denied, std::string(what) + " " + path +
                                       " can be read by others; run: chmod 600 " + path);
  Result<Bytes> content = read_file(path, size + 1);
  if (!content) {
    if (content.error().kind != ErrorKind::Invalid) return content;
  } else if (content->size() == size) {
    return content;
  }
  return invalid(std::string(what) + " " + path + " is not a key file (expected exactly " +
                 std::to_string(size) + " bytes); restore it from a backup");
}

Result<void> make_folder(const std::string& path, unsigned mode) {
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    std::string part = path.substr(0, at);
    bool last = at == path.size();
    if (::mkdir(part.c_str(), last ? mode : 0755) == 0) {
      if (last) ::chmod(part.c_str(), mode);
    } else if (errno != EEXIST) {
      return file_error("make the folder", part, errno);
    }
  }
  return {};
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

}  // namespace ntm::host
