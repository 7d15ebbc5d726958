// Type: what a value of a graph is. Interned, so equality is pointer equality.
#pragma once
#include <initializer_list>
#include <span>
#include <string>

#include "tenon/dim.h"

namespace [[gnu::visibility("default")]] tn {

struct TypeData;
using Shape = std::vector<Dim>;

/// A tensor type (dtype and shape, where an extent may be symbolic), or a token that orders effects.
class Type {
 public:
  enum class Kind : u8 { tensor, token };

  Type() = default;
  explicit Type(const TypeData* data) : data_(data) {}
  static Type tensor(DType dtype, std::span<const Dim> shape);
  static Type tensor(DType dtype, std::initializer_list<Dim> shape) {
    return tensor(dtype, std::span(shape.begin(), shape.size()));
  }
  static Type token();

  explicit operator bool() const { return data_; }
  Kind kind() const;
  bool is_tensor() const { return kind() == Kind::tensor; }
  DType dtype() const;
  std::span<const Dim> shape() const;
  int rank() const { return static_cast<int>(shape().size()); }
  Dim dim(int axis) const { return shape()[axis < 0 ? axis + rank() : axis]; }
  /// Number of elements.
  Dim size() const;
  /// Same shape, other dtype; same dtype, other shape.
  Type with(DType dtype) const { return tensor(dtype, shape()); }
  Type with(std::span<const Dim> shape) const { return tensor(dtype(), shape); }
  const TypeData* data() const { return data_; }
  bool operator==(const Type&) const = default;

 private:
  const TypeData* data_ = nullptr;
};

/// "f32[n, 3]", "i64[]", "token".
std::string to_string(Type t);
/// A floating tensor: it has tangents and cotangents of its own type.
bool differentiable(Type t);

}  // namespace tn
