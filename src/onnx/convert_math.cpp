// Elementwise operators of ONNX: most are one op of ours with broadcasting made explicit; activations are short
// expressions, as the ONNX specification writes them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/name.h"
#include "onnx/convert.h"

namespace tn::onnx {

namespace {

// ---------------------------------------------------------------- shapes of converters

template <Name kOp>
Values unary(Call& c) {
  return {c.emit(kOp.text, {c.in(0)})};
}
template <Name kOp>
Values binary(Call& c) {
  return {c.map(kOp.text, {c.in(0), c.in(1)})};
}
template <Name kOp>
Values variadic(Call& c) {
  Value r = c.in(0);
  for (size_t i = 1; i < c.count(); ++i) r = c.map(kOp.text, {r, c.in(i)});
  return {r};
}

// Small expressions on values of one shape.
Value add(Call& c, Value a, Value b) { return c.map("add", {a, b}); }
Value sub(Call& c, Value a, Value b) { return c.map("sub", {a, b}); }
Value mul(Call& c, Value a, Value b) { return c.map("mul", {a, b}); }
Value div(Call& c, Value a, Value b) { return c.map("div", {a, b}); }
Value where(Call& c, Value p, Value a, Value b) { return c.map("select", {p, a, b}); }
Value f(Call& c, std::string_view op, Value a) { return c.emit(op, {a}); }
Value k(Call& c, Value like, double v) { return c.like(like, v); }
Value less(Call& c, Value a, Value b) { return c.map("less", {a, b}); }

// ---------------------------------------------------------------- arithmetic

/// What two known elements give; nothing where it is a number that no size holds.
using Fold = std::optional<Dim> (*)(Dim a, Dim b);

bool are_numbers(Dim a, Dim b) { return a.is_constant() && b.is_constant(); }
std::optional<Dim> held(i64 v) { return Dim::holds(v) ? std::optional(Dim(v)) : std::nullopt; }
std::optional<Dim> plus(Dim a, Dim b) { return are_numbers(a, b) ? held(a.value() + b.value()) : a + b; }
std::optional<Dim> minus(Dim a, Dim b) { return are_numbers(a, b) ? held(a.value() - b.value()) : a - b; }
std::optional<Dim> times(Dim a, Dim b) {
  i64 r = 0;
  if (!are_numbers(a, b)) return a * b;
  return __builtin_mul_overflow(a.value(), b.value(), &r) ? std::nullopt : held(r);
}

/// Element by element, one of either side standing for all.
std::optional<Shape> folded(Fold fold, const std::optional<Shape>& a, const std::optional<Shape>& b) {
  if (!a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return std::nullopt;
  Shape r;
  for (size_t i = 0; i < (a->size() == 1 ? b->size() : a->size()); ++i) {
    auto d = fold((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]);
    if (!d) return std::nullopt;
    r.push_back(*d);
  }
  return r;
}

/// Integer elements known at import go on being known.
template <Name kOp, Fold kFold>
Values arithmetic(Call& c) {
  Value a = c.in(0), b = c.in(1);
  if (!is_integer(a.dtype())) return binary<kOp>(c);
  auto r = folded(kFold, c.find_dims(a), c.find_dims(b));
  return r ? Values{c.from_dims(*r, a.dtype(), a.rank() == 0 && b.rank() == 0)} : binary<kOp>(c);
}

/// Where something is left of signed integers whose quotient is below zero: there rounding down and toward zero differ.
Value left_below_zero(Call& c, Value a, Value b) {
  Value left = c.map("not_equal", {c.map("remainder", {a, b}), k(c, a, 0)});
  Value differ = c.map("not_equal", {less(c, a, k(c, a, 0)), less(c, b, k(c, b, 0))});
  return c.map("logical_and", {left, differ});
}

}  // namespace

Value quotient(Call& c, Value a, Value b) {
  if (is_float(a.dtype())) return div(c, a, b);
  Value q = c.map("floor_divide", {a, b});
  return is_signed(a.dtype()) ? add(c, q, cast(left_below_zero(c, a, b), a.dtype())) : q;
}

namespace {

Values divide(Call& c) {
  Value a = c.in(0), b = c.in(1);
  if (is_float(a.dtype())) return {quotient(c, a, b)};
  auto x = c.find_dims(a), y = c.find_dims(b);
  auto rounds_alike = [](Dim d) { return d.is_constant() || provably_nonnegative(d); };
  if (x && y && y->size() == 1 && (*y)[0].is_constant() && (*y)[0].value() > 0 &&
      std::all_of(x->begin(), x->end(), rounds_alike)) {
    Shape r;
    for (Dim d : *x) r.push_back(d.is_constant() ? Dim(d.value() / (*y)[0].value()) : floordiv(d, (*y)[0]));
    return {c.from_dims(r, a.dtype(), a.rank() == 0 && b.rank() == 0)};
  }
  return {quotient(c, a, b)};
}

Values modulo(Call& c) {
  Value a = c.in(0), b = c.in(1);
  if (!c.integer("fmod", 0)) return {c.map("remainder", {a, b})};
  if (is_integer(a.dtype())) {
    Value r = c.map("remainder", {a, b});
    return {is_signed(a.dtype()) ? where(c, left_below_zero(c, a, b), sub(c, r, b), r) : r};
  }
  Value r = c.map("remainder", {f(c, "abs", a), f(c, "abs", b)});
  return {where(c, less(c, a, k(c, a, 0)), f(c, "neg", r), r)};
}

Values power(Call& c) {
  Value a = c.in(0), b = c.in(1);
  if (a.dtype() == b.dtype()) return {c.map("pow", {a, b})};
  if (is_float(a.dtype())) return {c.map("pow", {a, cast(b, a.dtype())})};
  DType wide = is_float(b.dtype()) ? b.dtype() : promote(a.dtype(), b.dtype());
  return {cast(c.map("pow", {cast(a, wide), cast(b, wide)}), a.dtype())};
}

Values mean(Call& c) {
  Value r = widened(c.in(0));
  for (size_t i = 1; i < c.count(); ++i) r = add(c, r, widened(c.in(i)));
  return {cast(div(c, r, k(c, r, static_cast<double>(c.count()))), c.in(0).dtype())};
}

Values reciprocal(Call& c) { return {div(c, k(c, c.in(0), 1), c.in(0))}; }
Values ceil(Call& c) { return {f(c, "neg", f(c, "floor", f(c, "neg", c.in(0))))}; }

/// To nearest, halves to even.
Values round(Call& c) {
  Value x = c.in(0), low = f(c, "floor", x), rest = sub(c, x, low);
  Value half = mul(c, low, k(c, x, 0.5)), odd = c.map("not_equal", {f(c, "floor", half), half});
  Value up = c.map("logical_or", {c.map("greater", {rest, k(c, x, 0.5)}),
                                  c.map("logical_and", {c.map("equal", {rest, k(c, x, 0.5)}), odd})});
  return {where(c, up, add(c, low, k(c, x, 1)), low)};
}

Values clip(Call& c) {
  Value x = c.in(0);
  auto bound = [&](size_t i, const char* name) -> Value {
    if (c.opset() < 11) return c.attribute(name) ? c.scalar(c.floating(name, 0), x.dtype()) : Value{};
    return c.has(i) ? c.in(i) : Value{};
  };
  if (Value low = bound(1, "min")) x = c.map("maximum", {x, low});
  if (Value high = bound(2, "max")) x = c.map("minimum", {x, high});
  return {x};
}

Values cast(Call& c) {
  auto to = dtype_of(static_cast<Element>(c.integer("to", 0)));
  if (!to)
    c.refuse("attribute 'to' to name a dtype Tenon has",
             std::string(element_name(static_cast<Element>(c.integer("to", 0)))));
  Value r = cast(c.in(0), *to);
  auto dims = c.find_dims(c.in(0));
  return {dims && is_integer(*to) && Call::are_held(*dims, *to) ? c.with_dims(r, *dims) : r};
}

Values cast_like(Call& c) { return {cast(c.in(0), c.in(1).dtype())}; }

Values identity(Call& c) { return {c.in(0)}; }

// ---------------------------------------------------------------- logic

Values is_nan(Call& c) { return {c.map("not_equal", {c.in(0), c.in(0)})}; }

Values is_inf(Call& c) {
  Value x = c.in(0);
  double infinity = std::numeric_limits<double>::infinity();
  bool up = c.integer("detect_positive", 1), down = c.integer("detect_negative", 1);
  if (up && down) return {c.map("equal", {f(c, "abs", x), k(c, x, infinity)})};
  if (!up && !down) return {c.map("not_equal", {c.map("less", {x, x}), c.map("less", {x, x})})};
  return {c.map("equal", {x, k(c, x, up ? infinity : -infinity)})};
}

Values exclusive_or(Call& c) { return {c.map("not_equal", {c.in(0), c.in(1)})}; }
Values select(Call& c) { return {where(c, c.in(0), c.in(1), c.in(2))}; }

// ---------------------------------------------------------------- trigonometry by its identities

Values tan(Call& c) { return {div(c, f(c, "sin", c.in(0)), f(c, "cos", c.in(0)))}; }

// Hyperbolic functions and their inverses work on |x|, and in two parts: beyond a point the rest of the formula is less
// than the rounding of its greatest term, which alone stays finite as far as the result does. Each part sees numbers
// of its own side alone, and |x| at 0 is x, so that derivatives are finite and right everywhere.

Value over(Call& c, Value a, double point) { return c.map("greater", {a, k(c, a, point)}); }
Value up_to(Call& c, Value a, double point) { return where(c, over(c, a, point), k(c, a, point), a); }
Value from(Call& c, Value a, double point) { return where(c, over(c, a, point), a, k(c, a, point)); }
Value signed_by(Call& c, Value x, Value y) { return where(c, less(c, x, k(c, x, 0)), f(c, "neg", y), y); }
Value magnitude(Call& c, Value x) { return signed_by(c, x, x); }
constexpr double kFarExponent = 20, kFarArgument = 1e8;

Value half_exp(Call& c, Value a) {  // e^a / 2
  Value root = f(c, "exp", mul(c, a, k(c, a, 0.5)));
  return mul(c, mul(c, root, k(c, a, 0.5)), root);
}

Value log_of_twice(Call& c, Value a) { return add(c, f(c, "log", a), k(c, a, std::numbers::ln2)); }

Values cosh(Call& c) {
  Value a = magnitude(c, widened(c.in(0))), e = f(c, "exp", up_to(c, a, kFarExponent));
  Value near = mul(c, add(c, e, div(c, k(c, a, 1), e)), k(c, a, 0.5));
  return {cast(where(c, over(c, a, kFarExponent), half_exp(c, from(c, a, kFarExponent)), near), c.in(0).dtype())};
}

/// By expm1, which keeps small arguments exact: sinh a = (m + m / (m + 1)) / 2 with m = expm1 a.
Values sinh(Call& c) {
  Value x = widened(c.in(0)), a = magnitude(c, x), m = f(c, "expm1", up_to(c, a, kFarExponent));
  Value near = mul(c, add(c, m, div(c, m, add(c, m, k(c, x, 1)))), k(c, x, 0.5));
  Value r = where(c, over(c, a, kFarExponent), half_exp(c, from(c, a, kFarExponent)), near);
  return {cast(signed_by(c, x, r), c.in(0).dtype())};
}

Values asinh(Call& c) {  // log1p(a + a^2 / (1 + sqrt(1 + a^2)))
  Value x = widened(c.in(0)), a = magnitude(c, x), b = up_to(c, a, kFarArgument), s = mul(c, b, b);
  Value root = f(c, "sqrt", add(c, s, k(c, x, 1)));
  Value near = f(c, "log1p", add(c, b, div(c, s, add(c, root, k(c, x, 1)))));
  Value r = where(c, over(c, a, kFarArgument), log_of_twice(c, from(c, a, kFarArgument)), near);
  return {cast(signed_by(c, x, r), c.in(0).dtype())};
}

Values acosh(Call& c) {  // log1p(t + sqrt(t) sqrt(t + 2)), t = x - 1, which is exact near 1
  Value x = widened(c.in(0)), t = sub(c, up_to(c, x, kFarArgument), k(c, x, 1));
  Value root = mul(c, f(c, "sqrt", t), f(c, "sqrt", add(c, t, k(c, x, 2))));
  Value far = log_of_twice(c, from(c, x, kFarArgument));
  Value r = where(c, over(c, x, kFarArgument), far, f(c, "log1p", add(c, t, root)));
  return {cast(r, c.in(0).dtype())};
}

Values atanh(Call& c) {  // log1p(2a / (1 - a)) / 2
  Value x = widened(c.in(0)), a = magnitude(c, x), q = div(c, mul(c, a, k(c, x, 2)), sub(c, k(c, x, 1), a));
  return {cast(signed_by(c, x, mul(c, f(c, "log1p", q), k(c, x, 0.5))), c.in(0).dtype())};
}

/// atan on the whole line: reduced twice to |t| <= tan(pi/16), then its series (terms to t^15: below 1e-13).
Value arctan(Call& c, Value x) {
  Value a = f(c, "abs", x), big = c.map("greater", {a, k(c, x, 1)});
  Value t = where(c, big, div(c, k(c, x, 1), a), a);
  for (int i = 0; i < 2; ++i) t = div(c, t, add(c, k(c, x, 1), f(c, "sqrt", add(c, k(c, x, 1), mul(c, t, t)))));
  Value u = mul(c, t, t), r = k(c, x, -1.0 / 15);
  for (int n = 13; n >= 1; n -= 2) r = add(c, mul(c, r, u), k(c, x, (n / 2 % 2 ? -1.0 : 1.0) / n));
  r = mul(c, mul(c, r, t), k(c, x, 4));
  r = where(c, big, sub(c, k(c, x, std::numbers::pi / 2), r), r);
  return where(c, less(c, x, k(c, x, 0)), f(c, "neg", r), r);
}

Values atan(Call& c) { return {arctan(c, c.in(0))}; }

Values asin(Call& c) {  // 2 atan(x / (1 + sqrt((1 - x)(1 + x))))
  Value x = c.in(0), one = k(c, x, 1);
  Value root = f(c, "sqrt", mul(c, sub(c, one, x), add(c, one, x)));
  return {mul(c, arctan(c, div(c, x, add(c, one, root))), k(c, x, 2))};
}

Values acos(Call& c) {
  Value s = asin(c)[0];
  return {sub(c, k(c, s, std::numbers::pi / 2), s)};
}

// ---------------------------------------------------------------- activations

Value relu_of(Call& c, Value x) { return c.map("maximum", {x, k(c, x, 0)}); }

Value softplus_of(Call& c, Value x) {  // max(x, 0) + log1p(exp(-|x|))
  return add(c, relu_of(c, x), f(c, "log1p", f(c, "exp", f(c, "neg", f(c, "abs", x)))));
}

/// x where x > 0, else `negative`.
Value positive_or(Call& c, Value x, Value negative) { return where(c, c.map("greater", {x, k(c, x, 0)}), x, negative); }

Values leaky_relu(Call& c) {
  Value x = c.in(0);
  return {where(c, less(c, x, k(c, x, 0)), mul(c, x, k(c, x, c.floating("alpha", 0.01f))), x)};
}

Values prelu(Call& c) {
  Value x = c.in(0);
  return {where(c, less(c, x, k(c, x, 0)), mul(c, x, broadcast_to(c.in(1), shape_of(x))), x)};
}

Values elu(Call& c) {
  Value x = c.in(0);
  return {positive_or(c, x, mul(c, f(c, "expm1", c.map("minimum", {x, k(c, x, 0)})), k(c, x, c.floating("alpha", 1))))};
}

Values selu(Call& c) {
  Value x = c.in(0);
  double alpha = c.floating("alpha", 1.67326319217681884765625), gamma = c.floating("gamma", 1.05070102214813232421875);
  Value low = mul(c, f(c, "expm1", c.map("minimum", {x, k(c, x, 0)})), k(c, x, alpha));
  return {mul(c, positive_or(c, x, low), k(c, x, gamma))};
}

Values celu(Call& c) {
  Value x = c.in(0);
  double alpha = c.floating("alpha", 1);
  Value low = f(c, "expm1", c.map("minimum", {div(c, x, k(c, x, alpha)), k(c, x, 0)}));
  return {add(c, relu_of(c, x), mul(c, low, k(c, x, alpha)))};
}

Values thresholded_relu(Call& c) {
  Value x = c.in(0);
  return {where(c, c.map("greater", {x, k(c, x, c.floating("alpha", 1))}), x, k(c, x, 0))};
}

Value hard_sigmoid_of(Call& c, Value x, double alpha, double beta) {
  Value y = add(c, mul(c, x, k(c, x, alpha)), k(c, x, beta));
  return c.map("maximum", {c.map("minimum", {y, k(c, x, 1)}), k(c, x, 0)});
}

Values hard_sigmoid(Call& c) {
  return {hard_sigmoid_of(c, c.in(0), c.floating("alpha", 0.2f), c.floating("beta", 0.5f))};
}

Values hard_swish(Call& c) { return {mul(c, c.in(0), hard_sigmoid_of(c, c.in(0), 1.0 / 6, 0.5))}; }

Values softsign(Call& c) {
  Value x = c.in(0);
  return {div(c, x, add(c, f(c, "abs", x), k(c, x, 1)))};
}

Values softplus(Call& c) { return {softplus_of(c, c.in(0))}; }
Values mish(Call& c) { return {mul(c, c.in(0), f(c, "tanh", softplus_of(c, c.in(0))))}; }

Values swish(Call& c) {
  Value x = c.in(0);
  return {mul(c, x, f(c, "sigmoid", mul(c, x, k(c, x, c.floating("alpha", 1)))))};
}

Values gelu(Call& c) {
  Value x = c.in(0), half = mul(c, x, k(c, x, 0.5));
  if (c.text("approximate", "none") == "none")
    return {mul(c, half, add(c, f(c, "erf", mul(c, x, k(c, x, std::numbers::sqrt2 / 2))), k(c, x, 1)))};
  Value cube = mul(c, mul(c, x, x), x);
  Value inner = mul(c, add(c, x, mul(c, cube, k(c, x, 0.044715))), k(c, x, std::sqrt(2 / std::numbers::pi)));
  return {mul(c, half, add(c, f(c, "tanh", inner), k(c, x, 1)))};
}

Values shrink(Call& c) {
  Value x = c.in(0);
  // The operator's function casts its numbers to x's dtype, which truncates them.
  auto number = [&](const char* name, double otherwise) {
    double v = c.floating(name, otherwise);
    return c.scalar(is_integer(x.dtype()) ? std::trunc(v) : v, x.dtype());
  };
  Value lambda = number("lambd", 0.5), bias = number("bias", 0);
  Value below = less(c, x, f(c, "neg", lambda)), above = c.map("greater", {x, lambda});
  return {where(c, below, add(c, x, bias), where(c, above, sub(c, x, bias), k(c, x, 0)))};
}

Values greater_or_equal(Call& c) { return binary<"greater_equal">(c); }

// ---------------------------------------------------------------- before opset 7

/// The second operand broadcasts only when told to, from `axis` on.
template <Name kOp>
Values aligned(Call& c) {
  Value a = c.in(0), b = c.in(1);
  if (!c.integer("broadcast", 0)) return {c.emit(kOp.text, {a, b})};
  i64 at = c.attribute("axis") ? c.axis(c.integer("axis", 0), a.rank()) : a.rank() - b.rank();
  Shape shape = shape_of(b);
  for (i64 i = at + b.rank(); i < a.rank(); ++i) shape.push_back(1);
  return {c.map(kOp.text, {a, reshape(b, shape)})};
}

/// One slope a channel.
Values prelu_by_channel(Call& c) {
  Value x = c.in(0), slope = c.in(1);
  if (slope.rank() == 1 && x.rank() > 1 && slope.shape()[0] != Dim(1)) {
    Shape s = shape_of(x);
    slope = c.emit("broadcast", {slope}, {{"shape", s}, {"dims", std::vector<i64>{1}}});
  }
  return {where(c, less(c, x, k(c, x, 0)), c.map("mul", {x, slope}), x)};
}

constexpr ConverterEntry kEntries[] = {
    {"Add", 1, aligned<"add">},
    {"And", 1, aligned<"logical_and">},
    {"Div", 1, aligned<"div">},
    {"Equal", 1, aligned<"equal">},
    {"Greater", 1, aligned<"greater">},
    {"Less", 1, aligned<"less">},
    {"Mul", 1, aligned<"mul">},
    {"Or", 1, aligned<"logical_or">},
    {"PRelu", 1, prelu_by_channel},
    {"Pow", 1, aligned<"pow">},
    {"Sub", 1, aligned<"sub">},
    {"Abs", 1, unary<"abs">},
    {"Acos", 7, acos},
    {"Acosh", 9, acosh},
    {"Add", 7, arithmetic<"add", plus>},
    {"And", 7, binary<"logical_and">},
    {"Asin", 7, asin},
    {"Asinh", 9, asinh},
    {"Atan", 7, atan},
    {"Atanh", 9, atanh},
    {"Cast", 1, cast},
    {"CastLike", 15, cast_like},
    {"Ceil", 1, ceil},
    {"Celu", 12, celu},
    {"Clip", 1, clip},
    {"Cos", 7, unary<"cos">},
    {"Cosh", 9, cosh},
    {"Div", 7, divide},
    {"Elu", 1, elu},
    {"Equal", 7, binary<"equal">},
    {"Erf", 9, unary<"erf">},
    {"Exp", 1, unary<"exp">},
    {"Floor", 1, unary<"floor">},
    {"Gelu", 20, gelu},
    {"Greater", 7, binary<"greater">},
    {"GreaterOrEqual", 12, greater_or_equal},
    {"HardSigmoid", 1, hard_sigmoid},
    {"HardSwish", 14, hard_swish},
    {"Identity", 1, identity},
    {"IsInf", 10, is_inf},
    {"IsNaN", 9, is_nan},
    {"LeakyRelu", 1, leaky_relu},
    {"Less", 7, binary<"less">},
    {"LessOrEqual", 12, binary<"less_equal">},
    {"Log", 1, unary<"log">},
    {"Max", 1, variadic<"maximum">},
    {"Mean", 1, mean},
    {"Min", 1, variadic<"minimum">},
    {"Mish", 18, mish},
    {"Mod", 10, modulo},
    {"Mul", 7, arithmetic<"mul", times>},
    {"Neg", 1, unary<"neg">},
    {"Not", 1, unary<"logical_not">},
    {"Or", 7, binary<"logical_or">},
    {"PRelu", 7, prelu},
    {"Pow", 7, power},
    {"Reciprocal", 1, reciprocal},
    {"Relu", 1, unary<"relu">},
    {"Round", 11, round},
    {"Selu", 1, selu},
    {"Shrink", 9, shrink},
    {"Sigmoid", 1, unary<"sigmoid">},
    {"Sign", 9, unary<"sign">},
    {"Sin", 7, unary<"sin">},
    {"Sinh", 9, sinh},
    {"Softplus", 1, softplus},
    {"Softsign", 1, softsign},
    {"Sqrt", 1, unary<"sqrt">},
    {"Sub", 7, arithmetic<"sub", minus>},
    {"Sum", 1, variadic<"add">},
    {"Swish", 24, swish},
    {"Tan", 7, tan},
    {"Tanh", 1, unary<"tanh">},
    {"ThresholdedRelu", 10, thresholded_relu},
    {"Where", 9, select},
    {"Xor", 7, exclusive_or},
};

}  // namespace

std::span<const ConverterEntry> math_converters() { return kEntries; }

}  // namespace tn::onnx
