// The gradient of a convolution's weights: a convolution again, whose weights are a picture (the cotangent) and whose
// result is a few taps. A unit is one group, that is a chunk of pictures that are summed one after the other: for each
// it copies the padded picture and packs the cotangent, turned so that features are neighbours, and adds to tiles of
// channels x features, one for each tap, which live in scratch between pictures. A band of rows of both stays in the
// first cache while all taps and tiles walk over it. The order of each sum is that of the plain nest: picture, row,
// column; rows outside the picture are left out, columns outside multiply zeros.
#include <algorithm>

#include "compile/tiles.h"
#include "compile/touch.h"
#include "compile/window.h"

namespace tn {

using loops::Val;

static constexpr Dim kNoLimit = loops::Node::kNone;

namespace {

class WindowGradient {
 public:
  WindowGradient(const Graph& g, const GraphIndex& index, const Group& group, const Target& target,
                 const ContractionView& v, const WindowView& view)
      : g_(g), index_(index), group_(group), v_(v), view_(view), planes_(view) {
    planes_.channels = view.pictures;
    groups_ = v.node.attrs.get<i64>("groups");
    features_ = view.features.value() / groups_;
    channels_ = view.pictures.value();
    tile_ = gradient_tile(target, v.dtype, features_);
    panels_ = (features_ + tile_.lanes - 1) / tile_.lanes;
    tiles_ = TwoHeights(Dim(channels_), tile_.rows);
    block_ = target.vector_bits == 512 && tile_.lanes % 16 == 0 ? 16 : std::min(8, tile_.lanes);
    choose_bands();
  }

  Lowered run() {
    KernelWriter w(g_, index_, group_.computed, "conv");
    // Few chunks are split by rows of taps, each of which packs for itself.
    Dim parts = groups_ < kFewGroups ? view_.result[0] : Dim(1);
    Epilogue epilogue(g_, index_, group_, v_.result);
    w.builder().parallel("p", Dim(groups_) * parts, [&](Dim p) {
      Dim unit[] = {Dim(groups_), parts};
      Coords at = coordinates(p, unit);
      group_at_ = at[0];
      first_tap_ = at[1];
      tap_rows_ = parts == Dim(1) ? view_.result[0] : Dim(1);
      PaddedCopy copy(w, planes_, v_.a, v_.dtype, view_.span(0, view_.result[0]));
      weights_ =
          w.builder().alloc("weights", v_.dtype, {Dim(panels_), view_.taps[0] * view_.taps[1], Dim(tile_.lanes)});
      sums_ = w.builder().alloc("sums", v_.dtype,
                                {tap_rows_ * view_.result[1], Dim(channels_), Dim(panels_ * tile_.lanes)});
      expect_pictures();
      start(w);
      w.builder().serial("n", view_.channels, [&](Dim n) {
        Dim picture = group_at_ * view_.channels + n;
        copy.fill(w, [&](Dim c, Dim y, Dim x) { return Coords{c, picture, y, x}; }, 0);
        pack(w, n);
        multiply(w, copy, n);
      });
      finish(w, epilogue);
    });
    Lowered done;
    done.kernel = w.finish();
    done.arguments = w.arguments();
    return done;
  }

 private:
  static constexpr i64 kFewGroups = 4, kBandBytes = 32 << 10;

  /// Rows of the cotangent that all taps walk over before the next ones.
  void choose_bands() {
    Dim height = view_.taps[0], row = view_.taps[1] * Dim(tile_.lanes * bytes(v_.dtype));
    band_ = 4;
    if (!row.is_constant() || !height.is_constant() || height == Dim(0)) return;
    i64 most = std::max<i64>(1, kBandBytes / std::max<i64>(1, row.value()));
    i64 bands = (height.value() + most - 1) / most;
    band_ = Dim((height.value() + bands - 1) / bands);
  }

  /// Where the next pictures of both operands lie.
  void expect_pictures() {
    next_.clear();
    Dim of_image[] = {view_.channels, Dim(channels_), view_.image[0], view_.image[1]};
    next_.emplace_back(g_, index_, group_, v_.a, of_image,
                       [this](Dim n, Dim c, Dim y, Dim x) { return Coords{c, group_at_ * view_.channels + n, y, x}; });
    Dim of_cotangent[] = {view_.channels, Dim(features_), view_.taps[0], view_.taps[1]};
    next_.emplace_back(g_, index_, group_, v_.b, of_cotangent,
                       [this](Dim n, Dim f, Dim y, Dim x) { return Coords{group_at_ * Dim(features_) + f, n, y, x}; });
  }

  void start(KernelWriter& w) {
    loops::Builder& b = w.builder();
    auto clear = [&](int buffer, Dim outer, Dim middle, int inner) {
      b.serial("z", outer, [&](Dim i) {
        b.serial("z", middle, [&](Dim k) {
          b.serial("z", inner / tile_.lanes, [&](Dim j) {
            Val zero = b.constant(0, v_.dtype, 1, tile_.lanes);
            Dim to[] = {i, k, j * Dim(tile_.lanes) + loops::lane()};
            b.store(buffer, to, zero);
          });
        });
      });
    };
    clear(sums_, tap_rows_ * view_.result[1], channels_, static_cast<int>(panels_ * tile_.lanes));
    if (features_ % tile_.lanes) clear(weights_, panels_, view_.taps[0] * view_.taps[1], tile_.lanes);
  }

  /// The cotangent of one picture as [panel][pixel][lane].
  void pack(KernelWriter& w, Dim n) {
    loops::Builder& b = w.builder();
    Dim pixels = view_.taps[0] * view_.taps[1], in_panel = tile_.lanes / block_;
    Dim full = floordiv(pixels, block_), rest = pixels - full * Dim(block_);
    b.serial("s", (features_ + block_ - 1) / block_, [&](Dim s) {
      Dim panel = in_panel == Dim(1) ? s : floordiv(s, in_panel);
      Dim feature = s * Dim(block_), lane = (s - panel * in_panel) * Dim(block_);
      Dim rows = features_ % block_ ? Dim(features_) - feature : kNoLimit;
      auto turn = [&](Dim p, Dim limit) {
        w.set_tile({block_, block_, rows, limit});
        Dim shape[] = {view_.taps[0], view_.taps[1]};
        Coords pixel = coordinates(p + loops::lane(), shape);
        Coords at{group_at_ * Dim(features_) + feature + loops::row(), n, pixel[0], pixel[1]};
        Val v = w.widened(w.at(v_.b, at), block_, block_);
        Val turned = b.transpose(v);
        Dim to[] = {panel, p + loops::row(), lane + loops::lane()};
        b.store(weights_, to, turned, {.rows = limit});
      };
      b.serial("k", full, [&](Dim k) { turn(k * Dim(block_), kNoLimit); });
      if (rest != Dim(0)) b.serial("t", ceildiv(pixels, block_) - full, [&](Dim) { turn(full * Dim(block_), rest); });
    });
  }

  void multiply(KernelWriter& w, const PaddedCopy& copy, Dim n) {
    loops::Builder& b = w.builder();
    b.serial("y", ceildiv(view_.taps[0], band_), [&](Dim band) {
      Dim first = band * band_;
      tiles_.each([&](int height, Dim count, Dim before, Dim first_channel) {
        b.serial("c", count, [&](Dim c) {
          b.serial("o", panels_, [&](Dim o) {
            b.serial("u", tap_rows_, [&](Dim u) {
              b.serial("v", view_.result[1], [&](Dim t) {
                tile(w, copy, {n, first, before + c, first_channel + c * Dim(height), o, u, t}, height);
              });
            });
          });
        });
      });
    });
  }

  struct Place {
    Dim picture, first_row, number, channel, panel, u, t;  // number: of the tile of channels
  };

  /// Some of the next pictures with each row of the cotangent that a tile walks over.
  void fetch_ahead(KernelWriter& w, const Place& at, Dim y) const {
    Dim taps = tap_rows_ * view_.result[1];
    Dim sum = (at.number * Dim(panels_) + at.panel) * taps + at.u * view_.result[1] + at.t;
    Dim rows = view_.taps[0], sums = tiles_.count() * Dim(panels_) * taps;
    for (const NextPicture& next : next_) next.fetch(w, at.picture, sum * rows + y, sums * rows);
  }

  void tile(KernelWriter& w, const PaddedCopy& copy, const Place& at, int height) {
    loops::Builder& b = w.builder();
    Dim top = (first_tap_ + at.u) * Dim(view_.step[0]), step = view_.dilation[0], low = view_.low[0];
    Dim begin = max(ceildiv(low - top, step), at.first_row);
    Dim end =
        min(floordiv(view_.image[0] - Dim(1) + low - top, step) + Dim(1), min(view_.taps[0], at.first_row + band_));
    Dim sum_at[] = {at.u * view_.result[1] + at.t, at.channel + loops::row(),
                    at.panel * Dim(tile_.lanes) + loops::lane()};
    Val before = b.load(sums_, sum_at, height, tile_.lanes);
    Dim corner = at.channel * copy.plane() + top * copy.width() + at.t * Dim(view_.step[1]);
    Val sum = b.loop("y", max(end - begin, 0), {&before, 1}, [&](Dim i, std::span<const Val> rows) {
      Dim y = begin + i;
      fetch_ahead(w, at, y);
      return b.loop("x", view_.taps[1], rows, [&](Dim x, std::span<const Val> acc) {
        Dim from = corner + y * step * copy.width() + x * Dim(view_.dilation[1]);
        Val pixel = copy.column(w, from, copy.plane(), height);
        Dim of[] = {at.panel, y * view_.taps[1] + x, loops::lane()};
        Val weight = b.load(weights_, of, 1, tile_.lanes);
        return std::vector<Val>{multiply_add(b, pixel, weight, acc[0])};
      });
    })[0];
    b.store(sums_, sum_at, sum);
  }

  void finish(KernelWriter& w, const Epilogue& epilogue) {
    loops::Builder& b = w.builder();
    b.serial("u", tap_rows_, [&](Dim u) {
      b.serial("v", view_.result[1], [&](Dim t) {
        b.serial("c", channels_, [&](Dim c) {
          b.serial("o", panels_, [&](Dim o) {
            Dim lane = o * Dim(tile_.lanes) + loops::lane(), from[] = {u * view_.result[1] + t, c, lane};
            Val sum = b.load(sums_, from, 1, tile_.lanes);
            Dim limit = features_ % tile_.lanes ? Dim(features_) - o * Dim(tile_.lanes) : kNoLimit;
            w.set_tile({1, tile_.lanes, kNoLimit, limit});
            epilogue.store(w, Coords{c, group_at_ * Dim(features_) + lane, first_tap_ + u, t}, sum);
          });
        });
      });
    });
  }

  const Graph& g_;
  const GraphIndex& index_;
  const Group& group_;
  const ContractionView& v_;
  const WindowView& view_;
  WindowView planes_;  // one picture: its planes are what the convolution calls pictures
  i64 groups_, features_, channels_, panels_;
  TwoHeights tiles_;  // of the channels
  int block_ = 16;
  ContractionTile tile_;
  std::vector<NextPicture> next_;
  Dim band_, group_at_, first_tap_, tap_rows_;
  int weights_ = -1, sums_ = -1;
};

}  // namespace

bool is_window_gradient(const WindowView& view) {
  auto taps = view.taps[0] * view.taps[1], result = view.result[0] * view.result[1];
  if (!result.is_constant() || !view.pictures.is_constant() || !view.features.is_constant()) return false;
  if (result.value() < 1 || result.value() > kMostTaps || view.pictures == Dim(0) || view.features == Dim(0))
    return false;
  return !taps.is_constant() || taps.value() > result.value();
}

Lowered lower_window_gradient(const Graph& g, const GraphIndex& index, const Group& group, const Target& target,
                              const ContractionView& v, const WindowView& view) {
  return WindowGradient(g, index, group, target, v, view).run();
}

}  // namespace tn
