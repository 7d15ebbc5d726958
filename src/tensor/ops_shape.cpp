#include <algorithm>

#include "tensor/helpers.h"

namespace tn {

namespace {

std::string text_of(const Shape& shape) {
  std::string text;
  for (Dim d : shape) text += (text.empty() ? "" : ", ") + to_string(d);
  return "[" + text + "]";
}

std::vector<i64> identity(i64 rank) {
  std::vector<i64> axes(static_cast<size_t>(rank));
  for (i64 i = 0; i < rank; ++i) axes[static_cast<size_t>(i)] = i;
  return axes;
}

/// The shape with its one extent of -1 filled in.
Shape completed(const Shape& shape, Type type, const Location& where) {
  Shape result = shape;
  Dim known = 1;
  Dim* open = nullptr;
  for (Dim& d : result) {
    if (d != Dim(-1)) {
      known = known * d;
      continue;
    }
    if (open) fail("reshape", "expected at most one extent of -1, got " + text_of(shape), where);
    open = &d;
  }
  if (!open) return result;
  if (known == Dim(0)) fail("reshape", "expected extents that leave no choice beside -1, got " + text_of(shape), where);
  *open = floordiv(type.size(), known);
  if (*open * known != type.size())
    fail("reshape",
         "expected a shape of " + to_string(type.size()) + " elements for " + to_string(type) + ", got " +
             text_of(shape),
         where);
  return result;
}

}  // namespace

Tensor reshape(Arg x, const Shape& shape) {
  Tensor t = tensor_of(x);
  return reshaped(t, completed(shape, node_of(t, "reshape", x.where)->type, x.where), x.where);
}

Tensor Tensor::reshape(const Shape& shape, Location at) const { return tn::reshape(Arg(*this, at), shape); }

Tensor flatten(Arg x, int first, int last) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "flatten", x.where)->type;
  if (!type.rank()) return reshaped(t, {Dim(1)}, x.where);
  i64 from = normal_axis("flatten", first, type, x.where), to = normal_axis("flatten", last, type, x.where);
  if (from > to)
    fail("flatten", "expected axes in order, got " + std::to_string(first) + " and " + std::to_string(last), x.where);
  auto have = type.shape();
  Shape shape(have.begin(), have.begin() + from);
  shape.push_back(product(have.subspan(static_cast<size_t>(from), static_cast<size_t>(to - from + 1))));
  shape.insert(shape.end(), have.begin() + to + 1, have.end());
  return reshaped(t, shape, x.where);
}

Tensor squeeze(Arg x, const Axes& axis) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "squeeze", x.where)->type;
  std::vector<i64> axes = normal_axes("squeeze", axis, type, x.where);
  Shape shape;
  for (int i = 0; i < type.rank(); ++i) {
    bool named = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (named && !axis.all && type.dim(i) != Dim(1))
      fail("squeeze", "expected an axis of extent 1, got axis " + std::to_string(i) + " of " + to_string(type),
           x.where);
    if (!named || type.dim(i) != Dim(1)) shape.push_back(type.dim(i));
  }
  return reshaped(t, shape, x.where);
}

Tensor expand_dims(Arg x, const Axes& axis) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "expand_dims", x.where)->type;
  Shape target(static_cast<size_t>(type.rank()) + axis.list.size(), Dim(0));
  if (axis.all) fail("expand_dims", "expected axes, got none", x.where);
  i64 most = static_cast<i64>(target.size());
  for (i64 a : axis.list)
    if (a < -most || a >= most)
      fail("expand_dims",
           "expected an axis from " + std::to_string(-most) + " to " + std::to_string(most - 1) +
               " of the result for " + to_string(type) + ", got " + std::to_string(a),
           x.where);
  std::vector<i64> axes = normal_axes("expand_dims", axis, type.with(target), x.where);
  Shape shape = shape_of(t);
  for (i64 a : axes) shape.insert(shape.begin() + a, Dim(1));
  return reshaped(t, shape, x.where);
}

Tensor broadcast_to(Arg x, const Shape& shape) { return broadcast_tensor(tensor_of(x), shape, x.where); }

Tensor permute(Arg x, const std::vector<i64>& axes) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "permute", x.where)->type;
  std::vector<i64> order;
  for (i64 a : axes) order.push_back(normal_axis("permute", a, type, x.where));
  std::vector<i64> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != identity(type.rank()))
    fail("permute",
         "expected each of the " + std::to_string(type.rank()) + " axes of " + to_string(type) + " once, got " +
             text_of(Shape(axes.begin(), axes.end())),
         x.where);
  return permuted(t, order, x.where);
}

Tensor transpose(Arg x) {
  Tensor t = tensor_of(x);
  std::vector<i64> axes = identity(node_of(t, "transpose", x.where)->type.rank());
  std::reverse(axes.begin(), axes.end());
  return permuted(t, axes, x.where);
}

Tensor swapaxes(Arg x, i64 a, i64 b) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "swapaxes", x.where)->type;
  std::vector<i64> axes = identity(type.rank());
  std::swap(axes[static_cast<size_t>(normal_axis("swapaxes", a, type, x.where))],
            axes[static_cast<size_t>(normal_axis("swapaxes", b, type, x.where))]);
  return permuted(t, axes, x.where);
}

Tensor moveaxis(Arg x, i64 from, i64 to) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "moveaxis", x.where)->type;
  from = normal_axis("moveaxis", from, type, x.where);
  to = normal_axis("moveaxis", to, type, x.where);
  std::vector<i64> axes = identity(type.rank());
  axes.erase(axes.begin() + from);
  axes.insert(axes.begin() + to, from);
  return permuted(t, axes, x.where);
}

Tensor concat(std::span<const Tensor> parts, i64 axis, Location at) {
  if (parts.empty()) fail("concat", "expected at least one tensor, got none", at);
  axis = normal_axis("concat", axis, node_of(parts[0], "concat", at)->type, at);
  return apply1(the<"concat">(), parts, {{"axis", axis}}, at);
}

Tensor concat(std::initializer_list<Tensor> parts, i64 axis, Location at) {
  return concat(std::span(parts.begin(), parts.size()), axis, at);
}

Tensor stack(std::span<const Tensor> parts, i64 axis, Location at) {
  if (parts.empty()) fail("stack", "expected at least one tensor, got none", at);
  std::vector<Tensor> rows;
  Type first = node_of(parts[0], "stack", at)->type;
  for (const Tensor& t : parts)
    if (Type type = node_of(t, "stack", at)->type; shape_of(t) != shape_of(parts[0]))
      fail("stack", "expected equal shapes, got " + to_string(first) + " and " + to_string(type), at);
  return composed("stack", [&] {
    for (const Tensor& t : parts) rows.push_back(expand_dims(Arg(t, at), axis));
    return concat(rows, axis, at);
  });
}

Tensor stack(std::initializer_list<Tensor> parts, i64 axis, Location at) {
  return stack(std::span(parts.begin(), parts.size()), axis, at);
}

static Tensor sliced(const Tensor& x, i64 axis, Dim start, Dim limit, const Location& where) {
  Shape starts(static_cast<size_t>(x.rank()), Dim(0)), limits = shape_of(x);
  starts[static_cast<size_t>(axis)] = start;
  limits[static_cast<size_t>(axis)] = limit;
  std::vector<i64> strides(static_cast<size_t>(x.rank()), 1);
  return apply1(the<"slice">(), {x}, {{"starts", starts}, {"limits", limits}, {"strides", strides}}, where);
}

std::vector<Tensor> split(Arg x, i64 count, i64 axis) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "split", x.where)->type;
  axis = normal_axis("split", axis, type, x.where);
  Dim extent = type.dim(static_cast<int>(axis));
  if (count < 1 || !provably_divisible(extent, count))
    fail("split",
         "expected an axis that " + std::to_string(count) + " divides, got axis " + std::to_string(axis) + " of " +
             to_string(type),
         x.where);
  Dim part = floordiv(extent, count);
  std::vector<Tensor> parts;
  for (i64 k = 0; k < count; ++k) parts.push_back(sliced(t, axis, part * k, part * (k + 1), x.where));
  return parts;
}

Tensor pad(Arg x, const Shape& low, const Shape& high, const Pad& options) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "pad", x.where)->type;
  if (static_cast<int>(low.size()) != type.rank() || static_cast<int>(high.size()) != type.rank())
    fail("pad",
         "expected a number for each axis of " + to_string(type) + ", got " + std::to_string(low.size()) + " and " +
             std::to_string(high.size()),
         x.where);
  return apply1(the<"pad">(), {t}, {{"low", low}, {"high", high}, {"value", options.value}}, x.where);
}

Tensor flip(Arg x, const Axes& axis) {
  Tensor t = tensor_of(x);
  return apply1(the<"flip">(), {t}, {{"axes", normal_axes("flip", axis, node_of(t, "flip", x.where)->type, x.where)}},
                x.where);
}

Tensor tile(Arg x, const std::vector<i64>& times) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "tile", x.where)->type;
  size_t rank = std::max(times.size(), static_cast<size_t>(type.rank()));
  Shape have(rank - static_cast<size_t>(type.rank()), Dim(1));
  have.insert(have.end(), type.shape().begin(), type.shape().end());
  Shape split_shape, wide, target;
  for (size_t i = 0; i < rank; ++i) {
    size_t k = i + times.size();
    i64 n = k < rank ? 1 : times[k - rank];
    if (n < 0) fail("tile", "expected counts of at least 0, got " + std::to_string(n), x.where);
    split_shape.insert(split_shape.end(), {Dim(1), have[i]});
    wide.insert(wide.end(), {Dim(n), have[i]});
    target.push_back(Dim(n) * have[i]);
  }
  return reshaped(broadcast_tensor(reshaped(t, split_shape, x.where), wide, x.where), target, x.where);
}

}  // namespace tn
