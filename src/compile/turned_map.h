// Maps with an operand whose memory runs along another axis than the outputs' does (a permuted operand, say): tiles
// span both axes and are turned in registers, blocks of them stay in the cache, so that both sides move whole lines.
#pragma once
#include <functional>
#include <optional>

#include "compile/group.h"

namespace tn {

class TurnedMap {
 public:
  /// Writes the outputs at these coordinates in the writer's tile.
  using Evaluate = std::function<void(KernelWriter&, std::span<const Dim>)>;

  /// Nothing when all operands run along the last axis, or where one is read at places that are data.
  static std::optional<TurnedMap> of(const Graph& g, const GraphIndex& index, const Group& group,
                                     std::span<const Dim> shape, const Target& target, const Evaluate& evaluate);
  /// Parallel iterations: the axes before the turned one, or its blocks where there are none.
  Dim iterations() const;
  /// Iteration p of them.
  void write(KernelWriter& w, Dim p, const Evaluate& evaluate) const;

 private:
  class Body;
  Shape shape_;
  size_t rows_ = 0, last_ = 0;  // axes of the tiles
  int tile_rows_ = 1, tile_lanes_ = 1;
};

}  // namespace tn
