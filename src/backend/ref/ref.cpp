#include "backend/ref/ref.h"

#include <atomic>

#include "backend/ref/control.h"
#include "compile/explain.h"
#include "ir/function.h"
#include "ir/guard.h"
#include "ir/op_def.h"

namespace tn {

namespace {

std::atomic<u64> run_count = 0;

std::string shape_text(const Array& a) {
  std::string text(name(a.dtype));
  text += "[";
  for (size_t i = 0; i < a.shape.size(); ++i) text += (i ? ", " : "") + std::to_string(a.shape[i]);
  return text + "]";
}

bool matches(Type t, const Array& a, DimEnv& env) {
  if (!t.is_tensor()) return true;
  if (t.dtype() != a.dtype || static_cast<size_t>(t.rank()) != a.shape.size()) return false;
  for (size_t i = 0; i < a.shape.size(); ++i)
    if (Dim d = t.shape()[i]; d.is_symbol() && !env.find(d)) env.set(d, a.shape[i]);
  for (size_t i = 0; i < a.shape.size(); ++i)
    if (evaluate(t.shape()[i], env) != a.shape[i]) return false;
  return true;
}

std::vector<i64> concrete(Type t, const DimEnv& env) {
  std::vector<i64> shape;
  for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
  return shape;
}

std::vector<Array> run_scalar(const RefScalar& rule, std::span<const Array> x, const Attrs& attrs, Type result,
                              const DimEnv& env) {
  Array y = Array::empty(result.dtype(), concrete(result, env));
  bool floating = false;
  for (const Array& a : x) floating |= is_float(a.dtype);
  std::vector<double> doubles(x.size());
  std::vector<i64> ints(x.size());
  for (i64 i = 0; i < y.size(); ++i) {
    for (size_t k = 0; k < x.size(); ++k) {
      if (floating)
        doubles[k] = x[k].get(i);
      else
        ints[k] = x[k].get_int(i);
    }
    if (floating)
      y.set(i, rule.floating(doubles, attrs));
    else
      y.set_int(i, rule.integer(ints, attrs));
  }
  return {y};
}

std::vector<Array> run_node(const Graph& g, const Node& n, std::span<const Array> x, const DimEnv& env) {
  const OpDef& o = *n.op;
  auto results = g.result_types(n);
  if (const auto* scalar = o.ref.as<RefScalar>()) return run_scalar(*scalar, x, n.attrs, results[0], env);
  if (const auto* arrays = o.ref.as<RefArrays>()) return arrays->run(x, n.attrs, results, env);
  if (const auto* rule = o.lower.as<Expand>()) {
    std::vector<Type> types;
    for (u32 v : g.operands(n)) types.push_back(g.type(v));
    GraphPtr body = make_graph(types, [&](Builder& b, ValueSpan v) { return rule->expand(b, v, n.attrs); });
    return ref_run_in(*body, x, env);
  }
  return ref_run_control(o, x, n.attrs, results, env);
}

}  // namespace

void bind_symbols(std::span<const Type> types, std::span<const Array> arrays, DimEnv& env) {
  if (types.size() != arrays.size())
    fail("run", "expected " + std::to_string(types.size()) + " inputs, got " + std::to_string(arrays.size()));
  for (size_t i = 0; i < types.size(); ++i)  // plain symbols first: others are expressions of them
    for (size_t k = 0; k < arrays[i].shape.size() && k < types[i].shape().size(); ++k)
      if (Dim d = types[i].shape()[k]; d.is_symbol() && !env.find(d)) env.set(d, arrays[i].shape[k]);
  for (size_t i = 0; i < types.size(); ++i)
    if (!matches(types[i], arrays[i], env))
      fail("run",
           "expected input " + std::to_string(i) + " to be " + to_string(types[i]) + ", got " + shape_text(arrays[i]));
}

std::vector<Array> ref_run_in(const Graph& g, std::span<const Array> inputs, DimEnv env) {
  bind_symbols(g.input_types(), inputs, env);
  std::vector<Array> values(g.value_count());
  std::vector<u32> uses(g.value_count());
  std::copy(inputs.begin(), inputs.end(), values.begin());
  for (const Node& n : g.nodes())
    for (u32 v : g.operands(n)) ++uses[v];
  for (u32 o : g.outputs()) ++uses[o];
  std::vector<Array> operands;
  for (const Node& n : g.nodes()) {
    if (std::string error = broken_guard(guards_of(g, n), env); !error.empty()) throw Error(error);
    operands.clear();
    for (u32 v : g.operands(n)) operands.push_back(values[v]);
    std::vector<Array> results = run_node(g, n, operands, env);
    if (results.size() != n.result_count)
      internal("[" + std::string(n.op->name) + "] the oracle gave " + std::to_string(results.size()) +
               " results, the type rule " + std::to_string(n.result_count));
    for (u32 i = 0; i < n.result_count; ++i) {
      u32 v = n.first_result + i;
      if (!matches(g.type(v), results[i], env))
        internal("[" + std::string(n.op->name) + "] the oracle gave " + shape_text(results[i]) + ", the type rule " +
                 to_string(g.type(v)));
      if (uses[v]) values[v] = std::move(results[i]);
    }
    for (u32 v : g.operands(n))
      if (--uses[v] == 0) values[v] = Array();
  }
  std::vector<Array> outputs;
  for (u32 o : g.outputs()) outputs.push_back(values[o]);
  return outputs;
}

std::vector<Array> ref_run(const GraphPtr& g, std::span<const Array> inputs) {
  ++run_count;
  if (explaining()) explain("ref", std::to_string(g->nodes().size()) + " nodes run on the reference");
  return ref_run_in(*g, inputs, DimEnv());
}

static const bool kRunsFunctions = [] {
  graph_runners().oracle = [](const GraphPtr& g, std::span<const Array> x) { return ref_run_in(*g, x, DimEnv()); };
  return true;
}();

u64 ref_run_count() { return run_count; }

}  // namespace tn
