// Maps: every element of the outputs on its own. Trailing axes that all accesses walk as one become the lanes; the axes
// before them, cut into chunks, are the parallel index. Where an operand's memory runs along another axis than the
// outputs' does, tiles span both axes, and blocks of them stay in the cache: both sides move whole lines.
#include <algorithm>

#include "compile/group.h"

namespace tn {

using loops::Val;

namespace {

constexpr i64 kChunk = 2048;  // elements of the inner extent a parallel iteration takes
constexpr int kBlock = 64;    // elements of each axis in a block of tiles

using Evaluate = std::function<void(KernelWriter&, std::span<const Dim>)>;

/// The axis along which memory of an operand runs that the last axis strides through, if there is one; then every
/// access is affine in all axes.
std::optional<size_t> turned_axis(const Graph& g, const GraphIndex& index, const Group& group,
                                  std::span<const Dim> extents, size_t last, const Evaluate& evaluate) {
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
      if (axis != last && *step == Dim(1) && *inner != Dim(0) && *inner != Dim(1)) found = axis;
    }
  return found;
}

/// Tiles of [0, extent) along one axis of a block that starts at `first`: whole ones, then what is left under a limit.
void tiles_along(loops::Builder& b, Dim extent, int size, const std::function<void(Dim base, Dim limit)>& body) {
  Dim full = floordiv(extent, size), rest = extent - full * Dim(size);
  if (full != Dim(0)) b.serial("k", full, [&](Dim k) { body(k * Dim(size), loops::Node::kNone); });
  if (rest == Dim(0)) return;
  b.serial("t", rest.is_constant() ? Dim(1) : ceildiv(extent, size) - full, [&](Dim) { body(full * Dim(size), rest); });
}

/// In blocks of kBlock x kBlock elements of axes `rows` and `last`.
void turned_map(KernelWriter& w, std::span<const Dim> shape, size_t rows, size_t last, KernelWriter::TileContext tile,
                const Evaluate& evaluate) {
  std::vector<Dim> outer_extents(shape.begin(), shape.end());
  outer_extents[rows] = ceildiv(shape[rows], kBlock);
  outer_extents[last] = ceildiv(shape[last], kBlock);
  loops::Builder& b = w.builder();
  b.parallel("p", product(outer_extents), [&](Dim p) {
    Coords at = coordinates(p, outer_extents);
    Dim row_first = at[rows] * Dim(kBlock), lane_first = at[last] * Dim(kBlock);
    Dim row_extent = shape[rows] == Dim(kBlock) ? shape[rows] : min(shape[rows] - row_first, kBlock);
    Dim lane_extent = shape[last] == Dim(kBlock) ? shape[last] : min(shape[last] - lane_first, kBlock);
    tiles_along(b, row_extent, tile.rows, [&](Dim row_base, Dim row_limit) {
      tiles_along(b, lane_extent, tile.lanes, [&](Dim lane_base, Dim lane_limit) {
        w.set_tile({tile.rows, tile.lanes, row_limit, lane_limit});
        at[rows] = row_first + row_base + loops::row();
        at[last] = lane_first + lane_base + loops::lane();
        evaluate(w, at);
      });
    });
  });
}

void plain_map(KernelWriter& w, std::span<const Dim> shape, size_t merged, int lanes, const Evaluate& evaluate) {
  auto outer_shape = shape.first(shape.size() - merged), inner_shape = shape.last(merged);
  Dim inner = product(inner_shape), outer = product(outer_shape);
  Dim chunks = inner.is_constant() && inner.value() <= kChunk ? Dim(1) : ceildiv(inner, kChunk);
  w.builder().parallel("p", outer * chunks, [&](Dim p) {
    Dim row = chunks == Dim(1) ? p : outer == Dim(1) ? Dim(0) : floordiv(p, chunks);
    Dim first = chunks == Dim(1) ? Dim(0) : (p - row * chunks) * Dim(kChunk);
    Dim extent = chunks == Dim(1) ? inner : min(inner - first, kChunk);
    Coords at = coordinates(row, outer_shape);
    at.resize(shape.size(), Dim(0));
    blocks(w, extent, lanes, {}, [&](Dim base, std::span<const Val>) {
      Coords inside = coordinates(first + base + loops::lane(), inner_shape);
      std::copy(inside.begin(), inside.end(), at.begin() + static_cast<std::ptrdiff_t>(outer_shape.size()));
      evaluate(w, at);
      return std::vector<Val>{};
    });
  });
}

}  // namespace

Lowered lower_map(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  auto shape = g.type(group.outputs[0]).shape();
  Evaluate evaluate = [&](KernelWriter& w, std::span<const Dim> at) {
    for (u32 v : group.outputs) {
      Val value = w.at(v, at);
      w.store(v, at, value);
    }
  };
  auto merged = static_cast<size_t>(merged_axes(g, index, group, shape, evaluate));
  KernelWriter w(g, index, group.computed, "map");
  size_t last = shape.size();
  while (last > 0 && shape[last - 1] == Dim(1)) --last;
  std::optional<size_t> rows;
  if (last > 1) rows = turned_axis(g, index, group, shape, last - 1, evaluate);
  if (rows) {
    bool computes = false;
    for (size_t n = 0; n < group.computed.size(); ++n)
      computes = computes || (group.computed[n] && g.nodes()[n].op->lower.as<Scalar>());
    int side = target.vector_bits / 32;
    turned_map(w, shape, *rows, last - 1, {computes ? 4 : side, side}, evaluate);
  } else {
    plain_map(w, shape, merged, target.map_lanes, evaluate);
  }
  Lowered done;
  done.kernel = w.finish();
  done.arguments = w.arguments();
  return done;
}

}  // namespace tn
