// Ops as functions on Values: what rules of ops, transforms and importers are written with. Each emits one node (or a
// few) into the builder of its operands. Nothing broadcasts here: elementwise operands have equal types.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "ir/op_def.h"

namespace tn {

// ---------------------------------------------------------------- looking at values

Shape shape_of(Value v);
/// The node that makes a value; null for an input. Valid until the next node is emitted.
const Node* producer(Value v);
/// The array of a `constant` node.
std::optional<Array> constant_array(Value v);
/// The number a value holds everywhere, when it is a constant (maybe broadcast, reshaped or cast).
std::optional<double> constant_number(Value v);

// ---------------------------------------------------------------- constants

Value constant(Builder& b, const Array& value, std::string_view name = "");
/// A scalar; integers take the number truncated, bools whether it is not 0.
Value constant(Builder& b, double number, DType dtype);
/// The number everywhere.
Value constant(Builder& b, double number, Type type);
Value zeros(Builder& b, Type type);
Value ones(Builder& b, Type type);
Value constant_like(Value x, double number);
Value zeros_like(Value x);
Value ones_like(Value x);
/// 0, 1, 2 ... along `axis`.
Value iota(Builder& b, const Shape& shape, i64 axis, DType dtype);
/// A size as a scalar, symbolic or not.
Value dim_value(Builder& b, Dim d, DType dtype);

// ---------------------------------------------------------------- elementwise

Value add(Value a, Value b);
Value sub(Value a, Value b);
Value mul(Value a, Value b);
Value div(Value a, Value b);
/// With a constant of a's type.
Value add(Value a, double b);
Value sub(Value a, double b);
Value sub(double a, Value b);
Value mul(Value a, double b);
Value div(Value a, double b);
Value div(double a, Value b);
Value floor_divide(Value a, Value b);
Value remainder(Value a, Value b);
Value pow(Value a, Value b);
Value maximum(Value a, Value b);
Value minimum(Value a, Value b);
Value neg(Value x);
Value exp(Value x);
Value log(Value x);
Value log1p(Value x);
Value expm1(Value x);
Value sin(Value x);
Value cos(Value x);
Value tanh(Value x);
Value sigmoid(Value x);
Value erf(Value x);
Value sqrt(Value x);
Value rsqrt(Value x);
Value abs(Value x);
Value sign(Value x);
Value floor(Value x);
Value equal(Value a, Value b);
Value not_equal(Value a, Value b);
Value less(Value a, Value b);
Value less_equal(Value a, Value b);
Value greater(Value a, Value b);
Value greater_equal(Value a, Value b);
Value logical_and(Value a, Value b);
Value logical_or(Value a, Value b);
Value logical_not(Value x);
/// a where p, else b; all three of one shape.
Value select(Value p, Value a, Value b);
/// x itself when it has that dtype.
Value cast(Value x, DType dtype);
Value stop_gradient(Value x);

// ---------------------------------------------------------------- reductions

/// The axes are dropped; no axes give x itself. So for all of these.
Value sum(Value x, const std::vector<i64>& axes);
Value max(Value x, const std::vector<i64>& axes);
Value min(Value x, const std::vector<i64>& axes);
Value prod(Value x, const std::vector<i64>& axes);
Value any(Value x, const std::vector<i64>& axes);
Value all(Value x, const std::vector<i64>& axes);
/// Sum over the number of elements; NaN when there are none.
Value mean(Value x, const std::vector<i64>& axes);
Value argmax(Value x, i64 axis);
/// `reverse` sums from the last element on.
Value cumsum(Value x, i64 axis, bool reverse = false);
/// All axes of x.
std::vector<i64> all_axes(Value x);
/// first, first + 1, ... before last.
std::vector<i64> axis_range(i64 first, i64 last);

// ---------------------------------------------------------------- shape

/// Axis i of x becomes axis dims[i] of the result; an extent of 1 expands.
Value broadcast(Value x, const Shape& shape, const std::vector<i64>& dims);
/// As NumPy does: the last axes are matched.
Value broadcast_to(Value x, const Shape& shape);
/// A reduction's result back along the axes it was reduced over.
Value broadcast_along(Value reduced, const Shape& shape, const std::vector<i64>& axes);
/// x itself when it has that shape.
Value reshape(Value x, const Shape& shape);
/// Result axis i is axis axes[i] of x; x itself when that is the identity.
Value permute(Value x, const std::vector<i64>& axes);
Value move_axis(Value x, i64 from, i64 to);
/// x without its extent-1 axis; with a new one.
Value drop_axis(Value x, i64 axis);
Value add_axis(Value x, i64 axis);
Value concat(ValueSpan parts, i64 axis);
/// Starts, limits and strides by axis; the second form along one axis only.
Value slice(Value x, const Shape& starts, const Shape& limits, const std::vector<i64>& strides);
Value slice(Value x, i64 axis, Dim start, Dim limit, i64 stride = 1);
Value pad(Value x, const Shape& low, const Shape& high, double value = 0);
Value flip(Value x, const std::vector<i64>& axes);

// ---------------------------------------------------------------- indexing, contraction

Value gather(Value x, Value indices, i64 axis);
Value scatter(Value x, Value indices, Value updates, i64 axis, std::string_view mode);
Value matmul(Value a, Value b);
Value einsum(std::string_view spec, Value a, Value b);
/// The general product of two tensors: result axes are batch, free axes of a, free axes of b.
Value dot(Value a, Value b, const std::vector<i64>& lhs_batch, const std::vector<i64>& rhs_batch,
          const std::vector<i64>& lhs_contract, const std::vector<i64>& rhs_contract);

// ---------------------------------------------------------------- batching

/// x broadcast along a new leading axis of extent n.
Value to_lanes(Value x, Dim n);
/// All operands with the leading axis: those without get one.
Values all_to_lanes(ValueSpan x, const Mask& batched, Dim n);
/// Each plus one.
std::vector<i64> shifted(const std::vector<i64>& axes);
/// The shape with a leading extent.
Shape with_leading(Dim n, std::span<const Dim> shape);
/// Results that are all batched.
Batched all_batched(Values values);
/// The expansion of an op, emitted.
Values expand(Builder& b, const OpDef& op, ValueSpan x, const Attrs& attrs);

}  // namespace tn
