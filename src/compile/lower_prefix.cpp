// Running combinations and places of extremes along one axis. Along the last axis lanes hold neighbours (a scan in log
// steps inside a tile, then plus the carry; for places, element k in lane k mod 64); along others lanes hold the axes
// after it and the walk is plain.
#include <limits>

#include "compile/group.h"

namespace tn {

using loops::ScalarOp;
using loops::Val;

namespace {

constexpr int kLanes = 64;
constexpr i64 kMostBlocks = 4;  // of lanes in a unit, where there are several units

/// One axis of a shape with what lies before and after it.
struct Along {
  std::span<const Dim> before, after;
  Dim length;
  Along(std::span<const Dim> shape, i64 axis)
      : before(shape.first(static_cast<size_t>(axis))),
        after(shape.subspan(static_cast<size_t>(axis) + 1)),
        length(shape[static_cast<size_t>(axis)]) {}
  bool last() const { return product(after) == Dim(1); }
};

Coords along(const Coords& before, std::optional<Dim> k, const Coords& after) {
  Coords at = before;
  if (k) at.push_back(*k);
  at.insert(at.end(), after.begin(), after.end());
  return at;
}

/// f(before, after) for blocks of lanes over the axes after; the axes but the last are walked one by one.
template <class F>
void for_lanes(KernelWriter& w, const Along& a, F&& f) {
  size_t outer = a.after.empty() ? 0 : a.after.size() - 1;
  auto middle = a.after.first(outer), inner = a.after.subspan(outer);
  Dim count = product(middle), extent = product(inner), chunks = 1;
  // Equal chunks of lanes, where there are any: one unit each.
  for (i64 c = kMostBlocks * kLanes; c >= kLanes && chunks == Dim(1); c -= kLanes)
    if (extent.is_constant() && extent.value() > c && extent.value() % c == 0) chunks = extent.value() / c;
  Dim chunk = chunks == Dim(1) ? extent : floordiv(extent, chunks);
  w.builder().parallel("p", product(a.before) * count * chunks, [&](Dim p) {
    Dim q = chunks == Dim(1) ? p : floordiv(p, chunks), first = (p - q * chunks) * chunk;
    Dim o = count == Dim(1) ? q : floordiv(q, count);
    Coords before = coordinates(o, a.before), mid = coordinates(q - o * count, middle);
    blocks(w, chunk, kLanes, {}, [&](Dim base, std::span<const Val>) {
      Coords after = mid;
      Coords lanes = coordinates(first + base + loops::lane(), inner);
      after.insert(after.end(), lanes.begin(), lanes.end());
      f(before, after);
      return std::vector<Val>{};
    });
  });
}

Lowered finished(KernelWriter& w) {
  Lowered done;
  done.kernel = w.finish();
  done.arguments = w.arguments();
  return done;
}

}  // namespace

Lowered lower_prefix(const Graph& g, const GraphIndex& index, const Group& group, const Target&) {
  const Node& node = g.nodes()[group.anchor];
  u32 x = g.operands(node)[0], y = node.first_result;
  Along a(g.type(x).shape(), node.attrs.get<i64>("axis"));
  Combine combine{node.op->lower.as<Prefix>()->combine};
  DType dtype = compute_dtype(g.type(x).dtype());
  KernelWriter w(g, index, group.computed, "prefix");
  loops::Builder& b = w.builder();
  auto put = [&](const Coords& at, Val v) { w.store(y, at, rounded(w, y, v)); };
  if (a.last()) {
    Coords after(a.after.size(), Dim(0));
    b.parallel("p", product(a.before), [&](Dim p) {
      Coords before = coordinates(p, a.before);
      Val start = combine.neutral(b, dtype, 1, 1);
      blocks(w, a.length, kLanes, {&start, 1}, [&](Dim base, std::span<const Val> carries) {
        Coords at = along(before, base + loops::lane(), after);
        Val v = w.widened(w.at(x, at), 1, kLanes);
        Val some = combine.neutral(b, dtype, 1, 1);
        v = keep_past_limit(w, some, v);
        Val inside = b.scan(combine.op(), v);
        Val total = combine.join(b, inside, carries[0]);
        put(at, total);
        return std::vector<Val>{b.slice(loops::Axis::lanes, kLanes - 1, total)};
      });
    });
    return finished(w);
  }
  for_lanes(w, a, [&](const Coords& before, const Coords& after) {
    Val start = combine.neutral(b, dtype, 1, kLanes);
    auto tile = w.tile();
    b.loop("r", a.length, {&start, 1}, [&](Dim r, std::span<const Val> carries) {
      w.set_tile(tile);
      Coords at = along(before, r, after);
      Val v = w.at(x, at);
      Val next = combine.join(b, carries[0], v);
      put(at, next);
      return std::vector<Val>{next};
    });
  });
  return finished(w);
}

namespace {

struct Places {
  KernelWriter& w;
  loops::Builder& b;
  Combine best;
  DType dtype;

  std::vector<Val> start(int lanes) {
    Val v = best.neutral(b, dtype, 1, lanes);
    Val i = b.constant_int(0, DType::i64, 1, lanes);
    return {v, i};
  }
  /// The better of the carried element and x at k; the carried one where equal.
  std::vector<Val> step(std::span<const Val> c, Val x, Dim k) {
    Val better = best.name == "max" ? b.less(c[0], x) : b.less(x, c[0]);
    if (is_float(dtype)) {
      Val is_nan = b.map(ScalarOp::not_equal, {x, x});
      Val was_number = b.equal(c[0], c[0]);
      Val first_nan = b.map(ScalarOp::logical_and, {is_nan, was_number});
      better = b.map(ScalarOp::logical_or, {better, first_nan});
    }
    Val here = w.dim_tile(k, DType::i64);
    Val value = b.select(better, x, c[0]);
    Val place = b.select(better, here, c[1]);
    return {keep_past_limit(w, c[0], value), keep_past_limit(w, c[1], place)};
  }
  /// The first place among the lanes.
  Val fold(std::span<const Val> c) {
    Val value = best.fold(b, c[0]);
    Val hit = b.equal(c[0], value);
    if (is_float(dtype)) {
      Val nan_here = b.map(ScalarOp::not_equal, {c[0], c[0]});
      Val nan_best = b.map(ScalarOp::not_equal, {value, value});
      Val both = b.map(ScalarOp::logical_and, {nan_here, nan_best});
      hit = b.map(ScalarOp::logical_or, {hit, both});
    }
    Val far = b.constant_int(std::numeric_limits<i64>::max(), DType::i64);
    Val places = b.select(hit, c[1], far);
    return b.reduce(ScalarOp::min, loops::Axis::lanes, places);
  }
};

}  // namespace

Lowered lower_arg(const Graph& g, const GraphIndex& index, const Group& group, const Target&) {
  const Node& node = g.nodes()[group.anchor];
  u32 x = g.operands(node)[0], y = node.first_result;
  Along a(g.type(x).shape(), node.attrs.get<i64>("axis"));
  KernelWriter w(g, index, group.computed, "arg");
  Places places{
      w, w.builder(), {node.op->lower.as<ArgReduction>()->greatest ? "max" : "min"}, compute_dtype(g.type(x).dtype())};
  if (a.last()) {
    Coords after(a.after.size(), Dim(0));
    w.builder().parallel("p", product(a.before), [&](Dim p) {
      Coords before = coordinates(p, a.before);
      std::vector<Val> start = places.start(kLanes);
      std::vector<Val> c = blocks(w, a.length, kLanes, start, [&](Dim base, std::span<const Val> carries) {
        Dim k = base + loops::lane();
        return places.step(carries, w.at(x, along(before, k, after)), k);
      });
      Val place = places.fold(c);
      w.set_tile({});
      w.store(y, along(before, std::nullopt, after), place);
    });
    return finished(w);
  }
  for_lanes(w, a, [&](const Coords& before, const Coords& after) {
    std::vector<Val> start = places.start(kLanes);
    auto tile = w.tile();
    std::vector<Val> c = w.builder().loop("r", a.length, start, [&](Dim r, std::span<const Val> carries) {
      w.set_tile(tile);
      return places.step(carries, w.at(x, along(before, r, after)), r);
    });
    w.set_tile(tile);
    w.store(y, along(before, std::nullopt, after), c[1]);
  });
  return finished(w);
}

}  // namespace tn
