// Maps: every element of the outputs on its own. Trailing axes that all accesses walk as one become the lanes; the axes
// before them, cut into chunks, are the parallel index.
#include "compile/group.h"

namespace tn {

using loops::Val;

namespace {
constexpr i64 kChunk = 2048;  // elements of the inner extent a parallel iteration takes
}

Lowered lower_map(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  auto shape = g.type(group.outputs[0]).shape();
  auto evaluate = [&](KernelWriter& w, std::span<const Dim> at) {
    for (u32 v : group.outputs) {
      Val value = w.at(v, at);
      w.store(v, at, value);
    }
  };
  auto merged = static_cast<size_t>(merged_axes(g, index, group, shape, evaluate));
  auto outer_shape = shape.first(shape.size() - merged), inner_shape = shape.last(merged);
  Dim inner = product(inner_shape), outer = product(outer_shape);
  Dim chunks = inner.is_constant() && inner.value() <= kChunk ? Dim(1) : ceildiv(inner, kChunk);

  KernelWriter w(g, index, group.computed, "map");
  w.builder().parallel("p", outer * chunks, [&](Dim p) {
    Dim row = chunks == Dim(1) ? p : outer == Dim(1) ? Dim(0) : floordiv(p, chunks);
    Dim first = chunks == Dim(1) ? Dim(0) : (p - row * chunks) * Dim(kChunk);
    Dim extent = chunks == Dim(1) ? inner : min(inner - first, kChunk);
    Coords at = coordinates(row, outer_shape);
    at.resize(shape.size(), Dim(0));
    blocks(w, extent, target.map_lanes, {}, [&](Dim base, std::span<const Val>) {
      Coords lanes = coordinates(first + base + loops::lane(), inner_shape);
      std::copy(lanes.begin(), lanes.end(), at.begin() + static_cast<std::ptrdiff_t>(outer_shape.size()));
      evaluate(w, at);
      return std::vector<Val>{};
    });
  });
  Lowered done;
  done.kernel = w.finish();
  done.arguments = w.arguments();
  return done;
}

}  // namespace tn
