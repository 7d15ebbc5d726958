#pragma once
#include <cstddef>

namespace tn {

/// Bytes of this thread's stack below the caller.
std::ptrdiff_t stack_left();

}  // namespace tn
