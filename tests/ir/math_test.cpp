// Our elementary functions against libm in a wider type, over bit patterns spread through all numbers: the greatest
// error in ulp is asserted, special values by name.
#include "ir/math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "backend/interpreter/program.h"

namespace tn::loops {
namespace {

using Unary = Val (*)(Builder&, Val);

/// y[i] = f(x[i]) for blocks of 64.
template <class T, class F>
std::vector<T> apply(F f, std::vector<std::vector<T>> inputs) {
  Kernel k;
  k.name = "apply";
  Builder b(k);
  Dim n = b.size(Dim::symbol("n"));
  DType d = sizeof(T) == 8 ? DType::f64 : DType::f32;
  std::vector<int> in;
  for (size_t i = 0; i < inputs.size(); ++i) in.push_back(b.buffer("x" + std::to_string(i), d, {n}, Buffer::Role::in));
  int out = b.buffer("y", d, {n}, Buffer::Role::out);
  b.parallel("i", ceildiv(n, 64), [&](Dim i) {
    Dim at[] = {i * 64 + lane()};
    Builder::Limits limits{.lanes = n - i * 64};
    std::vector<Val> x;
    for (int buffer : in) x.push_back(b.load(buffer, at, 1, 64, limits));
    Val y = f(b, x);
    b.store(out, at, y, limits);
  });
  std::vector<T> y(inputs[0].size());
  std::vector<void*> buffers;
  for (auto& x : inputs) buffers.push_back(x.data());
  buffers.push_back(y.data());
  i64 size = static_cast<i64>(y.size()), error = 0;
  Program(k).run(0, buffers.data(), &size, 0, (size + 63) / 64, nullptr, &error);
  return y;
}

template <class T>
std::vector<T> apply_unary(Unary f, const std::vector<T>& x) {
  return apply<T>([f](Builder& b, const std::vector<Val>& v) { return f(b, v[0]); }, {x});
}

/// Distance in units of the spacing of T at `exact`; equal infinities and NaNs are 0 apart.
template <class T>
double ulps(T y, long double exact) {
  T rounded = static_cast<T>(exact);
  if (std::isnan(exact) || std::isnan(y)) return std::isnan(exact) && std::isnan(y) ? 0 : HUGE_VAL;
  if (std::isinf(rounded) || std::isinf(y)) return y == rounded ? 0 : 1;
  int exponent = 0;
  std::frexp(rounded, &exponent);
  int least = std::numeric_limits<T>::min_exponent;
  long double spacing = std::ldexp(1.0L, std::max(exponent, least) - std::numeric_limits<T>::digits);
  return static_cast<double>(std::fabs(static_cast<long double>(y) - exact) / spacing);
}

size_t stride() {
  const char* s = std::getenv("TENON_MATH_STRIDE");
  return s ? std::strtoul(s, nullptr, 10) : 1999;
}

std::vector<float> spread_floats() {
  std::vector<float> x;
  for (u64 bits = 0; bits < u64{1} << 32; bits += stride()) x.push_back(std::bit_cast<float>(static_cast<u32>(bits)));
  return x;
}

/// Random bits, and as many numbers of ordinary size.
std::vector<double> spread_doubles() {
  std::vector<double> x;
  u64 state = 1;
  for (int i = 0; i < 400000; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    x.push_back(std::bit_cast<double>(state ^ state >> 29));
    x.push_back((static_cast<double>(state >> 11) * 0x1p-53 - 0.5) * (i % 3 == 0 ? 2 : i % 3 == 1 ? 20 : 1500));
  }
  return x;
}

struct Case {
  const char* name;
  Unary f;
  long double (*exact)(long double);
  double limit32, limit64;
};

long double sigmoid_exact(long double x) { return 1 / (1 + std::exp(-x)); }
long double sine_exact(long double x) { return std::fabs(x) <= 0x1p40L ? std::sin(x) : NAN; }
long double cosine_exact(long double x) { return std::fabs(x) <= 0x1p40L ? std::cos(x) : NAN; }

const Case kCases[] = {
    {"exp", exp, std::exp, 0.9, 1},      {"expm1", expm1, std::expm1, 1.6, 2},
    {"log", log, std::log, 0.9, 1.2},    {"log1p", log1p, std::log1p, 1.6, 1.6},
    {"sin", sin, sine_exact, 1.6, 1.6},  {"cos", cos, cosine_exact, 1.6, 1.6},
    {"tanh", tanh, std::tanh, 2.4, 1.6}, {"sigmoid", sigmoid, sigmoid_exact, 2.5, 1.5},
    {"erf", erf, std::erf, 2.9, 1.6},
};

class Function : public testing::TestWithParam<Case> {};

TEST_P(Function, IsCloseInSinglePrecision) {
  const Case& c = GetParam();
  auto x = spread_floats();
  auto y = apply_unary(c.f, x);
  double worst = 0;
  float where = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    long double exact = c.exact(static_cast<long double>(x[i]));
    double e = ulps(y[i], exact);
    if (e > worst) {
      worst = e;
      where = x[i];
    }
  }
  RecordProperty("ulp", std::to_string(worst));
  EXPECT_LE(worst, c.limit32) << "at " << where;
  if (std::getenv("TENON_MATH_STRIDE"))
    std::printf("%s f32 %.3f ulp at %a\n", c.name, worst, static_cast<double>(where));
}

TEST_P(Function, IsCloseInDoublePrecision) {
  const Case& c = GetParam();
  auto x = spread_doubles();
  auto y = apply_unary(c.f, x);
  double worst = 0, where = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    long double exact = c.exact(static_cast<long double>(x[i]));
    double e = ulps(y[i], exact);
    if (e > worst) {
      worst = e;
      where = x[i];
    }
  }
  EXPECT_LE(worst, c.limit64) << "at " << where;
  if (std::getenv("TENON_MATH_STRIDE")) std::printf("%s f64 %.3f ulp at %a\n", c.name, worst, where);
}

TEST_P(Function, KeepsSpecialValues) {
  const Case& c = GetParam();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> x{0.f, -0.f, 1.f, -1.f, kInf, -kInf, NAN, 1e-45f, -1e-45f, 3e38f, -3e38f};
  auto y = apply_unary(c.f, x);
  std::vector<double> wide(x.begin(), x.end());
  auto z = apply_unary(c.f, wide);
  for (size_t i = 0; i < x.size(); ++i) {
    long double exact = c.exact(static_cast<long double>(x[i]));
    if (std::isnan(exact)) {
      EXPECT_TRUE(std::isnan(y[i]) && std::isnan(z[i])) << x[i];
      continue;
    }
    EXPECT_LE(ulps(y[i], exact), c.limit32) << x[i] << " gives " << y[i];
    EXPECT_LE(ulps(z[i], exact), c.limit64) << x[i] << " gives " << z[i];
    if (exact == 0) {
      EXPECT_EQ(std::signbit(y[i]), std::signbit(exact)) << x[i];
      EXPECT_EQ(std::signbit(z[i]), std::signbit(exact)) << x[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Math, Function, testing::ValuesIn(kCases), [](const auto& p) { return p.param.name; });

TEST(Math, ExpOfNonpositiveFlushesToZero) {
  std::vector<float> x{0.f, -1.f, -87.f, -87.4f, -1000.f, -std::numeric_limits<float>::infinity(), NAN};
  auto y = apply_unary(exp_nonpositive, x);
  EXPECT_EQ(y[0], 1.f);
  EXPECT_LE(ulps(y[1], std::exp(-1.0L)), 0.9);
  EXPECT_LE(ulps(y[2], std::exp(-87.0L)), 0.9);
  for (size_t i : {3, 4, 5}) EXPECT_EQ(y[i], 0.f);
  EXPECT_TRUE(std::isnan(y[6]));
  std::vector<double> wide{0, -1, -708, -709, -std::numeric_limits<double>::infinity()};
  auto z = apply_unary(exp_nonpositive, wide);
  EXPECT_EQ(z[0], 1);
  EXPECT_LE(ulps(z[2], std::exp(-708.0L)), 1);
  EXPECT_EQ(z[3], 0);
  EXPECT_EQ(z[4], 0);
}

Val pow_of(Builder& b, const std::vector<Val>& v) { return pow(b, v[0], v[1]); }

TEST(Math, PowIsClose) {
  std::vector<double> x, y;
  u64 state = 7;
  for (int i = 0; i < 300000; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    double u = static_cast<double>(state >> 40) * 0x1p-24, v = static_cast<double>(state & 0xFFFFFF) * 0x1p-24 - 0.5;
    double base = i % 2 ? std::exp(40 * (u - 0.5)) : 0.5 + u;
    x.push_back(base);
    y.push_back(v * 1400 / std::max(std::fabs(std::log(base)), 1e-3));
  }
  auto z = apply<double>(pow_of, {x, y});
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i)
    worst = std::max(worst, ulps(z[i], std::pow(static_cast<long double>(x[i]), static_cast<long double>(y[i]))));
  EXPECT_LE(worst, 1.5);
  if (std::getenv("TENON_MATH_STRIDE")) std::printf("pow f64 %.3f ulp\n", worst);
  std::vector<float> a, c;
  for (size_t i = 0; i < x.size(); ++i) {
    a.push_back(static_cast<float>(x[i]));
    c.push_back(static_cast<float>(y[i] / 8));
  }
  auto s = apply<float>(pow_of, {a, c});
  worst = 0;
  for (size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, ulps(s[i], std::pow(static_cast<long double>(a[i]), static_cast<long double>(c[i]))));
  EXPECT_LE(worst, 0.51);
}

TEST(Math, PowHasTheSpecialValuesOfC) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  std::vector<double> some{0., -0., 1.,  -1.,  2.,    -2., 0.5,   -0.5,
                           3., -3., 2.5, kInf, -kInf, NAN, 1e308, 9007199254740993.};
  std::vector<double> x, y;
  for (double a : some)
    for (double b : some) {
      x.push_back(a);
      y.push_back(b);
    }
  auto z = apply<double>(pow_of, {x, y});
  auto s = apply<float>(pow_of, {std::vector<float>(x.begin(), x.end()), std::vector<float>(y.begin(), y.end())});
  for (size_t i = 0; i < x.size(); ++i) {
    double exact = std::pow(x[i], y[i]);
    if (std::isnan(exact)) {
      EXPECT_TRUE(std::isnan(z[i])) << x[i] << " ^ " << y[i];
      continue;
    }
    EXPECT_LE(ulps(z[i], exact), 1.5) << x[i] << " ^ " << y[i];
    EXPECT_EQ(std::signbit(z[i]), std::signbit(exact)) << x[i] << " ^ " << y[i];
    double narrow =
        std::pow(static_cast<double>(static_cast<float>(x[i])), static_cast<double>(static_cast<float>(y[i])));
    if (std::isnan(narrow)) continue;
    EXPECT_LE(ulps(s[i], narrow), 0.51) << x[i] << " ^ " << y[i];
  }
}

TEST(Math, SaturatesExactly) {
  std::vector<float> x{4.2f, -4.2f, 9.4f, -9.4f, 1e30f, -std::numeric_limits<float>::infinity()};
  auto y = apply_unary(erf, x), z = apply_unary(tanh, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], std::copysign(1.f, x[i]));
  for (size_t i = 2; i < x.size(); ++i) EXPECT_EQ(z[i], std::copysign(1.f, x[i]));
}

TEST(Math, ExtremesPropagateNan) {
  std::vector<float> x{1, 2, NAN, 1, NAN}, y{2, 1, 1, NAN, NAN};
  auto greater = apply<float>([](Builder& b, const std::vector<Val>& v) { return maximum(b, v[0], v[1]); }, {x, y});
  auto lesser = apply<float>([](Builder& b, const std::vector<Val>& v) { return minimum(b, v[0], v[1]); }, {x, y});
  EXPECT_EQ(greater[0], 2);
  EXPECT_EQ(greater[1], 2);
  EXPECT_EQ(lesser[0], 1);
  EXPECT_EQ(lesser[1], 1);
  for (size_t i : {2, 3, 4}) EXPECT_TRUE(std::isnan(greater[i]) && std::isnan(lesser[i]));
}

TEST(Math, ReciprocalRoot) {
  std::vector<float> x{0.25f, 2.f, 0.f, std::numeric_limits<float>::infinity(), -1.f};
  auto y = apply_unary(rsqrt, x);
  EXPECT_EQ(y[0], 2);
  EXPECT_LE(ulps(y[1], 1 / std::sqrt(2.0L)), 1);
  EXPECT_TRUE(std::isinf(y[2]));
  EXPECT_EQ(y[3], 0);
  EXPECT_TRUE(std::isnan(y[4]));
}

}  // namespace
}  // namespace tn::loops
