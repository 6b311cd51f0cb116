// What the director's engine asks of its service (architecture R3).
#pragma once

#include <string>
#include <variant>

#include "libntm/base/address.hpp"
#include "libntm/store/store.hpp"

namespace ntm::director {

struct SendDatagram {
  IpAddress local;  // the address to send from; unspecified = routing decides
  Endpoint to;
  Bytes datagram;
};
// The service submits the batch (keeping order, waiting when too many are in flight) and hands the
// completion back with the tag.
struct StoreWrite {
  std::uint64_t tag = 0;
  store::Batch batch;
};
// Look up `_ntm._udp.<zone>` SVCB; answered by DirectorEngine::dc_resolved.
struct ResolveDc {
  Name zone;
};
struct Notify {
  enum class Kind : std::uint8_t {
    Info, Warning, Registered, Moved, Offline, Direction, RelayUp, RelayDown, Refused,
  } kind = Kind::Info;
  Name subject;      // terminal, relay or zone; root when none
  std::string text;  // one line for people
};
const char* to_string(Notify::Kind kind);

using Effect = std::variant<SendDatagram, StoreWrite, ResolveDc, Notify>;

}  // namespace ntm::director
