// Meanings that examples show best, by the oracle and by the compiled plan: places outside, equal places, ties in
// windows, and convolution against its definition written as plain loops.
#include <gtest/gtest.h>

#include "backend/ref/ref.h"
#include "op/emit.h"
#include "runtime/execute.h"
#include "transform/transform.h"

namespace tn {

namespace {

using L = std::vector<i64>;
using Numbers = std::vector<double>;

Array array(DType d, L shape, const Numbers& values) {
  Array a = Array::empty(d, std::move(shape));
  for (size_t i = 0; i < values.size(); ++i) a.set(static_cast<i64>(i), values[i]);
  return a;
}

Array places(const L& values) {
  Array a = Array::empty(DType::i64, {static_cast<i64>(values.size())});
  for (size_t i = 0; i < values.size(); ++i) a.set_int(static_cast<i64>(i), values[i]);
  return a;
}

std::vector<Type> types_of(std::span<const Array> x) {
  std::vector<Type> types;
  for (const Array& a : x) {
    Shape shape;
    for (i64 d : a.shape) shape.push_back(d);
    types.push_back(Type::tensor(a.dtype, shape));
  }
  return types;
}

Numbers numbers(const Array& a) {
  Numbers r;
  for (i64 i = 0; i < a.size(); ++i) r.push_back(a.get(i));
  return r;
}

/// The first result, on which oracle and plan agree.
Numbers run(const GraphPtr& g, const std::vector<Array>& x) {
  Numbers r = numbers(ref_run(g, x)[0]);
  EXPECT_EQ(numbers(execute(g, x)[0]), r);
  return r;
}

GraphPtr call(std::string_view name, const std::vector<Array>& x, const Attrs& attrs) {
  return make_graph(types_of(x), [&](Builder& b, ValueSpan v) { return b.emit(op(name), v, attrs); });
}

/// The cotangent of operand `i` for cotangent ct of the result.
Numbers derivative(const GraphPtr& g, std::vector<Array> x, size_t i, const Array& ct) {
  Mask of(x.size());
  of[i] = true;
  GraphPtr t = vjp_graph(g, of);
  size_t primals = g->outputs().size();
  x.push_back(ct);
  Numbers r = numbers(ref_run(t, x)[primals]);
  EXPECT_EQ(numbers(execute(t, x)[primals]), r);
  return r;
}

Attrs along(i64 axis, std::string mode) { return {{"axis", axis}, {"mode", std::move(mode)}}; }

}  // namespace

TEST(Semantics, GatherClampsAndItsDerivativeFollows) {
  std::vector<Array> x{array(DType::f64, {3}, {10, 20, 30}), places({-7, 2, 0, 99})};
  GraphPtr g = call("gather", x, {{"axis", i64{0}}});
  EXPECT_EQ(run(g, x), (Numbers{10, 30, 10, 30}));
  EXPECT_EQ(derivative(g, x, 0, array(DType::f64, {4}, {1, 2, 4, 8})), (Numbers{5, 0, 10}));
}

TEST(Semantics, ScatterDropsWhatIsOutsideAndTheLastIsSet) {
  std::vector<Array> x{array(DType::f64, {4}, {1, 2, 3, 4}), places({2, -1, 2, 4, 0}),
                       array(DType::f64, {5}, {10, 20, 30, 40, 50})};
  GraphPtr set = call("scatter", x, along(0, "set")), add_up = call("scatter", x, along(0, "add"));
  EXPECT_EQ(run(set, x), (Numbers{50, 2, 30, 4}));
  EXPECT_EQ(run(add_up, x), (Numbers{51, 2, 43, 4}));
  Array ct = array(DType::f64, {4}, {1, 2, 4, 8});
  EXPECT_EQ(derivative(set, x, 0, ct), (Numbers{0, 2, 0, 8}));
  EXPECT_EQ(derivative(set, x, 2, ct), (Numbers{0, 0, 4, 0, 1}));
  EXPECT_EQ(derivative(add_up, x, 0, ct), (Numbers{1, 2, 4, 8}));
  EXPECT_EQ(derivative(add_up, x, 2, ct), (Numbers{4, 0, 4, 0, 1}));
}

TEST(Semantics, TheFirstGreatestOfAWindowHasTheDerivative) {
  std::vector<Array> x{array(DType::f64, {6}, {3, 3, 1, 2, 5, 5})};
  Attrs windows{{"window", L{2}}, {"strides", L{2}}, {"padding_low", L{0}}, {"padding_high", L{0}}, {"dilation", L{1}}};
  GraphPtr g = call("max_pool", x, windows);
  EXPECT_EQ(run(g, x), (Numbers{3, 2, 5}));
  EXPECT_EQ(derivative(g, x, 0, array(DType::f64, {3}, {1, 2, 4})), (Numbers{1, 0, 0, 2, 4, 0}));
}

/// One spatial axis, two groups, stride 2, padding 1 and 2, weights two apart, inputs spread by 3; written out.
TEST(Semantics, ConvIsItsDefinition) {
  i64 n = 2, channels = 4, in = 5, out_channels = 6, taps = 3, groups = 2, s = 2, low = 1, high = 2, ld = 3, rd = 2;
  i64 out = ((in - 1) * ld + 1 + low + high - ((taps - 1) * rd + 1)) / s + 1;
  Numbers xs, ws, want;
  for (i64 i = 0; i < n * channels * in; ++i) xs.push_back(static_cast<double>(i * 7 % 11 - 5));
  for (i64 i = 0; i < out_channels * channels / groups * taps; ++i) ws.push_back(static_cast<double>(i * 5 % 7 - 3));
  for (i64 b = 0; b < n; ++b)
    for (i64 o = 0; o < out_channels; ++o)
      for (i64 p = 0; p < out; ++p) {
        double sum = 0;
        for (i64 c = 0; c < channels / groups; ++c)
          for (i64 k = 0; k < taps; ++k) {
            i64 at = s * p + rd * k - low;
            if (at < 0 || at % ld || at / ld >= in) continue;
            i64 channel = o / (out_channels / groups) * (channels / groups) + c;
            sum += xs[static_cast<size_t>((b * channels + channel) * in + at / ld)] *
                   ws[static_cast<size_t>((o * (channels / groups) + c) * taps + k)];
          }
        want.push_back(sum);
      }
  std::vector<Array> x{array(DType::f64, {n, channels, in}, xs),
                       array(DType::f64, {out_channels, channels / groups, taps}, ws)};
  Attrs attrs{{"strides", L{s}},       {"padding_low", L{low}}, {"padding_high", L{high}},
              {"lhs_dilation", L{ld}}, {"rhs_dilation", L{rd}}, {"groups", groups}};
  EXPECT_EQ(run(call("conv", x, attrs), x), want);
}

/// With symbolic extents the padding of the transposes is symbolic too; the answers are those of constant extents.
TEST(Semantics, ConvTransposesWithSymbolicExtents) {
  std::vector<Array> x{array(DType::f64, {1, 1, 6}, {1, -2, 3, -4, 5, -6}), array(DType::f64, {1, 1, 3}, {1, 2, -1})};
  Attrs attrs{{"strides", L{2}},      {"padding_low", L{1}},  {"padding_high", L{1}},
              {"lhs_dilation", L{1}}, {"rhs_dilation", L{1}}, {"groups", i64{1}}};
  Dim size = Dim::symbol("size");
  std::vector<Type> symbolic = types_of(x);
  symbolic[0] = Type::tensor(DType::f64, {1, 1, size});
  GraphPtr g = make_graph(symbolic, [&](Builder& b, ValueSpan v) { return b.emit(op("conv"), v, attrs); });
  Array ct = array(DType::f64, {1, 1, 3}, {1, 3, -2});
  for (size_t i : {0u, 1u}) EXPECT_EQ(derivative(g, x, i, ct), derivative(call("conv", x, attrs), x, i, ct)) << i;
}

}  // namespace tn
