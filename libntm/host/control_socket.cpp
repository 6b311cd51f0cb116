// JSON lines over a Unix socket, bounded: 16 clients, 1 MiB a line.
#include "libntm/host/control_socket.hpp"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>

#include "libntm/host/clock.hpp"

namespace ntm::host {

namespace {

constexpr std::size_t kMaxClients = 16;
constexpr std::size_t kMaxLine = 1 << 20;

bool make_address(const std::string& path, sockaddr_un& out) {
  memset(&out, 0, sizeof out);
  out.sun_family = AF_UNIX;
  if (path.size() >= sizeof out.sun_path) return false;
  memcpy(out.sun_path, path.data(), path.size());
  return true;
}

Fd connect_to(const sockaddr_un& address) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fd.reset();
  return fd;
}

nlohmann::json failure(const std::string& text) {
  return nlohmann::json{{"ok", false}, {"error", text}};
}

}  // namespace

struct ControlServer::Impl {
  struct Client {
    Fd fd;
    std::string in;
    std::string out;
  };

  EventLoop& loop;
  std::string path;
  Handler handler;
  Fd listener;
  std::uint64_t next_client = 1;
  std::map<std::uint64_t, std::unique_ptr<Client>> clients;
  // Answers may come after this object died (shutdown): they check the weak pointer.
  std::shared_ptr<Impl*> self = std::make_shared<Impl*>(this);

  Impl(EventLoop& l, std::string p, Handler h)
      : loop(l), path(std::move(p)), handler(std::move(h)) {}
  ~Impl() {
    *self = nullptr;
    while (!clients.empty()) drop(clients.begin()->first);
    if (listener) {
      loop.unwatch(listener.get());
      ::unlink(path.c_str());
    }
  }

  void accept_one() {
    Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd || clients.size() >= kMaxClients) return;
    ucred peer{};
    socklen_t length = sizeof peer;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
    if (peer.uid != 0 && peer.uid != ::geteuid()) return;
    std::uint64_t id = next_client++;
    int raw = fd.get();
    std::unique_ptr<Client> client = std::make_unique<Client>();
    client->fd = std::move(fd);
    clients.emplace(id, std::move(client));
    loop.watch(raw, EPOLLIN, [this, id](std::uint32_t events) { serve(id, events); });
  }

  void drop(std::uint64_t id) {
    std::map<std::uint64_t, std::unique_ptr<Client>>::iterator it = clients.find(id);
    if (it == clients.end()) return;
    loop.unwatch(it->second->fd.get());
    clients.erase(it);
  }

  void serve(std::uint64_t id, std::uint32_t events) {
    std::map<std::uint64_t, std::unique_ptr<Client>>::iterator it = clients.find(id);
    if (it == clients.end()) return;
    Client& client = *it->second;
    if (events & EPOLLOUT) {
      flush(id, client);
      return;
    }
    char chunk[4096];
    ssize_t n = ::recv(client.fd.get(), chunk, sizeof chunk, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 || client.in.size() + static_cast<std::size_t>(n) > kMaxLine) {
      drop(id);
      return;
    }
    client.in.append(chunk, static_cast<std::size_t>(n));
    std::size_t end = 0;
    while ((end = client.in.find('\n')) != std::string::npos) {
      std::string line = client.in.substr(0, end);
      client.in.erase(0, end + 1);
      handle_line(id, line);
      if (clients.count(id) == 0) return;
    }
  }

  void handle_line(std::uint64_t id, const std::string& line) {
    nlohmann::json request = nlohmann::json::parse(line, nullptr, false);
    std::weak_ptr<Impl*> weak = self;
    Respond respond = [weak, id](const nlohmann::json& answer) {
      std::shared_ptr<Impl*> alive = weak.lock();
      if (alive && *alive != nullptr) (*alive)->answer(id, answer);
    };
    if (!request.is_object() || !request.contains("verb") || !request["verb"].is_string()) {
      respond(failure("a request is a JSON object with a text \"verb\""));
      return;
    }
    // A handler that reads a field of the wrong type must answer, not end the daemon.
    try {
      handler(request, respond);
    } catch (const nlohmann::json::exception& error) {
      respond(failure(std::string("the request is malformed: ") + error.what()));
    }
  }

  void answer(std::uint64_t id, const nlohmann::json& value) {
    std::map<std::uint64_t, std::unique_ptr<Client>>::iterator it = clients.find(id);
    if (it == clients.end()) return;
    it->second->out += value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    flush(id, *it->second);
  }

  void flush(std::uint64_t id, Client& client) {
    while (!client.out.empty()) {
      ssize_t n = ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) {
        loop.rewatch(client.fd.get(), EPOLLIN | EPOLLOUT);
        return;
      }
      if (n <= 0) {
        drop(id);
        return;
      }
      client.out.erase(0, static_cast<std::size_t>(n));
    }
    loop.rewatch(client.fd.get(), EPOLLIN);
  }
};

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;

Result<std::unique_ptr<ControlServer>> ControlServer::open(EventLoop& loop, const std::string& path,
                                                           Handler handler) {
  sockaddr_un address;
  if (!make_address(path, address))
    return invalid("the control socket's path " + path + " is longer than 107 bytes");
  if (Fd other = connect_to(address))
    return fail(ErrorKind::Conflict, "another daemon answers at " + path + "; stop it first");
  ::unlink(path.c_str());
  std::unique_ptr<Impl> impl = std::make_unique<Impl>(loop, path, std::move(handler));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Created 0600 from the first moment: permissions set after bind would leave a gap.
  mode_t before = ::umask(0177);
  int rc = fd ? ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) : -1;
  int error = errno;
  ::umask(before);
  if (rc != 0 || ::listen(fd.get(), 16) != 0)
    return fail(ErrorKind::Unavailable,
                "can't open the control socket " + path + ": " + system_error_text(error));
  impl->listener = std::move(fd);
  Impl* raw = impl.get();
  loop.watch(raw->listener.get(), EPOLLIN, [raw](std::uint32_t) { raw->accept_one(); });
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

Result<nlohmann::json> control_call(const std::string& path, const nlohmann::json& request,
                                    Duration timeout) {
  sockaddr_un address;
  if (!make_address(path, address)) return invalid("the path " + path + " is too long");
  Fd fd = connect_to(address);
  if (!fd) {
    if (errno == EACCES)
      return fail(ErrorKind::Denied, "no permission for " + path + "; run this as root");
    return fail(ErrorKind::Unavailable,
                "no daemon answers at " + path + " (" + system_error_text(errno) + ")");
  }
  std::string line;
  try {
    line = request.dump() + "\n";
  } catch (const nlohmann::json::type_error&) {  // JSON is UTF-8; what people type may not be
    return invalid("an argument is not UTF-8 text; type it again");
  }
  if (::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size()))
    return fail(ErrorKind::Unavailable, "can't write to " + path);
  Instant end = monotonic_now() + timeout;
  std::string in;
  while (in.find('\n') == std::string::npos) {
    Duration left = end - monotonic_now();
    if (left.us <= 0)
      return fail(ErrorKind::Unavailable, "the daemon at " + path + " did not answer in time");
    pollfd poller{fd.get(), POLLIN, 0};
    ::poll(&poller, 1, static_cast<int>(left.us / 1000 + 1));
    if ((poller.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
    char chunk[65536];
    ssize_t n = ::recv(fd.get(), chunk, sizeof chunk, 0);
    if (n <= 0)
      return fail(ErrorKind::Unavailable, "the daemon at " + path + " closed the connection");
    in.append(chunk, static_cast<std::size_t>(n));
  }
  nlohmann::json answer = nlohmann::json::parse(in.substr(0, in.find('\n')), nullptr, false);
  if (!answer.is_object() || !answer.contains("ok"))
    return fail(ErrorKind::Internal, "the daemon at " + path + " sent something unreadable");
  if (!answer["ok"].get<bool>())
    return invalid(answer.value("error", std::string("the daemon refused without a reason")));
  return answer;
}

}  // namespace ntm::host
