// Tensors made from nothing: pending too, so that they fuse with what uses them.
#include "tensor/helpers.h"

namespace tn {

static Tensor filled(std::string_view op, const Tensor& scalar, const Shape& shape, const Location& at) {
  if (shape.empty()) return scalar;
  check_extents(op, shape, at);
  return apply1(the<"broadcast">(), {scalar}, {{"shape", shape}, {"dims", std::vector<i64>()}}, at);
}

static Tensor ramp(std::string_view op, const Shape& shape, i64 axis, DType dtype, const Location& at) {
  check_extents(op, shape, at);
  return apply1(the<"iota">(), std::span<const Tensor>(), {{"shape", shape}, {"axis", axis}, {"dtype", dtype}}, at);
}

Tensor zeros(const Shape& shape, DType dtype, Location at) { return filled("zeros", fixed(0, dtype, at), shape, at); }
Tensor ones(const Shape& shape, DType dtype, Location at) { return filled("ones", fixed(1, dtype, at), shape, at); }

Tensor full(const Shape& shape, Arg value, DType dtype) {
  Tensor scalar = composed("full", [&] { return value.is_tensor() ? cast(value, dtype) : tensor_of(value, dtype); });
  if (scalar.rank() > 0) return composed("full", [&] { return broadcast_tensor(scalar, shape, value.where); });
  return filled("full", scalar, shape, value.where);
}

Tensor full(const Shape& shape, Arg value) {
  return full(shape, value, value.is_tensor() ? value.tensor().dtype() : default_dtype(value.kind()));
}

Tensor zeros_like(Arg x) {
  Tensor t = tensor_of(x);
  return zeros(shape_of(t), t.dtype(), x.where);
}

Tensor ones_like(Arg x) {
  Tensor t = tensor_of(x);
  return ones(shape_of(t), t.dtype(), x.where);
}

Tensor full_like(Arg x, Arg value) {
  Tensor t = tensor_of(x);
  return full(shape_of(t), value, t.dtype());
}

/// Without the `max` of the other form: the extent of a shape stays equal to that of the tensor it came from.
Tensor arange(Dim stop, Location at) {
  return ramp("arange", {stop.is_constant() ? max(stop, 0) : stop}, 0, DType::i64, at);
}

Tensor arange(Dim start, Dim stop, i64 step, Location at) {
  if (!step) fail("arange", "expected a step that is not 0, got 0", at);
  Dim n = max(step > 0 ? ceildiv(stop - start, step) : ceildiv(start - stop, -step), 0);
  Tensor x = ramp("arange", {n}, 0, DType::i64, at);
  if (step != 1) x = binary(the<"mul">(), x, fixed(static_cast<double>(step), DType::i64, at), at);
  if (start == Dim(0)) return x;
  return binary(the<"add">(), x, extent(start, DType::i64, at), at);
}

Tensor linspace(double start, double stop, i64 count, DType dtype, Location at) {
  if (count < 0 || !is_float(dtype))
    fail("linspace",
         "expected a count of at least 0 and a floating dtype, got " + std::to_string(count) + " and " +
             std::string(name(dtype)),
         at);
  double step = count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0;
  Array a = Array::empty(dtype, {count});
  for (i64 i = 0; i < count; ++i) a.set(i, i + 1 == count && count > 1 ? stop : start + step * static_cast<double>(i));
  return handle(new_value(std::move(a), at));
}

Tensor eye(i64 n, DType dtype, Location at) {
  Shape square{Dim(n), Dim(n)};
  Tensor diagonal =
      binary(the<"equal">(), ramp("eye", square, 0, DType::i64, at), ramp("eye", square, 1, DType::i64, at), at);
  return cast(Arg(diagonal, at), dtype);
}

/// x where column - row compares to the diagonal, else 0.
static Tensor triangle(const Arg& x, i64 diagonal, bool lower, std::string_view op) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, op, x.where)->type;
  if (type.rank() < 2) fail(op, "expected a matrix or a stack of them, got " + to_string(type), x.where);
  Shape plane{type.dim(-2), type.dim(-1)};
  Tensor shift =
      binary(the<"sub">(), ramp(op, plane, 1, DType::i64, x.where), ramp(op, plane, 0, DType::i64, x.where), x.where);
  const OpDef& compare = lower ? the<"less_equal">() : the<"greater_equal">();
  Tensor inside = binary(compare, shift, fixed(static_cast<double>(diagonal), DType::i64, x.where), x.where);
  return where(Arg(inside, x.where), Arg(t, x.where), Arg(fixed(0, type.dtype(), x.where), x.where));
}

Tensor tril(Arg x, i64 diagonal) { return triangle(x, diagonal, true, "tril"); }
Tensor triu(Arg x, i64 diagonal) { return triangle(x, diagonal, false, "triu"); }

}  // namespace tn
