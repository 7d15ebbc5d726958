// Every op that has a derivative under every ordered pair of jvp, vjp, vmap, jit, checkpoint and scan.
//
// An op's results are weighed into one number F(x). jvp and vjp both give the derivative along a fixed direction, vmap
// F(x) + F(0.97 x), scan a weighed sum of two steps, jit and checkpoint F itself. So whatever the pair, what comes out
// is a sum of terms c * D^k F(s x), whose values come from plain forward mode, which the difference quotients check.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "backend/ref/ref.h"
#include "each_op.h"
#include "harness.h"
#include "op/emit.h"
#include "transform/transform.h"

namespace tn::test {

namespace {

using Arrays = std::vector<Array>;

constexpr double kLaneScale = 0.97;
constexpr double kStepWeights[] = {1, 0.5};
constexpr std::string_view kTransforms = "jrvtcs";  // jvp, reverse, vmap, trace (jit), checkpoint, scan

Mask floating_inputs(const Graph& g) {
  Mask m;
  for (Type t : g.input_types()) m.push_back(differentiable(t));
  return m;
}

Value to_double(Value x) { return cast(sum(x, all_axes(x)), DType::f64); }

Value weighed(Value x, Random& random) {
  std::vector<i64> shape;
  for (Dim d : x.shape()) shape.push_back(d.value());
  Array w = Array::empty(x.dtype(), shape);
  for (i64 i = 0; i < w.size(); ++i) w.set(i, random.uniform(-1, 1));
  return to_double(mul(x, constant(*x.builder, w)));
}

/// The op's floating results as one f64 number.
GraphPtr as_number(const GraphPtr& g) {
  return make_graph(g->input_types(), [&](Builder& b, ValueSpan x) {
    Random random(3);
    Value total = constant(b, 0, DType::f64);
    for (const Value& y : inline_graph(b, *g, x))
      if (differentiable(y.type())) total = add(total, weighed(y, random));
    return Values{total};
  });
}

/// The fixed direction, of operand i.
Value direction(Builder& b, Type t, size_t i) {
  Random random(100 + i);
  std::vector<i64> shape;
  for (Dim d : t.shape()) shape.push_back(d.value());
  Array a = Array::empty(t.dtype(), shape);
  for (i64 k = 0; k < a.size(); ++k) a.set(k, random.uniform(-1, 1));
  return constant(b, a);
}

Value forward(Builder& b, const GraphPtr& f, ValueSpan x) {
  Mask mask = floating_inputs(*f);
  Transformed j = jvp_graph(f, mask);
  Values in(x.begin(), x.end());
  for (size_t i = 0; i < x.size(); ++i)
    if (mask[i]) in.push_back(direction(b, x[i].type(), i));
  return j.mask[0] ? inline_graph(b, *j.graph, in)[1] : constant(b, 0, DType::f64);
}

Value reverse(Builder& b, const GraphPtr& f, ValueSpan x) {
  Mask mask = floating_inputs(*f);
  Values in(x.begin(), x.end());
  in.push_back(constant(b, 1, DType::f64));
  Values out = inline_graph(b, *vjp_graph(f, mask), in);
  Value total = constant(b, 0, DType::f64);
  for (size_t i = 0, k = 1; i < x.size(); ++i)
    if (mask[i]) total = add(total, to_double(mul(out[k++], direction(b, x[i].type(), i))));
  return total;
}

Value over_lanes(Builder& b, const GraphPtr& f, ValueSpan x) {
  Mask mask = floating_inputs(*f);
  Values in;
  for (size_t i = 0; i < x.size(); ++i) {
    Values lanes{x[i], mask[i] ? mul(x[i], kLaneScale) : x[i]};
    for (Value& lane : lanes) lane = add_axis(lane, 0);
    in.push_back(mask[i] ? concat(lanes, 0) : x[i]);
  }
  return sum(inline_graph(b, *vmap_graph_all(f, mask, 2), in)[0], {0});
}

Value scanned(Builder& b, const GraphPtr& f, ValueSpan x) {
  Type number = Type::tensor(DType::f64, {});
  std::vector<Type> types(f->input_types().begin(), f->input_types().end());
  types.insert(types.end(), {number, number});
  GraphPtr body = make_graph(types, [&](Builder& inner, ValueSpan v) {
    Value y = inline_graph(inner, *f, v.first(f->input_count()))[0];
    return Values{add(v[v.size() - 2], mul(y, v.back()))};
  });
  Array steps = Array::empty(DType::f64, {2});
  for (i64 i = 0; i < 2; ++i) steps.set(i, kStepWeights[i]);
  Values in(x.begin(), x.end());
  in.push_back(constant(b, 0, DType::f64));
  in.push_back(constant(b, steps));
  return b.emit(op("scan"), in,
                {{"body", body},
                 {"consts", static_cast<i64>(x.size())},
                 {"carry", i64{1}},
                 {"length", Shape{2}},
                 {"reverse", false}})[0];
}

GraphPtr transformed(char transform, const GraphPtr& f) {
  return make_graph(f->input_types(), [&](Builder& b, ValueSpan x) -> Values {
    switch (transform) {
      case 'j': return {forward(b, f, x)};
      case 'r': return {reverse(b, f, x)};
      case 'v': return {over_lanes(b, f, x)};
      case 's': return {scanned(b, f, x)};
      default: return b.emit(op("call"), x, {{"body", f}, {"remat", transform == 'c'}});
    }
  });
}

struct Term {
  double factor, scale;
  int order;
};

std::vector<Term> transformed(char transform, std::vector<Term> terms) {
  std::vector<Term> result;
  for (Term t : terms) switch (transform) {
      case 'j':
      case 'r': result.push_back({t.factor * t.scale, t.scale, t.order + 1}); break;
      case 'v':
        result.push_back(t);
        result.push_back({t.factor, t.scale * kLaneScale, t.order});
        break;
      case 's': result.push_back({t.factor * (kStepWeights[0] + kStepWeights[1]), t.scale, t.order}); break;
      default: result.push_back(t);
    }
  return result;
}

/// D^k F(s x) by plain forward mode.
class Expected {
 public:
  Expected(GraphPtr f, Arrays x) : x_(std::move(x)) {
    derivatives_.push_back(std::move(f));
    for (int k = 0; k < 2; ++k) derivatives_.push_back(transformed('j', derivatives_.back()));
  }

  double operator()(const std::vector<Term>& terms) {
    double total = 0;
    for (const Term& t : terms) total += t.factor * value(t);
    return total;
  }
  /// How large the terms are, for the tolerance.
  double size(const std::vector<Term>& terms) {
    double total = 1e-3;
    for (const Term& t : terms) total += std::fabs(t.factor * value(t));
    return total;
  }

 private:
  double value(const Term& t) {
    auto [found, fresh] = known_.try_emplace({t.order, t.scale}, 0);
    if (!fresh) return found->second;
    Arrays x = x_;
    for (Array& a : x) {
      if (!is_float(a.dtype)) continue;
      Array moved = Array::empty(a.dtype, a.shape);
      for (i64 i = 0; i < a.size(); ++i) moved.set(i, a.get(i) * t.scale);
      a = moved;
    }
    return found->second = ref_run(derivatives_[static_cast<size_t>(t.order)], x)[0].get(0);
  }

  Arrays x_;
  std::vector<GraphPtr> derivatives_;
  std::map<std::pair<int, double>, double> known_;
};

bool in_double(const Graph& g) {
  for (Type t : g.output_types())
    if (is_float(t.dtype()) && t.dtype() != DType::f64) return false;
  return true;
}

void check(const OpDef& o, const Sample& s) {
  GraphPtr g = call_graph(o, s), f = as_number(g);
  Arrays x = make_operands(s);
  Expected expected(f, x);
  double tolerance = in_double(*g) ? 1e-9 : 1e-2;
  for (char first : kTransforms)
    for (char second : kTransforms) {
      auto terms = transformed(second, transformed(first, std::vector<Term>{{1, 1, 0}}));
      double want = expected(terms);
      if (!std::isfinite(want)) continue;
      GraphPtr h = transformed(second, transformed(first, f));
      double got = ref_run(h, x)[0].get(0);
      EXPECT_NEAR(got, want, tolerance * expected.size(terms)) << first << " then " << second;
    }
}

}  // namespace

class Pairs : public testing::TestWithParam<const OpDef*> {};

TEST_P(Pairs, OfTransforms) {
  const OpDef& o = *GetParam();
  size_t tested = 0;
  for (const Sample& s : smooth_samples(o)) {
    if (++tested > 3) break;
    SCOPED_TRACE(describe(o, s));
    check(o, s);
  }
  EXPECT_TRUE(tested || o.grad.as<Zero>()) << "no f64 sample with random values";
}

/// Reverse-only custom rules have their tests with the transforms.
static bool both_modes(const OpDef& o) {
  return !o.grad.as<NoGrad>() && o.effect.as<Pure>() && !o.name.starts_with("custom_vjp");
}
INSTANTIATE_TEST_SUITE_P(Ops, Pairs, each_op(both_modes), op_name);

}  // namespace tn::test
