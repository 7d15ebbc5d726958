// Elementary functions as expressions over the scalar table: written once, for the interpreter and for every code
// generator, so their bits agree everywhere. Branch-free; f32 and f64 (f16 and bf16 go by way of f32). NaN gives NaN.
//
// Errors in ulp, found by comparing with libm in a wider type (tests/ir/math_test.cpp asserts them):
//
//            f32    f64
//   exp      0.9    1
//   expm1    1.5    1.8
//   log      0.9    1
//   log1p    0.9    0.9
//   sin cos  1.6    1.5    |x| <= 2^40, NaN beyond
//   tanh     2.4    1.6
//   sigmoid  2.5    1.5
//   erf      2.9    1.6
//   pow      0.51   1.3
#pragma once
#include "ir/loops.h"

namespace tn::loops {

Val exp(Builder& b, Val x);
/// For x <= 0, about a third cheaper: results below 2^-126 (f64: 2^-1022) are 0, so exp(-infinity) is exactly 0.
Val exp_nonpositive(Builder& b, Val x);
Val expm1(Builder& b, Val x);
/// -infinity at 0, NaN below.
Val log(Builder& b, Val x);
Val log1p(Builder& b, Val x);
Val sin(Builder& b, Val x);
Val cos(Builder& b, Val x);
Val tanh(Builder& b, Val x);
Val sigmoid(Builder& b, Val x);
Val erf(Builder& b, Val x);
/// As C's pow: x^0 = 1^y = 1; a negative x wants an integer y, else NaN; signed zeros and infinities.
Val pow(Builder& b, Val x, Val y);
Val sqrt(Builder& b, Val x);
/// 1 / sqrt(x), both rounded.
Val rsqrt(Builder& b, Val x);
/// The greater, the less; NaN where either is NaN.
Val maximum(Builder& b, Val x, Val y);
Val minimum(Builder& b, Val x, Val y);

}  // namespace tn::loops
