// A string as a template argument.
#pragma once
#include <algorithm>
#include <cstddef>

namespace tn {

template <size_t N>
struct Name {
  char text[N];
  constexpr Name(const char (&t)[N]) { std::copy_n(t, N, text); }
};

}  // namespace tn
