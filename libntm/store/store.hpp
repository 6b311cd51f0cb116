// The Store: everything durable of a DC behind typed operations, no SQL above it.
//
// Shape (docs/ARCHITECTURE.md, Scale): writes are batches that never block, their completions come
// back per item; every operation is an upsert or a conditional one, so repeating it is harmless;
// ids and time come from the caller; "could not ask" is ErrorKind::Unavailable and never looks
// like an empty answer. SQLite and an in-memory double pass one conformance suite
// (tests/unit/store_conformance_test.cpp). No dependency on libntm/host: PowerDNS has no event
// loop of ours, so a store brings its own writer thread and a blocking wait.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "libntm/store/model.hpp"

namespace ntm::store {

// ---- writing -------------------------------------------------------------------------------

// Accepted only if `location.counter` is greater than the stored one; equal counter and equal
// digest is the same registration again and counts as applied (nothing is written); equal counter
// and another digest is Stale. No owner, no lease.
struct PutLocation {
  Location location;
};
// Flags only, when the stored counter is still `counter` (a lease that ended, a restart).
struct SetLocationFlags {
  TerminalId terminal;
  std::uint64_t counter = 0;
  std::uint8_t flags = 0;
};
// Create or replace settings; the SOA and NS rows are ordinary records. For a zone that exists,
// `serial` and `generation` are ignored: they belong to the store.
struct PutZone {
  Zone zone;
};
// With its ordinary rows; Conflict while it has terminals, which are deleted one by one.
struct DeleteZone {
  ZoneId zone;
};
// Creates the terminal, its name row and PTR rows where this store serves the reverse zone.
// Conflict if the name, id or a virtual address is taken by another terminal.
struct CreateTerminal {
  Terminal terminal;
};
// With its location, its name and PTR rows and the tokens that are for it.
struct DeleteTerminal {
  TerminalId terminal;
};
// Putting the same token again gives no burnt use back; the same id for something else: Conflict.
struct PutToken {
  Token token;
};
struct DeleteToken {
  TokenId token;
};
// Burns one use of the token and binds its subject to the key, in one transaction (protocol S2).
// Conflict if the token is unknown, used up or expired at `now`, or the subject is another.
// The same key again under a used-up token is applied (a lost response is answered again). A new
// key in place of another clears the location: the counter is per key. A key has one terminal.
struct BindTerminalKey {
  TokenId token;
  Name name;
  PublicKey key;
  WallTime now;
};
struct BindRelayKey {
  TokenId token;
  Name name;
  PublicKey key;
  WallTime now;
};
struct SetTerminalNextKey {
  TerminalId terminal;
  std::optional<PublicKey> next_key;
};
struct PutRelay {  // without a key: keeps the one that was bound
  Relay relay;
};
struct DeleteRelay {
  RelayId relay;
};
struct PutPeerDc {  // does not replace another key; Conflict then
  PeerDc peer;
};
struct DeletePeerDc {
  Name zone;
};
// All rows of (name, type) in the zone become exactly `rows`; type 255 (ANY) = all types. At a
// terminal's name A, AAAA, CNAME, NTMv4, NTMv6 are refused and the name row stays. An SOA with a
// greater serial raises Zone::serial (secondary: sets it) and counts as a bump. Empty
// non-terminals are written only if the caller gives them (type 0).
struct ReplaceRrset {
  ZoneId zone;
  Name name;
  std::uint16_t type = 0;
  std::vector<Record> rows;
};
// serial = max(stored + 1, at_least) if any ordinary row or location of the zone changed since
// the last bump; the ticker calls it at most once a second a zone.
struct BumpSerial {
  ZoneId zone;
  std::uint32_t at_least = 0;
};
// Leases the next block of `count` ids of the named counter to the caller: the completion's
// `granted_from` is the first. Blocks are never given out twice.
struct LeaseBlock {
  std::string counter;
  std::uint64_t count = 0;
};

using Operation =
    std::variant<PutLocation, SetLocationFlags, PutZone, DeleteZone, CreateTerminal,
                 DeleteTerminal, PutToken, DeleteToken, BindTerminalKey, BindRelayKey,
                 SetTerminalNextKey, PutRelay, DeleteRelay, PutPeerDc, DeletePeerDc,
                 ReplaceRrset, BumpSerial, LeaseBlock>;

struct Batch {
  std::vector<Operation> items;
  // All or nothing: if any item is not applied, none is, and the others report Conflict.
  bool atomic = false;
  // Refused as a whole (Conflict) unless each zone's generation is still this one.
  std::vector<std::pair<ZoneId, std::uint64_t>> unchanged_since;
};

enum class Outcome : std::uint8_t {
  Applied,
  Stale,        // PutLocation/SetLocationFlags: the stored counter is greater; see stored_counter
  Conflict,
  Unavailable,  // not written, the store says so (disk full, locked); try again
  Unknown,      // the commit may or may not have happened; repeat the operation
};
const char* to_string(Outcome outcome);

struct ItemResult {
  Outcome outcome = Outcome::Unknown;
  std::uint64_t stored_counter = 0;  // with Stale
  std::uint64_t granted_from = 0;    // with LeaseBlock applied
  std::string reason;                // one line for people, when not Applied
};

struct BatchId {
  std::uint64_t value = 0;
  auto operator<=>(const BatchId&) const = default;
};

// Opaque: which commits a reader has seen, and where a feed cursor stands. Persistable.
struct ChangeToken {
  Bytes raw;
  bool operator==(const ChangeToken&) const = default;
};

struct Completion {
  BatchId batch;
  std::vector<ItemResult> items;  // one per item, in order
  ChangeToken token;              // of the commit; a reader can wait_for() it
};

constexpr std::size_t kMaxBatchesInFlight = 16;

// ---- reading -------------------------------------------------------------------------------

enum class ChangeKind : std::uint8_t { Zone, Records, Terminal, Location, Token, Relay, PeerDc };

struct Change {
  ChangeKind kind;
  std::uint64_t id = 0;  // zone, terminal, token or relay id
  Name name;             // of the row(s), where that is what changed
};

struct Changes {
  std::vector<Change> items;
  ChangeToken next;
  bool too_old = false;  // the feed was trimmed past `after`: take a snapshot, then go on
};

// A terminal together with where it is; location is none until its first registration.
struct TerminalView {
  Terminal terminal;
  std::optional<Location> location;
};

// One reader, one thread. begin()/end() bracket a snapshot; outside a bracket every call sees the
// newest commit. All calls: an empty optional/vector means "does not exist"; ErrorKind::Unavailable
// means the store could not be asked.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual Result<void> begin() = 0;
  virtual void end() = 0;
  // Changes when, and only when, some commit happened since; cheap (SQLite: data_version).
  virtual Result<std::uint64_t> data_version() = 0;

  virtual Result<std::vector<Zone>> zones() = 0;
  virtual Result<std::optional<Zone>> zone(ZoneId id) = 0;
  virtual Result<std::optional<Zone>> zone_by_apex(const Name& apex) = 0;
  virtual Result<std::optional<Zone>> zone_of(const Name& name) = 0;  // longest matching apex

  // Ordinary rows, not derived ones; a terminal's name is a row of type 0. The SOA shows
  // Zone::serial. Whether anything is below a name: each_record() from it, stopped at once.
  virtual Result<std::vector<Record>> records(ZoneId zone, const Name& name) = 0;
  // Rows at or below `top` in canonical order, handed to `each` until it returns false.
  virtual Result<void> each_record(ZoneId zone, const Name& top,
                                   const std::function<bool(const Record&)>& each) = 0;

  virtual Result<std::optional<TerminalView>> terminal(const Name& name) = 0;
  virtual Result<std::optional<TerminalView>> terminal_by_id(TerminalId id) = 0;
  virtual Result<std::optional<TerminalView>> terminal_by_address(const IpAddress& address) = 0;
  virtual Result<void> each_terminal(ZoneId zone,
                                     const std::function<bool(const TerminalView&)>& each) = 0;

  virtual Result<std::optional<Token>> token(TokenId id) = 0;
  virtual Result<std::vector<Token>> tokens() = 0;
  virtual Result<std::vector<Relay>> relays() = 0;
  virtual Result<std::vector<PeerDc>> peer_dcs() = 0;

  virtual Result<ChangeToken> now_token() = 0;
  virtual Result<Changes> changes(const ChangeToken& after, std::size_t limit) = 0;
  // Blocks until this reader sees the commit or the time is over (false).
  virtual bool wait_for(const ChangeToken& token, Duration timeout) = 0;
};

class Store {
 public:
  virtual ~Store() = default;
  // Never blocks. nullopt when kMaxBatchesInFlight are submitted and not yet collected with
  // completions(): keep the batch, try later.
  virtual std::optional<BatchId> submit(Batch batch) = 0;
  // Completions since the last call, in commit order. Thread-safe.
  virtual std::vector<Completion> completions() = 0;
  // Called from the writer thread when completions wait or the feed moved; must only wake a loop.
  virtual void set_wakeup(std::function<void()> wakeup) = 0;
  // Blocking convenience for the PowerDNS module, the command line and tests: submits and waits.
  // After `timeout` the batch may still commit: every item says Unknown.
  virtual Completion submit_and_wait(Batch batch, Duration timeout) = 0;
  // Readers are opened read-only and are independent of the writer.
  virtual Result<std::unique_ptr<Reader>> open_reader() = 0;
};

}  // namespace ntm::store
