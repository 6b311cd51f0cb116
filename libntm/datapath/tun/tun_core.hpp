// What the three threads of the tun datapath share, and under which lock.
//
// Locks (all leaves: none is taken while another is held, so there is no order to get wrong):
//   sender_lock    sender           outbound: per TUN read; inbound: once a batch; caller
//   receiver_lock  receiver         inbound: per run of one Path ID; caller
//   relay_lock     relays           inbound: per run of one Path ID; outbound: timer; caller
//   place_lock     sockets, device  all read; only the caller writes
//   EventQueue     its own
// No system call is made under sender_lock, receiver_lock or relay_lock: datagrams are made under
// the lock and leave after it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "libntm/datapath/receiver.hpp"
#include "libntm/datapath/relay_table.hpp"
#include "libntm/datapath/sender.hpp"
#include "libntm/datapath/tun/event_queue.hpp"
#include "libntm/datapath/tun/outer_socket.hpp"
#include "libntm/datapath/tun/tun_device.hpp"

namespace ntm::datapath {

// An eventfd that makes a thread look again.
class WakeFd {
 public:
  WakeFd();
  int fd() const { return fd_.get(); }
  void wake() const;
  void clear() const;

 private:
  host::Fd fd_;
};

// What one thread produced and has not given away yet. Owned by that thread.
struct Produce {
  OutBatch datagrams;
  std::vector<Bytes> inner;
  std::vector<Event> events;
  SenderOutput sending() { return {datagrams, inner, events}; }
};

struct TunCore {
  std::mutex sender_lock;
  Sender sender;

  std::mutex receiver_lock;
  Receiver receiver;

  std::mutex relay_lock;
  RelayTable relays;

  std::shared_mutex place_lock;
  std::vector<std::shared_ptr<OuterSocket>> sockets;
  std::shared_ptr<TunDevice> device;

  EventQueue events;
  WakeFd wake_outbound;
  WakeFd wake_inbound;
  std::atomic<bool> stop{false};

  std::shared_ptr<OuterSocket> socket(SocketId id);
  std::shared_ptr<TunDevice> current_device();
  std::vector<std::shared_ptr<OuterSocket>> current_sockets();
  // Runs `use` on the sender; wakes the outbound thread when it must fire a timer sooner.
  template <typename Use>
  void with_sender(Use use) {
    Instant before, after;
    {
      std::lock_guard<std::mutex> guard(sender_lock);
      before = sender.next_deadline();
      use(sender);
      after = sender.next_deadline();
    }
    if (after < before) wake_outbound.wake();
  }
  // Sends, writes and reports everything; leaves `produce` empty.
  void emit(Instant now, Produce& produce, OuterSocket::Wait wait);
};

void run_outbound(TunCore& core);
void run_inbound(TunCore& core);

}  // namespace ntm::datapath
