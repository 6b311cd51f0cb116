// See tun_core.hpp.
#include "libntm/datapath/tun/tun_core.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include "libntm/datapath/inner_packet.hpp"

namespace ntm::datapath {

WakeFd::WakeFd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void WakeFd::wake() const {
  std::uint64_t one = 1;
  // It can only fail when it is readable already.
  if (::write(fd_.get(), &one, sizeof(one)) < 0) return;
}

void WakeFd::clear() const {
  std::uint64_t count = 0;
  if (::read(fd_.get(), &count, sizeof(count)) < 0) return;
}

std::shared_ptr<OuterSocket> TunCore::socket(SocketId id) {
  std::shared_lock<std::shared_mutex> guard(place_lock);
  for (const std::shared_ptr<OuterSocket>& each : sockets)
    if (each->id() == id) return each;
  return nullptr;
}

std::shared_ptr<TunDevice> TunCore::current_device() {
  std::shared_lock<std::shared_mutex> guard(place_lock);
  return device;
}

std::vector<std::shared_ptr<OuterSocket>> TunCore::current_sockets() {
  std::shared_lock<std::shared_mutex> guard(place_lock);
  return sockets;
}

void TunCore::emit(Instant now, Produce& produce, OuterSocket::Wait wait) {
  std::shared_ptr<OuterSocket> through;
  for (const OutRun& run : produce.datagrams.runs()) {
    if (through == nullptr || through->id() != run.outer.socket) through = socket(run.outer.socket);
    int error = EBADF;
    if (through != nullptr && through->family() == run.outer.remote.family())
      error = through->send(now, run.outer, produce.datagrams.bytes(run), run.segment, wait);
    // A full buffer is an ordinary loss; a too long one is answered to the application, not here.
    if (error != 0 && error != EAGAIN && error != ENOBUFS && error != EMSGSIZE)
      events.send_failed(now, SendFailed{run.outer.socket, run.outer.remote, run.path, error});
  }
  produce.datagrams.clear();
  if (!produce.inner.empty()) {
    std::shared_ptr<TunDevice> to = current_device();
    for (const Bytes& packet : produce.inner) {
      ByteView part = packet;
      if (to != nullptr) to->write(Offload{}, std::span<const ByteView>(&part, 1));
    }
    produce.inner.clear();
  }
  events.push(produce.events);
}

}  // namespace ntm::datapath
