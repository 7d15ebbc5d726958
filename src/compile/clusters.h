// Clusters: which nodes share a kernel. Element-wise nodes of one shape that feed each other, reductions over its last
// axes with what comes before and after them, and what follows a contraction element by element. Movements belong to
// no cluster: whoever reads them computes them on the way.
#pragma once
#include <vector>

#include "compile/group.h"

namespace tn {

struct Cluster {
  Group::Kind kind = Group::Kind::map;
  Shape domain;         // of its elements
  size_t row_axes = 0;  // rows: how many of the last axes the reductions go over
  u32 anchor = 0;
  bool sealed = false;  // nothing may join
  std::vector<u32> nodes;
};

class Clusters {
 public:
  Clusters(const Graph& g, const GraphIndex& index, bool fusing);

  static constexpr int kNone = -1;
  const std::vector<Cluster>& all() const { return clusters_; }
  /// The cluster of a node; none for movements, constants and what is no kernel.
  int of(u32 node) const { return cluster_of_[node]; }
  /// Values that lie in memory: read by another cluster or instruction, or results of the graph.
  bool in_memory(u32 value) const { return in_memory_[value]; }
  /// The nodes a cluster's kernel computes, movements on the way included; and the values it stores.
  Group group(int cluster) const;
  /// Takes the cluster apart: each of its nodes becomes a kernel of its own.
  void take_apart(int cluster);
  /// The value shall lie in memory.
  void need(u32 value);

 private:
  bool is_movement(u32 node) const;
  int start(u32 node, Group::Kind kind, Shape domain);
  void add(u32 node);
  void join_element(u32 node);
  void join_reduction(u32 node);
  std::vector<int> candidates(u32 node) const;
  bool fits(const Cluster& c, u32 node, u32 operand, bool moved) const;
  bool reaches(u32 node, int cluster) const;
  void merge(int into, int from);
  void absorb_prologues();
  void find_memory();
  std::vector<int> readers(u32 value) const;

  const Graph& g_;
  const GraphIndex& index_;
  std::vector<Cluster> clusters_;
  std::vector<int> cluster_of_;
  std::vector<bool> in_memory_;
  std::vector<u32> needed_;
  std::vector<std::vector<int>> reached_;  // by movement node: clusters that compute it on the way
};

/// A reshape or barrier: the result is the operand's memory.
bool is_alias(const Node& n);
/// A constant of one element: written into the kernels that use it.
bool is_literal(const Node& n);

}  // namespace tn
