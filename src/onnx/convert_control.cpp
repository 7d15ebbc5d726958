// If, Loop and Scan. Their bodies see the surrounding graph; what they use of it becomes operands of our ops.
#include <algorithm>
#include <unordered_set>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

const GraphDef& body_of(Call& c, const char* name) {
  const Attribute* a = c.attribute(name);
  if (!a || a->graphs.empty()) c.refuse("a graph in attribute '" + std::string(name) + "'", "none");
  return *a->graphs[0];
}

std::vector<Type> types_of(ValueSpan x) {
  std::vector<Type> r;
  for (Value v : x) r.push_back(v.type());
  return r;
}

Values outer_values(Call& c, const Strings& names) {
  Values r;
  for (const std::string& n : names) r.push_back(c.state().bodies.outer(n));
  return r;
}

void append(Values& to, ValueSpan more) { to.insert(to.end(), more.begin(), more.end()); }

std::optional<bool> known_bool(Call& c, Value v) {
  auto a = c.known(v);
  if (!a || a->size() != 1) return std::nullopt;
  return a->get_int(0) != 0;
}

Values if_(Call& c) {
  BodyImporter& bodies = c.state().bodies;
  const GraphDef &yes = body_of(c, "then_branch"), &no = body_of(c, "else_branch");
  if (auto fixed = known_bool(c, c.in(0))) {  // one branch, in place
    const GraphDef& taken = *fixed ? yes : no;
    Strings names = bodies.captured(taken);
    return inline_graph(c.builder(), *bodies.import_body(taken, names, {}), outer_values(c, names));
  }
  Strings names = bodies.captured(yes);
  std::unordered_set<std::string> met(names.begin(), names.end());
  for (const std::string& n : bodies.captured(no))
    if (met.insert(n).second) names.push_back(n);
  GraphPtr then = bodies.import_body(yes, names, {}), otherwise = bodies.import_body(no, names, {});
  if (then->output_types() != otherwise->output_types())
    c.refuse("branches that give the same types", "different ones", "pad or cast one branch's results");
  Values x{reshape(c.in(0), {})};
  append(x, outer_values(c, names));
  return c.emit_all("cond", x, {{"then", then}, {"else", otherwise}});
}

/// Whether a loop body's condition is what came in (output 0 is input 1, through Identity nodes) or constant true.
bool keeps_condition(const GraphDef& body) {
  if (body.outputs.empty() || body.inputs.size() < 2) return false;
  std::string name = body.outputs[0].name;
  for (size_t i = body.nodes.size(); i-- > 0;) {
    const NodeDef& n = body.nodes[i];
    if (n.outputs.empty() || n.outputs[0] != name) continue;
    if (n.op_type == "Constant" && n.attributes.size() == 1 && n.attributes[0].kind == Attribute::Kind::tensor) {
      if (n.attributes[0].tensors.empty()) return false;
      const auto& raw = n.attributes[0].tensors[0].raw;
      return raw.size() == 1 && raw[0];
    }
    if (n.op_type != "Identity" || n.inputs.size() != 1) return false;
    name = n.inputs[0];
  }
  return name == body.inputs[1].name;
}

Value iteration_numbers(Call& c, Dim count) {
  return c.emit("iota", {}, {{"shape", Shape{count}}, {"axis", i64{0}}, {"dtype", DType::i64}});
}

/// A count known at import and a condition that never changes: a scan over the iteration numbers.
Values counted_loop(Call& c, const GraphDef& body, Dim count, ValueSpan carried) {
  if (body.outputs.size() < carried.size() + 1)
    c.refuse("a body of at least " + std::to_string(carried.size() + 1) + " outputs",
             std::to_string(body.outputs.size()));
  Strings names = c.state().bodies.captured(body);
  Values consts = outer_values(c, names), operands = consts;
  std::vector<Type> types{Type::tensor(DType::i64, {}), Type::tensor(DType::boolean, {})};
  for (Value v : carried) types.push_back(v.type());
  GraphPtr g = c.state().bodies.import_body(body, names, types);
  // (captured, carried, i) -> (carried, scan outputs): our scan's order.
  std::vector<Type> in = types_of(consts);
  in.insert(in.end(), types.begin() + 2, types.end());
  in.push_back(types[0]);
  GraphPtr step = make_graph(in, [&](Builder& b, ValueSpan x) {
    Values args(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(consts.size()));
    Array yes = Array::empty(DType::boolean, {});
    yes.set_int(0, 1);
    args.push_back(x.back());
    args.push_back(b.emit1(op("constant"), {}, {{"value", yes}}));
    append(args, x.subspan(consts.size(), carried.size()));
    Values r = inline_graph(b, *g, args);
    r.erase(r.begin());
    return r;
  });
  append(operands, carried);
  operands.push_back(iteration_numbers(c, count));
  return c.emit_all("scan", operands,
                    {{"body", step},
                     {"consts", static_cast<i64>(consts.size())},
                     {"carry", static_cast<i64>(carried.size())},
                     {"length", Shape{count}}});
}

constexpr i64 kMostBound = 1 << 20;  // of a while that keeps what its steps need for a gradient

/// Without scan outputs: a while over (i, condition, carried). A trip count that is known, and no mere "for ever", is
/// its bound.
Values open_loop(Call& c, const GraphDef& body, std::optional<Dim> count, ValueSpan carried) {
  if (body.outputs.size() != carried.size() + 1)
    c.refuse("a trip count known at import where the loop stacks results", "one that depends on data",
             "make the count an initializer");
  Strings names = c.state().bodies.captured(body);
  Values consts = outer_values(c, names);
  std::vector<Type> types{Type::tensor(DType::i64, {}), Type::tensor(DType::boolean, {})};
  for (Value v : carried) types.push_back(v.type());
  GraphPtr g = c.state().bodies.import_body(body, names, types);
  bool counted = c.has(0);
  if (counted) consts.push_back(reshape(cast(c.in(0), DType::i64), {}));
  std::vector<Type> in = types_of(consts);
  in.insert(in.end(), types.begin(), types.end());
  size_t n = consts.size();
  GraphPtr condition = make_graph(in, [&](Builder& b, ValueSpan x) {
    Value go = x[n + 1];
    if (counted) go = b.emit1(op("logical_and"), {go, b.emit1(op("less"), {x[n], x[n - 1]})});
    return Values{go};
  });
  GraphPtr step = make_graph(in, [&](Builder& b, ValueSpan x) {
    Values args(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(counted ? n - 1 : n));
    append(args, x.subspan(n));
    Array one = Array::empty(DType::i64, {});
    one.set_int(0, 1);
    Values r{b.emit1(op("add"), {x[n], b.emit1(op("constant"), {}, {{"value", one}})})};
    append(r, inline_graph(b, *g, args));
    return r;
  });
  Values operands = consts;
  operands.push_back(c.scalar(0, DType::i64));
  operands.push_back(c.has(1) ? reshape(c.in(1), {}) : c.scalar(1, DType::boolean));
  append(operands, carried);
  i64 bound = count && count->is_constant() && count->value() <= kMostBound ? count->value() : -1;
  Values r = c.emit_all("while", operands,
                        {{"cond", condition}, {"body", step}, {"consts", static_cast<i64>(n)}, {"bound", bound}});
  return Values(r.begin() + 2, r.end());
}

Values loop(Call& c) {
  const GraphDef& body = body_of(c, "body");
  Values carried;
  for (size_t i = 2; i < c.count(); ++i) carried.push_back(c.in(i));
  auto count = c.has(0) ? c.find_dims(c.in(0)) : std::nullopt;
  bool starts = !c.has(1) || known_bool(c, c.in(1)).value_or(false);
  bool known = count && count->size() == 1;
  if (known) (*count)[0] = max((*count)[0], 0);  // below 0: no step
  if (known && starts && keeps_condition(body)) return counted_loop(c, body, (*count)[0], carried);
  return open_loop(c, body, known ? std::optional((*count)[0]) : std::nullopt, carried);
}

Values scan(Call& c) {
  const GraphDef& body = body_of(c, "body");
  auto n = static_cast<size_t>(c.size("num_scan_inputs", 0, 1, static_cast<i64>(c.count())));
  size_t states = c.count() - n;
  if (body.inputs.size() != c.count() || body.outputs.size() < states)
    c.refuse("a body of " + std::to_string(c.count()) + " inputs and at least " + std::to_string(states) + " outputs",
             std::to_string(body.inputs.size()) + " and " + std::to_string(body.outputs.size()));
  auto lists = [&](const char* name, size_t size) { return c.sizes(name, size, 0, -64); };
  size_t stacked = body.outputs.size() - states;
  auto in_axes = lists("scan_input_axes", n), backwards = lists("scan_input_directions", n);
  auto out_axes = lists("scan_output_axes", stacked), out_backwards = lists("scan_output_directions", stacked);
  Strings names = c.state().bodies.captured(body);
  Values operands = outer_values(c, names);
  size_t consts = operands.size();
  std::vector<Type> types;
  auto move_axis = [&](Value v, i64 from, i64 to) {
    std::vector<i64> order;
    for (i64 i = 0; i < v.rank(); ++i)
      if (i != from) order.push_back(i);
    order.insert(order.begin() + to, from);
    return permute(v, order);
  };
  for (size_t i = 0; i < c.count(); ++i) {
    Value v = c.in(i);
    if (i >= states) {
      v = move_axis(v, c.axis(in_axes[i - states], v.rank()), 0);
      if (backwards[i - states]) v = c.emit("flip", {v}, {{"axes", std::vector<i64>{0}}});
      types.push_back(v.type().with(v.shape().subspan(1)));
    } else
      types.push_back(v.type());
    operands.push_back(v);
  }
  GraphPtr step = c.state().bodies.import_body(body, names, types);
  Values r = c.emit_all("scan", operands,
                        {{"body", step},
                         {"consts", static_cast<i64>(consts)},
                         {"carry", static_cast<i64>(states)},
                         {"length", Shape{operands.back().shape()[0]}}});
  for (size_t i = states; i < r.size(); ++i) {
    if (out_backwards[i - states]) r[i] = c.emit("flip", {r[i]}, {{"axes", std::vector<i64>{0}}});
    i64 to = c.axis(out_axes[i - states], r[i].rank());
    std::vector<i64> order;
    for (i64 k = 1; k < r[i].rank(); ++k) order.push_back(k);
    order.insert(order.begin() + to, 0);
    r[i] = permute(r[i], order);
  }
  return r;
}

constexpr ConverterEntry kEntries[] = {
    {"If", 1, if_},
    {"Loop", 1, loop},
    {"Scan", 9, scan},
};

}  // namespace

std::span<const ConverterEntry> control_converters() { return kEntries; }

}  // namespace tn::onnx
