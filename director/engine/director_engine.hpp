// The director's engine: registration, presence, directions, relays, federation. Pure: events and
// time in, effects out (architecture R1-R3). One object; its member functions are split by event
// family: registration.cpp, presence.cpp, direction.cpp, relays.cpp, federation.cpp.
//
// The terminals are in memory (a few hundred bytes each); the store is the truth. Nothing is
// answered that is not committed: a registration waits in `writes_` until its completion comes.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "director/engine/address_pool.hpp"
#include "director/engine/effect.hpp"
#include "director/engine/route_policy.hpp"
#include "libntm/exchange/handshake.hpp"
#include "libntm/exchange/requests.hpp"
#include "libntm/store/store.hpp"
#include "libntm/wire/control.hpp"
#include "libntm/wire/ntm_record.hpp"

namespace ntm::director {

constexpr Duration kLease = seconds(180);
constexpr Duration kKeepAliveInterval = seconds(15);
constexpr Duration kRelayLease = seconds(60);        // a relay silent that long is not used
// Short, because a restarted DC is found by it; relays are few and have no battery.
constexpr Duration kRelayKeepAlive = seconds(5);
constexpr Duration kDirectionLife = seconds(30);     // state of one set-up
constexpr Duration kSessionGrace = seconds(30);      // an old session after a new one
constexpr std::uint32_t kPathLifetimeSeconds = 3600;
constexpr int kHintsPerSecond = 10'000;
constexpr std::size_t kMaxPendingStrangers = 64;     // first contacts of DCs that wait for DNS
constexpr int kDirectionsPerSecond = 20;             // per asking terminal, burst twice that
constexpr int kPeerDcPerSecond = 100;                // per foreign DC, burst twice that
constexpr int kPerTargetPerSecond = 10;              // towards one terminal

struct Datagram {
  IpAddress local;
  Endpoint from;
  ByteView bytes;
};

struct ZoneIdentity {
  store::Zone zone;
  crypto::KeyPair key;
  std::optional<crypto::KeyPair> next_key;
};

struct DirectorConfig {
  std::vector<ZoneIdentity> zones;
  Key32 reset_secret;
  std::uint64_t first_sender_counter = 1;  // wall clock at start: greater than any before
  std::size_t cookie_threshold = 2000;     // handshakes a second that switch cookies on
};

// What the store held at start.
struct Snapshot {
  std::vector<store::TerminalView> terminals;
  std::vector<store::Token> tokens;
  std::vector<store::Relay> relays;
  std::vector<store::PeerDc> peers;
};

struct DcAddress {
  std::vector<Endpoint> endpoints;
  PublicKey key;
  std::optional<PublicKey> next_key;
  wire::DnssecState dnssec = wire::DnssecState::Insecure;
};

// A token bucket; the unit that all limits share.
class Bucket {
 public:
  bool allow(Instant now, int per_second) {
    std::int64_t most = std::int64_t{per_second} * 2000;
    tokens_ = any_ ? std::min(most, tokens_ + (now - at_).us * per_second / 1000) : most;
    any_ = true;
    at_ = now;
    if (tokens_ < 1000) return false;
    tokens_ -= 1000;
    return true;
  }

 private:
  bool any_ = false;
  Instant at_;
  std::int64_t tokens_ = 0;  // thousandths
};

class DirectorEngine {
 public:
  DirectorEngine(const DirectorConfig& config, Random& random);
  ~DirectorEngine();

  void start(Instant now, WallTime wall, const Snapshot& snapshot);
  void handle(Instant now, WallTime wall, const Datagram& datagram);
  void store_completed(Instant now, WallTime wall, std::uint64_t tag,
                       const store::Completion& completion);
  void dc_resolved(Instant now, const Name& zone, const Result<DcAddress>& address);
  void on_timer(Instant now, WallTime wall);
  Instant next_deadline() const;
  std::vector<Effect> take_effects();

  // The change feed: what other writers (REST, `ntm dc`) did.
  void terminal_changed(Instant now, const store::TerminalView& view);
  void terminal_removed(Instant now, store::TerminalId id);
  void token_changed(TokenId id, const std::optional<store::Token>& token);
  void relays_changed(Instant now, const std::vector<store::Relay>& relays);
  void peers_changed(const std::vector<store::PeerDc>& peers);
  void zone_changed(const ZoneIdentity& identity);

  // Free virtual addresses for a terminal about to be created.
  VirtualAddresses allocate(store::ZoneId zone);
  void release(store::ZoneId zone, const VirtualAddresses& addresses);

  // For status and metrics.
  struct TerminalStatus {
    store::TerminalView view;
    bool has_session = false;
    std::optional<Duration> last_seen;
  };
  struct RelayStatusView {
    store::Relay relay;
    bool attached = false;
    std::vector<Endpoint> endpoints;
    std::uint32_t entries = 0;
    std::uint32_t capacity = 0;
  };
  struct Counters {
    std::uint64_t registrations = 0, stale = 0, refused = 0, directions = 0, directions_failed = 0,
                  handshakes = 0, limited = 0, hints = 0;
  };
  std::vector<TerminalStatus> terminals(Instant now) const;
  std::vector<TerminalStatus> terminals_named(const Name& name) const;  // none or one
  std::vector<RelayStatusView> relays(Instant now) const;
  const Counters& counters() const { return counters_; }

 private:
  // ---- who is who -------------------------------------------------------------------------
  enum class PeerKind : std::uint8_t { Terminal, Relay, Dc };
  struct SessionEntry {
    exchange::Session session;
    PeerKind kind;
    Name name;           // terminal, relay, or the other DC's zone
    std::size_t zone;    // index of ours
    Endpoint peer;       // source of the newest authentic record
    IpAddress local;
    bool confirmed;      // message 1 was fresh, or a record came: it may replace the old one
    Instant last;
  };
  struct PendingRegistration {
    wire::RegistrationRequest request;
    store::Location location;
    Endpoint from;
    IpAddress local;
    std::optional<SessionId> session;             // it came as CTRL
    std::shared_ptr<exchange::OpenedInit> init;   // it came as HS_INIT
    std::optional<TokenId> token;                 // enrolment
    PublicKey key;
    std::uint64_t tag = 0;
  };
  struct TerminalEntry {
    store::TerminalView view;
    std::optional<SessionId> session;
    Instant last_seen;
    Instant lease_ends = Instant::never();
    std::optional<PendingRegistration> writing;   // in the store's hands
    std::deque<PendingRegistration> waiting;      // at most kMaxWaiting
    Bucket directions;
    Bucket as_target;
  };
  struct RelayEntry {
    store::Relay relay;
    std::optional<SessionId> session;
    std::vector<Endpoint> endpoints;
    Key32 token_secret;
    std::uint64_t counter = 0;
    std::uint32_t entries = 0;
    std::uint32_t capacity = 0;
    Instant last_seen;
  };
  struct PendingRelay {  // an enrolment in the store's hands
    wire::RelayAttach request;
    Endpoint from;
    IpAddress local;
    std::shared_ptr<exchange::OpenedInit> init;
    PublicKey key;
    std::size_t zone = 0;
  };
  struct DcPeer {
    std::optional<PublicKey> pinned;
    bool listed = false;
    std::vector<Endpoint> endpoints;
    std::size_t endpoint = 0;
    std::optional<PublicKey> resolved_key;
    wire::DnssecState dnssec = wire::DnssecState::Unknown;
    Instant resolved_at;
    bool resolving = false;
    std::optional<SessionId> session;  // that we started
    std::unique_ptr<exchange::HandshakeInitiator> handshake;
    std::uint64_t counter_seen = 0;
    Bucket bucket;
    std::deque<std::pair<std::size_t, wire::RouteDirection>> queue;  // wait for DNS or handshake
  };
  struct Stranger {  // an HS_INIT of a DC whose key DNS must confirm first
    Name zone;
    std::size_t own_zone = 0;
    std::shared_ptr<exchange::OpenedInit> init;
    wire::RouteDirection message;
    Endpoint from;
    IpAddress local;
    Instant since;
  };
  // ---- set-ups under way ------------------------------------------------------------------
  struct Direction {
    RequestId mn_request;
    RequestId request;  // ours, towards relay and CN
    Name mn;
    Name cn;
    Name cn_zone;
    bool cn_is_ours = false;
    wire::DirectionRequest asked;
    Reach mn_reach;
    Reach cn_reach;
    PathId path;
    std::vector<PathId> spares;
    Key32 path_secret;
    Key16 leg_a;
    Key16 leg_b;
    Plan plan;
    std::vector<Name> relay_names;   // the options of the plan, in order
    std::set<Name> refused_relays;
    std::optional<Name> relay;
    std::uint8_t attempt = 0;
    VirtualAddresses cn_virtual;
    PublicKey cn_key;
    Instant made;
    bool ended = false;
  };
  // A foreign DC's Route Direction that we handed to our terminal.
  struct Forwarded {
    RequestId foreign_request;
    Name dc_zone;
    std::optional<SessionId> session;  // to answer on
    Name cn;
    std::vector<PathId> paths;
    Instant made;
  };
  enum class Towards : std::uint8_t { Terminal, Relay, Dc };
  struct Outgoing {
    Towards towards;
    Name name;
    RequestId request;
    Bytes plaintext;
  };
  using OutgoingKey = std::tuple<Towards, Name, std::uint64_t>;

  // ---- dispatch (director_engine.cpp) -------------------------------------------------------
  void handle_init(Instant now, WallTime wall, const Datagram& datagram);
  void handle_control(Instant now, WallTime wall, const Datagram& datagram);
  void handle_message(Instant now, WallTime wall, SessionEntry& session,
                      const wire::ControlMessage& message);
  SessionId new_session_id();
  SessionEntry* find_session(const std::optional<SessionId>& id);
  // Adds it and, when confirmed, makes it the peer's session.
  SessionId adopt(Instant now, exchange::Session session, PeerKind kind, const Name& name,
                  std::size_t zone, const Endpoint& peer, const IpAddress& local, bool confirmed);
  void make_current(SessionId id);
  void forget_session(SessionId id);
  void send(const SessionEntry& to, Bytes datagram);
  bool send_message(const std::optional<SessionId>& session, const wire::ControlMessage& message);
  void respond(Instant now, exchange::OpenedInit& init, const wire::ControlMessage& message,
               PeerKind kind, const Name& name, std::size_t zone, const Endpoint& to,
               const IpAddress& local, bool confirmed);
  void notify(Notify::Kind kind, const Name& subject, std::string text);
  std::uint64_t write(store::Batch batch);
  std::optional<std::size_t> zone_of(const Name& name) const;

  // ---- registration.cpp ---------------------------------------------------------------------
  void registration(Instant now, WallTime wall, PendingRegistration pending, TerminalEntry& entry,
                    std::size_t zone);
  bool acceptable(const wire::RegistrationRequest& request) const;
  store::Location locate(const TerminalEntry& entry, const PendingRegistration& pending,
                         WallTime wall) const;
  void submit(PendingRegistration pending, TerminalEntry& entry, WallTime wall);
  void registration_written(Instant now, WallTime wall, const Name& name,
                            const store::Completion& completion);
  void answer_registration(Instant now, WallTime wall, PendingRegistration& pending,
                           TerminalEntry& entry, wire::Status status, std::uint64_t counter,
                           bool fresh);
  void enrol_terminal(Instant now, WallTime wall, exchange::OpenedInit& init,
                      const wire::RegistrationRequest& request, std::size_t zone,
                      const Datagram& datagram);

  // ---- presence.cpp -------------------------------------------------------------------------
  void keep_alive(Instant now, SessionEntry& session, const wire::KeepAlive& message);
  void touch(Instant now, TerminalEntry& entry);
  void expire_leases(Instant now, WallTime wall);
  void send_due_hints(Instant now);
  void hint_unknown_session(const Datagram& datagram);
  Bytes control_hint(const PublicKey& key) const;

  // ---- direction.cpp ------------------------------------------------------------------------
  void direction_request(Instant now, SessionEntry& session, const wire::DirectionRequest& request);
  void refuse_direction(Instant now, const Name& mn, RequestId request, wire::Status status);
  wire::Status fill_peer(Direction& direction) const;
  Reach reach_of(const store::TerminalView& view) const;
  Reach reach_of_asker(const TerminalEntry& entry, const SessionEntry& session,
                       const wire::DirectionRequest& request) const;
  Reach reach_of_record(const wire::DirectionRequest& request, VirtualAddresses& addresses,
                        PublicKey& key) const;
  void plan(Instant now, Direction& direction);
  void send_directions(Instant now, Direction& direction);
  wire::RouteDirection route_for(const Direction& direction, wire::Role role) const;
  void end_direction(Instant now, Direction& direction, wire::Status status);
  void route_ack(Instant now, SessionEntry& session, const wire::RouteAck& ack);
  void direction_acked(Instant now, Direction& direction, const wire::RouteAck& ack);

  // ---- relays.cpp ---------------------------------------------------------------------------
  void relay_attach(Instant now, exchange::OpenedInit& init, const wire::RelayAttach& request,
                    RelayEntry& entry, std::size_t zone, const Datagram& datagram);
  void enrol_relay(Instant now, WallTime wall, std::shared_ptr<exchange::OpenedInit> init,
                   const wire::RelayAttach& request, std::size_t zone, const Datagram& datagram);
  void relay_response(Instant now, SessionEntry& session, const wire::RelayResponse& response);
  void direct_relay(Instant now, const Direction& direction, std::uint32_t lifetime);
  std::vector<RelayOption> relay_options(Instant now, const Direction& direction,
                                         std::vector<Name>& names) const;
  bool is_usable(Instant now, const RelayEntry& entry) const;

  // ---- federation.cpp -----------------------------------------------------------------------
  void send_to_dc(Instant now, std::size_t own_zone, const Name& zone, wire::RouteDirection route);
  void flush_dc(Instant now, const Name& zone, DcPeer& peer);
  void handle_dc_response(Instant now, const Datagram& datagram);
  void dc_route_direction(Instant now, SessionEntry& session, const wire::RouteDirection& route);
  wire::Status accept_route(Instant now, std::size_t own_zone, const Name& dc_zone, DcPeer& peer,
                            const wire::RouteDirection& route, std::optional<SessionId> session);
  void stranger(Instant now, Stranger stranger);
  void answer_stranger(Instant now, Stranger& stranger);
  bool believes(const DcPeer& peer, std::size_t own_zone, const PublicKey& key) const;
  void pin(const Name& zone, const PublicKey& key, WallTime wall);

  // ---- reliable sending (director_engine.cpp) -------------------------------------------------
  void send_reliably(Instant now, Towards towards, const Name& name, RequestId request,
                     const wire::ControlMessage& message);
  void stop_sending(Instant now, Towards towards, const Name& name, RequestId request);
  std::optional<SessionId> session_towards(Towards towards, const Name& name);
  void outgoing_failed(Instant now, const Outgoing& outgoing);

  DirectorConfig config_;
  Random& random_;
  std::vector<std::unique_ptr<exchange::HandshakeResponder>> responders_;  // by zone
  std::vector<AddressPool> pools_;                                        // by zone
  exchange::SourceLimiter limiter_;
  Bucket handshake_load_;
  exchange::AnswerCache answers_;
  exchange::RttEstimator rtt_;

  std::map<Name, TerminalEntry> terminals_;
  std::unordered_map<std::uint64_t, Name> terminal_ids_;
  std::map<PublicKey, Name> terminal_keys_;
  std::map<IpAddress, Name> virtual_addresses_;
  std::map<Endpoint, Name> outside_;  // last known outside endpoints, for hints
  std::set<std::pair<Instant, Name>> leases_;

  std::map<Name, RelayEntry> relays_;
  std::map<PublicKey, Name> relay_keys_;
  std::map<TokenId, store::Token> tokens_;
  std::map<Name, DcPeer> peers_;

  std::unordered_map<SessionId, SessionEntry> sessions_;
  std::map<std::uint64_t, Name> writes_;              // tag -> terminal
  std::map<std::uint64_t, PendingRelay> relay_writes_;
  std::set<std::uint64_t> other_writes_;
  std::vector<Stranger> strangers_;

  std::map<std::uint64_t, Direction> directions_;     // by our request id
  std::map<std::uint64_t, Forwarded> forwarded_;      // by our request id
  exchange::RequestTable<Outgoing> outgoing_;
  std::map<OutgoingKey, std::uint64_t> outgoing_keys_;
  std::uint64_t next_outgoing_ = 1;

  std::deque<std::pair<Endpoint, PublicKey>> hints_due_;
  Instant next_hint_ = Instant::never();
  Instant next_sweep_ = Instant::never();
  std::uint64_t next_tag_ = 1;
  std::uint64_t sender_counter_;
  WallTime wall_;
  Counters counters_;
  std::vector<Effect> effects_;
};

}  // namespace ntm::director
