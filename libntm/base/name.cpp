// Parsing and ordering of names. Everything is lower-cased at the door, so that equality is
// equality of bytes from then on.
#include "libntm/base/name.hpp"

#include <algorithm>

#include "libntm/base/text.hpp"

namespace ntm {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Decodes one possibly escaped character at `at`; false on a bad escape.
bool next_char(std::string_view text, std::size_t& at, char& out) {
  if (text[at] != '\\') {
    out = text[at++];
    return true;
  }
  if (at + 1 >= text.size()) return false;
  if (!is_digit(text[at + 1])) {
    out = text[at + 1];
    at += 2;
    return true;
  }
  if (at + 3 >= text.size() || !is_digit(text[at + 2]) || !is_digit(text[at + 3])) return false;
  int value = (text[at + 1] - '0') * 100 + (text[at + 2] - '0') * 10 + (text[at + 3] - '0');
  if (value > 255) return false;
  out = static_cast<char>(value);
  at += 4;
  return true;
}

tl::unexpected<Error> bad_name(std::string_view text, const char* why) {
  return invalid("'" + printable(as_view(text), 80) + "' is not a domain name: " + why);
}

}  // namespace

Result<Name> Name::parse(std::string_view text) {
  Name out;
  if (text == ".") return out;
  if (text.empty()) return bad_name(text, "it is empty");
  std::string wire;
  std::string label;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '.') {
      if (label.empty()) return bad_name(text, "it has an empty label");
      wire.push_back(static_cast<char>(label.size()));
      wire += label;
      label.clear();
      ++at;
      continue;
    }
    char c = 0;
    if (!next_char(text, at, c)) return bad_name(text, "a \\ escape is incomplete");
    label.push_back(lower(c));
    if (label.size() > kMaxLabel) return bad_name(text, "a label is longer than 63 octets");
  }
  if (!label.empty()) {
    wire.push_back(static_cast<char>(label.size()));
    wire += label;
  }
  wire.push_back('\0');
  if (wire.size() > kMaxNameWire) return bad_name(text, "it is longer than 255 octets");
  out.wire_ = std::move(wire);
  return out;
}

Result<Name> Name::from_wire(ByteView wire) {
  if (wire.empty() || wire.size() > kMaxNameWire) return invalid("a wire name has a bad length");
  Name out;
  out.wire_.assign(wire.begin(), wire.end());
  std::size_t at = 0;
  while (true) {
    std::size_t length = wire[at];
    if (length == 0) break;
    if (length > kMaxLabel || at + 1 + length >= wire.size())
      return invalid("a wire name has a bad label");
    for (std::size_t i = at + 1; i <= at + length; ++i) out.wire_[i] = lower(out.wire_[i]);
    at += 1 + length;
  }
  if (at + 1 != wire.size()) return invalid("a wire name has trailing bytes");
  return out;
}

std::string Name::text() const {
  if (is_root()) return ".";
  std::string out;
  for (std::size_t at = 0; wire_[at] != 0;) {
    std::size_t length = static_cast<Byte>(wire_[at]);
    if (!out.empty()) out += '.';
    for (std::size_t i = at + 1; i <= at + length; ++i) {
      Byte c = static_cast<Byte>(wire_[i]);
      if (c == '.' || c == '\\') {
        out += '\\';
        out += static_cast<char>(c);
      } else if (c > 0x20 && c < 0x7f) {
        out += static_cast<char>(c);
      } else {
        out += '\\';
        out += static_cast<char>('0' + c / 100);
        out += static_cast<char>('0' + c / 10 % 10);
        out += static_cast<char>('0' + c % 10);
      }
    }
    at += 1 + length;
  }
  return out;
}

std::string Name::reversed_key() const {
  std::vector<std::string_view> parts;
  std::string_view all(wire_);
  for (std::size_t at = 0; wire_[at] != 0; at += 1 + static_cast<Byte>(wire_[at]))
    parts.push_back(all.substr(at + 1, static_cast<Byte>(wire_[at])));
  std::string key;
  for (std::size_t i = parts.size(); i-- > 0;) {
    for (char c : parts[i]) {
      // 0x00 ends a label and must sort below every content byte, so 0x00 and 0x01 are escaped.
      if (c == 0 || c == 1) {
        key += '\x01';
        key += static_cast<char>(c + 1);
      } else {
        key += c;
      }
    }
    key += '\0';
  }
  return key;
}

std::size_t Name::labels() const {
  std::size_t count = 0;
  for (std::size_t at = 0; wire_[at] != 0; at += 1 + static_cast<Byte>(wire_[at])) ++count;
  return count;
}

bool Name::is_under(const Name& zone) const {
  if (zone.wire_.size() > wire_.size()) return false;
  std::size_t offset = wire_.size() - zone.wire_.size();
  if (wire_.compare(offset, std::string::npos, zone.wire_) != 0) return false;
  std::size_t at = 0;
  while (at < offset) at += 1 + static_cast<Byte>(wire_[at]);
  return at == offset;  // the match begins at a label border
}

Name Name::parent() const {
  Name out;
  if (!is_root()) out.wire_ = wire_.substr(1 + static_cast<Byte>(wire_[0]));
  return out;
}

Result<Name> Name::child(std::string_view label) const {
  if (label.empty() || label.size() > kMaxLabel) return bad_name(label, "a label has 1-63 octets");
  Name out;
  out.wire_.assign(1, static_cast<char>(label.size()));
  for (char c : label) out.wire_ += lower(c);
  out.wire_ += wire_;
  if (out.wire_.size() > kMaxNameWire) return bad_name(label, "the name gets too long");
  return out;
}

}  // namespace ntm
