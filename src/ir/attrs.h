// Attributes of a node: data only (name -> value), checked against the op's signature when a node is built.
// Interned and reference-counted: equal attributes are one object, so comparing and hashing a node is cheap.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/array.h"
#include "tenon/dim.h"
#include "tenon/type.h"

namespace tn {

class Graph;
using GraphPtr = std::shared_ptr<const Graph>;

/// One attribute value. Doubles compare by bits (NaN equals itself, -0 differs from 0), arrays by identity of storage
/// or equal bytes, graphs by identity (they are interned).
using Attr =
    std::variant<bool, i64, double, std::string, DType, std::vector<i64>, std::vector<double>, Shape, Array, GraphPtr>;
enum class AttrKind : u8 { boolean, integer, floating, string, dtype, integers, floats, dims, array, graph };
static_assert(std::variant_size_v<Attr> == 10);

using NamedAttr = std::pair<std::string, Attr>;
struct AttrsData;

/// An immutable set of named attributes; one pointer.
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<NamedAttr> items) : Attrs(std::vector<NamedAttr>(items)) {}
  explicit Attrs(std::vector<NamedAttr> items);
  Attrs(const Attrs& other);
  Attrs(Attrs&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Attrs& operator=(Attrs other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~Attrs();

  bool empty() const { return !data_; }
  /// Sorted by name.
  std::span<const NamedAttr> items() const;
  const Attr* find(std::string_view name) const;
  /// The value of that name and kind; InternalError when missing (signatures are checked before).
  template <class T>
  const T& get(std::string_view name) const {
    const Attr* a = find(name);
    if (!a || !std::holds_alternative<T>(*a)) missing(name);
    return std::get<T>(*a);
  }
  template <class T>
  T get(std::string_view name, T otherwise) const {
    const Attr* a = find(name);
    return a && std::holds_alternative<T>(*a) ? std::get<T>(*a) : otherwise;
  }
  /// A copy with one attribute set.
  Attrs with(std::string_view name, Attr value) const;
  Attrs without(std::string_view name) const;
  u64 hash() const;
  const AttrsData* data() const { return data_; }
  bool operator==(const Attrs& other) const { return data_ == other.data_; }

 private:
  [[noreturn]] void missing(std::string_view name) const;
  const AttrsData* data_ = nullptr;
};

}  // namespace tn
