// The matmul template. Result axes are of four kinds: lanes (the trailing run that only one operand, called b here,
// depends on), rows (a run that only the other, a, depends on), and outer ones. Panels of b, `lanes` wide, are packed
// once in a first phase, [outer][panel][k][lanes], so that the inner loop reads it in order whatever b's layout; a is
// read where it lies, a column of the tile at a time (its elements are broadcast from memory, so its layout does not
// matter). Units of the second phase are runs of row tiles of one panel: the panel stays in the second cache while a
// streams past it.
#include "compile/contraction.h"

#include <algorithm>

#include "compile/tiles.h"

namespace tn {

using loops::Val;

static constexpr Dim kNoLimit = loops::Node::kNone;

static bool holds(Dim d, Dim symbol) {
  auto all = symbols_of(d);
  return std::find(all.begin(), all.end(), symbol) != all.end();
}

static bool any_holds(std::span<const Dim> dims, Dim symbol) {
  return std::any_of(dims.begin(), dims.end(), [&](Dim d) { return holds(d, symbol); });
}

// ---------------------------------------------------------------- the view

ContractionView::ContractionView(const Graph& g, const Node& n)
    : node(n), rule(*n.op->lower.as<Contraction>()), result(n.first_result) {
  auto ids = g.operands(n);
  a = ids[0], b = ids[1];
  for (u32 v : ids) types.push_back(g.type(v));
  auto shape = g.type(result).shape();
  out_extents.assign(shape.begin(), shape.end());
  for (size_t i = 0; i < shape.size(); ++i) out.push_back(Dim::symbol("out'" + std::to_string(i)));
  for (int i = 0; i < rule.red_count(types, n.attrs); ++i) red.push_back(Dim::symbol("red'" + std::to_string(i)));
  spec = at(out, red);
  red_extents = spec.red_extents;
  dtype = compute_dtype(types[0].dtype());
}

ContractionSpec ContractionView::at(std::span<const Dim> o, std::span<const Dim> r) const {
  return rule.spec(types, node.attrs, o, r);
}

Val multiply_add(loops::Builder& b, Val a, Val x, Val acc) {
  if (is_float(b.tile(acc).dtype)) return b.fma(a, x, acc);
  Val product = b.mul(a, x);
  return b.add(acc, product);
}

// ---------------------------------------------------------------- epilogue

/// Expressions of more nodes than this are rolled over the rows of a tile: unrolled they would be megabytes of code.
static constexpr size_t kUnrolledNodes = 10;

Epilogue::Epilogue(const Graph& g, const GraphIndex& index, const Group& group, u32 result)
    : group_(group), result_(result) {
  KernelWriter w(g, index, group.computed, "probe");
  size_t nodes = 0;
  w.builder().parallel("p", 1, [&](Dim) {
    w.set_tile({1, 1});
    Val acc = w.builder().constant(0, compute_dtype(g.type(result).dtype()));
    Coords at(g.type(result).shape().size(), Dim(0));
    size_t before = w.kernel().nodes.size();
    store_tile(w, at, acc);
    nodes = w.kernel().nodes.size() - before;
  });
  rolled_ = nodes > kUnrolledNodes + group.outputs.size();
}

void Epilogue::store_tile(KernelWriter& w, std::span<const Dim> out, Val acc) const {
  Val v = rounded(w, result_, acc);
  w.remember(result_, out, v);
  for (u32 o : group_.outputs) {
    Val x = w.at(o, out);
    w.store(o, out, x);
  }
}

void Epilogue::store(KernelWriter& w, std::span<const Dim> out, Val acc) const {
  auto tile = w.tile();
  if (!rolled_ || tile.rows == 1) return store_tile(w, out, acc);
  loops::Builder& b = w.builder();
  int scratch = b.alloc("tile", b.tile(acc).dtype, {tile.rows, tile.lanes});
  Dim at[] = {loops::row(), loops::lane()};
  b.store(scratch, at, acc);
  Dim count = tile.row_limit == kNoLimit ? Dim(tile.rows) : min(tile.row_limit, tile.rows);
  b.serial("e", count, [&](Dim r) {
    w.set_tile({1, tile.lanes, kNoLimit, tile.lane_limit});
    std::pair<Dim, Dim> row_is[] = {{loops::row(), r}};
    Coords here;
    for (Dim d : out) here.push_back(substitute(d, row_is));
    Dim from[] = {r, loops::lane()};
    Val v = b.load(scratch, from, 1, tile.lanes);
    store_tile(w, here, v);
  });
  w.set_tile(tile);
}

// ---------------------------------------------------------------- axes

namespace {

/// A run of result axes walked by one index.
struct Run {
  size_t first = 0, count = 0;
  Shape extents;
  Dim extent = 1;
  bool empty() const { return count == 0; }
};

struct Roles {
  u32 a, b;  // values; b gives the lanes
  bool swapped;
  Run rows, lanes;
  std::vector<size_t> outer;  // the other axes of the result
};

class TiledContraction {
 public:
  TiledContraction(const Graph& g, const GraphIndex& index, const Group& group, const Target& target)
      : g_(g), index_(index), group_(group), target_(target), view_(g, g.nodes()[group.anchor]) {}

  std::optional<Lowered> run() {
    if (!inside() || !choose_roles()) return std::nullopt;
    tile_ = contraction_tile(target_, view_.dtype, roles_.rows.extent, roles_.lanes.extent);
    panels_ = ceildiv(roles_.lanes.extent, tile_.lanes);
    row_tiles_ = ceildiv(roles_.rows.extent, tile_.rows);
    depth_ = product(view_.red_extents);
    packed_ = !reads_in_place();
    KernelWriter w(g_, index_, group_.computed, std::string(view_.node.op->name));
    if (packed_) pack(w);
    multiply(w);
    Lowered done;
    done.kernel = w.finish();
    done.arguments = w.arguments();
    return done;
  }

 private:
  bool reads_computed(u32 value) const {
    u32 producer = index_.producer[value];
    return producer != GraphIndex::kInput && group_.computed[producer];
  }

  /// Whether no index can leave its operand, so that nothing is padded.
  bool inside() const {
    std::vector<Bound> bounds;
    auto add = [&](std::span<const Dim> symbols, std::span<const Dim> extents) {
      for (size_t i = 0; i < symbols.size(); ++i) bounds.push_back({symbols[i], Dim(0), extents[i] - Dim(1)});
    };
    add(view_.out, view_.out_extents);
    add(view_.red, view_.red_extents);
    for (i64 d : view_.spec.a_divisor)
      if (d != 1) return false;
    auto all = [&](std::span<const Dim> at, Type t) {
      for (size_t i = 0; i < at.size(); ++i)
        if (!provably_nonnegative(at[i], bounds) || !provably_nonnegative(t.shape()[i] - Dim(1) - at[i], bounds))
          return false;
      return true;
    };
    return all(view_.spec.a_index, view_.types[0]) && all(view_.spec.b_index, view_.types[1]);
  }

  bool in_a(size_t axis) const { return any_holds(view_.spec.a_index, view_.out[axis]); }
  bool in_b(size_t axis) const { return any_holds(view_.spec.b_index, view_.out[axis]); }

  /// How many of the `count` axes that end before `end` all offsets walk as one.
  Run merged_run(size_t end, size_t count) {
    Run run;
    auto extents = std::span<const Dim>(view_.out_extents).subspan(end - count, count);
    auto probe = [&](KernelWriter& w, std::span<const Dim> at) {
      Coords out(view_.out.size(), Dim(0)), red(view_.red.size(), Dim(0));
      std::copy(at.begin(), at.end(), out.begin() + static_cast<std::ptrdiff_t>(end - count));
      ContractionSpec spec = view_.at(out, red);
      w.set_tile({1, 1});
      w.at(view_.a, spec.a_index);
      w.at(view_.b, spec.b_index);
      Val v = w.builder().constant(0, compute_dtype(g_.type(view_.result).dtype()));
      w.remember(view_.result, out, v);
      for (u32 o : group_.outputs) {
        Val x = w.at(o, out);
        w.store(o, out, x);
      }
    };
    run.count = static_cast<size_t>(std::max(1, merged_axes(g_, index_, group_, extents, probe)));
    run.first = end - run.count;
    auto own = std::span<const Dim>(view_.out_extents).subspan(run.first, run.count);
    run.extents.assign(own.begin(), own.end());
    run.extent = product(own);
    return run;
  }

  bool choose_roles() {
    size_t rank = view_.out.size();
    while (rank > 1 && view_.out_extents[rank - 1] == Dim(1)) --rank;
    if (rank == 0) return false;
    bool last_a = in_a(rank - 1), last_b = in_b(rank - 1);
    if (last_a == last_b) return false;
    roles_.swapped = last_a;
    roles_.a = roles_.swapped ? view_.b : view_.a;
    roles_.b = roles_.swapped ? view_.a : view_.b;
    auto only = [&](size_t axis, bool of_b) {
      bool a = roles_.swapped ? in_b(axis) : in_a(axis), b = roles_.swapped ? in_a(axis) : in_b(axis);
      return of_b ? b && !a : a && !b;
    };
    auto run_before = [&](size_t end, bool of_b) {
      size_t count = 0;
      while (count < end && only(end - count - 1, of_b)) ++count;
      return count;
    };
    roles_.lanes = merged_run(rank, run_before(rank, true));
    size_t end = roles_.lanes.first;
    while (end > 0 && !only(end - 1, false)) --end;
    if (end > 0) roles_.rows = merged_run(end, run_before(end, false));
    for (size_t i = 0; i < view_.out.size(); ++i) {
      auto within = [&](const Run& r) { return i >= r.first && i < r.first + r.count; };
      if (!within(roles_.lanes) && !(within(roles_.rows) && !roles_.rows.empty())) roles_.outer.push_back(i);
    }
    return true;
  }

  // -------------------------------------------------------------- coordinates

  Shape outer_extents(bool of_b_only) const {
    Shape s;
    for (size_t i : roles_.outer)
      if (!of_b_only || outer_in_b(i)) s.push_back(view_.out_extents[i]);
    return s;
  }
  bool outer_in_b(size_t axis) const { return roles_.swapped ? in_a(axis) : in_b(axis); }

  /// Coordinates of the result.
  Coords result_at(std::span<const Dim> outer, Dim row, Dim lane) const {
    Coords at(view_.out.size(), Dim(0));
    for (size_t i = 0; i < roles_.outer.size(); ++i) at[roles_.outer[i]] = outer[i];
    auto place = [&](const Run& r, Dim flat) {
      if (r.empty()) return;
      Coords c = coordinates(flat, r.extents);
      std::copy(c.begin(), c.end(), at.begin() + static_cast<std::ptrdiff_t>(r.first));
    };
    place(roles_.rows, row);
    place(roles_.lanes, lane);
    return at;
  }

  Coords index_of(bool of_b, std::span<const Dim> out, std::span<const Dim> red) const {
    ContractionSpec s = view_.at(out, red);
    return of_b == roles_.swapped ? s.a_index : s.b_index;
  }

  Dim lane_limit(Dim panel) const {
    if (provably_divisible(roles_.lanes.extent, tile_.lanes)) return kNoLimit;
    return roles_.lanes.extent - panel * Dim(tile_.lanes);
  }

  Dim row_limit(Dim row) const {
    if (provably_divisible(roles_.rows.extent, tile_.rows)) return kNoLimit;
    return roles_.rows.extent - row;
  }

  /// The load that gives the tile, widened or not; nothing where it is computed.
  static const loops::Node* plain_load(loops::Builder& b, Val v) {
    const loops::Node* n = &b.node(v);
    bool cast = n->kind == loops::Kind::map && n->op == loops::ScalarOp::cast;
    if (cast) n = &b.node(b.kernel().operands(*n)[0]);
    return n->kind == loops::Kind::load ? n : nullptr;
  }

  /// The change of b's offset along the lanes (no axis) or a reduction axis; nothing where b is computed.
  std::optional<Dim> stride_of_b(std::optional<size_t> axis) const {
    KernelWriter w(g_, index_, group_.computed, "probe");
    loops::Builder& b = w.builder();
    std::optional<Dim> stride;
    Coords outer(roles_.outer.size(), Dim(0)), red(view_.red.size(), Dim(0));
    b.parallel("p", roles_.lanes.extent, [&](Dim lane) {
      if (axis) red[*axis] = loops::lane();
      w.set_tile({1, 8, kNoLimit, axis ? view_.red_extents[*axis] : roles_.lanes.extent - lane});
      Val v = w.at(roles_.b, index_of(true, result_at(outer, 0, axis ? lane : lane + loops::lane()), red));
      if (const loops::Node* n = plain_load(b, v))
        stride =
            coefficient(loops::element_offset(w.kernel().buffers[static_cast<size_t>(n->buffer)], w.kernel().index(*n)),
                        loops::lane());
    });
    return stride;
  }

  /// b is read from where it lies when its lanes are neighbours and few rows would pay for packing.
  bool reads_in_place() const {
    if (g_.type(roles_.b).dtype() != view_.dtype) return false;
    if (stride_of_b(std::nullopt) != Dim(1)) return false;
    Dim rows = roles_.rows.extent;
    int most = target_.vector_bits == 512 ? 256 : tile_.rows;
    return rows.is_constant() && rows.value() <= most && provably_divisible(roles_.lanes.extent, tile_.lanes);
  }

  // -------------------------------------------------------------- packing

  /// [outer of b][panel][k][lanes]
  Dim panel_offset(Dim outer, Dim panel) const { return (outer * panels_ + panel) * depth_ * Dim(tile_.lanes); }

  Dim flat_depth(std::span<const Dim> red) const {
    Dim flat = 0;
    for (size_t i = 0; i < red.size(); ++i) flat = flat * view_.red_extents[i] + red[i];
    return flat;
  }

  void pack(KernelWriter& w) {
    Shape outer = outer_extents(true);
    panel_ = w.temp("panels", view_.dtype, {product(outer) * panels_ * depth_ * Dim(tile_.lanes)});
    size_t last = view_.red.size();
    bool turned = last > 0 && turns(last - 1);
    // The first reduction axis in chunks, so that one panel is work for several threads.
    Dim chunk = last == 0 || (turned && last == 1) ? Dim(1) : Dim(kPackChunk);
    Dim chunks = chunk == Dim(1) ? Dim(1) : ceildiv(view_.red_extents[0], kPackChunk);
    w.builder().parallel("p", product(outer) * panels_ * chunks, [&](Dim p) {
      Shape extents{product(outer), panels_, chunks};
      Coords unit = coordinates(p, extents);
      Coords outer_of_b = coordinates(unit[0], outer), full(roles_.outer.size(), Dim(0));
      for (size_t i = 0, j = 0; i < roles_.outer.size(); ++i)
        if (outer_in_b(roles_.outer[i])) full[i] = outer_of_b[j++];
      Place place{full, unit[1], panel_offset(unit[0], unit[1])};
      Coords red;
      pack_nest(w, place, red, unit[2], chunks != Dim(1), turned);
    });
  }

  struct Place {
    Coords outer;
    Dim panel, offset;
  };

  /// Whether b's memory runs along reduction axis `axis` and not along the lanes: then blocks are transposed.
  bool turns(size_t axis) const {
    return stride_of_b(std::nullopt) != Dim(1) && stride_of_b(axis) == Dim(1) && tile_.lanes % 8 == 0;
  }

  void pack_nest(KernelWriter& w, const Place& place, Coords& red, Dim chunk, bool chunked, bool turned) {
    size_t axis = red.size(), rank = view_.red.size();
    if (turned && axis + 1 == rank) return pack_turned(w, place, red);
    if (axis == rank) return pack_row(w, place, red);
    Dim extent = view_.red_extents[axis], base = 0;
    if (axis == 0 && chunked) {
      base = chunk * Dim(kPackChunk);
      extent = min(extent - base, kPackChunk);
    }
    w.builder().serial("k", extent, [&](Dim k) {
      red.push_back(base + k);
      pack_nest(w, place, red, chunk, chunked, turned);
      red.pop_back();
    });
  }

  /// One row of the panel: the lanes of b at one place of the reduction; zeros past the end.
  void pack_row(KernelWriter& w, const Place& place, std::span<const Dim> red) {
    Coords out = result_at(place.outer, 0, place.panel * Dim(tile_.lanes) + loops::lane());
    w.set_tile({1, tile_.lanes, kNoLimit, lane_limit(place.panel)});
    Val v = w.at(roles_.b, index_of(true, out, red));
    v = w.widened(v, 1, tile_.lanes);
    Dim to = place.offset + flat_depth(red) * Dim(tile_.lanes) + loops::lane();
    w.builder().store(panel_, {&to, 1}, v);
  }

  /// Blocks of 16 (or 8) lanes by as many steps of the last reduction axis, transposed in registers.
  void pack_turned(KernelWriter& w, const Place& place, Coords& red) {
    int block = target_.vector_bits == 512 && tile_.lanes % 16 == 0 ? 16 : 8;
    Dim extent = view_.red_extents.back(), first_lane = place.panel * Dim(tile_.lanes);
    Dim filled =
        lane_limit(place.panel) == kNoLimit ? Dim(tile_.lanes) : min(roles_.lanes.extent - first_lane, tile_.lanes);
    w.builder().serial("s", ceildiv(filled, block), [&](Dim s) {
      Dim lane = first_lane + s * Dim(block);
      auto step = [&](Dim k, Dim limit) {
        Dim rows = lane_limit(place.panel) == kNoLimit ? kNoLimit : roles_.lanes.extent - lane;
        w.set_tile({block, block, rows, limit});
        red.push_back(k + loops::lane());
        Val v = w.at(roles_.b, index_of(true, result_at(place.outer, 0, lane + loops::row()), red));
        red.back() = k;
        v = w.widened(v, block, block);
        Val turned = w.builder().transpose(v);
        Dim to = place.offset + (flat_depth(red) + loops::row()) * Dim(tile_.lanes) + s * Dim(block) + loops::lane();
        red.pop_back();
        w.builder().store(panel_, {&to, 1}, turned, {.rows = limit});
      };
      Dim full = floordiv(extent, block), rest = extent - full * Dim(block);
      w.builder().serial("k", full, [&](Dim k) { step(k * Dim(block), kNoLimit); });
      if (rest != Dim(0))
        w.builder().serial("t", ceildiv(extent, block) - full, [&](Dim) { step(full * Dim(block), rest); });
    });
  }

  // -------------------------------------------------------------- products

  /// Row tiles that one unit walks with its panels.
  static constexpr int kRowTiles = 16, kPackChunk = 64;
  /// Lanes of the panels that take turns on a strip of rows, so that the strip is read once.
  static constexpr int kGroupLanes = 64;

  void multiply(KernelWriter& w) {
    int together = std::max(1, kGroupLanes / std::max(1, tile_.lanes * words()));
    Dim groups = ceildiv(panels_, together), strips = ceildiv(row_tiles_, kRowTiles);
    Shape outer = outer_extents(false);
    Epilogue epilogue(g_, index_, group_, view_.result);
    w.builder().parallel("p", product(outer) * groups * strips, [&](Dim p) {
      Shape extents{product(outer), groups, strips};
      Coords unit = coordinates(p, extents);
      Coords at = coordinates(unit[0], outer);
      Dim first = unit[2] * Dim(kRowTiles), tiles = min(row_tiles_ - first, kRowTiles);
      if (strips == Dim(1)) tiles = row_tiles_;
      w.builder().serial("i", tiles, [&](Dim t) {
        Dim row = (first + t) * Dim(tile_.rows);
        Dim panel = unit[1] * Dim(together);
        if (together == 1) return tile(w, epilogue, at, row, panel);
        w.builder().serial("j", groups == Dim(1) ? panels_ : min(panels_ - panel, together),
                           [&](Dim j) { tile(w, epilogue, at, row, panel + j); });
      });
    });
  }

  int words() const { return std::max(1, bits(view_.dtype) / 32); }

  Dim outer_of_b(std::span<const Dim> outer) const {
    Dim flat = 0;
    for (size_t i = 0; i < roles_.outer.size(); ++i)
      if (outer_in_b(roles_.outer[i])) flat = flat * view_.out_extents[roles_.outer[i]] + outer[i];
    return flat;
  }

  void tile(KernelWriter& w, const Epilogue& epilogue, std::span<const Dim> outer, Dim row, Dim panel) {
    Coords out = result_at(outer, row + loops::row(), panel * Dim(tile_.lanes) + loops::lane());
    KernelWriter::TileContext context{tile_.rows, tile_.lanes, row_limit(row), lane_limit(panel)};
    Coords red;
    Val zero = w.builder().constant(0, view_.dtype, tile_.rows, tile_.lanes);
    Val sum = chain(w, context, out, panel_offset(outer_of_b(outer), panel), red, zero);
    w.set_tile(context);
    epilogue.store(w, out, sum);
  }

  Val chain(KernelWriter& w, const KernelWriter::TileContext& context, std::span<const Dim> out, Dim offset,
            Coords& red, Val acc) {
    size_t axis = red.size();
    if (axis == view_.red.size()) {
      w.set_tile(context);
      Val x = w.at(roles_.a, index_of(false, out, red)), y;
      if (reads_computed(roles_.a) && !plain_load(w.builder(), x)) throw Refusal{roles_.a};
      if (packed_) {
        Dim from = offset + flat_depth(red) * Dim(tile_.lanes) + loops::lane();
        y = w.builder().load(panel_, {&from, 1}, 1, tile_.lanes);
      } else {
        y = w.at(roles_.b, index_of(true, out, red));
      }
      return roles_.swapped ? multiply_add(w.builder(), y, x, acc) : multiply_add(w.builder(), x, y, acc);
    }
    return w.builder().loop("k", view_.red_extents[axis], {&acc, 1}, [&](Dim k, std::span<const Val> c) {
      red.push_back(k);
      Val next = chain(w, context, out, offset, red, c[0]);
      red.pop_back();
      return std::vector<Val>{next};
    })[0];
  }

  const Graph& g_;
  const GraphIndex& index_;
  const Group& group_;
  const Target& target_;
  ContractionView view_;
  Roles roles_{};
  ContractionTile tile_;
  Dim panels_, row_tiles_, depth_;
  bool packed_ = true;
  int panel_ = -1;
};

}  // namespace

std::optional<Lowered> lower_tiled_contraction(const Graph& g, const GraphIndex& index, const Group& group,
                                               const Target& target) {
  return TiledContraction(g, index, group, target).run();
}

}  // namespace tn
