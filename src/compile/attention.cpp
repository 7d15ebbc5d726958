// Attention: two contractions around a row step, a block of 64 keys at a time, so that no more than 64 x 64 scores ever
// exist (online softmax: Milakov and Gimelshein, 2018; tiled: Dao et al., 2022). A unit of work is one head and some
// blocks of 64 queries. It packs its keys once, turned, in panels; then for each block of queries and each block of
// keys
//
//   scores   register tiles of queries x keys, one fma chain over the width; scaled; unseen keys are -infinity
//   rows     the greatest score so far m', the factor exp(m - m') of all that was summed before, weights exp(s - m')
//   values   the result so far times that factor, then one fma chain over the keys of the block
//
// and divides by the sum of the weights at the end. The order of all sums is fixed by this: 64 keys a block, each row's
// sum of weights in 16 lanes (element k of a block in lane k mod 16, the four of a lane folded by halving). With
// `causal` a block of 64 queries sees the blocks of keys up to its own. Tiles, and who runs which unit, are free.
#include "compile/attention.h"

#include <algorithm>
#include <limits>

#include "compile/contraction.h"
#include "compile/tiles.h"
#include "ir/math.h"

namespace tn {

using loops::Axis;
using loops::ScalarOp;
using loops::Val;

static constexpr Dim kNoLimit = loops::Node::kNone;

bool has_template(const Node& n) {
  const auto* rule = n.op->lower.as<Expand>();
  return rule && rule->whole == Template::attention;
}

namespace {

constexpr int kBlock = 64;      // queries and keys of a block
constexpr int kRows = 72;       // room for the rows of whole tiles
constexpr int kStride = 80;     // of a row of scores: neighbours fall into different sets of the first cache
constexpr int kSumLanes = 16;   // lanes of the sums of weights
constexpr i64 kManyHeads = 16;  // then a unit takes more queries, which share its packed keys
constexpr i64 kFewBlocks = 4, kMoreBlocks = 16;

class AttentionLowering {
 public:
  AttentionLowering(const Graph& g, const GraphIndex& index, const Group& group, const Target& target)
      : g_(g), index_(index), group_(group), w_(g, index, group.computed, "attention"), b_(w_.builder()) {
    const Node& n = g.nodes()[group.anchor];
    auto operands = g.operands(n);
    query_ = operands[0], key_ = operands[1], value_ = operands[2], result_ = n.first_result;
    if (operands.size() > 3) mask_ = operands[3];
    causal_ = n.attrs.get<bool>("causal");
    scale_ = n.attrs.get<double>("scale");
    Type q = g.type(query_), v = g.type(value_);
    dtype_ = compute_dtype(q.dtype());
    batch_.assign(q.shape().begin(), q.shape().end() - 2);
    queries_ = q.dim(-2), width_ = q.dim(-1), keys_ = v.dim(-2), features_ = v.dim(-1);
    scores_tile_ = attention_tile(target, dtype_, kBlock);
    values_tile_ = attention_tile(target, dtype_, features_);
    narrow_ = target.vector_bits < 512;
    key_blocks_ = ceildiv(keys_, kBlock);
    query_blocks_ = ceildiv(queries_, kBlock);
    panels_ = kBlock / scores_tile_.lanes;
    value_panels_ = ceildiv(features_, values_tile_.lanes);
    in_place_ = reads_values_in_place();
  }

  Lowered run() {
    Dim heads = product(batch_), each = blocks_of_unit(), units = ceildiv(query_blocks_, each.value());
    Epilogue epilogue(g_, index_, group_, result_);
    b_.parallel("p", heads * units, [&](Dim p) {
      Dim unit[] = {heads, units};
      Coords at = coordinates(p, unit);
      Dim first = at[1] * each;
      head_ = coordinates(at[0], batch_);
      allocate();
      w_.set_tile({});
      factor_ = scale();
      Dim count = units == Dim(1) ? query_blocks_ : min(query_blocks_ - first, each);
      Dim seen = causal_ ? min(key_blocks_, first + count) : key_blocks_;
      pack_keys(seen);
      if (!in_place_) pack_values(seen);
      b_.serial("q", count, [&](Dim q) { query_block(epilogue, first + q); });
    });
    Lowered done;
    done.kernel = w_.finish();
    done.arguments = w_.arguments();
    return done;
  }

 private:
  Dim blocks_of_unit() const {
    Dim heads = product(batch_);
    return heads.is_constant() && heads.value() >= kManyHeads ? kMoreBlocks : kFewBlocks;
  }

  void allocate() {
    queries_buffer_ = b_.alloc("queries", dtype_, {Dim(kRows), row_of_queries()});
    keys_buffer_ = b_.alloc("keys", dtype_, {key_blocks_ * Dim(panels_), width_, Dim(scores_tile_.lanes)});
    scores_ = b_.alloc("scores", dtype_, {Dim(kRows), Dim(kStride)});
    sums_ = b_.alloc("sums", dtype_, {Dim(kRows), Dim(kSumLanes)});
    results_ = b_.alloc("results", dtype_, {Dim(kRows), value_panels_ * Dim(values_tile_.lanes)});
    for (int* stat : {&tops_, &shifts_, &factors_, &maxima_, &totals_})
      *stat = b_.alloc("stat", dtype_, {Dim(kStride)});
    if (!in_place_)
      values_buffer_ = b_.alloc("values", dtype_, {value_panels_, key_blocks_ * Dim(kBlock), Dim(values_tile_.lanes)});
  }

  /// As the op's expansion has it, and the same for a symbolic width.
  Val scale() {
    if (scale_ != 0) return b_.constant(scale_, dtype_);
    Val width = w_.dim_tile(width_, dtype_);
    return loops::rsqrt(b_, width);
  }

  Coords place(Dim row, Dim column) const {
    Coords at = head_;
    at.push_back(row);
    at.push_back(column);
    return at;
  }

  Dim row_of_queries() const { return ceildiv(width_, 16) * Dim(16); }

  // -------------------------------------------------------------- packing

  /// Whether a row of values is a plain load of neighbours, so that it need not be packed.
  bool reads_values_in_place() const {
    if (!provably_divisible(features_, values_tile_.lanes) || g_.type(value_).dtype() != dtype_) return false;
    KernelWriter probe(g_, index_, group_.computed, "probe");
    bool plain = false;
    probe.builder().parallel("p", product(batch_), [&](Dim p) {
      probe.builder().serial("k", keys_, [&](Dim k) {
        probe.set_tile({1, values_tile_.lanes});
        Coords at = coordinates(p, batch_);
        at.push_back(k);
        at.push_back(loops::lane());
        Val v = probe.at(value_, at);
        const loops::Node& n = probe.builder().node(v);
        const loops::Kernel& kernel = probe.kernel();
        plain = n.kind == loops::Kind::load &&
                coefficient(loops::element_offset(kernel.buffers[static_cast<size_t>(n.buffer)], kernel.index(n)),
                            loops::lane()) == Dim(1);
      });
    });
    return plain;
  }

  /// Blocks of 16 (or 8) keys by as many of the width, transposed in registers: [panel][width][lane].
  void pack_keys(Dim blocks) {
    bool whole = provably_divisible(keys_, kBlock);
    int turned_lanes = std::min(16, scores_tile_.lanes);
    Dim turn_size = turned_lanes, parts = kBlock / turned_lanes, in_panel = scores_tile_.lanes / turned_lanes;
    if (!whole) clear_last_keys(blocks);
    Dim filled = whole ? blocks * parts : min(blocks * parts, ceildiv(keys_, turned_lanes));
    b_.serial("s", filled, [&](Dim s) {
      Dim panel = in_panel == Dim(1) ? s : floordiv(s, in_panel);
      Dim key = s * turn_size, lane = (s - panel * in_panel) * turn_size;
      Dim rows = whole ? kNoLimit : keys_ - key;
      auto turn = [&](Dim d, Dim limit) {
        w_.set_tile({turned_lanes, turned_lanes, rows, limit});
        Val v = w_.at(key_, place(key + loops::row(), d + loops::lane()));
        v = w_.widened(v, turned_lanes, turned_lanes);
        Val turned = b_.transpose(v);
        Dim to[] = {panel, d + loops::row(), lane + loops::lane()};
        b_.store(keys_buffer_, to, turned, {.rows = limit});
      };
      Dim full = floordiv(width_, turn_size), rest = width_ - full * turn_size;
      b_.serial("d", full, [&](Dim d) { turn(d * turn_size, kNoLimit); });
      if (rest != Dim(0)) b_.serial("t", ceildiv(width_, turn_size) - full, [&](Dim) { turn(full * turn_size, rest); });
    });
  }

  /// Lanes past the last key are computed with and their scores thrown away: they hold zeros, not what lay there.
  void clear_last_keys(Dim blocks) {
    b_.serial("z", min(blocks, 1), [&](Dim) {
      b_.serial("j", panels_, [&](Dim j) {
        b_.serial("d", width_, [&](Dim d) {
          Val zero = b_.constant(0, dtype_, 1, scores_tile_.lanes);
          Dim to[] = {(blocks - Dim(1)) * Dim(panels_) + j, d, loops::lane()};
          b_.store(keys_buffer_, to, zero);
        });
      });
    });
  }

  void pack_values(Dim blocks) {
    int lanes = values_tile_.lanes;
    b_.serial("k", min(keys_, blocks * Dim(kBlock)), [&](Dim k) {
      b_.serial("j", value_panels_, [&](Dim j) {
        w_.set_tile({1, lanes, kNoLimit, feature_limit(j)});
        Val v = w_.at(value_, place(k, j * Dim(lanes) + loops::lane()));
        v = w_.widened(v, 1, lanes);
        Dim to[] = {j, k, loops::lane()};
        b_.store(values_buffer_, to, v);
      });
    });
  }

  Dim feature_limit(Dim panel) const {
    if (provably_divisible(features_, values_tile_.lanes)) return kNoLimit;
    return features_ - panel * Dim(values_tile_.lanes);
  }

  /// Rows past the last query are zeros.
  void pack_queries(Dim first, Dim rows, Dim padded) {
    b_.serial("r", rows, [&](Dim r) {
      blocks(w_, width_, kSumLanes, {}, [&](Dim base, std::span<const Val>) {
        auto tile = w_.tile();
        Val v = w_.at(query_, place(first + r, base + loops::lane()));
        v = w_.widened(v, 1, tile.lanes);
        Dim to[] = {r, base + loops::lane()};
        b_.store(queries_buffer_, to, v, {.lanes = tile.lane_limit});
        return std::vector<Val>{};
      });
    });
    if (rows == padded) return;
    b_.serial("z", padded - rows, [&](Dim z) {
      b_.serial("d", ceildiv(width_, 16), [&](Dim d) {
        Val zero = b_.constant(0, dtype_, 1, 16);
        Dim to[] = {rows + z, d * Dim(16) + loops::lane()};
        b_.store(queries_buffer_, to, zero);
      });
    });
  }

  // -------------------------------------------------------------- one block of queries

  static Dim whole_tiles(Dim rows, const ContractionTile& tile) { return ceildiv(rows, tile.rows); }

  void query_block(const Epilogue& epilogue, Dim block) {
    Dim first = block * Dim(kBlock);
    Dim rows = provably_divisible(queries_, kBlock) ? Dim(kBlock) : min(queries_ - first, kBlock);
    Dim padded = max(whole_tiles(rows, scores_tile_) * Dim(scores_tile_.rows),
                     whole_tiles(rows, values_tile_) * Dim(values_tile_.rows));
    pack_queries(first, rows, padded);
    start(padded);
    Dim seen = causal_ ? min(key_blocks_, block + Dim(1)) : key_blocks_;
    b_.serial("c", seen, [&](Dim c) {
      scores(first, rows, c);
      weights(rows, padded);
      values(rows, c);
    });
    finish(epilogue, first, rows, padded);
  }

  void start(Dim padded) {
    b_.serial("i", ceildiv(padded, kSumLanes), [&](Dim i) {
      Val low = b_.constant(-std::numeric_limits<double>::infinity(), dtype_, 1, kSumLanes);
      Dim at = i * Dim(kSumLanes) + loops::lane();
      b_.store(maxima_, {&at, 1}, low);
    });
    b_.serial("r", padded, [&](Dim r) {
      Val zero = b_.constant(0, dtype_, 1, kSumLanes);
      Dim at[] = {r, loops::lane()};
      b_.store(sums_, at, zero);
      b_.serial("j", value_panels_, [&](Dim j) {
        Val none = b_.constant(0, dtype_, 1, values_tile_.lanes);
        Dim to[] = {r, j * Dim(values_tile_.lanes) + loops::lane()};
        b_.store(results_, to, none);
      });
    });
  }

  // -------------------------------------------------------------- scores

  void scores(Dim first, Dim rows, Dim c) {
    int tile_rows = scores_tile_.rows, lanes = scores_tile_.lanes;
    b_.serial("t", whole_tiles(rows, scores_tile_), [&](Dim t) {
      b_.serial("j", panels_, [&](Dim j) {
        Val zero = b_.constant(0, dtype_, tile_rows, lanes);
        Dim row = t * Dim(tile_rows);
        Val sum = b_.loop("d", width_, {&zero, 1}, [&](Dim d, std::span<const Val> acc) {
          Dim from[] = {row + loops::row(), d}, panel[] = {c * Dim(panels_) + j, d, loops::lane()};
          Val q = b_.load(queries_buffer_, from, tile_rows, 1);
          Val k = b_.load(keys_buffer_, panel, 1, lanes);
          return std::vector<Val>{multiply_add(b_, q, k, acc[0])};
        })[0];
        Val scaled = b_.mul(sum, factor_);
        Val shown = hide(scaled, first + row, c * Dim(kBlock) + j * Dim(lanes));
        Dim to[] = {row + loops::row(), j * Dim(lanes) + loops::lane()};
        b_.store(scores_, to, shown);
      });
    });
  }

  /// -infinity where the query must not see the key, or there is none.
  Val hide(Val s, Dim query, Dim key) {
    loops::Tile tile = b_.tile(s);
    Val hidden = b_.constant(-std::numeric_limits<double>::infinity(), dtype_);
    auto keep_from = [&](Dim low, Dim high, int rows) {  // low <= high
      Val a = b_.dim(low, DType::i32, 1, tile.lanes);
      Val x = b_.dim(high, DType::i32, rows, 1);
      Val seen = b_.map(ScalarOp::less_equal, {a, x});
      s = b_.select(seen, s, hidden);
    };
    if (!provably_divisible(keys_, kBlock)) keep_from(key + loops::lane(), keys_ - Dim(1), 1);
    if (causal_) keep_from(key + loops::lane(), query + loops::row(), tile.rows);
    if (!mask_) return s;
    w_.set_tile({tile.rows, tile.lanes, queries_ - query, keys_ - key});
    auto shape = g_.type(*mask_).shape();
    Coords all = place(query + loops::row(), key + loops::lane()), at;
    for (size_t i = 0; i < shape.size(); ++i)
      at.push_back(shape[i] == Dim(1) ? Dim(0) : all[all.size() - shape.size() + i]);
    Val seen = w_.at(*mask_, at);
    return b_.select(seen, s, hidden);
  }

  // -------------------------------------------------------------- rows

  /// A row of scores as tiles of `pieces` x 16 lanes.
  Val piece(Dim r, Dim first, int pieces) {
    Dim at[] = {r, first + loops::row() * Dim(kSumLanes) + loops::lane()};
    return b_.load(scores_, at, pieces, kSumLanes);
  }

  void weights(Dim rows, Dim padded) {
    b_.serial("r", padded, [&](Dim r) {
      Val x = piece(r, 0, kBlock / kSumLanes);
      Val lanes = b_.reduce(ScalarOp::max, Axis::rows, x);
      Val top = b_.reduce(ScalarOp::max, Axis::lanes, lanes);
      b_.store(tops_, {&r, 1}, top);
    });
    b_.serial("i", ceildiv(padded, kSumLanes), [&](Dim i) {
      Dim at = i * Dim(kSumLanes) + loops::lane();
      std::span<const Dim> here(&at, 1);
      Val before = b_.load(maxima_, here, 1, kSumLanes), top = b_.load(tops_, here, 1, kSumLanes);
      Val now = b_.max(before, top);
      Val none = b_.number(-std::numeric_limits<double>::infinity(), now), zero = b_.number(0, now);
      Val nothing_seen = b_.equal(now, none);
      Val shift = b_.select(nothing_seen, zero, now);
      Val step = b_.sub(before, shift);
      Val factor = loops::exp_nonpositive(b_, step);
      b_.store(maxima_, here, now);
      b_.store(shifts_, here, shift);
      b_.store(factors_, here, factor);
    });
    b_.serial("r", rows, [&](Dim r) { weights_of_row(r); });
  }

  void weights_of_row(Dim r) {
    // Half a row at a time where registers are few: the same sums, for the halves fold first.
    int pieces = kBlock / kSumLanes / (narrow_ ? 2 : 1);
    Val shift = b_.load(shifts_, {&r, 1}, 1, 1);
    auto part = [&](Dim first) {
      Val x = piece(r, first, pieces);
      Val below = b_.sub(x, shift);
      Val weight = loops::exp_nonpositive(b_, below);
      Dim at[] = {r, first + loops::row() * Dim(kSumLanes) + loops::lane()};
      b_.store(scores_, at, weight);
      return weight;
    };
    Val all = part(0);
    if (narrow_) {
      Val rest = part(pieces * kSumLanes);
      all = b_.add(all, rest);
    }
    Val sum = b_.reduce(ScalarOp::add, Axis::rows, all);
    Dim at[] = {r, loops::lane()};
    Val before = b_.load(sums_, at, 1, kSumLanes), factor = b_.load(factors_, {&r, 1}, 1, 1);
    Val now = b_.fma(before, factor, sum);
    b_.store(sums_, at, now);
  }

  // -------------------------------------------------------------- values

  void values(Dim rows, Dim c) {
    int tile_rows = values_tile_.rows, lanes = values_tile_.lanes;
    Dim key = c * Dim(kBlock);
    Dim count = provably_divisible(keys_, kBlock) ? Dim(kBlock) : min(keys_ - key, kBlock);
    b_.serial("t", whole_tiles(rows, values_tile_), [&](Dim t) {
      Dim row = t * Dim(tile_rows) + loops::row();
      b_.serial("j", value_panels_, [&](Dim j) {
        Dim at[] = {row, j * Dim(lanes) + loops::lane()};
        Val before = b_.load(results_, at, tile_rows, lanes), factor = b_.load(factors_, {&row, 1}, tile_rows, 1);
        Val start = b_.mul(before, factor);
        Val sum = b_.loop("k", count, {&start, 1}, [&](Dim k, std::span<const Val> acc) {
          Dim from[] = {row, k};
          Val weight = b_.load(scores_, from, tile_rows, 1);
          return std::vector<Val>{multiply_add(b_, weight, value_row(key + k, j), acc[0])};
        })[0];
        b_.store(results_, at, sum);
      });
    });
  }

  Val value_row(Dim key, Dim panel) {
    int lanes = values_tile_.lanes;
    if (!in_place_) {
      Dim from[] = {panel, key, loops::lane()};
      return b_.load(values_buffer_, from, 1, lanes);
    }
    w_.set_tile({1, lanes});
    return w_.at(value_, place(key, panel * Dim(lanes) + loops::lane()));
  }

  void finish(const Epilogue& epilogue, Dim first, Dim rows, Dim padded) {
    b_.serial("r", padded, [&](Dim r) {
      Dim at[] = {r, loops::lane()};
      Val lanes = b_.load(sums_, at, 1, kSumLanes);
      Val total = b_.reduce(ScalarOp::add, Axis::lanes, lanes);
      if (mask_) {  // a row that sees nothing is 0
        Val zero = b_.number(0, total), one = b_.number(1, total);
        Val none = b_.equal(total, zero);
        total = b_.select(none, one, total);
      }
      b_.store(totals_, {&r, 1}, total);
    });
    int tile_rows = values_tile_.rows, lanes = values_tile_.lanes;
    b_.serial("t", whole_tiles(rows, values_tile_), [&](Dim t) {
      b_.serial("j", value_panels_, [&](Dim j) {
        Dim top = t * Dim(tile_rows), row = top + loops::row();
        Dim at[] = {row, j * Dim(lanes) + loops::lane()};
        Val sum = b_.load(results_, at, tile_rows, lanes), total = b_.load(totals_, {&row, 1}, tile_rows, 1);
        Val y = b_.div(sum, total);
        bool whole = provably_divisible(queries_, kBlock) && kBlock % tile_rows == 0;
        w_.set_tile({tile_rows, lanes, whole ? kNoLimit : rows - top, feature_limit(j)});
        epilogue.store(w_, place(first + row, j * Dim(lanes) + loops::lane()), y);
      });
    });
  }

  const Graph& g_;
  const GraphIndex& index_;
  const Group& group_;
  KernelWriter w_;
  loops::Builder& b_;
  u32 query_, key_, value_, result_;
  std::optional<u32> mask_;
  bool causal_, in_place_ = false, narrow_ = false;
  double scale_;
  DType dtype_;
  Shape batch_;
  Coords head_;
  Dim queries_, keys_, width_, features_, key_blocks_, query_blocks_, value_panels_;
  ContractionTile scores_tile_, values_tile_;
  int panels_ = 1;
  Val factor_ = -1;
  int queries_buffer_ = -1, keys_buffer_ = -1, values_buffer_ = -1, scores_ = -1, sums_ = -1, results_ = -1;
  int tops_ = -1, shifts_ = -1, factors_ = -1, maxima_ = -1, totals_ = -1;
};

}  // namespace

Lowered lower_attention(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  return AttentionLowering(g, index, group, target).run();
}

}  // namespace tn
