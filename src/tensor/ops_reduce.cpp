// Reductions with options: axes are normalised, dropped by the op, and put back where they are kept.
#include "tensor/helpers.h"

namespace tn {

namespace {

/// The shape with the reduced axes of extent 1.
Shape kept_shape(Type type, const std::vector<i64>& axes) {
  Shape shape(type.shape().begin(), type.shape().end());
  for (i64 a : axes) shape[static_cast<size_t>(a)] = 1;
  return shape;
}

Tensor keep(const Tensor& reduced, Type before, const std::vector<i64>& axes, bool keepdims, const Location& where) {
  return keepdims ? reshaped(reduced, kept_shape(before, axes), where) : reduced;
}

/// Integers and bools in i64, so that few of them do not wrap.
Tensor of_64_bits(const Tensor& x, const Location& where) {
  return is_float(x.dtype()) || x.dtype() == DType::i64 ? x : cast(Arg(x, where), DType::i64);
}

enum class Taken : u8 { as_is, of_64_bits };
Tensor reduce(const OpDef& op, const Arg& x, const Reduce& options, Taken taken = Taken::as_is) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, op.name, x.where)->type;
  std::vector<i64> axes = normal_axes(op.name, options.axis, type, x.where);
  if (taken == Taken::of_64_bits) t = of_64_bits(t, x.where);
  return keep(apply1(op, {t}, {{"axes", axes}}, x.where), type, axes, options.keepdims, x.where);
}

/// How many elements one result is made of.
Tensor count_of(Type type, const std::vector<i64>& axes, const Location& where) {
  Dim n = 1;
  for (i64 a : axes) n = n * type.dim(static_cast<int>(a));
  return extent(n, type.dtype(), where);
}

/// f(x in f32 where it is a float of 16 bits), rounded once at the end: counts and sums do not fit those.
template <class F>
Tensor widened(const Tensor& x, const Location& where, F f) {
  DType dtype = x.dtype();
  if (bits(dtype) != 16) return f(x);
  return cast(Arg(f(cast(Arg(x, where), DType::f32)), where), dtype);
}

void check_floating(std::string_view op, Type type, const Location& where) {
  if (!is_float(type.dtype())) fail(op, "expected a floating tensor, got " + to_string(type) + "; use cast", where);
}

}  // namespace

Tensor sum(Arg x, const Reduce& options) { return reduce(the<"sum">(), x, options, Taken::of_64_bits); }
Tensor prod(Arg x, const Reduce& options) { return reduce(the<"prod">(), x, options, Taken::of_64_bits); }
Tensor max(Arg x, const Reduce& options) { return reduce(the<"max">(), x, options); }
Tensor min(Arg x, const Reduce& options) { return reduce(the<"min">(), x, options); }
Tensor any(Arg x, const Reduce& options) { return reduce(the<"any">(), x, options); }
Tensor logsumexp(Arg x, const Reduce& options) { return reduce(the<"logsumexp">(), x, options); }
Tensor All::operator()(Arg x, const Reduce& options) const { return reduce(the<"all">(), x, options); }

Tensor mean(Arg x, const Reduce& options) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "mean", x.where)->type;
  check_floating("mean", type, x.where);
  std::vector<i64> axes = normal_axes("mean", options.axis, type, x.where);
  Tensor result = widened(t, x.where, [&](const Tensor& v) {
    Tensor total = apply1(the<"sum">(), {v}, {{"axes", axes}}, x.where);
    return binary(the<"div">(), total, count_of(v.type(), axes, x.where), x.where);
  });
  return keep(result, type, axes, options.keepdims, x.where);
}

Moments moments(Arg x, const Axes& axis) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, "moments", x.where)->type;
  std::vector<Tensor> both =
      apply(the<"moments">(), std::span(&t, 1), {{"axes", normal_axes("moments", axis, type, x.where)}}, x.where);
  return {both[0], both[1]};
}

static Tensor spread(const char* name, const Arg& x, const Variance& options, bool root) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, name, x.where)->type;
  check_floating(name, type, x.where);
  std::vector<i64> axes = normal_axes(name, options.axis, type, x.where);
  // Two passes: squares in one pass (moments) lose their digits where the first element lies far from the others.
  Tensor result = widened(t, x.where, [&](const Tensor& v) {
    auto total = [&](const Tensor& u) { return apply1(the<"sum">(), {u}, {{"axes", axes}}, x.where); };
    Tensor n = count_of(v.type(), axes, x.where);
    Tensor center = keep(binary(the<"div">(), total(v), n, x.where), type, axes, true, x.where);
    Tensor d = binary(the<"sub">(), v, center, x.where);
    Tensor square = total(binary(the<"mul">(), d, d, x.where));
    if (options.correction)
      n = binary(the<"sub">(), n, fixed(static_cast<double>(options.correction), v.dtype(), x.where), x.where);
    square = binary(the<"div">(), square, n, x.where);
    return root ? unary(the<"sqrt">(), square, x.where) : square;
  });
  return keep(result, type, axes, options.keepdims, x.where);
}

Tensor var(Arg x, const Variance& options) { return spread("var", x, options, false); }
Tensor stddev(Arg x, const Variance& options) { return spread("stddev", x, options, true); }

static Tensor arg_reduce(const OpDef& op, const Arg& x, Tensor t, const ArgReduce& options) {
  Type type = t.node()->type;
  if (options.axis.all) {
    Tensor flat = reshaped(t, {type.size()}, x.where);
    Tensor result = apply1(op, {flat}, {{"axis", i64{0}}}, x.where);
    return options.keepdims ? reshaped(result, Shape(static_cast<size_t>(type.rank()), Dim(1)), x.where) : result;
  }
  std::vector<i64> axes = normal_axes(op.name, options.axis, type, x.where);
  if (axes.size() != 1)
    fail(op.name, "expected one axis or none, got " + std::to_string(axes.size()) + "; reshape first", x.where);
  return keep(apply1(op, {t}, {{"axis", axes[0]}}, x.where), type, axes, options.keepdims, x.where);
}

Tensor argmax(Arg x, const ArgReduce& options) {
  Tensor t = tensor_of(x);
  node_of(t, "argmax", x.where);
  return arg_reduce(the<"argmax">(), x, t, options);
}

Tensor argmin(Arg x, const ArgReduce& options) {
  Tensor t = tensor_of(x);
  DType dtype = node_of(t, "argmin", x.where)->type.dtype();
  if (dtype == DType::boolean)
    fail("argmin", "expected a number for operand 'x', got " + to_string(t.type()) + "; use cast", x.where);
  // The greatest of what is turned upside down; -1 - x does it for integers without overflow.
  Tensor turned = is_float(dtype) ? neg(Arg(t, x.where))
                                  : binary(the<"sub">(),
                                           fixed(is_signed(dtype)     ? -1
                                                 : dtype == DType::u8 ? 255.0
                                                                      : 4294967295.0,
                                                 dtype, x.where),
                                           t, x.where);
  return composed("argmin", [&] { return arg_reduce(the<"argmax">(), x, turned, options); });
}

Tensor cumsum(Arg x, const AxisOption& options) {
  Tensor t = tensor_of(x);
  i64 axis = normal_axis("cumsum", options.axis, node_of(t, "cumsum", x.where)->type, x.where);
  return apply1(the<"cumsum">(), {of_64_bits(t, x.where)}, {{"axis", axis}}, x.where);
}

Sorted sort(Arg x, const Sort& options) {
  Tensor t = tensor_of(x);
  i64 axis = normal_axis("sort", options.axis, node_of(t, "sort", x.where)->type, x.where);
  std::vector<Tensor> both =
      apply(the<"sort">(), std::span(&t, 1), {{"axis", axis}, {"descending", options.descending}}, x.where);
  return {both[0], both[1]};
}

Tensor argsort(Arg x, const Sort& options) {
  return composed("argsort", [&] { return sort(x, options).indices; });
}

}  // namespace tn
