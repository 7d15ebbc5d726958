// Tile numbers by width of vectors and size, measured; results do not depend on them.
#pragma once
#include "compile/kernel_writer.h"

namespace tn {

/// Extent cut into equal parts of at most `most`, as many as it takes; `most` where the extent is any.
int balanced(Dim extent, int most);

/// An extent cut into tiles of at most `most` of two heights, equal or one less, so that none of it is computed for
/// nothing; all are of one height where the extent is any.
struct TwoHeights {
  int height = 1;               // of the taller, which come first
  Dim taller = 0, shorter = 0;  // how many

  TwoHeights() = default;
  TwoHeights(Dim extent, int most);
  Dim count() const { return taller + shorter; }
  /// Calls f(height, tiles, tiles before them, their first element) for each height that there is.
  template <class F>
  void each(F f) const {
    if (taller != Dim(0)) f(height, taller, Dim(0), Dim(0));
    if (shorter != Dim(0)) f(height - 1, shorter, taller, taller * Dim(height));
  }
};

/// A register tile of a contraction: rows x lanes accumulators.
struct ContractionTile {
  int rows = 1, lanes = 1;
};
/// For a result of rows x lanes (may be symbolic), accumulated in `dtype`. Accumulators, one row of the panel and one
/// broadcast fit the registers; lanes are a power of two, or 24 or 48.
ContractionTile contraction_tile(const Target& target, DType dtype, Dim rows, Dim lanes);

/// A tile of channels x features of the gradient of a convolution's weights.
ContractionTile gradient_tile(const Target& target, DType dtype, Dim features);

/// A tile of a block of queries x `lanes` keys or features.
ContractionTile attention_tile(const Target& target, DType dtype, Dim lanes);

/// A tile of pixels x channels of a convolution whose rows are `pixels` wide.
ContractionTile window_tile(const Target& target, DType dtype, Dim pixels, Dim channels);

}  // namespace tn
