// A name as a template argument, so that a function shared by many ops can say whose operands are wrong.
#pragma once
#include <algorithm>
#include <cstddef>
#include <string_view>

namespace tn {

template <size_t N>
struct Name {
  char text[N];
  constexpr Name(const char (&from)[N]) { std::copy_n(from, N, text); }
  constexpr operator std::string_view() const { return {text, N - 1}; }
};

}  // namespace tn
