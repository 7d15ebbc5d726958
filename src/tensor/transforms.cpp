// The typeless halves of the transforms: the trace is cut into a graph, the graph is transformed, and the result is put
// back as one pending call.
#include "transform/transform.h"

#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn::detail {

namespace {

void append(std::vector<Tensor>& to, std::span<const Tensor> from) { to.insert(to.end(), from.begin(), from.end()); }

/// The defined ones.
std::vector<Tensor> values(LeafSpan leaves) {
  std::vector<Tensor> found;
  for (const Tensor* t : leaves)
    if (t->defined()) found.push_back(*t);
  return found;
}

/// Puts values into the defined leaves, in order; returns how many.
size_t assign(LeafSpan leaves, std::span<const Tensor> with) {
  size_t k = 0;
  for (Tensor* t : leaves)
    if (t->defined()) *t = with[k++];
  return k;
}

/// What a callable gave back: results, then the arguments it rebound.
struct Outcome {
  std::vector<Tensor> values;
  size_t results;               // how many of them are results
  std::vector<size_t> rebound;  // positions of the arguments
};

Outcome outcome(TraceState& s, LeafSpan results) {
  Outcome o{values(results), 0, s.rebound()};
  o.results = o.values.size();
  for (size_t i : o.rebound)
    if (s.slots[i]->defined()) o.values.push_back(*s.slots[i]);
  return o;
}

/// Rebinds the caller's variables to what follows the results.
void write_back(const TraceState& s, const Outcome& o, LeafSpan originals, std::span<const Tensor> given) {
  size_t k = o.results;
  for (size_t i : o.rebound) *originals[i] = s.slots[i]->defined() ? given[k++] : Tensor();
}

void refuse_rebinding(const TraceState& s) {
  if (s.rebound().empty()) return;
  fail(s.name, "expected arguments that stay as they are, got one that the callable rebinds; return it instead",
       s.where);
}

/// The arguments as they came in.
std::vector<Tensor> arguments(const TraceState& s) {
  std::vector<Tensor> found;
  for (const Tensor& t : s.originals)
    if (t.defined()) found.push_back(t);
  return found;
}

Tensor zeros_of(Type type, const Location& where) {
  Tensor zero = tensor_of(Arg(0.0, where), type.dtype());
  return apply1(the<"broadcast">(), {zero},
                {{"shape", Shape(type.shape().begin(), type.shape().end())}, {"dims", std::vector<i64>()}}, where);
}

void check_direction(const char* name, std::string_view what, const Tensor& t, Type expected, const Location& where) {
  if (t.node()->type == expected) return;
  fail(name, "expected " + std::string(what) + " of type " + to_string(expected) + ", got " + to_string(t.node()->type),
       where);
}

Mask all_false(const GraphPtr& g) { return Mask(g->input_count(), false); }

}  // namespace

// ---------------------------------------------------------------- reverse mode

static void check_scalar(const TraceState& s, LeafSpan results) {
  if (results.empty() || !results[0]->defined())
    fail("grad", "expected a function that returns a floating scalar first, got none", s.where);
  Type t = results[0]->node()->type;
  if (t.rank() || !is_float(t.dtype()))
    fail("grad",
         "expected a function that returns a floating scalar, got " + to_string(t) +
             "; reduce it, for example by sum or mean",
         s.where);
}

void finish_grad(Trace& trace, LeafSpan results, LeafSpan gradients, LeafSpan originals) {
  TraceState& s = trace.state();
  check_scalar(s, results);
  Outcome o = outcome(s, results);
  Cut cut = s.cut(o.values);
  Mask wrt = all_false(cut.graph), of(cut.graph->outputs().size(), false);
  of[0] = true;
  size_t input = 0;
  for (Tensor* g : gradients)
    if (g->defined()) wrt[input] = differentiable(cut.graph->type(static_cast<u32>(input))), ++input;
  std::vector<Tensor> in = arguments(s);
  append(in, cut.captures);
  in.push_back(tensor_of(Arg(1.0, s.where), o.values[0].dtype()));
  std::vector<Tensor> out = call_graph(vjp_graph(cut.graph, wrt, of), in, s.where);
  assign(results, out);
  write_back(s, o, originals, out);
  size_t next = o.values.size();
  input = 0;
  for (Tensor* g : gradients)
    if (g->defined()) *g = wrt[input++] ? out[next++] : Tensor();
}

// ---------------------------------------------------------------- forward mode

void finish_jvp(Trace& trace, LeafSpan tangents, LeafSpan results, LeafSpan result_tangents, LeafSpan originals) {
  TraceState& s = trace.state();
  Outcome o = outcome(s, results);
  Cut cut = s.cut(o.values);
  if (tangents.size() != s.slots.size())
    fail("jvp",
         "expected tangents of the arguments' structure, got " + std::to_string(tangents.size()) + " tensors for " +
             std::to_string(s.slots.size()),
         s.where);
  Mask mask = all_false(cut.graph);
  std::vector<Tensor> in = arguments(s), directions;
  append(in, cut.captures);
  u32 input = 0;
  for (size_t i = 0; i < tangents.size(); ++i) {
    if (!s.originals[i].defined()) continue;
    Type type = cut.graph->type(input);
    if (differentiable(type) && tangents[i]->defined()) {
      check_direction("jvp", "a tangent", *tangents[i], type, s.where);
      mask[input] = true;
      directions.push_back(*tangents[i]);
    }
    ++input;
  }
  append(in, directions);
  Transformed j = jvp_graph(cut.graph, mask);
  std::vector<Tensor> out = call_graph(j.graph, in, s.where);
  assign(results, out);
  write_back(s, o, originals, out);
  size_t next = o.values.size(), k = 0;
  for (Tensor* t : result_tangents) {
    if (!t->defined()) continue;
    Type type = o.values[k].node()->type;
    if (j.mask[k])
      *t = out[next++];
    else
      *t = differentiable(type) ? zeros_of(type, s.where) : Tensor();
    ++k;
  }
}

static std::vector<Type> leaf_types(LeafSpan leaves) {
  std::vector<Type> types;
  for (const Tensor* t : leaves) types.push_back(t->defined() ? t->node()->type : Type());
  return types;
}

LinearMap finish_linear(Trace& trace, bool reverse, LeafSpan results, LeafSpan originals) {
  TraceState& s = trace.state();
  Outcome o = outcome(s, results);
  Cut cut = s.cut(o.values);
  Mask wrt = all_false(cut.graph), of(cut.graph->outputs().size(), false);
  std::vector<Type> arguments_types, result_types = leaf_types(results);
  u32 input = 0;
  for (const Tensor& t : s.originals) {
    Type type = t.defined() ? cut.graph->type(input) : Type();
    bool live = type && differentiable(type);
    if (type) wrt[input++] = live;
    arguments_types.push_back(live ? type : Type());
  }
  for (size_t k = 0; k < o.results; ++k) of[k] = differentiable(o.values[k].node()->type);
  Split split = linearize_graph(cut.graph, wrt, of);
  std::vector<Tensor> in = arguments(s);
  append(in, cut.captures);
  std::vector<Tensor> out = call_graph(split.known, in, s.where);
  assign(results, out);
  write_back(s, o, originals, out);
  LinearMap map;
  map.where = s.where;
  map.name = s.name;
  map.residuals.assign(out.begin() + static_cast<std::ptrdiff_t>(o.values.size()), out.end());
  size_t k = 0;
  std::vector<bool> live_results;
  for (Type& t : result_types) {
    bool live = t && split.unknown[k];
    if (t) ++k;
    live_results.push_back(live);
    if (!t || !differentiable(t)) t = Type();
  }
  if (!reverse) {
    map.graph = split.linear;
    map.in = arguments_types;
    map.out = result_types;
    map.live = live_results;
    return map;
  }
  Mask linear(split.linear->input_count(), false);
  for (size_t i = split.residuals; i < linear.size(); ++i) linear[i] = true;
  Transformed back = transpose_graph(split.linear, linear);
  map.graph = back.graph;
  for (size_t i = 0; i < result_types.size(); ++i) map.in.push_back(live_results[i] ? result_types[i] : Type());
  map.out = arguments_types;
  size_t next = 0;
  for (Type t : arguments_types) map.live.push_back(t && back.mask[next++]);
  return map;
}

void LinearMap::operator()(LeafSpan in_leaves, LeafSpan out_leaves) const {
  if (in_leaves.size() != in.size() || out_leaves.size() != out.size())
    fail(name,
         "expected a tree of the structure it was made for, got " + std::to_string(in_leaves.size()) + " tensors for " +
             std::to_string(in.size()),
         where);
  std::vector<Tensor> operands = residuals;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i]) continue;
    if (in_leaves[i]->defined()) check_direction(name, "a direction", *in_leaves[i], in[i], where);
    operands.push_back(in_leaves[i]->defined() ? *in_leaves[i] : zeros_of(in[i], where));
  }
  std::vector<Tensor> results = call_graph(graph, operands, where);
  size_t next = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    if (!out[i])
      *out_leaves[i] = Tensor();
    else
      *out_leaves[i] = live[i] ? results[next++] : zeros_of(out[i], where);
  }
}

// ---------------------------------------------------------------- mapping

static Tensor move_axis(const Tensor& x, i64 from, i64 to, const Location& where) {
  std::vector<i64> axes;
  for (i64 i = 0; i < x.rank(); ++i)
    if (i != from) axes.push_back(i);
  axes.insert(axes.begin() + to, from);
  return from == to ? x : apply1(the<"permute">(), {x}, {{"axes", axes}}, where);
}

Dim Trace::enter_mapped(LeafSpan leaves, std::span<const Axes> axes) {
  TraceState& s = *state_;
  bool any = false;
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (!leaves[i]->defined()) {
      s.add(leaves[i], Type(), Tensor());
      continue;
    }
    Tensor x = *leaves[i];
    Type type = x.node()->type;
    bool mapped = !axes[i].all;
    if (mapped) {
      i64 axis = axes[i].list.empty() ? 0 : axes[i].list[0];
      if (axis < 0) axis += type.rank();
      if (axis < 0 || axis >= type.rank())
        fail("vmap",
             "expected an axis to map of " + to_string(type) + ", got axis " +
                 std::to_string(axes[i].list.empty() ? 0 : axes[i].list[0]) +
                 "; give in_axes, none for what is not mapped",
             s.where);
      Dim extent = type.dim(static_cast<int>(axis));
      if (any && extent != s.extent)
        fail("vmap",
             "expected mapped axes of one extent, got " + to_string(s.extent) + " and " + to_string(extent) + " (of " +
                 to_string(type) + ")",
             s.where);
      s.extent = extent;
      any = true;
      x = move_axis(x, axis, 0, s.where);
      type = x.node()->type.with(x.shape().subspan(1));
    }
    s.mapped.push_back(x);
    s.batched.push_back(mapped);
    s.add(leaves[i], type, Tensor());
  }
  if (!any) fail("vmap", "expected at least one mapped tensor among the arguments, got none", s.where);
  return s.extent;
}

void finish_vmap(Trace& trace, LeafSpan results, i64 out_axis) {
  TraceState& s = trace.state();
  refuse_rebinding(s);
  std::vector<Tensor> out = values(results);
  Cut cut = s.cut(out);
  Mask batched = all_false(cut.graph);
  std::copy(s.batched.begin(), s.batched.end(), batched.begin());
  std::vector<Tensor> in = s.mapped;
  append(in, cut.captures);
  out = call_graph(vmap_graph_all(cut.graph, batched, s.extent), in, s.where);
  for (Tensor& t : out) {
    i64 to = out_axis < 0 ? out_axis + t.rank() : out_axis;
    if (to < 0 || to >= t.rank())
      fail("vmap",
           "expected out_axes within the result " + to_string(t.node()->type) + ", got " + std::to_string(out_axis),
           s.where);
    t = move_axis(t, 0, to, s.where);
  }
  assign(results, out);
}

// ---------------------------------------------------------------- calls

void finish_call(Trace& trace, bool recompute, LeafSpan results, LeafSpan originals) {
  TraceState& s = trace.state();
  Outcome o = outcome(s, results);
  Cut cut = s.cut(o.values);
  std::vector<Tensor> in = arguments(s);
  append(in, cut.captures);
  std::vector<Tensor> out = call_graph(cut.graph, in, s.where, recompute);
  assign(results, out);
  write_back(s, o, originals, out);
}

// ---------------------------------------------------------------- jacobians

Tensor basis(const Tensor& x, Location where) {
  Type type = node_of(x, "jacobian", where)->type;
  if (!is_float(type.dtype()))
    fail("jacobian", "expected a floating tensor to differentiate by, got " + to_string(type), where);
  Dim n = type.size();
  Shape square{n, n}, shape{n};
  shape.insert(shape.end(), type.shape().begin(), type.shape().end());
  auto ramp = [&](i64 axis) {
    return apply1(the<"iota">(), std::span<const Tensor>(), {{"shape", square}, {"axis", axis}, {"dtype", DType::i64}},
                  where);
  };
  Tensor rows = ramp(0), columns = ramp(1);
  Arg a(rows, where), b(columns, where);
  Tensor one = apply1(the<"cast">(), {elementwise(the<"equal">(), {&a, &b})}, {{"dtype", type.dtype()}}, where);
  return apply1(the<"reshape">(), {one}, {{"shape", shape}}, where);
}

Tensor unflatten(const Tensor& x, const Tensor& of, bool first, Location where) {
  auto have = x.shape(), add = of.shape();
  Shape shape;
  if (first) {
    shape.assign(add.begin(), add.end());
    shape.insert(shape.end(), have.begin() + 1, have.end());
  } else {
    shape.assign(have.begin(), have.end() - 1);
    shape.insert(shape.end(), add.begin(), add.end());
  }
  return apply1(the<"reshape">(), {x}, {{"shape", shape}}, where);
}

}  // namespace tn::detail
