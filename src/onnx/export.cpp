#include "onnx/export.h"

#include <functional>
#include <unordered_set>

#include "onnx/import.h"
#include "onnx/tensors.h"
#include "onnx/writer.h"
#include "op/emit.h"
#include "transform/lanes.h"

namespace tn::onnx {

namespace {

ValueInfo info_of(const std::string& name, Type t) {
  ValueInfo v;
  v.name = name;
  v.type.kind = TypeInfo::Kind::tensor;
  v.type.element = element_of(t.dtype());
  v.type.has_shape = true;
  for (Dim d : t.shape()) {
    TypeInfo::Extent e;
    e.kind = d.is_constant() ? TypeInfo::Extent::Kind::value : TypeInfo::Extent::Kind::name;
    if (d.is_constant())
      e.value = d.value();
    else
      e.name = to_string(d);
    v.type.shape.push_back(std::move(e));
  }
  return v;
}

/// An attribute of an op of our own domain, as the importer reads it back.
struct OwnAttribute {
  std::string_view name;
  std::string_view op;
  Attribute operator()(bool v) const { return Writer::attr(name, static_cast<i64>(v)); }
  Attribute operator()(i64 v) const { return Writer::attr(name, v); }
  Attribute operator()(double v) const { return Writer::attr(name, v); }
  Attribute operator()(const std::string& v) const { return Writer::attr(name, v); }
  Attribute operator()(DType v) const { return Writer::attr(name, std::string(tn::name(v))); }
  Attribute operator()(const std::vector<i64>& v) const { return Writer::attr(name, v); }
  Attribute operator()(const std::vector<double>& v) const {
    Attribute a;
    a.name = name;
    a.kind = Attribute::Kind::floats;
    a.floats.assign(v.begin(), v.end());
    return a;
  }
  Attribute operator()(const Shape& v) const {
    std::vector<i64> numbers;
    for (Dim d : v) {
      if (!d.is_constant())
        fail("export", "expected numbers in attribute '" + std::string(name) + "' of " + std::string(op) +
                           ", got size " + to_string(d));
      numbers.push_back(d.value());
    }
    return Writer::attr(name, numbers);
  }
  Attribute operator()(const Array& v) const {
    Attribute a;
    a.name = name;
    a.kind = Attribute::Kind::tensor;
    a.tensors.push_back(tensor_of(v, ""));
    return a;
  }
  Attribute operator()(const GraphPtr&) const {
    fail("export", "expected an op that ONNX has, got " + std::string(op) + " with a sub-graph");
  }
};

class Exporter {
 public:
  explicit Exporter(GraphDef& out) : writer_(out) {}

  void run(const NamedGraph& net) {
    const Graph& g = *net.graph;
    Strings in;
    for (const auto* list : {&net.inputs, &net.outputs})
      for (const std::string& name : *list) writer_.reserve(name);
    for (u32 i = 0; i < g.input_count(); ++i) {
      const std::string& name = net.inputs[i];
      writer_.graph().inputs.push_back(info_of(name, g.type(i)));
      in.push_back(name);
      for (int a = 0; a < g.type(i).rank(); ++a)
        if (g.type(i).dim(a).is_symbol()) writer_.bind(g.type(i).dim(a), name, a);
    }
    Strings out = graph(g, in);
    for (size_t i = 0; i < out.size(); ++i) output(out[i], net.outputs[i], g.type(g.outputs()[i]));
  }

 private:
  /// An Identity gives an output its name, whatever value it is.
  void output(const std::string& value, const std::string& name, Type t) {
    NodeDef n;
    n.op_type = "Identity";
    n.inputs = {value};
    n.outputs = {name};
    writer_.graph().nodes.push_back(std::move(n));
    writer_.graph().outputs.push_back(info_of(name, t));
  }

  Strings graph(const Graph& g, const Strings& inputs) {
    Strings names(g.value_count());
    std::copy(inputs.begin(), inputs.end(), names.begin());
    for (const Node& n : g.nodes()) {
      Strings in;
      for (u32 v : g.operands(n)) in.push_back(names[v]);
      Strings out = node(g, n, in);
      for (u32 i = 0; i < n.result_count; ++i) names[n.first_result + i] = out[i];
    }
    Strings out;
    for (u32 o : g.outputs()) out.push_back(names[o]);
    return out;
  }

  Strings node(const Graph& g, const Node& n, const Strings& in) {
    if (const ExportRule* rule = find_export_rule(n.op->name)) {
      for (u32 v : g.operands(n))
        if (!(rule->dtypes >> static_cast<int>(g.type(v).dtype()) & 1)) return widened(g, n, *rule, in);
      return rule->write(writer_, {g, n, in});
    }
    if (find_op(std::string(n.op->name) + "_kernel")) return own(n, in);  // a plugin's op keeps its name
    if (const Attr* body = n.attrs.find("body"); body && n.op->name == std::string_view("call"))
      return graph(*std::get<GraphPtr>(*body), in);
    if (const auto* control = n.op->lower.as<Structured>()) switch (control->kind) {
        case Structured::Kind::cond: return choice(n, in);
        case Structured::Kind::loop: return loop(n, in);
        case Structured::Kind::scan: return scan(n, in);
        default: break;
      }
    if (const auto* expand = n.op->lower.as<Expand>()) {
      std::vector<Type> types;
      for (u32 v : g.operands(n)) types.push_back(g.type(v));
      return graph(*make_graph(types, [&](Builder& b, ValueSpan x) { return expand->expand(b, x, n.attrs); }), in);
    }
    return own(n, in);
  }

  // -------------------------------------------------------------- control: bodies read what is around them

  using Results = std::vector<std::pair<std::string, Type>>;

  /// The body of an operator: its own inputs, and what `make` computes from them and from what is outside.
  Attribute body(const char* name, const Results& inputs, const std::function<Results()>& make) {
    Attribute a;
    a.name = name;
    a.kind = Attribute::Kind::graph;
    a.graphs.push_back(std::make_shared<GraphDef>());
    GraphDef& def = *a.graphs[0];
    def.name = name;
    for (const auto& [input, type] : inputs) def.inputs.push_back(info_of(input, type));
    writer_.inside(def, [&] {
      for (const auto& [value, type] : make()) output(value, writer_.fresh(), type);
    });
    return a;
  }

  /// The results of a graph on these values.
  Results results(const Graph& g, const Strings& in) {
    Results r;
    Strings names = graph(g, in);
    for (size_t i = 0; i < names.size(); ++i) r.emplace_back(names[i], g.type(g.outputs()[i]));
    return r;
  }

  Results fresh_inputs(std::span<const Type> types) {
    Results r;
    for (Type t : types) r.emplace_back(writer_.fresh(), t);
    return r;
  }

  static void append_names(Strings& to, const Results& values) {
    for (const auto& [name, type] : values) to.push_back(name);
  }

  Strings choice(const Node& n, const Strings& in) {
    std::vector<Attribute> branches;
    for (auto [ours, theirs] : {std::pair("then", "then_branch"), std::pair("else", "else_branch")})
      branches.push_back(body(theirs, {}, [&, name = ours] {
        return results(*n.attrs.get<GraphPtr>(name), Strings(in.begin() + 1, in.end()));
      }));
    return writer_.nodes("If", {in[0]}, n.result_count, std::move(branches));
  }

  /// The condition is computed before the loop, and at the end of each step for the next one. A bound is the trip
  /// count: past it ONNX's loop stops, where ours is an error.
  Strings loop(const Node& n, const Strings& in) {
    const Graph &test = *n.attrs.get<GraphPtr>("cond"), &step = *n.attrs.get<GraphPtr>("body");
    auto consts = in.begin() + n.attrs.get<i64>("consts");
    i64 bound = n.attrs.get<i64>("bound", -1);
    Strings start{bound < 0 ? "" : writer_.scalar(static_cast<double>(bound), DType::i64), graph(test, in)[0]};
    start.insert(start.end(), consts, in.end());
    Results inputs = fresh_inputs(std::vector{Type::tensor(DType::i64, {}), Type::tensor(DType::boolean, {})});
    Results carried = fresh_inputs(step.output_types());
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    Attribute made = body("body", inputs, [&] {
      Strings given(in.begin(), consts), then = given;
      append_names(given, carried);
      Results next = results(step, given);
      append_names(then, next);
      next.insert(next.begin(), results(test, then)[0]);
      return next;
    });
    return writer_.nodes("Loop", std::move(start), n.result_count, {std::move(made)});
  }

  /// ONNX's Scan walks at least one value: where ours walks none, the numbers of its steps.
  Strings scan(const Node& n, const Strings& in) {
    const Graph& step = *n.attrs.get<GraphPtr>("body");
    auto consts = static_cast<size_t>(n.attrs.get<i64>("consts")),
         carry = static_cast<size_t>(n.attrs.get<i64>("carry"));
    Strings given(in.begin() + static_cast<std::ptrdiff_t>(consts), in.end());
    Results inputs = fresh_inputs(step.input_types().subspan(consts));
    Strings inner(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(consts));
    append_names(inner, inputs);
    if (given.size() == carry) {
      GraphPtr steps = make_graph(
          {}, [&](Builder& b, ValueSpan) { return Values{iota(b, n.attrs.get<Shape>("length"), 0, DType::i64)}; });
      given.push_back(graph(*steps, {})[0]);
      inputs.emplace_back(writer_.fresh(), Type::tensor(DType::i64, {}));
    }
    auto walked = static_cast<i64>(given.size() - carry);
    Attribute made = body("body", inputs, [&] { return results(step, inner); });
    std::vector<Attribute> attributes{std::move(made), Writer::attr("num_scan_inputs", walked)};
    if (n.attrs.get("reverse", false)) {
      attributes.push_back(Writer::attr("scan_input_directions", std::vector<i64>(given.size() - carry, 1)));
      attributes.push_back(Writer::attr("scan_output_directions", std::vector<i64>(n.result_count - carry, 1)));
    }
    return writer_.nodes("Scan", std::move(given), n.result_count, std::move(attributes));
  }

  /// The op on dtypes that ONNX has for it: integers as i64 or f64, bf16 as f32, and back.
  Strings widened(const Graph& g, const Node& n, const ExportRule& rule, const Strings& in) {
    auto wide = [&](DType d) {
      if (rule.dtypes >> static_cast<int>(d) & 1) return d;
      if (is_float(d)) return DType::f32;
      return rule.dtypes >> static_cast<int>(DType::i64) & 1 ? DType::i64 : DType::f64;
    };
    std::vector<Type> types, results;
    for (u32 v : g.operands(n)) types.push_back(g.type(v));
    for (u32 i = 0; i < n.result_count; ++i) results.push_back(g.type(n.first_result + i));
    return graph(*make_graph(types,
                             [&](Builder& b, ValueSpan x) {
                               Values operands;
                               for (Value v : x) operands.push_back(cast(v, wide(v.dtype())));
                               Values r = b.emit(*n.op, operands, n.attrs);
                               for (size_t i = 0; i < r.size(); ++i) r[i] = cast(r[i], results[i].dtype());
                               return r;
                             }),
                 in);
  }

  Strings own(const Node& n, const Strings& in) {
    check_portable("export", n);
    std::vector<Attribute> attributes;
    for (const auto& [name, value] : n.attrs.items())
      attributes.push_back(std::visit(OwnAttribute{name, n.op->name}, value));
    used_own_ = true;
    return writer_.nodes(n.op->name, in, n.result_count, std::move(attributes), kOwnDomain);
  }

  Writer writer_;

 public:
  bool used_own_ = false;
};

}  // namespace

std::vector<std::pair<std::string_view, std::string_view>> own_ops() {
  std::vector<std::pair<std::string_view, std::string_view>> r;
  for (const OpDef* op : all_ops()) {
    bool words = find_export_rule(op->name) || op->lower.as<Expand>() || op->lower.as<Structured>();
    if (!words && !is_local(*op)) r.emplace_back(op->name, why_own(op->name));
  }
  return r;
}

ModelDef export_model(const NamedGraph& net) {
  if (net.inputs.size() != net.graph->input_count() || net.outputs.size() != net.graph->outputs().size())
    fail("export", "expected a name for each input and output, got " + std::to_string(net.inputs.size()) + " and " +
                       std::to_string(net.outputs.size()));
  std::unordered_set<std::string> names;
  for (const auto* list : {&net.inputs, &net.outputs})
    for (const std::string& n : *list)
      if (n.empty() || !names.insert(n).second)
        fail("export", "expected different names for inputs and outputs, got '" + n + "' twice or an empty one");
  ModelDef m;
  m.ir_version = kExportIr;
  m.producer_name = "tenon";
  m.opsets.push_back({"", kExportOpset});
  m.graph.name = "network";
  m.metadata = net.metadata;
  Exporter exporter(m.graph);
  exporter.run({lower_lanes(net.graph), net.inputs, net.outputs, {}});
  if (exporter.used_own_) m.opsets.push_back({kOwnDomain, 1});
  return m;
}

}  // namespace tn::onnx
