// What the expressions of math_*.cpp share. Each helper emits its nodes in one order: calls nested in argument lists
// would leave it to the compiler, and with it the kernel's key.
#pragma once
#include <span>

#include "ir/loops.h"

namespace tn::loops {

inline bool is_f64(const Builder& b, Val x) { return b.tile(x).dtype == DType::f64; }

/// a * k + c
inline Val fma_k(Builder& b, Val a, double k, Val c) {
  Val factor = b.number(k, a);
  return b.fma(a, factor, c);
}
inline Val add_k(Builder& b, Val a, double k) {
  Val term = b.number(k, a);
  return b.add(a, term);
}
inline Val mul_k(Builder& b, Val a, double k) {
  Val factor = b.number(k, a);
  return b.mul(a, factor);
}
/// a < k
inline Val below(Builder& b, Val a, double k) {
  Val limit = b.number(k, a);
  return b.less(a, limit);
}
/// k < a
inline Val above(Builder& b, Val a, double k) {
  Val limit = b.number(k, a);
  return b.less(limit, a);
}
inline Val equals(Builder& b, Val a, double k) {
  Val other = b.number(k, a);
  return b.equal(a, other);
}
/// condition ? k : a
inline Val choose_k(Builder& b, Val condition, double k, Val a) {
  Val number = b.number(k, a);
  return b.select(condition, number, a);
}
/// Into [low, high]; NaN stays (min and max give their second operand then).
inline Val clamp(Builder& b, Val x, double low, double high) {
  Val least = b.number(low, x);
  Val raised = b.max(least, x);
  Val greatest = b.number(high, x);
  return b.min(greatest, raised);
}
/// Coefficients from the constant term up.
inline Val polynomial(Builder& b, Val x, std::span<const double> coefficients) {
  Val p = b.number(coefficients.back(), x);
  for (size_t i = coefficients.size() - 1; i-- > 0;) {
    Val c = b.number(coefficients[i], x);
    p = b.fma(p, x, c);
  }
  return p;
}
inline DType bits_dtype(const Builder& b, Val x) { return is_f64(b, x) ? DType::i64 : DType::i32; }
inline Val bits_op(Builder& b, ScalarOp op, Val bits, i64 k) {
  Val other = b.constant_int(k, b.tile(bits).dtype);
  return b.map(op, {bits, other});
}
/// The magnitude with x's sign; both have the dtype of x.
inline Val with_sign_of(Builder& b, Val magnitude, Val x) {
  DType whole = bits_dtype(b, x), real = b.tile(x).dtype;
  Val x_bits = b.bitcast(x, whole);
  Val sign = bits_op(b, ScalarOp::logical_and, x_bits, whole == DType::i64 ? i64{1} << 63 : i64{-1} << 31);
  Val bits = b.bitcast(magnitude, whole);
  Val both = b.map(ScalarOp::logical_or, {bits, sign});
  return b.bitcast(both, real);
}

/// x = n ln 2 + r with |r| <= ln 2 / 2; `shifted` holds n + bias in its lowest bits.
struct PowerOfTwo {
  Val r, shifted;
};
PowerOfTwo split_by_ln2(Builder& b, Val x, int bias);
/// e^r - 1
Val expm1_near_zero(Builder& b, Val r);
/// e^x for a clamped x = n ln 2 + r (bias twice the exponent's bias); right for subnormal and infinite results.
Val exp_of_parts(Builder& b, const PowerOfTwo& parts, Val r);
inline int double_bias(const Builder& b, Val x) { return is_f64(b, x) ? 2046 : 254; }
inline Val clamp_for_exp(Builder& b, Val x) { return is_f64(b, x) ? clamp(b, x, -746, 710) : clamp(b, x, -104, 89); }

/// x = 2^e m with m in [sqrt(1/2), sqrt(2)); e as a float.
struct Exponent {
  Val e, m;
};
Exponent split_exponent(Builder& b, Val x);
/// The last step of logarithms: what infinity, zero, negative numbers and NaN give.
Val log_specials(Builder& b, Val x, Val y);

/// ln 2 in two parts; the first has trailing zeros, so that its multiples are exact.
inline constexpr double kLn2High32 = 0x1.62e4p-1, kLn2Low32 = 0x1.7f7d1cp-20;
inline constexpr double kLn2High64 = 0x1.62e42fefap-1, kLn2Low64 = 0x1.cf79abc9e3b3ap-40;

}  // namespace tn::loops
