// exp and its kin. n = round(x / ln 2) by adding 1.5 * 2^23 (2^52), which also leaves n in the sum's lowest bits; a
// polynomial in r = x - n ln 2; then the exponent's bits. Polynomials of f32: minimax by Lawson's iteration,
// coefficients rounded from the lowest up; of f64: interpolation at Chebyshev nodes in 113 bits (degree 10: 2^-60).
#include "ir/math.h"
#include "ir/math_parts.h"

namespace tn::loops {

// (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2
static constexpr double kExpm1Tail32[] = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558acp-5, 0x1.12397cp-7, 0x1.6a510ep-10};
static constexpr double kExpm1Tail64[] = {0x1p-1,
                                          0x1.5555555555557p-3,
                                          0x1.5555555555556p-5,
                                          0x1.11111111100d5p-7,
                                          0x1.6c16c16c162dp-10,
                                          0x1.a01a01abeb9f3p-13,
                                          0x1.a01a01a6da9c9p-16,
                                          0x1.71de0226142bp-19,
                                          0x1.27e4db5dd8253p-22,
                                          0x1.af4e016dc82d1p-26,
                                          0x1.1f7310f703ed9p-29};

static Val expm1_tail(Builder& b, Val r) {
  return is_f64(b, r) ? polynomial(b, r, kExpm1Tail64) : polynomial(b, r, kExpm1Tail32);
}

static Val exp_near_zero(Builder& b, Val r) {
  Val tail = expm1_tail(b, r);
  Val one = b.number(1, r);
  Val linear = b.fma(tail, r, one);
  return b.fma(linear, r, one);
}

Val expm1_near_zero(Builder& b, Val r) {
  Val tail = expm1_tail(b, r);
  Val square = b.mul(r, r);
  return b.fma(square, tail, r);
}

PowerOfTwo split_by_ln2(Builder& b, Val x, int bias) {
  bool wide = is_f64(b, x);
  double magic = (wide ? 0x1.8p52 : 0x1.8p23) + bias;
  Val scale = b.number(0x1.71547652b82fep+0, x);
  Val shift = b.number(magic, x);
  Val shifted = b.fma(x, scale, shift);
  Val n = b.sub(shifted, shift);
  Val high = fma_k(b, n, wide ? -kLn2High64 : -kLn2High32, x);
  Val r = fma_k(b, n, wide ? -kLn2Low64 : -kLn2Low32, high);
  return {r, shifted};
}

/// 2^(lowest bits less the exponent's bias)
static Val power_of_bits(Builder& b, Val bits, DType real) {
  Val placed = bits_op(b, ScalarOp::shift_left, bits, real == DType::f64 ? 52 : 23);
  return b.bitcast(placed, real);
}

Val exp_of_parts(Builder& b, const PowerOfTwo& parts, Val r) {
  // 2^n as a product of two, each of which is a normal number: only the last product rounds.
  DType real = b.tile(r).dtype;
  Val p = exp_near_zero(b, r);
  Val bits = b.bitcast(parts.shifted, bits_dtype(b, r));
  Val half = bits_op(b, ScalarOp::shift_right, bits, 1);
  Val rest = b.sub(bits, half);
  Val first = power_of_bits(b, half, real);
  Val second = power_of_bits(b, rest, real);
  Val scaled = b.mul(p, first);
  return b.mul(scaled, second);
}

Val exp(Builder& b, Val x) {
  Val inside = clamp_for_exp(b, x);
  PowerOfTwo parts = split_by_ln2(b, inside, double_bias(b, x));
  return exp_of_parts(b, parts, parts.r);
}

Val exp_nonpositive(Builder& b, Val x) {
  bool wide = is_f64(b, x);
  PowerOfTwo parts = split_by_ln2(b, x, wide ? 1023 : 127);
  Val p = exp_near_zero(b, parts.r);
  Val bits = b.bitcast(parts.shifted, bits_dtype(b, x));
  Val power = power_of_bits(b, bits, b.tile(x).dtype);
  Val y = b.mul(p, power);
  Val vanishes = below(b, x, wide ? -708.3 : -87.33);
  return choose_k(b, vanishes, 0, y);
}

Val expm1(Builder& b, Val x) {
  // 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)): half of 2^n is finite where the result still is.
  bool wide = is_f64(b, x);
  Val inside = wide ? clamp(b, x, -40, 710) : clamp(b, x, -25, 89);
  PowerOfTwo parts = split_by_ln2(b, inside, wide ? 1022 : 126);
  Val p = expm1_near_zero(b, parts.r);
  Val bits = b.bitcast(parts.shifted, bits_dtype(b, x));
  Val half_power = power_of_bits(b, bits, b.tile(x).dtype);
  Val offset = add_k(b, half_power, -0.5);
  Val half = b.fma(half_power, p, offset);
  Val y = b.add(half, half);
  Val magnitude = b.abs(x);
  Val tiny = below(b, magnitude, 0x1p-60);
  return b.select(tiny, x, y);
}

// x P(x^2) / Q(x^2) on |x| <= 9.02; above, up to 9.3, it only leaves 1 upward, and is cut there
static constexpr double kTanhP[] = {0x1.fffffep-1,  0x1.088f68p-3,   0x1.7ea766p-9,
                                    0x1.368d6cp-17, -0x1.b5e12ap-27, 0x1.3f860ap-36};
static constexpr double kTanhQ[] = {1, 0x1.d99ce8p-2, 0x1.853edcp-6, 0x1.ddf8b2p-13};

Val tanh(Builder& b, Val x) {
  if (is_f64(b, x)) {
    Val magnitude = b.abs(x);
    Val twice = mul_k(b, magnitude, -2);
    Val e = expm1(b, twice);
    Val below_two = add_k(b, e, 2);
    Val opposite = b.neg(e);
    Val y = b.div(opposite, below_two);
    return with_sign_of(b, y, x);
  }
  Val c = clamp(b, x, -9.3, 9.3);
  Val u = b.mul(c, c);
  Val p = polynomial(b, u, kTanhP);
  Val q = polynomial(b, u, kTanhQ);
  Val odd = b.mul(c, p);
  Val y = b.div(odd, q);
  return clamp(b, y, -1, 1);
}

Val sigmoid(Builder& b, Val x) {
  // 1 / (1 + e^-|x|), and e^-|x| times that below 0: no infinity on the way, subnormal results are right.
  Val size = b.abs(x);
  Val opposite = b.neg(size);
  Val e = exp(b, opposite);
  Val sum = add_k(b, e, 1);
  Val one = b.number(1, x);
  Val upper = b.div(one, sum);
  Val lower = b.mul(e, upper);
  Val negative = below(b, x, 0);
  return b.select(negative, lower, upper);
}

}  // namespace tn::loops
