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
constexpr int kMostRefused = 16;    // before the search for more to join a sweep ends

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
    if (is_output(open[k])) found.push_back(kOutside);
    for (u32 user : index_.users[open[k]]) {
      if (is_movement(user))
        open.push_back(g_.nodes()[user].first_result);
      else
        found.push_back(cluster_of_[user] < 0 ? kOutside : cluster_of_[user]);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
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

/// Whether a node of the cluster reads what another makes.
bool Clusters::reads_from(int reader, int maker) const {
  std::vector<u32> units = read_units(at(reader).nodes, at(reader).unit);
  return std::find(units.begin(), units.end(), at(maker).unit) != units.end();
}

/// Maps that do the same to different tensors, as optimisers do, become one sweep over all of them (not those of a
/// chain: its kernel would be as deep as the chain is long); gives a node of each sweep.
std::vector<u32> Clusters::join_alike() {
  std::map<std::vector<std::pair<std::string_view, size_t>>, std::vector<int>> alike;
  for (size_t c = 0; c < clusters_.size(); ++c) {
    if (clusters_[c].nodes.empty() || clusters_[c].kind != Group::Kind::map || clusters_[c].sealed) continue;
    if (clusters_[c].nodes.size() < 2 || jumps(clusters_[c])) continue;
    alike[mix_of(g_, clusters_[c])].push_back(static_cast<int>(c));
  }
  std::vector<u32> sweeps;
  for (const auto& [mix, list] : alike)
    for (size_t i = 0; i < list.size(); ++i) {
      if (at(list[i]).nodes.empty()) continue;
      bool joined = false;
      int refused = 0;
      for (size_t k = i + 1; k < list.size() && refused < kMostRefused; ++k) {
        if (at(list[k]).nodes.empty() || at(list[i]).nodes.size() + at(list[k]).nodes.size() > kMostSwept) continue;
        bool apart = !reads_from(list[i], list[k]) && !reads_from(list[k], list[i]);
        if (apart && merge(list[i], list[k]))
          joined = true;
        else
          ++refused;
      }
      if (joined) sweeps.push_back(at(list[i]).nodes[0]);
    }
  return sweeps;
}

/// Whether each of its results is a number.
bool Clusters::makes_numbers(const Cluster& c) const {
  return std::all_of(c.nodes.begin(), c.nodes.end(),
                     [&](u32 n) { return g_.type(g_.nodes()[n].first_result).size() == Dim(1); });
}

/// Whether it walks whole tensors as lines: what it reads by movements are numbers, or the same elements reshaped.
bool Clusters::walks_lines(const Cluster& c) const {
  auto plain = [&](u32 v) {
    u32 p = index_.producer[v];
    if (p == GraphIndex::kInput || !is_movement(p) || is_alias(g_.nodes()[p]) || is_literal(g_.nodes()[p])) return true;
    auto from = g_.operands(g_.nodes()[p]);
    return from.size() == 1 && g_.type(from[0]).size() == Dim(1);
  };
  return std::all_of(c.nodes.begin(), c.nodes.end(), [&](u32 n) {
    auto operands = g_.operands(g_.nodes()[n]);
    return std::all_of(operands.begin(), operands.end(), plain);
  });
}

/// Numbers that one sweep alone reads, as an optimiser's rates, are made by each of its iterations: that is less than
/// waiting for a kernel before it. Those that are results alone, as its count of steps, go along with the largest.
void Clusters::join_numbers(const std::vector<u32>& sweeps) {
  constexpr size_t kFewNodes = 48;
  auto fits = [&](u32 sweep) {
    const Cluster& c = at(cluster_of_[sweep]);
    return !c.sealed && !makes_numbers(c) && walks_lines(c);
  };
  for (int c = static_cast<int>(clusters_.size()); c-- > 0 && !sweeps.empty();) {
    const Cluster& numbers = at(c);
    if (numbers.kind != Group::Kind::map || numbers.nodes.empty() || numbers.nodes.size() > kFewNodes) continue;
    if (numbers.sealed || jumps(numbers) || !makes_numbers(numbers)) continue;
    std::vector<int> by;
    bool used = false;
    for (u32 n : numbers.nodes) {
      for (u32 user : index_.users[g_.nodes()[n].first_result]) used = used || cluster_of_[user] != c;
      for (int reader : readers(g_.nodes()[n].first_result))
        if (reader >= 0 && reader != c) add_once(by, reader);
    }
    u32 best = kNobody;
    for (u32 sweep : sweeps) {
      int s = cluster_of_[sweep];
      bool reads = used ? by.size() == 1 && by[0] == s : by.empty();
      if (s == c || !reads || !fits(sweep) || at(s).nodes.size() + numbers.nodes.size() > kMostSwept) continue;
      if (best == kNobody || at(s).nodes.size() > at(cluster_of_[best]).nodes.size()) best = sweep;
    }
    if (best != kNobody) merge(c, cluster_of_[best]);
  }
}

}  // namespace tn
