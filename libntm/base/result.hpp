// Expected failure as a value: Result<T> is a T or an Error that says what went wrong in words a
// person can act on. Our own bugs are asserts; exceptions stay at library borders.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace ntm {

enum class ErrorKind {
  Invalid,      // the input is wrong; repeating it can't help
  NotFound,     // an answer: the thing does not exist
  Unavailable,  // could not ask or act; the state is unknown or unchanged, try again
  Denied,       // authentication or policy says no
  Conflict,     // the thing exists already, or changed meanwhile
  Full,         // a named bound is reached
  Internal,     // a library or the system failed in a way that is no fault of the input
};
const char* to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::Internal;
  std::string text;  // one line, no trailing stop; says what to do where that is known
};

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

inline tl::unexpected<Error> fail(ErrorKind kind, std::string text) {
  return tl::unexpected<Error>(Error{kind, std::move(text)});
}
inline tl::unexpected<Error> invalid(std::string text) {
  return fail(ErrorKind::Invalid, std::move(text));
}
inline tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

}  // namespace ntm
