#include "compile/group.h"

#include <algorithm>
#include <limits>

#include "compile/attention.h"

namespace tn {

using loops::ScalarOp;
using loops::Val;

Lowered lower_group(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  switch (group.kind) {
    case Group::Kind::map: return lower_map(g, index, group, target);
    case Group::Kind::rows: return lower_rows(g, index, group, target);
    case Group::Kind::columns: return lower_columns(g, index, group, target);
    case Group::Kind::contraction: return lower_contraction(g, index, group, target);
    case Group::Kind::attention: return lower_attention(g, index, group, target);
    case Group::Kind::prefix: return lower_prefix(g, index, group, target);
    case Group::Kind::arg: return lower_arg(g, index, group, target);
  }
  internal("a group of no kind");
}

// ---------------------------------------------------------------- index spaces

RowAxes row_axes(std::span<const i64> axes, size_t rank) {
  RowAxes a;
  while (a.trail < axes.size() && axes[axes.size() - 1 - a.trail] == static_cast<i64>(rank - 1 - a.trail)) ++a.trail;
  a.lead = axes.size() - a.trail;
  return a;
}

std::span<const Dim> kept_extents(std::span<const Dim> shape, RowAxes a) {
  return shape.subspan(a.lead, shape.size() - a.lead - a.trail);
}

Coords coordinates(Dim flat, std::span<const Dim> extents) {
  Coords coords(extents.size(), Dim(0));
  Dim inner = 1;
  Dim rest = flat;  // floordiv(flat, inner)
  for (size_t i = extents.size(); i-- > 0;) {
    inner = inner * extents[i];
    bool outermost = std::all_of(extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(i),
                                 [](Dim e) { return e == Dim(1); });
    if (extents[i] == Dim(1)) continue;
    if (outermost) {
      coords[i] = rest;
      break;
    }
    if (inner == Dim(0)) break;  // no elements, no coordinates
    Dim next = floordiv(flat, inner);
    coords[i] = rest - extents[i] * next;
    rest = next;
  }
  return coords;
}

int merged_axes(const Graph& g, const GraphIndex& index, const Group& group, std::span<const Dim> extents,
                const std::function<void(KernelWriter&, std::span<const Dim>)>& probe) {
  KernelWriter w(g, index, group.computed, "probe");
  std::vector<Dim> seen;
  Coords at(extents.size(), Dim(0));
  std::function<void(size_t)> nest = [&](size_t axis) {
    if (axis == extents.size()) {
      w.observe(&seen);
      probe(w, at);
      w.observe(nullptr);
      return;
    }
    if (extents[axis] == Dim(1)) return nest(axis + 1);
    w.builder().serial("c", extents[axis], [&](Dim v) {
      at[axis] = v;
      nest(axis + 1);
    });
  };
  nest(0);
  int merged = 0;
  Dim inner_extent = 1, inner = 0;
  for (size_t i = extents.size(); i-- > 0; ++merged) {
    if (extents[i] == Dim(1)) continue;
    if (inner != Dim(0)) {
      bool one = std::all_of(seen.begin(), seen.end(), [&](Dim d) {
        auto outer_step = coefficient(d, at[i]), inner_step = coefficient(d, inner);
        return outer_step && inner_step && *outer_step == *inner_step * inner_extent;
      });
      if (!one) break;
    }
    inner = at[i];
    inner_extent = extents[i];
  }
  return merged;
}

// ---------------------------------------------------------------- blocks

std::vector<Val> blocks(KernelWriter& w, Dim extent, int lanes, std::span<const Val> initial, const BlockBody& body) {
  loops::Builder& b = w.builder();
  auto run = [&](Dim base, Dim limit, std::span<const Val> carries) {
    w.set_tile({1, lanes, loops::Node::kNone, limit});
    return body(base, carries);
  };
  Dim full = floordiv(extent, lanes);
  std::vector<Val> carries(initial.begin(), initial.end());
  if (full == Dim(1)) {
    carries = run(0, loops::Node::kNone, carries);
  } else if (full != Dim(0)) {
    carries = b.loop("k", full, carries,
                     [&](Dim k, std::span<const Val> c) { return run(k * Dim(lanes), loops::Node::kNone, c); });
  }
  Dim rest = extent - full * Dim(lanes);
  if (rest == Dim(0)) return carries;
  auto tail = [&](std::span<const Val> c) { return run(full * Dim(lanes), rest, c); };
  if (rest.is_constant()) return tail(carries);
  Dim any = ceildiv(extent, lanes) - full;
  return b.loop("t", any, carries, [&](Dim, std::span<const Val> c) { return tail(c); });
}

// ---------------------------------------------------------------- combining

ScalarOp Combine::op() const {
  if (name == "add") return ScalarOp::add;
  if (name == "mul") return ScalarOp::mul;
  if (name == "max") return ScalarOp::max;
  if (name == "min") return ScalarOp::min;
  if (name == "and") return ScalarOp::logical_and;
  if (name == "or") return ScalarOp::logical_or;
  internal("no way of combining is called " + std::string(name));
}

template <class T>
static i64 extreme(bool greatest) {
  return static_cast<i64>(greatest ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest());
}

static i64 integer_extreme(DType d, bool greatest) {
  switch (d) {
    case DType::i64: return extreme<i64>(greatest);
    case DType::i32: return extreme<i32>(greatest);
    case DType::i8: return extreme<signed char>(greatest);
    case DType::u32: return extreme<u32>(greatest);
    case DType::u8: return extreme<u8>(greatest);
    default: return greatest;
  }
}

Val Combine::neutral(loops::Builder& b, DType dtype, int rows, int lanes) const {
  ScalarOp o = op();
  if (o == ScalarOp::max || o == ScalarOp::min) {
    bool greatest = o == ScalarOp::min;
    double infinity = std::numeric_limits<double>::infinity();
    return is_float(dtype) ? b.constant(greatest ? infinity : -infinity, dtype, rows, lanes)
                           : b.constant_int(integer_extreme(dtype, greatest), dtype, rows, lanes);
  }
  bool one = o == ScalarOp::mul || o == ScalarOp::logical_and;
  return b.constant(one, dtype, rows, lanes);
}

Val Combine::join(loops::Builder& b, Val a, Val x) const {
  Val joined = b.map(op(), {a, x});
  bool propagates = (op() == ScalarOp::max || op() == ScalarOp::min) && is_float(b.tile(a).dtype);
  if (!propagates) return joined;
  // The node gives x where either is NaN, so only a NaN in a has to be kept.
  Val is_nan = b.map(ScalarOp::not_equal, {a, a});
  return b.select(is_nan, a, joined);
}

Val Combine::fold(loops::Builder& b, Val acc) const {
  Val folded = b.reduce(op(), loops::Axis::lanes, acc);
  bool propagates = (op() == ScalarOp::max || op() == ScalarOp::min) && is_float(b.tile(acc).dtype);
  if (!propagates) return folded;
  Val is_nan = b.map(ScalarOp::not_equal, {acc, acc});
  Val some = b.reduce(ScalarOp::logical_or, loops::Axis::lanes, is_nan);
  Val nan = b.number(std::numeric_limits<double>::quiet_NaN(), folded);
  return b.select(some, nan, folded);
}

Val keep_past_limit(KernelWriter& w, Val acc, Val next) {
  Dim limit = w.tile().lane_limit;
  if (limit == loops::Node::kNone) return next;
  loops::Builder& b = w.builder();
  Val here = w.dim_tile(loops::lane(), DType::i64);
  Val end = w.dim_tile(limit, DType::i64);
  Val inside = b.less(here, end);
  return b.select(inside, next, acc);
}

Val rounded(KernelWriter& w, u32 value, Val v) {
  DType dtype = w.graph().type(value).dtype();
  if (compute_dtype(dtype) == dtype) return v;
  Val narrow = w.builder().cast(v, dtype);
  return w.builder().cast(narrow, compute_dtype(dtype));
}

}  // namespace tn
