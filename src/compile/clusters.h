// Clusters: which nodes share a kernel. Element-wise nodes of one shape that feed each other, reductions over its last
// axes with what comes before and after them, and what follows a contraction element by element. Movements belong to
// no cluster: whoever reads them computes them on the way. So is a cheap value that another cluster reads too, when
// what it is made of lies in memory anyway: computing it twice costs less than storing it.
#pragma once
#include <algorithm>
#include <vector>

#include "base/list.h"
#include "compile/group.h"
#include "compile/unit_order.h"

namespace tn {

struct Cluster {
  Group::Kind kind = Group::Kind::map;
  Shape domain;         // of its elements
  RowAxes row_axes;     // of rows
  u32 anchor = 0;       // the contraction or reduction it is about
  u32 unit = 0;         // its place in the order of all that becomes a step
  bool sealed = false;  // nothing may join
  std::vector<u32> nodes;
};

class Clusters {
 public:
  Clusters(const Graph& g, const GraphIndex& index, bool fusing);
  Clusters(const Clusters&) = delete;
  Clusters& operator=(const Clusters&) = delete;

  static constexpr int kNone = -1;
  const std::vector<Cluster>& all() const { return clusters_; }
  /// The cluster of a node; none for movements, constants and what is no kernel.
  int of(u32 node) const { return cluster_of_[node]; }
  /// Values that lie in memory: read by another cluster or instruction, or results of the graph.
  bool in_memory(u32 value) const { return in_memory_[value]; }
  /// The nodes a cluster's kernel computes, movements on the way included; and the values it stores.
  Group group(int cluster) const;
  /// What a kernel that makes the node computes besides, because it lies nowhere.
  void add_on_the_way(NodeSet& computed, std::vector<u32> from) const;
  /// Cuts a cluster in two, what asks for the value at another place and the rest, so that what it reads lies in
  /// memory.
  void cut(int cluster, const Refusal& refusal);
  /// The value shall lie in memory.
  void need(u32 value);

 private:
  static constexpr size_t kMostNodes = 64;  // of a cluster: keeps kernels and the depth of at() small
  /// A value a node reads, directly or through movements.
  struct Read {
    u32 value;
    bool moved;
  };
  Cluster& at(int cluster) { return clusters_[static_cast<size_t>(cluster)]; }
  const Cluster& at(int cluster) const { return clusters_[static_cast<size_t>(cluster)]; }
  bool is_movement(u32 node) const;
  bool is_output(u32 value) const { return output_[value]; }
  // Making clusters.
  u32 new_unit(u32 node);
  std::vector<u32> read_units(u32 unit) const;
  std::vector<u32> read_units(std::span<const u32> nodes, u32 except) const;
  void find_sources(u32 node);
  std::vector<Read> reads(u32 node) const;
  int start(u32 node, Group::Kind kind, Shape domain);
  void add(u32 node);
  bool reads_through(u32 node, u32 movement) const;
  std::vector<u32> cut_off(int cluster, const Refusal& refusal, bool by_movement) const;
  void add_part(const Cluster& whole, std::vector<u32> nodes);
  void join_element(u32 node);
  void join_reduction(u32 node);
  std::vector<int> candidates(u32 node) const;
  bool fits(const Cluster& c, u32 node, const Read& read) const;
  bool heads_for_rows(u32 value) const;
  bool merge(int into, int from);
  bool jumps(const Cluster& c) const;
  // Joining clusters.
  void join_clusters();
  void absorb_prologues();
  void join_columns();
  bool waits_for_columns(const Cluster& reader, int maker) const;
  bool share_rows(const Cluster& c, const Cluster& columns) const;
  void join_siblings();
  std::vector<u32> join_alike();
  void join_numbers(const std::vector<u32>& sweeps);
  bool reads_from(int reader, int maker) const;
  bool makes_numbers(const Cluster& c) const;
  bool walks_lines(const Cluster& c) const;
  std::vector<u32> elements_read(const Cluster& c, std::span<const Dim> shape) const;
  std::vector<int> readers(u32 value) const;
  // Memory.
  void find_memory();
  void note_readers(u32 node);
  void recompute_cheap();
  bool is_cheap(u32 value, std::vector<u32>& small) const;
  bool reads_once(u32 node, u32 value) const;

  const Graph& g_;
  const GraphIndex& index_;
  bool fusing_;
  std::vector<Cluster> clusters_;
  std::vector<int> cluster_of_;
  std::vector<bool> output_;
  std::vector<std::vector<u32>> sources_;  // by movement: the values it moves
  std::vector<bool> opaque_;               // movements of too many values: in memory
  UnitOrder order_;
  std::vector<u32> unit_of_;  // by node
  std::vector<std::vector<u32>> unit_nodes_;
  std::vector<u32> earlier_effect_;  // by node with an effect: the one before
  u32 last_effect_ = kNobody;
  static constexpr u32 kNobody = ~0u;

  std::vector<bool> in_memory_, fixed_;  // by value; fixed: whoever reads it needs it in memory
  std::vector<u32> needed_;
  std::vector<std::vector<int>> reached_;  // by movement node: clusters that compute it on the way
};

/// Elements that one thread may have.
inline constexpr i64 kMostAlone = 65536;

/// A reshape or barrier: the result is the operand's memory.
bool is_alias(const Node& n);
/// A constant of one element: written into the kernels that use it.
bool is_literal(const Node& n);

}  // namespace tn
