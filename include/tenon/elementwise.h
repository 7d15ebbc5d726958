// Elementwise ops as functions: each records one node. Made from the op table by ops_page; edit the entries.
#pragma once
#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {

/// The sum a + b.
Tensor add(Arg a, Arg b);
/// The difference a - b.
Tensor sub(Arg a, Arg b);
/// The product a * b.
Tensor mul(Arg a, Arg b);
/// a / b, true division of floating operands, as IEEE 754 has it.
Tensor div(Arg a, Arg b);
/// The quotient rounded toward minus infinity. Integers: x by 0 is 0, the least number by -1 is itself. Floats: x by 0
/// is an infinity or NaN.
Tensor floor_divide(Arg a, Arg b);
/// a - b * floor_divide(a, b): has the sign of b, zeros included. Integers: x by 0 is 0. Floats: x by 0 is NaN; exact
/// while the quotient is below 2^53.
Tensor remainder(Arg a, Arg b);
/// The greater operand; NaN where either is. Where both are equal each has half of the derivative.
Tensor maximum(Arg a, Arg b);
/// The lesser operand; NaN where either is. Where both are equal each has half of the derivative.
Tensor minimum(Arg a, Arg b);
/// -x; zeros change sign, integers wrap.
Tensor neg(Arg x);
/// The absolute value; the least integer stays. The derivative at 0 is 0.
Tensor abs(Arg x);
/// -1, 0 or 1; zeros keep their sign and NaN stays NaN.
Tensor sign(Arg x);
/// Rounded toward minus infinity.
Tensor floor(Arg x);
/// x itself; its derivative is zero.
Tensor stop_gradient(Arg x);
/// Whether a = b; false with NaN.
Tensor equal(Arg a, Arg b);
/// Whether a and b differ; true with NaN.
Tensor not_equal(Arg a, Arg b);
/// Whether a < b; false with NaN.
Tensor less(Arg a, Arg b);
/// Whether a <= b; false with NaN.
Tensor less_equal(Arg a, Arg b);
/// Whether a > b; false with NaN.
Tensor greater(Arg a, Arg b);
/// Whether a >= b; false with NaN.
Tensor greater_equal(Arg a, Arg b);
/// Whether both are true.
Tensor logical_and(Arg a, Arg b);
/// Whether either is true.
Tensor logical_or(Arg a, Arg b);
/// Whether a is false.
Tensor logical_not(Arg a);
/// e to the x.
Tensor exp(Arg x);
/// e to the x, less 1; accurate near 0.
Tensor expm1(Arg x);
/// The natural logarithm; -infinity at 0, NaN below.
Tensor log(Arg x);
/// The natural logarithm of 1 + x; accurate near 0.
Tensor log1p(Arg x);
/// The sine of radians; NaN where they are 2^40 or more, either side of 0.
Tensor sin(Arg x);
/// The cosine of radians; NaN where they are 2^40 or more, either side of 0.
Tensor cos(Arg x);
/// The hyperbolic tangent.
Tensor tanh(Arg x);
/// 1 / (1 + exp(-x)).
Tensor sigmoid(Arg x);
/// The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.
Tensor erf(Arg x);
/// The square root, correctly rounded; NaN below 0.
Tensor sqrt(Arg x);
/// 1 / sqrt(x); infinite at 0, NaN below.
Tensor rsqrt(Arg x);
/// maximum(x, 0); NaN stays. The derivative at 0 is 0.
Tensor relu(Arg x);
/// x * sigmoid(x).
Tensor silu(Arg x);

}  // namespace tn
