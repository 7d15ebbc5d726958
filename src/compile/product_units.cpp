#include "compile/product_units.h"

#include <algorithm>

#include "compile/tiles.h"

namespace tn {

namespace {

constexpr i64 kGroupLanes = 64;  // lanes of the panels that take turns on a strip of rows
/// Steps of all tiles of rows together from which on rows come from beyond the second cache: two groups share them.
constexpr i64 kFarSteps = 96 << 10;
constexpr int kManyRowTiles = 96;
/// Steps of the reduction that a unit takes with all its tiles before the next, where whole panels would crowd the
/// second cache.
constexpr i64 kDepth = 1024;

}  // namespace

ProductUnits choose_product_units(const ProductSizes& s, int lane_words, bool own, bool by_rows, bool wide) {
  ProductUnits u;
  Dim steps = s.row_tiles * s.depth;
  bool far = wide && steps.is_constant() && steps.value() >= kFarSteps;
  u.panels = std::max<i64>(1, (far ? 2 : 1) * kGroupLanes / std::max(1, lane_words));
  i64 least = own ? kOwnRowTiles : 1;
  // Rows of any number: where lanes alone make few units, strips are no longer than pays for their packing.
  auto few = [&](Dim units) { return units.is_constant() && units.value() < kProductUnits; };
  bool any = !s.row_tiles.is_constant() && few(s.outer * ceildiv(s.panels, u.panels));
  if (own) u.tiles = any ? 2 * kOwnRowTiles : balanced(s.row_tiles, kManyRowTiles);
  if (by_rows) u.panels = s.panels.value();
  auto count = [&] {
    return s.outer * (u.strips = ceildiv(s.row_tiles, u.tiles)) * (u.groups = ceildiv(s.panels, u.panels));
  };
  while (few(count()) && u.tiles / 2 >= std::max<i64>(2, least)) u.tiles /= 2;
  while (few(count()) && u.panels > 1) u.panels /= 2;
  while (few(count()) && u.tiles / 2 >= least) u.tiles /= 2;
  i64 deep = wide && !far ? kDepth * 5 / 2 : kDepth * 3 / 2;
  if (!s.depth.is_constant() || s.depth.value() < deep) return u;
  i64 outermost = s.outermost.value(), inner = s.depth.value() / std::max<i64>(1, outermost);
  i64 most = std::max<i64>(1, kDepth / inner), parts = (outermost + most - 1) / most;
  u.block = (outermost + parts - 1) / parts;
  u.blocks = ceildiv(outermost, u.block);
  return u;
}

}  // namespace tn
