// What whole clusters join once they are made: maps the reduction they feed, sums down columns the rows they go
// through, kernels that read the same numbers each other, and updates of many tensors one sweep over all of them.
#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>

#include "compile/clusters.h"

namespace tn {

namespace {

constexpr int kOutside = -2;        // a reader that is no cluster
constexpr size_t kMostSwept = 600;  // nodes of a sweep over many tensors

}  // namespace

void Clusters::join_clusters() {
  absorb_prologues();
  join_columns();
  join_siblings();
  join_numbers(join_alike());
}

/// The clusters (or kOutside) that read a value, through movements that are computed on the way.
std::vector<int> Clusters::readers(u32 value) const {
  std::vector<int> found;
  std::vector<u32> open{value};
  for (size_t k = 0; k < open.size(); ++k) {
    if (k > 2000) return {kOutside};
    if (is_output(open[k])) add_once(found, kOutside);
    for (u32 user : index_.users[open[k]]) {
      if (is_movement(user))
        open.push_back(g_.nodes()[user].first_result);
      else
        add_once(found, cluster_of_[user] < 0 ? kOutside : cluster_of_[user]);
    }
  }
  return found;
}

/// A map that only one reduction reads is computed inside it.
void Clusters::absorb_prologues() {
  for (int c = static_cast<int>(clusters_.size()); c-- > 0;) {
    const Cluster& reduction = at(c);
    if (reduction.nodes.empty()) continue;
    if (reduction.kind != Group::Kind::columns && reduction.kind != Group::Kind::rows) continue;
    u32 operand = g_.operands(g_.nodes()[reduction.anchor])[0], p = index_.producer[operand];
    if (p == GraphIndex::kInput || cluster_of_[p] < 0 || cluster_of_[p] == c) continue;
    int before = cluster_of_[p];
    const Cluster& map = at(before);
    if (map.kind != Group::Kind::map || !same(map.domain, g_.type(operand).shape()) || jumps(map)) continue;
    bool only = reduction.nodes.size() + map.nodes.size() <= kMostNodes;
    for (u32 n : map.nodes)
      for (int reader : readers(g_.nodes()[n].first_result)) only = only && (reader == before || reader == c);
    if (only) merge(c, before);
  }
}

/// Values of this shape that nodes of the cluster read directly.
std::vector<u32> Clusters::elements_read(const Cluster& c, std::span<const Dim> shape) const {
  std::vector<u32> list;
  for (u32 n : c.nodes)
    for (u32 v : g_.operands(g_.nodes()[n]))
      if (same(g_.type(v).shape(), shape)) add_once(list, v);
  return list;
}

/// Whether the cluster walks the rows that the columns go down, and reads some of their elements.
bool Clusters::share_rows(const Cluster& c, const Cluster& columns) const {
  const Node& reduction = g_.nodes()[columns.anchor];
  auto shape = g_.type(g_.operands(reduction)[0]).shape();
  size_t outer = reduction.attrs.get<std::vector<i64>>("axes").size();
  bool map = c.kind == Group::Kind::map, rows = c.kind == Group::Kind::rows && c.row_axes.lead == 0;
  if ((!map && !rows) || c.sealed || !same(c.domain, shape) || jumps(c)) return false;
  if (rows && c.row_axes.trail != shape.size() - outer) return false;
  if (c.nodes.size() + columns.nodes.size() > kMostNodes) return false;
  std::vector<u32> mine = elements_read(columns, shape), theirs = elements_read(c, shape);
  for (u32 n : c.nodes) theirs.push_back(g_.nodes()[n].first_result);
  return std::any_of(mine.begin(), mine.end(),
                     [&](u32 v) { return std::find(theirs.begin(), theirs.end(), v) != theirs.end(); });
}

/// Whether nodes of the cluster read what is there only when all rows of another are done: its sums down columns, and
/// what it makes of them.
bool Clusters::waits_for_columns(const Cluster& reader, int maker) const {
  std::vector<u32> late;
  auto reads_late = [&](u32 n) {
    std::vector<Read> all = reads(n);
    return std::any_of(all.begin(), all.end(),
                       [&](const Read& r) { return std::find(late.begin(), late.end(), r.value) != late.end(); });
  };
  for (u32 n : at(maker).nodes) {
    const Node& node = g_.nodes()[n];
    bool column = false;
    if (node.op->lower.as<Reduction>()) {
      auto rank = static_cast<size_t>(g_.type(g_.operands(node)[0]).rank());
      column = row_axes(node.attrs.get<std::vector<i64>>("axes"), rank).trail == 0;
    }
    if (column || reads_late(n)) late.push_back(node.first_result);
  }
  return std::any_of(reader.nodes.begin(), reader.nodes.end(), reads_late);
}

/// Sums down the columns of what another kernel walks row by row are taken there, on the way.
void Clusters::join_columns() {
  constexpr i64 kFewestRows = 2 * kColumnChunk;  // a chunk for each of two threads
  for (int c = 0; c < static_cast<int>(clusters_.size()); ++c) {
    if (at(c).nodes.empty() || at(c).kind != Group::Kind::columns) continue;
    const Node& reduction = g_.nodes()[at(c).anchor];
    const auto& axes = reduction.attrs.get<std::vector<i64>>("axes");
    auto shape = g_.type(g_.operands(reduction)[0]).shape();
    Dim rows = product(shape.first(axes.size())), size = product(shape);
    bool few = rows.is_constant() && rows.value() < kFewestRows;
    if (axes.front() != 0 || (few && !(size.is_constant() && size.value() <= kMostAlone))) continue;
    for (Group::Kind kind : {Group::Kind::rows, Group::Kind::map})
      for (int other = static_cast<int>(clusters_.size()); other-- > 0 && !at(c).nodes.empty();) {
        if (other == c || at(other).kind != kind || !share_rows(at(other), at(c))) continue;
        if (waits_for_columns(at(other), c) || waits_for_columns(at(c), other) || !merge(other, c)) continue;
        at(other).kind = Group::Kind::rows;
        at(other).domain.assign(shape.begin(), shape.end());
        at(other).row_axes = {0, shape.size() - axes.size()};
      }
  }
}

/// Two kernels over the same elements that read the same value become one, which reads it once.
void Clusters::join_siblings() {
  constexpr size_t kMostTogether = 48;  // nodes
  for (u32 v = 0; v < g_.value_count(); ++v) {
    std::vector<int> readers;
    for (u32 user : index_.users[v])
      if (int c = cluster_of_[user]; c >= 0 && std::find(readers.begin(), readers.end(), c) == readers.end())
        readers.push_back(c);
    std::sort(readers.begin(), readers.end());
    for (size_t i = 0; i < readers.size(); ++i)
      for (size_t k = i + 1; k < readers.size(); ++k) {
        const Cluster &a = at(readers[i]), &b = at(readers[k]);
        if (a.nodes.empty() || b.nodes.empty() || a.sealed || b.sealed || !same(a.domain, b.domain)) continue;
        bool maps = a.kind == Group::Kind::map && b.kind == Group::Kind::map;
        bool rows = a.kind == Group::Kind::rows && b.kind == Group::Kind::rows && a.row_axes == b.row_axes;
        if ((!maps && !rows) || a.nodes.size() + b.nodes.size() > kMostTogether) continue;
        if (jumps(a) != jumps(b)) continue;
        if (rows && (waits_for_columns(a, readers[k]) || waits_for_columns(b, readers[i]))) continue;
        merge(readers[i], readers[k]);
      }
  }
}

/// Which ops a cluster has, and in what proportion: the same whether it does them to one tensor or to three.
static std::vector<std::pair<std::string_view, size_t>> mix_of(const Graph& g, const Cluster& c) {
  std::map<std::string_view, size_t> counts;
  for (u32 n : c.nodes) ++counts[g.nodes()[n].op->name];
  size_t divisor = 0;
  for (const auto& [name, count] : counts) divisor = std::gcd(divisor, count);
  for (auto& [name, count] : counts) count /= divisor;
  return {counts.begin(), counts.end()};
}

/// Maps that do the same to different tensors, as optimisers do, become one sweep over all of them; gives the sweeps.
std::vector<int> Clusters::join_alike() {
  std::vector<int> sweeps;
  std::map<std::vector<std::pair<std::string_view, size_t>>, std::vector<int>> alike;
  for (size_t c = 0; c < clusters_.size(); ++c) {
    if (clusters_[c].nodes.empty() || clusters_[c].kind != Group::Kind::map || clusters_[c].sealed) continue;
    if (clusters_[c].nodes.size() < 2 || jumps(clusters_[c])) continue;
    alike[mix_of(g_, clusters_[c])].push_back(static_cast<int>(c));
  }
  for (const auto& [mix, list] : alike)
    for (size_t i = 0; i < list.size(); ++i) {
      if (at(list[i]).nodes.empty()) continue;
      for (size_t k = i + 1; k < list.size(); ++k)
        if (!at(list[k]).nodes.empty() && at(list[i]).nodes.size() + at(list[k]).nodes.size() <= kMostSwept)
          if (merge(list[i], list[k])) add_once(sweeps, list[i]);
    }
  return sweeps;
}

/// Numbers that one map alone reads, as an optimiser's rates, are made by each of its iterations: that is less than
/// waiting for a kernel before it. Those that no kernel reads, as its count of steps, go along with a sweep.
void Clusters::join_numbers(const std::vector<int>& sweeps) {
  constexpr size_t kFewNodes = 48;
  for (int c = static_cast<int>(clusters_.size()); c-- > 0;) {
    const Cluster& numbers = at(c);
    if (numbers.kind != Group::Kind::map || numbers.nodes.empty() || numbers.nodes.size() > kFewNodes) continue;
    if (product(numbers.domain) != Dim(1) || numbers.sealed || jumps(numbers)) continue;
    std::vector<int> by;
    for (u32 n : numbers.nodes)
      for (int reader : readers(g_.nodes()[n].first_result))
        if (reader >= 0 && reader != c) add_once(by, reader);
    if (by.empty() && !sweeps.empty()) by.push_back(sweeps.back());
    if (by.size() != 1 || by[0] == c) continue;
    const Cluster& map = at(by[0]);
    bool fits = map.kind == Group::Kind::map && !map.sealed && !jumps(map) && product(map.domain) != Dim(1);
    if (fits && map.nodes.size() + numbers.nodes.size() <= kMostSwept) merge(c, by[0]);
  }
}

}  // namespace tn
