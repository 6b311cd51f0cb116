// The inbound thread: UDP -> (relay | open, coalesce -> TUN | control up). What one receive call
// gave is looked at in runs of one Path ID; a relay sends a run on as it is, merged as it came.
//
// The application's packets are written before the sender hears of them: an answer on its way out
// must not delay them.
#include <poll.h>

#include <memory>

#include "libntm/datapath/record.hpp"
#include "libntm/datapath/tun/tun_core.hpp"
#include "libntm/host/clock.hpp"

namespace ntm::datapath {
namespace {

class Inbound {
 public:
  explicit Inbound(TunCore& core) : core_(core) {}

  void run() {
    while (!core_.stop) {
      std::vector<std::shared_ptr<OuterSocket>> sockets = core_.current_sockets();
      std::vector<pollfd> wait{{core_.wake_inbound.fd(), POLLIN, 0}};
      for (const std::shared_ptr<OuterSocket>& socket : sockets)
        wait.push_back({socket->fd(), POLLIN, 0});
      if (::poll(wait.data(), wait.size(), -1) <= 0) continue;
      now_ = host::monotonic_now();
      if ((wait[0].revents & POLLIN) != 0) core_.wake_inbound.clear();
      for (std::size_t i = 0; i < sockets.size(); ++i) {
        if ((wait[i + 1].revents & POLLERR) != 0) take_errors(*sockets[i]);
        if ((wait[i + 1].revents & POLLIN) != 0) take(*sockets[i]);
      }
    }
  }

 private:
  void take(const OuterSocket& socket) {
    for (const Arrival& arrival : buffers_.receive(socket)) take(arrival);
    finish();
  }

  void take(const Arrival& arrival) {
    std::size_t at = 0;
    while (at < arrival.bytes.size()) {
      std::size_t size = std::min(arrival.segment, arrival.bytes.size() - at);
      ByteSpan datagram = arrival.bytes.subspan(at, size);
      if (!is_data(datagram)) {
        control(arrival.from, datagram);
        at += size;
        continue;
      }
      PathId path = path_of(datagram);
      std::size_t end = at + size;
      while (end < arrival.bytes.size()) {
        ByteView next = arrival.bytes.subspan(end, std::min(arrival.segment,
                                                            arrival.bytes.size() - end));
        if (!is_data(next) || path_of(next) != path) break;
        end += next.size();
      }
      data(arrival.from, path, arrival.bytes.subspan(at, end - at), arrival.segment);
      at = end;
    }
  }

  void control(const Outer& from, ByteView datagram) {
    std::optional<wire::DatagramType> type = wire::datagram_type(datagram);
    if (!type || *type == wire::DatagramType::Data) return;
    if (datagram.size() > wire::kMaxControlDatagram) return;
    produce_.events.push_back(ControlReceived{from.socket, from.remote, from.local,
                                              from.interface, to_bytes(datagram)});
  }

  // Datagrams of one Path ID, side by side.
  void data(const Outer& from, PathId path, ByteSpan run, std::size_t segment) {
    {
      std::lock_guard<std::mutex> guard(core_.receiver_lock);
      if (core_.receiver.has_path(path)) {
        ReceiverOutput out{packets_, notices_, produce_.events};
        for (ByteSpan rest = run; !rest.empty();) {
          ByteSpan datagram = rest.first(std::min(segment, rest.size()));
          core_.receiver.receive(now_, from, datagram, out);
          rest = rest.subspan(datagram.size());
        }
        opened_ = true;
        return;
      }
    }
    relay(from, path, run, segment);
  }

  void relay(const Outer& from, PathId path, ByteView run, std::size_t segment) {
    std::size_t count = (run.size() + segment - 1) / segment;
    RelayVerdict verdict;
    Outer to;
    {
      std::lock_guard<std::mutex> guard(core_.relay_lock);
      RelayDecision decision =
          core_.relays.forward(now_, from, path, count, run.size(), produce_.events);
      verdict = decision.verdict;
      if (decision.to != nullptr) to = *decision.to;
    }
    if (verdict == RelayVerdict::Forward) {
      std::shared_ptr<OuterSocket> socket = core_.socket(to.socket);
      if (socket == nullptr || socket->family() != to.remote.family()) return;
      int error = socket->send(now_, to, run, segment, OuterSocket::Wait::Yes);
      if (error != 0 && error != EAGAIN && error != ENOBUFS && error != EMSGSIZE)
        core_.events.send_failed(now_, SendFailed{to.socket, to.remote, path, error});
    } else if (verdict == RelayVerdict::NotHere && unknown_.allow(now_, from.remote.address)) {
      produce_.events.push_back(UnknownPath{path, from.socket, from.remote, from.local});
    }
  }

  void finish() {
    std::shared_ptr<TunDevice> device = packets_.empty() ? nullptr : core_.current_device();
    if (device != nullptr) {
      Coalescer& coalescer = device->takes_udp_super_packets() ? with_udp_ : without_udp_;
      for (const InnerDelivery& packet : packets_) coalescer.add(packet);
      coalescer.flush(*device);
    }
    packets_.clear();
    if (opened_) {
      std::lock_guard<std::mutex> guard(core_.receiver_lock);
      ReceiverOutput out{packets_, notices_, produce_.events};
      core_.receiver.finish(out);
      opened_ = false;
    }
    core_.post(now_, notices_, produce_);
    core_.emit(now_, produce_, OuterSocket::Wait::Yes);
  }

  void take_errors(OuterSocket& socket) {
    socket.drain_errors([&](const SocketError& error) {
      if (error.error == EMSGSIZE && error.mtu != 0) {
        std::uint16_t mtu = static_cast<std::uint16_t>(std::min<std::uint32_t>(error.mtu, 65535));
        core_.with_sender(now_, produce_, [&](Sender& sender) {
          sender.set_path_mtu(now_, error.remote.address, mtu);
        });
      } else if (error.error != EMSGSIZE) {
        core_.events.send_failed(now_, SendFailed{socket.id(), error.remote, {}, error.error});
      }
    });
  }

  TunCore& core_;
  ReceiveBuffers buffers_;
  Coalescer with_udp_{{true, true}};
  Coalescer without_udp_{{true, false}};
  std::vector<InnerDelivery> packets_;  // their memory is in buffers_, or the receiver's until its
                                        // next batch
  std::vector<Notice> notices_;
  bool opened_ = false;
  Produce produce_;
  SourceGate unknown_;
  Instant now_;
};

}  // namespace

void run_inbound(TunCore& core) { Inbound(core).run(); }

}  // namespace ntm::datapath
