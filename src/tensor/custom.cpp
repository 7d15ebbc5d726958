// custom_jvp and custom_vjp: the user's rules as graphs in a node.
#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn::detail {

namespace {

std::vector<Tensor> defined(std::span<const Tensor> tensors) {
  std::vector<Tensor> found;
  for (const Tensor& t : tensors)
    if (t.defined()) found.push_back(t);
  return found;
}

std::vector<Tensor> defined(LeafSpan leaves) {
  std::vector<Tensor> found;
  for (const Tensor* t : leaves)
    if (t->defined()) found.push_back(*t);
  return found;
}

Tensor zeros_of(Type type, const Location& where) {
  return apply1(the<"broadcast">(), {tensor_of(Arg(0.0, where), type.dtype())},
                {{"shape", Shape(type.shape().begin(), type.shape().end())}, {"dims", std::vector<i64>()}}, where);
}

/// A derivative the rule returned for a value of that type; undefined means zero.
Tensor derivative(const TraceState& s, const Tensor& given, Type type) {
  if (!given.defined()) return zeros_of(type, s.where);
  if (given.node()->type != type)
    fail(s.name,
         "expected the rule to return a derivative of type " + to_string(type) + ", got " +
             to_string(given.node()->type),
         s.where);
  return given;
}

void check_count(const TraceState& s, size_t expected, size_t got) {
  if (expected == got) return;
  fail(s.name, "expected the rule to return " + std::to_string(expected) + " tensors, got " + std::to_string(got),
       s.where);
}

void enter_typed(TraceState& s, LeafSpan leaves, bool floating_only) {
  for (Tensor* t : leaves) {
    if (t->defined() && floating_only && !differentiable(t->node()->type)) *t = Tensor();
    s.add(t, t->defined() ? t->node()->type : Type(), Tensor());
  }
}

}  // namespace

// ---------------------------------------------------------------- custom_jvp

void enter_custom_jvp(Trace& rule, LeafSpan primals, LeafSpan tangents) {
  enter_typed(rule.state(), primals, false);
  enter_typed(rule.state(), tangents, true);
}

void apply_custom_jvp(Trace& primal, LeafSpan results, Trace& rule, LeafSpan derivatives) {
  TraceState &p = primal.state(), &r = rule.state();
  std::vector<Tensor> y = defined(results), dy;
  if (derivatives.size() != results.size()) check_count(r, results.size(), derivatives.size());
  for (size_t i = 0; i < results.size(); ++i)
    if (results[i]->defined() && differentiable(results[i]->node()->type))
      dy.push_back(derivative(r, *derivatives[i], results[i]->node()->type));
  GraphPtr tangent = r.cut(dy).graph, value = p.cut(y).graph;
  u32 count = value->input_count();
  GraphPtr both = make_graph(tangent->input_types(), [&](Builder& b, ValueSpan in) {
    Values out = inline_graph(b, *value, in.first(count));
    Values more = inline_graph(b, *tangent, in);
    out.insert(out.end(), more.begin(), more.end());
    return out;
  });
  std::vector<Tensor> made =
      apply(the<"custom_jvp">(), defined(p.originals), {{"primal", value}, {"tangent", both}}, p.where);
  size_t k = 0;
  for (Tensor* t : results)
    if (t->defined()) *t = made[k++];
}

// ---------------------------------------------------------------- custom_vjp

void enter_custom_vjp(Trace&, Trace& rule, LeafSpan residuals, LeafSpan cotangents) {
  enter_typed(rule.state(), residuals, false);
  enter_typed(rule.state(), cotangents, true);
}

void apply_custom_vjp(Trace& forward, LeafSpan results, LeafSpan residuals, Trace& rule, LeafSpan cotangents) {
  TraceState &f = forward.state(), &r = rule.state();
  check_count(r, f.slots.size(), cotangents.size());
  std::vector<Tensor> back;
  for (size_t i = 0; i < f.originals.size(); ++i)
    if (f.originals[i].defined() && differentiable(f.originals[i].node()->type))
      back.push_back(derivative(r, *cotangents[i], f.originals[i].node()->type));
  GraphPtr backward = r.cut(back).graph;
  std::vector<Tensor> y = defined(results), kept = defined(residuals);
  auto count = static_cast<i64>(y.size());
  y.insert(y.end(), kept.begin(), kept.end());
  GraphPtr primal = f.cut(y).graph;
  std::vector<Tensor> made = apply(the<"custom_vjp">(), defined(f.originals),
                                   {{"forward", primal}, {"backward", backward}, {"results", count}}, f.where);
  size_t k = 0;
  for (Tensor* t : results)
    if (t->defined()) *t = made[k++];
}

}  // namespace tn::detail
