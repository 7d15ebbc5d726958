// The tensors of a model by name, with the keys PyTorch gives them ("conv1.weight", "layers.0.bias"): member names of
// structs, indices of vectors, arrays and tuples, keys of maps, joined by points. Saving, loading, optimisers and
// exporters all walk a model this way.
#pragma once
#include <string_view>

#include "tenon/io.h"
#include "tenon/tree.h"

namespace [[gnu::visibility("default")]] tn {

/// State that is saved with a model but not trained: running averages, counters. In names it stands for its tensor.
struct Buffer {
  Tensor tensor = {};
  operator const Tensor&() const { return tensor; }
};

namespace detail {

template <class T>
struct Unmade {
  T value;
};
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-internal"
#pragma clang diagnostic ignored "-Wundefined-var-template"
#endif
template <class T>
extern const Unmade<T> unmade;  // never defined: only addresses of its members are named

template <class T>
struct MemberAddress {
  const T* address;
};
template <class T>
MemberAddress(const T*) -> MemberAddress<T>;

template <auto kAddress>
constexpr std::string_view spelled() {
  return __PRETTY_FUNCTION__;
}

template <class T, size_t kIndex>
constexpr auto member_address() {
  return MemberAddress{std::addressof(std::get<kIndex>(members(unmade<T>.value)))};
}

#ifdef __clang__
#pragma clang diagnostic pop
#endif

/// The name of an aggregate's member, read from how the compiler spells its address.
template <class T, size_t kIndex>
constexpr std::string_view member_name() {
  auto is_word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  std::string_view text = spelled<member_address<T, kIndex>()>();
  size_t end = text.rfind('}');  // an anonymous namespace has braces too
  while (!is_word(text[end - 1])) --end;
  size_t begin = end;
  while (is_word(text[begin - 1])) --begin;
  return text.substr(begin, end - begin);
}

inline std::string joined(const std::string& prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : prefix + "." + std::string(name);
}

template <class T>
concept MapLike = RangeLike<T> && requires { typename T::mapped_type; };

template <class Parts, class F>
void walk_parts(const std::string& prefix, Parts parts, F& f);

}  // namespace detail

/// Calls f(name, tensor, is_buffer) for each tensor of a tree, in order. f may rebind the tensor.
template <class T, class F>
void walk_named(T& tree, F&& f, const std::string& prefix = "") {
  using U = std::remove_const_t<T>;
  U& x = const_cast<U&>(tree);
  if constexpr (std::same_as<U, Tensor>) {
    f(prefix, x, false);
  } else if constexpr (std::same_as<U, Buffer>) {
    f(prefix, x.tensor, true);
  } else if constexpr (detail::Static<U> || detail::Opaque<U> || std::same_as<U, std::string> || std::is_empty_v<U>) {
  } else if constexpr (detail::HasFields<U>) {
    detail::walk_parts(prefix, x.fields(), f);
  } else if constexpr (detail::VariantLike<U>) {
    visit([&](auto& alternative) { walk_named(alternative, f, prefix); }, x);
  } else if constexpr (detail::OptionalLike<U>) {
    if (x.has_value()) walk_named(*x, f, prefix);
  } else if constexpr (detail::MapLike<U>) {
    for (auto& [key, value] : x) {
      if constexpr (std::is_arithmetic_v<std::decay_t<decltype(key)>>)
        walk_named(value, f, detail::joined(prefix, std::to_string(key)));
      else
        walk_named(value, f, detail::joined(prefix, key));
    }
  } else if constexpr (detail::RangeLike<U>) {
    size_t i = 0;
    for (auto& element : x) walk_named(element, f, detail::joined(prefix, std::to_string(i++)));
  } else if constexpr (detail::TupleLike<U>) {
    std::apply([&](auto&... part) { detail::walk_parts(prefix, std::tie(part...), f); }, x);
  } else {
    auto parts = detail::members(x);
    [&]<size_t... I>(std::index_sequence<I...>) {
      (walk_named(std::get<I>(parts), f, detail::joined(prefix, detail::member_name<U, I>())), ...);
    }(std::make_index_sequence<std::tuple_size_v<decltype(parts)>>());
  }
}

namespace detail {

template <class Parts, class F>
void walk_parts(const std::string& prefix, Parts parts, F& f) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    (walk_named(std::get<I>(parts), f, joined(prefix, std::to_string(I))), ...);
  }(std::make_index_sequence<std::tuple_size_v<Parts>>());
}

}  // namespace detail

/// All tensors that have a value, by name.
template <class T>
NamedTensors named_tensors(const T& tree) {
  NamedTensors found;
  walk_named(tree, [&](const std::string& name, Tensor& t, bool) {
    if (t.defined()) found.emplace_back(name, t);
  });
  return found;
}

/// The trained ones: floating tensors outside of buffers.
template <class T>
std::vector<Tensor*> parameters(const T& tree) {
  std::vector<Tensor*> found;
  walk_named(tree, [&](const std::string&, Tensor& t, bool buffer) {
    if (!buffer && t.defined() && is_float(t.dtype())) found.push_back(&t);
  });
  return found;
}

/// Number of trained numbers.
template <class T>
i64 parameter_count(const T& tree) {
  i64 n = 0;
  for (const Tensor* t : parameters(tree)) n += t->size();
  return n;
}

/// Rebinds the tensors of a tree to those of that name. One Error lists every name that is missing or not expected and
/// every shape or dtype that differs; then nothing is rebound.
void assign_named(const std::vector<std::pair<std::string, Tensor*>>& targets, const NamedTensors& values,
                  std::string_view source);

/// Writes a tree's tensors as .safetensors, atomically; `metadata` goes with them.
template <class T>
void save(const std::string& path, const T& tree,
          const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
  save_safetensors(path, named_tensors(tree), metadata);
}

/// Reads what `save` wrote into a tree of the same structure; returns the metadata.
template <class T>
std::vector<std::pair<std::string, std::string>> load(const std::string& path, T& tree) {
  SafeTensors file = load_safetensors(path);
  std::vector<std::pair<std::string, Tensor*>> targets;
  walk_named(tree, [&](const std::string& name, Tensor& t, bool) {
    if (t.defined()) targets.emplace_back(name, &t);
  });
  assign_named(targets, file.tensors, path);
  return std::move(file.metadata);
}

}  // namespace tn
