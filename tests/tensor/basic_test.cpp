#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "expect.h"
#include "runtime/execute.h"
#include "tensor/pending.h"

namespace tn {

TEST(Tensor, NumbersComeOutAsACastGivesThem) {
  Tensor x = tensor(std::vector<double>{1e20, -1e20, -1.5, 3e9, 300});
  EXPECT_EQ(x.to_vector<i32>(), x.astype(DType::i32).to_vector<i32>());
  EXPECT_EQ(x.to_vector<u8>(), x.astype(DType::u8).to_vector<u8>());
  EXPECT_EQ(x.to_vector<i32>()[0], std::numeric_limits<i32>::max());
}

TEST(Tensor, ArithmeticWithNumbersAndBroadcasting) {
  Tensor a = tensor({1.0, 2.0, 3.0});
  EXPECT_EQ((a * 2.0 + 1).to_vector(), (std::vector<double>{3, 5, 7}));
  Tensor m = tensor({{1.0}, {10.0}});
  Tensor s = m + a;
  EXPECT_EQ(s.size(0), 2);
  EXPECT_EQ(s.to_vector(), (std::vector<double>{2, 3, 4, 11, 12, 13}));
  EXPECT_EQ(sum(s, {.axis = 1}).to_vector(), (std::vector<double>{9, 36}));
  EXPECT_EQ(sum(s, {.axis = 1, .keepdims = true}).rank(), 2);
  EXPECT_FLOAT_EQ(mean(s).item<float>(), 7.5f);
}

template <class T>
concept ReadInPlace = requires(const Tensor& x) { x.data<T>(); };
static_assert(ReadInPlace<float> && ReadInPlace<u8> && ReadInPlace<i64> && ReadInPlace<u16>);
static_assert(!ReadInPlace<short> && !ReadInPlace<u64> && !ReadInPlace<long double>);

/// Numbers of the host that no dtype stores are converted, never taken for others.
TEST(Tensor, NumbersWithoutADtypeAreConverted) {
  auto check = [](auto values, DType dtype) {
    using T = typename decltype(values)::value_type;
    Tensor x = tensor(values), column = tensor(values, {static_cast<i64>(values.size()), 1});
    EXPECT_EQ(x.dtype(), dtype);
    EXPECT_EQ(x.to_vector(), std::vector<double>(values.begin(), values.end()));
    EXPECT_EQ(x.template to_vector<T>(), values);
    EXPECT_EQ(column.template to_vector<T>(), values);
    EXPECT_EQ(cast(x, DType::f32).template to_vector<T>(), values);
  };
  check(std::vector<size_t>{3, 5, 1 << 20}, DType::i64);
  check(std::vector<short>{-300, 5}, DType::i64);
  check(std::vector<u16>{300, 65535}, DType::i64);
  check(std::vector<long double>{0.5L, -3}, DType::f64);
  check(std::vector<size_t>{}, DType::i64);
  const bool bits[] = {true, false};
  EXPECT_EQ(tensor(std::span<const bool>(bits), {2}).to_vector<u16>(), (std::vector<u16>{1, 0}));
  expect_error([] { tensor(std::vector<u64>{1, ~u64{0}}); },
               "[tensor] expected integers that fit i64, got 18446744073709551615");
  expect_error([] { tensor({1, -1}).to_vector<size_t>(); }, "[to_vector] expected numbers that fit u64, got -1");
  expect_error([] { tensor({40000}).to_vector<short>(); }, "[to_vector] expected numbers that fit i16, got 40000");
}

/// A number that was read keeps its value when it is evaluated: nothing leaks, no reader is left without.
TEST(Tensor, NumbersAreReadAndEvaluated) {
  Tensor t = zeros({}, DType::f64);  // a number of the program
  EXPECT_EQ(t.to_vector(), std::vector<double>{0});
  eval({t});
  EXPECT_EQ(t.to_vector(), std::vector<double>{0});
}

TEST(Tensor, DtypesArePromotedWithinAKind) {
  Tensor x = tensor({1.0f}, DType::f32), y = tensor({2.0}, DType::f64), i = tensor({3});
  EXPECT_EQ((x + y).dtype(), DType::f64);
  EXPECT_EQ(i.dtype(), DType::i64);
  EXPECT_EQ((i + 1).dtype(), DType::i64);
  EXPECT_THROW(x + i, Error);
  EXPECT_THROW(i * 0.5, Error);
}

/// The array API's table; where its i16 or u64 would stand, the least dtype we have that holds both.
TEST(Tensor, EveryPairOfDtypesIsPromotedOrRefused) {
  constexpr std::string_view kTable[] = {//        f64  f32  f16  bf16 i64  i32  i8   u32  u8   bool
                                         /*f64*/ "f64  f64  f64  f64  -    -    -    -    -    -",
                                         /*f32*/ "f64  f32  f32  f32  -    -    -    -    -    -",
                                         /*f16*/ "f64  f32  f16  f32  -    -    -    -    -    -",
                                         /*bf16*/ "f64  f32  f32  bf16 -    -    -    -    -    -",
                                         /*i64*/ "-    -    -    -    i64  i64  i64  i64  i64  -",
                                         /*i32*/ "-    -    -    -    i64  i32  i32  i64  i32  -",
                                         /*i8*/ "-    -    -    -    i64  i32  i8   i64  i32  -",
                                         /*u32*/ "-    -    -    -    i64  i64  i64  u32  u32  -",
                                         /*u8*/ "-    -    -    -    i64  i32  i32  u32  u8   -",
                                         /*bool*/ "-    -    -    -    -    -    -    -    -    bool"};
  for (int a = 0; a < kDTypeCount; ++a)
    for (int b = 0; b < kDTypeCount; ++b) {
      std::string want(kTable[a].substr(static_cast<size_t>(b) * 5, 4));
      want.erase(want.find_last_not_of(' ') + 1);
      Tensor x = zeros({2}, static_cast<DType>(a)), y = zeros({2}, static_cast<DType>(b));
      SCOPED_TRACE(to_string(x.type()) + " and " + to_string(y.type()));
      if (want == "-") {
        EXPECT_THROW(equal(x, y), Error);
      } else {
        EXPECT_EQ(name(where(equal(x, y), x, y).dtype()), want);
        if (want != "bool") { EXPECT_EQ(name((x + y).dtype()), want); }
      }
    }
}

/// As the array API has it: i64 also stands for its unsigned default.
TEST(Tensor, SumsAndProductsOfIntegersDoNotWrapAtTheirDtype) {
  for (DType d : {DType::i8, DType::i32, DType::u8, DType::u32, DType::i64}) {
    Tensor x = cast(tensor({100, 100, 27}), d);
    SCOPED_TRACE(name(d));
    for (const Tensor& y : {sum(x), prod(x), cumsum(x)}) EXPECT_EQ(y.dtype(), DType::i64);
    EXPECT_EQ(sum(x).item<i64>(), 227);
    EXPECT_EQ(sum(x, {.axis = 0, .keepdims = true}).to_vector(), std::vector<double>{227});
    EXPECT_EQ(prod(x).item<i64>(), 270000);
    EXPECT_EQ(cumsum(x).to_vector(), (std::vector<double>{100, 200, 227}));
    EXPECT_EQ(max(x).dtype(), d);
  }
  EXPECT_EQ(sum(full({2}, 4000000000, DType::u32)).item<i64>(), 8000000000);
  Tensor hits = tensor({3, 4, 5}) > 3;
  EXPECT_EQ(sum(hits).dtype(), DType::i64);
  EXPECT_EQ(sum(hits).item<i64>(), 2);
  EXPECT_EQ(sum(ones({2}, DType::f16)).dtype(), DType::f16);
  EXPECT_EQ(vmap([](const Tensor& v) { return sum(v); })(cast(ones({2, 3}), DType::i8)).dtype(), DType::i64);
}

TEST(Tensor, IntegersAreDividedByZeroAndByMinusOneWithoutATrap) {
  auto check_all = [](auto number, DType dtype) {
    using T = decltype(number);
    T least = std::numeric_limits<T>::min();
    Tensor a = tensor(std::vector<T>{7, T(-7), least, least, 0, 7}), b = tensor(std::vector<T>{0, 0, T(-1), 0, 0, 2});
    ASSERT_EQ(a.dtype(), dtype);
    std::vector<T> quotient{0, 0, std::is_signed_v<T> ? least : T(0), 0, 0, 3}, rest{0, 0, 0, 0, 0, 1};
    for (Tier t : {Tier::interpreted, Tier::compiled}) {
      set_tier(t);
      EXPECT_EQ(floor_divide(a, b).template to_vector<T>(), quotient);
      EXPECT_EQ((a % b).template to_vector<T>(), rest);
    }
    set_tier(Tier::automatic);
  };
  check_all(i64{}, DType::i64);
  check_all(i32{}, DType::i32);
  check_all(static_cast<signed char>(0), DType::i8);
  check_all(u32{}, DType::u32);
  check_all(u8{}, DType::u8);
}

/// A sum of two steps, or one of few digits, is rounded up to `high` often enough to be seen.
TEST(Tensor, UniformNumbersStayBelowTheUpperEnd) {
  struct Ends {
    DType dtype;
    double low, high, greatest;
  };
  for (auto [dtype, low, high, greatest] :
       {Ends{DType::bf16, 1, 2, 2 - 0x1p-7}, Ends{DType::bf16, -2, -1, -1 - 0x1p-7},
        Ends{DType::f16, 1, 2, 2 - 0x1p-10}, Ends{DType::bf16, -1, 0, -0x1p-24},
        Ends{DType::f32, 1024, 1025, 1025 - 0x1p-13}, Ends{DType::f64, 0x1p40, 0x1p40 + 1, 0x1p40 + 1 - 0x1p-12},
        Ends{DType::f32, 3, 3, 3}, Ends{DType::f32, 1 - 2.9e-8, 1 + 5.9e-8, 1}}) {
    Tensor x = random::uniform(random::key(5), {100000}, {.low = low, .high = high, .dtype = dtype});
    EXPECT_EQ(x.dtype(), dtype);
    EXPECT_GE(min(x).item(), low) << name(dtype) << " from " << low;
    EXPECT_LE(max(x).item(), greatest) << name(dtype) << " from " << low;
    EXPECT_NEAR(mean(cast(x, DType::f64)).item(), (low + high) / 2, 0.01) << name(dtype) << " from " << low;
  }
  Tensor below_zero = random::uniform(random::key(5), {3}, {.low = -1e-45, .high = 0, .dtype = DType::f32});
  EXPECT_LT(max(below_zero).item(), 0);  // the least number that is not 0
}

TEST(Tensor, ErrorsNameOperandsAxisAndLine) {
  Tensor a = tensor({1.0, 2.0}), b = tensor({1.0, 2.0, 3.0});
  try {
    a + b;
    FAIL();
  } catch (const Error& e) {
    std::string line = std::to_string(__LINE__ - 3);
    EXPECT_EQ(e.what(),
              "[add] expected shapes that broadcast, got f32[2] and f32[3], which differ on axis 0 (2 and 3); "
              "reshape one of them (basic_test.cpp:" +
                  line + ")");
  }
}

struct Layer {
  Tensor w, b;
};
struct Mlp {
  std::vector<Layer> layers;
};

Tensor forward(const Mlp& m, const Tensor& x) {
  Tensor h = x;
  for (size_t i = 0; i < m.layers.size(); ++i) {
    h = matmul(h, m.layers[i].w) + m.layers[i].b;
    if (i + 1 < m.layers.size()) h = tanh(h);
  }
  return h;
}

Tensor loss(const Mlp& m, const Tensor& x, const Tensor& y) { return mean(square(forward(m, x) - y)); }

TEST(Grad, MlpAgreesWithFiniteDifferences) {
  auto ramp = [](const Shape& shape, double scale) {
    Tensor t = cast(arange(product(shape)), DType::f64);
    return sin(reshape(t, shape) * scale);
  };
  Mlp m{{{ramp({3, 4}, 0.7), ramp({4}, 0.3)}, {ramp({4, 2}, 1.1), ramp({2}, 0.5)}}};
  Tensor x = ramp({5, 3}, 1.3), y = ramp({5, 2}, 0.9);
  auto [l, g] = value_and_grad(loss)(m, x, y);
  double h = 1e-6;
  for (size_t k = 0; k < 2; ++k) {
    auto values = m.layers[k].w.to_vector(), got = g.layers[k].w.to_vector();
    for (size_t i = 0; i < values.size(); ++i) {
      auto at = [&](double d) {
        Mlp n = m;
        auto v = values;
        v[i] += d;
        n.layers[k].w = tensor(v, Shape(m.layers[k].w.shape().begin(), m.layers[k].w.shape().end()));
        return loss(n, x, y).item();
      };
      EXPECT_NEAR(got[i], (at(h) - at(-h)) / (2 * h), 1e-8);
    }
  }
  auto step = jit([](Mlp& model, const Tensor& input, const Tensor& target) {
    auto [value, gradient] = value_and_grad(loss)(model, input, target);
    model = tree_map([](const Tensor& p, const Tensor& d) { return p - d * 0.1; }, model, gradient);
    return value;
  });
  double before = l.item(), after = 0;
  for (int i = 0; i < 20; ++i) after = step(m, x, y).item();
  EXPECT_LT(after, before * 0.8);
  EXPECT_EQ(step.traces(), 1u);
}

}  // namespace tn
