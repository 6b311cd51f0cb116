// The terminal's engine: the door through which the service feeds events and takes effects.
//
//   AddressesChanged, SocketsOpened    -> registration over each family, handover of all tunnels
//   datapath events                    -> control messages, confirmations, silence, packets that
//                                         have no tunnel
//   LookupWanted, PeerRecords, ZoneRecord -> tunnels on the word of DNS
//   time                               -> retransmission, keep-alives, probes, rekeying
//
// One file an event family: engine.cpp (dispatch, registration), engine_direction.cpp (paper 4.3),
// engine_demand.cpp (look-ups, packets without a tunnel, pings), engine_handover.cpp (paper 4.5).
// After every call the caller takes the effects and asks for the next deadline.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "terminal/engine/directions.hpp"
#include "terminal/engine/directory.hpp"
#include "terminal/engine/registration.hpp"
#include "terminal/engine/tunnel.hpp"

namespace ntm::terminal {

// An application's question is held at most this long (docs/PROTOCOL.md 7).
constexpr Duration kHoldLookup = seconds(2);
// Tunnel Requests that came before their Route Direction: 4 x 192 bytes.
constexpr std::size_t kEarlyRequests = 4;
// Peers that may have a tunnel at once; see kMaxPaths for the arithmetic.
constexpr std::size_t kMaxTunnels = 512;
// Look-ups held at once: local applications only, about 100 bytes each.
constexpr std::size_t kMaxLookups = 4096;
// Records from DNS are good for starting a tunnel this long; a newer move is found by the DC.
constexpr Duration kRecordsFresh = seconds(3600);
// Route Directions answered lately (docs/PROTOCOL.md 3.4), one small record each.
constexpr std::size_t kMaxAnswered = 1024;
constexpr Duration kKeepAnswered = seconds(5);
constexpr Duration kPingWait = seconds(2);
// Longer than the stub tries a question.
constexpr Duration kQueryAtMost = seconds(6);

class Engine {
 public:
  Engine(const Settings& settings, SavedState saved, Random& random);
  ~Engine();

  void handle(Instant now, const SocketsOpened& event);
  void handle(Instant now, const AddressesChanged& event);
  void handle(Instant now, const datapath::Event& event);
  void handle(Instant now, const LookupWanted& event);
  void handle(Instant now, const PeerRecords& event);
  void handle(Instant now, const ZoneRecord& event);
  void handle(Instant now, const PingWanted& event);
  void handle(Instant now, const ForgetPeer& event);
  void handle(Instant now, const PathTraffic& event);
  void handle(Instant now, const Leave& event);
  void on_timer(Instant now);

  Instant next_deadline() const;
  std::vector<Effect> take_effects() { return context_.take(); }
  EngineStatus status() const;
  bool is_registered() const { return registration_.is_registered(); }
  bool has_left() const { return left_; }

 private:
  struct Lookup {
    std::uint64_t id = 0;
    Name name;
    Instant until;
    std::string problem;  // why no path will come
  };
  struct AnsweredRoute {
    std::uint8_t attempt = 0;
    wire::RouteAck ack;
    Instant made;
  };
  struct Wanted {
    wire::DirectionReason reason = wire::DirectionReason::New;
    std::optional<PathId> old_path;
    std::optional<Family> over;
  };
  // DNS was asked by us: on demand, or for the record that a Direction Request needs.
  struct Query {
    Instant asked;
    std::optional<Wanted> wanted;  // the direction that waits for it
    bool ahead = false;            // nothing waits for it
  };
  struct Ping {
    std::uint64_t id = 0;
    PathId path;
    Instant until;
  };

  // engine.cpp
  void begin(Instant now) { context_.now = now; }
  void end();  // settles tunnels, look-ups, interface
  void on_path_event(const datapath::Event& event);
  void on_control(const datapath::ControlReceived& received);
  void on_message(const DcLink::Incoming& incoming);
  void on_registration(const wire::RegistrationResponse& response, const DcLink::Incoming& from);
  void configure_interface();
  Tunnel* tunnel_of(PathId path);
  Tunnel* find_tunnel(const Name& name);
  Tunnel* make_tunnel(const Peer& peer);
  void add_path(Tunnel& tunnel, std::unique_ptr<Path> path, bool may_be_early);
  void remove_tunnel(const Name& name, bool unreachable);
  void settle_tunnels();
  void note_datapath(const datapath::SendFailed& event);

  // engine_direction.cpp
  void start_direction(const Name& name, wire::DirectionReason reason,
                       std::optional<PathId> old_path, std::optional<Family> over = {});
  bool lacks_record(const Peer& peer) const;
  bool query(const Name& name, std::optional<Wanted> wanted, bool ahead);
  void query_timers();
  void on_queried(const Name& name, const Query& query, const Result<Peer*>& peer);
  void on_route(const wire::RouteDirection& route, Family from);
  void on_route_as_initiator(const wire::RouteDirection& route);
  bool accept_key_of(const wire::RouteDirection& route, Directions::Pending& pending);
  wire::Status open_as_responder(const wire::RouteDirection& route);
  bool accepts_zone(const Name& zone) const;
  void on_direction_error(const wire::DirectionError& error);
  void direction_failed(const Name& peer, const std::string& why);
  void on_peer_name(const wire::PeerName& answer);
  void on_revoke(const wire::PathRevoke& revoke, Family from);
  void on_tunnel_message(const datapath::ControlReceived& received);
  void on_tunnel_hint(const datapath::ControlReceived& received);
  void replay_early();

  // engine_demand.cpp
  void on_no_tunnel(const datapath::NoTunnel& event);
  void on_idle(datapath::TunnelId tunnel);
  void on_inner(const datapath::InnerReceived& event);
  void on_unknown_path(const datapath::UnknownPath& event);
  void want_tunnel(Peer& peer);
  void settle_lookups();
  bool settle_lookup(Lookup& lookup);
  void fail_lookups(const Name& name, const std::string& why);
  void refuse(const VirtualAddresses& addresses);
  void ping_timers();

  Context context_;
  DcLink link_;
  Registration registration_;
  Directory directory_;
  Directions directions_;
  std::map<Name, std::unique_ptr<Tunnel>> tunnels_;
  std::unordered_map<PathId, Name> path_index_;
  std::deque<datapath::ControlReceived> early_;
  std::map<RequestId, AnsweredRoute> answered_;
  std::vector<Lookup> lookups_;
  std::map<std::uint32_t, Ping> pings_;           // by probe id
  std::map<Name, Query> querying_;
  std::optional<ConfigureInterface> interface_;   // as last told
  std::vector<std::string> own_left_out_;
  bool left_ = false;
};

}  // namespace ntm::terminal
