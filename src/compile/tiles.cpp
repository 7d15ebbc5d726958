// The table. Registers: 32 of 512 bits (AVX-512, and the interpreter takes the same tiles) or 16 of 256. One
// accumulator too many spills, and a spill in the inner loop costs 2 to 5 times.
#include "compile/tiles.h"

#include <algorithm>
#include <span>

namespace tn {

namespace {

// Lanes in elements of 32 bits. More rows than 8 at a power-of-two stride would fall into one set of the first cache.
constexpr ContractionTile kWide[] = {{6, 64}, {8, 48}, {8, 32}, {12, 16}};
constexpr ContractionTile kNarrow[] = {{6, 16}, {4, 24}, {6, 8}};

/// The tile that wastes least of `lanes`; an earlier one where that is nearly the same: narrow tiles take more
/// broadcasts for each product.
ContractionTile least_waste(std::span<const ContractionTile> tiles, Dim lanes, int elements) {
  if (!lanes.is_constant()) return tiles[0];
  ContractionTile best = tiles[0];
  i64 least = -1;
  for (ContractionTile t : tiles) {
    i64 width = std::max(1, t.lanes / elements), n = std::max<i64>(lanes.value(), 1);
    i64 padded = (n + width - 1) / width * width;
    if (least < 0 || padded * 100 < least * 93) {
      least = padded;
      best = t;
    }
  }
  return best;
}

/// How many elements of 32 bits one of the dtype takes.
int words(DType d) { return std::max(1, bits(d) / 32); }

}  // namespace

int balanced(Dim extent, int most) {
  if (!extent.is_constant()) return most;
  i64 n = std::max<i64>(extent.value(), 1), parts = (n + most - 1) / most;
  return static_cast<int>((n + parts - 1) / parts);
}

TwoHeights::TwoHeights(Dim extent, int most) : height(balanced(extent, most)), taller(ceildiv(extent, height)) {
  if (!extent.is_constant()) return;
  Dim tiles = taller;
  taller = extent - tiles * Dim(height - 1);
  shorter = tiles - taller;
}

ContractionTile contraction_tile(const Target& target, DType dtype, Dim rows, Dim lanes) {
  bool wide = target.vector_bits == 512;
  std::span<const ContractionTile> tiles = wide ? std::span<const ContractionTile>(kWide) : kNarrow;
  ContractionTile t = least_waste(tiles, lanes, words(dtype));
  return {balanced(rows, t.rows), std::max(1, t.lanes / words(dtype))};
}

ContractionTile gradient_tile(const Target& target, DType dtype, Dim features) {
  constexpr ContractionTile kGradientWide[] = {{13, 32}, {14, 16}};
  constexpr ContractionTile kGradientNarrow[] = {{6, 16}, {8, 8}};
  bool wide = target.vector_bits == 512;
  std::span<const ContractionTile> tiles = wide ? std::span<const ContractionTile>(kGradientWide) : kGradientNarrow;
  ContractionTile t = least_waste(tiles, features, words(dtype));
  return {t.rows, std::max(1, t.lanes / words(dtype))};
}

ContractionTile attention_tile(const Target& target, DType dtype, Dim lanes) {
  constexpr ContractionTile kAttentionWide[] = {{8, 32}, {8, 48}, {8, 16}};
  constexpr ContractionTile kAttentionNarrow[] = {{6, 16}, {6, 8}};
  bool wide = target.vector_bits == 512;
  std::span<const ContractionTile> tiles = wide ? std::span<const ContractionTile>(kAttentionWide) : kAttentionNarrow;
  ContractionTile t = least_waste(tiles, lanes, words(dtype));
  return {t.rows, std::max(1, t.lanes / words(dtype))};
}

ContractionTile window_tile(const Target& target, DType dtype, Dim pixels, Dim channels) {
  bool wide = target.vector_bits == 512;
  constexpr ContractionTile kWindowWide[] = {{14, 32}, {14, 16}};
  constexpr ContractionTile kWindowNarrow[] = {{6, 16}, {6, 8}};
  std::span<const ContractionTile> tiles = wide ? std::span<const ContractionTile>(kWindowWide) : kWindowNarrow;
  ContractionTile t = least_waste(tiles, channels, words(dtype));
  return {balanced(pixels, t.rows), std::max(1, t.lanes / words(dtype))};
}

}  // namespace tn
