#include "compile/clusters.h"

#include <algorithm>

#include "compile/attention.h"

namespace tn {

namespace {

constexpr size_t kMostNodes = 64;  // of a cluster: keeps kernels and the depth of at() small
constexpr i64 kFewRows = 16;
constexpr int kOutside = -2;  // a reader that is no cluster

bool same(std::span<const Dim> a, std::span<const Dim> b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

}  // namespace

bool is_alias(const Node& n) { return n.op->name == "reshape" || n.op->name == "barrier"; }

bool is_literal(const Node& n) { return n.op->name == "constant" && n.attrs.get<Array>("value").size() == 1; }

Clusters::Clusters(const Graph& g, const GraphIndex& index, bool fusing)
    : g_(g), index_(index), cluster_of_(g.nodes().size(), kNone) {
  for (u32 n = 0; n < g.nodes().size(); ++n) {
    const Lower& lower = g.nodes()[n].op->lower;
    if (lower.as<Scalar>() || lower.as<Costly>())
      fusing ? join_element(n) : add(n);
    else if (lower.as<Reduction>())
      fusing ? join_reduction(n) : add(n);
    else if (lower.as<Contraction>() || lower.as<Prefix>() || lower.as<ArgReduction>() || has_template(g.nodes()[n]))
      add(n);
  }
  if (fusing) absorb_prologues();
  find_memory();
}

bool Clusters::is_movement(u32 node) const {
  const Node& n = g_.nodes()[node];
  return n.op->lower.as<Movement>() || is_literal(n);
}

// ---------------------------------------------------------------- making clusters

int Clusters::start(u32 node, Group::Kind kind, Shape domain) {
  Cluster c;
  c.kind = kind;
  c.domain = std::move(domain);
  c.anchor = node;
  c.nodes = {node};
  clusters_.push_back(std::move(c));
  return cluster_of_[node] = static_cast<int>(clusters_.size()) - 1;
}

/// A cluster of one node.
void Clusters::add(u32 node) {
  const Node& n = g_.nodes()[node];
  auto shape_of = [&](u32 v) { return Shape(g_.type(v).shape().begin(), g_.type(v).shape().end()); };
  Shape result = shape_of(n.first_result);
  if (n.op->lower.as<Reduction>()) {
    Shape operand = shape_of(g_.operands(n)[0]);
    const auto& axes = n.attrs.get<std::vector<i64>>("axes");
    bool rows = axes.back() + 1 == static_cast<i64>(operand.size());
    int c = start(node, rows ? Group::Kind::rows : Group::Kind::columns, rows ? operand : result);
    clusters_[static_cast<size_t>(c)].row_axes = rows ? axes.size() : 0;
    return;
  }
  if (n.op->lower.as<Contraction>()) {
    start(node, Group::Kind::contraction, result);
    return;
  }
  if (has_template(n)) {
    start(node, Group::Kind::attention, result);
    return;
  }
  bool prefix = n.op->lower.as<Prefix>(), arg = n.op->lower.as<ArgReduction>();
  int c = start(node, prefix ? Group::Kind::prefix : arg ? Group::Kind::arg : Group::Kind::map, result);
  clusters_[static_cast<size_t>(c)].sealed = prefix || arg;
}

static Dim row_count(const Cluster& c) { return product(std::span(c.domain).first(c.domain.size() - c.row_axes)); }

/// Rows so long and few that a pass over the elements after the reduction would run on one thread.
static bool is_long(const Cluster& c) {
  if (c.kind != Group::Kind::rows) return false;
  Dim rows = row_count(c), length = product(std::span(c.domain).last(c.row_axes));
  return rows.is_constant() && rows.value() < kFewRows && !(length.is_constant() && length.value() <= kRowChunk);
}

/// Whether `node` may read `operand`, made in c, inside c; `moved`: through movements.
bool Clusters::fits(const Cluster& c, u32 node, u32 operand, bool moved) const {
  if (c.sealed || c.nodes.size() >= kMostNodes) return false;
  const Node& n = g_.nodes()[node];
  auto shape = g_.type(n.first_result).shape();
  bool elements = same(shape, c.domain);
  if (c.kind != Group::Kind::rows) return elements && !moved;
  bool operand_outer = !same(g_.type(operand).shape(), c.domain);
  if (elements && is_long(c)) return false;
  if (elements) return operand_outer == moved;
  return operand_outer && g_.type(n.first_result).size() == row_count(c);
}

/// Whether what `node` reads depends on the cluster by a way outside it.
bool Clusters::reaches(u32 node, int cluster) const {
  const Cluster& c = clusters_[static_cast<size_t>(cluster)];
  u32 oldest = *std::min_element(c.nodes.begin(), c.nodes.end());
  std::vector<std::pair<u32, bool>> open{{node, false}};  // node, whether it lies outside the cluster
  std::vector<u32> seen;
  for (size_t steps = 0; !open.empty(); ++steps) {
    if (steps > 5000) return true;
    auto [at, outside] = open.back();
    open.pop_back();
    for (u32 v : g_.operands(g_.nodes()[at])) {
      u32 p = index_.producer[v];
      if (p == GraphIndex::kInput || p < oldest) continue;
      if (cluster_of_[p] == cluster) {
        if (outside) return true;
        continue;
      }
      if (std::find(seen.begin(), seen.end(), p) != seen.end()) continue;
      seen.push_back(p);
      // A movement of a row's number back over the elements stays inside the kernel.
      bool inside = !outside && is_movement(p) && c.kind == Group::Kind::rows;
      open.emplace_back(p, !inside);
    }
  }
  return false;
}

/// Clusters that make an operand of the node and may take it in, the newest first.
std::vector<int> Clusters::candidates(u32 node) const {
  std::vector<int> found;
  for (u32 operand : g_.operands(g_.nodes()[node])) {
    u32 v = operand, p = index_.producer[v];
    bool moved = false;
    while (p != GraphIndex::kInput && is_movement(p) && !g_.operands(g_.nodes()[p]).empty()) {
      v = g_.operands(g_.nodes()[p])[0];
      p = index_.producer[v];
      moved = true;
    }
    if (p == GraphIndex::kInput || cluster_of_[p] < 0) continue;
    int c = cluster_of_[p];
    if (std::find(found.begin(), found.end(), c) == found.end() &&
        fits(clusters_[static_cast<size_t>(c)], node, v, moved))
      found.push_back(c);
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

void Clusters::merge(int into, int from) {
  Cluster &a = clusters_[static_cast<size_t>(into)], &b = clusters_[static_cast<size_t>(from)];
  for (u32 n : b.nodes) cluster_of_[n] = into;
  a.nodes.insert(a.nodes.end(), b.nodes.begin(), b.nodes.end());
  std::sort(a.nodes.begin(), a.nodes.end());
  if (a.kind == Group::Kind::map) {
    a.kind = b.kind;
    a.anchor = b.anchor;
    a.row_axes = b.row_axes;
    a.domain = b.domain;
  }
  b.nodes.clear();
  b.sealed = true;
}

void Clusters::join_element(u32 node) {
  if (!g_.nodes()[node].op->lower.as<Costly>()) {
    int mine = kNone;
    for (int c : candidates(node)) {
      if (reaches(node, c)) continue;
      Cluster& cluster = clusters_[static_cast<size_t>(c)];
      if (mine == kNone) {
        mine = c;
        cluster.nodes.push_back(node);
        cluster_of_[node] = c;
        continue;
      }
      // A second cluster this node reads: one kernel when neither depends on the other by a way outside.
      Cluster& first = clusters_[static_cast<size_t>(mine)];
      bool plain = cluster.kind == Group::Kind::map || first.kind == Group::Kind::map;
      if (!plain || !same(cluster.domain, first.domain) || first.nodes.size() + cluster.nodes.size() > kMostNodes)
        continue;
      auto apart = [&](const Cluster& x, int other) {
        return std::none_of(x.nodes.begin(), x.nodes.end(), [&](u32 n) { return n != node && reaches(n, other); });
      };
      if (apart(first, c) && apart(cluster, mine)) merge(mine, c);
    }
    if (mine != kNone) return;
  }
  add(node);
}

void Clusters::join_reduction(u32 node) {
  add(node);
  int mine = cluster_of_[node];
  Cluster& rows = clusters_[static_cast<size_t>(mine)];
  if (rows.kind != Group::Kind::rows || is_long(rows)) return;
  u32 operand = g_.operands(g_.nodes()[node])[0], p = index_.producer[operand];
  if (p == GraphIndex::kInput || cluster_of_[p] < 0) return;
  int before = cluster_of_[p];
  const Cluster& c = clusters_[static_cast<size_t>(before)];
  bool joins = !c.sealed && c.nodes.size() < kMostNodes && same(c.domain, rows.domain) &&
               (c.kind == Group::Kind::map || (c.kind == Group::Kind::rows && c.row_axes == rows.row_axes));
  if (joins && !reaches(node, before)) merge(before, mine);
}

/// The clusters (or kOutside) that read a value, through movements that are computed on the way.
std::vector<int> Clusters::readers(u32 value) const {
  std::vector<int> found;
  auto note = [&](int c) {
    if (std::find(found.begin(), found.end(), c) == found.end()) found.push_back(c);
  };
  std::vector<u32> open{value};
  for (size_t k = 0; k < open.size(); ++k) {
    if (k > 2000) return {kOutside};
    for (u32 o : g_.outputs())
      if (o == open[k]) note(kOutside);
    for (u32 user : index_.users[open[k]]) {
      if (is_movement(user))
        open.push_back(g_.nodes()[user].first_result);
      else
        note(cluster_of_[user] < 0 ? kOutside : cluster_of_[user]);
    }
  }
  return found;
}

/// A map that only one reduction reads is computed inside it.
void Clusters::absorb_prologues() {
  for (int c = static_cast<int>(clusters_.size()); c-- > 0;) {
    Cluster& reduction = clusters_[static_cast<size_t>(c)];
    if (reduction.nodes.empty()) continue;
    if (reduction.kind != Group::Kind::columns && reduction.kind != Group::Kind::rows) continue;
    u32 operand = g_.operands(g_.nodes()[reduction.anchor])[0], p = index_.producer[operand];
    if (p == GraphIndex::kInput || cluster_of_[p] < 0 || cluster_of_[p] == c) continue;
    int before = cluster_of_[p];
    const Cluster& map = clusters_[static_cast<size_t>(before)];
    if (map.kind != Group::Kind::map || !same(map.domain, g_.type(operand).shape())) continue;
    bool only = reduction.nodes.size() + map.nodes.size() <= kMostNodes;
    for (u32 n : map.nodes)
      for (int reader : readers(g_.nodes()[n].first_result)) only = only && (reader == before || reader == c);
    if (only) merge(c, before);
  }
}

// ---------------------------------------------------------------- memory

void Clusters::find_memory() {
  in_memory_.assign(g_.value_count(), false);
  reached_.assign(g_.nodes().size(), {});
  for (u32 o : g_.outputs()) in_memory_[o] = true;
  for (u32 v : needed_) in_memory_[v] = true;
  for (u32 n = static_cast<u32>(g_.nodes().size()); n-- > 0;) {
    const Node& node = g_.nodes()[n];
    bool movement = node.op->lower.as<Movement>() != nullptr;
    std::vector<int> by;  // clusters that compute this node's result on the way
    for (u32 i = 0; i < node.result_count; ++i) {
      u32 v = node.first_result + i;
      for (u32 user : index_.users[v]) {
        bool moved = g_.nodes()[user].op->lower.as<Movement>() && !in_memory_[g_.nodes()[user].first_result];
        if (moved) {
          by.insert(by.end(), reached_[user].begin(), reached_[user].end());
          continue;
        }
        int c = cluster_of_[user];
        const Cluster* reader = c < 0 ? nullptr : &clusters_[static_cast<size_t>(c)];
        // Prefixes, places and contractions read their operands many times or along their own walk.
        // Attention packs its operands, each element once.
        bool fixed = !reader ||
                     (user == reader->anchor && reader->kind != Group::Kind::map && reader->kind != Group::Kind::rows &&
                      reader->kind != Group::Kind::columns && reader->kind != Group::Kind::attention);
        bool costly = g_.nodes()[user].op->lower.as<Costly>() != nullptr;
        if (fixed || costly)
          in_memory_[v] = true;
        else
          by.push_back(c);
      }
      if (movement) continue;
      for (int c : by) in_memory_[v] = in_memory_[v] || c != cluster_of_[n];
    }
    if (movement) reached_[n] = by;
    if (movement && is_alias(node) && in_memory_[node.first_result]) in_memory_[g_.operands(node)[0]] = true;
  }
}

Group Clusters::group(int cluster) const {
  const Cluster& c = clusters_[static_cast<size_t>(cluster)];
  Group group;
  group.kind = c.kind;
  group.anchor = c.anchor;
  group.computed.assign(g_.nodes().size(), false);
  std::vector<u32> open = c.nodes;
  for (u32 n : c.nodes) {
    group.computed[n] = true;
    for (u32 i = 0; i < g_.nodes()[n].result_count; ++i)
      if (in_memory_[g_.nodes()[n].first_result + i]) group.outputs.push_back(g_.nodes()[n].first_result + i);
  }
  while (!open.empty()) {
    u32 n = open.back();
    open.pop_back();
    for (u32 v : g_.operands(g_.nodes()[n])) {
      u32 p = index_.producer[v];
      if (p == GraphIndex::kInput || group.computed[p] || in_memory_[v] || !g_.nodes()[p].op->lower.as<Movement>())
        continue;
      group.computed[p] = true;
      open.push_back(p);
    }
  }
  return group;
}

void Clusters::take_apart(int cluster) {
  std::vector<u32> nodes = std::move(clusters_[static_cast<size_t>(cluster)].nodes);
  clusters_[static_cast<size_t>(cluster)].nodes.clear();
  for (u32 n : nodes) add(n);
  find_memory();
}

void Clusters::need(u32 value) {
  needed_.push_back(value);
  find_memory();
}

}  // namespace tn
