// Softmax and its relatives, normalisations, losses: composites that expand into reductions and maps. Operands of 16
// bits are widened to f32 inside and results rounded once. Fusion makes one kernel of each; the tangents given here use
// results instead of intermediates, so that less is kept for the backward pass.
#include <algorithm>
#include <cmath>
#include <limits>

#include "op/emit.h"
#include "op/families.h"
#include "op/rules.h"

namespace tn {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

DType wide(DType d) { return bits(d) < 32 ? DType::f32 : d; }
Value widened(Value x) { return cast(x, wide(x.dtype())); }

std::vector<i64> axis_of(const Attrs& a) { return {a.get<i64>("axis")}; }
const std::vector<i64>& axes_of(const Attrs& a) { return a.get<std::vector<i64>>("axes"); }
Value along(Value reduced, Value like, const std::vector<i64>& axes) {
  return broadcast_along(reduced, shape_of(like), axes);
}

template <Name kOp>
std::vector<Type> along_type(std::span<const Type> t, const Attrs& a) {
  check_axis(kOp, a.get<i64>("axis"), t[0].rank());
  return {t[0]};
}

Shape dropped(Type t, const std::vector<i64>& axes) {
  Shape kept;
  for (int i = 0; i < t.rank(); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) kept.push_back(t.dim(i));
  return kept;
}

// ---------------------------------------------------------------- softmax, log_softmax, logsumexp

/// Rows without elements: nothing to normalise.
bool rows_empty(Value x, const Attrs& a) { return x.shape()[static_cast<size_t>(axis_of(a)[0])] == Dim(0); }

Values softmax_expand(Builder&, ValueSpan x, const Attrs& a) {
  if (rows_empty(x[0], a)) return {x[0]};
  Value v = widened(x[0]);
  Value top = stop_gradient(max(v, axis_of(a)));
  Value e = exp(sub(v, along(top, v, axis_of(a))));
  Value share = div(1, sum(e, axis_of(a)));  // one division a row: the sum is at least 1
  return {cast(mul(e, along(share, e, axis_of(a))), x[0].dtype())};
}

Values softmax_tangent(Builder&, ValueSpan, ValueSpan y, ValueSpan t, const Attrs& a) {
  Value weighted = mul(y[0], t[0]);
  return {sub(weighted, mul(y[0], along(sum(weighted, axis_of(a)), weighted, axis_of(a))))};
}

Values log_softmax_expand(Builder&, ValueSpan x, const Attrs& a) {
  if (rows_empty(x[0], a)) return {x[0]};
  Value v = widened(x[0]);
  Value shifted_v = sub(v, along(stop_gradient(max(v, axis_of(a))), v, axis_of(a)));
  Value log_sum = log(sum(exp(shifted_v), axis_of(a)));
  return {cast(sub(shifted_v, along(log_sum, v, axis_of(a))), x[0].dtype())};
}

Values log_softmax_tangent(Builder&, ValueSpan, ValueSpan y, ValueSpan t, const Attrs& a) {
  return {sub(t[0], along(sum(mul(exp(y[0]), t[0]), axis_of(a)), t[0], axis_of(a)))};
}

/// The greatest where it is finite, else 0, so that infinities go through exp and log unharmed.
Value finite_top(Value v, const std::vector<i64>& axes) {
  Value top = max(v, axes);
  Value finite = less(abs(top), constant_like(top, kInfinity));
  return stop_gradient(select(finite, top, zeros_like(top)));
}

std::vector<Type> logsumexp_type(std::span<const Type> t, const Attrs& a) {
  check_axes("logsumexp", axes_of(a), t[0].rank());
  return {t[0].with(dropped(t[0], axes_of(a)))};
}

Values logsumexp_expand(Builder& b, ValueSpan x, const Attrs& a) {
  Value v = widened(x[0]);
  for (i64 axis : axes_of(a))
    if (v.shape()[static_cast<size_t>(axis)] == Dim(0))
      return {constant(b, -kInfinity, x[0].type().with(dropped(x[0].type(), axes_of(a))))};
  Value top = finite_top(v, axes_of(a));
  Value s = sum(exp(sub(v, along(top, v, axes_of(a)))), axes_of(a));
  return {cast(add(log(s), top), x[0].dtype())};
}

Values logsumexp_tangent(Builder&, ValueSpan x, ValueSpan y, ValueSpan t, const Attrs& a) {
  Value share = exp(sub(x[0], along(y[0], x[0], axes_of(a))));
  return {sum(mul(share, t[0]), axes_of(a))};
}

// ---------------------------------------------------------------- moments and normalisations

std::vector<Type> moments_type(std::span<const Type> t, const Attrs& a) {
  check_axes("moments", axes_of(a), t[0].rank());
  Type r = t[0].with(dropped(t[0], axes_of(a)));
  return {r, r};
}

bool are_last(const std::vector<i64>& axes, int rank) {
  std::vector<i64> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  return sorted == axis_range(rank - static_cast<i64>(axes.size()), rank);
}

/// Rows are read twice from the cache, so their mean comes first. Other axes are read once: sums of x - s and its
/// square, where s is the first element, which keeps the difference of the two from cancelling.
Values moments_expand(Builder& b, ValueSpan x, const Attrs& a) {
  const std::vector<i64>& axes = axes_of(a);
  Value v = widened(x[0]);
  auto empty = [&](i64 axis) { return v.shape()[static_cast<size_t>(axis)] == Dim(0); };
  if (are_last(axes, v.rank()) || std::any_of(axes.begin(), axes.end(), empty)) {
    Value m = mean(v, axes), d = sub(v, along(m, v, axes));
    return {cast(m, x[0].dtype()), cast(mean(mul(d, d), axes), x[0].dtype())};
  }
  Value first = v;
  for (i64 axis : axes) first = slice(first, axis, 0, 1);
  first = stop_gradient(reshape(first, dropped(v.type(), axes)));
  Value d = sub(v, along(first, v, axes));
  Value m = mean(d, axes), square = mean(mul(d, d), axes);
  Value variance = maximum(sub(square, mul(m, m)), zeros(b, m.type()));
  return {cast(add(first, m), x[0].dtype()), cast(variance, x[0].dtype())};
}

/// The mean by a product with a number, which is linear in x.
Value linear_mean(Value x, const std::vector<i64>& axes) {
  Dim count = 1;
  for (i64 axis : axes) count = count * x.shape()[static_cast<size_t>(axis)];
  Value s = sum(x, axes);
  Value share = count.is_constant() ? constant(*x.builder, 1 / static_cast<double>(count.value()), x.dtype())
                                    : div(1, dim_value(*x.builder, count, x.dtype()));
  return mul(s, broadcast(share, shape_of(s), {}));
}

Values moments_tangent(Builder&, ValueSpan x, ValueSpan y, ValueSpan t, const Attrs& a) {
  Value v = widened(x[0]), tangent = widened(t[0]);
  Value d = sub(v, along(widened(y[0]), v, axes_of(a)));
  Value mean = linear_mean(tangent, axes_of(a)), square = mul(linear_mean(mul(d, tangent), axes_of(a)), 2);
  return {cast(mean, x[0].dtype()), cast(square, x[0].dtype())};
}

void check_vector(std::string_view op_name, std::string_view operand, Type t, Type x, int axis) {
  if (t.rank() == 1 && t.dim(0) == x.dim(axis)) return;
  fail(op_name, "expected '" + std::string(operand) + "' to have the extent " + to_string(x.dim(axis)) + " of axis " +
                    std::to_string(axis) + " of " + to_string(x) + ", got " + to_string(t) + "; reshape it");
}

std::vector<Type> layer_norm_type(std::span<const Type> t, const Attrs&) {
  if (t[0].rank() == 0) fail("layer_norm", "expected at least one axis to normalise, got " + to_string(t[0]));
  check_vector("layer_norm", "scale", t[1], t[0], t[0].rank() - 1);
  check_vector("layer_norm", "bias", t[2], t[0], t[0].rank() - 1);
  return {t[0]};
}

Values layer_norm_expand(Builder& b, ValueSpan x, const Attrs& a) {
  static const OpDef& moments_op = op("moments");
  Value v = widened(x[0]);
  std::vector<i64> last{v.rank() - 1};
  Values m = b.emit(moments_op, Values{v}, {{"axes", last}});
  Value factor = rsqrt(add(m[1], a.get<double>("epsilon")));
  Value y = mul(sub(v, along(m[0], v, last)), along(factor, v, last));
  Value scale = broadcast_to(widened(x[1]), shape_of(v)), bias = broadcast_to(widened(x[2]), shape_of(v));
  return {cast(add(mul(y, scale), bias), x[0].dtype())};
}

std::vector<Type> batch_norm_type(std::span<const Type> t, const Attrs&) {
  if (t[0].rank() < 2) fail("batch_norm", "expected x of shape [batch, channels, ...], got " + to_string(t[0]));
  constexpr std::string_view kNames[] = {"", "scale", "bias", "mean", "variance"};
  for (size_t i = 1; i < t.size(); ++i) check_vector("batch_norm", kNames[i], t[i], t[0], 1);
  return {t[0]};
}

Values batch_norm_expand(Builder&, ValueSpan x, const Attrs& a) {
  Value v = widened(x[0]);
  auto channels = [&](Value c) { return broadcast(widened(c), shape_of(v), {1}); };
  Value factor = mul(rsqrt(add(widened(x[4]), a.get<double>("epsilon"))), widened(x[1]));
  Value y = mul(sub(v, channels(x[3])), channels(factor));
  return {cast(add(y, channels(x[2])), x[0].dtype())};
}

// ---------------------------------------------------------------- cross_entropy

std::vector<Type> cross_entropy_type(std::span<const Type> t, const Attrs&) {
  if (t[0].rank() == 0) fail("cross_entropy", "expected logits of shape [..., classes], got " + to_string(t[0]));
  Type rows = t[0].with(t[0].shape().first(t[0].shape().size() - 1));
  if (t[1].with(rows.dtype()) != rows)
    fail("cross_entropy", "expected labels, one for each row of " + to_string(t[0]) + ", got " + to_string(t[1]) +
                              "; give class numbers, not one-hot rows");
  return {rows};
}

Values cross_entropy_expand(Builder& b, ValueSpan x, const Attrs&) {
  static const OpDef& logsumexp_op = op("logsumexp");
  Value v = widened(x[0]), label = cast(x[1], DType::i64);
  i64 last = v.rank() - 1;
  Dim classes = v.shape().back();
  Value place = iota(b, shape_of(v), last, DType::i32);
  Value wanted = along(cast(label, DType::i32), v, {last});
  Value picked = sum(select(equal(place, wanted), v, zeros_like(v)), {last});
  Value loss = sub(b.emit1(logsumexp_op, {v}, {{"axes", std::vector<i64>{last}}}), picked);
  Value count = broadcast(dim_value(b, classes, DType::i64), shape_of(label), {});
  Value known = logical_and(less_equal(zeros_like(label), label), less(label, count));
  Value nan = constant_like(loss, std::numeric_limits<double>::quiet_NaN());
  return {cast(select(known, loss, nan), x[0].dtype())};
}

Batched cross_entropy_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  return all_batched(b.emit(op("cross_entropy"), all_to_lanes(x, batched, n), a));
}

// ---------------------------------------------------------------- samples

constexpr DType kFloats[] = {DType::f64, DType::f32, DType::f16, DType::bf16};

std::vector<Sample> row_samples(bool by_axes) {
  std::vector<Sample> r;
  auto at = [&](i64 axis) { return by_axes ? Attrs{{"axes", std::vector<i64>{axis}}} : Attrs{{"axis", axis}}; };
  for (DType d : kFloats) {
    r.push_back(sample_of(d, {33}, 1, -3, 3, at(0)));
    r.push_back(sample_of(d, {5, 17}, 1, -3, 3, at(1)));
    r.push_back(sample_of(d, {2, 17, 3}, 1, -3, 3, at(1)));
  }
  r.push_back(sample_of(DType::f32, {0, 3}, 1, -3, 3, at(1)));
  r.push_back(sample_of(DType::f32, {3, 1}, 1, -3, 3, at(1)));
  r.push_back(sample_of(DType::f32, {4, 1025}, 1, -30, 30, at(1)));
  for (DType d : {DType::f64, DType::f32})
    for (const std::vector<double>& v :
         {std::vector<double>{1, NAN, 2}, {-INFINITY, 1, 2}, {1000, 1000, 999}, {-0.0, 0.0}})
      r.push_back({{values_of(d, v)}, at(0), {}, 0});
  r.push_back(failing({values_of(DType::f32, {1})}, "expected an axis from 0 to 0, got 1", at(1)));
  r.push_back(failing({values_of(DType::i32, {1})}, "expected a floating dtype for operand 'x'", at(0)));
  return r;
}

std::vector<Sample> softmax_samples() { return row_samples(false); }

std::vector<Sample> logsumexp_samples() {
  std::vector<Sample> r = row_samples(true);
  Attrs first{{"axes", std::vector<i64>{0}}}, both{{"axes", std::vector<i64>{0, 2}}};
  r.push_back(sample_of(DType::f32, {3, 0}, 1, 0, 1, {{"axes", std::vector<i64>{1}}}));
  r.push_back(sample_of(DType::f64, {3, 4, 5}, 1, -3, 3, both));
  r.push_back({{values_of(DType::f32, {-INFINITY, -INFINITY})}, first, {}, 0});
  r.push_back({{values_of(DType::f32, {INFINITY, 1})}, first, {}, 0});
  return r;
}

std::vector<Sample> moments_samples() {
  std::vector<Sample> r = row_samples(true);
  for (DType d : kFloats) r.push_back(sample_of(d, {4, 3, 5, 5}, 1, -3, 3, {{"axes", std::vector<i64>{0, 2, 3}}}));
  r.push_back(sample_of(DType::f32, {64, 5}, 1, 1000, 1001, {{"axes", std::vector<i64>{0}}}));
  r.push_back(sample_of(DType::f64, {}, 1, -3, 3, {{"axes", std::vector<i64>{}}}));
  return r;
}

SampleOperand uniform(DType d, std::vector<i64> shape, double low = -2, double high = 2) {
  return {d, std::move(shape), low, high, {}};
}

std::vector<Sample> layer_norm_samples() {
  std::vector<Sample> r;
  for (DType d : kFloats)
    for (const std::vector<i64>& s : {std::vector<i64>{33}, {5, 17}, {2, 3, 17}})
      r.push_back({{uniform(d, s), uniform(d, {s.back()}), uniform(d, {s.back()})}, {}, {}, 0});
  r.push_back({{uniform(DType::f32, {0, 4}), uniform(DType::f32, {4}), uniform(DType::f32, {4})}, {}, {}, 0});
  r.push_back(failing({uniform(DType::f32, {2, 3}), uniform(DType::f32, {2}), uniform(DType::f32, {3})},
                      "expected 'scale' to have the extent 3 of axis 1 of f32[2, 3], got f32[2]"));
  return r;
}

std::vector<Sample> batch_norm_samples() {
  std::vector<Sample> r;
  auto of = [](DType d, std::vector<i64> s) {
    std::vector<i64> c{s[1]};
    return Sample{{uniform(d, s), uniform(d, c), uniform(d, c), uniform(d, c), uniform(d, c, 0.5, 2)}, {}, {}, 0};
  };
  for (DType d : kFloats)
    for (const std::vector<i64>& s : {std::vector<i64>{33, 4}, {2, 3, 4, 5}, {2, 17, 3}}) r.push_back(of(d, s));
  r.push_back(of(DType::f32, {0, 3, 2, 2}));
  Sample bad = of(DType::f32, {2, 3});
  bad.operands[3].shape = {2};
  bad.error = "expected 'mean' to have the extent 3 of axis 1";
  r.push_back(bad);
  return r;
}

std::vector<Sample> cross_entropy_samples() {
  std::vector<Sample> r;
  auto of = [](DType d, DType label, std::vector<i64> s) {
    std::vector<i64> rows(s.begin(), s.end() - 1);
    return Sample{{uniform(d, s, -3, 3), uniform(label, rows, 0, static_cast<double>(s.back()))}, {}, {}, 0};
  };
  for (DType d : kFloats) r.push_back(of(d, DType::i64, {5, 17}));
  for (DType label : {DType::i32, DType::u8, DType::i8, DType::u32}) r.push_back(of(DType::f32, label, {33, 10}));
  r.push_back(of(DType::f64, DType::i64, {7}));
  r.push_back(of(DType::f32, DType::i64, {0, 4}));
  r.push_back(of(DType::f32, DType::i64, {2, 3, 4}));
  Sample outside = of(DType::f32, DType::i64, {3, 4});
  outside.operands[1] = values_of(DType::i64, {-1, 4, 2});
  r.push_back(outside);
  r.push_back(failing({uniform(DType::f32, {2, 3}), uniform(DType::f32, {2, 3})},
                      "expected an integer dtype for operand 'labels'"));
  return r;
}

// ---------------------------------------------------------------- the table

std::vector<OpDef> entries() {
  AttrSpec axis{"axis", AttrKind::integer, {}}, axes{"axes", AttrKind::integers, {}};
  AttrSpec epsilon{"epsilon", AttrKind::floating, Attr(1e-5)};
  OperandSpec x{"x", Operands::floating}, scale{"scale", Operands::floating}, bias{"bias", Operands::floating};
  return {
      {"softmax",
       1,
       "exp(x) over its sum along `axis`; safe for large numbers.",
       {{x}, {axis}},
       along_type<"softmax">,
       Jvp{softmax_tangent},
       AxesFn{batch_axis<"softmax">},
       Expand{softmax_expand},
       RefNone{},
       Pure{},
       softmax_samples},
      {"log_softmax",
       1,
       "The logarithm of softmax along `axis`, without forming it.",
       {{x}, {axis}},
       along_type<"log_softmax">,
       Jvp{log_softmax_tangent},
       AxesFn{batch_axis<"log_softmax">},
       Expand{log_softmax_expand},
       RefNone{},
       Pure{},
       softmax_samples},
      {"logsumexp",
       1,
       "log(sum(exp(x))) over `axes`, which are dropped; -infinity over none.",
       {{x}, {axes}},
       logsumexp_type,
       Jvp{logsumexp_tangent},
       AxesFn{batch_axes<"logsumexp">},
       Expand{logsumexp_expand},
       RefNone{},
       Pure{},
       logsumexp_samples},
      {"moments",
       1,
       "Mean and biased variance over `axes`, which are dropped; NaN over no elements.",
       {{x}, {axes}},
       moments_type,
       Jvp{moments_tangent},
       AxesFn{batch_axes<"moments">},
       Expand{moments_expand},
       RefNone{},
       Pure{},
       moments_samples},
      {"layer_norm",
       1,
       "(x - mean) / sqrt(variance + epsilon) * scale + bias over the last axis; scale and bias have its extent.",
       {{x, scale, bias}, {epsilon}},
       layer_norm_type,
       ByExpansion{},
       ByExpansion{},
       Expand{layer_norm_expand},
       RefNone{},
       Pure{},
       layer_norm_samples},
      {"batch_norm",
       1,
       "(x - mean) / sqrt(variance + epsilon) * scale + bias for each channel (axis 1) by the given statistics; in "
       "training they are the batch's `moments`.",
       {{x, scale, bias, {"mean", Operands::floating}, {"variance", Operands::floating}}, {epsilon}},
       batch_norm_type,
       ByExpansion{},
       ByExpansion{},
       Expand{batch_norm_expand},
       RefNone{},
       Pure{},
       batch_norm_samples},
      {"cross_entropy",
       1,
       "-log softmax(logits)[label] by row: logits [..., classes], integer labels [...]; NaN for a label outside.",
       {{{"logits", Operands::floating}, {"labels", Operands::integer}}, {}, false},
       cross_entropy_type,
       ByExpansion{},
       AxesFn{cross_entropy_batch},
       Expand{cross_entropy_expand},
       RefNone{},
       Pure{},
       cross_entropy_samples},
  };
}

}  // namespace

std::span<const OpDef> normalize_ops() {
  static const auto* table = new std::vector<OpDef>(entries());
  return *table;
}

}  // namespace tn
