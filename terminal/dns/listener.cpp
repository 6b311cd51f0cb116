// See the header.
#include "terminal/dns/listener.hpp"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>

#include "libntm/host/fd.hpp"
#include "libntm/host/udp_socket.hpp"
#include "terminal/dns/message.hpp"

namespace ntm::terminal::dns {

struct Listener::Impl : std::enable_shared_from_this<Listener::Impl> {
  struct Connection {
    host::Fd socket;
    Bytes received;
    Bytes to_write;
    host::EventLoop::TimerId idle = 0;
  };
  host::EventLoop* loop = nullptr;
  Question on_question;
  std::optional<host::UdpSocket> udp;
  host::Fd tcp;
  std::uint16_t port = 0;
  std::map<std::uint64_t, Connection> connections;
  std::uint64_t next = 1;

  void read_udp() {
    std::weak_ptr<Impl> self = weak_from_this();
    udp->receive(64, [&](const host::UdpDatagram& datagram) {
      Endpoint from = datagram.from;
      IpAddress local = datagram.local;
      on_question(datagram.bytes, false, [self, from, local](ByteView answer) {
        std::shared_ptr<Impl> alive = self.lock();
        if (alive) (void)alive->udp->send(from, local, answer);
      });
    });
  }

  void accept_tcp() {
    host::Fd fd(::accept4(tcp.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd || connections.size() >= kMaxConnections) return;
    std::uint64_t id = next++;
    Connection& c = connections[id];
    c.socket = std::move(fd);
    loop->watch(c.socket.get(), EPOLLIN, [this, id](std::uint32_t e) { serve(id, e); });
    touch(id);
  }

  void touch(std::uint64_t id) {
    Connection& c = connections.at(id);
    loop->cancel(c.idle);
    c.idle = loop->after(kConnectionIdle, [this, id] { close(id); });
  }

  void close(std::uint64_t id) {
    std::map<std::uint64_t, Connection>::iterator it = connections.find(id);
    if (it == connections.end()) return;
    loop->cancel(it->second.idle);
    loop->unwatch(it->second.socket.get());
    connections.erase(it);
  }

  void serve(std::uint64_t id, std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) flush(id);
    if (connections.count(id) == 0 || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    Connection& c = connections.at(id);
    Byte buffer[16384];
    ssize_t n = ::recv(c.socket.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return close(id);
    touch(id);
    c.received.insert(c.received.end(), buffer, buffer + n);
    take_questions(id);
  }

  void take_questions(std::uint64_t id) {
    std::weak_ptr<Impl> self = weak_from_this();
    while (connections.count(id) != 0) {
      Connection& c = connections.at(id);
      if (c.received.size() < 2) return;
      std::size_t size = static_cast<std::size_t>((c.received[0] << 8) | c.received[1]);
      if (c.received.size() < size + 2) return;
      Bytes question(c.received.begin() + 2,
                     c.received.begin() + 2 + static_cast<std::ptrdiff_t>(size));
      c.received.erase(c.received.begin(),
                       c.received.begin() + 2 + static_cast<std::ptrdiff_t>(size));
      on_question(question, true, [self, id](ByteView answer) {
        std::shared_ptr<Impl> alive = self.lock();
        if (alive) alive->answer_tcp(id, answer);
      });
    }
  }

  void answer_tcp(std::uint64_t id, ByteView answer) {
    std::map<std::uint64_t, Connection>::iterator it = connections.find(id);
    if (it == connections.end() || answer.size() > kMaxMessage) return;
    Bytes& out = it->second.to_write;
    out.push_back(static_cast<Byte>(answer.size() >> 8));
    out.push_back(static_cast<Byte>(answer.size()));
    out.insert(out.end(), answer.begin(), answer.end());
    flush(id);
  }

  void flush(std::uint64_t id) {
    Connection& c = connections.at(id);
    if (!c.to_write.empty()) {
      ssize_t n = ::send(c.socket.get(), c.to_write.data(), c.to_write.size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return close(id);
      if (n > 0) c.to_write.erase(c.to_write.begin(), c.to_write.begin() + n);
    }
    loop->rewatch(c.socket.get(), c.to_write.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  }
};

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Listener::~Listener() {
  while (!impl_->connections.empty()) impl_->close(impl_->connections.begin()->first);
  if (impl_->udp) impl_->loop->unwatch(impl_->udp->fd());
  if (impl_->tcp) impl_->loop->unwatch(impl_->tcp.get());
}

std::uint16_t Listener::port() const { return impl_->port; }

Result<std::unique_ptr<Listener>> Listener::open(host::EventLoop& loop, const Endpoint& at,
                                                 Question on_question) {
  std::shared_ptr<Impl> impl = std::make_shared<Impl>();
  impl->loop = &loop;
  impl->on_question = std::move(on_question);
  Result<host::UdpSocket> udp = host::UdpSocket::open(at.family(), at.address, at.port);
  if (!udp) return pass(udp.error());
  impl->udp.emplace(std::move(*udp));
  impl->port = impl->udp->port();
  impl->tcp = host::Fd(::socket(at.family() == Family::V4 ? AF_INET : AF_INET6,
                                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int one = 1;
  (void)::setsockopt(impl->tcp.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (at.family() == Family::V6)
    (void)::setsockopt(impl->tcp.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  sockaddr_storage address{};
  unsigned length = 0;
  host::to_sockaddr({at.address, impl->port}, address, length);
  if (!impl->tcp || ::bind(impl->tcp.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(impl->tcp.get(), 64) != 0)
    return fail(ErrorKind::Unavailable, "can't listen on TCP " +
                                            to_string(Endpoint{at.address, impl->port}) + ": " +
                                            host::system_error_text(errno));
  Impl* raw = impl.get();
  loop.watch(raw->udp->fd(), EPOLLIN, [raw](std::uint32_t) { raw->read_udp(); });
  loop.watch(raw->tcp.get(), EPOLLIN, [raw](std::uint32_t) { raw->accept_tcp(); });
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

}  // namespace ntm::terminal::dns
