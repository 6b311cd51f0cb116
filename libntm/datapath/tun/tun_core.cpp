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

void TunCore::take_mail(Instant now, Produce& produce) {
  if (!mailbox_full) return;
  std::vector<Notice> mail;
  {
    std::lock_guard<std::mutex> guard(mailbox_lock);
    mail.swap(mailbox);
    mailbox_full = false;
  }
  SenderOutput out = produce.sending();
  for (const Notice& notice : mail) sender.notice(now, notice, out);
}

void TunCore::settle(Instant now, Produce& produce) {
  while (mailbox_full && sender_lock.try_lock()) {
    std::lock_guard<std::mutex> guard(sender_lock, std::adopt_lock);
    serve(now, produce, [](Sender&) {});
  }
}

void TunCore::post(Instant now, std::vector<Notice>& notices, Produce& produce) {
  if (notices.empty()) return;
  {
    std::lock_guard<std::mutex> guard(mailbox_lock);
    mailbox.insert(mailbox.end(), notices.begin(), notices.end());
    mailbox_full = true;
  }
  notices.clear();
  settle(now, produce);
}

void TunCore::send(Instant now, OutBatch& batch, std::size_t count, OuterSocket::Wait wait) {
  if (count == 0) return;
  std::shared_ptr<OuterSocket> through;
  for (std::size_t i = 0; i < count; ++i) {
    const OutRun& run = batch.runs()[i];
    if (through == nullptr || through->id() != run.outer.socket) through = socket(run.outer.socket);
    int error = EBADF;
    if (through != nullptr && through->family() == run.outer.remote.family())
      error = through->send(now, run.outer, batch.bytes(run), run.segment, wait);
    // A full buffer is an ordinary loss; a too long one is answered to the application, not here.
    if (error != 0 && error != EAGAIN && error != ENOBUFS && error != EMSGSIZE)
      events.send_failed(now, SendFailed{run.outer.socket, run.outer.remote, run.path, error});
  }
  batch.drop(count);
}

void TunCore::emit(Instant now, Produce& produce, OuterSocket::Wait wait) {
  send(now, produce.datagrams, produce.datagrams.runs().size(), wait);
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
