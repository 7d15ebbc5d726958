// A set of nodes of a graph: few of many, so not a bit for each.
#pragma once
#include <algorithm>
#include <vector>

#include "tenon/dtype.h"

namespace tn {

class NodeSet {
 public:
  bool contains(u32 node) const { return std::binary_search(nodes_.begin(), nodes_.end(), node); }
  void insert(u32 node) {
    auto place = std::lower_bound(nodes_.begin(), nodes_.end(), node);
    if (place == nodes_.end() || *place != node) nodes_.insert(place, node);
  }
  /// In the order of the graph.
  auto begin() const { return nodes_.begin(); }
  auto end() const { return nodes_.end(); }
  bool operator==(const NodeSet&) const = default;

 private:
  std::vector<u32> nodes_;
};

}  // namespace tn
