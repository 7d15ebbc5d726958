// The matmul template. Result axes are of four kinds: lanes (the trailing run that only one operand, called b here,
// depends on), rows (a run that only the other, a, depends on), and outer ones. Panels of b, `lanes` wide, are packed
// (see panels.h), so that the inner loop reads them in order whatever b's layout; a is read where it lies, a column of
// the tile at a time (its elements are broadcast from memory), unless its columns lie so far apart that caches hold few
// of them (see strips.h). Units of work are runs of row tiles of one panel: the panel stays in the second cache while a
// streams past it.
#include "compile/contraction.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>

#include "compile/panels.h"
#include "compile/product_units.h"
#include "compile/strips.h"
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
      : g_(g),
        index_(index),
        group_(group),
        target_(target),
        view_(g, g.nodes()[group.anchor]),
        epilogue_(g, index, group, view_.result) {}

  std::optional<Lowered> run() {
    if (!inside() || !choose_roles()) return std::nullopt;
    tile_ = contraction_tile(target_, view_.dtype, roles_.rows.extent, roles_.lanes.extent);
    packed_ = !reads_in_place();
    // So few rows that panels would be written to be read once or twice: then b is turned where it is used.
    bool few = roles_.rows.extent.is_constant() && roles_.rows.extent.value() <= kFewRows;
    if (packed_ && few && !view_.red.empty() && turns(view_.red.size() - 1)) {
      packed_ = false, turned_ = true;
      tile_.lanes = block();
    }
    panels_ = ceildiv(roles_.lanes.extent, tile_.lanes);
    row_tiles_ = ceildiv(roles_.rows.extent, tile_.rows);
    depth_ = product(view_.red_extents);
    by_rows_ = goes_by_rows();
    KernelWriter w(g_, index_, group_.computed, std::string(view_.node.op->name));
    choose_panels(w);
    if (rows_far_apart()) pack_strips(w);
    multiply(w);
    Lowered done;
    done.kernel = w.finish();
    done.arguments = w.arguments();
    return done;
  }

 private:
  bool reads_computed(u32 value) const {
    u32 producer = index_.producer[value];
    return producer != GraphIndex::kInput && group_.computed.contains(producer);
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

  enum class Side { a, b, both };
  bool outer_of(Side side, size_t axis) const {
    return side == Side::both || ((side == Side::b) == roles_.swapped ? in_a(axis) : in_b(axis));
  }
  /// The outer axes that one side has.
  Shape outer_extents(Side side) const {
    Shape s;
    for (size_t i : roles_.outer)
      if (outer_of(side, i)) s.push_back(view_.out_extents[i]);
    return s;
  }
  /// Coordinates of all outer axes from those that the side has.
  Coords every_outer(Side side, std::span<const Dim> own) const {
    Coords full(roles_.outer.size(), Dim(0));
    for (size_t i = 0, j = 0; i < roles_.outer.size(); ++i)
      if (outer_of(side, roles_.outer[i])) full[i] = own[j++];
    return full;
  }
  /// The coordinates that one side has of all outer axes'.
  Coords outer_of_side(Side side, std::span<const Dim> every) const {
    Coords own;
    for (size_t i = 0; i < every.size(); ++i)
      if (outer_of(side, roles_.outer[i])) own.push_back(every[i]);
    return own;
  }
  Dim flat_outer(Side side, std::span<const Dim> outer) const {
    Dim flat = 0;
    for (size_t i = 0; i < roles_.outer.size(); ++i)
      if (outer_of(side, roles_.outer[i])) flat = flat * view_.out_extents[roles_.outer[i]] + outer[i];
    return flat;
  }

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

  /// Tiles of two heights where the last one of one height would leave much of it idle and every unit has all of them
  /// (and whole panels: of others the verifier cannot prove that units keep apart).
  void choose_heights(const ProductUnits& u) {
    Dim rows = roles_.rows.extent;
    if (strips_ || u.strips != Dim(1) || !provably_divisible(roles_.lanes.extent, tile_.lanes)) return;
    if (!rows.is_constant() || tile_.rows < 3 || rows.value() <= tile_.rows) return;
    i64 idle = row_tiles_.value() * tile_.rows - rows.value();
    if (idle * kIdle > rows.value()) two_heights_.emplace(rows, tile_.rows);
  }

  Dim row_limit(Dim row) const {
    if (two_heights_ || provably_divisible(roles_.rows.extent, tile_.rows)) return kNoLimit;
    return roles_.rows.extent - row;
  }

  /// The load that gives the tile, widened or not; nothing where it is computed.
  static const loops::Node* plain_load(loops::Builder& b, Val v) {
    const loops::Node* n = &b.node(v);
    bool cast = n->kind == loops::Kind::map && n->op == loops::ScalarOp::cast;
    if (cast) n = &b.node(b.kernel().operands(*n)[0]);
    return n->kind == loops::Kind::load ? n : nullptr;
  }

  /// The change of an operand's offset along its run of the result (no axis) or a reduction axis; nothing where it is
  /// computed.
  std::optional<Dim> stride(bool of_b, std::optional<size_t> axis) const {
    KernelWriter w(g_, index_, group_.computed, "probe");
    loops::Builder& b = w.builder();
    std::optional<Dim> found;
    Coords outer(roles_.outer.size(), Dim(0)), red(view_.red.size(), Dim(0));
    Dim extent = of_b ? roles_.lanes.extent : roles_.rows.extent;
    b.parallel("p", extent, [&](Dim at) {
      if (axis) red[*axis] = loops::lane();
      w.set_tile({1, 8, kNoLimit, axis ? view_.red_extents[*axis] : extent - at});
      Dim along = axis ? at : at + loops::lane();
      Val v = w.at(of_b ? roles_.b : roles_.a,
                   index_of(of_b, result_at(outer, of_b ? Dim(0) : along, of_b ? along : Dim(0)), red));
      if (const loops::Node* n = plain_load(b, v))
        found =
            coefficient(loops::element_offset(w.kernel().buffers[static_cast<size_t>(n->buffer)], w.kernel().index(*n)),
                        loops::lane());
    });
    return found;
  }

  /// b is read from where it lies when its lanes are neighbours and few rows would pay for packing.
  bool reads_in_place() const {
    if (g_.type(roles_.b).dtype() != view_.dtype) return false;
    if (stride(true, std::nullopt) != Dim(1)) return false;
    Dim rows = roles_.rows.extent;
    int most = target_.vector_bits == 512 ? 256 : tile_.rows;
    if (crowds_cache()) return false;
    return rows.is_constant() && rows.value() <= most && provably_divisible(roles_.lanes.extent, tile_.lanes);
  }

  /// Whether rows of b lie so far apart that those of a panel fall into few sets of the second cache and drive each
  /// other out of it before the next tile reads them.
  bool crowds_cache() const {
    constexpr i64 kLine = 64, kSets = 2048, kWays = 8;
    Dim depth = product(view_.red_extents);
    auto step = view_.red.empty() ? std::nullopt : stride(true, view_.red.size() - 1);
    if (!step || !step->is_constant() || !depth.is_constant()) return false;
    i64 lines = step->value() * bytes(view_.dtype) / kLine;
    return lines > 0 && depth.value() > kWays * (kSets / std::gcd(lines, kSets));
  }

  // -------------------------------------------------------------- panels of lanes

  Dim flat_depth(std::span<const Dim> red) const {
    Dim flat = 0;
    for (size_t i = 0; i < red.size(); ++i) flat = flat * view_.red_extents[i] + red[i];
    return flat;
  }

  /// Whether b's memory runs along reduction axis `axis` and not along the lanes: then blocks are transposed.
  bool turns(size_t axis) const {
    return stride(true, std::nullopt) != Dim(1) && stride(true, axis) == Dim(1) && tile_.lanes % 8 == 0;
  }

  /// Lanes of a transposition in registers.
  int block() const { return target_.vector_bits == 512 && tile_.lanes % 16 == 0 ? 16 : 8; }

  void choose_panels(KernelWriter& w) {
    Panels::Extents extents{outer_extents(Side::b), roles_.lanes.extent, tile_.lanes, view_.red_extents};
    bool turned = !view_.red.empty() && turns(view_.red.size() - 1);
    panels_of_b_.emplace(extents, view_.dtype, turned, block(),
                         [this, &w](std::span<const Dim> outer, Dim lane, std::span<const Dim> red) {
                           Coords full = every_outer(Side::b, outer);
                           return w.at(roles_.b, index_of(true, result_at(full, 0, lane), red));
                         });
    if (!packed_) return;
    own_ = packs_for_itself();
    if (!own_) return panels_of_b_->share(w);
    auto next = view_.red.empty() || turned ? std::nullopt : stride(true, view_.red.size() - 1);
    copied_ = next && next->is_constant() && next->value() * bytes(g_.type(roles_.b).dtype()) < kPage;
  }

  /// Whether units walk all panels before the next rows: where what is done with the sums moves more memory than the
  /// products, whole rows of it arrive fastest, and all panels fit the second cache.
  bool goes_by_rows() const {
    if (!epilogue_.rolled() || group_.outputs.size() < 2 || !panels_.is_constant() || !depth_.is_constant())
      return false;
    return panels_.value() * tile_.lanes * depth_.value() * bytes(view_.dtype) <= kCache;
  }

  /// Whether each unit copies its panels: where that is once for many rows, and no plan can do it ahead of time.
  bool packs_for_itself() {
    if (by_rows_ || made_of_constants(g_, index_, roles_.b)) return false;
    bool many = row_tiles_.is_constant() && row_tiles_.value() >= kOwnRowTiles;
    if (!many && outer_extents(Side::both).size() != outer_extents(Side::b).size()) return false;
    own_ = true;
    ProductUnits u = choose_units();
    Dim count = product(outer_extents(Side::both)) * u.strips * u.groups;
    return !count.is_constant() || count.value() >= kProductUnits;
  }

  // -------------------------------------------------------------- strips of rows

  /// Whether a's columns are copied: they run along memory, the next is far from each, and enough lanes use them.
  bool rows_far_apart() const {
    if (roles_.rows.extent == Dim(1) || view_.red.empty() || turned_) return false;
    auto at_least = [](Dim d, i64 least) { return !d.is_constant() || d.value() >= least; };
    if (!at_least(roles_.lanes.extent, kStripLanes) || !at_least(depth_, kStripDepth)) return false;
    if (stride(false, std::nullopt) != Dim(1)) return false;
    auto next = stride(false, view_.red.size() - 1);
    return next && at_least(*next, kFarApart / bytes(g_.type(roles_.a).dtype()));
  }

  void pack_strips(KernelWriter& w) {
    strips_.emplace();
    Strips::Extents extents{outer_extents(Side::a), roles_.rows.extent, tile_.rows, view_.red_extents};
    strips_->pack(w, extents, view_.dtype, [&](std::span<const Dim> outer, Dim row, std::span<const Dim> red) {
      Coords full = every_outer(Side::a, outer);
      return w.at(roles_.a, index_of(false, result_at(full, row + loops::lane(), 0), red));
    });
  }

  // -------------------------------------------------------------- products

  static constexpr i64 kFewRows = 4, kIdle = 50;  // 1 / kIdle of the rows: worth a second loop
  /// Strips of rows are copied where steps lie so many bytes apart and so many lanes use them: 128 only repay the copy.
  static constexpr i64 kStripLanes = 256, kStripDepth = 64, kFarApart = 1024;
  /// What of the second cache all panels may take, in bytes.
  static constexpr i64 kCache = 512 * 1024;
  /// Rows of b that lie closer than this are copied by the first products that read them.
  static constexpr i64 kPage = 4096;

  ProductUnits choose_units() const {
    ProductSizes sizes{product(outer_extents(Side::both)), row_tiles_, panels_, depth_,
                       view_.red_extents.empty() ? Dim(1) : view_.red_extents[0]};
    return choose_product_units(sizes, tile_.lanes * words(), own_, by_rows_, target_.vector_bits == 512);
  }

  void multiply(KernelWriter& w) {
    ProductUnits u = choose_units();
    choose_heights(u);
    Shape outer = outer_extents(Side::both), extents{product(outer), u.groups, u.strips};
    loops::Builder& b = w.builder();
    b.parallel("p", product(extents), [&](Dim p) {
      Coords unit = coordinates(p, extents);
      Coords at = coordinates(unit[0], outer);
      Dim first = unit[2] * Dim(u.tiles), tiles = u.strips == Dim(1) ? row_tiles_ : min(row_tiles_ - first, u.tiles);
      Dim panel = unit[1] * Dim(u.panels), panels = u.groups == Dim(1) ? panels_ : min(panels_ - panel, u.panels);
      auto walk = [&](const std::function<void(const Tile&)>& f) {
        auto tiles_of = [&](int rows, Dim count, Dim before, Dim row) {
          b.serial("i", count, [&](Dim t) {
            auto one = [&](Dim j) {
              f({at, row + t * Dim(rows), panel + j, before + t, j, t, min(t + Dim(1), count - Dim(1)), rows});
            };
            if (u.panels == 1) return one(0);
            b.serial("j", panels, one);
          });
        };
        if (two_heights_) return two_heights_->each(tiles_of);
        tiles_of(tile_.rows, tiles, 0, first * Dim(tile_.rows));
      };
      Dim whole = view_.red_extents.empty() ? Dim(1) : view_.red_extents[0];
      Fill fill = [&](const Part& part) {
        part_ = part;
        if (copied_)
          panels_of_b_->begin(part);
        else if (own_)
          panels_of_b_->fill(w, outer_of_side(Side::b, at), panels, part);
      };
      if (own_) panels_of_b_->open(w, panel, u.panels, u.blocks == Dim(1) ? whole : u.block);
      if (u.blocks == Dim(1)) {
        fill({0, whole});
        walk([&](const Tile& t) {
          Val zero = b.constant(0, view_.dtype, t.rows, tile_.lanes);
          finish(w, t, sums(w, t, zero));
        });
        return;
      }
      multiply_in_blocks(w, u, walk, fill);
    });
  }

  using Part = Panels::Part;
  using Fill = std::function<void(const Part&)>;

  struct Tile {
    std::span<const Dim> outer;
    Dim row, panel;
    Dim i, j;          // within the unit
    Dim symbol, next;  // of its loop, and what it is for the tile that follows
    int rows;
  };

  /// Sums wait in scratch for the next block of the reduction; the chain of each goes on as if they had not.
  void multiply_in_blocks(KernelWriter& w, const ProductUnits& u,
                          const std::function<void(const std::function<void(const Tile&)>&)>& walk, const Fill& fill) {
    loops::Builder& b = w.builder();
    int waiting = b.alloc("sums", view_.dtype, {Dim(u.tiles * tile_.rows), Dim(u.panels * tile_.lanes)});
    auto place = [&](const Tile& t) {
      return std::array<Dim, 2>{t.i * Dim(tile_.rows) + loops::row(), t.j * Dim(tile_.lanes) + loops::lane()};
    };
    auto before = [&](const Tile& t) { return b.load(waiting, place(t), t.rows, tile_.lanes); };
    auto part_of = [&](Dim block) {
      Dim from = block * u.block;
      return Part{from, min(view_.red_extents[0] - from, u.block)};
    };
    auto keep = [&](const Tile& t, Val sum) { b.store(waiting, place(t), sum); };
    Dim last = u.blocks - Dim(1);
    fill(part_of(0));
    walk([&](const Tile& t) { keep(t, sums(w, t, b.constant(0, view_.dtype, t.rows, tile_.lanes))); });
    if (last != Dim(1))
      b.serial("b", last - Dim(1), [&](Dim block) {
        fill({(block + Dim(1)) * u.block, u.block});
        walk([&](const Tile& t) { keep(t, sums(w, t, before(t))); });
      });
    fill(part_of(last));
    walk([&](const Tile& t) { finish(w, t, sums(w, t, before(t))); });
  }

  int words() const { return std::max(1, bits(view_.dtype) / 32); }

  KernelWriter::TileContext context(const Tile& t) const {
    return {t.rows, tile_.lanes, row_limit(t.row), lane_limit(t.panel)};
  }

  Coords result_of(const Tile& t) const {
    return result_at(t.outer, t.row + loops::row(), t.panel * Dim(tile_.lanes) + loops::lane());
  }

  /// The sums of a tile over the present part of the reduction, added to `before`.
  Val sums(KernelWriter& w, const Tile& t, Val before) {
    outer_of_ = t.outer, row_of_ = t.row, panel_of_ = t.panel;
    auto go = [&](Val from) {
      Coords red;
      return chain(w, context(t), result_of(t), red, from);
    };
    if (!copied_) return go(before);
    // Loops of 0 or 1 iterations: the first tile copies the panel beside its products, which leave room for the stores;
    // the others read the copy.
    auto where = [&](Dim count, Val from) {
      return w.builder().loop("f", count, {&from, 1},
                              [&](Dim, std::span<const Val> c) { return std::vector<Val>{go(c[0])}; })[0];
    };
    Dim later = min(t.i, 1);
    copies_ = true;
    Val first = where(Dim(1) - later, before);
    copies_ = false;
    return where(later, first);
  }

  void finish(KernelWriter& w, const Tile& t, Val sum) {
    w.set_tile(context(t));
    // What a long epilogue reads of the next tile arrives while that tile's products are made.
    if (target_.compiled) w.fetch_ahead(t.symbol, t.next);
    epilogue_.store(w, result_of(t), sum);
    w.fetch_nothing();
  }

  Val column_of_a(KernelWriter& w, std::span<const Dim> out, std::span<const Dim> red) const {
    if (strips_) return strips_->column(w.builder(), flat_outer(Side::a, outer_of_), row_of_, flat_depth(red));
    Val x = w.at(roles_.a, index_of(false, out, red));
    if (reads_computed(roles_.a) && !plain_load(w.builder(), x)) throw Refusal{roles_.a};
    return x;
  }

  /// The row of b for the tile being written.
  Val row_of_b(KernelWriter& w, std::span<const Dim> out, std::span<const Dim> red) const {
    if (!packed_) return w.at(roles_.b, index_of(true, out, red));
    Coords outer = outer_of_side(Side::b, outer_of_);
    return copies_ ? panels_of_b_->copied_row(w, outer, panel_of_, red)
                   : panels_of_b_->row(w.builder(), outer, panel_of_, red);
  }

  Val chain(KernelWriter& w, const KernelWriter::TileContext& context, std::span<const Dim> out, Coords& red, Val acc) {
    size_t axis = red.size();
    if (axis == view_.red.size()) {
      w.set_tile(context);
      Val x = column_of_a(w, out, red), y = row_of_b(w, out, red);
      return roles_.swapped ? multiply_add(w.builder(), y, x, acc) : multiply_add(w.builder(), x, y, acc);
    }
    Dim base = axis ? Dim(0) : part_.first, extent = axis ? view_.red_extents[axis] : part_.count;
    if (turned_ && axis + 1 == view_.red.size()) return turned_chain(w, context, out, base, extent, red, acc);
    return w.builder().loop("k", extent, {&acc, 1}, [&](Dim k, std::span<const Val> c) {
      red.push_back(base + k);
      Val next = chain(w, context, out, red, c[0]);
      red.pop_back();
      return std::vector<Val>{next};
    })[0];
  }

  /// The last axis of the reduction, b turned block by block; what is left of it is read lane by lane.
  Val turned_chain(KernelWriter& w, const KernelWriter::TileContext& context, std::span<const Dim> out, Dim base,
                   Dim extent, Coords& red, Val acc) {
    loops::Builder& b = w.builder();
    int n = block();
    auto add = [&](Dim k, Val sum, std::optional<Val> y) {
      red.push_back(k);
      w.set_tile(context);
      Val x = column_of_a(w, out, red);
      Val other = y ? *y : w.at(roles_.b, index_of(true, out, red));
      red.pop_back();
      return roles_.swapped ? multiply_add(b, other, x, sum) : multiply_add(b, x, other, sum);
    };
    Dim full = floordiv(extent, n);
    Val blocks = b.loop("k", full, {&acc, 1}, [&](Dim k, std::span<const Val> c) {
      Dim first = base + k * Dim(n);
      Coords outer = outer_of_side(Side::b, outer_of_);
      Val turned = panels_of_b_->turned_block(w, outer, panel_of_ * Dim(tile_.lanes), red, first, kNoLimit), sum = c[0];
      for (int i = 0; i < n; ++i) sum = add(first + Dim(i), sum, b.slice(loops::Axis::rows, i, turned));
      return std::vector<Val>{sum};
    })[0];
    Dim rest = extent - full * Dim(n);
    if (rest == Dim(0)) return blocks;
    return b.loop("t", rest, {&blocks, 1}, [&](Dim k, std::span<const Val> c) {
      return std::vector<Val>{add(base + full * Dim(n) + k, c[0], std::nullopt)};
    })[0];
  }

  const Graph& g_;
  const GraphIndex& index_;
  const Group& group_;
  const Target& target_;
  ContractionView view_;
  Epilogue epilogue_;
  Roles roles_{};
  ContractionTile tile_;
  Dim panels_, row_tiles_, depth_;
  bool packed_ = true, turned_ = false, by_rows_ = false;
  std::optional<TwoHeights> two_heights_;
  bool own_ = false, copied_ = false, copies_ = false;  // panels: a unit's own, copied on first use, this is that use
  std::span<const Dim> outer_of_;                       // of the tile being written
  Dim row_of_, panel_of_;
  std::optional<Panels> panels_of_b_;
  std::optional<Strips> strips_;
  Part part_;  // of the outermost reduction axis, that sums() goes over
};

}  // namespace

std::optional<Lowered> lower_tiled_contraction(const Graph& g, const GraphIndex& index, const Group& group,
                                               const Target& target) {
  return TiledContraction(g, index, group, target).run();
}

}  // namespace tn
