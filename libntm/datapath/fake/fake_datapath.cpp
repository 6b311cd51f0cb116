// See fake_datapath.hpp.
#include "libntm/datapath/fake/fake_datapath.hpp"

#include <map>

#include "libntm/datapath/halves.hpp"
#include "libntm/datapath/receiver.hpp"
#include "libntm/datapath/record.hpp"
#include "libntm/datapath/relay_table.hpp"
#include "libntm/datapath/sender.hpp"
#include "libntm/datapath/source_gate.hpp"

namespace ntm::datapath {
namespace {

// Hands what the coalescer would write to TUN to the test as single packets with whole checksums.
Bytes complete(const InnerDelivery& delivery) {
  Bytes packet = to_bytes(delivery.packet);
  const InnerPacket& info = delivery.info;
  if (delivery.partial_sum && (info.is_tcp() || info.is_udp()))
    complete_checksum(packet, info.header_length, info.is_tcp() ? 16 : 6);
  return packet;
}

}  // namespace

struct FakeDatapath::State {
  Instant now;
  std::uint16_t next_port;
  std::uint32_t next_socket = 1;
  std::map<SocketId, Family> sockets;
  Output output;
  std::function<void()> wakeup;
  Sender sender;
  Receiver receiver;
  RelayTable relays;
  SourceGate unknown;
  OutBatch batch;
  std::vector<Bytes> inner;
  std::vector<Event> events;
  bool woken = false;

  SenderOutput sending() { return {batch, inner, events}; }

  // Everything that a step produced leaves now.
  void emit() {
    OutBatch ready;
    std::swap(ready, batch);
    for (const OutRun& run : ready.runs()) {
      ByteView rest = ready.bytes(run);
      while (!rest.empty()) {
        std::size_t size = std::min(run.segment, rest.size());
        send(run.outer, run.path, rest.first(size));
        rest = rest.subspan(size);
      }
    }
    if (!events.empty() && !woken && wakeup) {
      woken = true;
      wakeup();
    }
  }

  void send(const Outer& outer, PathId path, ByteView datagram) {
    std::map<SocketId, Family>::iterator socket = sockets.find(outer.socket);
    if (socket == sockets.end() || socket->second != outer.remote.family()) {
      events.push_back(SendFailed{outer.socket, outer.remote, path, EBADF});
      return;
    }
    if (output) output(outer, datagram);
  }

  void data(const Outer& from, ByteView datagram) {
    PathId path = path_of(datagram);
    if (!receiver.has_path(path)) {
      RelayDecision decision = relays.forward(now, from, path, 1, datagram.size(), events);
      if (decision.verdict == RelayVerdict::Forward) {
        batch.append(*decision.to, path, datagram);
      } else if (decision.verdict == RelayVerdict::NotHere &&
                 unknown.allow(now, from.remote.address)) {
        events.push_back(UnknownPath{path, from.socket, from.remote, from.local});
      }
      return;
    }
    Bytes copy = to_bytes(datagram);
    std::vector<InnerDelivery> packets;
    std::vector<Notice> notices;
    ReceiverOutput received{packets, notices, events};
    receiver.receive(now, from, copy, received);
    receiver.finish(received);
    for (const InnerDelivery& packet : packets) inner.push_back(complete(packet));
    SenderOutput out = sending();
    for (const Notice& notice : notices) sender.notice(now, notice, out);
  }
};

FakeDatapath::FakeDatapath(Instant now, std::uint16_t first_port)
    : state_(std::make_unique<State>()) {
  state_->now = now;
  state_->next_port = first_port;
}
FakeDatapath::~FakeDatapath() = default;

void FakeDatapath::set_output(Output output) { state_->output = std::move(output); }

Instant FakeDatapath::next_deadline() const {
  return std::min(state_->sender.next_deadline(), state_->relays.next_deadline());
}

void FakeDatapath::advance(Instant now) {
  State& s = *state_;
  while (next_deadline() <= now) {
    s.now = std::max(s.now, next_deadline());
    SenderOutput out = s.sending();
    s.sender.on_timer(s.now, out);
    s.relays.on_timer(s.now, s.events);
    s.emit();
  }
  s.now = std::max(s.now, now);
}

void FakeDatapath::deliver(SocketId socket, const Endpoint& from, const IpAddress& local,
                           ByteView datagram) {
  State& s = *state_;
  if (!s.sockets.contains(socket)) return;
  if (is_data(datagram))
    s.data(Outer{socket, from, local, 0}, datagram);
  else if (std::optional<wire::DatagramType> type = wire::datagram_type(datagram);
           type && *type != wire::DatagramType::Data)
    s.events.push_back(ControlReceived{socket, from, local, 0, to_bytes(datagram)});
  s.emit();
}

void FakeDatapath::inject_inner(ByteView packet) {
  State& s = *state_;
  std::optional<InnerPacket> info = parse_inner(packet);
  if (!info) {
    s.sender.count_malformed();
    return;
  }
  SenderOutput out = s.sending();
  s.sender.submit(s.now, packet, *info, Offload{}, out);
  s.emit();
}

std::vector<Bytes> FakeDatapath::take_inner() { return std::exchange(state_->inner, {}); }

void FakeDatapath::set_path_mtu(const IpAddress& remote, std::uint16_t mtu) {
  state_->sender.set_path_mtu(state_->now, remote, mtu);
}

Result<SocketInfo> FakeDatapath::open_socket(const SocketOptions& options) {
  State& s = *state_;
  SocketId id{s.next_socket++};
  s.sockets[id] = options.family;
  return SocketInfo{id, options.port != 0 ? options.port : s.next_port++};
}

void FakeDatapath::close_socket(SocketId socket) { state_->sockets.erase(socket); }

Result<InterfaceInfo> FakeDatapath::open_interface(const InterfaceOptions& options) {
  state_->sender.set_own_addresses(options.addresses);
  state_->receiver.set_own_addresses(options.addresses);
  return InterfaceInfo{options.name, 1};
}

Result<void> FakeDatapath::apply(const Change& change) {
  State& s = *state_;
  SenderOutput out = s.sending();
  Result<void> done;
  if (const SendReceiveState* state = std::get_if<SendReceiveState>(&change)) {
    std::optional<wire::ReceiveState> known = s.receiver.receive_state(state->about);
    if (!known) return invalid("no path " + to_string(state->about));
    done = s.sender.send_receive_state(s.now, state->tunnel, *known, out);
  } else if (std::holds_alternative<PutRelay>(change) ||
             std::holds_alternative<RemoveRelay>(change)) {
    done = s.relays.apply(s.now, change);
  } else {
    done = apply_to_halves(
        change, [&](const Change& c) { return s.sender.apply(s.now, c, out); },
        [&](const Change& c) { return s.receiver.apply(c); });
  }
  s.emit();
  return done;
}

Result<void> FakeDatapath::send_control(const Outer& outer, ByteView datagram) {
  State& s = *state_;
  std::map<SocketId, Family>::iterator socket = s.sockets.find(outer.socket);
  if (socket == s.sockets.end()) return invalid("no such socket");
  if (socket->second != outer.remote.family())
    return invalid("this socket is of the other address family");
  if (s.output) s.output(outer, datagram);
  return {};
}

std::vector<Event> FakeDatapath::events() {
  state_->woken = false;
  return std::exchange(state_->events, {});
}

void FakeDatapath::set_wakeup(std::function<void()> wakeup) { state_->wakeup = std::move(wakeup); }

std::optional<PathStatistics> FakeDatapath::statistics(PathId path) {
  PathStatistics out;
  bool known = state_->sender.add_statistics(path, out);
  known = state_->receiver.add_statistics(path, out) || known;
  known = known || state_->relays.add_statistics(path, out);
  return known ? std::optional<PathStatistics>(out) : std::nullopt;
}

}  // namespace ntm::datapath
