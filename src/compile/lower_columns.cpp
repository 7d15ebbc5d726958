// Columns: a reduction over axes that are not the last. Lanes run over the kept axes after them; chunks of 64 of the
// reduced index are summed from first to last, then the chunks in order in a second phase.
#include "compile/group.h"

namespace tn {

using loops::Val;

namespace {

constexpr int kLanes = 64, kRowsAtOnce = 8;

struct Columns {
  std::span<const Dim> shape;
  size_t first, last;  // the reduced axes [first, last)
  Dim outer, length, inner;
  Combine combine;
  u32 operand, result;

  Columns(const Graph& g, u32 node) {
    const Node& n = g.nodes()[node];
    operand = g.operands(n)[0];
    result = n.first_result;
    combine = {n.op->lower.as<Reduction>()->combine};
    shape = g.type(operand).shape();
    const auto& axes = n.attrs.get<std::vector<i64>>("axes");
    first = static_cast<size_t>(axes.front());
    last = static_cast<size_t>(axes.back()) + 1;
    outer = product(shape.first(first));
    length = product(shape.subspan(first, last - first));
    inner = product(shape.subspan(last));
  }
  std::span<const Dim> inner_shape() const { return shape.subspan(last); }
};

Coords joined(std::initializer_list<Coords> parts) {
  Coords all;
  for (const Coords& p : parts) all.insert(all.end(), p.begin(), p.end());
  return all;
}

}  // namespace

Lowered lower_columns(const Graph& g, const GraphIndex& index, const Group& group, const Target&) {
  Columns c(g, group.anchor);
  auto merged =
      static_cast<size_t>(merged_axes(g, index, group, c.shape, [&](KernelWriter& w, std::span<const Dim> at) {
        w.at(c.operand, at);
        w.dim_tile(Dim(0), DType::i64);
      }));
  merged = std::min(merged, c.shape.size() - c.last);
  auto lanes_shape = c.shape.last(merged);
  auto middle_shape = c.inner_shape().first(c.inner_shape().size() - merged);
  Dim lanes = product(lanes_shape), middle = product(middle_shape);
  Dim chunks = ceildiv(c.length, kColumnChunk);
  bool one = c.length.is_constant() && c.length.value() <= kColumnChunk;
  DType dtype = compute_dtype(g.type(c.operand).dtype());

  KernelWriter w(g, index, group.computed, "columns");
  loops::Builder& b = w.builder();
  // `start` combined with reduced elements [from, from + extent) for a block of lanes.
  auto combine = [&](const Coords& outer, const Coords& mid, const Coords& inner, Dim from, Dim extent, Val start) {
    auto tile = w.tile();
    return b.loop("r", extent, {&start, 1}, [&](Dim r, std::span<const Val> carries) {
      w.set_tile(tile);
      Coords reduced = coordinates(from + r, c.shape.subspan(c.first, c.last - c.first));
      Val x = w.at(c.operand, joined({outer, reduced, mid, inner}));
      Val next = c.combine.join(b, carries[0], x);
      return std::vector<Val>{w.widened(next, 1, kLanes)};
    })[0];
  };
  auto finish = [&](const Coords& outer, const Coords& mid, const Coords& inner, Val v) {
    Coords at = joined({outer, mid, inner});
    w.remember(c.result, at, rounded(w, c.result, v));
    for (u32 out : group.outputs) {
      Val x = w.at(out, at);
      w.store(out, at, x);
    }
  };
  // f(outer, middle, lane coordinates, flat place among the kept elements) for each block of lanes of p.
  auto for_blocks = [&](Dim p, auto&& f) {
    Dim o = middle == Dim(1) ? p : c.outer == Dim(1) ? Dim(0) : floordiv(p, middle);
    Coords outer = coordinates(o, c.shape.first(c.first)), mid = coordinates(p - o * middle, middle_shape);
    blocks(w, lanes, kLanes, {}, [&](Dim base, std::span<const Val>) {
      f(outer, mid, coordinates(base + loops::lane(), lanes_shape), p * lanes + base + loops::lane());
      return std::vector<Val>{};
    });
  };

  if (one) {
    b.parallel("p", c.outer * middle, [&](Dim p) {
      for_blocks(p, [&](const Coords& outer, const Coords& mid, const Coords& inner, Dim) {
        Val start = c.combine.neutral(b, dtype, 1, kLanes);
        finish(outer, mid, inner, combine(outer, mid, inner, 0, c.length, start));
      });
    });
  } else {
    Dim kept = c.outer * c.inner;
    int partial = w.temp("part", dtype, {chunks, kept});
    b.parallel("p", c.outer * middle * chunks, [&](Dim p) {
      Dim row = floordiv(p, chunks), chunk = p - row * chunks, from = chunk * Dim(kColumnChunk);
      Dim extent = min(c.length - from, kColumnChunk);
      auto store = [&](Dim flat, Val v) {
        Dim at = chunk * kept + flat;
        b.store(partial, {&at, 1}, v, {loops::Node::kNone, w.tile().lane_limit, false, 0});
      };
      for_blocks(row, [&](const Coords&, const Coords&, const Coords&, Dim flat) {
        store(flat, c.combine.neutral(b, dtype, 1, kLanes));
      });
      // A few rows at a time over all lanes: as many streams from memory, and a row of sums that stays near.
      b.serial("g", ceildiv(extent, kRowsAtOnce), [&](Dim some) {
        Dim first = some * Dim(kRowsAtOnce);
        for_blocks(row, [&](const Coords& outer, const Coords& mid, const Coords& inner, Dim flat) {
          Val before = w.load(partial, chunk * kept + flat);
          store(flat, combine(outer, mid, inner, from + first, min(extent - first, kRowsAtOnce), before));
        });
      });
    });
    b.parallel("o", c.outer * middle, [&](Dim p) {
      for_blocks(p, [&](const Coords& outer, const Coords& mid, const Coords& inner, Dim flat) {
        Val start = c.combine.neutral(b, dtype, 1, kLanes);
        auto tile = w.tile();
        Val v = b.loop("c", chunks, {&start, 1}, [&](Dim chunk, std::span<const Val> carries) {
          w.set_tile(tile);
          Val x = w.load(partial, chunk * kept + flat);
          return std::vector<Val>{c.combine.join(b, carries[0], x)};
        })[0];
        finish(outer, mid, inner, v);
      });
    });
  }
  Lowered done;
  done.kernel = w.finish();
  done.arguments = w.arguments();
  return done;
}

}  // namespace tn
