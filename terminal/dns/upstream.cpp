// See the header.
#include "terminal/dns/upstream.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "libntm/host/fd.hpp"
#include "libntm/host/udp_socket.hpp"
#include "terminal/dns/message.hpp"

namespace ntm::terminal::dns {

struct Upstream::Pending {
  std::uint64_t key = 0;
  std::vector<Endpoint> servers;
  std::size_t server = 0;
  int tries = 0;
  bool tcp = false;
  Bytes query;  // with the id that goes out
  std::uint16_t asked_id = 0;
  Done done;
  host::Fd socket;
  host::EventLoop::TimerId timer = 0;
  Bytes to_write;   // TCP
  Bytes received;   // TCP
};

Upstream::Upstream(host::EventLoop& loop, Random& random, std::uint32_t mark)
    : loop_(loop), random_(random), mark_(mark) {}

Upstream::~Upstream() {
  for (const auto& [key, p] : pending_) {
    if (p->socket) loop_.unwatch(p->socket.get());
    loop_.cancel(p->timer);
  }
}

void Upstream::set_servers(std::vector<Endpoint> servers) { servers_ = std::move(servers); }

void Upstream::set_zone(const Name& zone, std::vector<Endpoint> servers) {
  zone_ = zone;
  zone_servers_ = std::move(servers);
}

std::vector<Endpoint> Upstream::servers_for(const Name& name) const {
  std::vector<Endpoint> out;
  if (!zone_servers_.empty() && name.is_under(zone_)) out = zone_servers_;
  out.insert(out.end(), servers_.begin(), servers_.end());
  return out;
}

void Upstream::ask(const Name& name, Bytes query, bool tcp, Done done) {
  std::shared_ptr<Pending> p = std::make_shared<Pending>();
  p->servers = servers_for(name);
  p->done = std::move(done);
  p->tcp = tcp;
  if (p->servers.empty() || query.size() < kDnsHeader || pending_.size() >= kMaxUpstream) {
    loop_.post([p] { p->done(fail(ErrorKind::Unavailable, "no DNS server to ask")); });
    return;
  }
  p->asked_id = message_id(query);
  p->query = std::move(query);
  set_message_id(p->query, static_cast<std::uint16_t>(random_.u64()));
  p->key = next_++;
  pending_[p->key] = p;
  attempt(p);
}

void Upstream::attempt(const std::shared_ptr<Pending>& p) {
  if (p->socket) loop_.unwatch(p->socket.get());
  p->socket.reset();
  // A server of a family that has no route now is passed over at once.
  for (std::size_t i = 0; i < p->servers.size(); ++i) {
    const Endpoint& server = p->servers[(p->server + i) % p->servers.size()];
    int type = p->tcp ? SOCK_STREAM : SOCK_DGRAM;
    host::Fd fd(::socket(server.family() == Family::V4 ? AF_INET : AF_INET6,
                         type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) continue;
    if (mark_ != 0) (void)::setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark_, sizeof mark_);
    sockaddr_storage address{};
    unsigned length = 0;
    host::to_sockaddr(server, address, length);
    int connected = ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length);
    if (connected != 0 && errno != EINPROGRESS) continue;
    if (!p->tcp && ::send(fd.get(), p->query.data(), p->query.size(), 0) < 0) continue;
    p->server = (p->server + i) % p->servers.size();
    p->socket = std::move(fd);
    break;
  }
  ++p->tries;
  std::uint32_t events = EPOLLIN;
  if (p->tcp) {
    events = EPOLLIN | EPOLLOUT;
    p->received.clear();
    p->to_write = {static_cast<Byte>(p->query.size() >> 8), static_cast<Byte>(p->query.size())};
    p->to_write.insert(p->to_write.end(), p->query.begin(), p->query.end());
  }
  if (p->socket)
    loop_.watch(p->socket.get(), events, [this, p](std::uint32_t e) { on_readable(p, e); });
  p->timer = loop_.after(kUpstreamTry, [this, p] { next(p); });
}

void Upstream::next(const std::shared_ptr<Pending>& p) {
  if (pending_.count(p->key) == 0) return;
  loop_.cancel(p->timer);
  if (p->tries >= kUpstreamTries)
    return finish(p, fail(ErrorKind::Unavailable, "no DNS server answers"));
  p->server = (p->server + 1) % p->servers.size();
  attempt(p);
}

bool Upstream::accept_answer(const std::shared_ptr<Pending>& p, ByteView bytes) {
  if (bytes.size() < kDnsHeader || message_id(bytes) != message_id(p->query)) return false;
  Result<Message> answer = read_head(bytes);
  Result<Message> query = read_head(p->query);
  if (!answer || !answer->flags.response) return false;
  // Some errors come without the question.
  bool bare = answer->questions.empty() && answer->flags.rcode != kNoError;
  if (!bare && (!query || answer->questions != query->questions)) return false;
  Bytes out = to_bytes(bytes);
  set_message_id(out, p->asked_id);
  finish(p, std::move(out));
  return true;
}

void Upstream::on_readable(const std::shared_ptr<Pending>& p, std::uint32_t events) {
  if (p->tcp) return read_tcp(p, events);
  Byte buffer[kMaxMessage];
  for (int i = 0; i < 8 && p->socket; ++i) {
    ssize_t n = ::recv(p->socket.get(), buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return next(p);  // port unreachable and the like
    if (accept_answer(p, ByteView(buffer, static_cast<std::size_t>(n)))) return;
  }
}

void Upstream::read_tcp(const std::shared_ptr<Pending>& p, std::uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) return next(p);
  if ((events & EPOLLOUT) != 0 && !p->to_write.empty()) {
    ssize_t n = ::send(p->socket.get(), p->to_write.data(), p->to_write.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return next(p);
    if (n > 0) p->to_write.erase(p->to_write.begin(), p->to_write.begin() + n);
    if (p->to_write.empty()) loop_.rewatch(p->socket.get(), EPOLLIN);
  }
  if ((events & EPOLLIN) == 0) return;
  Byte buffer[16384];
  ssize_t n = ::recv(p->socket.get(), buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return next(p);
  p->received.insert(p->received.end(), buffer, buffer + n);
  if (p->received.size() < 2) return;
  std::size_t size = static_cast<std::size_t>((p->received[0] << 8) | p->received[1]);
  if (p->received.size() < size + 2) return;
  if (!accept_answer(p, ByteView(p->received).subspan(2, size))) next(p);
}

void Upstream::finish(const std::shared_ptr<Pending>& p, Result<Bytes> result) {
  loop_.cancel(p->timer);
  if (p->socket) loop_.unwatch(p->socket.get());
  p->socket.reset();
  pending_.erase(p->key);
  p->done(std::move(result));
}

}  // namespace ntm::terminal::dns
