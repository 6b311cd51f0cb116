// A fully qualified domain name in its canonical form: lower-case wire labels (RFC 4034 6.2).
//
// Names are keys of bytes everywhere in this project. Two forms are used: the wire form (labels
// with length octets, root last), which goes into messages and handshake prologues, and the
// reversed key (root-most label first, each label ended by 0x00 with 0x00/0x01 inside a label
// escaped), whose byte order is DNSSEC's canonical order, so that a zone is one range of keys.
#pragma once

#include <compare>
#include <string>

#include "libntm/base/bytes.hpp"
#include "libntm/base/result.hpp"

namespace ntm {

constexpr std::size_t kMaxNameWire = 255;  // RFC 1035 2.3.4
constexpr std::size_t kMaxLabel = 63;

class Name {
 public:
  Name() : wire_(1, '\0') {}  // the root
  // Presentation form, with or without the final dot; \DDD and \X escapes. ASCII is lower-cased.
  static Result<Name> parse(std::string_view text);
  // Exactly one uncompressed wire-form name; lower-cased.
  static Result<Name> from_wire(ByteView wire);

  ByteView wire() const { return as_view(wire_); }
  std::string text() const;          // without the final dot; "." for the root
  std::string reversed_key() const;  // canonical-order key, see above
  std::size_t labels() const;
  bool is_root() const { return wire_.size() == 1; }
  bool is_under(const Name& zone) const;  // equal or below
  Name parent() const;                    // of the root: the root
  Result<Name> child(std::string_view label) const;  // label + this

  auto operator<=>(const Name&) const = default;  // byte order of the wire form; not canonical

 private:
  std::string wire_;
};

inline std::string to_string(const Name& name) { return name.text(); }

}  // namespace ntm
