// NTMv4/NTMv6 RDATA: encoder, exact decoder, and the line that people read.
#include "libntm/wire/ntm_record.hpp"

#include <bitset>
#include <cassert>

#include "libntm/base/text.hpp"

namespace ntm::wire {

namespace {

IpAddress zero_address(Family family) {
  return family == Family::V4 ? IpAddress(Ipv4{}) : IpAddress(Ipv6{});
}

IpAddress read_address(Reader& in, Family family) {
  if (family == Family::V4) return Ipv4{in.array<4>()};
  return Ipv6{in.array<16>()};
}

Endpoint read_endpoint(Reader& in, Family family) {
  Endpoint out;
  out.address = read_address(in, family);
  out.port = in.u16();
  return out;
}

void write_endpoint(Writer& out, const Endpoint& endpoint) {
  out.bytes(endpoint.address.view()).u16(endpoint.port);
}

void write_tlv(Writer& out, NtmRecordTlv type, ByteView value) {
  out.u8(static_cast<std::uint8_t>(type)).u16(static_cast<std::uint16_t>(value.size()));
  out.bytes(value);
}

void write_key(Writer& out, NtmRecordTlv type, const std::optional<PublicKey>& key) {
  if (key) write_tlv(out, type, key->view());
}

Result<void> bad_tlv(NtmRecordTlv type, std::string_view what) {
  return invalid("NTM record: " + std::string(to_string(type)) + " " + std::string(what));
}

Result<void> read_key(NtmRecordTlv type, ByteView value, std::optional<PublicKey>& out) {
  if (value.size() != PublicKey{}.raw.size()) return bad_tlv(type, "is not 32 bytes");
  PublicKey key;
  std::memcpy(key.raw.data(), value.data(), value.size());
  if (key.is_zero()) return bad_tlv(type, "is all zero");
  out = key;
  return {};
}

Result<void> read_tlv(NtmRecord& record, NtmRecordTlv type, ByteView value) {
  switch (type) {
    case NtmRecordTlv::TerminalKey: return read_key(type, value, record.terminal_key);
    case NtmRecordTlv::TerminalNextKey: return read_key(type, value, record.terminal_next_key);
    case NtmRecordTlv::DcKey: return read_key(type, value, record.dc_key);
    case NtmRecordTlv::DcNextKey: return read_key(type, value, record.dc_next_key);
    case NtmRecordTlv::Suites:
      if (value.size() != 2) return bad_tlv(type, "is not 2 bytes");
      record.suites = Reader(value).u16();
      return {};
    case NtmRecordTlv::DcName: {
      Result<Name> name = Name::from_wire(value);
      if (!name) return bad_tlv(type, "is no domain name");
      record.dc_name = *name;
      return {};
    }
    case NtmRecordTlv::PolicyHints:
      if (value.empty()) return bad_tlv(type, "is empty");
      record.policy_hints = value[0];
      return {};
  }
  return {};  // unknown: a later version's, skipped
}

Result<void> read_tlvs(NtmRecord& record, Reader& in) {
  std::bitset<256> seen;
  while (in.left() > 0) {
    std::uint8_t type = in.u8();
    ByteView value = in.bytes(in.u16());
    if (!in.ok()) return invalid("NTM record: a TLV overruns the record");
    if (seen.test(type)) {
      return invalid("NTM record: TLV " + std::to_string(type) + " stands twice");
    }
    seen.set(type);
    Result<void> read = read_tlv(record, static_cast<NtmRecordTlv>(type), value);
    if (!read) return read;
  }
  return {};
}

std::string flags_text(std::uint8_t flags) {
  std::string out;
  struct Row {
    std::uint8_t bit;
    const char* name;
  };
  for (const Row& row : {Row{kNtmBehindNat, "behind-nat"}, Row{kNtmPrivate, "private"},
                         Row{kNtmRelayOnly, "relay-only"}, Row{kNtmUpdating, "updating"}}) {
    if ((flags & row.bit) == 0) continue;
    out += (out.empty() ? "" : ",") + std::string(row.name);
  }
  return out.empty() ? "none" : out;
}

std::string suites_text(std::uint16_t suites) {
  std::string out;
  for (int bit = 0; bit < 16; ++bit) {
    if ((suites & (1u << bit)) == 0) continue;
    out += (out.empty() ? "" : ",") + std::to_string(bit + 1);
  }
  return out;
}

std::string policy_text(std::uint8_t hints) {
  std::string out;
  if (hints & kNtmHintClosed) out = "closed";
  if (hints & kNtmHintDnssec) out += out.empty() ? "dnssec" : ",dnssec";
  return out.empty() ? "open" : out;
}

std::string set_or_none(const Endpoint& endpoint) {
  return endpoint.is_set() ? to_string(endpoint) : "none";
}

void add_key(std::string& out, std::string_view field, const std::optional<PublicKey>& key) {
  if (key) out += " " + std::string(field) + "=" + to_hex(key->view());
}

}  // namespace

const char* to_string(NtmRecordTlv type) {
  switch (type) {
    case NtmRecordTlv::TerminalKey: return "terminal key";
    case NtmRecordTlv::TerminalNextKey: return "next terminal key";
    case NtmRecordTlv::Suites: return "suites";
    case NtmRecordTlv::DcName: return "DC name";
    case NtmRecordTlv::DcKey: return "DC key";
    case NtmRecordTlv::DcNextKey: return "next DC key";
    case NtmRecordTlv::PolicyHints: return "policy hints";
  }
  return "?";
}

NtmRecord NtmRecord::empty(Family family) {
  NtmRecord out;
  out.family = family;
  out.real.address = out.dc.address = out.virtual_address = zero_address(family);
  return out;
}

Bytes encode(const NtmRecord& record) {
  assert(record.real.family() == record.family && record.dc.family() == record.family);
  assert(record.virtual_address.family() == record.family);
  Writer out(256);
  out.u8(record.version).u8(record.flags);
  write_endpoint(out, record.real);
  out.bytes(record.virtual_address.view());
  if (record.family == Family::V4) {
    assert(record.nat_outside.family() == Family::V4);
    write_endpoint(out, record.nat_outside);
  }
  write_endpoint(out, record.dc);
  write_key(out, NtmRecordTlv::TerminalKey, record.terminal_key);
  write_key(out, NtmRecordTlv::TerminalNextKey, record.terminal_next_key);
  if (record.suites != 0) write_tlv(out, NtmRecordTlv::Suites, Writer().u16(record.suites).view());
  if (record.dc_name) write_tlv(out, NtmRecordTlv::DcName, record.dc_name->wire());
  write_key(out, NtmRecordTlv::DcKey, record.dc_key);
  write_key(out, NtmRecordTlv::DcNextKey, record.dc_next_key);
  if (record.policy_hints) {
    write_tlv(out, NtmRecordTlv::PolicyHints, Writer().u8(*record.policy_hints).view());
  }
  return out.take();
}

Result<NtmRecord> decode_ntm_record(Family family, ByteView rdata) {
  if (rdata.size() > kMaxNtmRecord) {
    return invalid("NTM record: longer than " + std::to_string(kMaxNtmRecord) + " bytes");
  }
  Reader in(rdata);
  NtmRecord record = NtmRecord::empty(family);
  record.version = in.u8();
  if (in.ok() && record.version != kNtmRecordVersion) {
    return invalid("NTM record: version " + std::to_string(record.version) +
                   " is unknown, only version 1 is");
  }
  record.flags = in.u8();
  record.real = read_endpoint(in, family);
  record.virtual_address = read_address(in, family);
  if (family == Family::V4) record.nat_outside = read_endpoint(in, Family::V4);
  record.dc = read_endpoint(in, family);
  if (!in.ok()) return invalid("NTM record: too short for its fixed fields");
  Result<void> tlvs = read_tlvs(record, in);
  if (!tlvs) return pass(tlvs.error());
  return record;
}

std::string to_string(const NtmRecord& record) {
  std::string out = record.family == Family::V4 ? "NTMv4" : "NTMv6";
  out += " version=" + std::to_string(record.version) + " flags=" + flags_text(record.flags);
  out += " real=" + set_or_none(record.real);
  out += " virtual=";
  out += record.virtual_address.is_unspecified() ? "none" : to_string(record.virtual_address);
  if (record.nat_outside.is_set()) out += " outside=" + to_string(record.nat_outside);
  out += " dc=" + set_or_none(record.dc);
  add_key(out, "key", record.terminal_key);
  add_key(out, "next_key", record.terminal_next_key);
  if (record.suites != 0) out += " suites=" + suites_text(record.suites);
  if (record.dc_name) out += " zone=" + to_string(*record.dc_name);
  add_key(out, "dc_key", record.dc_key);
  add_key(out, "dc_next_key", record.dc_next_key);
  if (record.policy_hints) out += " policy=" + policy_text(*record.policy_hints);
  return out;
}

}  // namespace ntm::wire
