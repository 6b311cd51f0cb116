// The DC's SVCB record: encoder, decoder by the rules of RFC 9460 section 2, text forms.
#include "libntm/wire/dc_record.hpp"

#include <algorithm>
#include <cassert>

#include "libntm/base/text.hpp"

namespace ntm::wire {

namespace {

constexpr std::size_t kKeySize = 32;
constexpr std::size_t kSitePrefixBytes = 6;  // of a /48
constexpr std::uint8_t kSitePrefixLength = 48;

bool is_known(std::uint16_t key) {
  return key == kSvcbMandatory || key == kSvcbPort || key == kSvcbIpv4Hint ||
         key == kSvcbIpv6Hint || key == kSvcbDcKey || key == kSvcbZoneVirtual6;
}

void write_parameter(Writer& out, std::uint16_t key, ByteView value) {
  out.u16(key).u16(static_cast<std::uint16_t>(value.size())).bytes(value);
}

template <typename Address>
void write_hints(Writer& out, std::uint16_t key, const std::vector<Address>& hints) {
  if (hints.empty()) return;
  Writer value;
  for (const Address& hint : hints) value.bytes(hint.raw);
  write_parameter(out, key, value.view());
}

Bytes key_value(const DcRecord& record) {
  Bytes out = to_bytes(record.dc_key.view());
  if (record.dc_next_key) {
    out.insert(out.end(), record.dc_next_key->raw.begin(), record.dc_next_key->raw.end());
  }
  return out;
}

Result<void> bad(std::string_view what) { return invalid("SVCB record: " + std::string(what)); }

template <typename Address>
Result<void> read_hints(ByteView value, std::vector<Address>& out) {
  constexpr std::size_t kSize = sizeof(Address::raw);
  if (value.empty() || value.size() % kSize != 0) return bad("an address hint is cut off");
  for (Reader in(value); in.left() > 0 && out.size() < kMaxSvcbHints;) {
    out.push_back(Address{in.template array<kSize>()});
  }
  return {};
}

Result<void> read_mandatory(ByteView value) {
  if (value.empty() || value.size() % 2 != 0) return bad("`mandatory` is cut off");
  int previous = -1;
  for (Reader in(value); in.left() > 0;) {
    std::uint16_t key = in.u16();
    if (key == kSvcbMandatory || key <= previous) return bad("`mandatory` is out of order");
    if (!is_known(key)) return bad("it demands key" + std::to_string(key) + ", unknown here");
    previous = key;
  }
  return {};
}

Result<void> read_keys(ByteView value, DcRecord& record) {
  if (value.size() != kKeySize && value.size() != 2 * kKeySize) {
    return bad("the DC key is neither 32 nor 64 bytes");
  }
  Reader in(value);
  record.dc_key.raw = in.array<kKeySize>();
  if (record.dc_key.is_zero()) return bad("the DC key is all zero");
  if (in.left() == 0) return {};
  record.dc_next_key = PublicKey{in.array<kKeySize>()};
  if (record.dc_next_key->is_zero()) return bad("the next DC key is all zero");
  return {};
}

Result<void> read_parameter(DcRecord& record, std::uint16_t key, ByteView value) {
  switch (key) {
    case kSvcbMandatory: return read_mandatory(value);
    case kSvcbIpv4Hint: return read_hints(value, record.ipv4_hints);
    case kSvcbIpv6Hint: return read_hints(value, record.ipv6_hints);
    case kSvcbDcKey: return read_keys(value, record);
    case kSvcbPort:
      if (value.size() != 2) return bad("the port is not 2 bytes");
      record.port = Reader(value).u16();
      if (record.port == 0) return bad("the port is zero");
      return {};
    case kSvcbZoneVirtual6: {
      if (value.size() != kSitePrefixBytes) return bad("the virtual IPv6 prefix is not 6 bytes");
      Ipv6 address;
      std::copy(value.begin(), value.end(), address.raw.begin());
      record.zone_virtual6 = Prefix{address, kSitePrefixLength};
      return {};
    }
    default: return {};
  }
}

Result<Name> read_name(Reader& in, ByteView rdata) {
  std::size_t start = rdata.size() - in.left();
  std::size_t length = in.u8();
  while (in.ok() && length != 0) {
    if (length > kMaxLabel) return invalid("SVCB record: its target is compressed or malformed");
    in.bytes(length);
    length = in.u8();
  }
  if (!in.ok()) return invalid("SVCB record: its target is cut off");
  return Name::from_wire(rdata.subspan(start, rdata.size() - in.left() - start));
}

Result<void> read_parameters(DcRecord& record, Reader& in) {
  int previous = -1;
  bool has_port = false;
  bool has_key = false;
  while (in.left() > 0) {
    std::uint16_t key = in.u16();
    ByteView value = in.bytes(in.u16());
    if (!in.ok()) return bad("a parameter overruns it");
    if (key <= previous) return bad("its parameters are not in ascending order");
    previous = key;
    if (record.is_alias()) continue;  // RFC 9460 2.4.2: ignored, but they must be well formed
    Result<void> read = read_parameter(record, key, value);
    if (!read) return read;
    has_port = has_port || key == kSvcbPort;
    has_key = has_key || key == kSvcbDcKey;
  }
  if (record.is_alias()) return {};
  if (!has_port) return bad("it has no port");
  if (!has_key) return bad("it has no DC key (key65344)");
  return {};
}

// RFC 9460 appendix A: bytes as a character string, anything special as \DDD.
std::string quoted(ByteView bytes) {
  std::string out = "\"";
  for (Byte b : bytes) {
    if ((b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z')) {
      out += static_cast<char>(b);
      continue;
    }
    out += '\\';
    out += static_cast<char>('0' + b / 100);
    out += static_cast<char>('0' + b / 10 % 10);
    out += static_cast<char>('0' + b % 10);
  }
  return out + "\"";
}

template <typename Address>
void add_hints(std::string& out, std::string_view field, const std::vector<Address>& hints) {
  if (hints.empty()) return;
  out += " " + std::string(field) + "=";
  for (std::size_t i = 0; i < hints.size(); ++i) out += (i ? "," : "") + to_string(hints[i]);
}

std::string text(const DcRecord& record, std::string (*value_text)(ByteView)) {
  std::string target = record.target.is_root() ? "." : to_string(record.target) + ".";
  std::string out = std::to_string(record.priority) + " " + target;
  if (record.is_alias()) return out;
  out += " port=" + std::to_string(record.port);
  add_hints(out, "ipv4hint", record.ipv4_hints);
  add_hints(out, "ipv6hint", record.ipv6_hints);
  out += " key65344=" + value_text(key_value(record));
  if (record.zone_virtual6) {
    out += " key65345=" +
           value_text(record.zone_virtual6->address.view().first(kSitePrefixBytes));
  }
  return out;
}

}  // namespace

std::vector<Endpoint> DcRecord::endpoints() const {
  std::vector<Endpoint> out;
  for (const Ipv6& hint : ipv6_hints) out.push_back({hint, port});
  for (const Ipv4& hint : ipv4_hints) out.push_back({hint, port});
  return out;
}

Result<Name> dc_record_name(const Name& zone) {
  Result<Name> udp = zone.child("_udp");
  if (!udp) return udp;
  return udp->child("_ntm");
}

Bytes encode(const DcRecord& record) {
  Writer out(192);
  out.u16(record.priority).bytes(record.target.wire());
  if (record.is_alias()) return out.take();
  write_parameter(out, kSvcbPort, Writer().u16(record.port).view());
  write_hints(out, kSvcbIpv4Hint, record.ipv4_hints);
  write_hints(out, kSvcbIpv6Hint, record.ipv6_hints);
  write_parameter(out, kSvcbDcKey, key_value(record));
  if (record.zone_virtual6) {
    assert(record.zone_virtual6->address.is_v6());
    assert(record.zone_virtual6->length == kSitePrefixLength);
    write_parameter(out, kSvcbZoneVirtual6,
                    record.zone_virtual6->address.view().first(kSitePrefixBytes));
  }
  return out.take();
}

Result<DcRecord> decode_dc_record(ByteView rdata) {
  if (rdata.size() > kMaxDcRecord) {
    return invalid("SVCB record: longer than " + std::to_string(kMaxDcRecord) + " bytes");
  }
  Reader in(rdata);
  DcRecord record;
  record.priority = in.u16();
  Result<Name> target = read_name(in, rdata);
  if (!target) return pass(target.error());
  record.target = *target;
  if (record.is_alias()) record.port = 0;
  Result<void> parameters = read_parameters(record, in);
  if (!parameters) return pass(parameters.error());
  return record;
}

std::string to_string(const DcRecord& record) { return text(record, to_hex); }

std::string zone_file_text(const DcRecord& record) { return text(record, quoted); }

}  // namespace ntm::wire
