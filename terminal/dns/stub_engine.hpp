// The stub resolver without its sockets, pure: questions of applications, answers of the upstream
// resolver, NTM answers and the terminal engine's look-ups go in; what to send comes out.
//
//   question of A, AAAA (ANY)   asks upstream for A and AAAA and the NTM types at once; decides by
//                               the waiting rules; answers with virtual addresses or upstream's
//                               own bytes
//   question of SVCB, HTTPS     passed through; address hints are removed for NTM names
//   CD=1, other types, other    passed through byte for byte
//   classes and opcodes
//
// Questions for one name share what was asked for it. The terminal's answer about a name (plain,
// or NTM with its records) is remembered for a short time, so the second look-up costs nothing.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "terminal/dns/resolution.hpp"
#include "terminal/engine/types.hpp"

namespace ntm::terminal::dns {

using ClientId = std::uint64_t;    // one question of one application
using UpstreamId = std::uint64_t;  // one question to the upstream

// Bounds: local applications only, but a program may run wild. 2048 names x about 4 KB = 8 MB.
constexpr std::size_t kMaxNames = 2048;
constexpr std::size_t kMaxMemory = 8192;  // remembered names x about 300 bytes = 2.5 MB
constexpr std::uint32_t kAnswerTtl = 30;
// "No NTM records" is remembered for the zone's negative TTL within these; a silent authority for
// kSilentMemory.
constexpr Duration kPlainMemoryLeast = seconds(5);
constexpr Duration kPlainMemoryMost = seconds(300);
constexpr Duration kSilentMemory = seconds(60);
constexpr Duration kNtmMemory = seconds(kAnswerTtl);
constexpr Duration kClientPatience = seconds(10);

// ---- effects
struct AskUpstream {
  UpstreamId id = 0;
  Name name;
  Bytes query;   // with any message id; the sender replaces it
  bool tcp = false;
};
struct AskNtm {  // answered by on_ntm()
  Name name;
};
struct Reply {
  ClientId client = 0;
  Bytes message;
};
struct WantLookup {  // answered by on_lookup() with the same id
  std::uint64_t id = 0;
  PeerRecords records;
};
struct Step {  // for the event trace
  std::string event;
  std::vector<std::pair<std::string, std::string>> fields;
};
using StubEffect = std::variant<AskUpstream, AskNtm, Reply, WantLookup, Step>;

// Both NTM types of a name, as the asker found them.
struct NtmAnswer {
  Name name;             // as asked
  NtmState state = NtmState::Failed;
  PeerRecords records;   // name: the end of the CNAME chain
  std::vector<NewRecord> chain;
  Duration remember{};   // with None
};

class StubEngine {
 public:
  struct Rules {
    std::vector<Prefix> virtual_ranges4;
    // What the terminal knows of a name: its own zone and zones seen, or the name pinned itself.
    std::function<Knowledge(const Name&)> knowledge;
    // The address lies in a virtual prefix that this terminal knows (own zone, pinned zones).
    std::function<bool(const IpAddress&)> is_virtual;
    bool from_loopback_only = true;  // AD may be set
  };
  explicit StubEngine(Rules rules) : rules_(std::move(rules)) {}

  void on_question(Instant now, ClientId client, ByteView message, bool tcp);
  void on_upstream(Instant now, UpstreamId id, ByteView message);
  void on_upstream_failed(Instant now, UpstreamId id);
  void on_ntm(Instant now, const NtmAnswer& answer);
  void on_lookup(Instant now, const LookupReady& ready);
  void on_timer(Instant now);
  Instant next_deadline() const;
  void forget(const Name& name) { memory_.erase(name); }
  void forget_all() { memory_.clear(); }  // the network changed

  std::vector<StubEffect> take_effects() { return std::exchange(effects_, {}); }

 private:
  struct Client {
    ClientId id = 0;
    Message query;
    std::uint16_t type = 0;
    bool tcp = false;
    bool answered = false;
    std::size_t answer_slot = 0;  // which upstream question answers it
  };
  // An upstream question of this name. Equal questions (all but the id) share one.
  struct Upstream {
    UpstreamId id = 0;
    std::uint16_t type = 0;
    Bytes query;
    bool tcp = false;
    bool failed = false;
    std::optional<Message> answer;
    AddressFacts facts;
    Instant at;
  };
  struct Resolution {
    Name name;
    Instant started;
    Knowledge knowledge = Knowledge::Nothing;
    NtmState ntm = NtmState::Asked;
    NtmAnswer ntm_answer;
    std::vector<Client> clients;
    std::vector<Upstream> upstream;
    std::uint64_t lookup = 0;
    std::optional<LookupReady> ready;
    Instant wake = Instant::never();
  };
  struct Memory {
    NtmState state = NtmState::None;
    NtmAnswer answer;
    Instant until;
  };

  void pass_through(Instant now, ClientId client, const Message& query, bool tcp);
  Resolution& resolution_for(Instant now, const Name& name);
  std::size_t ask(Resolution& r, const Message& query, std::uint16_t type, bool tcp);
  void settle(Instant now, Resolution& r);
  void settle_client(Instant now, Resolution& r, Client& client);
  void answer_plain(Resolution& r, Client& client);
  void answer_virtual(Resolution& r, Client& client);
  void reply(Client& client, const Answer& answer);
  void give_up(Client& client);
  bool hides_virtual(const AddressFacts& facts) const;
  void remember(Instant now, const NtmAnswer& answer);
  void sweep();
  Progress progress_of(const Resolution& r, const Client& client) const;

  Rules rules_;
  std::uint64_t next_id_ = 1;
  std::map<Name, Resolution> names_;
  std::map<UpstreamId, Name> upstream_names_;
  std::map<std::uint64_t, Name> lookup_names_;
  // Passed through: upstream question -> application.
  std::map<UpstreamId, Client> passed_;
  std::map<Name, Memory> memory_;
  std::vector<StubEffect> effects_;
};

// Never an NTM name: single labels, localhost, .local, .arpa, names of services (_x._udp...).
bool may_be_ntm(const Name& name);

}  // namespace ntm::terminal::dns
