// The director's engine: registration, presence, directions, relays, federation. Pure: events and
// time in, effects out (architecture R1-R3). One object; its member functions are split by event
// family: dispatch.cpp (datagrams), sessions.cpp (sessions, reliable sending), directory.cpp (what
// other writers did, status), registration.cpp, presence.cpp, direction.cpp, answers.cpp (what CN,
// relays and other DCs say to a direction), relays.cpp, federation.cpp, strangers.cpp (first
// contact of other DCs), revocation.cpp.
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
constexpr Duration kRelayKeepAlive = seconds(5);     // relays are few: a lost one shows soon
constexpr Duration kRelayLease = seconds(20);        // a relay silent that long is not used
constexpr Duration kDirectionLife = seconds(30);     // state of one set-up
constexpr Duration kSessionGrace = seconds(30);      // an old session after a new one
constexpr std::uint32_t kPathLifetimeSeconds = 3600;
constexpr int kHintsPerSecond = 10'000;
// A terminal that missed its hint would notice the restart by its keep-alive, up to 20 s later.
constexpr int kHintTimes = 3;
constexpr Duration kHintAgain = seconds(1);
constexpr std::size_t kMaxPendingStrangers = 64;     // first contacts of DCs that wait for DNS
// Other zones' DCs that are remembered: 10,000 x about 1 KB = 10 MB.
constexpr std::size_t kMaxPeerDcs = 10'000;
// HS_RESPs kept so that a repeated HS_INIT gets the same one: 8,192 x at most 1.2 KB = 10 MB.
constexpr std::size_t kMaxKeptResponses = 8192;
constexpr Duration kKeepResponse = seconds(30);
// A source that proved by a cookie that it receives may be a NAT with a thousand terminals behind
// it that all come back after a restart: 500 a second (burst 1,000) cost 8 % of a core. In a fixed
// table of 1,024 slots x 24 bytes; two sources in one slot share it.
constexpr int kProvenPerSecond = 500;
constexpr std::size_t kProvenSlots = 1024;
// Paths that can still be revoked: 100,000 x about 400 bytes = 40 MB; the oldest are forgotten and
// end by their lifetime.
constexpr std::size_t kMaxLivePaths = 100'000;
constexpr int kRefusalNotesPerSecond = 5;  // strangers must not write our log
constexpr std::uint8_t kMaxAttempts = 6;  // replacing Route Directions of one request
// Route and Relay Directions are given up before MN's own request is: 16 s without a sample.
constexpr int kDirectionTries = 6;
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
    exchange::RttEstimator rtt;
  };
  using Mac1 = std::array<Byte, 16>;
  struct Arrival {  // an HS_INIT whose enc(s) opened
    exchange::OpenedInit opened;
    Mac1 mac1;
    Endpoint from;
    IpAddress local;
    std::size_t zone;  // index of ours
  };
  using ArrivalPtr = std::shared_ptr<Arrival>;
  struct PendingRegistration {
    wire::RegistrationRequest request;
    store::Location location;
    Endpoint from;
    IpAddress local;
    std::optional<SessionId> session;  // it came as CTRL
    ArrivalPtr arrival;                // it came as HS_INIT
    std::optional<TokenId> token;      // enrolment
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
    ArrivalPtr arrival;
  };
  // What is known of another zone's DC, whichever of our zones speaks to it.
  struct DcPeer {
    std::optional<PublicKey> pinned;
    bool listed = false;
    std::vector<Endpoint> endpoints;
    std::optional<PublicKey> resolved_key;
    std::optional<PublicKey> resolved_next;
    wire::DnssecState dnssec = wire::DnssecState::Unknown;
    std::optional<Instant> resolved_at;
    bool resolving = false;
    Bucket bucket;
  };
  // One of our zones and another's DC: each pair of zones has its own sessions, because a session
  // speaks for one zone.
  struct DcLink {
    std::size_t endpoint = 0;
    std::optional<SessionId> session;   // that we started
    std::optional<SessionId> incoming;  // the newest that they started
    std::unique_ptr<exchange::HandshakeInitiator> handshake;
    PublicKey asked_key;                // whom the handshake is for
    std::uint64_t counter_seen = 0;     // of 0-RTT payloads
    std::deque<wire::RouteDirection> queue;  // wait for DNS or the handshake
  };
  struct LinkKey {
    Name zone;
    std::size_t own_zone = 0;
    auto operator<=>(const LinkKey&) const = default;
  };
  struct Stranger {  // an HS_INIT of a DC whose key DNS must confirm first
    Name zone;
    ArrivalPtr arrival;
    wire::RouteDirection message;
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
    bool cn_unknown = false;  // its record hides where it is: its DC tells (Moved)
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
  // A foreign DC's Route Direction that we handed to our terminal, or refused.
  struct Forwarded {
    LinkKey link;
    RequestId foreign_request;
    Name cn;
    PathId path;
    std::optional<wire::RouteAck> answer;
    Instant made;
  };
  using ForeignRequest = std::pair<LinkKey, std::uint64_t>;
  // A path that both ends hold keys for, as far as this DC knows.
  struct LivePath {
    std::vector<PathId> paths;
    Name own;                   // our terminal
    Name other;
    std::optional<LinkKey> link;  // the other end's DC; none: it is ours too
    std::optional<Name> relay;
    Instant ends;
  };
  enum class Towards : std::uint8_t { Terminal, Relay, Dc };
  struct Target {
    Towards towards;
    Name name;
    std::size_t own_zone = 0;  // Dc only
    auto operator<=>(const Target&) const = default;
  };
  struct Outgoing {
    Target target;
    RequestId request;  // zero: an HS_INIT to a DC
    Bytes plaintext;
  };
  using OutgoingKey = std::pair<Target, std::uint64_t>;

  // ---- dispatch.cpp -------------------------------------------------------------------------
  void handle_init(Instant now, WallTime wall, const Datagram& datagram);
  bool proven_may_open(Instant now, const IpAddress& source);
  bool may_open(Instant now, const Datagram& datagram, exchange::HandshakeResponder& responder);
  void handle_opened(Instant now, WallTime wall, const ArrivalPtr& arrival);
  void handle_first(Instant now, WallTime wall, const ArrivalPtr& arrival, bool enrols,
                    wire::ControlMessage message);
  void first_registration(Instant now, WallTime wall, const ArrivalPtr& arrival,
                          wire::RegistrationRequest request);
  void handle_control(Instant now, WallTime wall, const Datagram& datagram);
  void handle_message(Instant now, WallTime wall, SessionEntry& session,
                      const wire::ControlMessage& message);
  void from_terminal(Instant now, WallTime wall, SessionEntry& session, TerminalEntry& entry,
                     const wire::ControlMessage& message);
  void from_relay(Instant now, SessionEntry& session, RelayEntry& entry,
                  const wire::ControlMessage& message);
  void from_dc(Instant now, SessionEntry& session, const wire::ControlMessage& message);
  bool key_still_valid(const SessionEntry& session) const;
  TerminalStatus status_of(const TerminalEntry& entry) const;

  // ---- sessions.cpp -------------------------------------------------------------------------
  // `id`: of the terminal or relay; the session's id hides it, so that a record of a session that
  // a restart took can still be answered with a hint.
  SessionId new_session_id(PeerKind kind, std::uint64_t id);
  std::uint32_t session_mask(std::uint32_t random_half) const;
  const PublicKey* key_behind(SessionId id, bool& of_dc) const;
  SessionEntry* find_session(const std::optional<SessionId>& id);
  // Adds it and, when confirmed, makes it the peer's session.
  SessionId adopt(Instant now, exchange::Session session, PeerKind kind, const Name& name,
                  std::size_t zone, const Endpoint& peer, const IpAddress& local, bool confirmed);
  void make_current(SessionId id);
  void forget_session(SessionId id);
  void forget_sessions_of(PeerKind kind, const Name& name);
  void sweep_sessions(Instant now);
  void send(const SessionEntry& to, Bytes datagram);
  bool send_message(const std::optional<SessionId>& session, const wire::ControlMessage& message);
  std::optional<SessionId> respond(Instant now, Arrival& arrival,
                                   const wire::ControlMessage& message, PeerKind kind,
                                   const Name& name, std::uint64_t id, bool confirmed);
  const Bytes* kept_response(Instant now, const Mac1& mac1);
  void keep_response(Instant now, const Mac1& mac1, Bytes datagram);
  void notify(Notify::Kind kind, const Name& subject, std::string text);
  std::uint64_t write(store::Batch batch);
  std::optional<std::size_t> zone_of(const Name& name) const;
  RequestId new_request_id();
  void send_reliably(Instant now, const Target& target, RequestId request,
                     const wire::ControlMessage& message);
  void track(Instant now, const Target& target, RequestId request, Bytes plaintext,
             const exchange::RttEstimator& rtt);
  void stop_sending(Instant now, const Target& target, RequestId request);
  std::optional<SessionId> session_towards(const Target& target) const;
  void send_again(Instant now, const Outgoing& outgoing, int attempt);
  void outgoing_failed(Instant now, const Outgoing& outgoing);

  // ---- registration.cpp ---------------------------------------------------------------------
  void registration(Instant now, WallTime wall, PendingRegistration pending, TerminalEntry& entry);
  bool acceptable(const wire::RegistrationRequest& request) const;
  store::Location locate(const TerminalEntry& entry, const PendingRegistration& pending,
                         WallTime wall) const;
  void submit(PendingRegistration pending, TerminalEntry& entry, WallTime wall);
  void registration_written(Instant now, WallTime wall, const Name& name, std::uint64_t tag,
                            const store::Completion& completion);
  void registration_applied(Instant now, WallTime wall, TerminalEntry& entry,
                            PendingRegistration& pending);
  void relay_written(Instant now, PendingRelay pending, const store::Completion& completion);
  wire::RegistrationResponse granted(const TerminalEntry& entry,
                                     const PendingRegistration& pending, WallTime wall) const;
  void answer_registration(Instant now, WallTime wall, PendingRegistration& pending,
                           TerminalEntry& entry, wire::Status status, std::uint64_t counter,
                           bool fresh);
  void enrol_terminal(Instant now, WallTime wall, const ArrivalPtr& arrival,
                      const wire::RegistrationRequest& request);

  // ---- presence.cpp -------------------------------------------------------------------------
  void keep_alive(Instant now, SessionEntry& session, const wire::KeepAlive& message);
  void touch(Instant now, TerminalEntry& entry);
  void expire_leases(Instant now);
  void write_offline(const TerminalEntry& entry);
  void send_due_hints(Instant now);
  void hint_unknown_session(Instant now, const Datagram& datagram, SessionId id);
  Bytes control_hint(const PublicKey& key) const;
  void sweep(Instant now);  // director_engine.cpp

  // ---- direction.cpp ------------------------------------------------------------------------
  void direction_request(Instant now, SessionEntry& session, const wire::DirectionRequest& request);
  void name_peer(Instant now, SessionEntry& session, const wire::DirectionRequest& request);
  void refuse_direction(Instant now, const Name& mn, RequestId request, wire::Status status);
  wire::Status fill_peer(Direction& direction) const;
  wire::Status fill_own_peer(Direction& direction, std::size_t own_zone) const;
  Reach reach_of(const store::TerminalView& view) const;
  Reach reach_of_asker(const TerminalEntry& entry, const SessionEntry& session,
                       const wire::DirectionRequest& request) const;
  Reach reach_of_record(const wire::DirectionRequest& request, VirtualAddresses& addresses,
                        PublicKey& key, bool& hidden) const;
  void plan(Instant now, Direction& direction);
  void send_directions(Instant now, Direction& direction);
  bool send_to_cn(Instant now, Direction& direction);
  wire::RouteDirection route_for(const Direction& direction, wire::Role role) const;
  Target target_of_cn(const Direction& direction) const;
  void end_direction(Instant now, Direction& direction, wire::Status status);
  void end_directions_of(Instant now, const Name& terminal);
  void replan(Instant now, Direction& direction);

  // ---- answers.cpp --------------------------------------------------------------------------
  void route_ack(Instant now, SessionEntry& session, const wire::RouteAck& ack);
  void forwarded_acked(Instant now, Forwarded& forwarded, const wire::RouteAck& ack);
  void direction_acked(Instant now, Direction& direction, const wire::RouteAck& ack);
  void relay_response(Instant now, SessionEntry& session, const wire::RelayResponse& response);

  // ---- relays.cpp ---------------------------------------------------------------------------
  void relay_attach(Instant now, Arrival& arrival, const wire::RelayAttach& request,
                    RelayEntry& entry);
  void enrol_relay(Instant now, WallTime wall, const ArrivalPtr& arrival,
                   const wire::RelayAttach& request);
  void direct_relay(Instant now, const Direction& direction);
  void delete_at_relay(Instant now, const Name& relay, const std::vector<PathId>& paths);
  std::vector<RelayOption> relay_options(Instant now, const Direction& direction,
                                         std::vector<Name>& names) const;
  bool is_usable(Instant now, const RelayEntry& entry) const;

  // ---- federation.cpp -----------------------------------------------------------------------
  void send_to_dc(Instant now, const LinkKey& key, wire::RouteDirection route);
  void flush_link(Instant now, const LinkKey& key, DcLink& link);
  void start_handshake(Instant now, const LinkKey& key, DcLink& link);
  void renew_link(Instant now, const LinkKey& key, Bytes plaintext);
  void fail_link(Instant now, const LinkKey& key, DcLink& link, wire::Status status);
  void handle_dc_response(Instant now, const Datagram& datagram);
  void handle_dc_hint(Instant now, const Datagram& datagram);
  void link_up(Instant now, const LinkKey& key, DcLink& link,
               exchange::HandshakeInitiator::Established done, const Datagram& datagram);
  bool is_fresh(Instant now, const DcPeer& peer) const;
  bool believes(Instant now, const DcPeer& peer, std::size_t own_zone, const PublicKey& key) const;
  void pin(const Name& zone, const PublicKey& key);
  void sweep_peers(Instant now);

  // ---- strangers.cpp ------------------------------------------------------------------------
  void first_contact(Instant now, Stranger stranger);
  void answer_stranger(Instant now, Stranger& stranger);
  void dc_route_direction(Instant now, SessionEntry& session, const wire::RouteDirection& route);
  wire::Status accept_route(Instant now, SessionEntry& session, const wire::RouteDirection& route,
                            wire::RouteAck& answer);
  bool has_moved(const store::TerminalView& cn, const wire::RouteDirection& route,
                 wire::RouteAck& answer) const;

  // ---- revocation.cpp -----------------------------------------------------------------------
  void remember_path(LivePath path);
  void forget_live_path(std::uint64_t id);
  std::optional<std::uint64_t> live_path(const Name& terminal, PathId path) const;
  void revoke_paths_of(Instant now, const Name& terminal, wire::RevokeReason reason);
  void dc_path_revoke(Instant now, SessionEntry& session, const wire::PathRevoke& revoke);
  void sweep_live_paths(Instant now);

  DirectorConfig config_;
  Random& random_;
  std::vector<std::unique_ptr<exchange::HandshakeResponder>> responders_;  // by zone
  std::vector<AddressPool> pools_;                                        // by zone
  exchange::SourceLimiter limiter_;
  std::uint64_t proven_salt_;
  std::vector<Bucket> proven_;
  Bucket handshake_load_;
  Bucket hint_load_;
  Bucket refusal_notes_;
  std::map<Mac1, std::pair<Bytes, Instant>> kept_responses_;
  std::deque<Mac1> kept_order_;
  exchange::AnswerCache answers_;

  std::map<Name, TerminalEntry> terminals_;
  std::unordered_map<std::uint64_t, Name> terminal_ids_;
  std::map<PublicKey, Name> terminal_keys_;
  std::map<IpAddress, Name> virtual_addresses_;
  std::set<std::pair<Instant, Name>> leases_;

  std::map<Name, RelayEntry> relays_;
  std::map<PublicKey, Name> relay_keys_;
  std::map<TokenId, store::Token> tokens_;
  std::map<Name, DcPeer> peers_;
  std::map<LinkKey, DcLink> links_;

  std::unordered_map<SessionId, SessionEntry> sessions_;
  std::map<std::uint64_t, Name> writes_;              // tag -> terminal
  std::map<std::uint64_t, PendingRelay> relay_writes_;
  std::map<std::uint64_t, Name> offline_writes_;      // tag -> terminal
  std::set<std::uint64_t> other_writes_;
  std::vector<Stranger> strangers_;

  std::map<std::uint64_t, Direction> directions_;     // by our request id
  std::map<std::pair<Name, std::uint64_t>, std::uint64_t> directions_by_mn_;
  std::map<std::uint64_t, Forwarded> forwarded_;      // by our request id
  std::map<ForeignRequest, std::uint64_t> forwarded_by_dc_;
  std::map<std::uint64_t, LivePath> live_paths_;      // oldest first
  std::set<std::pair<Name, std::uint64_t>> live_paths_by_terminal_;
  std::uint64_t next_live_path_ = 1;
  exchange::RequestTable<Outgoing> outgoing_;
  std::map<OutgoingKey, std::uint64_t> outgoing_keys_;
  std::uint64_t next_outgoing_ = 1;

  struct DueHint {
    Instant at;
    Endpoint to;
    PublicKey key;
    int times = 0;  // sent so far
  };
  // By time. At most two for each stored terminal, 100 bytes each.
  std::deque<DueHint> hints_due_;
  Instant next_hint_ = Instant::never();
  Instant next_sweep_ = Instant::never();
  std::uint64_t next_tag_ = 1;
  std::uint64_t sender_counter_;
  WallTime wall_;
  Instant latest_;  // of the newest event, for status
  Counters counters_;
  std::vector<Effect> effects_;
};

}  // namespace ntm::director
