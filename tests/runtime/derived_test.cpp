// What is made of every op, on kernels: its jvp, its vjp, vmap over a number of lanes that is known when it runs, and
// the op on symbolic extents, from the samples of its entry. The interpreter's answer against the oracle's, machine
// code against the interpreter bit for bit, and jit against eager calls.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "../op/each_op.h"
#include "../op/harness.h"
#include "backend/ref/ref.h"
#include "runtime/execute.h"
#include "tenon/jit.h"
#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "transform/transform.h"

namespace tn::test {
namespace {

using Arrays = std::vector<Array>;

constexpr size_t kSamples = 6, kCompiled = 3, kTransformed = 4;  // of each op, spread over its entry
constexpr i64 kLanes = 5;

/// Sums in another order, and what cancels between the parts of a derivative, differ by more than one op does.
Tolerance loose(DType d) {
  switch (d) {
    case DType::f64: return {1e-11, 1};
    case DType::f32: return {2e-5, 1};
    case DType::f16: return {0x1p-7, 1};
    case DType::bf16: return {0x1p-4, 1};
    default: return {};
  }
}

class Derived : public testing::TestWithParam<const OpDef*> {
 protected:
  void TearDown() override { set_tier(Tier::automatic); }

  static Arrays run(Tier tier, const GraphPtr& g, const Arrays& x) {
    set_tier(tier);
    return execute(g, x);
  }

  static void check(const GraphPtr& g, const Arrays& x, bool compile) {
    Arrays want = ref_run(g, x), got = run(Tier::interpreted, g, x);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(difference_of(got[i], want[i], loose(want[i].dtype)), "") << "result " << i;
    if (!compile) return;
    Arrays again = run(Tier::compiled, g, x);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_numbers(again[i], got[i])) << "compiled, result " << i;
  }
};

Mask floating_inputs(const Graph& g) {
  Mask m;
  for (Type t : g.input_types()) m.push_back(differentiable(t));
  return m;
}
bool any(const Mask& m) { return std::find(m.begin(), m.end(), true) != m.end(); }

// ---------------------------------------------------------------- derivatives

class Derivatives : public Derived {};

TEST_P(Derivatives, Forward) {
  const OpDef& op = *GetParam();
  if (op.name.starts_with("custom_vjp")) return;  // an error, tested with the transforms
  size_t count = 0;
  for (const Sample& s : some_samples(op, kTransformed)) {
    GraphPtr g = call_graph(op, s);
    Mask mask = floating_inputs(*g);
    if (!any(mask)) continue;
    SCOPED_TRACE(describe(op, s));
    Arrays x = make_operands(s);
    Random random(7);
    for (size_t i = 0, n = x.size(); i < n; ++i)
      if (mask[i]) x.push_back(random_like(g->input_types()[i], random));
    check(jvp_graph(g, mask).graph, x, count++ < kCompiled);
  }
}

TEST_P(Derivatives, Reverse) {
  const OpDef& op = *GetParam();
  size_t count = 0;
  for (const Sample& s : some_samples(op, kTransformed)) {
    GraphPtr g = call_graph(op, s);
    Mask mask = floating_inputs(*g);
    Arrays x = make_operands(s);
    Random random(8);
    size_t cotangents = 0;
    for (Type t : g->output_types())
      if (differentiable(t)) x.push_back(random_like(t, random)), ++cotangents;
    if (!any(mask) || cotangents == 0) continue;
    SCOPED_TRACE(describe(op, s));
    check(vjp_graph(g, mask), x, count++ < kCompiled);
  }
}

// ---------------------------------------------------------------- sizes known when it runs

class Sized : public Derived {};

TEST_P(Sized, OverLanes) {
  const OpDef& op = *GetParam();
  size_t count = 0;
  for (const Sample& s : some_samples(op, kSamples)) {
    if (s.operands.empty()) continue;
    SCOPED_TRACE(describe(op, s));
    Arrays x;
    for (const SampleOperand& o : s.operands) {
      SampleOperand many = o;
      many.shape.insert(many.shape.begin(), kLanes);
      many.values.clear();
      for (i64 k = 0; k < kLanes; ++k) many.values.insert(many.values.end(), o.values.begin(), o.values.end());
      Random random(9);
      x.push_back(make_operand(many, random));
    }
    GraphPtr g = vmap_graph_all(call_graph(op, s), Mask(x.size(), true), Dim::symbol("lanes"));
    check(g, x, count++ < kCompiled);
  }
}

/// The call with extents replaced by symbols, in operands and attributes alike: an extent above 1 by the symbol of its
/// number. None where that is no valid call.
GraphPtr symbolic(const OpDef& op, const Sample& s, const std::set<i64>& replaced) {
  auto dim = [&](Dim d) {
    return d.is_constant() && replaced.contains(d.value()) ? Dim::symbol("n" + std::to_string(d.value())) : d;
  };
  std::vector<Type> types = types_of(s);
  for (Type& t : types) {
    Shape shape(t.shape().begin(), t.shape().end());
    for (Dim& d : shape) d = dim(d);
    t = Type::tensor(t.dtype(), shape);
  }
  Attrs attrs = s.attrs;
  for (const auto& [name, value] : s.attrs.items())
    if (const Shape* shape = std::get_if<Shape>(&value)) {
      Shape changed = *shape;
      for (Dim& d : changed) d = dim(d);
      attrs = attrs.with(name, changed);
    }
  try {
    return call_graph(op, types, attrs);
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("expected"), std::string::npos) << e.what();
    return nullptr;
  }
}

/// The types in their sub-graphs and functions are numbers; the tests of control flow have symbolic ones.
const std::set<std::string_view> kNumbersOnly{"call", "invoke", "while", "custom_jvp", "custom_vjp"};

TEST_P(Sized, OnSymbolicExtents) {
  const OpDef& op = *GetParam();
  size_t count = 0;
  for (const Sample& s : some_samples(op, kSamples)) {
    std::set<i64> extents;
    for (const SampleOperand& o : s.operands)
      for (i64 d : o.shape)
        if (d > 1) extents.insert(d);
    if (extents.empty()) continue;
    std::vector<GraphPtr> graphs{symbolic(op, s, extents)};
    if (!graphs[0]) {
      graphs.clear();
      for (i64 d : extents)
        if (GraphPtr one = symbolic(op, s, {d})) graphs.push_back(one);
    }
    SCOPED_TRACE(describe(op, s));
    for (const GraphPtr& g : graphs) check(g, make_operands(s), count++ < kCompiled);
  }
  bool has_operands = !op.signature.operands.empty() && !good_samples(op).empty();
  EXPECT_EQ(count == 0 && has_operands, kNumbersOnly.contains(op.name));
}

// ---------------------------------------------------------------- jit

/// One call of an op on tensors; numbers name the op and its sample, so that jit sees what it is.
struct Call {
  i64 op, sample;
  std::vector<Tensor> operator()(const std::vector<Tensor>& x) const {
    const OpDef& called = *all_ops()[static_cast<size_t>(op)];
    const Sample chosen = good_samples(called)[static_cast<size_t>(sample)];
    return apply(called, x, chosen.attrs, Location::current());
  }
};

class Jitted : public Derived {};

const Array& array_of(const Tensor& x) { return value_of(node_of(x, "test", Location()), Location()); }

TEST_P(Jitted, EqualsEager) {
  const OpDef& op = *GetParam();
  i64 index = std::find(all_ops().begin(), all_ops().end(), &op) - all_ops().begin();
  std::vector<Sample> samples = good_samples(op);
  for (size_t i = 0; i < samples.size(); i += 1 + samples.size() / kSamples) {
    SCOPED_TRACE(describe(op, samples[i]));
    std::vector<Tensor> x;
    for (const Array& a : make_operands(samples[i])) x.push_back(handle(new_value(a, Location::current())));
    Call call{index, static_cast<i64>(i)};
    std::vector<Tensor> want = call(x), got = jit(call)(x);
    ASSERT_EQ(got.size(), want.size());
    for (size_t k = 0; k < got.size(); ++k)
      EXPECT_TRUE(same_numbers(array_of(got[k]), array_of(want[k]))) << "result " << k;
  }
}

bool pure(const OpDef& o) { return o.effect.as<Pure>(); }
bool derives(const OpDef& o) { return pure(o) && !o.grad.as<NoGrad>(); }
INSTANTIATE_TEST_SUITE_P(Ops, Derivatives, each_op(derives), op_name);
INSTANTIATE_TEST_SUITE_P(Ops, Sized, each_op(pure), op_name);
INSTANTIATE_TEST_SUITE_P(Ops, Jitted, each_op(pure), op_name);

}  // namespace
}  // namespace tn::test
