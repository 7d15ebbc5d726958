// Inside the exporter: a graph under construction in ONNX's words, and the table of rules.
#pragma once
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "ir/op_def.h"
#include "onnx/export.h"

namespace tn::onnx {

/// Emits ONNX nodes. Values are names.
class Writer {
 public:
  explicit Writer(GraphDef& graph) : top_(graph), graph_(&graph) {}

  GraphDef& graph() { return *graph_; }
  /// While f runs, nodes go to the body of an operator. It may read what is outside; what is made in it stays in it.
  template <class F>
  void inside(GraphDef& body, const F& f) {
    GraphDef* outside = std::exchange(graph_, &body);
    auto sizes = std::exchange(made_sizes_, {});
    auto constants = std::exchange(made_constants_, {});
    f();
    for (u64 size : std::exchange(made_sizes_, std::move(sizes))) sizes_.erase(size);
    for (const std::string& constant : std::exchange(made_constants_, std::move(constants))) constants_.erase(constant);
    graph_ = outside;
  }
  /// A name nobody has.
  std::string fresh();
  /// A name that must not be given again.
  void reserve(const std::string& name) { taken_.insert(name); }
  std::string node(std::string_view op, Strings inputs, std::vector<Attribute> attributes = {});
  Strings nodes(std::string_view op, Strings inputs, size_t outputs, std::vector<Attribute> attributes = {},
                std::string_view domain = "");
  /// With a name an initializer, which readers take for a weight; else the value of a Constant node.
  std::string tensor(const Array& a, std::string_view name = "");
  std::string ints(const std::vector<i64>& v);
  std::string scalar(double v, DType dtype);
  /// A shape as an int64 tensor: numbers where they are, else computed from the graph inputs' shapes.
  std::string shape(std::span<const Dim> dims);
  /// Says that a size is axis `axis` of input `name`.
  void bind(Dim symbol, std::string name, i64 axis) { symbols_.try_emplace(symbol.bits(), std::move(name), axis); }

  static Attribute attr(std::string_view name, i64 v);
  static Attribute attr(std::string_view name, double v);
  static Attribute attr(std::string_view name, std::string v);
  static Attribute attr(std::string_view name, std::vector<i64> v);

 private:
  std::string size(Dim d);
  GraphDef& top_;    // has the initializers
  GraphDef* graph_;  // gets the nodes
  size_t count_ = 0;
  std::unordered_map<u64, std::pair<std::string, i64>> symbols_;
  std::unordered_map<u64, std::string> sizes_;
  std::unordered_map<std::string, std::string> constants_;
  std::vector<u64> made_sizes_;              // in the graph that gets the nodes
  std::vector<std::string> made_constants_;  // in it too
  std::unordered_map<std::string, size_t> initializers_;
  std::unordered_set<std::string> taken_;
};

/// One node of ours in ONNX: operand names in, result names out.
struct NodeView {
  const Graph& graph;
  const Node& node;
  const Strings& in;
  Type operand(size_t i) const { return graph.type(graph.operands(node)[i]); }
  size_t operand_count() const { return node.operand_count; }
  Type result(size_t i = 0) const { return graph.type(node.first_result + static_cast<u32>(i)); }
  template <class T>
  const T& attr(std::string_view name) const {
    return node.attrs.get<T>(name);
  }
  /// Operand i where it is a constant, else null.
  const Array* constant(size_t i) const;
  /// Whether operand i is a constant of integers in [0, extent).
  bool is_constant_within(size_t i, Dim extent) const;
};

/// How an op of ours is written. The rule is given operands of the dtypes that its ONNX operators have, `dtypes`
/// (a bit each); others are cast before and after.
struct ExportRule {
  std::string_view op;
  Strings (*write)(Writer& w, const NodeView& n);
  u32 dtypes = ~0u;
};
/// Null where the op has no rule of its own.
const ExportRule* find_export_rule(std::string_view op);
/// What ONNX has not, so that an op without rule and expansion stays in our domain; empty where nobody says.
std::string_view why_own(std::string_view op);

}  // namespace tn::onnx
