// Which values lie in memory, and what each kernel computes on the way.
#include <algorithm>

#include "compile/clusters.h"
#include "compile/explain.h"

namespace tn {

/// Which clusters compute the node's results on the way; notes what has to lie in memory.
void Clusters::note_readers(u32 n) {
  const Node& node = g_.nodes()[n];
  bool movement = node.op->lower.as<Movement>() != nullptr;
  std::vector<int> by;
  for (u32 i = 0; i < node.result_count; ++i) {
    u32 v = node.first_result + i;
    for (u32 user : index_.users[v]) {
      bool moved = g_.nodes()[user].op->lower.as<Movement>() && !in_memory_[g_.nodes()[user].first_result];
      if (moved) {
        by.insert(by.end(), reached_[user].begin(), reached_[user].end());
        continue;
      }
      int c = cluster_of_[user];
      const Cluster* reader = c < 0 ? nullptr : &at(c);
      // Prefixes and places read their operands many times along their own walk; contractions and attention pack them,
      // each element once, or refuse.
      bool walks = !reader || (user == reader->anchor &&
                               (reader->kind == Group::Kind::prefix || reader->kind == Group::Kind::arg));
      bool costly = g_.nodes()[user].op->lower.as<Costly>() && !(fusing_ && reads_once(user, v));
      if (walks || costly)
        in_memory_[v] = fixed_[v] = true;
      else
        by.push_back(c);
    }
    if (movement) continue;
    for (int c : by) in_memory_[v] = in_memory_[v] || c != cluster_of_[n];
  }
  std::sort(by.begin(), by.end());
  by.erase(std::unique(by.begin(), by.end()), by.end());
  if (movement) reached_[n] = std::move(by);
  if (movement && is_alias(node) && in_memory_[node.first_result])
    in_memory_[g_.operands(node)[0]] = fixed_[g_.operands(node)[0]] = true;
}

void Clusters::find_memory() {
  fixed_.assign(g_.value_count(), false);
  reached_.assign(g_.nodes().size(), {});
  for (u32 o : g_.outputs()) fixed_[o] = true;
  for (u32 v : needed_) fixed_[v] = true;
  for (u32 n = 0; n < g_.nodes().size(); ++n)
    if (opaque_[n]) fixed_[g_.nodes()[n].first_result] = true;
  in_memory_ = fixed_;
  for (u32 n = static_cast<u32>(g_.nodes().size()); n-- > 0;) note_readers(n);
  if (fusing_) recompute_cheap();
}

// ---------------------------------------------------------------- computing again

namespace {

constexpr size_t kCheapNodes = 24;  // of the loop language

struct Probe {
  size_t nodes = 0, loads = 0;
  bool plain = true;  // no loops, no gathers
};

/// What computing a value at one place takes, with these nodes computed.
Probe probe(const Graph& g, const GraphIndex& index, const NodeSet& computed, u32 value) {
  KernelWriter w(g, index, computed, "probe");
  Coords at;
  for (Dim extent : g.type(value).shape())
    at.push_back(extent == Dim(1) ? Dim(0) : Dim::symbol("at'" + std::to_string(at.size())));
  w.set_tile({1, 1});
  w.at(value, at);
  Probe p;
  for (const loops::Node& n : w.kernel().nodes) {
    ++p.nodes;
    p.loads += n.kind == loops::Kind::load;
    p.plain = p.plain && n.kind != loops::Kind::loop && n.kind != loops::Kind::gather && n.kind != loops::Kind::index;
  }
  return p;
}

}  // namespace

/// Whether a costly node reads each element of the operand at most once, so that it may be computed on the way.
bool Clusters::reads_once(u32 node, u32 value) const {
  NodeSet computed;
  computed.insert(node);
  u32 result = g_.nodes()[node].first_result;
  try {
    Probe p = probe(g_, index_, computed, result);
    return p.plain && g_.operands(g_.nodes()[node]).size() == 1 &&
           provably_nonnegative(g_.type(value).size() - Dim(static_cast<i64>(p.loads)) * g_.type(result).size());
  } catch (const Refusal&) { return false; }
}

/// Movements by which a small value is read at every place of a large one.
static bool spreads(const Node& n) {
  const auto* m = n.op->lower.as<Movement>();
  return m && m->holds != Movement::Holds::any;
}

/// Whether a value takes few operations on what lies in memory: one value as large as it is, and `small` ones.
bool Clusters::is_cheap(u32 value, std::vector<u32>& small) const {
  auto shape = g_.type(value).shape();
  NodeSet computed;
  std::vector<u32> open{value}, large;
  for (size_t k = 0; k < open.size(); ++k) {
    if (open.size() > kCheapNodes) return false;
    u32 n = index_.producer[open[k]];
    if (!g_.nodes()[n].op->lower.as<Scalar>()) return false;
    computed.insert(n);
    for (u32 operand : g_.operands(g_.nodes()[n])) {
      u32 v = operand, p = index_.producer[v];
      bool moved = false;
      while (p != GraphIndex::kInput && spreads(g_.nodes()[p]) && !in_memory_[v]) {
        computed.insert(p);
        moved = true;
        v = g_.operands(g_.nodes()[p])[0];
        p = index_.producer[v];
      }
      if (p != GraphIndex::kInput && is_constant(g_.nodes()[p])) continue;
      bool whole = same(g_.type(v).shape(), shape);
      if (moved && g_.type(v).size() == g_.type(value).size()) return false;
      std::vector<u32>* list = !whole ? &small : p == GraphIndex::kInput || in_memory_[v] ? &large : &open;
      if (!whole && p != GraphIndex::kInput && !in_memory_[v] && cluster_of_[p] < 0) return false;
      if (std::find(list->begin(), list->end(), v) == list->end()) list->push_back(v);
    }
  }
  if (large.size() > 1) return false;
  try {
    return probe(g_, index_, computed, value).nodes <= kCheapNodes;
  } catch (const Refusal&) { return false; }
}

void Clusters::recompute_cheap() {
  for (u32 n = 0; n < g_.nodes().size(); ++n) {
    u32 v = g_.nodes()[n].first_result;
    if (cluster_of_[n] < 0 || !in_memory_[v] || fixed_[v]) continue;
    Group::Kind kind = at(cluster_of_[n]).kind;
    if (kind != Group::Kind::map && kind != Group::Kind::rows) continue;
    std::vector<u32> small;
    if (!is_cheap(v, small)) continue;
    in_memory_[v] = false;
    if (explaining())
      explain("fuse", "%" + std::to_string(v) + ", the " + std::string(g_.nodes()[n].op->name) + " " +
                          to_string(g_.type(v)) + ", is computed again where it is read");
    for (u32 s : small)
      if (index_.producer[s] != GraphIndex::kInput) in_memory_[s] = true;
  }
}

// ---------------------------------------------------------------- groups

void Clusters::add_on_the_way(NodeSet& computed, std::vector<u32> from) const {
  std::vector<u32> mine = from;
  auto reads_own = [&](u32 movement) {
    return std::any_of(sources_[movement].begin(), sources_[movement].end(),
                       [&](u32 s) { return std::find(mine.begin(), mine.end(), index_.producer[s]) != mine.end(); });
  };
  while (!from.empty()) {
    u32 n = from.back();
    from.pop_back();
    for (u32 v : g_.operands(g_.nodes()[n])) {
      u32 p = index_.producer[v];
      if (p == GraphIndex::kInput || computed.contains(p) || is_constant(g_.nodes()[p])) continue;
      // What is moved from the kernel's own values is not in memory yet when the kernel runs.
      if (in_memory_[v] && !(is_movement(p) && !opaque_[p] && reads_own(p))) continue;
      computed.insert(p);
      from.push_back(p);
    }
  }
}

Group Clusters::group(int cluster) const {
  const Cluster& c = at(cluster);
  Group group;
  group.kind = c.kind;
  group.anchor = c.anchor;
  for (u32 n : c.nodes) {
    group.computed.insert(n);
    for (u32 i = 0; i < g_.nodes()[n].result_count; ++i)
      if (in_memory_[g_.nodes()[n].first_result + i]) group.outputs.push_back(g_.nodes()[n].first_result + i);
  }
  add_on_the_way(group.computed, c.nodes);
  return group;
}

/// Nodes of a cluster that was cut. What went around a reduction or contraction that is not among them is made of maps.
void Clusters::add_part(const Cluster& whole, std::vector<u32> nodes) {
  auto start_part = [&](Group::Kind kind, u32 anchor, std::vector<u32> members) {
    Cluster part = whole;
    part.kind = kind;
    part.anchor = anchor;
    if (kind == Group::Kind::map) {
      auto shape = g_.type(g_.nodes()[members[0]].first_result).shape();
      part.domain.assign(shape.begin(), shape.end());
    }
    for (u32 n : members) cluster_of_[n] = static_cast<int>(clusters_.size());
    part.nodes = std::move(members);
    clusters_.push_back(std::move(part));
  };
  auto is_reduction = [&](u32 n) { return g_.nodes()[n].op->lower.as<Reduction>() != nullptr; };
  auto anchor = std::find(nodes.begin(), nodes.end(), whole.anchor);
  if (anchor == nodes.end()) anchor = std::find_if(nodes.begin(), nodes.end(), is_reduction);
  if (whole.kind == Group::Kind::map) return start_part(whole.kind, nodes[0], nodes);
  if (anchor != nodes.end()) return start_part(whole.kind, *anchor, nodes);
  auto shape_of = [&](u32 n) { return g_.type(g_.nodes()[n].first_result).shape(); };
  for (auto from = nodes.begin(); from != nodes.end();) {
    auto to = std::find_if(from, nodes.end(), [&](u32 n) { return !same(shape_of(n), shape_of(*from)); });
    start_part(Group::Kind::map, *from, {from, to});
    from = to;
  }
}

bool Clusters::reads_through(u32 node, u32 movement) const {
  std::vector<u32> open{node};
  for (size_t k = 0; k < open.size(); ++k)
    for (u32 v : g_.operands(g_.nodes()[open[k]])) {
      u32 p = index_.producer[v];
      if (p == movement) return true;
      if (p != GraphIndex::kInput && is_movement(p) && !opaque_[p]) add_once(open, p);
    }
  return false;
}

/// Nodes of the cluster that read the value, or its values through the movement, and what depends on them.
std::vector<u32> Clusters::cut_off(int cluster, const Refusal& refusal, bool by_movement) const {
  std::vector<u32> late, nodes;
  if (!by_movement) late.push_back(refusal.value);
  auto is_late = [&](const Read& r) { return std::find(late.begin(), late.end(), r.value) != late.end(); };
  auto is_own = [&](const Read& r) { return r.moved && cluster_of_[index_.producer[r.value]] == cluster; };
  for (u32 n : at(cluster).nodes) {
    std::vector<Read> all = reads(n);
    bool moves = by_movement && std::any_of(all.begin(), all.end(), is_own) && reads_through(n, refusal.movement);
    if (!moves && std::none_of(all.begin(), all.end(), is_late)) continue;
    nodes.push_back(n);
    for (u32 i = 0; i < g_.nodes()[n].result_count; ++i) late.push_back(g_.nodes()[n].first_result + i);
  }
  return nodes;
}

void Clusters::cut(int cluster, const Refusal& refusal) {
  std::vector<u32> then, first;
  if (refusal.movement != Refusal::kNone) then = cut_off(cluster, refusal, true);
  if (then.empty() || then.size() == at(cluster).nodes.size()) then = cut_off(cluster, refusal, false);
  Cluster whole = std::move(at(cluster));
  at(cluster).nodes.clear();
  std::set_difference(whole.nodes.begin(), whole.nodes.end(), then.begin(), then.end(), std::back_inserter(first));
  if (then.empty() || first.empty()) {  // it stores the value itself and cannot: each node alone can
    for (u32 n : whole.nodes) add(n);
  } else {
    add_part(whole, std::move(first));
    add_part(whole, std::move(then));
  }
  find_memory();
}

void Clusters::need(u32 value) {
  needed_.push_back(value);
  find_memory();
}

}  // namespace tn
