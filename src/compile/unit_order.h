// An order of units (clusters of nodes, and single nodes) in which each comes after all it reads, kept while units grow
// and merge: so a step can be made of each, and a merge that would make them wait for each other in a circle is seen.
#pragma once
#include <functional>
#include <set>
#include <span>
#include <vector>

#include "tenon/dtype.h"

namespace tn {

class UnitOrder {
 public:
  /// What a unit reads directly.
  using Reads = std::function<std::vector<u32>(u32 unit)>;
  explicit UnitOrder(Reads reads) : reads_(std::move(reads)) {}

  /// A new unit, after all there are; the units are numbered from 0.
  u32 add();
  /// Puts all of `others` (and what they read) before the unit. False, with nothing changed, when one of them reads it,
  /// by whatever way.
  bool follow(u32 unit, std::span<const u32> others);
  /// Whether a comes before b.
  bool before(u32 a, u32 b) const { return place_[a] < place_[b]; }

 private:
  static constexpr size_t kMostMoved = 4096;  // beyond it the answer is no: keeps large graphs linear
  void renumber();
  Reads reads_;
  std::vector<double> place_;
  std::vector<u32> seen_;  // by unit: the search that met it last
  u32 search_ = 0;
  std::set<std::pair<double, u32>> sorted_;
};

}  // namespace tn
