// Maps: every element of the outputs on its own. Trailing axes that all accesses walk as one become the lanes; the axes
// before them, cut into chunks, are the parallel index. Outputs of several shapes lie one after the other in it. Where
// an operand runs along another axis, tiles are turned (turned_map.h).
#include <algorithm>

#include "base/list.h"
#include "compile/group.h"
#include "compile/turned_map.h"

namespace tn {

using loops::Val;

namespace {

constexpr i64 kChunk = 2048;                       // elements of the inner extent a parallel iteration takes
constexpr i64 kLongChunk = 4 * kChunk;             // of one that makes numbers first
constexpr i64 kAhead = 32;                         // rows of a gather that are on their way from memory
constexpr i64 kNear = 1 << 20, kLarge = 32 << 20;  // bytes that stay in a near cache; that pass through all
constexpr i64 kLine = 64;

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
  Dim cut(const GraphIndex& index, const Group& group, const Target& target) {
    auto probe = [&](KernelWriter& w, std::span<const Dim> at) { evaluate(w, at); };
    find_numbers(index, group);
    turned_ = TurnedMap::of(g_, index, group, shape_, target, probe);
    if (turned_) return turned_->iterations();
    outer_rank_ = shape_.size() - static_cast<size_t>(merged_axes(g_, index, group, shape_, probe));
    inner_ = product(std::span(shape_).subspan(outer_rank_));
    outer_ = product(std::span(shape_).first(outer_rank_));
    chunk_ = numbers_.empty() ? kChunk : kLongChunk;
    chunks_ = inner_.is_constant() && inner_.value() <= chunk_ ? Dim(1) : ceildiv(inner_, chunk_);
    find_gather(index, group);
    return outer_ * chunks_;
  }

  /// Iteration p of them.
  void write(KernelWriter& w, Dim p, int lanes) const {
    w.set_tile({});
    for (u32 v : numbers_) w.at(v, Coords(g_.type(v).shape().size(), Dim(0)));
    if (turned_)
      return turned_->write(w, p, [&](KernelWriter& writer, std::span<const Dim> at) { evaluate(writer, at); });
    Dim row = chunks_ == Dim(1) ? p : outer_ == Dim(1) ? Dim(0) : floordiv(p, chunks_);
    Dim first = chunks_ == Dim(1) ? Dim(0) : (p - row * chunks_) * Dim(chunk_);
    Dim extent = chunks_ == Dim(1) ? inner_ : min(inner_ - first, chunk_);
    Coords at = coordinates(row, std::span(shape_).first(outer_rank_));
    if (table_) prefetch(w, row);
    at.resize(shape_.size(), Dim(0));
    blocks(w, extent, lanes, {}, [&](Dim base, std::span<const Val>) {
      Coords inner = coordinates(first + base + loops::lane(), std::span(shape_).subspan(outer_rank_));
      std::copy(inner.begin(), inner.end(), at.begin() + static_cast<std::ptrdiff_t>(outer_rank_));
      evaluate(w, at);
      return std::vector<Val>{};
    });
  }

 private:
  void evaluate(KernelWriter& w, std::span<const Dim> at) const {
    for (u32 v : outputs_) {
      Val value = w.at(v, at);
      w.store(v, at, value, table_ && streams_);
    }
  }

  /// Numbers that are computed on the way: made once in an iteration, before its loop.
  void find_numbers(const GraphIndex& index, const Group& group) {
    if (product(shape_) == Dim(1)) return;
    std::vector<u32> open = outputs_;
    for (size_t k = 0; k < open.size(); ++k)
      for (u32 v : g_.operands(g_.nodes()[index.producer[open[k]]])) {
        u32 p = index.producer[v];
        if (p == GraphIndex::kInput || !group.computed.contains(p)) continue;
        bool number = g_.nodes()[p].op->lower.as<Scalar>() && g_.type(v).size() == Dim(1);
        add_once(number ? numbers_ : open, v);
      }
  }

  /// Rows taken from a table in memory, each in one iteration: where the table is far, rows are fetched ahead.
  void find_gather(const GraphIndex& index, const Group& group) {
    u32 n = index.producer[outputs_[0]];
    if (outputs_.size() > 1 || n == GraphIndex::kInput || chunks_ != Dim(1)) return;
    const Node& node = g_.nodes()[n];
    if (node.op->name != "gather" || node.attrs.get<i64>("axis") != 0) return;
    auto operands = g_.operands(node);
    for (u32 v : operands)
      if (index.producer[v] != GraphIndex::kInput && group.computed.contains(index.producer[v])) return;
    auto size_of = [&](u32 v) { return g_.type(v).size() * Dim(bytes(g_.type(v).dtype())); };
    Dim table = size_of(operands[0]), result = size_of(outputs_[0]);
    bool rows = outer_rank_ == g_.type(operands[1]).shape().size();
    if (!rows || !table.is_constant() || table.value() < kNear || !result.is_constant()) return;
    table_ = operands[0], places_ = operands[1];
    // A scan lays its steps' results one after another: only whole lines keep every one of them where lines begin.
    streams_ = table.value() + result.value() > kLarge && provably_divisible(result, kLine);
  }

  void prefetch(KernelWriter& w, Dim row) const {
    Coords at = coordinates(min(row + Dim(kAhead), outer_ - Dim(1)), g_.type(places_).shape());
    w.set_tile({});
    Dim place = w.index_of(places_, at, g_.type(*table_).shape()[0]);
    i64 line = kLine / bytes(g_.type(*table_).dtype());
    w.builder().serial("l", ceildiv(inner_, line), [&](Dim l) {
      Dim from = place * inner_ + l * Dim(line);
      w.builder().prefetch(w.input_buffer(*table_), {&from, 1});
    });
  }

  const Graph& g_;
  std::vector<u32> outputs_;
  Shape shape_;
  std::vector<u32> numbers_;
  i64 chunk_ = kChunk;
  size_t outer_rank_ = 0;
  Dim inner_, outer_, chunks_;
  std::optional<TurnedMap> turned_;
  std::optional<u32> table_;
  u32 places_ = 0;
  bool streams_ = false;
};

}  // namespace

Lowered lower_map(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  std::vector<Part> parts;
  for (u32 v : group.outputs) {
    auto same = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.takes(v); });
    same == parts.end() ? parts.emplace_back(g, v), void() : same->add(v);
  }
  std::vector<Dim> starts{0};
  for (Part& p : parts) starts.push_back(starts.back() + p.cut(index, group, target));

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
  Lowered done;
  done.kernel = w.finish();
  done.arguments = w.arguments();
  return done;
}

}  // namespace tn
