#include "ir/graph.h"

#include <algorithm>
#include <atomic>

#include "base/hash.h"
#include "ir/op_def.h"
#include "ir/rewrite.h"

namespace tn {

// ---------------------------------------------------------------- Graph

std::vector<Type> Graph::output_types() const {
  std::vector<Type> result;
  for (u32 o : outputs_) result.push_back(types_[o]);
  return result;
}

size_t Graph::bytes() const {
  return nodes_.size() * sizeof(Node) + operands_.size() * sizeof(u32) + types_.size() * sizeof(Type);
}

std::optional<Graph::Derived> Graph::Kept::lock() const {
  Derived d = strong;
  if (!d.graph) d.graph = graph.lock();
  if (!d.second) d.second = second.lock();
  if (!d.graph || (has_second && !d.second)) return std::nullopt;
  return d;
}

std::optional<Graph::Derived> Graph::find_derived(const std::string& key) const {
  std::lock_guard lock(derived_mutex_);
  auto found = derived_.find(key);
  if (found == derived_.end()) return std::nullopt;
  return found->second.lock();
}

Graph::Derived Graph::keep_derived(const std::string& key, Derived derived) const {
  Kept kept{derived, derived.graph, derived.second, derived.second != nullptr};
  auto hold = [&](GraphPtr& g) {
    if (g && g->born_ <= born_) g = nullptr;
  };
  hold(kept.strong.graph);
  hold(kept.strong.second);
  std::lock_guard lock(derived_mutex_);
  Kept& slot = derived_.try_emplace(key).first->second;
  if (auto first = slot.lock()) return *first;
  std::swap(slot, kept);
  return derived;
}

// ---------------------------------------------------------------- Builder

Builder::Builder() : graph_(std::make_shared<Graph>()) {}
Builder::~Builder() = default;

Type Builder::type(u32 value) const { return graph_->types_[value]; }

Value Builder::input(Type type) {
  if (!graph_->nodes_.empty()) internal("a graph's inputs come before its nodes");
  graph_->types_.push_back(type);
  ++graph_->input_count_;
  return {this, static_cast<u32>(graph_->types_.size()) - 1};
}

static u64 hash_node(const OpDef* op, const Attrs& attrs) {
  return mix(reinterpret_cast<u64>(op), reinterpret_cast<u64>(attrs.data()));
}

// The table of nodes by content. Nodes are made in order and mostly use what was made just before, so the first place
// tried lies near that of the newest operand: neighbours in time are neighbours in memory, and a million nodes are
// looked up without a cache miss each. The further places are scattered, for many nodes may use one value.
static size_t near_place(u32 newest, u32 tag) { return 2 * static_cast<size_t>(newest) + (tag & 15); }
static size_t far_place(u32 tag) { return static_cast<size_t>(tag) * 0x9E3779B97F4A7C15ull >> 20; }

void Builder::grow_table() {
  const Graph& g = *graph_;
  table_.assign(table_.empty() ? 64 : table_.size() * 2, Slot{});
  size_t mask = table_.size() - 1;
  for (u32 k = 0; k < g.nodes_.size(); ++k) {
    const Node& n = g.nodes_[k];
    u64 h = hash_node(n.op, n.attrs);
    u32 newest = 0;
    for (u32 v : g.operands(n)) {
      h = mix(h, v);
      newest = std::max(newest, v);
    }
    u32 tag = static_cast<u32>(h >> 32);
    size_t place = near_place(newest, tag) & mask;
    if (table_[place].node != ~0u) place = far_place(tag) & mask;
    while (table_[place].node != ~0u) place = (place + 1) & mask;
    table_[place] = {tag, k};
  }
}

static bool has_effect(const OpDef& op, const Attrs& attrs) {
  if (!op.effect.as<Pure>()) return true;
  for (const auto& [key, value] : attrs.items())
    if (const auto* g = std::get_if<GraphPtr>(&value); g && *g && (*g)->effectful()) return true;
  return false;
}

Builder::Slot& Builder::slot_of(const OpDef& op, const Attrs& attrs, ValueSpan operands, bool effectful) {
  if (2 * (graph_->nodes_.size() + 1) > table_.size()) grow_table();
  u64 h = hash_node(&op, attrs);
  u32 newest = 0;
  for (const Value& v : operands) {
    h = mix(h, v.id);
    newest = std::max(newest, v.id);
  }
  u32 tag = static_cast<u32>(h >> 32);
  auto is_place = [&](Slot& slot) {
    if (slot.node == ~0u) {
      slot.tag = tag;
      return true;
    }
    if (effectful || slot.tag != tag) return false;
    const Node& n = graph_->nodes_[slot.node];
    if (n.op != &op || n.attrs != attrs || n.operand_count != operands.size()) return false;
    auto ids = graph_->operands(n);
    return std::equal(ids.begin(), ids.end(), operands.begin(), [](u32 id, const Value& v) { return id == v.id; });
  };
  size_t mask = table_.size() - 1, place = near_place(newest, tag) & mask;
  if (is_place(table_[place])) return table_[place];
  for (place = far_place(tag) & mask; !is_place(table_[place]);) place = (place + 1) & mask;
  return table_[place];
}

Values Builder::results_at(u32 node) {
  const Node& n = graph_->nodes_[node];
  Values results(n.result_count);
  for (u32 i = 0; i < n.result_count; ++i) results[i] = {this, n.first_result + i};
  return results;
}

Values Builder::emit(const OpDef& op, ValueSpan operands, const Attrs& attrs, const Location* at) {
  const Location& where_ = at ? *at : where;
  operand_types_.clear();
  for (size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].builder != this)
      internal("[" + std::string(op.name) + "] operand " + std::to_string(i) +
               " is absent or belongs to another graph");
    operand_types_.push_back(operands[i].type());
  }
  bool effectful = has_effect(op, attrs);
  Slot* slot = &slot_of(op, attrs, operands, effectful);
  if (slot->node != ~0u) return results_at(slot->node);
  std::vector<Type> results;
  Attrs full;
  try {
    full = check_call(op, operand_types_, attrs);
    results = op.type(operand_types_, full);
  } catch (const Error& e) {
    if (!where_.line()) throw;  // a node of a file
    throw Error(std::string(e.what()) + " (" + to_string(where_) + ")");
  }
  if (full != attrs) slot = &slot_of(op, full, operands, effectful);
  if (slot->node != ~0u) return results_at(slot->node);
  return results_at(append(*slot, op, operands, full, where_, results, effectful));
}

u32 Builder::emit_again(const Graph& from, const Node& n, ValueSpan operands) {
  auto ids = from.operands(n);
  bool same_types = true;
  for (size_t i = 0; i < operands.size(); ++i)
    same_types = same_types && operands[i].builder == this && operands[i].type() == from.type(ids[i]);
  if (!same_types) {
    Values results = emit(*n.op, operands, n.attrs, &n.where);
    return results.empty() ? ~0u : results[0].id;
  }
  Slot& slot = slot_of(*n.op, n.attrs, operands, n.effectful);
  u32 node = slot.node;
  if (node == ~0u) node = append(slot, *n.op, operands, n.attrs, n.where, from.result_types(n), n.effectful);
  return graph_->nodes_[node].first_result;
}

u32 Builder::append(Slot& slot, const OpDef& op, ValueSpan operands, const Attrs& attrs, const Location& at,
                    std::span<const Type> results, bool effectful) {
  Graph& g = *graph_;
  u32 node = static_cast<u32>(g.nodes_.size());
  slot.node = node;
  g.nodes_.push_back({&op, attrs, at, static_cast<u32>(g.operands_.size()), static_cast<u32>(g.types_.size()),
                      static_cast<u32>(operands.size()), static_cast<u32>(results.size()), effectful});
  for (const Value& v : operands) g.operands_.push_back(v.id);
  g.types_.insert(g.types_.end(), results.begin(), results.end());
  g.effectful_ |= effectful;
  return node;
}

Value Builder::emit1(const OpDef& op, std::initializer_list<Value> operands, const Attrs& attrs) {
  Values r = emit(op, {operands.begin(), operands.size()}, attrs);
  if (r.size() != 1) internal("[" + std::string(op.name) + "] expected one result, got " + std::to_string(r.size()));
  return r[0];
}

namespace {

struct GraphTable {
  std::mutex mutex;
  std::unordered_multimap<u64, std::weak_ptr<const Graph>> index;
  size_t sweep_at = 1024;
};

GraphTable& table() {
  static auto* t = new GraphTable;
  return *t;
}

bool same_nodes(const Graph& a, const Graph& b) {
  return std::equal(a.nodes().begin(), a.nodes().end(), b.nodes().begin(), b.nodes().end(),
                    [](const Node& x, const Node& y) {
                      return x.op == y.op && x.attrs == y.attrs && x.operand_count == y.operand_count &&
                             x.result_count == y.result_count;
                    });
}

}  // namespace

/// The graph of equal content that is alive, or g itself from now on.
static GraphPtr intern(std::shared_ptr<Graph> g, bool (*same)(const Graph&, const Graph&)) {
  GraphTable& t = table();
  std::vector<GraphPtr> keep;  // released after the lock: a graph's end may end others
  std::lock_guard lock(t.mutex);
  if (t.index.size() > t.sweep_at) {
    std::erase_if(t.index, [](const auto& entry) { return entry.second.expired(); });
    t.sweep_at = std::max<size_t>(1024, 2 * t.index.size());
  }
  auto [first, last] = t.index.equal_range(g->hash());
  for (; first != last; ++first)
    if (GraphPtr other = first->second.lock()) {
      if (same(*other, *g)) return other;
      keep.push_back(std::move(other));
    }
  t.index.emplace(g->hash(), g);
  return g;
}

GraphPtr Builder::build(ValueSpan outputs, bool keep_dead) {
  const Graph& s = *graph_;
  std::vector<bool> live(s.types_.size(), keep_dead), keep(s.nodes_.size());
  for (const Value& o : outputs) {
    if (o.builder != this) internal("an output is absent or belongs to another graph");
    live[o.id] = true;
  }
  for (size_t k = s.nodes_.size(); k-- > 0;) {
    const Node& n = s.nodes_[k];
    bool wanted = n.effectful || keep_dead;
    for (u32 i = 0; i < n.result_count; ++i) wanted = wanted || live[n.first_result + i];
    keep[k] = wanted;
    if (wanted)
      for (u32 v : s.operands(n)) live[v] = true;
  }
  auto g = std::make_shared<Graph>();
  std::vector<u32> renamed(s.types_.size(), ~0u);
  g->input_count_ = s.input_count_;
  g->types_.assign(s.types_.begin(), s.types_.begin() + s.input_count_);
  u64 h = s.input_count_;
  for (u32 i = 0; i < s.input_count_; ++i) {
    renamed[i] = i;
    h = mix(h, reinterpret_cast<u64>(s.types_[i].data()));
  }
  for (size_t k = 0; k < s.nodes_.size(); ++k) {
    if (!keep[k]) continue;
    Node n = s.nodes_[k];
    h = mix(h, hash_node(n.op, n.attrs));
    u32 first_operand = static_cast<u32>(g->operands_.size()), first_result = static_cast<u32>(g->types_.size());
    for (u32 v : s.operands(n)) {
      g->operands_.push_back(renamed[v]);
      h = mix(h, renamed[v]);
    }
    for (u32 i = 0; i < n.result_count; ++i) {
      renamed[n.first_result + i] = static_cast<u32>(g->types_.size());
      g->types_.push_back(s.types_[n.first_result + i]);
      h = mix(h, reinterpret_cast<u64>(g->types_.back().data()));
    }
    n.first_operand = first_operand;
    n.first_result = first_result;
    g->effectful_ |= n.effectful;
    g->nodes_.push_back(std::move(n));
  }
  for (const Value& o : outputs) {
    g->outputs_.push_back(renamed[o.id]);
    h = mix(h, renamed[o.id]);
  }
  static std::atomic<u64> born = 0;
  g->born_ = ++born;
  g->hash_ = h;
  return intern(std::move(g), [](const Graph& a, const Graph& b) {
    return a.operands_ == b.operands_ && a.types_ == b.types_ && a.outputs_ == b.outputs_ &&
           a.input_count_ == b.input_count_ && same_nodes(a, b);
  });
}

// ---------------------------------------------------------------- whole graphs

/// A data-dependent op holds its fresh symbol as attribute `fresh` (dims of one): two inlinings must not share it. The
/// new ones are added to `renames`.
static void add_renames(const Attrs& attrs, std::vector<std::pair<Dim, Dim>>& renames) {
  const Attr* fresh = attrs.find("fresh");
  if (!fresh || !std::holds_alternative<Shape>(*fresh)) return;
  for (Dim d : std::get<Shape>(*fresh)) renames.emplace_back(d, Dim::fresh("d"));
}

Values inline_graph(Builder& b, const Graph& g, ValueSpan inputs) {
  if (inputs.size() != g.input_count())
    internal("inlining a graph of " + std::to_string(g.input_count()) + " inputs with " +
             std::to_string(inputs.size()));
  Values env(g.value_count()), operands;
  std::copy(inputs.begin(), inputs.end(), env.begin());
  std::vector<std::pair<Dim, Dim>> renames;
  for (const Node& n : g.nodes()) {
    operands.clear();
    for (u32 v : g.operands(n)) operands.push_back(env[v]);
    if (!n.attrs.empty()) add_renames(n.attrs, renames);
    if (renames.empty()) {
      u32 first = b.emit_again(g, n, operands);
      for (u32 i = 0; i < n.result_count; ++i) env[n.first_result + i] = {&b, first + i};
      continue;
    }
    Values r = b.emit(*n.op, operands, with_sizes(n.attrs, renames), &n.where);
    std::copy(r.begin(), r.end(), env.begin() + n.first_result);
  }
  Values outputs;
  for (u32 o : g.outputs()) outputs.push_back(env[o]);
  return outputs;
}

GraphPtr make_graph(std::span<const Type> inputs, const std::function<Values(Builder&, ValueSpan)>& body) {
  Builder b;
  Values in;
  for (Type t : inputs) in.push_back(b.input(t));
  return b.build(body(b, in));
}

void verify(const Graph& g) {
  for (const Node& n : g.nodes()) {
    std::vector<Type> types;
    for (u32 v : g.operands(n)) {
      if (v >= n.first_result) internal("[" + std::string(n.op->name) + "] uses a value before it is made");
      types.push_back(g.type(v));
    }
    std::vector<Type> results = n.op->type(types, check_call(*n.op, types, n.attrs));
    auto have = g.result_types(n);
    if (!std::equal(results.begin(), results.end(), have.begin(), have.end()))
      internal("[" + std::string(n.op->name) + "] the type rule gives other results than the graph holds");
    for (const auto& [key, value] : n.attrs.items())
      if (const auto* sub = std::get_if<GraphPtr>(&value); sub && *sub) verify(**sub);
  }
  for (u32 o : g.outputs())
    if (o >= g.value_count()) internal("an output is not a value of the graph");
}

const GraphPtr* Program::find(std::string_view graph_name) const {
  for (const auto& [n, g] : graphs)
    if (n == graph_name) return &g;
  return nullptr;
}

}  // namespace tn
