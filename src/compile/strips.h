// Columns of a contraction's first operand, laid out in the order its products read them: for each tile of rows,
// [k][rows]. Where the memory runs along the rows and the steps of the reduction lie far apart, a tile's column of each
// step is on a line and a page of its own and all of them fall into few sets of the caches; copied, they are one run.
#pragma once
#include <functional>

#include "compile/group.h"

namespace tn {

class Strips {
 public:
  /// What is copied: every one of `outer`, `rows` of them in tiles of `tile_rows`, at each place of the reduction.
  struct Extents {
    Shape outer;
    Dim rows;
    int tile_rows = 1;
    Shape red;
  };
  /// The operand's rows from `row` on, as lanes.
  using Read = std::function<loops::Val(std::span<const Dim> outer, Dim row, std::span<const Dim> red)>;

  /// Writes the phase that copies.
  void pack(KernelWriter& w, Extents extents, DType dtype, const Read& read);
  /// The column of the tile of rows from `row` on; `outer` and `depth` are flat.
  loops::Val column(loops::Builder& b, Dim outer, Dim row, Dim depth) const;

 private:
  Dim offset(Dim outer, Dim row, Dim depth) const;
  Extents extents_;
  i64 width_ = 1;  // of a column in memory
  int buffer_ = -1;
};

}  // namespace tn
