// Arithmetic, comparisons, logic, select and cast. Operands have equal types; broadcasting is a node of its own.
//
// Integers wrap. What C leaves undefined is defined here: x floor_divide 0 = 0, x remainder 0 = 0, and the least number
// floor_divide -1 is itself. f16 and bf16 compute in f32 and are rounded once.
#include <cmath>
#include <limits>

#include "ir/loops.h"
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

/// One op of the scalar table on all operands.
template <ScalarOp kOp>
Val mapped(B& b, Xs x, const ScalarTypes&, const Attrs&) {
  if (x.size() == 1) return b.map(kOp, {x[0]});
  if (x.size() == 2) return b.map(kOp, {x[0], x[1]});
  return b.map(kOp, {x[0], x[1], x[2]});
}

Val itself(B&, Xs x, const ScalarTypes&, const Attrs&) { return x[0]; }

u64 bits_of(i64 v) { return static_cast<u64>(v); }
i64 wrapped(u64 v) { return static_cast<i64>(v); }

template <Name kOp>
OpDef arithmetic(std::string_view doc, Grad grad, Scalar lower, RefScalar ref, Operands accepts = Operands::numeric) {
  Samples samples = [] {
    bool integers = op(kOp).signature.operands[0].accepts == Operands::numeric;
    return joined({float_samples(2, -3, 3),
                   integers ? integer_samples(2) : std::vector<Sample>{},
                   {failing({values_of(DType::f32, {1, 2}), values_of(DType::f32, {1})}, "which differ on axis 0"),
                    failing({values_of(DType::f32, {1}), values_of(DType::f64, {1})}, "expected equal dtypes")}});
  };
  return {kOp, 1,      doc,    {{{"a", accepts}, {"b", accepts}}, {}}, same_type<kOp>, grad, Elementwise{}, lower,
          ref, Pure{}, samples};
}

template <Name kOp>
OpDef comparison(std::string_view doc, Scalar lower, RefScalar ref, Operands accepts = Operands::numeric) {
  Samples samples = [] {
    bool bools = op(kOp).signature.operands[0].accepts == Operands::any;
    return joined({float_samples(2, -2, 2),
                   integer_samples(2),
                   bools ? bool_samples(2) : std::vector<Sample>{},
                   {failing({values_of(DType::f32, {1}), values_of(DType::f32, {1, 2})}, "which differ on axis 0")}});
  };
  return {kOp, 1,      doc,    {{{"a", accepts}, {"b", accepts}}, {}}, bool_type<kOp>, Zero{}, Elementwise{}, lower,
          ref, Pure{}, samples};
}

template <Name kOp>
OpDef logic(std::string_view doc, size_t count, Scalar lower, RefScalar ref) {
  Signature signature{{{"a", Operands::boolean}, {"b", Operands::boolean}}, {}};
  signature.operands.resize(count);
  Samples samples = [] { return bool_samples(op(kOp).signature.operands.size()); };
  return {kOp, 1, doc, signature, same_type<kOp>, Zero{}, Elementwise{}, lower, ref, Pure{}, samples};
}

template <Name kOp>
OpDef unary(std::string_view doc, Grad grad, Scalar lower, RefScalar ref, Operands accepts = Operands::numeric) {
  Samples samples = [] {
    Operands kind = op(kOp).signature.operands[0].accepts;
    return joined({float_samples(1, -3, 3), kind != Operands::floating ? integer_samples(1) : std::vector<Sample>{},
                   kind == Operands::any ? bool_samples(1) : std::vector<Sample>{}});
  };
  return {kOp, 1, doc, {{{"x", accepts}}, {}}, same_type<kOp>, grad, Elementwise{}, lower, ref, Pure{}, samples};
}

// ---------------------------------------------------------------- division

/// The quotient rounded down, and what is left. Where a quotient rounds up to an integer, what is left shows it.
struct Divided {
  Val quotient, rest;
};

Divided divided(B& b, Val x, Val y) {
  Val zero = b.number(0, x), infinity = b.number(std::numeric_limits<double>::infinity(), x);
  Val ratio = b.div(x, y);
  Val quotient = b.map(ScalarOp::floor, {ratio});
  Val minus = b.neg(quotient);
  Val rest = b.fma(minus, y, x);
  Val below_x = b.less(x, zero), below_y = b.less(y, zero), below_rest = b.less(rest, zero);
  Val differs = b.map(ScalarOp::not_equal, {below_rest, below_y});
  Val some = b.map(ScalarOp::not_equal, {rest, zero});
  Val off = b.map(ScalarOp::logical_and, {differs, some});  // the true quotient lies one lower
  Val lower = b.sub(quotient, b.number(1, x));
  Val raised = b.add(rest, y);
  // An infinite divisor of finite numbers: nothing is left of the sign of y, else all of x.
  Val size_y = b.abs(y), size_x = b.abs(x);
  Val unbounded = b.equal(size_y, infinity);
  Val bounded = b.less(size_x, infinity);
  Val at_infinity = b.map(ScalarOp::logical_and, {unbounded, bounded});
  Val opposite = b.map(ScalarOp::not_equal, {below_x, below_y});
  Val nonzero = b.map(ScalarOp::not_equal, {x, zero});
  Val crosses = b.map(ScalarOp::logical_and, {opposite, nonzero});
  Val infinite_quotient = b.select(crosses, b.number(-1, x), quotient);
  Val infinite_rest = b.select(crosses, y, x);
  Val finite_quotient = b.select(off, lower, quotient);
  Val finite_rest = b.select(off, raised, rest);
  Val all_rest = b.select(at_infinity, infinite_rest, finite_rest);
  Val signed_zero = b.select(below_y, b.number(-0.0, x), zero);
  Val nothing_left = b.equal(all_rest, zero);
  return {b.select(at_infinity, infinite_quotient, finite_quotient), b.select(nothing_left, signed_zero, all_rest)};
}

/// In f64 quotients of f32 numbers up to 2^53 are exact.
Val through_f64(B& b, Xs x, DType result, Val Divided::* part) {
  Val a = b.cast(x[0], DType::f64), c = b.cast(x[1], DType::f64);
  return b.cast(divided(b, a, c).*part, result);
}

Val floor_divide_expression(B& b, Xs x, const ScalarTypes& types, const Attrs&) {
  if (!is_float(types.result)) return b.map(ScalarOp::floor_div, {x[0], x[1]});
  return through_f64(b, x, types.result, &Divided::quotient);
}

Val remainder_expression(B& b, Xs x, const ScalarTypes& types, const Attrs&) {
  if (!is_float(types.result)) return b.map(ScalarOp::floor_mod, {x[0], x[1]});
  return through_f64(b, x, types.result, &Divided::rest);
}

double ref_remainder(double a, double b) {
  double r = std::fmod(a, b);
  if (r == 0) return std::copysign(0.0, b);
  return (r < 0) != (b < 0) ? r + b : r;
}

double ref_floor_divide(double a, double b) {
  if (b == 0 || std::isnan(a) || std::isnan(b) || std::isinf(a)) return std::floor(a / b);
  double r = std::fmod(a, b), q = (a - r) / b;
  if (r != 0 && (r < 0) != (b < 0)) q -= 1;
  return q == 0 ? std::copysign(0.0, a / b) : std::round(q);
}

i64 ref_floor_div(i64 a, i64 b) {
  if (b == 0) return 0;
  if (b == -1) return wrapped(0 - bits_of(a));
  i64 q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

i64 ref_floor_mod(i64 a, i64 b) {
  if (b == 0 || b == -1) return 0;
  i64 r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// ---------------------------------------------------------------- maximum and minimum

template <ScalarOp kOp>
Val extreme(B& b, Xs x, const ScalarTypes& types, const Attrs&) {
  Val picked = b.map(kOp, {x[0], x[1]});
  if (!is_float(types.result)) return picked;
  Val is_nan = b.map(ScalarOp::not_equal, {x[0], x[0]});  // a second operand that is NaN is picked already
  return b.select(is_nan, x[0], picked);
}

/// 1 where operand i is the result, 1/2 where both are.
Value picked_share(ValueSpan x, Value y, int i) {
  Value mine = x[static_cast<size_t>(i)], other = x[static_cast<size_t>(1 - i)];
  Value share = select(equal(mine, other), constant_like(y, 0.5), ones_like(y));
  return select(equal(mine, y), share, zeros_like(y));
}

// ---------------------------------------------------------------- sign

Val sign_expression(B& b, Xs x, const ScalarTypes&, const Attrs&) {
  Val zero = b.number(0, x[0]);
  Val positive = b.less(zero, x[0]), negative = b.less(x[0], zero);
  Val low = b.select(negative, b.number(-1, x[0]), x[0]);  // zeros and NaN stay
  return b.select(positive, b.number(1, x[0]), low);
}

Val not_expression(B& b, Xs x, const ScalarTypes&, const Attrs&) {
  return b.equal(x[0], b.constant_int(0, DType::boolean));
}

// ---------------------------------------------------------------- select

std::vector<Type> select_type(std::span<const Type> t, const Attrs&) {
  check_same_shapes("select", t);
  if (t[1].dtype() != t[2].dtype())
    fail("select", "expected equal dtypes, got " + to_string(t[1]) + " and " + to_string(t[2]) + "; use cast");
  return {t[1]};
}

Value select_transpose(ValueSpan x, Value cotangent, int i, const Attrs&, std::span<const Type>) {
  Value zero = zeros_like(cotangent);
  return i == 1 ? select(x[0], cotangent, zero) : select(x[0], zero, cotangent);
}

std::vector<Sample> select_samples() {
  std::vector<Sample> r;
  for (Sample s : joined({float_samples(2, -2, 2), integer_samples(2), bool_samples(2)})) {
    SampleOperand p = s.operands[0];
    p.dtype = DType::boolean;
    p.low = 0;
    p.high = 2;
    for (double& v : p.values) v = v > 0;
    s.operands.insert(s.operands.begin(), p);
    r.push_back(s);
  }
  r.push_back(failing({values_of(DType::boolean, {1}), values_of(DType::f32, {1}), values_of(DType::i32, {1})},
                      "expected equal dtypes"));
  r.push_back(failing({values_of(DType::f32, {1}), values_of(DType::f32, {1}), values_of(DType::f32, {1})},
                      "expected a bool tensor for operand 'condition'"));
  return r;
}

// ---------------------------------------------------------------- cast

std::vector<Type> cast_type(std::span<const Type> t, const Attrs& a) { return {t[0].with(a.get<DType>("dtype"))}; }

Val cast_expression(B& b, Xs x, const ScalarTypes& types, const Attrs&) { return b.cast(x[0], types.result); }

std::vector<Array> cast_ref(std::span<const Array> x, const Attrs&, std::span<const Type> results, const DimEnv&) {
  DType to = results[0].dtype();
  Array y = Array::empty(to, x[0].shape);
  for (i64 i = 0; i < y.size(); ++i) {
    if (is_float(x[0].dtype))
      y.set(i, x[0].get(i));
    else
      y.set_int(i, x[0].get_int(i));
  }
  return {y};
}

std::vector<Sample> cast_samples() {
  std::vector<Sample> r;
  for (int from = 0; from < kDTypeCount; ++from)
    for (int to = 0; to < kDTypeCount; ++to) {
      auto d = static_cast<DType>(from);
      std::vector<double> values = special_floats();
      if (!is_float(d)) values = d == DType::boolean ? std::vector<double>{0, 1} : special_integers(d);
      r.push_back({{values_of(d, values)}, {{"dtype", static_cast<DType>(to)}}, {}, 0});
    }
  for (const std::vector<i64>& shape : {std::vector<i64>{}, {0, 3}, {17}, {33}})
    r.push_back(sample_of(DType::f64, shape, 1, -300, 300, {{"dtype", DType::f32}}));
  r.push_back(sample_of(DType::f64, {17}, 1, -300, 300, {{"dtype", DType::f64}}));
  r.push_back(failing({values_of(DType::f32, {1})}, "expected attribute 'dtype', got none"));
  return r;
}

// ---------------------------------------------------------------- constant

std::vector<Type> constant_type(std::span<const Type>, const Attrs& a) {
  const Array& value = a.get<Array>("value");
  return {Type::tensor(value.dtype, Shape(value.shape.begin(), value.shape.end()))};
}

std::vector<Array> constant_ref(std::span<const Array>, const Attrs& a, std::span<const Type>, const DimEnv&) {
  return {a.get<Array>("value")};
}

Batched constant_batch(Builder& b, Dim, ValueSpan, const Mask&, const Attrs& a) {
  return {b.emit(op("constant"), {}, a), {false}};
}

std::vector<Sample> constant_samples() {
  std::vector<Sample> r;
  for (const std::vector<i64>& shape : {std::vector<i64>{}, {0, 3}, {17}, {33}}) {
    Array a = Array::empty(DType::f32, shape);
    for (i64 i = 0; i < a.size(); ++i) a.set(i, static_cast<double>(i) / 8 - 1);
    r.push_back({{}, {{"value", a}}, {}, 0});
  }
  return r;
}

Value passed(ValueSpan, Value cotangent, int, const Attrs&, std::span<const Type>) { return cotangent; }

// ---------------------------------------------------------------- the table

std::vector<OpDef> arithmetic_entries() {
  return {
      arithmetic<"add">("The sum a + b.", Linear{3, passed}, Scalar{mapped<ScalarOp::add>},
                        RefScalar{[](Doubles x, const Attrs&) { return x[0] + x[1]; },
                                  [](Ints x, const Attrs&) { return wrapped(bits_of(x[0]) + bits_of(x[1])); }}),
      arithmetic<"sub">(
          "The difference a - b.",
          Linear{3, [](ValueSpan, Value ct, int i, const Attrs&, std::span<const Type>) { return i ? neg(ct) : ct; }},
          Scalar{mapped<ScalarOp::sub>},
          RefScalar{[](Doubles x, const Attrs&) { return x[0] - x[1]; },
                    [](Ints x, const Attrs&) { return wrapped(bits_of(x[0]) - bits_of(x[1])); }}),
      arithmetic<"mul">("The product a * b.",
                        Bilinear{[](ValueSpan x, Value ct, int i, const Attrs&, std::span<const Type>) {
                          return i ? mul(x[0], ct) : mul(ct, x[1]);
                        }},
                        Scalar{mapped<ScalarOp::mul>},
                        RefScalar{[](Doubles x, const Attrs&) { return x[0] * x[1]; },
                                  [](Ints x, const Attrs&) { return wrapped(bits_of(x[0]) * bits_of(x[1])); }}),
      arithmetic<"div">(
          "a / b, true division of floating operands, as IEEE 754 has it.",
          Partials{[](ValueSpan x, Value y, int i) { return i ? neg(div(y, x[1])) : div(ones_like(y), x[1]); }},
          Scalar{mapped<ScalarOp::div>}, RefScalar{[](Doubles x, const Attrs&) { return x[0] / x[1]; }, nullptr},
          Operands::floating),
      arithmetic<"floor_divide">(
          "The quotient rounded toward minus infinity. Integers: x by 0 is 0, the least number by -1 is itself. "
          "Floats: x by 0 is an infinity or NaN.",
          Zero{}, Scalar{floor_divide_expression},
          RefScalar{[](Doubles x, const Attrs&) { return ref_floor_divide(x[0], x[1]); },
                    [](Ints x, const Attrs&) { return ref_floor_div(x[0], x[1]); }}),
      arithmetic<"remainder">(
          "a - b * floor_divide(a, b): has the sign of b, zeros included. Integers: x by 0 is 0. Floats: x by 0 is "
          "NaN; exact while the quotient is below 2^53.",
          Partials{[](ValueSpan x, Value y, int i) { return i ? neg(floor_divide(x[0], x[1])) : ones_like(y); }},
          Scalar{remainder_expression},
          RefScalar{[](Doubles x, const Attrs&) { return ref_remainder(x[0], x[1]); },
                    [](Ints x, const Attrs&) { return ref_floor_mod(x[0], x[1]); }}),
      arithmetic<"maximum">(
          "The greater operand; NaN where either is. Where both are equal each has half of the derivative.",
          Partials{picked_share}, Scalar{extreme<ScalarOp::max>},
          RefScalar{[](Doubles x, const Attrs&) { return std::isnan(x[0]) ? x[0]
                                                         : x[0] > x[1]    ? x[0]
                                                                          : x[1]; },
                    [](Ints x, const Attrs&) { return std::max(x[0], x[1]); }}),
      arithmetic<"minimum">(
          "The lesser operand; NaN where either is. Where both are equal each has half of the derivative.",
          Partials{picked_share}, Scalar{extreme<ScalarOp::min>},
          RefScalar{[](Doubles x, const Attrs&) { return std::isnan(x[0]) ? x[0]
                                                         : x[0] < x[1]    ? x[0]
                                                                          : x[1]; },
                    [](Ints x, const Attrs&) { return std::min(x[0], x[1]); }}),
      unary<"neg">("-x; zeros change sign, integers wrap.",
                   Linear{1, [](ValueSpan, Value ct, int, const Attrs&, std::span<const Type>) { return neg(ct); }},
                   Scalar{mapped<ScalarOp::neg>},
                   RefScalar{[](Doubles x, const Attrs&) { return -x[0]; },
                             [](Ints x, const Attrs&) { return wrapped(0 - bits_of(x[0])); }}),
      unary<"abs">("The absolute value; the least integer stays. The derivative at 0 is 0.",
                   Partials{[](ValueSpan x, Value, int) { return sign(x[0]); }}, Scalar{mapped<ScalarOp::abs>},
                   RefScalar{[](Doubles x, const Attrs&) { return std::fabs(x[0]); },
                             [](Ints x, const Attrs&) { return x[0] < 0 ? wrapped(0 - bits_of(x[0])) : x[0]; }}),
      unary<"sign">("-1, 0 or 1; zeros keep their sign and NaN stays NaN.", Zero{}, Scalar{sign_expression},
                    RefScalar{[](Doubles x, const Attrs&) { return x[0] > 0   ? 1
                                                                   : x[0] < 0 ? -1
                                                                              : x[0]; },
                              [](Ints x, const Attrs&) { return static_cast<i64>(x[0] > 0) - (x[0] < 0); }}),
      unary<"floor">("Rounded toward minus infinity.", Zero{}, Scalar{mapped<ScalarOp::floor>},
                     RefScalar{[](Doubles x, const Attrs&) { return std::floor(x[0]); }, nullptr}, Operands::floating),
      unary<"stop_gradient">(
          "x itself; its derivative is zero.", Zero{}, Scalar{itself},
          RefScalar{[](Doubles x, const Attrs&) { return x[0]; }, [](Ints x, const Attrs&) { return x[0]; }},
          Operands::any),
  };
}

template <class F>
constexpr RefScalar compared(F) {
  return {[](Doubles x, const Attrs&) { return F{}(x[0], x[1]) ? 1.0 : 0.0; },
          [](Ints x, const Attrs&) { return static_cast<i64>(F{}(x[0], x[1])); }};
}

/// b < a and b <= a.
template <ScalarOp kOp>
Val swapped(B& b, Xs x, const ScalarTypes&, const Attrs&) {
  return b.map(kOp, {x[1], x[0]});
}

std::vector<OpDef> comparison_entries() {
  return {
      comparison<"equal">("Whether a = b; false with NaN.", Scalar{mapped<ScalarOp::equal>},
                          compared(std::equal_to<>()), Operands::any),
      comparison<"not_equal">("Whether a and b differ; true with NaN.", Scalar{mapped<ScalarOp::not_equal>},
                              compared(std::not_equal_to<>()), Operands::any),
      comparison<"less">("Whether a < b; false with NaN.", Scalar{mapped<ScalarOp::less>}, compared(std::less<>())),
      comparison<"less_equal">("Whether a <= b; false with NaN.", Scalar{mapped<ScalarOp::less_equal>},
                               compared(std::less_equal<>())),
      comparison<"greater">("Whether a > b; false with NaN.", Scalar{swapped<ScalarOp::less>},
                            compared(std::greater<>())),
      comparison<"greater_equal">("Whether a >= b; false with NaN.", Scalar{swapped<ScalarOp::less_equal>},
                                  compared(std::greater_equal<>())),
      logic<"logical_and">("Whether both are true.", 2, Scalar{mapped<ScalarOp::logical_and>},
                           RefScalar{nullptr, [](Ints x, const Attrs&) { return x[0] & x[1]; }}),
      logic<"logical_or">("Whether either is true.", 2, Scalar{mapped<ScalarOp::logical_or>},
                          RefScalar{nullptr, [](Ints x, const Attrs&) { return x[0] | x[1]; }}),
      logic<"logical_not">("Whether a is false.", 1, Scalar{not_expression},
                           RefScalar{nullptr, [](Ints x, const Attrs&) { return i64{!x[0]}; }}),
  };
}

std::vector<OpDef> choosing_entries() {
  return {
      {"select",
       1,
       "a where the condition holds, else b. Only the chosen one's derivative counts.",
       {{{"condition", Operands::boolean}, {"a"}, {"b"}}, {}, false},
       select_type,
       Linear{6, select_transpose},
       Elementwise{},
       Scalar{mapped<ScalarOp::select>},
       RefScalar{[](Doubles x, const Attrs&) { return x[0] != 0 ? x[1] : x[2]; },
                 [](Ints x, const Attrs&) { return x[0] ? x[1] : x[2]; }},
       Pure{},
       select_samples},
      {"cast",
       1,
       "The same numbers in another dtype. Float to integer truncates and saturates, NaN becomes 0; integers wrap; "
       "to bool is != 0.",
       {{{"x"}}, {{"dtype", AttrKind::dtype, {}}}},
       cast_type,
       Linear{1,
              [](ValueSpan, Value ct, int, const Attrs&, std::span<const Type> t) { return cast(ct, t[0].dtype()); }},
       Elementwise{},
       Scalar{cast_expression},
       RefArrays{cast_ref},
       Pure{},
       cast_samples},
      {"constant",
       1,
       "The array `value`, part of the program. `name` names a weight of a network.",
       {{}, {{"value", AttrKind::array, {}}, {"name", AttrKind::string, Attr(std::string())}}},
       constant_type,
       Zero{},
       AxesFn{constant_batch},
       Structured{Structured::Kind::constant},
       RefArrays{constant_ref},
       Pure{},
       constant_samples},
  };
}

}  // namespace

std::span<const OpDef> elementwise_ops() {
  static const auto* table = [] {
    auto* all = new std::vector<OpDef>;
    for (const auto& part : {arithmetic_entries(), comparison_entries(), choosing_entries()})
      all->insert(all->end(), part.begin(), part.end());
    return all;
  }();
  return *table;
}

}  // namespace tn
