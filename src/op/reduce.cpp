// Reductions over axes (dropped from the result), running sums and sorting. Sums of f16 and bf16 are taken in f32 and
// rounded once; integer sums wrap. Over no elements: sum 0, prod 1, any false, all true; max, min and argmax need one.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "op/emit.h"
#include "op/families.h"
#include "op/rules.h"

namespace tn {

namespace {

const std::vector<i64>& axes_of(const Attrs& a) { return a.get<std::vector<i64>>("axes"); }

template <Name kOp>
std::vector<Type> reduced_type(std::span<const Type> t, const Attrs& a) {
  check_axes(kOp, axes_of(a), t[0].rank());
  Shape kept;
  for (int i = 0; i < t[0].rank(); ++i)
    if (std::find(axes_of(a).begin(), axes_of(a).end(), i) == axes_of(a).end()) kept.push_back(t[0].dim(i));
  return {t[0].with(kept)};
}

/// The same where an empty axis has no answer.
template <Name kOp>
std::vector<Type> nonempty_type(std::span<const Type> t, const Attrs& a) {
  std::vector<Type> r = reduced_type<kOp>(t, a);
  for (i64 axis : axes_of(a))
    if (t[0].dim(static_cast<int>(axis)) == Dim(0))
      fail(kOp, "expected at least one element along axis " + std::to_string(axis) + ", got " + to_string(t[0]) +
                    ", which has none to choose from");
  return r;
}

// ---------------------------------------------------------------- the oracle

struct Index {
  std::vector<i64> strides;  // of the result, 0 along reduced axes
  Index(const Array& x, const std::vector<i64>& axes) : strides(x.shape.size()) {
    i64 stride = 1;
    for (size_t i = x.shape.size(); i-- > 0;) {
      if (std::find(axes.begin(), axes.end(), static_cast<i64>(i)) != axes.end()) continue;
      strides[i] = stride;
      stride *= x.shape[i];
    }
  }
  i64 result(const Array& x, i64 element) const {
    i64 at = 0;
    for (size_t i = x.shape.size(); i-- > 0; element /= x.shape[i]) at += element % x.shape[i] * strides[i];
    return at;
  }
};

std::vector<i64> shape_without(const Array& x, const std::vector<i64>& axes) {
  std::vector<i64> kept;
  for (size_t i = 0; i < x.shape.size(); ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<i64>(i)) == axes.end()) kept.push_back(x.shape[i]);
  return kept;
}

struct Combine {
  double start_floating;
  i64 start_integer;  // max and min of integers start at the first element instead
  bool from_first;
  double (*floating)(double, double);
  i64 (*integer)(i64, i64);
};

template <const Combine* kCombine>
std::vector<Array> reduce_ref(std::span<const Array> x, const Attrs& a, std::span<const Type>, const DimEnv&) {
  Array y = Array::empty(x[0].dtype, shape_without(x[0], axes_of(a)));
  Index index(x[0], axes_of(a));
  auto n = static_cast<size_t>(y.size());
  std::vector<double> floating(n, kCombine->start_floating);
  std::vector<i64> integer(n, kCombine->start_integer);
  std::vector<bool> met(n);
  bool is_floating = is_float(x[0].dtype);
  for (i64 i = 0; i < x[0].size(); ++i) {
    auto at = static_cast<size_t>(index.result(x[0], i));
    bool first = kCombine->from_first && !met[at];
    met[at] = true;
    if (is_floating)
      floating[at] = first ? x[0].get(i) : kCombine->floating(floating[at], x[0].get(i));
    else
      integer[at] = first ? x[0].get_int(i) : kCombine->integer(integer[at], x[0].get_int(i));
  }
  for (size_t i = 0; i < n; ++i) {
    if (is_floating)
      y.set(static_cast<i64>(i), floating[i]);
    else
      y.set_int(static_cast<i64>(i), integer[i]);
  }
  return {y};
}

i64 wrapping_add(i64 a, i64 b) { return static_cast<i64>(static_cast<u64>(a) + static_cast<u64>(b)); }
i64 wrapping_mul(i64 a, i64 b) { return static_cast<i64>(static_cast<u64>(a) * static_cast<u64>(b)); }

constexpr Combine kAdd{0, 0, false, [](double a, double b) { return a + b; }, wrapping_add};
constexpr Combine kMul{1, 1, false, [](double a, double b) { return a * b; }, wrapping_mul};
constexpr Combine kMax{0, 0, true, [](double a, double b) { return std::isnan(a) || a > b ? a : b; },
                       [](i64 a, i64 b) { return std::max(a, b); }};
constexpr Combine kMin{0, 0, true, [](double a, double b) { return std::isnan(a) || a < b ? a : b; },
                       [](i64 a, i64 b) { return std::min(a, b); }};
constexpr Combine kAnd{1, 1, false, nullptr, [](i64 a, i64 b) { return a & b; }};
constexpr Combine kOr{0, 0, false, nullptr, [](i64 a, i64 b) { return a | b; }};

// ---------------------------------------------------------------- derivatives

Value sum_transpose(ValueSpan, Value ct, int, const Attrs& a, std::span<const Type> t) {
  return broadcast_along(ct, Shape(t[0].shape().begin(), t[0].shape().end()), axes_of(a));
}

/// The greatest elements share the derivative equally.
Values extreme_tangent(Builder&, ValueSpan x, ValueSpan y, ValueSpan t, const Attrs& a) {
  Value hit = cast(equal(x[0], broadcast_along(y[0], shape_of(x[0]), axes_of(a))), x[0].dtype());
  Value share = div(hit, broadcast_along(sum(hit, axes_of(a)), shape_of(x[0]), axes_of(a)));
  return {sum(mul(t[0], share), axes_of(a))};
}

struct Dual {
  Value value, tangent;
};

/// Along one axis of constant extent by halves, so that zeros need no division.
Dual product_by_halves(Dual d, i64 axis) {
  for (i64 n = d.value.shape()[static_cast<size_t>(axis)].value(); n > 1;) {
    i64 half = n / 2;
    auto part = [&](Value v, i64 from, i64 to) { return slice(v, axis, from, to); };
    Value p = part(d.value, 0, half), q = part(d.value, half, 2 * half);
    Value tp = part(d.tangent, 0, half), tq = part(d.tangent, half, 2 * half);
    Values values{mul(p, q)}, tangents{add(mul(tp, q), mul(p, tq))};
    if (n % 2) {
      values.push_back(part(d.value, 2 * half, n));
      tangents.push_back(part(d.tangent, 2 * half, n));
    }
    d = {concat(values, axis), concat(tangents, axis)};
    n = n - half;
  }
  if (d.value.shape()[static_cast<size_t>(axis)] == Dim(0)) {
    Value one = prod(d.value, {axis});
    return {one, zeros_like(one)};
  }
  return {drop_axis(d.value, axis), drop_axis(d.tangent, axis)};
}

/// Along an axis of symbolic extent by a scan over (value, tangent).
Dual product_by_scan(Dual d, i64 axis) {
  static const OpDef& scan_op = op("scan");
  Builder& b = *d.value.builder;
  Dim length = d.value.shape()[static_cast<size_t>(axis)];
  Value xs = move_axis(d.value, axis, 0), ts = move_axis(d.tangent, axis, 0);
  Type step = xs.type().with(xs.shape().subspan(1));
  std::vector<Type> inputs(4, step);
  GraphPtr body = make_graph(
      inputs, [](Builder&, ValueSpan v) { return Values{mul(v[0], v[2]), add(mul(v[1], v[2]), mul(v[0], v[3]))}; });
  Values r = b.emit(scan_op, Values{ones(b, step), zeros(b, step), xs, ts},
                    {{"body", body}, {"consts", i64{0}}, {"carry", i64{2}}, {"length", Shape{length}}});
  return {r[0], r[1]};
}

Values prod_tangent(Builder&, ValueSpan x, ValueSpan, ValueSpan t, const Attrs& a) {
  std::vector<i64> axes = axes_of(a);
  std::sort(axes.rbegin(), axes.rend());
  Dual d{x[0], t[0]};
  for (i64 axis : axes)
    d = x[0].shape()[static_cast<size_t>(axis)].is_constant() ? product_by_halves(d, axis) : product_by_scan(d, axis);
  return {d.tangent};
}

// ---------------------------------------------------------------- samples

std::vector<i64> axis_list(std::initializer_list<i64> axes) { return axes; }

std::vector<Sample> reduction_samples(const std::vector<DType>& dtypes, double low, double high, bool empties) {
  std::vector<Sample> r;
  for (DType d : dtypes) {
    r.push_back(sample_of(d, {33}, 1, low, high, {{"axes", axis_list({0})}}));
    r.push_back(sample_of(d, {17, 5}, 1, low, high, {{"axes", axis_list({0})}}));
    r.push_back(sample_of(d, {5, 17}, 1, low, high, {{"axes", axis_list({1})}}));
  }
  DType d = dtypes[0];
  r.push_back(sample_of(d, {3, 4, 5}, 1, low, high, {{"axes", axis_list({0, 2})}}));
  r.push_back(sample_of(d, {2, 3, 2, 2}, 1, low, high, {{"axes", axis_list({0, 1, 2, 3})}}));
  r.push_back(sample_of(d, {1, 2050}, 1, low, high, {{"axes", axis_list({1})}}));
  r.push_back(sample_of(d, {}, 1, low, high, {{"axes", axis_list({})}}));
  r.push_back(sample_of(d, {0, 3}, 1, low, high, {{"axes", axis_list({1})}}));
  if (empties) r.push_back(sample_of(d, {3, 0}, 1, low, high, {{"axes", axis_list({1})}}));
  r.push_back(failing({values_of(d, {1, 0})}, "expected an axis from 0 to 0, got 1", {{"axes", axis_list({1})}}));
  r.push_back(failing({values_of(d, {1, 0})}, "got axis 0 twice", {{"axes", axis_list({0, 0})}}));
  return r;
}

const std::vector<DType>& numbers() {
  static const std::vector<DType> all{DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64,
                                      DType::i32, DType::i8,  DType::u32, DType::u8};
  return all;
}

std::vector<Sample> special_reductions() {
  std::vector<Sample> r;
  double inf = INFINITY, nan = NAN;
  for (DType d : {DType::f64, DType::f32})
    for (const std::vector<double>& v :
         {std::vector<double>{1, nan, 2}, {nan, 1}, {inf, 1}, {inf, -inf}, {-inf, -inf}, {-0.0, 0.0}, {-0.0, -0.0}})
      r.push_back({{values_of(d, v)}, {{"axes", axis_list({0})}}, {}, 0});
  return r;
}

std::vector<Sample> sum_samples() { return joined({reduction_samples(numbers(), -2, 3, true), special_reductions()}); }
std::vector<Sample> bool_reductions() { return reduction_samples({DType::boolean}, 0, 2, true); }

std::vector<Sample> extreme_samples() {
  std::vector<Sample> r = joined({reduction_samples(numbers(), -2, 3, false), special_reductions()});
  SampleOperand empty{DType::f32, {3, 0}, 0, 1, {}};
  r.push_back(failing({empty}, "expected at least one element along axis 1", {{"axes", axis_list({1})}}));
  return r;
}

std::vector<Sample> prod_samples() {
  std::vector<Sample> r = sum_samples();
  r.push_back({{values_of(DType::f64, {2, 0, 3})}, {{"axes", axis_list({0})}}, {}, 0});
  r.push_back({{values_of(DType::f64, {2, 0, 0, 3})}, {{"axes", axis_list({0})}}, {}, 0});
  std::erase_if(r, [](const Sample& s) {  // two thousand factors would leave the range
    return s.operands[0].shape == std::vector<i64>{1, 2050};
  });
  return r;
}

template <Name kOp>
OpDef reduction(std::string_view doc, Operands accepts, TypeRule type, Grad grad, Reduction lower, RefArrays ref,
                Samples samples) {
  return {kOp,
          1,
          doc,
          {{{"x", accepts}}, {{"axes", AttrKind::integers, {}}}},
          type,
          grad,
          AxesFn{batch_axes<kOp>},
          lower,
          ref,
          Pure{},
          samples};
}

std::vector<OpDef> reductions() {
  return {
      reduction<"sum">("The sum over `axes`; 0 over none.", Operands::numeric, reduced_type<"sum">,
                       Linear{1, sum_transpose}, Reduction{"add"}, RefArrays{reduce_ref<&kAdd>}, sum_samples),
      reduction<"max">("The greatest over `axes`; NaN where there is one. Equal ones share the derivative.",
                       Operands::numeric, nonempty_type<"max">, Jvp{extreme_tangent}, Reduction{"max"},
                       RefArrays{reduce_ref<&kMax>}, extreme_samples),
      reduction<"min">("The least over `axes`; NaN where there is one. Equal ones share the derivative.",
                       Operands::numeric, nonempty_type<"min">, Jvp{extreme_tangent}, Reduction{"min"},
                       RefArrays{reduce_ref<&kMin>}, extreme_samples),
      reduction<"prod">("The product over `axes`; 1 over none.", Operands::numeric, reduced_type<"prod">,
                        Jvp{prod_tangent}, Reduction{"mul"}, RefArrays{reduce_ref<&kMul>}, prod_samples),
      reduction<"all">("Whether all are true; true over none.", Operands::boolean, reduced_type<"all">, Zero{},
                       Reduction{"and"}, RefArrays{reduce_ref<&kAnd>}, bool_reductions),
      reduction<"any">("Whether one is true; false over none.", Operands::boolean, reduced_type<"any">, Zero{},
                       Reduction{"or"}, RefArrays{reduce_ref<&kOr>}, bool_reductions),
  };
}

}  // namespace

std::span<const OpDef> reduce_ops() {
  static const auto* table = new std::vector<OpDef>(reductions());
  return *table;
}

}  // namespace tn
