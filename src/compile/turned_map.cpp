#include "compile/turned_map.h"

#include <algorithm>

namespace tn {

namespace {

constexpr int kBlock = 64;  // elements of each axis in a block of tiles

bool divides(int n, Dim extent) { return floordiv(extent, n) * Dim(n) == extent; }

/// The axis along which memory of an operand runs that `last` strides through, if there is one.
std::optional<size_t> turned_axis(const Graph& g, const GraphIndex& index, const Group& group,
                                  std::span<const Dim> extents, size_t last, const TurnedMap::Evaluate& evaluate) {
  KernelWriter w(g, index, group.computed, "probe");
  std::vector<Dim> seen;
  Coords at(extents.size(), Dim(0));
  std::function<void(size_t)> nest = [&](size_t axis) {
    if (axis == extents.size()) {
      w.observe(&seen);
      evaluate(w, at);
      w.observe(nullptr);
    } else {
      w.builder().serial("c", extents[axis], [&](Dim v) {
        at[axis] = v;
        nest(axis + 1);
      });
    }
  };
  nest(0);
  for (const loops::Node& n : w.kernel().nodes)
    if (n.kind == loops::Kind::index || n.kind == loops::Kind::gather) return std::nullopt;
  std::optional<size_t> found;
  for (Dim d : seen)
    for (size_t axis = 0; axis < extents.size(); ++axis) {
      auto step = coefficient(d, at[axis]), inner = coefficient(d, at[last]);
      if (!step || !inner) return std::nullopt;
      bool along = axis < last && extents[axis] != Dim(1) && *step == Dim(1);
      if (along && *inner != Dim(0) && *inner != Dim(1)) found = axis;
    }
  return found;
}

bool computes(const Graph& g, const Group& group) {
  return std::any_of(group.computed.begin(), group.computed.end(),
                     [&](u32 n) { return g.nodes()[n].op->lower.as<Scalar>() != nullptr; });
}

}  // namespace

std::optional<TurnedMap> TurnedMap::of(const Graph& g, const GraphIndex& index, const Group& group,
                                       std::span<const Dim> shape, const Target& target, const Evaluate& evaluate) {
  size_t rank = shape.size();
  while (rank > 0 && shape[rank - 1] == Dim(1)) --rank;
  if (rank < 2) return std::nullopt;
  auto rows = turned_axis(g, index, group, shape, rank - 1, evaluate);
  if (!rows) return std::nullopt;
  TurnedMap made;
  made.shape_.assign(shape.begin(), shape.end());
  made.rows_ = *rows;
  made.last_ = rank - 1;
  made.tile_lanes_ = target.vector_bits / 32;
  made.tile_rows_ = computes(g, group) ? 4 : made.tile_lanes_;  // arithmetic needs registers of its own
  return made;
}

/// One iteration while it is written.
class TurnedMap::Body {
 public:
  Body(const TurnedMap& map, KernelWriter& w, const Evaluate& evaluate)
      : map_(map), w_(w), b_(w.builder()), evaluate_(evaluate), at_(map.shape_.size(), Dim(0)) {}

  void set_outer(const Coords& outer) { std::copy(outer.begin(), outer.end(), at_.begin()); }

  /// Tiles of rows from block * kBlock on; a tile may reach past the last row, whose stores are branched over.
  void block(Dim i) {
    Dim tiles = ceildiv(row_extent(), map_.tile_rows_), each = kBlock / map_.tile_rows_;
    tiles_ = divides(kBlock, row_extent()) ? each : min(tiles - each * i, each);
    first_ = i * Dim(kBlock);
    axis(map_.rows_ + 1);
  }

 private:
  Dim row_extent() const { return map_.shape_[map_.rows_]; }

  void axis(size_t k) {
    if (k == map_.last_) return columns();
    b_.serial("c", map_.shape_[k], [&](Dim c) {
      at_[k] = c;
      axis(k + 1);
    });
  }

  void columns() {
    Dim extent = map_.shape_[map_.last_];
    b_.serial("j", ceildiv(extent, kBlock), [&](Dim j) {
      Dim column = j * Dim(kBlock);
      Dim width = divides(kBlock, extent) ? Dim(kBlock) : min(extent - column, kBlock);
      b_.serial("r", tiles_, [&](Dim r) { row_of_tiles(r * Dim(map_.tile_rows_), column, width); });
    });
  }

  /// Whole tiles, then what is left under a limit.
  void row_of_tiles(Dim row, Dim column, Dim width) {
    Dim lanes = map_.tile_lanes_, full = floordiv(width, lanes), rest = width - full * lanes;
    if (full != Dim(0)) b_.serial("k", full, [&](Dim k) { tile(row, column + k * lanes, loops::Node::kNone); });
    if (rest == Dim(0)) return;
    b_.serial("t", rest.is_constant() ? Dim(1) : ceildiv(width, lanes) - full,
              [&](Dim) { tile(row, column + full * lanes, rest); });
  }

  void tile(Dim row, Dim column, Dim lane_limit) {
    Dim left = row_extent() - first_ - row;
    bool whole = divides(map_.tile_rows_, row_extent());
    w_.set_tile({map_.tile_rows_, map_.tile_lanes_, whole ? loops::Node::kNone : left, lane_limit});
    at_[map_.rows_] = first_ + row + loops::row();
    at_[map_.last_] = column + loops::lane();
    evaluate_(w_, at_);
  }

  const TurnedMap& map_;
  KernelWriter& w_;
  loops::Builder& b_;
  const Evaluate& evaluate_;
  Coords at_;
  Dim first_ = 0, tiles_ = 0;  // of the block
};

Dim TurnedMap::iterations() const {
  Dim lead = product(std::span(shape_).first(rows_));
  return lead == Dim(1) ? ceildiv(shape_[rows_], kBlock) : lead;
}

void TurnedMap::write(KernelWriter& w, Dim p, const Evaluate& evaluate) const {
  Body body(*this, w, evaluate);
  auto lead = std::span(shape_).first(rows_);
  if (product(lead) == Dim(1)) return body.block(p);
  body.set_outer(coordinates(p, lead));
  w.builder().serial("i", ceildiv(shape_[rows_], kBlock), [&](Dim i) { body.block(i); });
}

}  // namespace tn
