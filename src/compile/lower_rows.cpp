// Rows: passes over the trailing axes of one shape, and over leading axes too where the reductions go over them
// (planes: the statistics of a channel). Each pass makes the reductions that need nothing but earlier passes; after
// them come values of the kept axes, then a pass over the elements. Columns, reductions over all the axes before the
// trailing ones, are taken on the way: each parallel iteration then is a chunk of rows with accumulators in memory, and
// a second phase adds up the chunks, in the order lower_columns.cpp has too.
#include <algorithm>

#include "compile/group.h"

namespace tn {

using loops::Val;

namespace {

struct Row {
  u32 node;
  u32 operand, result;
  Combine combine;
  int level;
};

class RowsLowering {
 public:
  RowsLowering(const Graph& g, const GraphIndex& index, const Group& group, const Target& target)
      : g_(g), group_(group), target_(target), w_(g, index, group.computed, "rows") {
    const Node& anchor = g.nodes()[group.anchor];
    shape_ = g.type(g.operands(anchor)[0]).shape();
    axes_ = walk_of(anchor);
    kept_ = kept_extents(shape_, axes_);
    outer_ = product(kept_);
    length_ = product(shape_.last(axes_.trail));
    lead_ = product(shape_.first(axes_.lead));
    Dim whole = axes_.lead > 0 ? lead_ : length_;
    chunk_ = axes_.lead > 0 ? kPlaneChunk : kRowChunk;
    one_chunk_ = whole.is_constant() && whole.value() <= chunk_;
    chunks_ = ceildiv(whole, chunk_);
    find_rows();
    find_kept(index);
  }

  Lowered run() {
    bool many = outer_.is_constant() && outer_.value() >= kManyRows;
    if (!columns_.empty())
      run_columns();
    else if (!one_chunk_ && levels_ == 1 && full_outputs_.empty() && !many)
      run_split();
    else
      run_together();
    Lowered done;
    done.kernel = w_.finish();
    done.arguments = w_.arguments();
    return done;
  }

 private:
  static constexpr size_t kCheapNodes = 10;  // to make again is no dearer than to store and load
  static constexpr i64 kManyRows = 16;       // rows that are enough work for all threads
  static constexpr i64 kLanesAPiece = 2048;  // of columns, for a parallel iteration

  RowAxes walk_of(const Node& reduction) const {
    RowAxes a = row_axes(reduction.attrs.get<std::vector<i64>>("axes"), shape_.size());
    return a.trail > 0 ? a : RowAxes{0, shape_.size() - a.lead};
  }

  void find_rows() {
    std::vector<int> level(g_.value_count(), 0);
    std::vector<bool> of_columns(g_.value_count(), false);
    for (u32 n : group_.computed) {
      const Node& node = g_.nodes()[n];
      int mine = 0;
      for (u32 v : g_.operands(node)) mine = std::max(mine, level[v]);
      const auto* r = node.op->lower.as<Reduction>();
      if (r && row_axes(node.attrs.get<std::vector<i64>>("axes"), shape_.size()).trail == 0) {
        columns_.push_back({n, g_.operands(node)[0], node.first_result, {r->combine}, mine});
        of_columns[node.first_result] = true;
      } else if (r) {
        rows_.push_back({n, g_.operands(node)[0], node.first_result, {r->combine}, mine});
        levels_ = std::max(levels_, ++mine);
      }
      for (u32 i = 0; i < node.result_count; ++i) level[node.first_result + i] = mine;
      for (u32 v : g_.operands(node))
        if (of_columns[v]) of_columns[node.first_result] = true;
      if (!node.op->lower.as<Movement>()) continue;
      for (u32 v : g_.operands(node))
        if (is_kept_shaped(v) && !of_columns[v]) moved_.push_back({v, level[v]});
    }
    for (u32 v : group_.outputs) {
      if (of_columns[v] || is_column_shaped(v)) {
        column_outputs_.push_back(v);
        continue;
      }
      bool full = g_.type(v).size() != outer_ || is_element_shaped(v);
      (full ? full_outputs_ : outer_outputs_).push_back(v);
    }
  }

  // -------------------------------------------------------------- kept elements

  /// What a pass makes at some cost for a reduction and a later pass reads again is kept in memory of the row.
  void find_kept(const GraphIndex& index) {
    if (lead_ != Dim(1) || !one_chunk_) return;
    for (const Row& r : rows_)
      if (is_element_shaped(r.operand) && read_after(index, r) && cost_of(index, r.operand) > kCheapNodes)
        kept_values_.push_back({r.operand, r.level, -1});
  }

  /// Whether a pass after the one of `row` reads its operand.
  bool read_after(const GraphIndex& index, const Row& row) const {
    std::vector<u32> open(full_outputs_.begin(), full_outputs_.end());
    for (const Row& r : rows_)
      if (r.level > row.level) open.push_back(r.operand);
    for (const Row& c : columns_) open.push_back(c.operand);
    std::vector<bool> seen(g_.value_count());
    while (!open.empty()) {
      u32 v = open.back(), producer = index.producer[v];
      open.pop_back();
      if (v == row.operand) return true;
      if (seen[v] || producer == GraphIndex::kInput || !group_.computed.contains(producer)) continue;
      seen[v] = true;
      const Node& n = g_.nodes()[producer];
      if (n.op->lower.as<Reduction>()) continue;
      for (u32 x : g_.operands(n)) open.push_back(x);
    }
    return false;
  }

  /// Nodes of the loop language that one element takes, reductions aside.
  size_t cost_of(const GraphIndex& index, u32 value) const {
    KernelWriter probe(g_, index, group_.computed, "probe");
    size_t cost = 0;
    probe.builder().parallel("p", 1, [&](Dim) {
      probe.set_tile({});
      for (const Row& r : rows_) {
        Coords zeros(static_cast<size_t>(g_.type(r.result).rank()), Dim(0));
        probe.remember(r.result, zeros, probe.builder().constant(0, compute_dtype(g_.type(r.result).dtype())));
      }
      size_t before = probe.kernel().nodes.size();
      probe.at(value, Coords(shape_.size(), Dim(0)));
      cost = probe.kernel().nodes.size() - before;
    });
    return cost;
  }

  void allocate_kept(int level) {
    for (Kept& k : kept_values_)
      if (k.level == level) k.buffer = w_.builder().alloc("kept", compute_dtype(g_.type(k.value).dtype()), {length_});
  }

  void store_kept(int level, u32 value, Val x, Dim place) {
    for (const Kept& k : kept_values_)
      if (k.level == level && k.value == value)
        w_.builder().store(k.buffer, {&place, 1}, w_.widened(x, 1, w_.tile().lanes), lane_limit());
  }

  void read_kept(int level, const Coords& outer) {
    for (const Kept& k : kept_values_)
      if (k.level == level)
        w_.keep(k.value, k.buffer, [this, outer](std::span<const Dim> at) { return place_in_row(at, outer); });
  }

  /// Nothing in another row than `outer`, which a movement may ask for.
  std::optional<Dim> place_in_row(std::span<const Dim> at, const Coords& outer) const {
    if (!std::equal(outer.begin(), outer.end(), at.begin() + static_cast<std::ptrdiff_t>(axes_.lead)))
      return std::nullopt;
    Dim place = 0;
    for (size_t i = shape_.size() - axes_.trail; i < shape_.size(); ++i) place = place * shape_[i] + at[i];
    return place;
  }

  /// Whether the value has an element for each element of the rows (and not one for each row).
  bool is_element_shaped(u32 v) const {
    auto shape = g_.type(v).shape();
    return lead_ * length_ != Dim(1) && std::equal(shape.begin(), shape.end(), shape_.begin(), shape_.end());
  }

  /// Whether the value is of the columns' shape alone, such as a moment that decays while its gradient is summed.
  bool is_column_shaped(u32 v) const {
    auto shape = g_.type(v).shape(), trail = shape_.last(axes_.trail);
    return !columns_.empty() && !is_element_shaped(v) && g_.type(v).size() != outer_ &&
           std::equal(shape.begin(), shape.end(), trail.begin(), trail.end());
  }

  /// Whether the value has a number for each row, which the elements read by movements.
  bool is_kept_shaped(u32 v) const {
    auto shape = g_.type(v).shape();
    return shape.size() == kept_.size() && !kept_.empty() && std::equal(shape.begin(), shape.end(), kept_.begin());
  }

  Coords element(std::span<const Dim> outer, Dim lead, Dim k) const {
    Coords at = coordinates(lead, shape_.first(axes_.lead));
    at.insert(at.end(), outer.begin(), outer.end());
    Coords inner = coordinates(k, shape_.last(axes_.trail));
    at.insert(at.end(), inner.begin(), inner.end());
    return at;
  }

  Val neutral(const Row& r, int lanes) {
    return r.combine.neutral(w_.builder(), compute_dtype(g_.type(r.operand).dtype()), 1, lanes);
  }

  /// The accumulators after elements [first, first + extent) of one leading index.
  std::vector<Val> walk(std::span<const Row> rows, std::span<const Dim> outer, Dim lead, Dim first, Dim extent,
                        std::span<const Val> start) {
    return blocks(w_, extent, kRowLanes, start, [&](Dim base, std::span<const Val> carries) {
      std::vector<Val> next;
      Coords at = element(outer, lead, first + base + loops::lane());
      for (size_t i = 0; i < rows.size(); ++i) {
        Val x = w_.at(rows[i].operand, at);
        store_kept(rows[i].level, rows[i].operand, x, first + base + loops::lane());
        Val joined = rows[i].combine.join(w_.builder(), carries[i], x);
        next.push_back(keep_past_limit(w_, carries[i], joined));
      }
      return next;
    });
  }

  /// What loops over rows read next: those of a plane lie far apart, where the processor does not foresee them.
  void fetch_next(Dim l, Dim end) {
    if (target_.compiled) w_.fetch_ahead(l, min(l + Dim(1), end - Dim(1)));
  }

  /// These rows over chunk c, one number each.
  std::vector<Val> accumulate(std::span<const Row> rows, std::span<const Dim> outer, Dim c) {
    std::vector<Val> acc;
    for (const Row& r : rows) acc.push_back(neutral(r, kRowLanes));
    Dim first = c * Dim(chunk_);
    if (axes_.lead == 0) {
      acc = walk(rows, outer, 0, first, one_chunk_ ? length_ : min(length_ - first, chunk_), acc);
    } else {
      Dim count = one_chunk_ ? lead_ : min(lead_ - first, chunk_);
      acc = w_.builder().loop("l", count, acc, [&](Dim l, std::span<const Val> carries) {
        fetch_next(l, lead_ - first);
        return walk(rows, outer, first + l, 0, length_, carries);
      });
      w_.fetch_nothing();
    }
    std::vector<Val> folded;
    for (size_t i = 0; i < rows.size(); ++i) folded.push_back(rows[i].combine.fold(w_.builder(), acc[i]));
    return folded;
  }

  /// A row of numbers in a buffer of the compute dtype, reduced as rows are.
  Val reduce_buffer(const Row& r, int buffer, Dim first, Dim extent) {
    Val start = neutral(r, kRowLanes);
    Val acc = blocks(w_, extent, kRowLanes, {&start, 1}, [&](Dim base, std::span<const Val> carries) {
      Val x = w_.load(buffer, first + base + loops::lane());
      Val joined = r.combine.join(w_.builder(), carries[0], x);
      return std::vector<Val>{keep_past_limit(w_, carries[0], joined)};
    })[0];
    return r.combine.fold(w_.builder(), acc);
  }

  std::vector<Row> rows_of(int level) const {
    std::vector<Row> found;
    std::copy_if(rows_.begin(), rows_.end(), std::back_inserter(found), [&](const Row& r) { return r.level == level; });
    return found;
  }

  Coords kept(const Row&, std::span<const Dim> outer) const { return {outer.begin(), outer.end()}; }

  void finish_rows(std::span<const Row> rows, std::span<const Dim> outer, std::span<const Val> values) {
    w_.set_tile({});
    for (size_t i = 0; i < rows.size(); ++i)
      w_.remember(rows[i].result, kept(rows[i], outer), rounded(w_, rows[i].result, values[i]));
  }

  void store_outer(std::span<const Dim> outer, Dim flat) {
    w_.set_tile({});
    for (u32 v : outer_outputs_) {
      Coords at = coordinates(flat, g_.type(v).shape());
      if (g_.type(v).rank() == static_cast<int>(outer.size())) at.assign(outer.begin(), outer.end());
      Val x = w_.at(v, at);
      w_.store(v, at, x);
    }
  }

  void store_elements(std::span<const Dim> outer) {
    if (full_outputs_.empty() && columns_.empty()) return;
    if (lead_ == Dim(1)) return store_row(outer, 0);
    w_.builder().serial("l", lead_, [&](Dim l) {
      fetch_next(l, lead_);
      store_row(outer, l);
    });
    w_.fetch_nothing();
  }

  void store_row(std::span<const Dim> outer, Dim lead) {
    blocks(w_, length_, target_.map_lanes, {}, [&](Dim base, std::span<const Val>) {
      Coords at = element(outer, lead, base + loops::lane());
      for (u32 v : full_outputs_) {
        Val x = w_.at(v, at);
        w_.store(v, at, x);
      }
      add_to_columns(at, base + loops::lane());
      return std::vector<Val>{};
    });
  }

  /// Computes what the elements read of this row, so that their loop does not.
  void hoist(int level, std::span<const Dim> outer) {
    w_.set_tile({});
    for (const Moved& m : moved_)
      if (m.level == level) w_.at(m.value, outer);
  }

  /// Row p, of which `symbol` is counted up from row to row. A row is read from memory by its first pass; the pass that
  /// computes most, the last reduction or what comes after the only one, fetches the next row meanwhile.
  void run_row(Dim p, Dim symbol, Dim end) {
    Coords outer = coordinates(p, kept_);
    bool fetches = axes_.lead == 0 && one_chunk_;
    hoist(0, outer);
    for (int level = 0; level < levels_; ++level) {
      std::vector<Row> rows = rows_of(level);
      allocate_kept(level);
      if (fetches && level > 0 && level + 1 == levels_) fetch_next(symbol, end);
      if (one_chunk_)
        finish_rows(rows, outer, accumulate(rows, outer, 0));
      else
        finish_rows(rows, outer, accumulate_chunks(rows, outer));
      w_.fetch_nothing();
      read_kept(level, outer);
      hoist(level + 1, outer);
    }
    store_outer(outer, p);
    if (fetches && levels_ == 1) fetch_next(symbol, end);
    store_elements(outer);
    w_.fetch_nothing();
    w_.keep_nothing();
  }

  void run_together() {
    w_.builder().parallel("p", outer_, [&](Dim p) { run_row(p, p, outer_); });
  }

  // -------------------------------------------------------------- columns

  loops::Builder::Limits lane_limit() { return {loops::Node::kNone, w_.tile().lane_limit, false, 0}; }

  /// Adds the elements at `at`, number k of their row, to the accumulators of this chunk.
  void add_to_columns(std::span<const Dim> at, Dim k) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      Dim place = chunk_of_rows_ * length_ + k;
      Val x = w_.at(columns_[i].operand, at);
      Val acc = w_.load(sums_[i], place);
      Val next = columns_[i].combine.join(w_.builder(), acc, x);
      w_.builder().store(sums_[i], {&place, 1}, w_.widened(next, 1, w_.tile().lanes), lane_limit());
    }
  }

  Val column_neutral(const Row& column, int lanes) {
    return column.combine.neutral(w_.builder(), compute_dtype(g_.type(column.operand).dtype()), 1, lanes);
  }

  void run_columns() {
    Dim chunks = ceildiv(outer_, kColumnChunk);
    for (const Row& c : columns_)
      sums_.push_back(w_.temp("sums", compute_dtype(g_.type(c.operand).dtype()), {chunks, length_}));
    w_.builder().parallel("p", chunks, [&](Dim c) {
      chunk_of_rows_ = c;
      blocks(w_, length_, target_.map_lanes, {}, [&](Dim base, std::span<const Val>) {
        Dim place = c * length_ + base + loops::lane();
        for (size_t i = 0; i < columns_.size(); ++i) {
          Val none = column_neutral(columns_[i], w_.tile().lanes);
          w_.builder().store(sums_[i], {&place, 1}, none, lane_limit());
        }
        return std::vector<Val>{};
      });
      Dim first = c * Dim(kColumnChunk);
      Dim count = min(outer_ - first, kColumnChunk);
      w_.builder().serial("r", count, [&](Dim r) { run_row(first + r, r, count); });
    });
    w_.builder().parallel("o", ceildiv(length_, kLanesAPiece), [&](Dim o) {
      Dim first = o * Dim(kLanesAPiece);
      blocks(w_, min(length_ - first, kLanesAPiece), target_.map_lanes, {}, [&](Dim base, std::span<const Val>) {
        Coords at = coordinates(first + base + loops::lane(), shape_.last(axes_.trail));
        for (size_t i = 0; i < columns_.size(); ++i) {
          Val v = whole_column(columns_[i], sums_[i], first + base, chunks);
          w_.remember(columns_[i].result, at, rounded(w_, columns_[i].result, v));
        }
        for (u32 v : column_outputs_) {
          Val x = w_.at(v, at);
          w_.store(v, at, x);
        }
        return std::vector<Val>{};
      });
    });
  }

  Val whole_column(const Row& column, int sums, Dim first, Dim chunks) {
    auto tile = w_.tile();
    Val start = column_neutral(column, tile.lanes);
    return w_.builder().loop("c", chunks, {&start, 1}, [&](Dim chunk, std::span<const Val> carries) {
      w_.set_tile(tile);
      Val x = w_.load(sums, chunk * length_ + first + loops::lane());
      return std::vector<Val>{column.combine.join(w_.builder(), carries[0], x)};
    })[0];
  }

  std::vector<Val> accumulate_chunks(std::span<const Row> rows, std::span<const Dim> outer) {
    std::vector<int> partials;
    for (const Row& r : rows)
      partials.push_back(w_.builder().alloc("part", compute_dtype(g_.type(r.operand).dtype()), {chunks_}));
    w_.builder().serial("c", chunks_, [&](Dim c) {
      std::vector<Val> part = accumulate(rows, outer, c);
      for (size_t i = 0; i < rows.size(); ++i) w_.builder().store(partials[i], {&c, 1}, part[i]);
    });
    std::vector<Val> whole;
    for (size_t i = 0; i < rows.size(); ++i) whole.push_back(reduce_buffer(rows[i], partials[i], 0, chunks_));
    return whole;
  }

  /// Long rows without a pass after them: chunks are the parallel index, a second phase reduces their results.
  void run_split() {
    std::vector<int> partials;
    for (const Row& r : rows_)
      partials.push_back(w_.temp("part", compute_dtype(g_.type(r.operand).dtype()), {outer_, chunks_}));
    w_.builder().parallel("p", outer_ * chunks_, [&](Dim p) {
      Dim row = outer_ == Dim(1) ? Dim(0) : floordiv(p, chunks_);
      Coords outer = coordinates(row, kept_);
      std::vector<Val> part = accumulate(rows_, outer, p - row * chunks_);
      for (size_t i = 0; i < rows_.size(); ++i) w_.builder().store(partials[i], {&p, 1}, part[i]);
    });
    w_.builder().parallel("o", outer_, [&](Dim row) {
      Coords outer = coordinates(row, kept_);
      std::vector<Val> whole;
      for (size_t i = 0; i < rows_.size(); ++i)
        whole.push_back(reduce_buffer(rows_[i], partials[i], row * chunks_, chunks_));
      finish_rows(rows_, outer, whole);
      store_outer(outer, row);
    });
  }

  const Graph& g_;
  const Group& group_;
  const Target& target_;
  KernelWriter w_;
  std::span<const Dim> shape_, kept_;
  RowAxes axes_;
  Dim outer_, length_, lead_, chunks_;  // kept elements; trailing and leading ones of each; pieces of a reduction
  i64 chunk_;
  bool one_chunk_;
  std::vector<Row> rows_, columns_;
  struct Moved {
    u32 value;
    int level;  // of reductions it depends on
  };
  std::vector<Moved> moved_;  // numbers of rows that elements read
  struct Kept {
    u32 value;
    int level;   // of the pass that makes it
    int buffer;  // once allocated
  };
  std::vector<Kept> kept_values_;
  std::vector<int> sums_;  // of columns: accumulators of each chunk of rows
  Dim chunk_of_rows_ = 0;
  int levels_ = 0;
  std::vector<u32> full_outputs_, outer_outputs_, column_outputs_;
};

}  // namespace

Lowered lower_rows(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  return RowsLowering(g, index, group, target).run();
}

}  // namespace tn
