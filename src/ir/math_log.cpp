// Logarithms and powers. x = 2^e m by the bits, m in [sqrt(1/2), sqrt(2)). f32: log m = t - t^2/2 + t^3 q(t) for t = m
// - 1 (Lawson minimax). f64: with s = t / (2 + t), log m = 2 s + s z R(z), z = s^2 (Chebyshev interpolation in 113
// bits, 2^-60.7). pow needs log to 2^-64: there the leading terms of the same series are sums of two doubles.
#include <limits>

#include "ir/math.h"
#include "ir/math_parts.h"

namespace tn::loops {

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

static constexpr double kLog32[] = {0x1.555548p-2,  -0x1.000006p-2, 0x1.99a476p-3,  -0x1.555c44p-3, 0x1.233ba4p-3,
                                    -0x1.fc28d8p-4, 0x1.e6bfe8p-4,  -0x1.de012ap-4, 0x1.147294p-4};
static constexpr double kLog64[] = {0x1.5555555555555p-1, 0x1.9999999999a38p-2, 0x1.2492492476bfdp-2,
                                    0x1.c71c72016ff0dp-3, 0x1.745cf8fb04a84p-3, 0x1.3b1c376128759p-3,
                                    0x1.0fbe5f98a62c7p-3, 0x1.0c05d37b07a9dp-3};
// R without its first term 2/3: (R - 2/3) / z
static constexpr double kLogTail64[] = {0x1.999999999999ap-2, 0x1.2492492492522p-2, 0x1.c71c71c6ea917p-3,
                                        0x1.745d177aa3d25p-3, 0x1.3b1395cc56a75p-3, 0x1.1118c91de409p-3,
                                        0x1.df7c87619db9ap-4, 0x1.e0311d08e4425p-4};

Exponent split_exponent(Builder& b, Val x) {
  bool wide = is_f64(b, x);
  double least = wide ? 0x1p-1022 : 0x1p-126, lift = wide ? 0x1p52 : 0x1p23;
  Val subnormal = below(b, x, least);
  Val lifted = mul_k(b, x, lift);
  Val normal = b.select(subnormal, lifted, x);
  Val none = b.number(0, x);
  Val correction = choose_k(b, subnormal, wide ? -52 : -23, none);
  Val bits = b.bitcast(normal, bits_dtype(b, x));
  Val above_root = bits_op(b, ScalarOp::sub, bits, wide ? 0x3FE6A09E667F3BCD : 0x3F3504F3);
  Val e = bits_op(b, ScalarOp::shift_right, above_root, wide ? 52 : 23);
  Val placed = bits_op(b, ScalarOp::shift_left, e, wide ? 52 : 23);
  Val fraction = b.sub(bits, placed);
  Val m = b.bitcast(fraction, b.tile(x).dtype);
  Val whole = b.cast(e, b.tile(x).dtype);
  Val exponent = b.add(whole, correction);
  return {exponent, m};
}

Val log_specials(Builder& b, Val x, Val y) {
  Val finite = below(b, x, kInfinity);
  Val right = b.select(finite, y, x);
  Val zero = equals(b, x, 0);
  Val nan = b.number(kNan, x);
  Val wrong = choose_k(b, zero, -kInfinity, nan);
  Val positive = above(b, x, 0);
  return b.select(positive, right, wrong);
}

/// log(2^e m) + correction, where the correction is small.
static Val log_of_parts(Builder& b, const Exponent& parts, std::optional<Val> correction) {
  bool wide = is_f64(b, parts.m);
  Val t = add_k(b, parts.m, -1);
  Val low = mul_k(b, parts.e, wide ? kLn2Low64 : kLn2Low32);
  if (correction) low = b.add(low, *correction);
  Val square = b.mul(t, t);
  Val y;
  if (wide) {
    Val denominator = add_k(b, t, 2);
    Val s = b.div(t, denominator);
    Val z = b.mul(s, s);
    Val tail = polynomial(b, z, kLog64);
    Val half_square = mul_k(b, square, 0.5);
    Val inner = b.fma(z, tail, half_square);
    Val small = b.fma(s, inner, low);
    Val less = b.sub(small, half_square);
    y = b.add(less, t);
  } else {
    Val q = polynomial(b, t, kLog32);
    Val cube = b.mul(square, t);
    Val small = b.fma(cube, q, low);
    Val less = fma_k(b, square, -0.5, small);
    y = b.add(less, t);
  }
  return fma_k(b, parts.e, wide ? kLn2High64 : kLn2High32, y);
}

Val log(Builder& b, Val x) {
  Exponent parts = split_exponent(b, x);
  Val y = log_of_parts(b, parts, std::nullopt);
  return log_specials(b, x, y);
}

Val log1p(Builder& b, Val x) {
  // log(u) + (what rounding u = 1 + x lost) / u
  Val u = add_k(b, x, 1);
  Val without_one = add_k(b, u, -1);
  Val lost_of_small = b.sub(x, without_one);
  Val without_x = b.sub(u, x);
  Val one = b.number(1, x);
  Val lost_of_large = b.sub(one, without_x);
  Val large = above(b, x, 1);
  Val lost = b.select(large, lost_of_large, lost_of_small);
  Val correction = b.div(lost, u);
  Exponent parts = split_exponent(b, u);
  Val y = log_of_parts(b, parts, correction);
  Val special = log_specials(b, u, y);
  Val zero = equals(b, x, 0);
  return b.select(zero, x, special);
}

// ---------------------------------------------------------------- pow

namespace {

/// A sum of two: |low| is at most half an ulp of high.
struct Double2 {
  Val high, low;
};

/// a + b for |a| >= |b|
Double2 fast_sum(Builder& b, Val x, Val y) {
  Val high = b.add(x, y);
  Val back = b.sub(high, x);
  Val low = b.sub(y, back);
  return {high, low};
}

Double2 product(Builder& b, Val x, Val y) {
  Val high = b.mul(x, y);
  Val opposite = b.neg(high);
  Val low = b.fma(x, y, opposite);
  return {high, low};
}

/// log(2^e m) to about 2^-65 of its value.
Double2 log_twice_as_precise(Builder& b, const Exponent& parts) {
  // s = t / (2 + t) in two parts.
  Val t = add_k(b, parts.m, -1);
  Val two = b.number(2, t);
  Double2 d = fast_sum(b, two, t);
  Val s = b.div(t, d.high);
  Val s_opposite = b.neg(s);
  Val left = b.fma(s_opposite, d.high, t);
  Val left2 = b.fma(s_opposite, d.low, left);
  Val s_low = b.div(left2, d.high);
  // 2 s + (2/3) s^3 + s^5 (...): the first two terms in two parts.
  Double2 z = product(b, s, s);
  Val twice_s = mul_k(b, s, 2);
  Val z_low = b.fma(twice_s, s_low, z.low);
  Double2 cube = product(b, s, z.high);
  Val cube_low1 = b.fma(s, z_low, cube.low);
  Val cube_low = b.fma(s_low, z.high, cube_low1);
  Val third = b.number(0x1.5555555555555p-1, t);
  Double2 c = product(b, cube.high, third);
  Val c_low1 = fma_k(b, cube.high, 0x1.5555555555555p-55, c.low);
  Val c_low = b.fma(cube_low, third, c_low1);
  Val tail = polynomial(b, z.high, kLogTail64);
  Val fifth = b.mul(cube.high, z.high);
  Val twice_s_low = mul_k(b, s_low, 2);
  Double2 m = fast_sum(b, twice_s, c.high);
  Val low1 = b.fma(fifth, tail, c_low);
  Val low2 = b.add(low1, twice_s_low);
  Val low3 = b.add(low2, m.low);
  // + e ln 2
  Val whole = mul_k(b, parts.e, kLn2High64);
  Double2 sum = fast_sum(b, whole, m.high);
  Double2 other = fast_sum(b, m.high, whole);
  Val no_exponent = equals(b, parts.e, 0);
  Val high = b.select(no_exponent, other.high, sum.high);
  Val sum_low = b.select(no_exponent, other.low, sum.low);
  Val low4 = b.add(low3, sum_low);
  Val low = fma_k(b, parts.e, kLn2Low64, low4);
  return fast_sum(b, high, low);
}

/// e^(y log x) for x >= 0, infinities and NaN included but for 0 * infinity.
Val power_of_magnitude(Builder& b, Val x, Val y, bool precise) {
  Exponent parts = split_exponent(b, x);
  if (!precise) {
    Val plain = log_of_parts(b, parts, std::nullopt);
    Val logarithm = log_specials(b, x, plain);
    Val exponent = b.mul(y, logarithm);
    return exp(b, exponent);
  }
  Double2 logarithm = log_twice_as_precise(b, parts);
  Val special = log_specials(b, x, logarithm.high);
  Double2 p = product(b, y, special);
  Val low = b.fma(y, logarithm.low, p.low);
  Val inside = clamp_for_exp(b, p.high);
  Val exact = b.equal(inside, p.high);
  Val zero = b.number(0, x);
  Val kept = b.select(exact, low, zero);
  PowerOfTwo split = split_by_ln2(b, inside, double_bias(b, x));
  Val r = b.add(split.r, kept);
  return exp_of_parts(b, split, r);
}

/// The sign and the special cases of C's pow, for a magnitude |x|^y.
Val pow_specials(Builder& b, Val x, Val y, Val magnitude) {
  Val whole = b.map(ScalarOp::floor, {y});
  Val is_whole = b.equal(whole, y);
  Val half = mul_k(b, y, 0.5);
  Val half_whole = b.map(ScalarOp::floor, {half});
  Val uneven = b.map(ScalarOp::not_equal, {half_whole, half});
  Val is_odd = b.map(ScalarOp::logical_and, {is_whole, uneven});
  Val one = b.number(1, x);
  Val sign = with_sign_of(b, one, x);
  Val signed_magnitude = b.mul(magnitude, sign);
  Val result = b.select(is_odd, signed_magnitude, magnitude);
  // A negative finite x with a fraction as exponent.
  Val negative = below(b, x, 0);
  Val finite = above(b, x, -kInfinity);
  Val fraction = b.map(ScalarOp::not_equal, {whole, y});
  Val bad1 = b.map(ScalarOp::logical_and, {negative, finite});
  Val bad = b.map(ScalarOp::logical_and, {bad1, fraction});
  Val checked = choose_k(b, bad, kNan, result);
  Val size = b.abs(y);
  Val endless = equals(b, size, kInfinity);
  Val x_size = b.abs(x);
  Val unit = equals(b, x_size, 1);
  Val unit_endless = b.map(ScalarOp::logical_and, {unit, endless});
  Val x_one = equals(b, x, 1);
  Val y_zero = equals(b, y, 0);
  Val is_one1 = b.map(ScalarOp::logical_or, {x_one, y_zero});
  Val is_one = b.map(ScalarOp::logical_or, {is_one1, unit_endless});
  return b.select(is_one, one, checked);
}

}  // namespace

Val pow(Builder& b, Val x, Val y) {
  bool narrow = !is_f64(b, x);
  Val base = b.cast(x, DType::f64);
  Val exponent = b.cast(y, DType::f64);
  Val size = b.abs(base);
  Val magnitude = power_of_magnitude(b, size, exponent, !narrow);
  Val result = pow_specials(b, base, exponent, magnitude);
  return b.cast(result, narrow ? DType::f32 : DType::f64);
}

Val sqrt(Builder& b, Val x) { return b.map(ScalarOp::sqrt, {x}); }

Val rsqrt(Builder& b, Val x) {
  Val root = sqrt(b, x);
  Val one = b.number(1, x);
  return b.div(one, root);
}

static Val propagating(Builder& b, ScalarOp op, Val x, Val y) {
  Val picked = b.map(op, {x, y});  // y where either is NaN
  Val is_nan = b.map(ScalarOp::not_equal, {x, x});
  return b.select(is_nan, x, picked);
}

Val maximum(Builder& b, Val x, Val y) { return propagating(b, ScalarOp::max, x, y); }
Val minimum(Builder& b, Val x, Val y) { return propagating(b, ScalarOp::min, x, y); }

}  // namespace tn::loops
