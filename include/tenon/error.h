// Errors. A user's mistake throws Error, a bug of ours InternalError; messages are built only on failure.
#pragma once
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace [[gnu::visibility("default")]] tn {

/// The place in the user's program a value or a call comes from; one pointer in size.
using Location = std::source_location;

/// A mistake in what the caller gave: `[op] expected X, got Y; the fix (file.cpp:12)`.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A broken promise inside Tenon; please report it with its text.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Throws Error with "[op] message".
[[noreturn]] void fail(std::string_view op, std::string_view message);
/// Throws Error with "[op] message (file.cpp:12)".
[[noreturn]] void fail(std::string_view op, std::string_view message, const Location& where);
/// Throws InternalError.
[[noreturn]] void internal(std::string_view message);
/// "file.cpp:12", the file without its folders.
std::string to_string(const Location& where);

}  // namespace tn
