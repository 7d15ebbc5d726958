#include "compile/panels.h"

#include <utility>

namespace tn {

using loops::Val;

static constexpr Dim kNoLimit = loops::Node::kNone;
/// Steps of the first reduction axis that one unit of the shared phase copies, so that a panel is work for several
/// threads.
static constexpr i64 kChunk = 64;

Panels::Panels(Extents extents, DType dtype, bool turned, int block, Read read)
    : extents_(std::move(extents)), dtype_(dtype), turned_(turned), block_(block), read_(std::move(read)) {
  if (!extents_.red.empty()) part_.count = extents_.red[0];
}

Dim Panels::lane_limit(Dim panel) const {
  if (provably_divisible(extents_.lanes, extents_.tile_lanes)) return kNoLimit;
  return extents_.lanes - panel * Dim(extents_.tile_lanes);
}

/// Steps of the reduction for each of the outermost axis.
Dim Panels::inner_depth() const { return extents_.red.empty() ? Dim(1) : product(std::span(extents_.red).subspan(1)); }

/// Of a panel; shared ones lie as [outer][panel].
Dim Panels::offset(std::span<const Dim> outer, Dim panel) const {
  Dim number = panel - first_panel_;
  if (!own_) {
    Dim flat = 0;
    for (size_t i = 0; i < outer.size(); ++i) flat = flat * extents_.outer[i] + outer[i];
    number = flat * ceildiv(extents_.lanes, extents_.tile_lanes) + panel;
  }
  return number * part_.count * inner_depth() * Dim(extents_.tile_lanes);
}

/// Of the lanes `beyond` places after those of a step.
Dim Panels::offset(const Place& place, std::span<const Dim> red, Dim beyond) const {
  Dim flat = 0;
  for (size_t i = 0; i < red.size(); ++i) flat = flat * extents_.red[i] + red[i];
  if (own_) flat = flat - part_.first * inner_depth();
  return place.offset + flat * Dim(extents_.tile_lanes) + beyond;
}

// ---------------------------------------------------------------- writing

void Panels::share(KernelWriter& w) {
  Dim panels = ceildiv(extents_.lanes, extents_.tile_lanes), whole = part_.count;
  buffer_ =
      w.temp("panels", dtype_, {product(extents_.outer) * panels * whole * inner_depth() * Dim(extents_.tile_lanes)});
  bool one = extents_.red.empty() || (turned_ && extents_.red.size() == 1);
  Dim chunks = one ? Dim(1) : ceildiv(whole, kChunk);
  w.builder().parallel("p", product(extents_.outer) * panels * chunks, [&](Dim p) {
    Coords unit = coordinates(p, Shape{product(extents_.outer), panels, chunks});
    Coords outer = coordinates(unit[0], extents_.outer), red;
    Part part{0, whole};
    if (chunks != Dim(1)) part = {unit[2] * Dim(kChunk), min(whole - unit[2] * Dim(kChunk), kChunk)};
    pack_nest(w, {outer, unit[1], offset(outer, unit[1])}, red, part);
  });
}

void Panels::open(KernelWriter& w, Dim first_panel, i64 panels, Dim depth) {
  own_ = true;
  first_panel_ = first_panel;
  buffer_ = w.builder().alloc("panel", dtype_, {Dim(panels) * depth * inner_depth() * Dim(extents_.tile_lanes)});
}

void Panels::fill(KernelWriter& w, std::span<const Dim> outer, Dim count, const Part& part) {
  part_ = part;
  Coords at(outer.begin(), outer.end());
  auto one = [&](Dim j) {
    Coords red;
    pack_nest(w, {at, first_panel_ + j, offset(at, first_panel_ + j)}, red, part);
  };
  if (count == Dim(1)) return one(0);
  w.builder().serial("j", count, one);
}

void Panels::pack_nest(KernelWriter& w, const Place& place, Coords& red, const Part& part) const {
  size_t axis = red.size(), rank = extents_.red.size();
  if (turned_ && axis + 1 == rank) return pack_turned(w, place, red, part);
  if (axis == rank) {
    copy(w, place, red);
    return;
  }
  w.builder().serial("k", axis ? extents_.red[axis] : part.count, [&](Dim k) {
    red.push_back(axis ? k : part.first + k);
    pack_nest(w, place, red, part);
    red.pop_back();
  });
}

/// Blocks of 16 (or 8) lanes by as many steps of the last reduction axis, transposed in registers.
void Panels::pack_turned(KernelWriter& w, const Place& place, Coords& red, const Part& part) const {
  Dim start = red.empty() ? part.first : Dim(0), extent = red.empty() ? part.count : extents_.red.back();
  Dim first_lane = place.panel * Dim(extents_.tile_lanes), filled = extents_.tile_lanes;
  if (lane_limit(place.panel) != kNoLimit) filled = min(extents_.lanes - first_lane, extents_.tile_lanes);
  w.builder().serial("s", ceildiv(filled, block_), [&](Dim s) {
    auto step = [&](Dim k, Dim limit) {
      Val turned = turned_block(w, place.outer, first_lane + s * Dim(block_), red, start + k, limit);
      red.push_back(start + k + loops::row());
      Dim to = offset(place, red, s * Dim(block_) + loops::lane());
      red.pop_back();
      w.builder().store(buffer_, {&to, 1}, turned, {.rows = limit});
    };
    Dim full = floordiv(extent, block_), rest = extent - full * Dim(block_);
    w.builder().serial("k", full, [&](Dim k) { step(k * Dim(block_), kNoLimit); });
    if (rest != Dim(0))
      w.builder().serial("t", ceildiv(extent, block_) - full, [&](Dim) { step(full * Dim(block_), rest); });
  });
}

// ---------------------------------------------------------------- reading

Val Panels::row(loops::Builder& b, std::span<const Dim> outer, Dim panel, std::span<const Dim> red) const {
  Dim from = offset({{}, panel, offset(outer, panel)}, red, loops::lane());
  return b.load(buffer_, {&from, 1}, 1, extents_.tile_lanes);
}

Val Panels::copied_row(KernelWriter& w, std::span<const Dim> outer, Dim panel, std::span<const Dim> red) const {
  return copy(w, {Coords(outer.begin(), outer.end()), panel, offset(outer, panel)}, red);
}

/// One row of the panel from where the operand lies, written too; zeros past the end.
Val Panels::copy(KernelWriter& w, const Place& place, std::span<const Dim> red) const {
  w.set_tile({1, extents_.tile_lanes, kNoLimit, lane_limit(place.panel)});
  Val v = read_(place.outer, place.panel * Dim(extents_.tile_lanes) + loops::lane(), red);
  v = w.widened(v, 1, extents_.tile_lanes);
  Dim to = offset(place, red, loops::lane());
  w.builder().store(buffer_, {&to, 1}, v);
  return v;
}

Val Panels::turned_block(KernelWriter& w, std::span<const Dim> outer, Dim lane, Coords& red, Dim k, Dim limit) const {
  bool whole = provably_divisible(extents_.lanes, extents_.tile_lanes);
  w.set_tile({block_, block_, whole ? kNoLimit : extents_.lanes - lane, limit});
  red.push_back(k + loops::lane());
  Val v = read_(outer, lane + loops::row(), red);
  red.pop_back();
  return w.builder().transpose(w.widened(v, block_, block_));
}

}  // namespace tn
