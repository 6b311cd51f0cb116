// The records that exist nowhere: what a terminal's location row and a zone's row mean in DNS.
//
// Problem: a terminal that moves must write one row, and DNS must show the move at once. So A,
// AAAA, NTMv4 and NTMv6 of a terminal, and SVCB of its DC, are computed when somebody asks. Pure
// functions of rows; docs/PROTOCOL.md 1 says what must come out.
#pragma once

#include <vector>

#include "libntm/store/model.hpp"
#include "libntm/store/store.hpp"
#include "libntm/wire/ntm_record.hpp"

namespace ntm::pdns_backend {

constexpr std::uint16_t kTypeEmptyNonTerminal = 0;  // PowerDNS's mark for "exists, has nothing"
constexpr std::uint16_t kTypeA = 1;
constexpr std::uint16_t kTypeSoa = 6;
constexpr std::uint16_t kTypeAaaa = 28;

// A location record is true at the moment of the answer and not later.
constexpr std::uint32_t kLocationTtl = 0;
// A DC's addresses and keys change by hand: a minute spares other owners' resolvers the question
// and is far below any overlap of current and next key.
constexpr std::uint32_t kDcRecordTtl = 60;

// One record as DNS shows it.
struct Answer {
  Name name;
  std::uint16_t type = kTypeEmptyNonTerminal;
  std::uint32_t ttl = 0;
  Bytes rdata;  // wire form, uncompressed names
  bool auth = true;
  bool disabled = false;
  bool derived = false;  // may differ at the next question: no cache may keep it
  bool operator==(const Answer&) const = default;
};

// Whether names of the zone may have derived records. In a secondary zone the NTM records came by
// transfer and are ordinary rows.
bool derives(const store::Zone& zone);

// The address at which a host that knows nothing of NTMobile could reach the terminal: a global
// one of its own; behind NAT what the zone's policy says; none while it is offline or private.
std::optional<IpAddress> public_address(const store::Zone& zone, const store::Location& location,
                                        Family family);

// The NTMv4 or NTMv6 record; none before the terminal is enrolled (without its key nobody can
// build a tunnel to it), nor in a family in which it has neither a virtual nor a real address.
std::optional<wire::NtmRecord> ntm_record(const store::Zone& zone, const store::TerminalView& view,
                                          Family family);

std::vector<Answer> terminal_answers(const store::Zone& zone, const store::TerminalView& view);
// Whether rows of this type at a terminal's name are derived, so that stored ones are not shown.
bool is_terminal_type(std::uint16_t type);

// SVCB at `_ntm._udp.<apex>`, one a port, and A/AAAA beside it because its target is "." (the
// owner). Empty while the zone has no DC key or no endpoint.
std::vector<Answer> dc_answers(const store::Zone& zone);
bool is_dc_type(std::uint16_t type);

// The SOA row as served: with the zone's serial and, where terminals live, minimum zero, so that
// nobody remembers that a terminal had no address.
Bytes soa_rdata(const store::Zone& zone, const Bytes& stored);

}  // namespace ntm::pdns_backend
