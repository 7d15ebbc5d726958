#include "tensor/helpers.h"

#include <algorithm>

namespace tn {

i64 normal_axis(std::string_view op, i64 axis, Type type, const Location& where) {
  if (type.rank() == 0)
    fail(op, "expected a tensor of at least one axis, got " + to_string(type) + " and axis " + std::to_string(axis),
         where);
  if (axis < -type.rank() || axis >= type.rank())
    fail(op,
         "expected an axis from " + std::to_string(-type.rank()) + " to " + std::to_string(type.rank() - 1) + " of " +
             to_string(type) + ", got " + std::to_string(axis),
         where);
  return axis < 0 ? axis + type.rank() : axis;
}

std::vector<i64> normal_axes(std::string_view op, const Axes& axes, Type type, const Location& where) {
  std::vector<i64> result;
  if (axes.all) {
    for (i64 i = 0; i < type.rank(); ++i) result.push_back(i);
    return result;
  }
  for (i64 a : axes.list) result.push_back(normal_axis(op, a, type, where));
  std::sort(result.begin(), result.end());
  auto twice = std::adjacent_find(result.begin(), result.end());
  if (twice != result.end())
    fail(op, "expected each axis of " + to_string(type) + " once, got axis " + std::to_string(*twice) + " twice",
         where);
  return result;
}

std::string renamed(std::string_view op, const std::string& message) {
  size_t end = message.empty() || message[0] != '[' ? message.npos : message.find(']');
  return "[" + std::string(op) + "]" + (end == message.npos ? " " + message : message.substr(end + 1));
}

static std::string text_of(const Shape& shape) {
  std::string text;
  for (Dim d : shape) text += (text.empty() ? "" : ", ") + to_string(d);
  return "[" + text + "]";
}

void check_extents(std::string_view op, const Shape& shape, const Location& where) {
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i].is_constant() && shape[i].value() < 0)
      fail(op, "expected an extent of at least 0 on axis " + std::to_string(i) + ", got " + text_of(shape), where);
  try {
    static_cast<void>(product(shape));
  } catch (const Error&) { fail(op, "expected a size within 63 bits, got " + text_of(shape), where); }
}

Tensor fixed(double value, DType dtype, const Location& where) {
  Pending* p = new_literal(is_float(dtype) ? Arg(value, where) : Arg(static_cast<i64>(value), where), dtype);
  p->flags |= kFixed;
  return handle(p);
}

Tensor extent(Dim n, DType dtype, const Location& where) {
  if (n.is_constant()) return fixed(static_cast<double>(n.value()), dtype, where);
  Tensor size = apply1(the<"dims">(), std::span<const Tensor>(), {{"value", Shape{n}}}, where);
  if (dtype != DType::i64) size = apply1(the<"cast">(), {size}, {{"dtype", dtype}}, where);
  return reshaped(size, {}, where);
}

std::pair<Tensor, Tensor> alike(std::string_view op, const Arg& a, const Arg& b) {
  auto number = [&](const Arg& x, DType dtype) {
    bool ok = x.kind() == Arg::Kind::boolean   ? dtype == DType::boolean
              : x.kind() == Arg::Kind::integer ? dtype != DType::boolean
                                               : is_float(dtype);
    if (!ok)
      fail(op, "expected a number that a tensor of " + std::string(name(dtype)) + " can take; use cast", x.where);
    return tensor_of(x, dtype);
  };
  auto dtype = [&](const Arg& x) { return node_of(x.tensor(), op, x.where)->type.dtype(); };
  if (a.is_tensor() && !b.is_tensor()) return {a.tensor(), number(b, dtype(a))};
  if (b.is_tensor() && !a.is_tensor()) return {number(a, dtype(b)), b.tensor()};
  if (!a.is_tensor()) {
    DType x = default_dtype(a.kind()), y = default_dtype(b.kind());
    DType both = is_float(x) || y == DType::boolean ? x : y;
    return {number(a, both), number(b, both)};
  }
  if (dtype(a) == dtype(b)) return {a.tensor(), b.tensor()};
  DType both;
  try {
    both = promote(dtype(a), dtype(b));
  } catch (const Error&) {
    fail(op,
         "expected dtypes of one kind, got " + to_string(a.tensor().type()) + " and " + to_string(b.tensor().type()) +
             "; use cast, nothing is promoted across kinds",
         a.where);
  }
  auto as = [&](const Arg& x) {
    return dtype(x) == both ? x.tensor() : apply1(the<"cast">(), {x.tensor()}, {{"dtype", both}}, x.where);
  };
  return {as(a), as(b)};
}

Tensor binary(const OpDef& op, const Tensor& a, const Tensor& b, const Location& where) {
  Arg x(a, where), y(b, where);
  return elementwise(op, {&x, &y});
}

Tensor unary(const OpDef& op, const Tensor& x, const Location& where) {
  Arg a(x, where);
  return elementwise(op, {&a});
}

Tensor reshaped(const Tensor& x, const Shape& shape, const Location& where) {
  auto have = node_of(x, "reshape", where)->type.shape();
  if (std::equal(have.begin(), have.end(), shape.begin(), shape.end())) return x;
  return apply1(the<"reshape">(), {x}, {{"shape", shape}}, where);
}

Tensor broadcast_tensor(const Tensor& x, const Shape& shape, const Location& where) {
  Type t = node_of(x, "broadcast_to", where)->type;
  auto have = t.shape();
  if (std::equal(have.begin(), have.end(), shape.begin(), shape.end())) return x;
  std::vector<i64> dims;
  for (size_t i = shape.size() - have.size(); i < shape.size(); ++i) dims.push_back(static_cast<i64>(i));
  bool ok = have.size() <= shape.size();
  for (size_t i = 0; ok && i < have.size(); ++i)
    ok = have[i] == Dim(1) || have[i] == shape[shape.size() - have.size() + i];
  if (!ok) {
    fail("broadcast_to", "expected a shape that " + to_string(t) + " broadcasts to, got " + text_of(shape), where);
  }
  check_extents("broadcast_to", shape, where);
  return apply1(the<"broadcast">(), {x}, {{"shape", shape}, {"dims", dims}}, where);
}

Tensor permuted(const Tensor& x, const std::vector<i64>& axes, const Location& where) {
  if (std::is_sorted(axes.begin(), axes.end())) return x;
  return apply1(the<"permute">(), {x}, {{"axes", axes}}, where);
}

}  // namespace tn
