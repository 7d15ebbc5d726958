// Elementary functions. Kernels evaluate our own expressions of src/ir/math.h, within the errors given there; the
// oracle is libm in double precision.
#include <cmath>
#include <numbers>

#include "ir/loops.h"
#include "ir/math.h"
#include "op/emit.h"
#include "op/families.h"
#include "op/rules.h"

namespace tn {

namespace {

using loops::ScalarOp;
using loops::Val;
using B = loops::Builder;
using Xs = std::span<const Val>;
using Doubles = std::span<const double>;
using Ints = std::span<const i64>;

template <Val (*kFunction)(B&, Val)>
Val own(B& b, Xs x, const ScalarTypes&, const Attrs&) {
  return kFunction(b, x[0]);
}

/// A function of one floating operand, tested on [-3, 3).
template <Name kOp>
OpDef function(std::string_view doc, Partials grad, Scalar lower, RefScalar ref) {
  Samples samples = [] {
    return joined({float_samples(1, -3, 3),
                   {failing({values_of(DType::i32, {1})}, "expected a floating dtype for operand 'x', got i32[1]")}});
  };
  return {kOp, 1,      doc,    {{{"x", Operands::floating}}, {}}, same_type<kOp>, grad, Elementwise{}, lower,
          ref, Pure{}, samples};
}

/// The same where only positive numbers are in the domain.
template <Name kOp>
OpDef positive(std::string_view doc, Partials grad, Scalar lower, RefScalar ref) {
  OpDef def = function<kOp>(doc, grad, lower, ref);
  def.samples = [] { return float_samples(1, 0.1, 4); };
  return def;
}

Val sqrt_expression(B& b, Xs x, const ScalarTypes&, const Attrs&) { return b.map(ScalarOp::sqrt, {x[0]}); }

Val rsqrt_expression(B& b, Xs x, const ScalarTypes&, const Attrs&) {
  Val root = b.map(ScalarOp::sqrt, {x[0]});
  return b.div(b.number(1, x[0]), root);
}

std::vector<OpDef> exponentials() {
  return {
      function<"exp">("e to the x.", Partials{[](ValueSpan, Value y, int) { return y; }}, Scalar{own<loops::exp>},
                      RefScalar{[](Doubles x, const Attrs&) { return std::exp(x[0]); }, nullptr}),
      function<"expm1">("e to the x, less 1; accurate near 0.",
                        Partials{[](ValueSpan, Value y, int) { return add(y, 1); }}, Scalar{own<loops::expm1>},
                        RefScalar{[](Doubles x, const Attrs&) { return std::expm1(x[0]); }, nullptr}),
      positive<"log">("The natural logarithm; -infinity at 0, NaN below.",
                      Partials{[](ValueSpan x, Value, int) { return div(1, x[0]); }}, Scalar{own<loops::log>},
                      RefScalar{[](Doubles x, const Attrs&) { return std::log(x[0]); }, nullptr}),
      positive<"log1p">("The natural logarithm of 1 + x; accurate near 0.",
                        Partials{[](ValueSpan x, Value, int) { return div(1, add(x[0], 1)); }},
                        Scalar{own<loops::log1p>},
                        RefScalar{[](Doubles x, const Attrs&) { return std::log1p(x[0]); }, nullptr}),
      function<"sin">("The sine of radians; NaN where they are 2^40 or more, either side of 0.",
                      Partials{[](ValueSpan x, Value, int) { return cos(x[0]); }}, Scalar{own<loops::sin>},
                      RefScalar{[](Doubles x, const Attrs&) { return std::sin(x[0]); }, nullptr}),
      function<"cos">("The cosine of radians; NaN where they are 2^40 or more, either side of 0.",
                      Partials{[](ValueSpan x, Value, int) { return neg(sin(x[0])); }}, Scalar{own<loops::cos>},
                      RefScalar{[](Doubles x, const Attrs&) { return std::cos(x[0]); }, nullptr}),
      function<"tanh">("The hyperbolic tangent.", Partials{[](ValueSpan, Value y, int) { return sub(1, mul(y, y)); }},
                       Scalar{own<loops::tanh>},
                       RefScalar{[](Doubles x, const Attrs&) { return std::tanh(x[0]); }, nullptr}),
      function<"sigmoid">("1 / (1 + exp(-x)).", Partials{[](ValueSpan, Value y, int) { return mul(y, sub(1, y)); }},
                          Scalar{own<loops::sigmoid>},
                          RefScalar{[](Doubles x, const Attrs&) { return 1 / (1 + std::exp(-x[0])); }, nullptr}),
      function<"erf">("The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.",
                      Partials{[](ValueSpan x, Value, int) {
                        return mul(exp(neg(mul(x[0], x[0]))), 2 * std::numbers::inv_sqrtpi);
                      }},
                      Scalar{own<loops::erf>},
                      RefScalar{[](Doubles x, const Attrs&) { return std::erf(x[0]); }, nullptr}),
      positive<"sqrt">("The square root, correctly rounded; NaN below 0.",
                       Partials{[](ValueSpan, Value y, int) { return div(0.5, y); }}, Scalar{sqrt_expression},
                       RefScalar{[](Doubles x, const Attrs&) { return std::sqrt(x[0]); }, nullptr}),
      positive<"rsqrt">("1 / sqrt(x); infinite at 0, NaN below.",
                        Partials{[](ValueSpan x, Value y, int) { return div(mul(y, -0.5), x[0]); }},
                        Scalar{rsqrt_expression},
                        RefScalar{[](Doubles x, const Attrs&) { return 1 / std::sqrt(x[0]); }, nullptr}),
  };
}

// ---------------------------------------------------------------- pow

/// By squaring, one step for each bit an exponent may have. Negative exponents: 1 / a rounded toward zero.
Val integer_power(B& b, Val base, Val exponent, DType d) {
  Val zero = b.constant_int(0, d), one = b.constant_int(1, d);
  Val result = one, square = base, left = exponent;
  for (int bit = 0; bit < bits(d) - (is_signed(d) ? 1 : 0); ++bit) {
    Val lowest = b.map(ScalarOp::logical_and, {left, one});
    Val odd = b.map(ScalarOp::not_equal, {lowest, zero});
    Val times = b.mul(result, square);
    result = b.select(odd, times, result);
    square = b.mul(square, square);
    left = b.map(ScalarOp::shift_right, {left, one});
  }
  if (!is_signed(d)) return result;
  Val minus_one = b.constant_int(-1, d);
  Val parity = b.map(ScalarOp::logical_and, {exponent, one});
  Val is_even = b.equal(parity, zero);
  Val of_minus_one = b.select(is_even, one, minus_one);
  Val is_one = b.equal(base, one), is_minus_one = b.equal(base, minus_one);
  Val small = b.select(is_minus_one, of_minus_one, zero);
  Val inverse = b.select(is_one, one, small);
  Val negative = b.less(exponent, zero);
  return b.select(negative, inverse, result);
}

Val pow_expression(B& b, Xs x, const ScalarTypes& types, const Attrs&) {
  if (!is_float(types.result)) return integer_power(b, x[0], x[1], types.result);
  return loops::pow(b, x[0], x[1]);
}

i64 ref_pow(i64 a, i64 n) {
  if (n < 0) return a == 1 ? 1 : a == -1 ? (n % 2 ? -1 : 1) : 0;
  u64 result = 1, square = static_cast<u64>(a);
  for (; n; n >>= 1, square *= square)
    if (n & 1) result *= square;
  return static_cast<i64>(result);
}

/// b a^(b - 1), 0 where b = 0; and y log a, 0 where a = 0 (the limit for b > 0).
Value pow_partial(ValueSpan x, Value y, int i) {
  if (i == 1) {
    Value safe = select(equal(x[0], zeros_like(y)), ones_like(y), x[0]);
    return mul(y, log(safe));
  }
  if (auto n = constant_number(x[1])) {
    if (*n == 0) return zeros_like(y);
    if (*n == 1) return ones_like(y);
    return mul(*n == 2 ? x[0] : pow(x[0], constant_like(x[1], *n - 1)), *n);
  }
  Value zero = equal(x[1], zeros_like(y));
  Value lower = sub(select(zero, ones_like(y), x[1]), 1);
  return mul(x[1], pow(x[0], lower));
}

std::vector<Sample> pow_samples() {
  std::vector<Sample> r = integer_samples(2);
  for (Sample s : float_samples(2, 0.2, 3)) {
    if (s.operands[0].values.empty()) s.operands[1].low = -3;
    r.push_back(s);
  }
  r.push_back({{values_of(DType::f64, {-2, -2, -2, 3, 0, 0}), values_of(DType::f64, {2, 3, -1, 0, 0, 2})}, {}, {}, 0});
  return r;
}

OpDef pow_entry() {
  return {"pow",
          1,
          "a to the b, as C's pow; integers wrap, and a negative integer exponent gives 1 / a rounded toward zero (0 "
          "for a = 0).",
          {{{"a", Operands::numeric}, {"b", Operands::numeric}}, {}},
          same_type<"pow">,
          Partials{pow_partial},
          Elementwise{},
          Scalar{pow_expression},
          RefScalar{[](Doubles x, const Attrs&) { return std::pow(x[0], x[1]); },
                    [](Ints x, const Attrs&) { return ref_pow(x[0], x[1]); }},
          Pure{},
          pow_samples};
}

}  // namespace

std::span<const OpDef> function_ops() {
  static const auto* table = [] {
    auto* all = new std::vector<OpDef>(exponentials());
    all->push_back(pow_entry());
    return all;
  }();
  return *table;
}

}  // namespace tn
