#include "onnx/export.h"

#include <unordered_set>

#include "onnx/import.h"
#include "onnx/tensors.h"
#include "onnx/writer.h"
#include "op/emit.h"

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
    for (size_t i = 0; i < out.size(); ++i) {
      // An Identity gives the output its name, whatever value it is.
      NodeDef n;
      n.op_type = "Identity";
      n.inputs = {out[i]};
      n.outputs = {net.outputs[i]};
      writer_.graph().nodes.push_back(std::move(n));
      writer_.graph().outputs.push_back(info_of(net.outputs[i], g.type(g.outputs()[i])));
    }
  }

 private:
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
    if (const auto* expand = n.op->lower.as<Expand>()) {
      std::vector<Type> types;
      for (u32 v : g.operands(n)) types.push_back(g.type(v));
      return graph(*make_graph(types, [&](Builder& b, ValueSpan x) { return expand->expand(b, x, n.attrs); }), in);
    }
    return own(n, in);
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
  exporter.run(net);
  if (exporter.used_own_) m.opsets.push_back({kOwnDomain, 1});
  return m;
}

}  // namespace tn::onnx
