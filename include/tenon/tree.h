// Trees: how transforms see the arguments and results of callables. A tree is a tensor, a number, an enum, a string, or
// a struct, tuple, pair, array, vector, map, optional or variant of trees. Its leaves are its tensors, in order of
// declaration; everything else is static and part of the program that a trace makes.
//
// Structs need no macros: the public members of an aggregate (at most 16, no bases, no C arrays) are counted by brace
// initialisation. A class gives `auto fields() { return std::tie(a, b); }` instead.
#pragma once
#include <tuple>
#include <utility>

#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {

/// What a walk over a tree finds.
struct Leaves {
  std::vector<Tensor*> tensors = {};  // some may be undefined
  bool keyed = false;                 // whether the rest is wanted
  std::string key = {};               // structure and static members
  std::vector<double> numbers = {};   // floating members

  void add_bytes(const void* data, size_t size) {
    if (keyed) key.append(static_cast<const char*>(data), size);
  }
  void add_size(size_t n) { add_bytes(&n, sizeof n); }
};

namespace detail {

struct AnyMember {
  template <class T>
  constexpr operator T&() const& noexcept;
  template <class T>
  constexpr operator T&&() const&& noexcept;
};

inline constexpr size_t kMostMembers = 16;

template <class T, class... Members>
constexpr size_t member_count() {
  if constexpr (sizeof...(Members) > kMostMembers) {
    return sizeof...(Members);
  } else if constexpr (requires { T{Members{}..., AnyMember{}}; }) {
    return member_count<T, Members..., AnyMember>();
  } else {
    return sizeof...(Members);
  }
}

template <class T>
concept HasFields = requires(T& x) { x.fields(); };
template <class T>
concept VariantLike = requires(T& x) {
  x.valueless_by_exception();
  x.index();
};
template <class T>
concept OptionalLike = requires(T& x) {
  x.has_value();
  *x;
};
template <class T>
concept RangeLike = requires(T& x) {
  x.begin();
  x.end();
  x.size();
};
template <class T>
concept TupleLike = requires { std::tuple_size<T>::value; };
template <class T>
concept Opaque = std::same_as<T, Location>;
template <class T>
concept Static =
    std::is_arithmetic_v<T> || std::is_enum_v<T> || std::same_as<T, Dim> || std::same_as<T, Type> ||
    std::same_as<T, std::vector<bool>> || (std::is_pointer_v<T> && std::is_function_v<std::remove_pointer_t<T>>);
template <class T>
concept Struct = std::is_aggregate_v<T> && !std::is_array_v<T> && member_count<T>() <= kMostMembers;

/// A lambda with captures, or a class whose members cannot be seen.
template <class T>
inline constexpr bool kWalkable =
    std::same_as<T, Tensor> || Static<T> || Opaque<T> || std::same_as<T, std::string> || HasFields<T> ||
    VariantLike<T> || OptionalLike<T> || RangeLike<T> || TupleLike<T> || std::is_empty_v<T> || Struct<T>;

template <class T>
constexpr auto members(T& x) {
  constexpr size_t n = member_count<T>();
  // clang-format off
  if constexpr (n == 0) { return std::tie(); }
  else if constexpr (n == 1) { auto& [a] = x; return std::tie(a); }
  else if constexpr (n == 2) { auto& [a, b] = x; return std::tie(a, b); }
  else if constexpr (n == 3) { auto& [a, b, c] = x; return std::tie(a, b, c); }
  else if constexpr (n == 4) { auto& [a, b, c, d] = x; return std::tie(a, b, c, d); }
  else if constexpr (n == 5) { auto& [a, b, c, d, e] = x; return std::tie(a, b, c, d, e); }
  else if constexpr (n == 6) { auto& [a, b, c, d, e, f] = x; return std::tie(a, b, c, d, e, f); }
  else if constexpr (n == 7) { auto& [a, b, c, d, e, f, g] = x; return std::tie(a, b, c, d, e, f, g); }
  else if constexpr (n == 8) { auto& [a, b, c, d, e, f, g, h] = x; return std::tie(a, b, c, d, e, f, g, h); }
  else if constexpr (n == 9) { auto& [a, b, c, d, e, f, g, h, i] = x; return std::tie(a, b, c, d, e, f, g, h, i); }
  else if constexpr (n == 10) { auto& [a, b, c, d, e, f, g, h, i, j] = x; return std::tie(a, b, c, d, e, f, g, h, i, j); }
  else if constexpr (n == 11) { auto& [a, b, c, d, e, f, g, h, i, j, k] = x; return std::tie(a, b, c, d, e, f, g, h, i, j, k); }
  else if constexpr (n == 12) { auto& [a, b, c, d, e, f, g, h, i, j, k, l] = x; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l); }
  else if constexpr (n == 13) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = x; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m); }
  else if constexpr (n == 14) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o] = x; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o); }
  else if constexpr (n == 15) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p] = x; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p); }
  else { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q] = x; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q); }
  // clang-format on
}

template <class T>
void walk_static(const T& x, Leaves& out) {
  if constexpr (std::is_floating_point_v<T>) {
    if (out.keyed) out.numbers.push_back(static_cast<double>(x));
  } else if constexpr (std::same_as<T, std::vector<bool>>) {
    out.add_size(x.size());
    for (bool b : x) out.add_bytes(&b, 1);
  } else {
    out.add_bytes(static_cast<const void*>(&x), sizeof x);
  }
}

}  // namespace detail

/// Adds the leaves and the key of a tree. A const tree is only read through what is added.
template <class T>
void walk(const T& tree, Leaves& out) {
  static_assert(detail::kWalkable<T>,
                "expected a tree: tensors, numbers, strings, structs of at most 16 public members, tuples, vectors, "
                "maps, optionals; give a class `auto fields() { return std::tie(...); }`, and instead of a lambda with "
                "captures use one without (pass what it needs as arguments) or a struct with operator()");
  T& x = const_cast<T&>(tree);
  if constexpr (std::same_as<T, Tensor>) {
    out.tensors.push_back(&x);
  } else if constexpr (detail::Static<T>) {
    detail::walk_static(x, out);
  } else if constexpr (std::same_as<T, std::string>) {
    out.add_size(x.size());
    out.add_bytes(x.data(), x.size());
  } else if constexpr (detail::Opaque<T>) {
  } else if constexpr (detail::HasFields<T>) {
    std::apply([&](auto&... f) { (walk(f, out), ...); }, x.fields());
  } else if constexpr (detail::VariantLike<T>) {
    out.add_size(x.index());
    visit([&](auto& alternative) { walk(alternative, out); }, x);
  } else if constexpr (detail::OptionalLike<T>) {
    out.add_size(x.has_value());
    if (x.has_value()) walk(*x, out);
  } else if constexpr (detail::RangeLike<T>) {
    out.add_size(x.size());
    for (auto& element : x) walk(element, out);
  } else if constexpr (detail::TupleLike<T>) {
    std::apply([&](auto&... f) { (walk(f, out), ...); }, x);
  } else if constexpr (!std::is_empty_v<T>) {
    std::apply([&](auto&... f) { (walk(f, out), ...); }, detail::members(x));
  }
}

/// The tensors of a tree, in order.
template <class T>
std::vector<Tensor*> leaves(const T& tree) {
  Leaves found;
  walk(tree, found);
  return std::move(found.tensors);
}

/// The tree with each defined tensor replaced by f(tensor).
template <class T, class F>
T tree_map(F&& f, T tree) {
  for (Tensor* t : leaves(tree))
    if (t->defined()) *t = f(static_cast<const Tensor&>(*t));
  return tree;
}

/// The same over two trees of one structure: sizes, keys of maps and static members but floating ones are equal.
template <class T, class F>
T tree_map(F&& f, T a, const T& b) {
  Leaves x{.keyed = true}, y{.keyed = true};
  walk(a, x);
  walk(b, y);
  if (x.tensors.size() != y.tensors.size() || x.key != y.key)
    fail("tree_map", "expected trees of one structure, got ones that differ in sizes, keys of maps or static members");
  for (size_t i = 0; i < x.tensors.size(); ++i)
    if (Tensor& t = *x.tensors[i]; t.defined())
      t = f(static_cast<const Tensor&>(t), static_cast<const Tensor&>(*y.tensors[i]));
  return a;
}

}  // namespace tn
