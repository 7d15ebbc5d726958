// Elementwise ops as functions. Made from the op table by ops_page; edit the entries.
#include "tenon/elementwise.h"

#include "tensor/helpers.h"

namespace tn {

Tensor add(Arg a, Arg b) { return elementwise(the<"add">(), {&a, &b}); }
Tensor sub(Arg a, Arg b) { return elementwise(the<"sub">(), {&a, &b}); }
Tensor mul(Arg a, Arg b) { return elementwise(the<"mul">(), {&a, &b}); }
Tensor div(Arg a, Arg b) { return elementwise(the<"div">(), {&a, &b}); }
Tensor floor_divide(Arg a, Arg b) { return elementwise(the<"floor_divide">(), {&a, &b}); }
Tensor remainder(Arg a, Arg b) { return elementwise(the<"remainder">(), {&a, &b}); }
Tensor maximum(Arg a, Arg b) { return elementwise(the<"maximum">(), {&a, &b}); }
Tensor minimum(Arg a, Arg b) { return elementwise(the<"minimum">(), {&a, &b}); }
Tensor neg(Arg x) { return elementwise(the<"neg">(), {&x}); }
Tensor abs(Arg x) { return elementwise(the<"abs">(), {&x}); }
Tensor sign(Arg x) { return elementwise(the<"sign">(), {&x}); }
Tensor floor(Arg x) { return elementwise(the<"floor">(), {&x}); }
Tensor stop_gradient(Arg x) { return elementwise(the<"stop_gradient">(), {&x}); }
Tensor equal(Arg a, Arg b) { return elementwise(the<"equal">(), {&a, &b}); }
Tensor not_equal(Arg a, Arg b) { return elementwise(the<"not_equal">(), {&a, &b}); }
Tensor less(Arg a, Arg b) { return elementwise(the<"less">(), {&a, &b}); }
Tensor less_equal(Arg a, Arg b) { return elementwise(the<"less_equal">(), {&a, &b}); }
Tensor greater(Arg a, Arg b) { return elementwise(the<"greater">(), {&a, &b}); }
Tensor greater_equal(Arg a, Arg b) { return elementwise(the<"greater_equal">(), {&a, &b}); }
Tensor logical_and(Arg a, Arg b) { return elementwise(the<"logical_and">(), {&a, &b}); }
Tensor logical_or(Arg a, Arg b) { return elementwise(the<"logical_or">(), {&a, &b}); }
Tensor logical_not(Arg a) { return elementwise(the<"logical_not">(), {&a}); }
Tensor exp(Arg x) { return elementwise(the<"exp">(), {&x}); }
Tensor expm1(Arg x) { return elementwise(the<"expm1">(), {&x}); }
Tensor log(Arg x) { return elementwise(the<"log">(), {&x}); }
Tensor log1p(Arg x) { return elementwise(the<"log1p">(), {&x}); }
Tensor sin(Arg x) { return elementwise(the<"sin">(), {&x}); }
Tensor cos(Arg x) { return elementwise(the<"cos">(), {&x}); }
Tensor tanh(Arg x) { return elementwise(the<"tanh">(), {&x}); }
Tensor sigmoid(Arg x) { return elementwise(the<"sigmoid">(), {&x}); }
Tensor erf(Arg x) { return elementwise(the<"erf">(), {&x}); }
Tensor sqrt(Arg x) { return elementwise(the<"sqrt">(), {&x}); }
Tensor rsqrt(Arg x) { return elementwise(the<"rsqrt">(), {&x}); }
Tensor relu(Arg x) { return elementwise(the<"relu">(), {&x}); }
Tensor silu(Arg x) { return elementwise(the<"silu">(), {&x}); }

}  // namespace tn
