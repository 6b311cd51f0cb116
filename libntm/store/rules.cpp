// The rules of locations, enrolment, relays, peers and leases. Those of zones, records and the
// life of a terminal are in rules_zone.cpp.
#include "libntm/store/rules.hpp"

#include <limits>

#include "libntm/store/outcome.hpp"
#include "libntm/store/rules_zone.hpp"

namespace ntm::store {

namespace {

constexpr std::size_t kMaxCounterName = 64;

FeedItem location_item(ZoneId zone, TerminalId id) {
  return {{ChangeKind::Location, id.value, {}}, zone, true};
}
FeedItem terminal_item(const Terminal& terminal) {
  return {{ChangeKind::Terminal, terminal.id.value, terminal.name}, terminal.zone, true};
}
FeedItem plain_item(ChangeKind kind, std::uint64_t id, Name name) {
  return {{kind, id, std::move(name)}, {}, false};
}

ItemResult apply_one(const PutLocation& op, Rows& rows, Effects& effects) {
  const Location& location = op.location;
  std::optional<LocationHead> head = rows.location_head(location.terminal);
  if (!head) return conflict("no terminal has the id " + to_string(location.terminal));
  if (head->has_location && location.counter <= head->counter) {
    bool same = location.counter == head->counter && location.digest == head->digest;
    return same ? applied() : stale(head->counter);
  }
  rows.put_location(location);
  effects.items.push_back(location_item(head->zone, location.terminal));
  return applied();
}

ItemResult apply_one(const SetLocationFlags& op, Rows& rows, Effects& effects) {
  std::optional<LocationHead> head = rows.location_head(op.terminal);
  if (!head) return conflict("no terminal has the id " + to_string(op.terminal));
  if (!head->has_location || head->counter < op.counter)
    return conflict("the terminal has no location with that counter");
  if (head->counter > op.counter) return stale(head->counter);
  std::optional<Location> location = rows.location(op.terminal);
  if (!location || location->flags == op.flags) return applied();
  location->flags = op.flags;
  rows.put_location(*location);
  effects.items.push_back(location_item(head->zone, op.terminal));
  return applied();
}

// A repeated PutToken must not give a burnt use back, so the uses left are the stored ones.
ItemResult apply_one(const PutToken& op, Rows& rows, Effects& effects) {
  const Token& token = op.token;
  if (token.id.is_zero()) return conflict("a token needs an id other than zero");
  if (token.uses_left == 0) return conflict("a new token needs at least one use");
  StoredToken next{token, {}};
  if (std::optional<StoredToken> stored = rows.token(token.id)) {
    if (stored->token.purpose != token.purpose || stored->token.subject != token.subject ||
        !(stored->token.psk == token.psk))
      return conflict("the token id " + to_string(token.id) + " is taken");
    if (stored->token.expires == token.expires) return applied();
    next.token.uses_left = stored->token.uses_left;
    next.bound_key = stored->bound_key;
  }
  rows.put_token(next);
  effects.items.push_back(plain_item(ChangeKind::Token, token.id.value, token.subject));
  return applied();
}

ItemResult apply_one(const DeleteToken& op, Rows& rows, Effects& effects) {
  std::optional<StoredToken> stored = rows.token(op.token);
  if (!stored) return applied();
  rows.erase_token(op.token);
  effects.items.push_back(plain_item(ChangeKind::Token, op.token.value, stored->token.subject));
  return applied();
}

enum class TokenUse { Burn, Repeat, Refuse };
struct TokenVerdict {
  TokenUse use = TokenUse::Refuse;
  std::string reason;
  StoredToken token;
};

// One use of the token for `name` with `key`; `present` is the key the subject has now. The same
// request again (its answer was lost) finds its own key bound and must not burn a second use.
TokenVerdict use_token(Rows& rows, TokenId id, TokenPurpose purpose, const Name& name,
                       const PublicKey& key, const std::optional<PublicKey>& present,
                       WallTime now) {
  std::optional<StoredToken> stored = rows.token(id);
  if (!stored || stored->token.purpose != purpose)
    return {TokenUse::Refuse, "no such enrolment token", {}};
  if (stored->token.subject != name)
    return {TokenUse::Refuse, "the enrolment token is for another name", {}};
  if (stored->bound_key == key && present == key) return {TokenUse::Repeat, {}, *stored};
  if (stored->token.uses_left == 0) return {TokenUse::Refuse, "the enrolment token is used up", {}};
  if (stored->token.expires <= now)
    return {TokenUse::Refuse, "the enrolment token has expired", {}};
  stored->token.uses_left -= 1;
  stored->bound_key = key;
  return {TokenUse::Burn, {}, *stored};
}

void burn(const StoredToken& token, Rows& rows, Effects& effects) {
  rows.put_token(token);
  effects.items.push_back(plain_item(ChangeKind::Token, token.token.id.value, token.token.subject));
}

// A new key means a new device: the place and the counter of the old one say nothing about it
// (docs/PROTOCOL.md 3: the counter is per key).
ItemResult apply_one(const BindTerminalKey& op, Rows& rows, Effects& effects) {
  std::optional<Terminal> terminal = rows.terminal_by_name(op.name);
  if (!terminal) return conflict("no terminal is called " + op.name.text());
  TokenVerdict verdict =
      use_token(rows, op.token, TokenPurpose::Terminal, op.name, op.key, terminal->key, op.now);
  if (verdict.use == TokenUse::Refuse) return conflict(verdict.reason);
  if (verdict.use == TokenUse::Repeat) return applied();
  std::optional<Terminal> holder = rows.terminal_by_key(op.key);
  if (holder && holder->id != terminal->id)
    return conflict("the key belongs to " + holder->name.text());
  burn(verdict.token, rows, effects);
  if (terminal->key == op.key) return applied();
  bool replaced = terminal->key.has_value();
  terminal->key = op.key;
  terminal->next_key.reset();
  rows.put_terminal(*terminal);
  effects.items.push_back(terminal_item(*terminal));
  if (replaced) {
    rows.erase_location(terminal->id);
    effects.items.push_back(location_item(terminal->zone, terminal->id));
  }
  return applied();
}

ItemResult apply_one(const BindRelayKey& op, Rows& rows, Effects& effects) {
  std::optional<Relay> relay = rows.relay_by_name(op.name);
  if (!relay) return conflict("no relay is called " + op.name.text());
  TokenVerdict verdict =
      use_token(rows, op.token, TokenPurpose::Relay, op.name, op.key, relay->key, op.now);
  if (verdict.use == TokenUse::Refuse) return conflict(verdict.reason);
  if (verdict.use == TokenUse::Repeat) return applied();
  burn(verdict.token, rows, effects);
  if (relay->key == op.key) return applied();
  relay->key = op.key;
  rows.put_relay(*relay);
  effects.items.push_back(plain_item(ChangeKind::Relay, relay->id.value, relay->name));
  return applied();
}

ItemResult apply_one(const SetTerminalNextKey& op, Rows& rows, Effects& effects) {
  std::optional<Terminal> terminal = rows.terminal(op.terminal);
  if (!terminal) return conflict("no terminal has the id " + to_string(op.terminal));
  if (terminal->next_key == op.next_key) return applied();
  terminal->next_key = op.next_key;
  rows.put_terminal(*terminal);
  effects.items.push_back(terminal_item(*terminal));
  return applied();
}

// A relay given without a key keeps the one it was enrolled with.
ItemResult apply_one(const PutRelay& op, Rows& rows, Effects& effects) {
  Relay relay = op.relay;
  std::optional<Relay> named = rows.relay_by_name(relay.name);
  if (named && named->id != relay.id)
    return conflict("another relay is called " + relay.name.text());
  std::optional<Relay> stored = rows.relay(relay.id);
  if (stored && !relay.key) relay.key = stored->key;
  if (stored == relay) return applied();
  rows.put_relay(relay);
  effects.items.push_back(plain_item(ChangeKind::Relay, relay.id.value, relay.name));
  return applied();
}

ItemResult apply_one(const DeleteRelay& op, Rows& rows, Effects& effects) {
  std::optional<Relay> stored = rows.relay(op.relay);
  if (!stored) return applied();
  erase_tokens_of(stored->name, TokenPurpose::Relay, rows, effects);
  rows.erase_relay(op.relay);
  effects.items.push_back(plain_item(ChangeKind::Relay, op.relay.value, stored->name));
  return applied();
}

// First seen stays first seen, and what the administrator listed is not unlisted by seeing it.
ItemResult apply_one(const PutPeerDc& op, Rows& rows, Effects& effects) {
  PeerDc peer = op.peer;
  std::optional<PeerDc> stored = rows.peer_dc(peer.zone);
  if (stored && stored->key != peer.key)
    return conflict("another key is pinned for " + peer.zone.text());
  if (stored) {
    peer.first_seen = stored->first_seen;
    peer.listed = peer.listed || stored->listed;
    if (*stored == peer) return applied();
  }
  rows.put_peer_dc(peer);
  effects.items.push_back(plain_item(ChangeKind::PeerDc, 0, peer.zone));
  return applied();
}

ItemResult apply_one(const DeletePeerDc& op, Rows& rows, Effects& effects) {
  if (!rows.peer_dc(op.zone)) return applied();
  rows.erase_peer_dc(op.zone);
  effects.items.push_back(plain_item(ChangeKind::PeerDc, 0, op.zone));
  return applied();
}

ItemResult apply_one(const LeaseBlock& op, Rows& rows, Effects&) {
  if (op.counter.empty() || op.counter.size() > kMaxCounterName)
    return conflict("a counter's name has 1-64 characters");
  std::uint64_t first = rows.block_next(op.counter);
  constexpr std::uint64_t kEnd = std::numeric_limits<std::int64_t>::max();
  if (op.count == 0 || first > kEnd || op.count > kEnd - first)
    return conflict("a block of " + std::to_string(op.count) + " can't be leased");
  rows.set_block_next(op.counter, first + op.count);
  ItemResult result = applied();
  result.granted_from = first;
  return result;
}

template <typename Op>
ItemResult apply_one(const Op& op, Rows& rows, Effects& effects) {
  return apply_zone_operation(op, rows, effects);  // the rest: rules_zone.cpp
}

}  // namespace

std::optional<std::string> refuse_batch(const Batch& batch, Rows& rows) {
  for (const std::pair<ZoneId, std::uint64_t>& expected : batch.unchanged_since) {
    std::optional<Zone> zone = rows.zone(expected.first);
    if (!zone) return "the zone was deleted meanwhile";
    if (zone->generation != expected.second) return zone->apex.text() + " changed meanwhile";
  }
  return std::nullopt;
}

ItemResult apply(const Operation& operation, Rows& rows, Effects& effects) {
  return std::visit([&](const auto& op) { return apply_one(op, rows, effects); }, operation);
}

void erase_tokens_of(const Name& subject, TokenPurpose purpose, Rows& rows, Effects& effects) {
  for (const Token& token : rows.tokens_of(subject)) {
    if (token.purpose != purpose) continue;
    rows.erase_token(token.id);
    effects.items.push_back(plain_item(ChangeKind::Token, token.id.value, subject));
  }
}

}  // namespace ntm::store
