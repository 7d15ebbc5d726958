// Branches and loops: bodies are traced into closed graphs; what they use from outside becomes further operands, the
// same at every step.
#include "tenon/control.h"

#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn::detail {

namespace {

std::vector<Tensor> defined(LeafSpan leaves) {
  std::vector<Tensor> found;
  for (const Tensor* t : leaves)
    if (t->defined()) found.push_back(*t);
  return found;
}

void assign(LeafSpan leaves, std::span<const Tensor> with) {
  size_t k = 0;
  for (Tensor* t : leaves)
    if (t->defined()) *t = with[k++];
}

void append(std::vector<Tensor>& to, std::span<const Tensor> from) { to.insert(to.end(), from.begin(), from.end()); }

/// The body on operands in another order: `leaves` says where each leaf stands, `captures` where the first capture
/// does.
GraphPtr reorder(const GraphPtr& g, std::span<const Type> inputs, size_t first_leaf, size_t leaves,
                 size_t first_capture) {
  return make_graph(inputs, [&](Builder& b, ValueSpan in) {
    Values own(in.begin() + static_cast<std::ptrdiff_t>(first_leaf),
               in.begin() + static_cast<std::ptrdiff_t>(first_leaf + leaves));
    for (size_t i = 0; own.size() < g->input_count(); ++i) own.push_back(in[first_capture + i]);
    return inline_graph(b, *g, own);
  });
}

std::vector<Type> types_of(std::span<const Tensor> tensors) {
  std::vector<Type> types;
  for (const Tensor& t : tensors) types.push_back(t.node()->type);
  return types;
}

void check_same_types(const char* name, std::string_view what, LeafSpan a, LeafSpan b, const Location& where) {
  if (a.size() != b.size())
    fail(name,
         "expected " + std::string(what) + " of one structure, got " + std::to_string(a.size()) + " and " +
             std::to_string(b.size()) + " tensors",
         where);
  for (size_t i = 0; i < a.size(); ++i) {
    Type x = a[i]->defined() ? a[i]->node()->type : Type(), y = b[i]->defined() ? b[i]->node()->type : Type();
    if (x != y)
      fail(name,
           "expected " + std::string(what) + " of equal types, got " + to_string(x) + " and " + to_string(y) +
               " (tensor " + std::to_string(i) + "); use cast or broadcast_to",
           where);
  }
}

}  // namespace

Body close_body(Trace& trace, LeafSpan results) {
  TraceState& s = trace.state();
  if (!s.rebound().empty())
    fail(s.name,
         "expected a body that leaves its arguments alone, got one that rebinds them; put what changes into "
         "the carry or the result",
         s.where);
  Cut cut = s.cut(defined(results));
  return {std::move(cut.graph), std::move(cut.captures)};
}

void apply_cond(Arg predicate, Body then, Body otherwise, LeafSpan arguments, LeafSpan results, LeafSpan others) {
  const Location& where = predicate.where;
  Tensor p = tensor_of(predicate);
  Type type = node_of(p, "cond", where)->type;
  if (type.dtype() != DType::boolean || type.rank())
    fail("cond", "expected a 0-d bool predicate, got " + to_string(type) + "; reduce it by all or any", where);
  check_same_types("cond", "results of both branches", results, others, where);
  std::vector<Tensor> in = defined(arguments);
  size_t count = in.size();
  append(in, then.captures);
  append(in, otherwise.captures);
  std::vector<Type> types = types_of(in);
  GraphPtr a = reorder(then.graph, types, 0, count, count);
  GraphPtr b = reorder(otherwise.graph, types, 0, count, count + then.captures.size());
  in.insert(in.begin(), p);
  assign(results, apply(the<"cond">(), in, {{"then", a}, {"else", b}}, where));
}

Dim enter_scan(Trace& trace, LeafSpan carry, LeafSpan xs) {
  TraceState& s = trace.state();
  trace.enter(carry);
  Dim length = 0;
  bool any = false;
  for (Tensor* t : xs) {
    if (!t->defined()) {
      s.add(t, Type(), Tensor());
      continue;
    }
    Type type = t->node()->type;
    if (!type.rank()) fail("scan", "expected xs with a leading axis to walk, got " + to_string(type), s.where);
    if (any && type.dim(0) != length)
      fail("scan",
           "expected xs of one length, got " + to_string(length) + " and " + to_string(type.dim(0)) + " (of " +
               to_string(type) + ")",
           s.where);
    length = type.dim(0);
    any = true;
    s.add(t, type.with(type.shape().subspan(1)), Tensor());
  }
  if (!any) fail("scan", "expected at least one tensor in xs, got none; use fori_loop", s.where);
  return length;
}

void apply_scan(Body body, LeafSpan init, LeafSpan xs, LeafSpan carry, LeafSpan ys, Dim length, bool reverse,
                Location where) {
  check_same_types("scan", "a carry in and out", init, carry, where);
  std::vector<Tensor> first = defined(init), entries = defined(xs), in = body.captures;
  append(in, first);
  append(in, entries);
  std::vector<Type> types = types_of(in);
  for (size_t i = in.size() - entries.size(); i < in.size(); ++i) types[i] = types[i].with(types[i].shape().subspan(1));
  size_t consts = body.captures.size();
  GraphPtr graph = reorder(body.graph, types, consts, first.size() + entries.size(), 0);
  std::vector<Tensor> out = apply(the<"scan">(), in,
                                  {{"body", graph},
                                   {"consts", static_cast<i64>(consts)},
                                   {"carry", static_cast<i64>(first.size())},
                                   {"length", Shape{length}},
                                   {"reverse", reverse}},
                                  where);
  assign(carry, std::span(out).first(first.size()));
  assign(ys, std::span(out).subspan(first.size()));
}

void apply_while(Body condition, Body body, LeafSpan init, LeafSpan results, i64 bound, Location where) {
  std::vector<Tensor> in = condition.captures, carry = defined(init);
  append(in, body.captures);
  size_t consts = in.size();
  append(in, carry);
  std::vector<Type> types = types_of(in);
  GraphPtr test = reorder(condition.graph, types, consts, carry.size(), 0);
  GraphPtr step = reorder(body.graph, types, consts, carry.size(), condition.captures.size());
  std::vector<Type> out = step->output_types();
  for (size_t i = 0; i < carry.size() && i < out.size(); ++i)
    if (out[i] != carry[i].node()->type)
      fail("while",
           "expected a carry in and out of equal types, got " + to_string(carry[i].node()->type) + " and " +
               to_string(out[i]) + " (tensor " + std::to_string(i) + "); use cast or broadcast_to",
           where);
  assign(results,
         apply(the<"while">(), in,
               {{"cond", test}, {"body", step}, {"consts", static_cast<i64>(consts)}, {"bound", bound}}, where));
}

Tensor counter(i64 lower, i64 upper, Location where) {
  i64 n = upper > lower ? upper - lower : 0;
  Tensor ramp = apply1(the<"iota">(), std::span<const Tensor>(),
                       {{"shape", Shape{n}}, {"axis", i64{0}}, {"dtype", DType::i64}}, where);
  Arg a(ramp, where), b(lower, where);
  return elementwise(the<"add">(), {&a, &b});
}

}  // namespace tn::detail
