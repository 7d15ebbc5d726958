// sin and cos: x less the nearest multiple of pi/2, by fma with pi/2 in two (f32, reduced in double) or three parts
// (f64), so that the remainder keeps its relative precision up to 2^40; then two polynomials on [-pi/4, pi/4], one of
// which the quadrant picks. f32: Lawson minimax; f64: Chebyshev interpolation in 113 bits (sin 2^-55.6, cos 2^-59.5).
// And erf.
#include <limits>

#include "ir/math.h"
#include "ir/math_parts.h"

namespace tn::loops {

static constexpr double kHalfPi[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110};
static constexpr double kLargest = 0x1p40;

// (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 in r^2
static constexpr double kSin32[] = {-0x1.555546p-3, 0x1.11077cp-7, -0x1.9955bp-13};
static constexpr double kCos32[] = {0x1.55554ap-5, -0x1.6c0c2ap-10, 0x1.99e904p-16};
static constexpr double kSin64[] = {-0x1.5555555555555p-3, 0x1.1111111110babp-7,   -0x1.a01a019e820aep-13,
                                    0x1.71de37946ed6dp-19, -0x1.ae6008d114485p-26, 0x1.5e0a4fc16be59p-33};
static constexpr double kCos64[] = {0x1.5555555555555p-5,   -0x1.6c16c16c16963p-10, 0x1.a01a019f4ddfdp-16,
                                    -0x1.27e4fa16cc2d1p-22, 0x1.1eeb67d026ec6p-29,  -0x1.907cd8ff5ede7p-37};

namespace {

struct Quadrant {
  Val r, number;  // number: an integer of x's width
};

Quadrant reduce_by_half_pi(Builder& b, Val x) {
  bool wide = is_f64(b, x);
  Val precise = b.cast(x, DType::f64);
  Val scale = b.number(0x1.45f306dc9c883p-1, precise);
  Val shift = b.number(0x1.8p52, precise);
  Val shifted = b.fma(precise, scale, shift);
  Val n = b.sub(shifted, shift);
  Val r = fma_k(b, n, -kHalfPi[0], precise);
  r = fma_k(b, n, -kHalfPi[1], r);
  if (wide) r = fma_k(b, n, -kHalfPi[2], r);
  Val bits = b.bitcast(shifted, DType::i64);
  Val number = b.cast(bits, bits_dtype(b, x));
  Val remainder = b.cast(r, b.tile(x).dtype);
  return {remainder, number};
}

/// sin(x + quarters * pi/2)
Val sine(Builder& b, Val x, i64 quarters) {
  bool wide = is_f64(b, x);
  Quadrant q = reduce_by_half_pi(b, x);
  Val u = b.mul(q.r, q.r);
  Val sin_tail = wide ? polynomial(b, u, kSin64) : polynomial(b, u, kSin32);
  Val cube = b.mul(q.r, u);
  Val sin_r = b.fma(cube, sin_tail, q.r);
  Val cos_tail = wide ? polynomial(b, u, kCos64) : polynomial(b, u, kCos32);
  Val one = b.number(1, u);
  Val parabola = fma_k(b, u, -0.5, one);
  Val square = b.mul(u, u);
  Val cos_r = b.fma(square, cos_tail, parabola);
  Val quadrant = quarters ? bits_op(b, ScalarOp::add, q.number, quarters) : q.number;
  Val lowest = bits_op(b, ScalarOp::logical_and, quadrant, 1);
  Val zero = b.constant_int(0, b.tile(lowest).dtype);
  Val is_even = b.equal(lowest, zero);
  Val picked = b.select(is_even, sin_r, cos_r);
  Val second = bits_op(b, ScalarOp::logical_and, quadrant, 2);
  Val sign = bits_op(b, ScalarOp::shift_left, second, wide ? 62 : 30);
  Val bits = b.bitcast(picked, bits_dtype(b, x));
  Val turned = b.map(ScalarOp::logical_xor, {bits, sign});
  Val y = b.bitcast(turned, b.tile(x).dtype);
  Val size = b.abs(x);
  Val limit = b.number(kLargest, x);
  Val known = b.map(ScalarOp::less_equal, {size, limit});
  Val nan = b.number(std::numeric_limits<double>::quiet_NaN(), x);
  return b.select(known, y, nan);
}

}  // namespace

Val sin(Builder& b, Val x) {
  Val y = sine(b, x, 0);
  Val zero = equals(b, x, 0);
  return b.select(zero, x, y);
}

Val cos(Builder& b, Val x) { return sine(b, x, 1); }

// ---------------------------------------------------------------- erf

// f32: with s = x / Q(x^2), erf x = 2 s / (1 + s^2) on |x| <= 3.93 (2^-25.4)
static constexpr double kErfQ[] = {0x1.c5bf8ap+0,   0x1.b445b2p-6,   0x1.cd838cp-6,   -0x1.80eea8p-10,
                                   -0x1.3669c2p-12, 0x1.c965f8p-15,  -0x1.2f085cp-19, -0x1.970ddep-22,
                                   0x1.1985f2p-24,  -0x1.3b7196p-28, 0x1.6266dep-33,  -0x1.468202p-39};
// f64: erf(x) / x in x^2 for |x| < 1 (2^-55.8), and e^(x^2) (1 - erf x) in (x - 3) / (x + 3) for 1 <= x <= 6 (2^-62)
static constexpr double kErfNear[] = {0x1.20dd750429b6dp+0,   -0x1.812746b0379e6p-2,  0x1.ce2f21a042b3p-4,
                                      -0x1.b82ce31284ep-6,    0x1.565bcd0dbaa38p-8,   -0x1.c02db3dac435fp-11,
                                      0x1.f9a321d5b8e1ep-14,  -0x1.f4d1e3183f7aep-17, 0x1.b9df224ca4b97p-20,
                                      -0x1.5f1ecb6f0764cp-23, 0x1.f7b4bf3b13964p-27,  -0x1.389d4f2641625p-30,
                                      0x1.05ffd737fb32ep-34};
static constexpr double kErfcFar[] = {
    0x1.6e9827d229d2dp-3,   -0x1.4e102b9cf8513p-2, 0x1.f6ff204105974p-3,  -0x1.336ffbef08b4ap-3,
    0x1.258b13b017a98p-4,   -0x1.8fa58eb5d99f5p-6, 0x1.17c838ee8494fp-8,  0x1.73101e7a20acfp-11,
    -0x1.39084c5845ec4p-11, 0x1.7ba1010d69b2dp-15, 0x1.0cac346a7930ap-14, -0x1.af862eaeda59cp-17,
    -0x1.0bb38610b33f3p-17, 0x1.1c720654f7f7ep-19, 0x1.500fb532221eap-20, -0x1.37ab7da225e18p-22,
    -0x1.ed1488caf1974p-23, 0x1.68e57723cb7e3p-26, 0x1.0a435e5566e36p-25};

static Val erf_wide(Builder& b, Val x) {
  Val u = b.mul(x, x);
  Val near_ratio = polynomial(b, u, kErfNear);
  Val near = b.mul(x, near_ratio);
  Val size = b.abs(x);
  Val past = above(b, size, 6);
  Val a = choose_k(b, past, 6, size);
  Val numerator = add_k(b, a, -3);
  Val denominator = add_k(b, a, 3);
  Val t = b.div(numerator, denominator);
  Val scaled = polynomial(b, t, kErfcFar);
  Val square = b.mul(a, a);
  Val negative = b.neg(square);
  Val decay = exp_nonpositive(b, negative);
  Val rest = b.mul(decay, scaled);
  Val one = b.number(1, x);
  Val far = b.sub(one, rest);
  Val far_signed = with_sign_of(b, far, x);
  Val is_near = below(b, size, 1);
  return b.select(is_near, near, far_signed);
}

Val erf(Builder& b, Val x) {
  if (is_f64(b, x)) return erf_wide(b, x);
  // 2 x q / (q^2 + x^2): an error of s fades as s nears 1. What the product's rounding loses is taken off the sum,
  // which undoes it there; near 0 it is small.
  Val size = b.abs(x);
  Val limit = b.number(0x1.f38ccep+1, x);  // there the result is 1
  Val c = b.min(limit, size);
  Val u = b.mul(c, c);
  Val q = polynomial(b, u, kErfQ);
  Val twice = b.add(c, c);
  Val product = b.mul(twice, q);
  Val opposite = b.neg(product);
  Val lost = b.fma(twice, q, opposite);
  Val square = b.sub(u, lost);
  Val sum = b.fma(q, q, square);
  Val ratio = b.div(product, sum);
  Val one = b.number(1, x);
  Val y = b.min(one, ratio);
  return with_sign_of(b, y, x);
}

}  // namespace tn::loops
