// What the stub must know of an upstream answer before it decides (docs/PROTOCOL.md 7), and of
// NTM answers.
#pragma once

#include <vector>

#include "libntm/wire/ntm_record.hpp"
#include "terminal/dns/message.hpp"

namespace ntm::terminal::dns {

struct AddressFacts {
  std::uint8_t rcode = kServFail;
  bool truncated = false;
  std::vector<IpAddress> addresses;
  std::vector<NewRecord> chain;  // the CNAMEs, in order, as they shall stand in an own answer
  Name last;                     // end of the chain; the asked name without one
  std::uint32_t ttl = 0;         // smallest of the address records
  bool is_nodata() const { return rcode == kNoError && addresses.empty() && !truncated; }
  bool is_nxdomain() const { return rcode == kNxDomain; }
  bool has_zero_ttl() const { return !addresses.empty() && ttl == 0; }
};
AddressFacts address_facts(const Message& answer, std::uint16_t type);

// The records of one NTM type in an answer (at the end of its CNAME chain).
struct NtmFacts {
  std::uint8_t rcode = kServFail;
  Name last;
  std::vector<NewRecord> chain;
  std::optional<wire::NtmRecord> record;
  Bytes rdata;
  // How long "there is none" may be remembered (RFC 2308 5): from the SOA; zero: not at all.
  std::uint32_t negative_ttl = 0;
  bool answered() const { return rcode == kNoError || rcode == kNxDomain; }
};
NtmFacts ntm_facts(const Message& answer, Family family);

// Without ipv4hint and ipv6hint in SVCB and HTTPS records: applications must ask for the
// addresses, which the stub then answers. The message as it was when it has none.
Bytes without_address_hints(const Message& answer);

}  // namespace ntm::terminal::dns
