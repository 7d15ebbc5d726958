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

// f32: tanh(x / 2) = x P(x^2) / (2 Q(x^2)) on |x| <= 9, its error weighted by 1 / cosh x (2^-26.1)
static constexpr double kTanhP[] = {0x1.d0aceap-6, 0x1.4270e4p-14, -0x1.2ac758p-24};  // (P - 1) / x^2
static constexpr double kTanhQ[] = {0x1.c9808p-4, 0x1.13a56cp-10};                    // (Q - 1) / x^2
// f64: (tanh(x) / x - 1) / x^2 in x^2 for |x| < 0.56 (2^-58)
static constexpr double kTanhNear[] = {-0x1.5555555555555p-2,  0x1.1111111110fd9p-3,  -0x1.ba1ba1b9f49e6p-5,
                                       0x1.664f487384560p-6,   -0x1.226e324ef7265p-7, 0x1.d6d318a012c9ep-9,
                                       -0x1.7d95d08f04614p-10, 0x1.34b253ea057a5p-11, -0x1.eb2f1f90d81f4p-13,
                                       0x1.6227bf9d410dfp-14,  -0x1.51eb0f790fd4cp-16};

static Val tanh_wide(Builder& b, Val x) {
  Val size = b.abs(x);
  Val u = b.mul(x, x);
  Val tail = polynomial(b, u, kTanhNear);
  Val cube = b.mul(x, u);
  Val near = b.fma(cube, tail, x);
  // 1 - 2 / (e^2|x| + 1)
  Val limit = b.number(20, x);
  Val inside = b.min(limit, size);
  Val twice = b.add(inside, inside);
  Val e = exp(b, twice);
  Val sum = add_k(b, e, 1);
  Val two = b.number(2, x);
  Val rest = b.div(two, sum);
  Val one = b.number(1, x);
  Val far = b.sub(one, rest);
  Val past = above(b, size, 0.55);
  Val y = b.select(past, far, near);
  return with_sign_of(b, y, x);
}

Val tanh(Builder& b, Val x) {
  if (is_f64(b, x)) return tanh_wide(b, x);
  // With s = tanh(x / 2) = n / 2q, tanh x = 2 s / (1 + s^2) = n q / (q^2 + n^2 / 4): an error of s fades as s nears 1.
  // Near 0 the roundings of n and q would count in full, near 1 that of the product: each is found by an fma and added
  // where it is needed.
  Val size = b.abs(x);
  Val limit = b.number(0x1.201666p+3, x);  // there the result is 1
  Val c = b.min(limit, size);
  Val u = b.mul(c, c);
  Val one = b.number(1, x);
  Val p = polynomial(b, u, kTanhP);
  Val cube = b.mul(c, u);
  Val n = b.fma(cube, p, c);
  Val n_rest = b.sub(c, n);
  Val n_lost = b.fma(cube, p, n_rest);
  Val q_tail = polynomial(b, u, kTanhQ);
  Val q = b.fma(u, q_tail, one);
  Val q_rest = b.sub(one, q);
  Val q_lost = b.fma(u, q_tail, q_rest);
  Val product = b.fma(n, q, n_lost);
  Val opposite = b.neg(product);
  Val product_lost = b.fma(n, q, opposite);
  Val lost = b.sub(q_lost, product_lost);
  Val quarter = mul_k(b, n, 0.25);
  Val square = b.fma(quarter, n, lost);
  Val sum = b.fma(q, q, square);
  Val ratio = b.div(product, sum);
  Val y = b.min(one, ratio);
  return with_sign_of(b, y, x);
}

Val sigmoid(Builder& b, Val x) {
  // 1 / (1 + e^-|x|), and e^-|x| over that sum below 0: no infinity on the way, subnormal results are right.
  Val size = b.abs(x);
  Val opposite = b.neg(size);
  Val e = exp(b, opposite);
  Val sum = add_k(b, e, 1);
  Val negative = below(b, x, 0);
  Val one = b.number(1, x);
  Val top = b.select(negative, e, one);
  Val y = b.div(top, sum);
  if (!is_f64(b, x)) return y;
  // What the roundings of quotient and sum lost, over about the sum.
  Val back = add_k(b, sum, -1);
  Val sum_lost = b.sub(e, back);
  Val minus_y = b.neg(y);
  Val left = b.fma(minus_y, sum, top);
  Val lost = b.fma(minus_y, sum_lost, left);
  Val scale = fma_k(b, e, -0.5, one);
  return b.fma(lost, scale, y);
}

}  // namespace tn::loops
