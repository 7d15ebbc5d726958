#include "compile/unit_order.h"

#include <algorithm>

namespace tn {

u32 UnitOrder::add() {
  u32 unit = static_cast<u32>(place_.size());
  seen_.push_back(0);
  place_.push_back(sorted_.empty() ? 0 : sorted_.rbegin()->first + 1);
  sorted_.emplace(place_.back(), unit);
  return unit;
}

bool UnitOrder::follow(u32 unit, std::span<const u32> others) {
  // All between the unit and the last of the others that they read has to move; only there can a circle be.
  ++search_;
  std::vector<u32> moved, open(others.begin(), others.end());
  while (!open.empty()) {
    u32 at = open.back();
    open.pop_back();
    if (at == unit) return false;
    if (place_[at] < place_[unit] || seen_[at] == search_) continue;
    seen_[at] = search_;
    if (moved.size() >= kMostMoved) return false;
    moved.push_back(at);
    for (u32 read : reads_(at))
      if (read != at) open.push_back(read);
  }
  std::sort(moved.begin(), moved.end(), [&](u32 a, u32 b) { return place_[a] < place_[b]; });
  for (u32 m : moved) {
    auto here = sorted_.find({place_[unit], unit});
    double before = here == sorted_.begin() ? here->first - 2 : std::prev(here)->first;
    double between = before + (here->first - before) / 2;
    if (!(between > before && between < here->first)) {
      renumber();
      here = sorted_.find({place_[unit], unit});
      between = here->first - 0.5;
    }
    sorted_.erase({place_[m], m});
    place_[m] = between;
    sorted_.emplace(between, m);
  }
  return true;
}

void UnitOrder::renumber() {
  std::vector<u32> units;
  for (const auto& [place, unit] : sorted_) units.push_back(unit);
  sorted_.clear();
  for (size_t i = 0; i < units.size(); ++i) {
    place_[units[i]] = static_cast<double>(i);
    sorted_.emplace(place_[units[i]], units[i]);
  }
}

}  // namespace tn
