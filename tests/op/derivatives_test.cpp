// Derivatives of every op, from its entry: forward mode against finite differences, reverse against forward
// (<jvp t, c> = <t, vjp c>), and the same once more for the gradient's own derivative, in both modes.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/ref/ref.h"
#include "each_op.h"
#include "harness.h"
#include "transform/transform.h"

namespace tn::test {

namespace {

using Arrays = std::vector<Array>;

constexpr double kStep = 1e-5;
constexpr Tolerance kClose{2e-6, 1};

Mask floating_inputs(const Graph& g) {
  Mask m;
  for (Type t : g.input_types()) m.push_back(differentiable(t));
  return m;
}

u32 count(const Mask& m) { return static_cast<u32>(std::count(m.begin(), m.end(), true)); }

/// x + h * t on the masked inputs.
Arrays moved(const Arrays& x, const Mask& mask, const Arrays& t, double h) {
  Arrays r = x;
  size_t k = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!mask[i]) continue;
    r[i] = Array::empty(x[i].dtype, x[i].shape);
    for (i64 e = 0; e < x[i].size(); ++e) r[i].set(e, x[i].get(e) + h * t[k].get(e));
    ++k;
  }
  return r;
}

Arrays tangents_for(const Graph& g, const Mask& mask, Random& random) {
  Arrays t;
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) t.push_back(random_like(g.input_types()[i], random));
  return t;
}

double inner(const Array& a, const Array& b) {
  double s = 0;
  for (i64 i = 0; i < a.size(); ++i) s += a.get(i) * b.get(i);
  return s;
}

Arrays joined_arrays(const Arrays& a, const Arrays& b) {
  Arrays r = a;
  r.insert(r.end(), b.begin(), b.end());
  return r;
}

/// Tangents of all differentiable results of g, zeros where the rule says so; also the difference quotient.
struct Forward {
  Arrays rule, quotient;
};

Forward forward_mode(const GraphPtr& g, const Mask& mask, const Arrays& x, const Arrays& t) {
  Transformed d = jvp_graph(g, mask);
  Arrays y = ref_run(d.graph, joined_arrays(x, t));
  Arrays up = ref_run(g, moved(x, mask, t, kStep)), down = ref_run(g, moved(x, mask, t, -kStep));
  Forward f;
  size_t next = g->outputs().size();
  for (size_t i = 0; i < g->outputs().size(); ++i) {
    Array zero = Array::zeros(y[i].dtype, y[i].shape);
    Array tangent = d.mask[i] ? y[next++] : zero;
    if (!is_float(y[i].dtype)) {
      EXPECT_FALSE(d.mask[i]) << "an integer result has no tangent";
      continue;
    }
    Array quotient = Array::empty(y[i].dtype, y[i].shape);
    for (i64 e = 0; e < quotient.size(); ++e) quotient.set(e, (up[i].get(e) - down[i].get(e)) / (2 * kStep));
    f.rule.push_back(tangent);
    f.quotient.push_back(quotient);
  }
  return f;
}

/// Checks g's first derivatives at x in both modes.
void check_first(const GraphPtr& g, const Mask& mask, const Arrays& x, Random& random, Tolerance tolerance) {
  Arrays t = tangents_for(*g, mask, random);
  Forward f = forward_mode(g, mask, x, t);
  for (size_t i = 0; i < f.rule.size(); ++i)
    EXPECT_EQ(difference_of(f.rule[i], f.quotient[i], tolerance), "") << "jvp of result " << i;
  Arrays c;
  for (const Array& y : f.rule) {
    SampleOperand o{y.dtype, y.shape, -1, 1, {}};
    c.push_back(make_operand(o, random));
  }
  GraphPtr reverse = vjp_graph(g, mask);
  Arrays r = ref_run(reverse, joined_arrays(x, c));
  ASSERT_EQ(r.size(), g->outputs().size() + count(mask));
  double left = 0, right = 0, size = 1e-3;
  for (size_t i = 0; i < c.size(); ++i) {
    left += inner(f.rule[i], c[i]);
    for (i64 e = 0; e < c[i].size(); ++e) size += std::fabs(f.rule[i].get(e) * c[i].get(e));
  }
  for (size_t i = 0; i < t.size(); ++i) right += inner(r[g->outputs().size() + i], t[i]);
  EXPECT_NEAR(left, right, 1e-12 * size) << "<jvp t, c> and <t, vjp c>";
}

/// stop_gradient's derivative is zero by decree; custom_vjp has no forward mode (tests/transform has its tests).
bool comparable(const OpDef& op) {
  return op.effect.as<Pure>() && op.name != "stop_gradient" && !op.name.starts_with("custom_vjp");
}

/// Rounding to fewer bits has no difference quotient.
bool keeps_bits(const Graph& g) {
  for (Type t : g.output_types())
    if (is_float(t.dtype()) && t.dtype() != DType::f64) return false;
  return true;
}

}  // namespace

class Derivative : public testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& op() const { return *GetParam(); }
};
class SecondDerivative : public Derivative {};
class NoDerivative : public Derivative {};

TEST_P(Derivative, AgreesWithFiniteDifferences) {
  Random random(7);
  for (const Sample& s : smooth_samples(op())) {
    SCOPED_TRACE(describe(op(), s));
    GraphPtr g = call_graph(op(), s);
    if (!keeps_bits(*g)) continue;
    check_first(g, floating_inputs(*g), make_operands(s), random, kClose);
  }
}

/// The gradient is a graph like any other: its derivatives by the same check.
TEST_P(SecondDerivative, Agrees) {
  Random random(8);
  for (const Sample& s : smooth_samples(op())) {
    SCOPED_TRACE(describe(op(), s));
    GraphPtr g = call_graph(op(), s);
    if (!keeps_bits(*g)) continue;
    Arrays x = make_operands(s);
    GraphPtr reverse = vjp_graph(g, floating_inputs(*g));
    for (size_t i = x.size(); i < reverse->input_count(); ++i)
      x.push_back(random_like(reverse->input_types()[i], random));
    check_first(reverse, floating_inputs(*reverse), x, random, {2e-5, 1});
    Transformed forward = jvp_graph(g, floating_inputs(*g));
    Arrays xt = make_operands(s);
    for (size_t i = xt.size(); i < forward.graph->input_count(); ++i)
      xt.push_back(random_like(forward.graph->input_types()[i], random));
    check_first(forward.graph, floating_inputs(*forward.graph), xt, random, {2e-5, 1});
  }
}

/// One operand at a time: the others' parts must be left out without harm.
TEST_P(Derivative, OfEachOperandAlone) {
  Random random(9);
  for (const Sample& s : smooth_samples(op())) {
    GraphPtr g = call_graph(op(), s);
    Mask all = floating_inputs(*g);
    if (count(all) < 2) continue;
    SCOPED_TRACE(describe(op(), s));
    for (size_t i = 0; i < all.size(); ++i) {
      if (!all[i]) continue;
      Mask one(all.size());
      one[i] = true;
      check_first(g, one, make_operands(s), random, kClose);
    }
  }
}

TEST_P(NoDerivative, IsAnErrorThatSaysWhy) {
  const NoGrad* none = op().grad.as<NoGrad>();
  for (const Sample& s : good_samples(op())) {
    GraphPtr g = call_graph(op(), s);
    Mask mask = floating_inputs(*g);
    if (count(mask) == 0) continue;
    try {
      jvp_graph(g, mask);
      FAIL() << "expected an error";
    } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find(none->why), std::string::npos) << e.what(); }
  }
}

static bool has_first(const OpDef& o) { return !o.grad.as<NoGrad>() && comparable(o); }
static bool has_second(const OpDef& o) { return has_first(o) && !o.grad.as<Zero>(); }
static bool has_none(const OpDef& o) { return o.grad.as<NoGrad>(); }
INSTANTIATE_TEST_SUITE_P(Ops, Derivative, each_op(has_first), op_name);
INSTANTIATE_TEST_SUITE_P(Ops, SecondDerivative, each_op(has_second), op_name);
INSTANTIATE_TEST_SUITE_P(Ops, NoDerivative, each_op(has_none), op_name);

}  // namespace tn::test
