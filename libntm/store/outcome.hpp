// Item results in one word each, for the rules.
#pragma once

#include "libntm/store/store.hpp"

namespace ntm::store {

inline ItemResult applied() { return {Outcome::Applied, 0, 0, {}}; }
inline ItemResult conflict(std::string reason) {
  return {Outcome::Conflict, 0, 0, std::move(reason)};
}
inline ItemResult stale(std::uint64_t stored) {
  return {Outcome::Stale, stored, 0, "the stored counter is " + std::to_string(stored)};
}
inline ItemResult unavailable(std::string reason) {
  return {Outcome::Unavailable, 0, 0, std::move(reason)};
}
inline ItemResult unknown(std::string reason) {
  return {Outcome::Unknown, 0, 0, std::move(reason)};
}

}  // namespace ntm::store
