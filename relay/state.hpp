// What a relay keeps on disk: its key, its reset secret, the attach counter, and one enrolment a
// DC. `ntm relay join TOKEN` writes the last; everything else is made at the first start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libntm/base/random.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/wire/token.hpp"

namespace ntm::relay {

// A DC that this relay is enrolled with. `token` is there until the DC accepted the key.
struct Enrolment {
  Name zone;
  Name own_name;
  PublicKey dc_key;
  std::vector<Endpoint> dc_endpoints;
  std::optional<wire::EnrolmentToken> token;
};

class RelayState {
 public:
  static Result<RelayState> open(const std::string& folder, Random& random);

  const Key32& key() const { return key_; }
  const Key32& reset_secret() const { return reset_; }
  std::uint64_t counter() const { return counter_; }
  const std::vector<Enrolment>& enrolments() const { return enrolments_; }

  // Durable before it returns: counters below `below` may be used from now on.
  Result<void> reserve_counter(std::uint64_t below);
  // Adds or replaces the enrolment of its zone.
  Result<void> put_enrolment(const Enrolment& enrolment);
  Result<void> remove_enrolment(const Name& zone);
  // The token was accepted: only the binding stays.
  Result<void> enrolled(const Name& zone);

 private:
  std::string folder_;
  Key32 key_;
  Key32 reset_;
  std::uint64_t counter_ = 1;
  std::vector<Enrolment> enrolments_;
};

}  // namespace ntm::relay
