// What the public operations share: axes, shapes and numbers as attributes.
#pragma once
#include <optional>
#include <string_view>

#include "tenon/ops.h"
#include "tensor/record.h"

namespace tn {

/// An axis counted from the front; Error naming the tensor when there is none.
i64 normal_axis(std::string_view op, i64 axis, Type type, const Location& where);
/// The axes in ascending order, each once; all of them when none is given.
std::vector<i64> normal_axes(std::string_view op, const Axes& axes, Type type, const Location& where);
/// Error when an extent is negative or all together are more than a size holds.
void check_extents(std::string_view op, const Shape& shape, const Location& where);
/// A number that is part of the program.
Tensor fixed(double value, DType dtype, const Location& where);
/// A size as a scalar, symbolic or not.
Tensor extent(Dim n, DType dtype, const Location& where);
/// Both as tensors of one dtype.
std::pair<Tensor, Tensor> alike(std::string_view op, const Arg& a, const Arg& b);
Tensor binary(const OpDef& op, const Tensor& a, const Tensor& b, const Location& where);
Tensor unary(const OpDef& op, const Tensor& x, const Location& where);
Tensor reshaped(const Tensor& x, const Shape& shape, const Location& where);
Tensor broadcast_tensor(const Tensor& x, const Shape& shape, const Location& where);
Tensor permuted(const Tensor& x, const std::vector<i64>& axes, const Location& where);
/// The message with that operation named first.
std::string renamed(std::string_view op, const std::string& message);
/// f(), an error of which names the operation the user called, not the one it is made of.
template <class F>
auto composed(std::string_view op, F f) {
  try {
    return f();
  } catch (const Error& e) { throw Error(renamed(op, e.what())); }
}
/// As NumPy prints it.
std::string array_text(const Array& a);
inline Shape shape_of(const Tensor& x) { return {x.shape().begin(), x.shape().end()}; }

}  // namespace tn
