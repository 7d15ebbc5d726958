#include "compile/clusters.h"

#include <algorithm>

#include "compile/attention.h"
#include "compile/passes.h"

namespace tn {

namespace {

constexpr size_t kMostSources = 32;  // of a movement that is computed on the way
constexpr i64 kFewRows = 16;         // that one thread may have

}  // namespace

bool is_alias(const Node& n) {
  const auto* m = n.op->lower.as<Movement>();
  return m ? m->holds == Movement::Holds::same : is(*n.op, Structured::Kind::barrier);
}

bool is_literal(const Node& n) { return is_constant(n) && n.attrs.get<Array>("value").size() == 1; }

Clusters::Clusters(const Graph& g, const GraphIndex& index, bool fusing)
    : g_(g),
      index_(index),
      fusing_(fusing),
      cluster_of_(g.nodes().size(), kNone),
      output_(g.value_count(), false),
      sources_(g.nodes().size()),
      opaque_(g.nodes().size(), false),
      order_([this](u32 unit) { return read_units(unit); }),
      unit_of_(g.nodes().size(), kNobody),
      earlier_effect_(g.nodes().size(), kNobody) {
  for (u32 o : g.outputs()) output_[o] = true;
  for (u32 n = 0; n < g.nodes().size(); ++n) {
    const Lower& lower = g.nodes()[n].op->lower;
    if (is_constant(g.nodes()[n])) continue;
    if (is_movement(n))
      find_sources(n);
    else if (lower.as<Scalar>())
      fusing ? join_element(n) : add(n);
    else if (lower.as<Reduction>())
      fusing ? join_reduction(n) : add(n);
    else if (lower.as<Costly>() || lower.as<Contraction>() || lower.as<Prefix>() || lower.as<ArgReduction>() ||
             has_template(g.nodes()[n]))
      add(n);
    else
      new_unit(n);
  }
  if (fusing) join_clusters();
  find_memory();
}

bool Clusters::is_movement(u32 node) const {
  const Node& n = g_.nodes()[node];
  return n.op->lower.as<Movement>() || is_literal(n);
}

// ---------------------------------------------------------------- units

u32 Clusters::new_unit(u32 node) {
  u32 unit = unit_of_[node] = order_.add();
  unit_nodes_.push_back({node});
  if (g_.nodes()[node].effectful) {
    earlier_effect_[node] = last_effect_;
    last_effect_ = node;
  }
  return unit;
}

/// What a movement moves: it is computed on the way, so its readers read that.
void Clusters::find_sources(u32 node) {
  for (const Read& r : reads(node)) add_once(sources_[node], r.value);
  if (sources_[node].size() <= kMostSources && 2 * g_.operands(g_.nodes()[node]).size() < kMostJoined) return;
  opaque_[node] = true;
  new_unit(node);
}

std::vector<Clusters::Read> Clusters::reads(u32 node) const {
  std::vector<Read> found;
  for (u32 v : g_.operands(g_.nodes()[node])) {
    u32 p = index_.producer[v];
    if (p == GraphIndex::kInput || is_constant(g_.nodes()[p])) continue;
    if (!is_movement(p) || opaque_[p])
      found.push_back({v, false});
    else
      for (u32 s : sources_[p]) found.push_back({s, true});
  }
  return found;
}

std::vector<u32> Clusters::read_units(std::span<const u32> nodes, u32 except) const {
  std::vector<u32> units;
  auto note = [&](u32 node) {
    if (unit_of_[node] != except) add_once(units, unit_of_[node]);
  };
  for (u32 n : nodes) {
    for (const Read& r : reads(n)) note(index_.producer[r.value]);
    if (earlier_effect_[n] != kNobody) note(earlier_effect_[n]);
  }
  return units;
}

std::vector<u32> Clusters::read_units(u32 unit) const { return read_units(unit_nodes_[unit], unit); }

// ---------------------------------------------------------------- making clusters

int Clusters::start(u32 node, Group::Kind kind, Shape domain) {
  Cluster c;
  c.kind = kind;
  c.domain = std::move(domain);
  c.anchor = node;
  if (fusing_) c.unit = new_unit(node);
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
    RowAxes axes = row_axes(n.attrs.get<std::vector<i64>>("axes"), operand.size());
    bool rows = axes.trail > 0;
    at(start(node, rows ? Group::Kind::rows : Group::Kind::columns, rows ? operand : result)).row_axes = axes;
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
  at(start(node,
           prefix ? Group::Kind::prefix
           : arg  ? Group::Kind::arg
                  : Group::Kind::map,
           result))
      .sealed = prefix || arg;
}

static Dim row_count(const Cluster& c) { return product(kept_extents(c.domain, c.row_axes)); }

/// Rows so long and few that a pass over the elements after the reduction would run on one thread.
static bool is_long(const Cluster& c) {
  if (c.kind != Group::Kind::rows) return false;
  Dim rows = row_count(c), length = product(c.domain);
  return rows.is_constant() && rows.value() < kFewRows && !(length.is_constant() && length.value() <= kMostAlone);
}

/// Whether `node` may read this value, made in c, inside c.
bool Clusters::fits(const Cluster& c, u32 node, const Read& read) const {
  if (c.sealed || c.nodes.size() >= kMostNodes) return false;
  const Node& n = g_.nodes()[node];
  auto shape = g_.type(n.first_result).shape();
  bool elements = same(shape, c.domain);
  if (c.kind != Group::Kind::rows) return elements && !read.moved;
  bool outer = !same(g_.type(read.value).shape(), c.domain);
  // A sum down the columns is there when all rows are done.
  const Node& maker = g_.nodes()[index_.producer[read.value]];
  if (maker.op->lower.as<Reduction>() &&
      row_axes(maker.attrs.get<std::vector<i64>>("axes"), c.domain.size()).trail == 0)
    return false;
  if (elements && is_long(c)) return false;
  if (elements) return outer == read.moved;
  return outer && g_.type(n.first_result).size() == row_count(c);
}

/// Whether a value is read element by element only, and some of what becomes of it is reduced: then it is best made in
/// the kernel of that reduction, which reads it more than once, and needs no place in memory.
bool Clusters::heads_for_rows(u32 value) const {
  constexpr size_t kMostSeen = 32;
  if (is_output(value)) return false;
  bool reduced = false;
  std::vector<u32> open{value};
  for (size_t k = 0; k < open.size() && k < kMostSeen; ++k)
    for (u32 user : index_.users[open[k]]) {
      const Node& n = g_.nodes()[user];
      bool element = n.op->lower.as<Scalar>() && same(g_.type(n.first_result).shape(), g_.type(value).shape());
      if (n.op->lower.as<Reduction>()) reduced = true;
      if (element) add_once(open, n.first_result);
      if (k == 0 && !element && !n.op->lower.as<Reduction>()) return false;
    }
  return reduced;
}

/// Clusters that make something the node reads and may take it in, the newest first.
std::vector<int> Clusters::candidates(u32 node) const {
  std::vector<int> found, refused;
  for (const Read& r : reads(node)) {
    int c = cluster_of_[index_.producer[r.value]];
    if (c < 0) continue;
    (fits(at(c), node, r) ? found : refused).push_back(c);
  }
  bool reduced = heads_for_rows(g_.nodes()[node].first_result);
  std::erase_if(found, [&](int c) {
    return std::find(refused.begin(), refused.end(), c) != refused.end() ||
           (reduced && (at(c).kind == Group::Kind::contraction || jumps(at(c))));
  });
  std::sort(found.rbegin(), found.rend());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

/// False when the two would wait for each other in a circle.
bool Clusters::merge(int into, int from) {
  Cluster &a = at(into), &b = at(from);
  bool first = order_.before(a.unit, b.unit);
  u32 unit = first ? a.unit : b.unit, other = first ? b.unit : a.unit;
  std::vector<u32> others = read_units(unit_nodes_[other], other);
  std::erase(others, unit);
  if (!order_.follow(unit, others)) return false;
  for (u32 n : b.nodes) cluster_of_[n] = into;
  a.nodes.insert(a.nodes.end(), b.nodes.begin(), b.nodes.end());
  std::sort(a.nodes.begin(), a.nodes.end());
  for (u32 n : a.nodes) unit_of_[n] = unit;
  unit_nodes_[other].clear();
  unit_nodes_[unit] = a.nodes;
  a.unit = unit;
  if (a.kind == Group::Kind::map) {
    a.kind = b.kind;
    a.anchor = b.anchor;
    a.row_axes = b.row_axes;
    a.domain = b.domain;
  }
  b.nodes.clear();
  b.sealed = true;
  return true;
}

void Clusters::join_element(u32 node) {
  int mine = kNone;
  for (int c : candidates(node)) {
    Cluster& cluster = at(c);
    if (mine == kNone) {
      if (!order_.follow(cluster.unit, read_units({&node, 1}, cluster.unit))) continue;
      mine = c;
      cluster.nodes.push_back(node);
      cluster_of_[node] = c;
      unit_of_[node] = cluster.unit;
      unit_nodes_[cluster.unit].push_back(node);
      continue;
    }
    // A second cluster this node reads: one kernel where they are alike.
    const Cluster& first = at(mine);
    bool plain = cluster.kind == Group::Kind::map || first.kind == Group::Kind::map;
    if (cluster.kind != first.kind && (jumps(cluster) || jumps(first))) continue;
    if (plain && same(cluster.domain, first.domain) && first.nodes.size() + cluster.nodes.size() <= kMostNodes)
      merge(mine, c);
  }
  if (mine == kNone) add(node);
}

/// Whether the elements are taken from other places than their own: rows, which walk all elements as one line, would
/// find each place by divisions.
bool Clusters::jumps(const Cluster& c) const {
  return std::any_of(c.nodes.begin(), c.nodes.end(), [&](u32 n) { return g_.nodes()[n].op->lower.as<Costly>(); });
}

void Clusters::join_reduction(u32 node) {
  add(node);
  int mine = cluster_of_[node];
  const Cluster& rows = at(mine);
  if (rows.kind != Group::Kind::rows || is_long(rows)) return;
  u32 operand = g_.operands(g_.nodes()[node])[0], p = index_.producer[operand];
  if (p == GraphIndex::kInput || cluster_of_[p] < 0) return;
  const Cluster& c = at(cluster_of_[p]);
  bool alike = c.kind == Group::Kind::map || (c.kind == Group::Kind::rows && c.row_axes == rows.row_axes);
  if (!c.sealed && c.nodes.size() < kMostNodes && same(c.domain, rows.domain) && alike && !jumps(c))
    merge(cluster_of_[p], mine);
}

}  // namespace tn
