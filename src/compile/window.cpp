// Convolution without im2col: a unit copies its rows of the picture into scratch with zeros around them (computing
// whatever is fused before the convolution on the way, once an element), then runs register tiles of pixels x channels
// over it. Weights are packed by channel block in a first phase, in the order of the reduction: channel, then taps. So
// each tap is one row of the panel and one column of pixels. Rows of taps that fall outside the picture are left out,
// padded columns multiply zeros, as in the plain nest. Tiles are turned around before they are stored, so that pixels
// are neighbours again.
#include "compile/window.h"

#include <algorithm>

#include "compile/tiles.h"
#include "compile/touch.h"

namespace tn {

using loops::Val;

static constexpr Dim kNoLimit = loops::Node::kNone;

std::optional<WindowView> WindowView::of(const ContractionView& v) {
  const Attrs& a = v.node.attrs;
  if (v.node.op->name != "conv" || v.out.size() != 4) return std::nullopt;
  WindowView w;
  for (size_t i = 0; i < 2; ++i) {
    if (a.get<std::vector<i64>>("lhs_dilation")[i] != 1) return std::nullopt;
    w.step[i] = a.get<std::vector<i64>>("strides")[i];
    w.low[i] = a.get<std::vector<i64>>("padding_low")[i];
    w.dilation[i] = a.get<std::vector<i64>>("rhs_dilation")[i];
    if (w.low[i] < 0) return std::nullopt;
    w.image[i] = v.types[0].shape()[i + 2];
    w.taps[i] = v.types[1].shape()[i + 2];
    w.result[i] = v.out_extents[i + 2];
  }
  w.pictures = v.types[0].shape()[0], w.channels = v.types[1].shape()[1];
  w.features = v.types[1].shape()[0];
  // Windows that all lie in the left padding would leave a negative count of columns to copy.
  Dim columns = w.span(1, w.result[1]) - Dim(w.low[1]);
  if (columns.is_constant() && columns.value() < 0) return std::nullopt;
  return w;
}

Dim WindowView::span(size_t axis, Dim count) const {
  return (count - Dim(1)) * Dim(step[axis]) + (taps[axis] - Dim(1)) * Dim(dilation[axis]) + Dim(1);
}

// ---------------------------------------------------------------- the padded copy

Dim PaddedCopy::plane_of(Dim rows, Dim width) {
  // An odd number of cache lines from channel to channel, so that they fall into different sets.
  Dim lines = ceildiv(rows * width, 16);
  if (lines.is_constant()) return Dim((lines.value() | 1) * 16);
  return lines * Dim(16) + Dim(16);
}

PaddedCopy::PaddedCopy(KernelWriter& w, const WindowView& view, u32 value, DType dtype, Dim rows)
    : view_(view), value_(value), dtype_(dtype), rows_(rows), width_(view.span(1, view.result[1])) {
  plane_ = plane_of(rows_, width_);
  // Tiles may read past their last pixel, never past this; so does the last row's padding.
  buffer_ = w.builder().alloc("image", dtype, {view.channels * plane_ + Dim(kSlack + view.low[1])});
}

void PaddedCopy::fill(KernelWriter& w, const std::function<Coords(Dim, Dim, Dim)>& at, Dim first_row) const {
  loops::Builder& b = w.builder();
  // Rows of the copy that lie in the picture, the only ones that are read; padding is not negative, so columns always
  // do. Behind each row come the zeros on its right and on the next one's left.
  Dim top = max(Dim(view_.low[0]) - first_row, 0);
  Dim bottom = min(rows_, view_.image[0] + Dim(view_.low[0]) - first_row);
  Dim columns = max(min(view_.image[1], width_ - Dim(view_.low[1])), 0), count = max(bottom - top, 0);
  b.serial("c", view_.channels, [&](Dim c) {
    b.serial("f", min(count, 1), [&](Dim) { zeros(w, c * plane_ + top * width_, min(view_.low[1], width_)); });
    b.serial("y", count, [&](Dim row) {
      Dim y = first_row + top + row - Dim(view_.low[0]);
      copy_row(w, at, c, y, c * plane_ + (top + row) * width_ + Dim(view_.low[1]), columns);
    });
  });
}

void PaddedCopy::zeros(KernelWriter& w, Dim to, Dim count) const {
  blocks(w, count, kZeros, {}, [&](Dim base, std::span<const Val>) {
    Val zero = w.builder().constant(0, dtype_, 1, kZeros);
    Dim place = to + base + loops::lane();
    w.builder().store(buffer_, {&place, 1}, zero, {kNoLimit, w.tile().lane_limit, false, 0});
    return std::vector<Val>{};
  });
}

void PaddedCopy::copy_row(KernelWriter& w, const std::function<Coords(Dim, Dim, Dim)>& at, Dim c, Dim y, Dim to,
                          Dim columns) const {
  loops::Builder& b = w.builder();
  bool whole = columns.is_constant() && width_.is_constant() && width_.value() <= kLanes && columns.value() >= 1;
  if (whole) {
    int lanes = static_cast<int>(width_.value());
    w.set_tile({1, lanes, kNoLimit, columns});
    Val v = w.widened(w.at(value_, at(c, y, loops::lane())), 1, lanes);
    if (columns != width_) {
      Val lane = b.dim(loops::lane(), DType::i32, 1, lanes), end = b.constant_int(columns.value(), DType::i32);
      Val inside = b.less(lane, end), zero = b.constant(0, dtype_);
      v = b.select(inside, v, zero);
    }
    Dim place = to + loops::lane();
    return b.store(buffer_, {&place, 1}, v);
  }
  blocks(w, columns, kLanes, {}, [&](Dim base, std::span<const Val>) {
    auto tile = w.tile();
    Val v = w.at(value_, at(c, y, base + loops::lane()));
    v = w.widened(v, 1, tile.lanes);
    Dim place = to + base + loops::lane();
    b.store(buffer_, {&place, 1}, v, {kNoLimit, tile.lane_limit, false, 0});
    return std::vector<Val>{};
  });
  zeros(w, to + columns, width_ - columns);
}

Val PaddedCopy::column(KernelWriter& w, Dim offset, Dim row_step, int rows) const {
  Dim at = offset + row_step * loops::row();
  return w.builder().load(buffer_, {&at, 1}, rows, 1);
}

// ---------------------------------------------------------------- forward

namespace {

class WindowContraction {
 public:
  WindowContraction(const Graph& g, const GraphIndex& index, const Group& group, const Target& target,
                    const ContractionView& v, const WindowView& view)
      : g_(g), index_(index), group_(group), v_(v), view_(view) {
    tile_ = window_tile(target, v.dtype, view.result[1], view.features);
    block_ = target.vector_bits == 512 && tile_.lanes % 16 == 0 ? 16 : 8;
    blocks_ = ceildiv(view.features, tile_.lanes);
    columns_ = TwoHeights(view_.result[1], tile_.rows);
    choose_rows();
    choose_packing(g, index, group);
    Dim pictures[] = {view.pictures, view.channels, view.image[0], view.image[1]};
    if (row_blocks_ == Dim(1))
      next_.emplace(g, index, group, v.a, pictures, [](Dim p, Dim c, Dim y, Dim x) { return Coords{p, c, y, x}; });
    stored_ = touches(g, index, group, [&](KernelWriter& w) {
      w.set_tile({1, 1});
      for (u32 o : group.outputs) {
        Val sum = w.builder().constant(0, v.dtype);
        w.remember(v.result, v.out, sum);
        Val x = w.at(o, v.out);
        w.store(o, v.out, x);
      }
    });
    // What follows the sums reads numbers of a channel, if anything: then it is computed where channels are neighbours.
    u32 stored = group.outputs[0];
    by_channel_ = group.outputs.size() == 1 && stored != v.result && g.type(stored).dtype() == v.dtype &&
                  std::all_of(stored_.begin(), stored_.end(), [&](const Touch& t) {
                    auto step = coefficient(t.offset, v.out[1]);
                    bool channel = step == Dim(0) || step == Dim(1);
                    return t.written || (channel && coefficient(t.offset, v.out[3]) == Dim(0));
                  });
    std::erase_if(stored_, [&](const Touch& t) { return coefficient(t.offset, v.out[3]) != Dim(1); });
  }

  Lowered run() {
    KernelWriter w(g_, index_, group_.computed, "conv");
    if (!packs_inside_) pack(w);
    multiply(w);
    Lowered done;
    done.kernel = w.finish();
    done.arguments = w.arguments();
    return done;
  }

 private:
  static constexpr i64 kImageBytes = 256 << 10, kPanelBytes = 512 << 10;  // what these may take of the second cache
  // Packing a weight takes as long as multiplying it with some ten pixels: units of kUnitPixels hardly notice, if
  // kUnits are left for threads to share. What takes no longer than a phase of its own does is packed by every unit.
  static constexpr i64 kUnitPixels = 2560, kLeastPixels = 1280, kUnits = 32, kPackedAtOnce = 32 << 10;
  static constexpr i64 kPieces = 4;

  /// Rows of the result that one unit computes: the whole picture where there are many and it fits. Of few, kPieces
  /// equal units at least, so that threads end together; where rows alone do not give them, with blocks of features.
  void choose_rows() {
    Dim height = view_.result[0];
    rows_ = 8;
    row_blocks_ = ceildiv(height, rows_);
    Dim plane = view_.channels * view_.span(1, view_.result[1]) * Dim(bytes(v_.dtype));
    if (!height.is_constant() || !plane.is_constant()) return;
    bool many = view_.pictures.is_constant() && view_.pictures.value() >= 8;
    i64 most = std::max<i64>(1, kImageBytes / std::max<i64>(1, plane.value()) / view_.step[0]);
    i64 parts = (height.value() + most - 1) / most;
    if (!many) {
      i64 rows = parts, blocks = blocks_.is_constant() ? blocks_.value() : 1;
      parts = std::max(parts, std::min(kPieces, height.value()));
      for (i64 n = kPieces / 2; n >= rows && height.value() % parts != 0; n /= 2)
        if (height.value() % n == 0 && n * blocks >= kPieces) parts = n, splits_features_ = true;
    }
    parts = std::max<i64>(1, parts);
    rows_ = Dim(std::max<i64>(1, (height.value() + parts - 1) / parts));
    row_blocks_ = ceildiv(height, rows_);
  }

  /// Units of several pictures each pack the weights for themselves where that is cheap, so that there is no phase
  /// before; not where weights are constant and packed once for all runs.
  void choose_packing(const Graph& g, const GraphIndex& index, const Group& group) {
    Dim size = blocks_ * panel_size(), pixels = view_.result[0] * view_.result[1];
    Dim units = view_.pictures * row_blocks_;
    if (!size.is_constant() || !units.is_constant() || !pixels.is_constant() || pixels == Dim(0)) return;
    auto read = touches(g, index, group, [&](KernelWriter& w) {
      w.set_tile({1, 1});
      w.at(v_.b, Coords(4, Dim(0)));
    });
    bool constant = std::all_of(read.begin(), read.end(), [&](const Touch& t) {
      u32 p = index.producer[t.value];
      return p != GraphIndex::kInput && g.nodes()[p].op->name == "constant";
    });
    if (constant || splits_features_ || size.value() * bytes(v_.dtype) > kPanelBytes) return;
    i64 each = 1;
    if (row_blocks_ == Dim(1))
      each = std::clamp((kUnitPixels - 1) / pixels.value() + 1, i64{1}, std::max<i64>(1, units.value() / kUnits));
    i64 in_unit = row_blocks_ == Dim(1) ? pixels.value() * each : (rows_ * view_.result[1]).value();
    if (in_unit < kLeastPixels && size.value() * units.value() > kPackedAtOnce) return;
    packs_inside_ = true, pictures_ = each;
  }

  Dim panel_row() const { return Dim(tile_.lanes); }
  Dim tap_count() const { return view_.taps[0] * view_.taps[1]; }
  Dim panel_size() const { return view_.channels * tap_count() * panel_row(); }

  /// How the weights of a feature lie in memory: in the order of the reduction as a whole, or a channel's taps forward
  /// or backward; then they are packed by transposition.
  enum class Order { none, taps, all };
  Order weights_order() const {
    if (tile_.lanes % block_ != 0) return Order::none;
    auto run = [&](Dim count, const std::function<Coords(Dim, Dim)>& at) -> std::optional<Dim> {
      auto read = touches(g_, index_, group_, [&](KernelWriter& w) {
        w.builder().serial("c", view_.channels, [&](Dim c) {
          w.builder().serial("k", count, [&](Dim k) {
            w.set_tile({1, 8, kNoLimit, count - k});
            w.at(v_.b, at(c, k + loops::lane()));
          });
        });
      });
      return read.size() == 1 ? coefficient(read[0].offset, loops::lane()) : std::nullopt;
    };
    if (run(view_.channels * tap_count(), [&](Dim, Dim k) { return weight_at(0, 0, k); }) == Dim(1)) return Order::all;
    auto taps = run(tap_count(), [&](Dim c, Dim k) { return weight_at(0, c, k); });
    return taps == Dim(1) || taps == Dim(-1) ? Order::taps : Order::none;
  }

  /// Coordinates of a feature's k-th weight from a channel on.
  Coords weight_at(Dim feature, Dim channel, Dim k) const {
    Dim extents[] = {view_.channels, view_.taps[0], view_.taps[1]};
    Coords at = coordinates(k, extents);
    at[0] = at[0] + channel;
    at.insert(at.begin(), feature);
    return at;
  }

  /// Features x weights are turned a block at a time, of runs of `depth` weights.
  void pack_turned(KernelWriter& w, Order order) {
    loops::Builder& b = w.builder();
    Dim channels = order == Order::all ? Dim(1) : view_.channels, depth = tap_count();
    if (order == Order::all) depth = depth * view_.channels;
    int lanes = static_cast<int>(depth.is_constant() ? std::min<i64>(depth.value(), block_) : block_);
    Dim parts = tile_.lanes / block_, full = floordiv(depth, lanes), rest = depth - full * Dim(lanes);
    over(w, blocks_ * parts, [&](Dim p) {
      Dim block = parts == Dim(1) ? p : floordiv(p, parts), lane = (p - block * parts) * Dim(block_);
      Dim feature = block * panel_row() + lane;
      auto turn = [&](Dim c, Dim k, Dim limit) {
        Dim rows = provably_divisible(view_.features, tile_.lanes) ? kNoLimit : view_.features - feature;
        w.set_tile({block_, lanes, rows, limit});
        Val v = w.widened(w.at(v_.b, weight_at(feature + loops::row(), c, k + loops::lane())), block_, lanes);
        Val turned = b.transpose(v);
        Dim to = block * panel_size() + (c * depth + k + loops::row()) * panel_row() + lane + loops::lane();
        b.store(panels_, {&to, 1}, turned, {.rows = limit});
      };
      // Features past the last are computed with and thrown away: any numbers do, but they have to be some.
      Dim some = provably_divisible(view_.features, tile_.lanes) ? Dim(1) : min(max(view_.features - feature, 0), 1);
      b.serial("f", some, [&](Dim) {
        b.serial("c", channels, [&](Dim c) {
          if (channels == Dim(1)) c = 0;
          b.serial("k", full, [&](Dim k) { turn(c, k * Dim(lanes), kNoLimit); });
          if (rest == Dim(0)) return;
          b.serial("t", ceildiv(depth, lanes) - full, [&](Dim) { turn(c, full * Dim(lanes), rest); });
        });
      });
      if (some == Dim(1)) return;
      b.serial("z", (Dim(1) - some) * channels * depth, [&](Dim k) {
        Val zero = b.constant(0, v_.dtype, 1, block_);
        Dim to = block * panel_size() + k * panel_row() + lane + loops::lane();
        b.store(panels_, {&to, 1}, zero);
      });
    });
  }

  /// A loop of a phase of its own, or inside a unit.
  void over(KernelWriter& w, Dim count, const std::function<void(Dim)>& body) {
    if (packs_inside_) return w.builder().serial("p", count, body);
    w.builder().parallel("p", count, body);
  }

  /// [block][channel][taps][lanes], zeros past the last feature.
  void pack(KernelWriter& w) {
    loops::Builder& b = w.builder();
    Dim size = blocks_ * panel_size();
    panels_ = packs_inside_ ? b.alloc("weights", v_.dtype, {size}) : w.temp("weights", v_.dtype, {size});
    if (Order order = weights_order(); order != Order::none) return pack_turned(w, order);
    over(w, blocks_ * view_.channels, [&](Dim p) {
      Dim block = floordiv(p, view_.channels), c = p - block * view_.channels;
      if (blocks_ == Dim(1)) block = 0, c = p;
      b.serial("u", view_.taps[0], [&](Dim u) {
        b.serial("v", view_.taps[1], [&](Dim t) {
          w.set_tile({1, tile_.lanes, kNoLimit, feature_limit(block)});
          Coords at{block * panel_row() + loops::lane(), c, u, t};
          Val x = w.widened(w.at(v_.b, at), 1, tile_.lanes);
          Dim to = block * panel_size() + ((c * view_.taps[0] + u) * view_.taps[1] + t) * panel_row() + loops::lane();
          b.store(panels_, {&to, 1}, x);
        });
      });
    });
  }

  Dim feature_limit(Dim block) const {
    if (provably_divisible(view_.features, tile_.lanes)) return kNoLimit;
    return view_.features - block * panel_row();
  }

  void multiply(KernelWriter& w) {
    loops::Builder& b = w.builder();
    Epilogue epilogue(g_, index_, group_, v_.result);
    Dim splits = splits_features_ ? blocks_ : Dim(1);
    b.parallel("p", ceildiv(view_.pictures, pictures_) * row_blocks_ * splits, [&](Dim p) {
      if (packs_inside_) pack(w);
      PaddedCopy copy(w, view_, v_.a, v_.dtype, view_.span(0, rows_));
      if (row_blocks_ == Dim(1) && splits == Dim(1)) {
        Dim first = p * Dim(pictures_);
        if (pictures_ == 1) return unit(w, epilogue, copy, first, 0);
        Dim count =
            provably_divisible(view_.pictures, pictures_) ? Dim(pictures_) : min(view_.pictures - first, pictures_);
        return b.serial("n", count, [&](Dim n) { unit(w, epilogue, copy, first + n, 0); });
      }
      Dim extents[] = {view_.pictures, row_blocks_, splits};
      Coords at = coordinates(p, extents);
      unit(w, epilogue, copy, at[0], at[1] * rows_, at[2]);
    });
  }

  /// Rows of the result from `first` on; of the block of features `only` where units have one each.
  void unit(KernelWriter& w, const Epilogue& epilogue, const PaddedCopy& copy, Dim picture, Dim first, Dim only = 0) {
    loops::Builder& b = w.builder();
    copy.fill(w, [&](Dim c, Dim y, Dim x) { return Coords{picture, c, y, x}; }, first * Dim(view_.step[0]));
    Dim rows = row_blocks_ == Dim(1)                                ? view_.result[0]
               : provably_divisible(view_.result[0], rows_.value()) ? rows_
                                                                    : min(view_.result[0] - first, rows_);
    b.serial("o", splits_features_ ? Dim(1) : blocks_, [&](Dim o) {
      Dim block = splits_features_ ? only : o;
      b.serial("y", rows, [&](Dim y) {
        columns_.each([&](int pixels, Dim count, Dim before, Dim from) {
          b.serial("x", count, [&](Dim x) {
            Pixels at{before + x, from + x * Dim(pixels), pixels};
            tile(w, epilogue, copy, {picture, block, first + y, at}, y);
          });
        });
      });
    });
  }

  /// A tile's pixels: `count` of a row from `first` on; it is tile `number` of the row.
  struct Pixels {
    Dim number, first;
    int count;
  };
  struct Place {
    Dim picture, block, y;
    Pixels x;
  };

  /// `y` counts from the first row of the copy.
  void tile(KernelWriter& w, const Epilogue& epilogue, const PaddedCopy& copy, const Place& at, Dim y) {
    loops::Builder& b = w.builder();
    Val zero = b.constant(0, v_.dtype, at.x.count, tile_.lanes);
    Dim corner = y * Dim(view_.step[0]) * copy.width() + at.x.first * Dim(view_.step[1]);
    Rows inside = rows_inside(at.y * Dim(view_.step[0]));
    Val sum = b.loop("c", view_.channels, {&zero, 1}, [&](Dim c, std::span<const Val> carried) {
      fetch_ahead(w, at, c);
      Dim panel = at.block * panel_size() + c * tap_count() * panel_row();
      return std::vector<Val>{taps(w, copy, corner + c * copy.plane(), panel, inside, carried[0], at.x.count)};
    })[0];
    bool exact = view_.result[1].is_constant() || provably_divisible(view_.result[1], tile_.rows);
    Dim pixels = exact ? kNoLimit : view_.result[1] - at.x.first;
    auto place = [&](Dim channel, Dim pixel) {
      return Coords{at.picture, at.block * panel_row() + channel, at.y, at.x.first + pixel};
    };
    bool by_channel = by_channel_ && epilogue.fits_tile();
    if (by_channel) {
      w.set_tile({at.x.count, tile_.lanes, pixels, feature_limit(at.block)});
      Val v = epilogue.value(w, place(loops::lane(), loops::row()), sum);
      sum = w.widened(v, at.x.count, tile_.lanes);
    }
    Val turned = b.transpose(sum);
    w.set_tile({tile_.lanes, at.x.count, feature_limit(at.block), pixels});
    Coords out = place(loops::row(), loops::lane());
    if (by_channel)
      w.store(group_.outputs[0], out, turned);
    else
      epilogue.store(w, out, turned);
  }

  /// The rows of taps that see the picture from row `top` of the padded picture; the others are left out.
  struct Rows {
    Dim first, count;
  };
  Rows rows_inside(Dim top) const {
    Dim step = Dim(view_.dilation[0]), low = Dim(view_.low[0]);
    Dim begin = max(ceildiv(low - top, step), 0);
    Dim end = min(floordiv(view_.image[0] - Dim(1) + low - top, step) + Dim(1), view_.taps[0]);
    return {begin, max(end - begin, 0)};
  }

  /// Spread over a tile's channels: some of the next picture comes to the second cache, and what the tile will be
  /// stored to (or added to) comes to the first. A row of pixels that began with the tile before is fetched to its end.
  void fetch_ahead(KernelWriter& w, const Place& at, Dim c) const {
    Dim tile = (at.block * view_.result[0] + at.y) * columns_.count() + at.x.number;
    Dim tiles = blocks_ * view_.result[0] * columns_.count();
    if (next_) next_->fetch(w, at.picture, tile * view_.channels + c, tiles * view_.channels);
    i64 each = 1;
    if (view_.channels.is_constant() && view_.channels != Dim(0))
      each = (tile_.lanes + view_.channels.value() - 1) / view_.channels.value();
    for (i64 i = 0; i < each; ++i) {
      Dim feature = at.block * panel_row() + min(c * Dim(each) + Dim(i), tile_.lanes - 1);
      Dim last = at.x.first + Dim(at.x.count - 1);
      const std::pair<Dim, Dim> there[] = {
          {v_.out[0], at.picture}, {v_.out[1], feature}, {v_.out[2], at.y}, {v_.out[3], last}};
      for (const Touch& t : stored_) fetch(w, t, there, 0, t.written ? loops::Fetch::write : loops::Fetch::near);
    }
  }

  /// All taps of one channel, as loops: the emitter may put a loop's steps in one block of code, but each reads its
  /// pixels again. Those that neighbouring taps share, kept in registers, would drive out the accumulators.
  Val taps(KernelWriter& w, const PaddedCopy& copy, Dim image, Dim panel, const Rows& inside, Val acc, int count) {
    loops::Builder& b = w.builder();
    auto tap = [&](Dim u, Dim t, Val sum) {
      Dim at = image + u * Dim(view_.dilation[0]) * copy.width() + t * Dim(view_.dilation[1]);
      Val pixels = copy.column(w, at, Dim(view_.step[1]), count);
      Dim from = panel + (u * view_.taps[1] + t) * panel_row() + loops::lane();
      Val weights = b.load(panels_, {&from, 1}, 1, tile_.lanes);
      return multiply_add(b, pixels, weights, sum);
    };
    return b.loop("u", inside.count, {&acc, 1}, [&](Dim u, std::span<const Val> rows) {
      return b.loop("v", view_.taps[1], rows,
                    [&](Dim t, std::span<const Val> c) { return std::vector<Val>{tap(inside.first + u, t, c[0])}; });
    })[0];
  }

  const Graph& g_;
  const GraphIndex& index_;
  const Group& group_;
  const ContractionView& v_;
  const WindowView& view_;
  ContractionTile tile_;
  std::optional<NextPicture> next_;
  std::vector<Touch> stored_;
  Dim blocks_, rows_ = 1, row_blocks_ = 1;
  TwoHeights columns_;  // of the pixels of a row
  bool splits_features_ = false;
  int panels_ = -1, block_ = 16;
  bool packs_inside_ = false, by_channel_ = false;
  i64 pictures_ = 1;  // of a unit
};

}  // namespace

std::optional<Lowered> lower_window_contraction(const Graph& g, const GraphIndex& index, const Group& group,
                                                const Target& target) {
  ContractionView v(g, g.nodes()[group.anchor]);
  auto view = WindowView::of(v);
  if (view && is_window_gradient(*view)) return lower_window_gradient(g, index, group, target, v, *view);
  if (!view || v.node.attrs.get<i64>("groups") != 1 || !view->taps[0].is_constant() || !view->taps[1].is_constant())
    return std::nullopt;
  i64 taps = view->taps[0].value() * view->taps[1].value();
  if (taps < 1 || taps > kMostTaps) return std::nullopt;
  return WindowContraction(g, index, group, target, v, *view).run();
}

}  // namespace tn
