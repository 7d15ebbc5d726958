// Contractions as register tiles: what lower_contraction's plain nests become where the indices allow it. Results have
// the same bits: one chain of fused multiply-adds for each element, in the order of the reduction symbols.
#pragma once
#include <optional>

#include "compile/group.h"

namespace tn {

/// Sums of products whose result has an axis of only one operand (matmul, dot, einsum, 1x1 convolution). Nothing when
/// the indices do not allow tiles.
std::optional<Lowered> lower_tiled_contraction(const Graph& g, const GraphIndex& index, const Group& group,
                                               const Target& target);

/// Plain nests of lanes along the last result axis: any contraction at all, and the bits all others must have.
Lowered lower_plain_contraction(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);

// ---------------------------------------------------------------- shared by the tiled templates

/// What a contraction node asks for, in terms of symbols for its result and reduction axes.
struct ContractionView {
  ContractionView(const Graph& g, const Node& node);
  ContractionSpec at(std::span<const Dim> out, std::span<const Dim> red) const;
  const Node& node;
  const Contraction& rule;
  std::vector<Type> types;
  u32 a, b, result;
  Coords out, red;  // symbols
  Shape out_extents, red_extents;
  ContractionSpec spec;  // at these symbols
  DType dtype;           // accumulated in
};

/// Whether the value is made from no input.
bool made_of_constants(const Graph& g, const GraphIndex& index, u32 value);

/// acc + a * b as the dtype has it.
loops::Val multiply_add(loops::Builder& b, loops::Val a, loops::Val x, loops::Val acc);

/// Stores the outputs of the group at `out` (coordinates of the result, holding r and l) with the sums `acc`, a tile of
/// the writer's current shape. Long expressions are rolled over the rows, through scratch.
class Epilogue {
 public:
  Epilogue(const Graph& g, const GraphIndex& index, const Group& group, u32 result);
  void store(KernelWriter& w, std::span<const Dim> out, loops::Val acc) const;
  /// The one output at `out`, not stored yet: for tiles that are turned first.
  loops::Val value(KernelWriter& w, std::span<const Dim> out, loops::Val acc) const;
  /// Whether expressions are long.
  bool rolled() const { return rolled_; }
  /// Whether they are short enough to be written for a whole tile of registers.
  bool fits_tile() const { return nodes_ <= kMostInTile; }

 private:
  void store_tile(KernelWriter& w, std::span<const Dim> out, loops::Val acc) const;
  const Group& group_;
  u32 result_;
  static constexpr size_t kMostInTile = 24;
  size_t nodes_ = 0;  // of the loop language, for a tile
  bool rolled_ = false;
};

}  // namespace tn
