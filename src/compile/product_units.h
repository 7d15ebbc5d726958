// How a product is cut into units of work.
#pragma once
#include "tenon/dim.h"

namespace tn {

/// Units that a product is cut into where it is large enough, so that threads end together; row tiles that one has at
/// least when it copies its panels, so that this is little beside the products.
inline constexpr i64 kProductUnits = 16, kOwnRowTiles = 8;

struct ProductSizes {
  Dim outer, row_tiles, panels;
  Dim depth, outermost;  // of the reduction, and of its first axis
};

/// What one unit is.
struct ProductUnits {
  i64 tiles = 16, panels = 1;  // of rows, of lanes
  Dim strips, groups;
  Dim blocks = 1, block = 0;  // of the outermost reduction axis
};

/// `lane_words`: elements of 32 bits in a panel's row; `own`: units copy their panels; `by_rows`: each has all panels.
ProductUnits choose_product_units(const ProductSizes& sizes, int lane_words, bool own, bool by_rows, bool wide);

}  // namespace tn
