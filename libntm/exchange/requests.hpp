// What makes requests reliable over UDP (docs/PROTOCOL.md 3 and 6): the sender's table of
// outstanding requests with their retransmission plan, and the answerer's cache that makes a
// repeated request harmless.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "libntm/base/bytes.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/random.hpp"
#include "libntm/base/time.hpp"

namespace ntm::exchange {

// RFC 6298 smoothing, in integers.
class RttEstimator {
 public:
  void sample(Duration rtt);
  bool has_sample() const { return any_; }
  Duration smoothed() const { return smoothed_; }
  // First retransmission: 3 x srtt, at least 50 ms, at most 1 s; 250 ms without a sample.
  Duration first_timeout() const;

 private:
  bool any_ = false;
  Duration smoothed_{};
};

constexpr int kMaxTries = 8;
constexpr Duration kFirstTimeoutNoSample = milliseconds(250);
constexpr Duration kFirstTimeoutLow = milliseconds(50);
constexpr Duration kFirstTimeoutHigh = seconds(1);

// Keyed by a 64-bit id that the caller chooses (RequestId, registration counter, ...). `To` is
// whatever the caller needs to send again (a session id, an endpoint, the plaintext).
template <typename To>
class RequestTable {
 public:
  struct Due {
    std::uint64_t id = 0;
    To to;
    int attempt = 0;  // 1 = first retransmission
  };
  // The caller has just sent it. Replaces an older one of the same id.
  void start(Instant now, std::uint64_t id, To to, const RttEstimator& rtt, Random& random,
             int max_tries = kMaxTries) {
    Entry e{std::move(to), now, rtt.first_timeout(), {}, 1, max_tries};
    e.deadline = now + jittered(e.timeout, random);
    entries_[id] = std::move(e);
  }
  bool contains(std::uint64_t id) const { return entries_.count(id) != 0; }
  const To* find(std::uint64_t id) const {
    typename std::map<std::uint64_t, Entry>::const_iterator it = entries_.find(id);
    return it == entries_.end() ? nullptr : &it->second.to;
  }
  // Removes it; the RTT sample only if it was sent once (Karn).
  std::optional<Duration> answered(std::uint64_t id, Instant now) {
    typename std::map<std::uint64_t, Entry>::iterator it = entries_.find(id);
    if (it == entries_.end()) return std::nullopt;
    std::optional<Duration> rtt;
    if (it->second.tries == 1) rtt = now - it->second.sent;
    entries_.erase(it);
    return rtt;
  }
  void cancel(std::uint64_t id) { entries_.erase(id); }
  void clear() { entries_.clear(); }

  // Those to send again now, and those that failed for good (removed).
  struct Turn {
    std::vector<Due> again;
    std::vector<Due> failed;
  };
  Turn due(Instant now, Random& random) {
    Turn turn;
    for (typename std::map<std::uint64_t, Entry>::iterator it = entries_.begin();
         it != entries_.end();) {
      Entry& e = it->second;
      if (e.deadline > now) {
        ++it;
        continue;
      }
      if (e.tries >= e.max_tries) {
        turn.failed.push_back({it->first, std::move(e.to), e.tries});
        it = entries_.erase(it);
        continue;
      }
      e.timeout = e.timeout * 2;
      e.deadline = now + jittered(e.timeout, random);
      turn.again.push_back({it->first, e.to, e.tries++});
      ++it;
    }
    return turn;
  }
  Instant next_deadline() const {
    Instant when = Instant::never();
    for (const auto& [id, e] : entries_) when = std::min(when, e.deadline);
    return when;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    To to;
    Instant sent;
    Duration timeout;
    Instant deadline;
    int tries = 1;
    int max_tries = kMaxTries;
  };
  // +-20 %, so that many peers of one event do not stay in step.
  static Duration jittered(Duration d, Random& random) {
    std::int64_t spread = d.us * 2 / 5;
    if (spread <= 0) return d;
    return {d.us - spread / 2 +
            static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(spread) + 1))};
  }
  std::map<std::uint64_t, Entry> entries_;
};

// Answers by (peer, request id), kept 5 s so that a repeated request gets the same answer. Bounded:
// 65,536 answers x at most 1.2 KB = 80 MB for a DC at 10,000 directions a second and 5 s.
class AnswerCache {
 public:
  explicit AnswerCache(std::size_t limit = 65536) : limit_(limit) {}
  void put(Instant now, const PublicKey& peer, RequestId request, Bytes answer);
  const Bytes* find(Instant now, const PublicKey& peer, RequestId request);

 private:
  static constexpr Duration kKeep = seconds(5);
  struct Answer {
    Bytes bytes;
    Instant made;
  };
  using Key = std::pair<PublicKey, std::uint64_t>;
  void trim(Instant now);
  std::size_t limit_;
  // Invariant: one entry of by_age_ for each answer, so the bound holds for both.
  std::map<Key, Answer> answers_;
  std::set<std::pair<Instant, Key>> by_age_;
};

// When the next keep-alive is due: 15 s to start with, 0.8 x the measured mapping lifetime after
// that, 120 s at most, jittered by +-10 %.
class KeepAliveTimer {
 public:
  void start(Instant now, Random& random) { schedule(now, random); }
  // Something was sent to the peer: the mapping is fresh.
  void sent(Instant now, Random& random) { schedule(now, random); }
  void set_interval(Duration interval);
  void mapping_lives(Duration lifetime) { set_interval({lifetime.us * 8 / 10}); }
  Duration interval() const { return interval_; }
  Instant deadline() const { return deadline_; }

 private:
  static constexpr Duration kStart = seconds(15);
  static constexpr Duration kMost = seconds(120);
  static constexpr Duration kLeast = seconds(5);
  void schedule(Instant now, Random& random);
  Duration interval_ = kStart;
  Instant deadline_ = Instant::never();
};

}  // namespace ntm::exchange
