// Graph: a flat, immutable, hash-consed program in SSA over Types, and the Builder that makes one.
//
// Values are u32 ids: the inputs first, then the results of the nodes in order. Nodes hold no pointers to each other,
// so every traversal is a loop over a vector. Built graphs are interned by content: equal graphs are one object, and
// the address is their identity (locations are not part of it).
#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/attrs.h"
#include "tenon/error.h"
#include "tenon/type.h"

namespace tn {

struct OpDef;
class Builder;

/// Which inputs or outputs a transform is about.
using Mask = std::vector<bool>;

/// A value under construction: a builder and an id in it. Rules of ops are written on Values only.
struct Value {
  Builder* builder = nullptr;
  u32 id = ~0u;

  explicit operator bool() const { return builder; }
  Type type() const;
  DType dtype() const { return type().dtype(); }
  std::span<const Dim> shape() const { return type().shape(); }
  int rank() const { return type().rank(); }
  bool operator==(const Value&) const = default;
};
using Values = std::vector<Value>;
using ValueSpan = std::span<const Value>;

struct Node {
  const OpDef* op;
  Attrs attrs;
  Location where;
  u32 first_operand, first_result;
  u32 operand_count;
  u32 result_count : 31;
  u32 effectful : 1;  // the op's own effect, or that of a sub-graph
};
static_assert(sizeof(Node) == 40);

class Graph {
 public:
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const u32> operands(const Node& n) const { return {operands_.data() + n.first_operand, n.operand_count}; }
  Type type(u32 value) const { return types_[value]; }
  u32 input_count() const { return input_count_; }
  u32 value_count() const { return static_cast<u32>(types_.size()); }
  std::span<const u32> outputs() const { return outputs_; }
  std::span<const Type> input_types() const { return {types_.data(), input_count_}; }
  std::span<const Type> result_types(const Node& n) const { return {types_.data() + n.first_result, n.result_count}; }
  std::vector<Type> output_types() const;
  bool effectful() const { return effectful_; }
  u64 hash() const { return hash_; }
  /// Bytes of nodes, operands and types.
  size_t bytes() const;

  /// Transformed graphs are kept with the graph they came from, and die with it. `key` names transform and parameters.
  struct Derived {
    GraphPtr graph;
    Mask mask;
    GraphPtr second;
    u32 number = 0;
  };
  std::optional<Derived> find_derived(const std::string& key) const;
  /// The first one kept under the key wins and is returned. Graphs older than this one are held weakly, itself included
  /// (a transposed twice is a): so graphs never keep each other alive in a circle.
  Derived keep_derived(const std::string& key, Derived derived) const;

 private:
  friend class Builder;
  std::vector<Node> nodes_;
  std::vector<u32> operands_, outputs_;
  std::vector<Type> types_;
  u32 input_count_ = 0;
  bool effectful_ = false;
  u64 hash_ = 0;
  struct Kept {
    Derived strong;
    std::weak_ptr<const Graph> graph, second;
    bool has_second = false;
    std::optional<Derived> lock() const;
  };
  u64 born_ = 0;  // graphs are numbered as they are built
  mutable std::mutex derived_mutex_;
  mutable std::unordered_map<std::string, Kept> derived_;
};

class Builder {
 public:
  Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ~Builder();

  /// Inputs come before all nodes.
  Value input(Type type);
  /// Checks the signature, runs the type rule, reuses an equal pure node, else appends one. Errors carry
  /// `where` (or this->where when not given).
  Values emit(const OpDef& op, ValueSpan operands, const Attrs& attrs = {}, const Location* where = nullptr);
  /// Emits a node of another graph as it is, for these operands: the id of its first result, which the others follow.
  /// Its signature and type rule are checked again only where an operand has another type.
  u32 emit_again(const Graph& from, const Node& n, ValueSpan operands);
  /// emit of an op with one result.
  Value emit1(const OpDef& op, std::initializer_list<Value> operands, const Attrs& attrs = {});
  /// The graph of these outputs: what they and effects need (all when keep_dead), renumbered and interned.
  GraphPtr build(ValueSpan outputs, bool keep_dead = false);

  Type type(u32 value) const;
  const Graph& graph() const { return *graph_; }
  /// Given to nodes that rules emit.
  Location where = Location::current();

 private:
  struct Slot {
    u32 tag = 0, node = ~0u;  // the tag is the node's hash: most unequal nodes are told apart without being read
  };
  /// The slot of an equal pure node in the table, or the empty slot where it belongs.
  Slot& slot_of(const OpDef& op, const Attrs& attrs, ValueSpan operands, bool effectful);
  u32 append(Slot& slot, const OpDef& op, ValueSpan operands, const Attrs& attrs, const Location& where,
             std::span<const Type> results, bool effectful);
  Values results_at(u32 node);
  void grow_table();
  std::shared_ptr<Graph> graph_;
  std::vector<Slot> table_;
  std::vector<Type> operand_types_;  // of the node being emitted
};

/// Emits g's nodes into b with g's inputs replaced; fresh symbols of data-dependent ops are renamed.
Values inline_graph(Builder& b, const Graph& g, ValueSpan inputs);
/// A graph from a function on values.
GraphPtr make_graph(std::span<const Type> inputs, const std::function<Values(Builder&, ValueSpan)>& body);

/// Re-runs every signature check and type rule, sub-graphs included; InternalError names the node.
void verify(const Graph& g);
/// Text that parses back to the same graph.
std::string to_string(const Graph& g);
/// The graph of a text; hostile input gives Error with line and column (nesting and sizes bounded).
GraphPtr parse_graph(std::string_view text);

/// Named graphs in one text; what calls another holds it as an attribute.
struct Program {
  std::vector<std::pair<std::string, GraphPtr>> graphs;
  const GraphPtr* find(std::string_view name) const;
};
std::string to_string(const Program& p);
Program parse_program(std::string_view text);

inline Type Value::type() const { return builder->type(id); }

}  // namespace tn
