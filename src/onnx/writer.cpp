#include "onnx/writer.h"

#include <algorithm>

#include "ir/dim_node.h"
#include "onnx/tensors.h"

namespace tn::onnx {

Attribute Writer::attr(std::string_view name, i64 v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::integer;
  a.i = v;
  return a;
}

Attribute Writer::attr(std::string_view name, double v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::floating;
  a.f = static_cast<float>(v);
  return a;
}

Attribute Writer::attr(std::string_view name, std::string v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::string;
  a.s = std::move(v);
  return a;
}

Attribute Writer::attr(std::string_view name, std::vector<i64> v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::integers;
  a.ints = std::move(v);
  return a;
}

std::string Writer::fresh() {
  std::string name;
  do name = "v" + std::to_string(count_++);
  while (!taken_.insert(name).second);
  return name;
}

Strings Writer::nodes(std::string_view op, Strings inputs, size_t outputs, std::vector<Attribute> attributes,
                      std::string_view domain) {
  NodeDef n;
  n.op_type = op;
  n.domain = domain;
  n.inputs = std::move(inputs);
  for (size_t i = 0; i < outputs; ++i) n.outputs.push_back(fresh());
  n.attributes = std::move(attributes);
  graph_->nodes.push_back(n);
  return n.outputs;
}

std::string Writer::node(std::string_view op, Strings inputs, std::vector<Attribute> attributes) {
  return nodes(op, std::move(inputs), 1, std::move(attributes))[0];
}

std::string Writer::tensor(const Array& a, std::string_view name) {
  TensorValue t = tensor_of(a, name);
  std::string key;
  if (name.empty() && t.raw.size() <= 256) {  // small nameless ones are shared
    key = std::to_string(static_cast<int>(t.element)) + ":";
    for (i64 d : t.dims) key += std::to_string(d) + ",";
    key += ":" + t.raw;
    if (auto found = constants_.find(key); found != constants_.end()) return found->second;
  }
  if (name.empty()) {
    Attribute value;
    value.name = "value";
    value.kind = Attribute::Kind::tensor;
    value.tensors.push_back(std::move(t));
    std::string made = node("Constant", {}, {std::move(value)});
    if (!key.empty() && constants_.emplace(key, made).second) made_constants_.push_back(key);
    return made;
  }
  if (auto known = initializers_.find(t.name); known != initializers_.end()) {  // as both branches of a choice have it
    const TensorValue& other = top_.initializers[known->second];
    if (other.element == t.element && other.dims == t.dims && other.raw == t.raw) return t.name;
  }
  if (!taken_.insert(t.name).second) t.name = fresh();
  initializers_.emplace(t.name, top_.initializers.size());
  top_.initializers.push_back(std::move(t));
  return top_.initializers.back().name;
}

std::string Writer::ints(const std::vector<i64>& v) {
  Array a = Array::empty(DType::i64, {static_cast<i64>(v.size())});
  std::copy(v.begin(), v.end(), a.data<i64>());
  return tensor(a);
}

std::string Writer::scalar(double v, DType dtype) {
  Array a = Array::empty(dtype, {});
  if (is_float(dtype))
    a.set(0, v);
  else
    a.set_int(0, static_cast<i64>(v));
  return tensor(a);
}

/// One size as int64 [1].
std::string Writer::size(Dim d) {
  if (d.is_constant()) return ints({d.value()});
  if (auto found = sizes_.find(d.bits()); found != sizes_.end()) return found->second;
  const DimNode* n = d.node();
  std::string made;
  switch (n->kind) {
    case DimNode::Kind::symbol: {
      auto found = symbols_.find(d.bits());
      if (found == symbols_.end())
        fail("export", "expected size '" + n->name + "' to be an extent of an input, got a size no input has");
      made =
          node("Gather", {node("Shape", {found->second.first}), ints({found->second.second})}, {attr("axis", i64{0})});
      break;
    }
    case DimNode::Kind::floordiv: made = node("Div", {size(n->a), size(n->b)}); break;
    case DimNode::Kind::min: made = node("Min", {size(n->a), size(n->b)}); break;
    case DimNode::Kind::max: made = node("Max", {size(n->a), size(n->b)}); break;
    case DimNode::Kind::polynomial:
      for (const auto& t : n->terms) {
        std::string term = ints({t.coefficient});
        for (const DimNode* a : t.atoms) term = node("Mul", {term, size(Dim(a))});
        made = made.empty() ? term : node("Add", {made, term});
      }
  }
  if (sizes_.emplace(d.bits(), made).second) made_sizes_.push_back(d.bits());
  return made;
}

std::string Writer::shape(std::span<const Dim> dims) {
  bool numbers = std::all_of(dims.begin(), dims.end(), [](Dim d) { return d.is_constant(); });
  if (numbers) {
    std::vector<i64> v;
    for (Dim d : dims) v.push_back(d.value());
    return ints(v);
  }
  Strings parts;
  for (Dim d : dims) parts.push_back(size(d));
  return parts.size() == 1 ? parts[0] : node("Concat", parts, {attr("axis", i64{0})});
}

const Array* NodeView::constant(size_t i) const {
  u32 id = graph.operands(node)[i];
  auto maker =
      std::find_if(graph.nodes().begin(), graph.nodes().end(), [&](const Node& n) { return n.first_result == id; });
  bool made = id >= graph.input_count() && maker != graph.nodes().end();
  return made && is_constant(*maker) ? &maker->attrs.get<Array>("value") : nullptr;
}

bool NodeView::is_constant_within(size_t i, Dim extent) const {
  const Array* a = constant(i);
  if (!a || !extent.is_constant()) return false;
  for (i64 k = 0; k < a->size(); ++k)
    if (a->get_int(k) < 0 || a->get_int(k) >= extent.value()) return false;
  return true;
}

}  // namespace tn::onnx
