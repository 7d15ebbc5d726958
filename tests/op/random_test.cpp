// The generator against its authors' vectors, distributions against their moments and quantiles, all by the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/ref/ref.h"
#include "op/emit.h"

namespace tn {

namespace {

Array key_of(u32 a, u32 b) {
  Array k = Array::empty(DType::u32, {2});
  k.set_int(0, a);
  k.set_int(1, b);
  return k;
}

Array run(std::string_view name, const Array& key, const Attrs& attrs, std::vector<Array> more = {}) {
  std::vector<Array> x{key};
  x.insert(x.end(), more.begin(), more.end());
  std::vector<Type> types;
  for (const Array& a : x) {
    Shape shape;
    for (i64 d : a.shape) shape.push_back(d);
    types.push_back(Type::tensor(a.dtype, shape));
  }
  GraphPtr g = make_graph(types, [&](Builder& b, ValueSpan v) { return b.emit(op(name), v, attrs); });
  return ref_run(g, x)[0];
}

/// Phi(x)
double normal_share(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// The greatest distance between the samples' shares and `share`.
double distance(const Array& a, double (*share)(double)) {
  std::vector<double> v;
  for (i64 i = 0; i < a.size(); ++i) v.push_back(a.get(i));
  std::sort(v.begin(), v.end());
  double worst = 0, n = static_cast<double>(v.size());
  for (size_t i = 0; i < v.size(); ++i) {
    double here = share(v[i]);
    worst = std::max({worst, here - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - here});
  }
  return worst;
}

}  // namespace

/// Random123's known answer for counter and key 0 is 6b200159 99ba4efe; bits are both words' exclusive or.
TEST(Random, FollowsThePublishedVectors) {
  Array bits = run("random_bits", key_of(0, 0), {{"shape", Shape{1}}});
  EXPECT_EQ(static_cast<u32>(bits.get_int(0)), 0x6b200159u ^ 0x99ba4efeu);
}

/// bits, split and fold_in never meet: the counter of each has its own high word.
TEST(Random, UsesOfOneKeyDiffer) {
  Array key = key_of(7, 9), data = Array::zeros(DType::i64, {});
  Array split = run("random_split", key, {{"count", i64{2}}}), folded = run("random_fold_in", key, {}, {data});
  EXPECT_EQ(split.shape, (std::vector<i64>{2, 2}));
  std::vector<i64> words;
  for (const Array& a : {split, folded})
    for (i64 i = 0; i < a.size(); ++i) words.push_back(a.get_int(i));
  std::sort(words.begin(), words.end());
  EXPECT_EQ(std::unique(words.begin(), words.end()), words.end());
}

TEST(Random, UniformFillsTheInterval) {
  for (DType d : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
    Array u = run("random_uniform", key_of(1, 2), {{"shape", Shape{20000}}, {"dtype", d}});
    for (i64 i = 0; i < u.size(); ++i) {
      ASSERT_GE(u.get(i), 0);
      ASSERT_LT(u.get(i), 1);
    }
    EXPECT_LT(distance(u, [](double x) { return x; }), d == DType::bf16 ? 0.02 : 0.012) << name(d);
  }
}

TEST(Random, NormalHasItsShape) {
  for (DType d : {DType::f64, DType::f32, DType::f16}) {
    Array z = run("random_normal", key_of(3, 4), {{"shape", Shape{20000}}, {"dtype", d}});
    EXPECT_LT(distance(z, normal_share), 0.012) << name(d);
    double sum = 0, squares = 0;
    for (i64 i = 0; i < z.size(); ++i) sum += z.get(i), squares += z.get(i) * z.get(i);
    EXPECT_NEAR(sum / 20000, 0, 0.03);
    EXPECT_NEAR(squares / 20000, 1, 0.05);
  }
}

/// f32 normals are the inverse of Phi at the bits' place in (0, 1).
TEST(Random, NormalIsTheInverseOfItsShare) {
  Attrs shape{{"shape", Shape{5000}}};
  Array bits = run("random_bits", key_of(5, 6), shape);
  Array z = run("random_normal", key_of(5, 6), shape.with("dtype", DType::f32));
  for (i64 i = 0; i < z.size(); ++i) {
    double u = (static_cast<double>(bits.get_int(i) >> 8) + 0.5) / 16777216.0, x = z.get(i);
    double density = std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
    EXPECT_NEAR(normal_share(x), u, 1e-5 * density * std::max(1.0, std::abs(x)) + 1e-7 * density) << x;
  }
}

TEST(Random, BernoulliHitsItsShare) {
  Array p = Array::zeros(DType::f32, {});
  p.set(0, 0.3);
  Array b = run("random_bernoulli", key_of(1, 1), {{"shape", Shape{20000}}}, {p});
  double hits = 0;
  for (i64 i = 0; i < b.size(); ++i) hits += static_cast<double>(b.get_int(i));
  EXPECT_NEAR(hits / 20000, 0.3, 0.015);
}

TEST(Random, PermutationHoldsEachOnce) {
  Array p = run("random_permutation", key_of(8, 8), {{"size", Shape{1000}}});
  std::vector<i64> seen;
  i64 fixed = 0;
  for (i64 i = 0; i < p.size(); ++i) {
    seen.push_back(p.get_int(i));
    fixed += p.get_int(i) == i;
  }
  std::sort(seen.begin(), seen.end());
  for (i64 i = 0; i < p.size(); ++i) ASSERT_EQ(seen[static_cast<size_t>(i)], i);
  EXPECT_LT(fixed, 10);
}

}  // namespace tn
