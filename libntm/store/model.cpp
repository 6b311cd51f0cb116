// Names of the store's enumerations, for log lines and error texts.
#include "libntm/store/model.hpp"

#include "libntm/store/store.hpp"

namespace ntm::store {

const char* to_string(ZoneKind kind) {
  switch (kind) {
    case ZoneKind::Native:
      return "native";
    case ZoneKind::Primary:
      return "primary";
    case ZoneKind::Secondary:
      return "secondary";
  }
  return "?";
}

const char* to_string(PeerPolicy policy) {
  switch (policy) {
    case PeerPolicy::Tofu:
      return "tofu";
    case PeerPolicy::Dnssec:
      return "dnssec";
    case PeerPolicy::Closed:
      return "closed";
  }
  return "?";
}

const char* to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::Applied:
      return "applied";
    case Outcome::Stale:
      return "stale";
    case Outcome::Conflict:
      return "conflict";
    case Outcome::Unavailable:
      return "unavailable";
    case Outcome::Unknown:
      return "unknown";
  }
  return "?";
}

}  // namespace ntm::store
