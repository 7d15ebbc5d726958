// Maps: every element of the outputs on its own. Trailing axes that all accesses walk as one become the lanes; the axes
<<<<<<< HEAD
// before them, cut into chunks, are the parallel index. Where an operand's memory runs along another axis than the
// outputs' does, tiles span both axes, and blocks of them stay in the cache: both sides move whole lines.
=======
// before them, cut into chunks, are the parallel index. Outputs of several shapes lie one after the other in it.
>>>>>>> main
#include <algorithm>

#include "compile/group.h"

namespace tn {

using loops::Val;

namespace {
<<<<<<< HEAD

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
      bool along = axis < last && extents[axis] != Dim(1) && *step == Dim(1);
      if (along && *inner != Dim(0) && *inner != Dim(1)) found = axis;
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

/// Tiles of axes `rows` and `last` in blocks of both; the axes before `rows` are the parallel index, or its blocks are.
class TurnedMap {
 public:
  TurnedMap(KernelWriter& w, std::span<const Dim> shape, size_t rows, size_t last, KernelWriter::TileContext tile,
            const Evaluate& evaluate)
      : w_(w), shape_(shape), rows_(rows), last_(last), tile_(tile), evaluate_(evaluate), at_(shape.size(), Dim(0)) {}

  void write() {
    auto lead = shape_.first(rows_);
    Dim blocks = ceildiv(shape_[rows_], kBlock);
    if (product(lead) == Dim(1)) {
      b_.parallel("p", blocks, [&](Dim p) { block(p); });
      return;
    }
    b_.parallel("p", product(lead), [&](Dim p) {
      Coords outer = coordinates(p, lead);
      std::copy(outer.begin(), outer.end(), at_.begin());
      b_.serial("i", blocks, [&](Dim i) { block(i); });
    });
  }

 private:
  /// Tiles of rows from block * kBlock on; a tile may reach past the last row, whose stores are branched over.
  void block(Dim i) {
    Dim tiles = ceildiv(shape_[rows_], tile_.rows), each = kBlock / tile_.rows;
    bool whole = floordiv(shape_[rows_], kBlock) * Dim(kBlock) == shape_[rows_];
    tiles_ = whole ? each : min(tiles - each * i, each);
    first_ = i * Dim(kBlock);
    axis(rows_ + 1);
  }

  void axis(size_t k) {
    if (k == last_) return columns();
    b_.serial("c", shape_[k], [&](Dim c) {
      at_[k] = c;
      axis(k + 1);
    });
  }

  void columns() {
    b_.serial("j", ceildiv(shape_[last_], kBlock), [&](Dim j) {
      Dim column = j * Dim(kBlock);
      bool whole = floordiv(shape_[last_], kBlock) * Dim(kBlock) == shape_[last_];
      Dim width = whole ? Dim(kBlock) : min(shape_[last_] - column, kBlock);
      b_.serial("r", tiles_, [&](Dim r) {
        tiles_along(b_, width, tile_.lanes,
                    [&](Dim lane, Dim limit) { tile(r * Dim(tile_.rows), column + lane, limit); });
      });
    });
  }

  void tile(Dim row, Dim column, Dim lane_limit) {
    Dim left = shape_[rows_] - first_ - row;
    bool whole = floordiv(shape_[rows_], tile_.rows) * Dim(tile_.rows) == shape_[rows_];
    w_.set_tile({tile_.rows, tile_.lanes, whole ? loops::Node::kNone : left, lane_limit});
    at_[rows_] = first_ + row + loops::row();
    at_[last_] = column + loops::lane();
    evaluate_(w_, at_);
  }

  KernelWriter& w_;
  loops::Builder& b_ = w_.builder();
  std::span<const Dim> shape_;
  size_t rows_, last_;
  KernelWriter::TileContext tile_;
  const Evaluate& evaluate_;
  Coords at_;
  Dim first_ = 0, tiles_ = 0;  // of the block
};

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
=======

constexpr i64 kChunk = 2048;  // elements of the inner extent a parallel iteration takes

/// The outputs of one shape.
class Part {
 public:
  Part(const Graph& g, u32 first) : g_(g), outputs_{first} {
    auto shape = g.type(first).shape();
    shape_.assign(shape.begin(), shape.end());
  }

  bool takes(u32 v) const {
    auto shape = g_.type(v).shape();
    return std::equal(shape.begin(), shape.end(), shape_.begin(), shape_.end());
  }
  void add(u32 v) { outputs_.push_back(v); }

  /// Cuts the elements into parallel iterations; returns how many.
  Dim cut(const GraphIndex& index, const Group& group) {
    auto probe = [&](KernelWriter& w, std::span<const Dim> at) { evaluate(w, at); };
    outer_rank_ = shape_.size() - static_cast<size_t>(merged_axes(g_, index, group, shape_, probe));
    inner_ = product(std::span(shape_).subspan(outer_rank_));
    outer_ = product(std::span(shape_).first(outer_rank_));
    chunks_ = inner_.is_constant() && inner_.value() <= kChunk ? Dim(1) : ceildiv(inner_, kChunk);
    return outer_ * chunks_;
  }

  /// Iteration p of them.
  void write(KernelWriter& w, Dim p, int lanes) const {
    Dim row = chunks_ == Dim(1) ? p : outer_ == Dim(1) ? Dim(0) : floordiv(p, chunks_);
    Dim first = chunks_ == Dim(1) ? Dim(0) : (p - row * chunks_) * Dim(kChunk);
    Dim extent = chunks_ == Dim(1) ? inner_ : min(inner_ - first, kChunk);
    Coords at = coordinates(row, std::span(shape_).first(outer_rank_));
    at.resize(shape_.size(), Dim(0));
    blocks(w, extent, lanes, {}, [&](Dim base, std::span<const Val>) {
      Coords inner = coordinates(first + base + loops::lane(), std::span(shape_).subspan(outer_rank_));
      std::copy(inner.begin(), inner.end(), at.begin() + static_cast<std::ptrdiff_t>(outer_rank_));
>>>>>>> main
      evaluate(w, at);
      return std::vector<Val>{};
    });
  }

 private:
  void evaluate(KernelWriter& w, std::span<const Dim> at) const {
    for (u32 v : outputs_) {
      Val value = w.at(v, at);
      w.store(v, at, value);
    }
  }

  const Graph& g_;
  std::vector<u32> outputs_;
  Shape shape_;
  size_t outer_rank_ = 0;
  Dim inner_, outer_, chunks_;
};

}  // namespace

Lowered lower_map(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  std::vector<Part> parts;
  for (u32 v : group.outputs) {
    auto same = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.takes(v); });
    same == parts.end() ? parts.emplace_back(g, v), void() : same->add(v);
  }
  std::vector<Dim> starts{0};
  for (Part& p : parts) starts.push_back(starts.back() + p.cut(index, group));

  KernelWriter w(g, index, group.computed, "map");
  w.builder().parallel("p", starts.back(), [&](Dim p) {
    if (parts.size() == 1) return parts[0].write(w, p, target.map_lanes);
    for (size_t i = 0; i < parts.size(); ++i) {
      Dim count = starts[i + 1] - starts[i], mine = p - starts[i];
      // A loop of one iteration where p is one of this part's, else of none.
      Dim here = max(min(min(mine + Dim(1), count - mine), 1), 0);
      w.builder().serial("t", here,
                         [&](Dim) { parts[i].write(w, max(min(mine, count - Dim(1)), 0), target.map_lanes); });
    }
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
    TurnedMap(w, shape, *rows, last - 1, {computes ? 4 : side, side}, evaluate).write();
  } else {
    plain_map(w, shape, merged, target.map_lanes, evaluate);
  }
  Lowered done;
  done.kernel = w.finish();
  done.arguments = w.arguments();
  return done;
}

}  // namespace tn
