// The enrolment token that a person carries from `ntm dc terminal add` to `ntm join`
// (docs/PROTOCOL.md, "How trust starts"): "ntm1" + base32(version 1 ‖ DC zone name ‖ subject name ‖
// DC public key 32 ‖ count 1 ‖ DC endpoints ‖ token id 8 ‖ secret 16 ‖ checksum 2). It
// authenticates the DC to the terminal out of band, so first contact needs neither DNSSEC nor
// trust on first use. The checksum (first 2 bytes of SHA-256, given by the caller: wire has no
// hash) catches typing errors only.
#pragma once

#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/secret.hpp"

namespace ntm::wire {

struct EnrolmentToken {
  Name zone;     // the DC's name: where `_ntm._udp` and the SOA live
  Name subject;  // the terminal or relay that it is for
  PublicKey dc_key;
  std::vector<Endpoint> dc_endpoints;  // 1..4
  TokenId id;
  Key16 secret;
  bool operator==(const EnrolmentToken&) const = default;
};
// Body without the checksum.
Bytes encode_body(const EnrolmentToken& token);
Result<EnrolmentToken> decode_body(ByteView body);

}  // namespace ntm::wire
