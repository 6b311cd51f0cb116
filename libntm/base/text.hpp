// Text forms of bytes: hex (lower case) and base32 (RFC 4648, lower case, no padding), which the
// enrolment token uses because people read it aloud and terminals break lines at other signs.
#pragma once

#include <string>

#include "libntm/base/bytes.hpp"
#include "libntm/base/result.hpp"

namespace ntm {

std::string to_hex(ByteView bytes);
Result<Bytes> from_hex(std::string_view text);
std::string to_base32(ByteView bytes);
Result<Bytes> from_base32(std::string_view text);  // either case; trailing bits must be zero

// At most `limit` characters, control and non-ASCII bytes as \xHH: for untrusted text in logs.
std::string printable(ByteView bytes, std::size_t limit = 80);

}  // namespace ntm
