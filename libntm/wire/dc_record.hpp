// The record by which owners find each other's DC: SVCB (RFC 9460) at `_ntm._udp.<zone>`.
//
// Problem: a DC that wants to reach another owner's DC knows only the zone's name and needs
// address, port and public key in one answer that any DNS server can serve and DNSSEC can sign.
// SVCB has room for that by private-use parameters: key65344 = the DC's X25519 public key, current
// and perhaps the next one (32 or 64 bytes); key65345 = the first 6 bytes of the zone's virtual
// IPv6 /48. Everything else is RFC 9460's. docs/PROTOCOL.md 1.
//
// +----------+--------------------+--------------------------------------------------+
// | priority | target (wire form) | parameters, key ascending: key u16, length u16 … |
// +----------+--------------------+--------------------------------------------------+
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/name.hpp"
#include "libntm/base/result.hpp"

namespace ntm::wire {

constexpr std::uint16_t kTypeSvcb = 64;

constexpr std::uint16_t kSvcbMandatory = 0;
constexpr std::uint16_t kSvcbPort = 3;
constexpr std::uint16_t kSvcbIpv4Hint = 4;
constexpr std::uint16_t kSvcbIpv6Hint = 6;
constexpr std::uint16_t kSvcbDcKey = 65344;
constexpr std::uint16_t kSvcbZoneVirtual6 = 65345;

// Hints of one family that are kept from one record; a zone's DC has a handful of hosts.
constexpr std::size_t kMaxSvcbHints = 8;
constexpr std::size_t kMaxDcRecord = 4096;

struct DcRecord {
  std::uint16_t priority = 1;  // smaller first; 0 = alias: only `target` counts, ask there
  Name target;                 // the root "." = the owner name itself (RFC 9460 2.5.2)
  std::uint16_t port = 4753;
  std::vector<Ipv4> ipv4_hints;
  std::vector<Ipv6> ipv6_hints;
  PublicKey dc_key;  // zero in an alias
  std::optional<PublicKey> dc_next_key;
  std::optional<Prefix> zone_virtual6;  // always a /48
  bool operator==(const DcRecord&) const = default;

  bool is_alias() const { return priority == 0; }
  std::vector<Endpoint> endpoints() const;  // the hints with the port, IPv6 first
};

// `_ntm._udp.<zone>`. Invalid when the zone's name leaves no room for it.
Result<Name> dc_record_name(const Name& zone);

// zone_virtual6, if set, must be an IPv6 /48.
Bytes encode(const DcRecord& record);
// Parameters that this project does not know are skipped unless `mandatory` lists them. Errors:
// keys not strictly ascending, overruns, bytes left over, wrong lengths, a service record
// without port or DC key, an all-zero key.
Result<DcRecord> decode_dc_record(ByteView rdata);

// In the presentation form of RFC 9460: "1 . port=4753 ipv4hint=192.0.2.1 key65344=... ".
// Values of our keys are shown in hexadecimal, which is for people, not for zone files.
std::string to_string(const DcRecord& record);
// The presentation form that name servers parse (private keys as \DDD text), for `ntm dc zone
// show`.
std::string zone_file_text(const DcRecord& record);

}  // namespace ntm::wire
