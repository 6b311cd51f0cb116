// See the header. The identity is moved last: without it the rest is not looked at.
#include "terminal/joining.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "libntm/host/fd.hpp"
#include "libntm/host/files.hpp"

namespace ntm::terminal {

namespace {

constexpr const char* kFiles[] = {"terminal.key", "reset.key", "state.json", "identity.json"};
constexpr std::size_t kMaxFile = 4 * 1024 * 1024;  // state.json's bound

Result<void> copy_file(const std::string& from, const std::string& to) {
  Result<Bytes> content = host::read_file(from, kMaxFile);
  if (!content) return pass(content.error());
  Result<void> written = host::replace_file(to, *content, 0600);
  wipe(*content);
  return written;
}

}  // namespace

Folders joining_folders(const Folders& f) {
  Folders out = f;
  out.state = f.state + "/joining";
  out.config = out.state + "/terminal.toml";
  return out;
}

Result<Identity> begin_join(const Folders& f, const std::string& token, bool again,
                            Random& random) {
  if (Result<void> may = may_join(f, token, again); !may) return pass(may.error());
  drop_join(f);  // what a killed `ntm join` left
  Folders fresh = joining_folders(f);
  if (Result<void> made = host::make_folder(fresh.state, 0700); !made) return pass(made.error());
  for (const char* name : kFiles) {
    std::string from = f.state + "/" + name;
    if (!host::exists(from)) continue;
    if (Result<void> copied = copy_file(from, fresh.state + "/" + name); !copied) {
      drop_join(f);
      return pass(copied.error());
    }
  }
  Result<Identity> made = create_identity(fresh, token, true, random);
  if (!made) drop_join(f);
  return made;
}

Result<void> finish_join(const Folders& f) {
  Folders fresh = joining_folders(f);
  for (const char* name : kFiles) {
    std::string from = fresh.state + "/" + name, to = f.state + "/" + name;
    if (host::exists(from) && ::rename(from.c_str(), to.c_str()) != 0)
      return fail(ErrorKind::Unavailable,
                  "can't write " + to + ": " + host::system_error_text(errno));
  }
  drop_join(f);
  return write_first_configuration(f);
}

void drop_join(const Folders& f) {
  Folders fresh = joining_folders(f);
  for (const char* name : kFiles) ::unlink((fresh.state + "/" + name).c_str());
  ::unlink(fresh.config.c_str());
  ::rmdir(fresh.state.c_str());
  ::rmdir(f.state.c_str());  // only when this terminal has never joined: else it is not empty
}

}  // namespace ntm::terminal
