// What entries of several families share: type rules by op name, checks that name the axis at fault, axes rules, and
// samples.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/name.h"
#include "ir/op_def.h"

namespace tn {

// ---------------------------------------------------------------- types

/// "f32[2, 3] and f32[2, 4], which differ on axis 1"
std::string difference(Type a, Type b);
/// The shape all operands have; Error naming the axis where two differ.
void check_same_shapes(std::string_view op, std::span<const Type> types);
/// An axis of a tensor of that rank; Error when it is outside.
void check_axis(std::string_view op, i64 axis, int rank);
/// Axes in range, each once.
void check_axes(std::string_view op, const std::vector<i64>& axes, int rank);

/// "[2, n]"
std::string shape_text(std::span<const Dim> shape);
/// No extent is a negative number.
void check_extents(std::string_view op, std::span<const Dim> shape);

/// Elementwise: the result has the operands' type.
template <Name kOp>
std::vector<Type> same_type(std::span<const Type> t, const Attrs&) {
  check_same_shapes(kOp, t);
  return {t[0]};
}
/// Elementwise: a bool of the operands' shape.
template <Name kOp>
std::vector<Type> bool_type(std::span<const Type> t, const Attrs&) {
  check_same_shapes(kOp, t);
  return {t[0].with(DType::boolean)};
}
/// The first operand's type.
inline std::vector<Type> first_type(std::span<const Type> t, const Attrs&) { return {t[0]}; }

// ---------------------------------------------------------------- axes

/// Emits the op on the batched operand with attribute `axis` shifted past the new leading axis.
template <Name kOp>
Batched batch_axis(Builder& b, Dim, ValueSpan x, const Mask&, const Attrs& attrs) {
  Values y = b.emit(op(kOp), x, attrs.with("axis", attrs.get<i64>("axis") + 1));
  Mask mask(y.size(), true);
  return {std::move(y), std::move(mask)};
}
/// The same for attribute `axes`.
template <Name kOp>
Batched batch_axes(Builder& b, Dim, ValueSpan x, const Mask&, const Attrs& attrs) {
  std::vector<i64> axes = attrs.get<std::vector<i64>>("axes");
  for (i64& a : axes) ++a;
  Values y = b.emit(op(kOp), x, attrs.with("axes", axes));
  Mask mask(y.size(), true);
  return {std::move(y), std::move(mask)};
}

// ---------------------------------------------------------------- samples

const std::vector<DType>& every_dtype();
/// `count` operands of one dtype and shape, uniform in [low, high).
Sample sample_of(DType dtype, const std::vector<i64>& shape, size_t count = 1, double low = -2, double high = 2,
                 const Attrs& attrs = {});
/// One operand of explicit values, a vector.
SampleOperand values_of(DType dtype, std::vector<double> values);
/// A call that must fail with a text.
Sample failing(std::vector<SampleOperand> operands, std::string_view error, const Attrs& attrs = {});
/// NaN, infinities, both zeros, least and greatest numbers, ones, a half.
std::vector<double> special_floats();
/// Zero, ones, the ends of the dtype.
std::vector<double> special_integers(DType dtype);
/// All pairs of these values: {first of each pair}, {second}.
std::pair<std::vector<double>, std::vector<double>> pairs_of(const std::vector<double>& values);

/// Elementwise floating op of `count` operands: every floating dtype, 0-d, empty, 17, 33, special values.
std::vector<Sample> float_samples(size_t count, double low, double high);
/// Every integer dtype, small numbers and the ends.
std::vector<Sample> integer_samples(size_t count);
std::vector<Sample> bool_samples(size_t count);
std::vector<Sample> joined(std::initializer_list<std::vector<Sample>> parts);

}  // namespace tn
