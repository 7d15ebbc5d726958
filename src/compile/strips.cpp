#include "compile/strips.h"

#include <bit>

namespace tn {

using loops::Val;

/// Steps of the reduction that a unit copies for one tile after the other: few enough that the lines they are read from
/// stay in the first cache from tile to tile, and enough that what is written is more than a line.
static constexpr i64 kSteps = 16;

Dim Strips::offset(Dim outer, Dim row, Dim depth) const {
  Dim tiles = ceildiv(extents_.rows, extents_.tile_rows);
  Dim tile = floordiv(row, extents_.tile_rows);
  return ((outer * tiles + tile) * product(extents_.red) + depth) * Dim(width_);
}

Val Strips::column(loops::Builder& b, Dim outer, Dim row, Dim depth) const {
  Dim from = offset(outer, row, depth) + loops::row();
  return b.load(buffer_, {&from, 1}, extents_.tile_rows, 1);
}

void Strips::pack(KernelWriter& w, Extents extents, DType dtype, const Read& read) {
  extents_ = std::move(extents);
  // Columns of a power of two: whole vectors are written, the rows past a tile's own are never read.
  width_ = static_cast<i64>(std::bit_ceil(static_cast<u32>(extents_.tile_rows)));
  Dim tiles = ceildiv(extents_.rows, extents_.tile_rows), last = extents_.red.back();
  buffer_ = w.temp("strips", dtype, {product(extents_.outer) * tiles * product(extents_.red) * Dim(width_)});
  Shape before(extents_.red.begin(), extents_.red.end() - 1);
  Shape units{product(extents_.outer), product(before), ceildiv(last, kSteps)};
  loops::Builder& b = w.builder();
  b.parallel("p", product(units), [&](Dim p) {
    Coords unit = coordinates(p, units), outer = coordinates(unit[0], extents_.outer);
    Coords red = coordinates(unit[1], before);
    red.push_back(0);
    Dim first = unit[2] * Dim(kSteps);
    b.serial("i", tiles, [&](Dim tile) {
      Dim row = tile * Dim(extents_.tile_rows);
      b.serial("k", min(last - first, kSteps), [&](Dim k) {
        red.back() = first + k;
        w.set_tile({1, static_cast<int>(width_), loops::Node::kNone, extents_.rows - row});
        Val v = w.widened(read(outer, row, red), 1, static_cast<int>(width_));
        Dim to = ((unit[0] * tiles + tile) * product(extents_.red) + unit[1] * last + red.back()) * Dim(width_);
        to = to + loops::lane();
        b.store(buffer_, {&to, 1}, v);
      });
    });
  });
}

}  // namespace tn
