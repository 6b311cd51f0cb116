// The properties. In short: what a decoder accepts it has understood, so it can be written again
// and reads the same; where a form is exact, to the very same bytes.
#include "tests/fuzz/targets.hpp"

#include <cstdio>
#include <cstdlib>

#include "libntm/base/text.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/host/config.hpp"
#include "libntm/wire/control.hpp"
#include "libntm/wire/dc_record.hpp"
#include "libntm/wire/inner_control.hpp"
#include "libntm/wire/ntm_record.hpp"
#include "libntm/wire/token.hpp"
#include "tests/vectors/any_datagram.hpp"

namespace ntm::fuzz {

namespace {

void require(bool holds, const char* property, ByteView input) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s, for %s\n", property, to_hex(input).c_str());
  std::abort();
}
std::string_view text_of(ByteView input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}
bool one_line(const Error& error) {
  for (char c : error.text)
    if (c == '\n' || c == '\r' || c == '\x1b' || c == '\0') return false;
  return !error.text.empty();
}

void framing(ByteView input) {
  Result<tests::Datagram> decoded = tests::decode_datagram(input);
  if (decoded)
    require(equal(tests::encode_datagram(*decoded), input), "a datagram's form is exact", input);
}

void control(ByteView input) {
  Result<wire::ControlMessage> first = wire::decode_control(input);
  if (!first) return;
  Bytes written = wire::encode(*first);
  Result<wire::ControlMessage> second = wire::decode_control(written);
  require(second && *second == *first, "a control message reads as written", input);
  require(wire::encode(*second) == written, "a control message is written one way", input);
}

void inner_control(ByteView input) {
  Result<wire::InnerControl> decoded = wire::decode_inner_control(input);
  if (decoded) require(equal(wire::encode(*decoded), input), "inner control is exact", input);
}

void token_body(ByteView input) {
  Result<wire::EnrolmentToken> first = wire::decode_body(input);
  if (!first) return;
  Bytes written = wire::encode_body(*first);
  Result<wire::EnrolmentToken> second = wire::decode_body(written);
  require(written.size() == input.size(), "a token keeps its length", input);
  require(second && *second == *first, "a token reads as written", input);
}

void token_text(ByteView input) {
  Result<wire::EnrolmentToken> first = crypto::parse_token(text_of(input));
  if (!first) return require(one_line(first.error()), "an error is one line", input);
  Result<wire::EnrolmentToken> second = crypto::parse_token(crypto::token_text(*first));
  require(second && *second == *first, "a token's text reads as written", input);
}

// The first byte chooses the type, as the DNS message does.
void ntm_record(ByteView input) {
  if (input.empty()) return;
  Family family = input[0] & 1 ? Family::V6 : Family::V4;
  Result<wire::NtmRecord> first = wire::decode_ntm_record(family, input.subspan(1));
  if (!first) return require(one_line(first.error()), "an error is one line", input);
  Result<wire::NtmRecord> second = wire::decode_ntm_record(family, wire::encode(*first));
  require(second && *second == *first, "an NTM record reads as written", input);
  require(one_line(Error{ErrorKind::Invalid, wire::to_string(*first)}), "its text is one line",
          input);
}

void dc_record(ByteView input) {
  Result<wire::DcRecord> first = wire::decode_dc_record(input);
  if (!first) return require(one_line(first.error()), "an error is one line", input);
  Result<wire::DcRecord> second = wire::decode_dc_record(wire::encode(*first));
  require(second && *second == *first, "a DC record reads as written", input);
  require(one_line(Error{ErrorKind::Invalid, wire::to_string(*first)}), "its text is one line",
          input);
  require(one_line(Error{ErrorKind::Invalid, wire::zone_file_text(*first)}),
          "its zone file text is one line", input);
}

void check_name(const Name& read, ByteView input) {
  Result<Name> again = Name::parse(read.text());
  require(again && *again == read, "a name's text reads as written", input);
  require(read.wire().size() <= kMaxNameWire, "a name has at most 255 octets", input);
  require(read.is_under(read.parent()), "a name is under its parent", input);
  require(read.reversed_key().starts_with(read.parent().reversed_key()),
          "a zone is one range of keys", input);
}

// Both as text and as wire form.
void name(ByteView input) {
  Result<Name> text = Name::parse(text_of(input));
  if (text) check_name(*text, input);
  else require(one_line(text.error()), "an error is one line", input);
  Result<Name> wire = Name::from_wire(input);
  if (!wire) return;
  require(wire->wire().size() == input.size(), "a wire name keeps its length", input);
  check_name(*wire, input);
}

void address(ByteView input) {
  std::string_view text = text_of(input);
  if (Result<IpAddress> a = parse_address(text); a)
    require(parse_address(to_string(*a)) == *a, "an address reads as written", input);
  else
    require(one_line(a.error()), "an error is one line", input);
  if (Result<Endpoint> e = parse_endpoint(text); e)
    require(parse_endpoint(to_string(*e)) == *e, "an endpoint reads as written", input);
  else
    require(one_line(e.error()), "an error is one line", input);
  if (Result<Prefix> p = parse_prefix(text); p)
    require(parse_prefix(to_string(*p)) == *p && p->contains(p->address),
            "a prefix reads as written", input);
  else
    require(one_line(p.error()), "an error is one line", input);
}

void config(ByteView input) {
  Result<host::Config> read = host::Config::parse(text_of(input), "fuzz.toml");
  if (!read) return require(one_line(read.error()), "an error is one line", input);
  read->text("zone", "");
  std::int64_t port = read->integer("port", 4753, 1, 65535);
  require(port >= 1 && port <= 65535, "an integer is within its range", input);
  read->boolean("dns.enabled", true);
  read->texts("names");
  read->endpoints("listen");
  read->addresses("dns.resolver");
  read->prefixes("pools");
  Result<void> end = read->finish();
  if (!end) require(one_line(end.error()), "an error is one line", input);
}

constexpr Target kTargets[] = {
    {"framing", framing},       {"control", control},       {"inner_control", inner_control},
    {"token_body", token_body}, {"token_text", token_text}, {"ntm_record", ntm_record},
    {"dc_record", dc_record},   {"name", name},             {"address", address},
    {"config", config},
};

}  // namespace

std::span<const Target> targets() { return kTargets; }

const Target* find_target(std::string_view wanted) {
  for (const Target& target : kTargets)
    if (wanted == target.name) return &target;
  return nullptr;
}

}  // namespace ntm::fuzz
