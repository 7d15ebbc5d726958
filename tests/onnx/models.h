// ONNX models written in a few lines, for tests.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "onnx/model.h"

namespace tn::onnx::samples {

inline Attribute integer(const std::string& name, i64 v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::integer;
  a.i = v;
  return a;
}

inline Attribute integers(const std::string& name, std::vector<i64> v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::integers;
  a.ints = std::move(v);
  return a;
}

inline Attribute text(const std::string& name, const std::string& v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::string;
  a.s = v;
  return a;
}

inline Attribute tensor(const std::string& name, TensorValue v) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::tensor;
  a.tensors.push_back(std::move(v));
  return a;
}

inline Attribute body(const std::string& name, GraphDef graph) {
  Attribute a;
  a.name = name;
  a.kind = Attribute::Kind::graph;
  a.graphs.push_back(std::make_shared<GraphDef>(std::move(graph)));
  return a;
}

inline NodeDef node(std::string type, Strings in, Strings out, std::vector<Attribute> attributes = {}) {
  return {"", std::move(type), "", "", std::move(in), std::move(out), std::move(attributes)};
}

inline ValueInfo info(const std::string& name, Element element, const std::vector<i64>& shape) {
  ValueInfo v{name, {}};
  v.type.kind = TypeInfo::Kind::tensor;
  v.type.element = element;
  v.type.has_shape = true;
  for (i64 e : shape) v.type.shape.push_back({TypeInfo::Extent::Kind::value, e, ""});
  return v;
}

template <class T>
TensorValue numbers(const std::string& name, Element element, std::vector<i64> shape, const std::vector<T>& values) {
  TensorValue t{name, element, std::move(shape), "", {}, {}};
  t.raw.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return t;
}
inline TensorValue ints(const std::string& name, std::vector<i64> shape, const std::vector<i64>& values) {
  return numbers(name, Element::int64, std::move(shape), values);
}
inline TensorValue floats(const std::string& name, std::vector<i64> shape, const std::vector<float>& values) {
  return numbers(name, Element::float32, std::move(shape), values);
}

/// x: f32[2, 3] -> y, of opset 20.
inline ModelDef model(std::vector<NodeDef> nodes, std::vector<TensorValue> initializers = {}) {
  ModelDef m;
  m.ir_version = 9;
  m.opsets = {{"", 20}};
  m.graph.name = "sample";
  m.graph.nodes = std::move(nodes);
  m.graph.initializers = std::move(initializers);
  m.graph.inputs = {info("x", Element::float32, {2, 3})};
  m.graph.outputs = {info("y", Element::float32, {2, 3})};
  return m;
}

/// A shape computed on the way: y = reshape(x, [-1, rows of x]).
inline ModelDef shapes() {
  return model(
      {node("Shape", {"x"}, {"s"}), node("Gather", {"s", "zero"}, {"rows"}),
       node("Concat", {"minus", "rows"}, {"target"}, {integer("axis", 0)}), node("Reshape", {"x", "target"}, {"y"})},
      {ints("zero", {1}, {0}), ints("minus", {1}, {-1})});
}

/// A branch, a loop and a function: y = 2 (4 relu(x)) or 2 (4 -x), after the sign of sum(x).
inline ModelDef control() {
  auto branch = [](const std::string& type) {
    GraphDef g;
    g.name = type;
    g.nodes = {node(type, {"x"}, {"out"})};
    g.outputs = {info("out", Element::float32, {2, 3})};
    return g;
  };
  GraphDef loop;
  loop.name = "loop";
  loop.inputs = {info("i", Element::int64, {}), info("go", Element::boolean, {}), info("v", Element::float32, {2, 3})};
  loop.nodes = {node("Identity", {"go"}, {"go_on"}), node("Add", {"v", "x"}, {"next"})};
  loop.outputs = {info("go_on", Element::boolean, {}), info("next", Element::float32, {2, 3})};
  ModelDef m =
      model({node("ReduceSum", {"x"}, {"sum"}, {integer("keepdims", 0)}),
             node("Cast", {"sum"}, {"p"}, {integer("to", static_cast<i64>(Element::boolean))}),
             node("If", {"p"}, {"t"}, {body("then_branch", branch("Relu")), body("else_branch", branch("Neg"))}),
             node("Loop", {"three", "", "t"}, {"u"}, {body("body", loop)}), node("twice", {"u"}, {"y"})},
            {ints("three", {}, {3})});
  m.graph.nodes.back().domain = "local";
  m.opsets.push_back({"local", 1});
  m.functions.push_back({"twice", "local", "", {"a"}, {"b"}, {}, {}, {node("Add", {"a", "a"}, {"b"})}, {{"", 20}}});
  return m;
}

}  // namespace tn::onnx::samples
