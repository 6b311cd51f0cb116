// See tun_datapath.hpp: the caller's side. Threads are started with all signals blocked, so that
// the daemon's event loop gets them.
#include "libntm/datapath/tun/tun_datapath.hpp"

#include <signal.h>

#include <algorithm>
#include <thread>

#include "libntm/datapath/halves.hpp"
#include "libntm/datapath/tun/tun_core.hpp"
#include "libntm/host/clock.hpp"

namespace ntm::datapath {
namespace {

class TunDatapath final : public Datapath {
 public:
  TunDatapath() {
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    outbound_ = std::thread([this] { run_outbound(core_); });
    inbound_ = std::thread([this] { run_inbound(core_); });
    (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~TunDatapath() override {
    core_.stop = true;
    core_.wake_outbound.wake();
    core_.wake_inbound.wake();
    outbound_.join();
    inbound_.join();
  }

  const char* kind() const override { return "tun"; }
  Result<SocketInfo> open_socket(const SocketOptions& options) override;
  void close_socket(SocketId socket) override;
  Result<InterfaceInfo> open_interface(const InterfaceOptions& options) override;
  Result<void> apply(const Change& change) override;
  Result<void> send_control(const Outer& outer, ByteView datagram) override;
  std::vector<Event> events() override { return core_.events.drain(); }
  void set_wakeup(std::function<void()> wakeup) override {
    core_.events.set_wakeup(std::move(wakeup));
  }
  std::optional<PathStatistics> statistics(PathId path) override;

 private:
  Result<void> apply_tunnel(Instant now, const Change& change);
  Result<void> send_state(Instant now, const SendReceiveState& change);
  void learn_mtu(Instant now, const Outer& outer);

  TunCore core_;
  std::uint32_t next_socket_ = 1;
  Produce produce_;  // of the caller's thread
  std::thread outbound_;
  std::thread inbound_;
};

Result<SocketInfo> TunDatapath::open_socket(const SocketOptions& options) {
  Result<std::shared_ptr<OuterSocket>> socket =
      OuterSocket::open(SocketId{next_socket_}, options);
  if (!socket) return pass(socket.error());
  SocketInfo info{SocketId{next_socket_++}, (*socket)->port()};
  {
    std::unique_lock<std::shared_mutex> guard(core_.place_lock);
    core_.sockets.push_back(std::move(*socket));
  }
  core_.wake_inbound.wake();
  return info;
}

void TunDatapath::close_socket(SocketId socket) {
  {
    std::unique_lock<std::shared_mutex> guard(core_.place_lock);
    std::erase_if(core_.sockets, [&](const std::shared_ptr<OuterSocket>& each) {
      return each->id() == socket;
    });
  }
  core_.wake_inbound.wake();
}

Result<InterfaceInfo> TunDatapath::open_interface(const InterfaceOptions& options) {
  std::shared_ptr<TunDevice> device = core_.current_device();
  if (device != nullptr) {
    Result<void> changed = device->change(options);
    if (!changed) return pass(changed.error());
  } else {
    Result<std::shared_ptr<TunDevice>> opened = TunDevice::open(options);
    if (!opened) return pass(opened.error());
    device = std::move(*opened);
    std::unique_lock<std::shared_mutex> guard(core_.place_lock);
    core_.device = device;
  }
  core_.with_sender(host::monotonic_now(), produce_,
                    [&](Sender& sender) { sender.set_own_addresses(options.addresses); });
  {
    std::lock_guard<std::mutex> guard(core_.receiver_lock);
    core_.receiver.set_own_addresses(options.addresses);
  }
  core_.wake_outbound.wake();
  return device->info();
}

// The route's MTU is known before the first packet is lost to it; what ICMP tells comes later.
void TunDatapath::learn_mtu(Instant now, const Outer& outer) {
  std::shared_ptr<OuterSocket> socket = core_.socket(outer.socket);
  if (socket == nullptr || socket->family() != outer.remote.family()) return;
  std::uint16_t mtu = socket->route_mtu(outer);
  if (mtu == 0) return;
  core_.with_sender(now, produce_,
                    [&](Sender& sender) { sender.set_path_mtu(now, outer.remote.address, mtu); });
}

Result<void> TunDatapath::send_state(Instant now, const SendReceiveState& change) {
  std::optional<wire::ReceiveState> state;
  {
    std::lock_guard<std::mutex> guard(core_.receiver_lock);
    state = core_.receiver.receive_state(change.about);
  }
  if (!state) return invalid("no path " + to_string(change.about));
  Result<void> done;
  core_.with_sender(now, produce_, [&](Sender& sender) {
    SenderOutput out = produce_.sending();
    done = sender.send_receive_state(now, change.tunnel, *state, out);
  });
  return done;
}

Result<void> TunDatapath::apply_tunnel(Instant now, const Change& change) {
  return apply_to_halves(
      change,
      [&](const Change& each) {
        Result<void> done;
        core_.with_sender(now, produce_, [&](Sender& sender) {
          SenderOutput out = produce_.sending();
          done = sender.apply(now, each, out);
        });
        return done;
      },
      [&](const Change& each) {
        std::lock_guard<std::mutex> guard(core_.receiver_lock);
        return core_.receiver.apply(each);
      });
}

Result<void> TunDatapath::apply(const Change& change) {
  Instant now = host::monotonic_now();
  Result<void> done;
  if (const SendReceiveState* state = std::get_if<SendReceiveState>(&change)) {
    done = send_state(now, *state);
  } else if (std::holds_alternative<PutRelay>(change) ||
             std::holds_alternative<RemoveRelay>(change)) {
    std::lock_guard<std::mutex> guard(core_.relay_lock);
    done = core_.relays.apply(now, change);
  } else {
    done = apply_tunnel(now, change);
  }
  if (done) {
    if (const PutPath* put = std::get_if<PutPath>(&change); put != nullptr && put->outer)
      learn_mtu(now, *put->outer);
    if (const MovePath* move = std::get_if<MovePath>(&change)) learn_mtu(now, move->outer);
  }
  core_.emit(now, produce_, OuterSocket::Wait::No);
  return done;
}

Result<void> TunDatapath::send_control(const Outer& outer, ByteView datagram) {
  std::shared_ptr<OuterSocket> socket = core_.socket(outer.socket);
  if (socket == nullptr) return invalid("no such socket");
  if (socket->family() != outer.remote.family())
    return invalid("this socket is of the other address family");
  int error = socket->send(host::monotonic_now(), outer, datagram, datagram.size(),
                           OuterSocket::Wait::No);
  if (error == 0) return {};
  return fail(ErrorKind::Unavailable, "sending to " + to_string(outer.remote) +
                                          " failed: " + host::system_error_text(error));
}

std::optional<PathStatistics> TunDatapath::statistics(PathId path) {
  PathStatistics out;
  bool known = false;
  {
    std::lock_guard<std::mutex> guard(core_.sender_lock);
    known = core_.sender.add_statistics(path, out);
  }
  {
    std::lock_guard<std::mutex> guard(core_.receiver_lock);
    known = core_.receiver.add_statistics(path, out) || known;
  }
  if (!known) {
    std::lock_guard<std::mutex> guard(core_.relay_lock);
    known = core_.relays.add_statistics(path, out);
  }
  return known ? std::optional<PathStatistics>(out) : std::nullopt;
}

}  // namespace

Result<std::unique_ptr<Datapath>> make_tun_datapath() {
  return std::unique_ptr<Datapath>(std::make_unique<TunDatapath>());
}

}  // namespace ntm::datapath
