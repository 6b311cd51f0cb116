// What the three threads of the tun datapath share, and under which lock.
//
// Locks. Leaves but for one pair: mailbox_lock may be taken under sender_lock, never the reverse.
//   sender_lock    sender           outbound: per TUN read; caller; inbound: only if it is free
//   mailbox_lock   mailbox          whoever has notices, whoever holds the sender
//   receiver_lock  receiver         inbound: per run of one Path ID; caller
//   relay_lock     relays           inbound: per run of one Path ID; outbound: timer; caller
//   place_lock     sockets, device  all read; only the caller writes
//   EventQueue     its own
// No system call is made under sender_lock, receiver_lock or relay_lock: datagrams are made under
// the lock and leave after it.
//
// The outbound thread holds sender_lock while it seals a super-packet (some 25 us). The inbound
// thread does not wait for that (a futex and two context switches for every few ACKs; measured 3 %
// of the time): it leaves its notices in the mailbox, and who holds the sender serves them. Who
// posts tries the lock afterwards; who unlocks looks into the mailbox afterwards; so one of the two
// sees every notice.
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

  std::mutex mailbox_lock;
  std::vector<Notice> mailbox;
  std::atomic<bool> mailbox_full{false};  // written under mailbox_lock

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
  // Runs `use` on the sender, then serves the mailbox; wakes the outbound thread when it must fire
  // a timer sooner.
  template <typename Use>
  void with_sender(Instant now, Produce& produce, Use use) {
    {
      std::lock_guard<std::mutex> guard(sender_lock);
      serve(now, produce, use);
    }
    settle(now, produce);
  }
  // Gives notices to the sender, now or when its present user is done with it.
  void post(Instant now, std::vector<Notice>& notices, Produce& produce);
  // Sends, writes and reports everything; leaves `produce` empty.
  void emit(Instant now, Produce& produce, OuterSocket::Wait wait);
  // Sends the first `count` runs.
  void send(Instant now, OutBatch& batch, std::size_t count, OuterSocket::Wait wait);

 private:
  // Under sender_lock.
  template <typename Use>
  void serve(Instant now, Produce& produce, Use use) {
    Instant before = sender.next_deadline();
    use(sender);
    take_mail(now, produce);
    if (sender.next_deadline() < before) wake_outbound.wake();
  }
  void take_mail(Instant now, Produce& produce);
  // Serves the mailbox as long as it is full and the sender free.
  void settle(Instant now, Produce& produce);
};

void run_outbound(TunCore& core);
void run_inbound(TunCore& core);

}  // namespace ntm::datapath
