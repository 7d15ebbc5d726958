// Pictures of graphs and plans, as SVG.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "engine/plan_state.h"
#include "ir/named_graph.h"

namespace tn {

/// Boxes in layers, each below those it follows, with lines between them.
class Picture {
 public:
  /// A box that follows others (negative numbers are none); its number.
  int box(std::string title, std::string note, std::span<const int> follows);
  std::string svg() const;

 private:
  struct Box {
    std::string title, note;
    int layer = 0, row = 0;
  };
  std::vector<Box> boxes_;
  std::vector<std::pair<int, int>> lines_;
  std::vector<int> rows_;  // boxes of each layer
};

std::string svg_picture(const NamedGraph& net);
std::string svg_picture(const engine::PlanState& plan);

}  // namespace tn
