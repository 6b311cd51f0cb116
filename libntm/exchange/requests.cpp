// Estimator, cache, keep-alive deadline.
#include "libntm/exchange/requests.hpp"

#include <algorithm>
#include <cassert>

namespace ntm::exchange {

void RttEstimator::sample(Duration rtt) {
  if (rtt.us < 0) return;
  smoothed_ = any_ ? Duration{(smoothed_.us * 7 + rtt.us) / 8} : rtt;
  any_ = true;
}

Duration RttEstimator::first_timeout() const {
  if (!any_) return kFirstTimeoutNoSample;
  return std::clamp(smoothed_ * 3, kFirstTimeoutLow, kFirstTimeoutHigh);
}

void AnswerCache::trim(Instant now) {
  while (!by_age_.empty() &&
         (by_age_.begin()->first + kKeep <= now || answers_.size() > limit_)) {
    answers_.erase(by_age_.begin()->second);
    by_age_.erase(by_age_.begin());
  }
  assert(by_age_.size() == answers_.size());
}

void AnswerCache::put(Instant now, const PublicKey& peer, RequestId request, Bytes answer) {
  Key key{peer, request.value};
  std::map<Key, Answer>::iterator old = answers_.find(key);
  if (old != answers_.end()) by_age_.erase({old->second.made, key});
  answers_[key] = {std::move(answer), now};
  by_age_.emplace(now, key);
  trim(now);
}

const Bytes* AnswerCache::find(Instant now, const PublicKey& peer, RequestId request) {
  trim(now);
  std::map<Key, Answer>::iterator it = answers_.find({peer, request.value});
  return it == answers_.end() ? nullptr : &it->second.bytes;
}

void KeepAliveTimer::set_interval(Duration interval) {
  interval_ = std::clamp(interval, kLeast, kMost);
}

void KeepAliveTimer::schedule(Instant now, Random& random) {
  std::uint64_t spread = static_cast<std::uint64_t>(interval_.us / 5);
  deadline_ = now + interval_ - microseconds(interval_.us / 10) +
              microseconds(static_cast<std::int64_t>(random.below(spread + 1)));
}

}  // namespace ntm::exchange
