// See the header.
#include "terminal/dns/message.hpp"

#include <algorithm>

namespace ntm::terminal::dns {

namespace {

// A name that may be compressed (RFC 1035 4.1.4), starting at `at`, which moves behind it. Every
// pointer must point before the place where the last jump went to, so the walk ends.
Result<Name> read_name(ByteView message, std::size_t& at) {
  Bytes wire;
  std::size_t here = at;
  std::size_t limit = at;
  bool jumped = false;
  while (true) {
    if (here >= message.size()) return invalid("a name runs past the message");
    Byte length = message[here];
    if ((length & 0xc0) == 0xc0) {
      if (here + 1 >= message.size()) return invalid("a name pointer is cut off");
      std::size_t target = (static_cast<std::size_t>(length & 0x3f) << 8) | message[here + 1];
      if (!jumped) at = here + 2;
      jumped = true;
      if (target >= limit) return invalid("a name pointer does not point backwards");
      limit = here = target;
      continue;
    }
    if ((length & 0xc0) != 0) return invalid("a label type is unknown");
    if (wire.size() + length + 1 > kMaxNameWire || here + 1 + length > message.size())
      return invalid("a name is too long");
    ByteView label = message.subspan(here, static_cast<std::size_t>(length) + 1);
    wire.insert(wire.end(), label.begin(), label.end());
    here += static_cast<std::size_t>(length) + 1;
    if (length == 0) break;
  }
  if (!jumped) at = here;
  return Name::from_wire(wire);
}

Flags flags_from(std::uint16_t raw) {
  Flags f;
  f.response = (raw & 0x8000) != 0;
  f.opcode = static_cast<std::uint8_t>((raw >> 11) & 15);
  f.authoritative = (raw & 0x0400) != 0;
  f.truncated = (raw & 0x0200) != 0;
  f.recursion_desired = (raw & 0x0100) != 0;
  f.recursion_available = (raw & 0x0080) != 0;
  f.authentic_data = (raw & 0x0020) != 0;
  f.checking_disabled = (raw & 0x0010) != 0;
  f.rcode = static_cast<std::uint8_t>(raw & 15);
  return f;
}

std::uint16_t raw_from(const Flags& f) {
  return static_cast<std::uint16_t>(
      (f.response ? 0x8000 : 0) | (f.opcode << 11) | (f.authoritative ? 0x0400 : 0) |
      (f.truncated ? 0x0200 : 0) | (f.recursion_desired ? 0x0100 : 0) |
      (f.recursion_available ? 0x0080 : 0) | (f.authentic_data ? 0x0020 : 0) |
      (f.checking_disabled ? 0x0010 : 0) | f.rcode);
}

Result<void> read_record(Message& m, std::size_t& at, Section section) {
  Record r;
  r.section = section;
  r.start = at;
  Result<Name> owner = read_name(m.bytes, at);
  if (!owner) return pass(owner.error());
  r.owner = *owner;
  Reader reader(ByteView(m.bytes).subspan(at));
  r.type = reader.u16();
  r.klass = reader.u16();
  r.ttl = reader.u32();
  r.rdata_length = reader.u16();
  if (!reader.ok() || reader.left() < r.rdata_length)
    return invalid("a record runs past the message");
  r.rdata_offset = at + 10;
  at = r.rdata_offset + r.rdata_length;
  if (r.type != kTypeOpt) {
    m.records.push_back(std::move(r));
    return {};
  }
  if (m.edns || !r.owner.is_root()) return invalid("a second OPT record, or one with a name");
  Edns e;
  e.udp_payload = r.klass;
  e.extended_rcode = static_cast<std::uint8_t>(r.ttl >> 24);
  e.version = static_cast<std::uint8_t>(r.ttl >> 16);
  e.dnssec_ok = (r.ttl & 0x8000) != 0;
  m.edns = e;
  return {};
}

struct Counts {
  std::uint16_t questions = 0, answers = 0, authorities = 0, additionals = 0;
};

Result<Counts> read_beginning(Message& m, std::size_t& at) {
  Reader reader(m.bytes);
  m.id = reader.u16();
  m.flags = flags_from(reader.u16());
  Counts c;
  c.questions = reader.u16();
  c.answers = reader.u16();
  c.authorities = reader.u16();
  c.additionals = reader.u16();
  if (!reader.ok()) return invalid("shorter than a DNS header");
  at = kDnsHeader;
  for (std::uint16_t i = 0; i < c.questions; ++i) {
    Question q;
    Result<Name> name = read_name(m.bytes, at);
    if (!name) return pass(name.error());
    q.name = *name;
    Reader rest(ByteView(m.bytes).subspan(at));
    q.type = rest.u16();
    q.klass = rest.u16();
    if (!rest.ok()) return invalid("a question runs past the message");
    at += 4;
    m.questions.push_back(std::move(q));
  }
  m.question_end = at;
  return c;
}

void write_record(Writer& out, const NewRecord& r) {
  out.bytes(r.owner.wire()).u16(r.type).u16(kClassIn).u32(r.ttl);
  out.u16(static_cast<std::uint16_t>(r.rdata.size())).bytes(r.rdata);
}

void write_opt(Writer& out, bool dnssec_ok, ExtendedError error) {
  out.u8(0).u16(kTypeOpt).u16(kUdpPayload).u32(dnssec_ok ? 0x8000 : 0);
  if (error == ExtendedError::None) {
    out.u16(0);
    return;
  }
  out.u16(6).u16(15).u16(2).u16(static_cast<std::uint16_t>(error));
}

}  // namespace

Result<Name> Message::rdata_name(const Record& record) const {
  std::size_t at = record.rdata_offset;
  Result<Name> name = read_name(bytes, at);
  if (name && at != record.rdata_offset + record.rdata_length)
    return invalid("a name does not fill its record");
  return name;
}

Result<Message> read_head(ByteView bytes) {
  Message m;
  m.bytes = to_bytes(bytes);
  std::size_t at = 0;
  Result<Counts> counts = read_beginning(m, at);
  if (!counts) return pass(counts.error());
  return m;
}

Result<Message> read_message(ByteView bytes) {
  Message m;
  m.bytes = to_bytes(bytes);
  std::size_t at = 0;
  Result<Counts> counts = read_beginning(m, at);
  if (!counts) return pass(counts.error());
  const std::pair<Section, std::uint16_t> sections[] = {{Section::Answer, counts->answers},
                                                        {Section::Authority, counts->authorities},
                                                        {Section::Additional, counts->additionals}};
  for (const auto& [section, count] : sections)
    for (std::uint16_t i = 0; i < count; ++i) {
      Result<void> read = read_record(m, at, section);
      if (!read) return pass(read.error());
    }
  return m;
}

std::uint16_t message_id(ByteView bytes) {
  assert(bytes.size() >= 2);
  return static_cast<std::uint16_t>((bytes[0] << 8) | bytes[1]);
}

void set_message_id(Bytes& bytes, std::uint16_t id) {
  assert(bytes.size() >= 2);
  bytes[0] = static_cast<Byte>(id >> 8);
  bytes[1] = static_cast<Byte>(id);
}

Bytes make_query(std::uint16_t id, const Name& name, std::uint16_t type, bool dnssec_ok) {
  Writer out(64);
  Flags f;
  f.recursion_desired = true;
  out.u16(id).u16(raw_from(f)).u16(1).u16(0).u16(0).u16(1);
  out.bytes(name.wire()).u16(type).u16(kClassIn);
  write_opt(out, dnssec_ok, ExtendedError::None);
  return out.take();
}

Result<Bytes> with_type(const Message& query, std::uint16_t type) {
  if (query.questions.size() != 1) return invalid("not exactly one question");
  Bytes out = query.bytes;
  out[query.question_end - 4] = static_cast<Byte>(type >> 8);
  out[query.question_end - 3] = static_cast<Byte>(type);
  return out;
}

Bytes make_answer(const Message& query, const Answer& answer) {
  Writer out(512);
  Flags f;
  f.response = true;
  f.opcode = query.flags.opcode;
  f.recursion_desired = query.flags.recursion_desired;
  f.recursion_available = true;
  f.authentic_data = answer.authentic_data;
  f.checking_disabled = query.flags.checking_disabled;
  f.rcode = answer.rcode;
  out.u16(query.id).u16(raw_from(f));
  out.u16(static_cast<std::uint16_t>(query.questions.size()));
  out.u16(static_cast<std::uint16_t>(answer.records.size())).u16(0).u16(query.edns ? 1 : 0);
  // The question as it was asked, with the asker's use of upper case.
  out.bytes(ByteView(query.bytes).subspan(kDnsHeader, query.question_end - kDnsHeader));
  for (const NewRecord& r : answer.records) write_record(out, r);
  if (query.edns) write_opt(out, query.edns->dnssec_ok, answer.error);
  return out.take();
}

Bytes truncated(const Message& query, const Answer& answer) {
  Answer bare = answer;
  bare.records.clear();
  Bytes out = make_answer(query, bare);
  out[2] |= 0x02;
  return out;
}

}  // namespace ntm::terminal::dns
