// Activations and attention, by expansion. 16-bit operands are widened to f32 inside and rounded once.
#include <cmath>
#include <limits>
#include <numbers>

#include "op/emit.h"
#include "op/families.h"
#include "op/rules.h"

namespace tn {

namespace {

DType wide(DType d) { return bits(d) < 32 ? DType::f32 : d; }
Value widened(Value x) { return cast(x, wide(x.dtype())); }

// ---------------------------------------------------------------- activations

Values relu_expand(Builder&, ValueSpan x, const Attrs&) { return {maximum(x[0], zeros_like(x[0]))}; }

/// By the result: it is what the next layer keeps anyway.
Values relu_tangent(Builder&, ValueSpan, ValueSpan y, ValueSpan t, const Attrs&) {
  return {select(greater(y[0], zeros_like(y[0])), t[0], zeros_like(t[0]))};
}

Values silu_expand(Builder&, ValueSpan x, const Attrs&) {
  Value v = widened(x[0]);
  return {cast(mul(v, sigmoid(v)), x[0].dtype())};
}

Values gelu_expand(Builder&, ValueSpan x, const Attrs& a) {
  Value v = widened(x[0]), half = mul(v, 0.5);
  if (!a.get<bool>("approximate")) return {cast(mul(half, add(erf(mul(v, std::numbers::sqrt2 / 2)), 1)), x[0].dtype())};
  Value cube = mul(mul(mul(v, v), v), 0.044715);
  Value inner = mul(add(v, cube), std::sqrt(2 * std::numbers::inv_pi));
  return {cast(mul(half, add(tanh(inner), 1)), x[0].dtype())};
}

// ---------------------------------------------------------------- attention

std::vector<Type> attention_type(std::span<const Type> t, const Attrs&) {
  auto name_of = [](size_t i) { return std::string(i == 0 ? "query" : i == 1 ? "key" : "value"); };
  if (t.size() > 4) fail("attention", "expected at most 4 operands, got " + std::to_string(t.size()));
  for (size_t i = 0; i < 3; ++i) {
    if (t[i].rank() < 2)
      fail("attention", "expected '" + name_of(i) + "' of shape [..., length, width], got " + to_string(t[i]));
    if (t[i].dtype() != t[0].dtype() || t[i].rank() != t[0].rank())
      fail("attention", "expected operands of one dtype and rank, got " + to_string(t[0]) + " and " + to_string(t[i]) +
                            " for '" + name_of(i) + "'");
    for (int axis = 0; axis + 2 < t[0].rank(); ++axis)
      if (t[i].dim(axis) != t[0].dim(axis))
        fail("attention",
             "expected equal leading axes, got " + difference(t[0], t[i]) + "; broadcast '" + name_of(i) + "'");
  }
  if (t[1].dim(-1) != t[0].dim(-1))
    fail("attention", "expected 'key' of width " + to_string(t[0].dim(-1)) + " as 'query', got " + to_string(t[1]));
  if (t[2].dim(-2) != t[1].dim(-2))
    fail("attention", "expected a 'value' for each of " + to_string(t[1].dim(-2)) + " keys, got " + to_string(t[2]));
  if (t[1].dim(-2) == Dim(0))
    fail("attention",
         "expected at least one key, got " + to_string(t[1]) + ", whose weights have no sum to be shares of");
  Shape scores(t[0].shape().begin(), t[0].shape().end());
  scores.back() = t[1].dim(-2);
  if (t.size() == 4) {
    auto m = t[3].shape();
    bool fits = m.size() <= scores.size();
    for (size_t i = 0; fits && i < m.size(); ++i)
      fits = m[m.size() - 1 - i] == Dim(1) || m[m.size() - 1 - i] == scores[scores.size() - 1 - i];
    if (!fits)
      fail("attention", "expected a 'mask' that broadcasts to " + to_string(Type::tensor(DType::boolean, scores)) +
                            ", got " + to_string(t[3]));
  }
  scores.back() = t[2].dim(-1);
  return {t[0].with(scores)};
}

/// Scores of keys that must not be seen become -infinity, which exp turns into an exact 0. A row that sees no key is 0.
Values attention_expand(Builder& b, ValueSpan x, const Attrs& a) {
  Value q = widened(x[0]), k = widened(x[1]), v = widened(x[2]);
  i64 rank = q.rank(), row = rank - 2, last = rank - 1;
  std::vector<i64> batch = axis_range(0, row);
  double scale = a.get<double>("scale");
  Value scores = dot(q, k, batch, batch, {last}, {last});
  Shape shape = shape_of(scores);
  Value factor = scale != 0 ? constant(b, scale, q.dtype()) : rsqrt(dim_value(b, q.shape().back(), q.dtype()));
  scores = mul(scores, broadcast(factor, shape, {}));
  Value hidden = constant_like(scores, -std::numeric_limits<double>::infinity());
  if (a.get<bool>("causal")) {
    Value seen = greater_equal(iota(b, shape, row, DType::i32), iota(b, shape, last, DType::i32));
    scores = select(seen, scores, hidden);
  }
  bool masked = x.size() == 4;
  if (masked) scores = select(broadcast_to(x[3], shape), scores, hidden);
  Value top = max(scores, {last});
  if (masked)
    top = select(equal(top, constant_like(top, -std::numeric_limits<double>::infinity())), zeros_like(top), top);
  Value e = exp(sub(scores, broadcast_along(stop_gradient(top), shape, {last})));
  Value total = sum(e, {last});
  if (masked) total = select(equal(total, zeros_like(total)), ones_like(total), total);
  Value y = dot(e, v, batch, batch, {last}, {row});
  return {cast(div(y, broadcast_along(total, shape_of(y), {last})), x[0].dtype())};
}

Batched attention_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  Values v = all_to_lanes(x.first(3), Mask(batched.begin(), batched.begin() + 3), n);
  if (x.size() == 4) {
    Value mask = x[3];
    if (batched[3]) {  // its lane axis goes before all others of the scores
      Shape shape = shape_of(mask);
      shape.insert(shape.begin() + 1, static_cast<size_t>(v[0].rank() - mask.rank()), Dim(1));
      mask = reshape(mask, shape);
    }
    v.push_back(mask);
  }
  return all_batched(b.emit(op("attention"), v, a));
}

// ---------------------------------------------------------------- samples

std::vector<Sample> activation_samples() {
  return joined({float_samples(1, -3, 3),
                 {failing({values_of(DType::i32, {1})}, "expected a floating dtype for operand 'x', got i32[1]")}});
}

std::vector<Sample> gelu_samples() {
  std::vector<Sample> r = activation_samples();
  for (DType d : {DType::f64, DType::f32}) r.push_back(sample_of(d, {33}, 1, -3, 3, {{"approximate", true}}));
  return r;
}

Sample attention_sample(DType d, std::vector<i64> lead, i64 queries, i64 keys, i64 width, const Attrs& attrs = {}) {
  auto of = [&](i64 length) {
    SampleOperand o{d, lead, -2, 2, {}};
    o.shape.insert(o.shape.end(), {length, width});
    return o;
  };
  return {{of(queries), of(keys), of(keys)}, attrs, {}, 0};
}

std::vector<Sample> attention_samples() {
  Attrs causal{{"causal", true}};
  std::vector<Sample> r;
  for (DType d : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
    r.push_back(attention_sample(d, {2}, 5, 7, 4));
    r.push_back(attention_sample(d, {2, 3}, 5, 5, 4, causal));
  }
  r.push_back(attention_sample(DType::f64, {}, 3, 4, 2, {{"scale", 0.25}}));
  r.push_back(attention_sample(DType::f32, {2}, 70, 133, 16, causal));
  r.push_back(attention_sample(DType::f32, {}, 33, 17, 8));
  r.push_back(attention_sample(DType::f32, {0}, 3, 4, 2));
  for (DType d : {DType::f64, DType::f32}) {
    Sample s = attention_sample(d, {2}, 3, 4, 2);
    s.operands.push_back({DType::boolean, {3, 4}, 0, 1, {1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}});
    r.push_back(s);
    Sample row = attention_sample(d, {2}, 3, 4, 2, causal);
    row.operands.push_back({DType::boolean, {2, 1, 4}, 0, 1, {1, 1, 0, 1, 1, 0, 0, 0}});
    r.push_back(row);
  }
  Sample bad = attention_sample(DType::f32, {2}, 3, 4, 2);
  bad.operands[2].shape = {2, 5, 2};
  bad.error = "expected a 'value' for each of 4 keys, got f32[2, 5, 2]";
  r.push_back(bad);
  Sample none = attention_sample(DType::f32, {2}, 3, 0, 4);
  none.error = "expected at least one key, got f32[2, 0, 4]";
  r.push_back(none);
  return r;
}

std::vector<OpDef> entries() {
  OperandSpec x{"x", Operands::floating};
  return {
      {"relu",
       1,
       "maximum(x, 0); NaN stays. The derivative at 0 is 0.",
       {{x}, {}},
       first_type,
       Jvp{relu_tangent},
       Elementwise{},
       Expand{relu_expand},
       RefNone{},
       Pure{},
       activation_samples},
      {"silu",
       1,
       "x * sigmoid(x).",
       {{x}, {}},
       first_type,
       ByExpansion{},
       Elementwise{},
       Expand{silu_expand},
       RefNone{},
       Pure{},
       activation_samples},
      {"gelu",
       1,
       "x times the normal distribution's integral up to x, by erf; `approximate` takes the tanh formula.",
       {{x}, {{"approximate", AttrKind::boolean, Attr(false)}}},
       first_type,
       ByExpansion{},
       Elementwise{},
       Expand{gelu_expand},
       RefNone{},
       Pure{},
       gelu_samples},
      {"attention",
       1,
       "softmax(query . key^T * scale) . value over [..., length, width]; scale 0 stands for 1 / sqrt(width). "
       "`causal`: "
       "query i sees keys 0 to i. A bool mask that broadcasts to [..., queries, keys] says which keys may be seen; a "
       "row that sees none is 0.",
       {{{"query", Operands::floating},
         {"key", Operands::floating},
         {"value", Operands::floating},
         {"mask", Operands::boolean, true}},
        {{"causal", AttrKind::boolean, Attr(false)}, {"scale", AttrKind::floating, Attr(0.0)}},
        false},
       attention_type,
       ByExpansion{},
       AxesFn{attention_batch},
       Expand{attention_expand, Template::attention},
       RefNone{},
       Pure{},
       attention_samples},
  };
}

}  // namespace

std::span<const OpDef> activation_ops() {
  static const auto* table = new std::vector<OpDef>(entries());
  return *table;
}

}  // namespace tn
