// The outbound thread: TUN -> Sender -> UDP, run to completion, and the timers of Sender and
// RelayTable. Packets are collected only while reading does not block, so nothing waits for more;
// but while there is more, a run that can still grow stays for the next super-packet's segments (48
// segments of one read don't fit one send, and a second send of three costs as much as the first).
#include <poll.h>

#include <memory>

#include "libntm/datapath/tun/tun_core.hpp"
#include "libntm/host/clock.hpp"

namespace ntm::datapath {
namespace {

constexpr std::size_t kReadSize = kVnetHeaderSize + 65536;
// One super-packet's worth leaves at once: by then a UDP_SEGMENT send is as good as it gets, and
// the far end can start to work.
constexpr std::size_t kSendAt = 48 * 1024;

class Outbound {
 public:
  explicit Outbound(TunCore& core) : core_(core), buffer_(new Byte[kReadSize]) {}

  void run() {
    while (!core_.stop) {
      now_ = host::monotonic_now();
      std::shared_ptr<TunDevice> device = core_.current_device();
      bool more = device != nullptr && read_some(*device);
      Instant deadline = fire_timers();
      if (more && produce_.inner.empty() && produce_.events.empty()) {
        core_.send(now_, produce_.datagrams, produce_.datagrams.full_runs(),
                   OuterSocket::Wait::Yes);
        continue;
      }
      core_.emit(now_, produce_, OuterSocket::Wait::Yes);
      if (!more) sleep(device.get(), deadline);
    }
  }

 private:
  // Reads until nothing waits (false) or enough is there to send (true).
  bool read_some(TunDevice& device) {
    for (;;) {
      std::size_t size = device.read(ByteSpan(buffer_.get(), kReadSize));
      if (size == 0) return false;
      take(ByteView(buffer_.get(), size));
      if (produce_.datagrams.used() >= kSendAt || produce_.inner.size() >= 64) return true;
    }
  }

  void take(ByteView read) {
    std::optional<InnerPacket> info;
    std::optional<Offload> offload;
    ByteView packet;
    if (read.size() > kVnetHeaderSize) {
      packet = read.subspan(kVnetHeaderSize);
      info = parse_inner(packet);
      if (info) offload = read_vnet_header(read, packet, *info);
    }
    core_.with_sender(now_, produce_, [&](Sender& sender) {
      SenderOutput out = produce_.sending();
      if (offload)
        sender.submit(now_, packet, *info, *offload, out);
      else
        sender.count_malformed();
    });
  }

  Instant fire_timers() {
    Instant next;
    core_.with_sender(now_, produce_, [&](Sender& sender) {
      SenderOutput out = produce_.sending();
      sender.on_timer(now_, out);
      next = sender.next_deadline();
    });
    std::lock_guard<std::mutex> guard(core_.relay_lock);
    core_.relays.on_timer(now_, produce_.events);
    return std::min(next, core_.relays.next_deadline());
  }

  void sleep(const TunDevice* device, Instant deadline) {
    pollfd wait[2] = {{core_.wake_outbound.fd(), POLLIN, 0},
                      {device != nullptr ? device->fd() : -1, POLLIN, 0}};
    timespec span{};
    timespec* limit = nullptr;
    if (deadline != Instant::never()) {
      std::int64_t us = std::max<std::int64_t>((deadline - host::monotonic_now()).us, 0);
      span = {us / 1'000'000, us % 1'000'000 * 1000};
      limit = &span;
    }
    if (::ppoll(wait, 2, limit, nullptr) <= 0) return;
    if ((wait[0].revents & POLLIN) != 0) core_.wake_outbound.clear();
  }

  TunCore& core_;
  std::unique_ptr<Byte[]> buffer_;
  Produce produce_;
  Instant now_;
};

}  // namespace

void run_outbound(TunCore& core) { Outbound(core).run(); }

}  // namespace ntm::datapath
