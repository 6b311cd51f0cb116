// See the header.
#include "terminal/dns/facts.hpp"

#include <algorithm>
#include <limits>

namespace ntm::terminal::dns {

namespace {

constexpr std::size_t kMaxChain = 16;
constexpr std::uint16_t kSvcIpv4Hint = 4;
constexpr std::uint16_t kSvcIpv6Hint = 6;

// Follows CNAMEs from the question's name through the answer section.
Name follow(const Message& answer, std::vector<NewRecord>& chain) {
  Name at = answer.questions.empty() ? Name{} : answer.questions.front().name;
  for (std::size_t step = 0; step < kMaxChain; ++step) {
    const Record* found = nullptr;
    for (const Record& r : answer.records)
      if (r.section == Section::Answer && r.type == kTypeCname && r.owner == at) found = &r;
    if (found == nullptr) break;
    Result<Name> target = answer.rdata_name(*found);
    if (!target) break;
    chain.push_back({at, kTypeCname, found->ttl, to_bytes(target->wire())});
    at = *target;
  }
  return at;
}

// RFC 2308: the smaller of the SOA's TTL and its minimum field.
std::uint32_t negative_ttl(const Message& answer) {
  for (const Record& r : answer.records) {
    if (r.section != Section::Authority || r.type != kTypeSoa || r.rdata_length < 20) continue;
    ByteView rdata = answer.rdata(r);
    return std::min(r.ttl, Reader(rdata.last(4)).u32());
  }
  return 0;
}

// SvcParams without the two hints; nullopt: nothing to remove, or no well-formed SVCB.
std::optional<Bytes> strip_hints(const Message& answer, const Record& r) {
  ByteView rdata = answer.rdata(r);
  Reader reader(rdata);
  reader.u16();
  while (reader.ok()) {  // the target is never compressed (RFC 9460 2.2)
    std::uint8_t length = reader.u8();
    if (length == 0) break;
    if (length > kMaxLabel) return std::nullopt;
    reader.bytes(length);
  }
  if (!reader.ok()) return std::nullopt;
  Writer out(rdata.size());
  out.bytes(rdata.first(rdata.size() - reader.left()));
  bool removed = false;
  while (reader.left() > 0) {
    std::uint16_t key = reader.u16();
    ByteView value = reader.bytes(reader.u16());
    if (!reader.ok()) return std::nullopt;
    if (key == kSvcIpv4Hint || key == kSvcIpv6Hint) {
      removed = true;
      continue;
    }
    out.u16(key).u16(static_cast<std::uint16_t>(value.size())).bytes(value);
  }
  if (!removed) return std::nullopt;
  return out.take();
}

}  // namespace

AddressFacts address_facts(const Message& answer, std::uint16_t type) {
  AddressFacts out;
  out.rcode = answer.flags.rcode;
  out.truncated = answer.flags.truncated;
  out.last = follow(answer, out.chain);
  out.ttl = std::numeric_limits<std::uint32_t>::max();
  for (const Record& r : answer.records) {
    if (r.section != Section::Answer || r.type != type || r.klass != kClassIn) continue;
    ByteView rdata = answer.rdata(r);
    if (type == kTypeA && rdata.size() == 4) {
      Ipv4 a;
      std::copy(rdata.begin(), rdata.end(), a.raw.begin());
      out.addresses.emplace_back(a);
    } else if (type == kTypeAaaa && rdata.size() == 16) {
      Ipv6 a;
      std::copy(rdata.begin(), rdata.end(), a.raw.begin());
      out.addresses.emplace_back(a);
    } else {
      continue;
    }
    out.ttl = std::min(out.ttl, r.ttl);
  }
  if (out.addresses.empty()) out.ttl = 0;
  return out;
}

NtmFacts ntm_facts(const Message& answer, Family family) {
  NtmFacts out;
  out.rcode = answer.flags.rcode;
  out.last = follow(answer, out.chain);
  for (const Record& r : answer.records) {
    if (r.section != Section::Answer || r.type != wire::type_of(family) || r.owner != out.last)
      continue;
    Result<wire::NtmRecord> record = wire::decode_ntm_record(family, answer.rdata(r));
    if (!record) continue;  // a later version's: as if it were not there
    out.record = *record;
    out.rdata = to_bytes(answer.rdata(r));
    break;
  }
  if (!out.record && out.answered()) out.negative_ttl = negative_ttl(answer);
  return out;
}

Bytes without_address_hints(const Message& answer) {
  // Written anew with its answer section only: names behind a shortened record may be compressed
  // against places that would move.
  Writer records(answer.bytes.size());
  std::uint16_t count = 0;
  bool changed = false;
  for (const Record& r : answer.records) {
    if (r.section != Section::Answer) continue;
    Bytes rdata = to_bytes(answer.rdata(r));
    if (r.type == kTypeCname) {
      Result<Name> target = answer.rdata_name(r);
      if (!target) return answer.bytes;
      rdata = to_bytes(target->wire());
    } else if (r.type == kTypeSvcb || r.type == kTypeHttps) {
      std::optional<Bytes> stripped = strip_hints(answer, r);
      changed = changed || stripped.has_value();
      if (stripped) rdata = std::move(*stripped);
    }
    records.bytes(r.owner.wire()).u16(r.type).u16(r.klass).u32(r.ttl);
    records.u16(static_cast<std::uint16_t>(rdata.size())).bytes(rdata);
    ++count;
  }
  if (!changed) return answer.bytes;
  Writer out(answer.bytes.size());
  ByteView head = ByteView(answer.bytes).first(4);
  out.bytes(head).u16(static_cast<std::uint16_t>(answer.questions.size())).u16(count).u16(0);
  out.u16(answer.edns ? 1 : 0);
  out.bytes(ByteView(answer.bytes).subspan(kDnsHeader, answer.question_end - kDnsHeader));
  out.bytes(records.view());
  if (answer.edns)
    out.u8(0).u16(kTypeOpt).u16(kUdpPayload).u32(answer.edns->dnssec_ok ? 0x8000 : 0).u16(0);
  Bytes made = out.take();
  made[3] = static_cast<Byte>(made[3] & ~0x20);  // no longer what was validated
  return made;
}

}  // namespace ntm::terminal::dns
