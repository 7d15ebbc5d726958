// Reductions: axes came as an attribute in old opsets and come as an input in new ones.
#include <algorithm>
#include <limits>
#include <numeric>

#include "base/name.h"
#include "onnx/convert.h"

namespace tn::onnx {

namespace {

struct Axes {
  std::vector<i64> axes;
  bool keepdims;
};

Axes axes_of(Call& c) {
  i64 rank = c.in(0).rank();
  bool given = c.attribute("axes") || c.has(1);
  std::vector<i64> axes = c.attribute("axes") ? c.integers("axes") : c.has(1) ? c.known_ints(1) : std::vector<i64>{};
  bool none = !given || axes.empty();
  if (none && !c.integer("noop_with_empty_axes", 0)) {
    axes.resize(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
  }
  return {c.axes(axes, rank), c.integer("keepdims", 1) != 0};
}

template <Name kOp>
Values reduce(Call& c) {
  Axes a = axes_of(c);
  return {c.reduce(kOp.text, c.in(0), a.axes, a.keepdims)};
}

Value count(Call& c, Value x, const std::vector<i64>& axes) {
  Dim n = 1;
  for (i64 a : axes) n = n * x.shape()[static_cast<size_t>(a)];
  if (n.is_constant()) return c.scalar(static_cast<double>(n.value()), x.dtype());
  return cast(c.from_dims({n}, DType::i64, true), x.dtype());
}

Values mean(Call& c) {
  Axes a = axes_of(c);
  DType dtype = c.in(0).dtype();
  Value x = widened(c.in(0));
  Value s = c.reduce("sum", x, a.axes, a.keepdims);
  return {cast(quotient(c, s, count(c, x, a.axes)), dtype)};
}

Value sum_of(Call& c, Value x) {
  Axes a = axes_of(c);
  return c.reduce("sum", x, a.axes, a.keepdims);
}

Value squares(Call& c) {
  Value x = widened(c.in(0));
  return sum_of(c, c.map("mul", {x, x}));
}

Values sum_square(Call& c) { return {cast(squares(c), c.in(0).dtype())}; }
Values l1(Call& c) { return {sum_of(c, c.emit("abs", {c.in(0)}))}; }

/// A float op over integers, as the standard allows: through f64, back at the end.
Values through_float(Call& c, Value x, std::string_view op) {
  Value v = is_float(x.dtype()) ? x : cast(x, DType::f64);
  return {cast(c.emit(op, {v}), c.in(0).dtype())};
}

Values l2(Call& c) { return through_float(c, squares(c), "sqrt"); }
Values log_sum(Call& c) { return through_float(c, sum_of(c, widened(c.in(0))), "log"); }

Values log_sum_exp(Call& c) {
  Axes a = axes_of(c);
  Value x = is_float(c.in(0).dtype()) ? c.in(0) : cast(c.in(0), DType::f64);
  return {cast(c.reduce("logsumexp", x, a.axes, a.keepdims), c.in(0).dtype())};
}

/// The least element of a dtype, or the greatest.
Array edge_of(DType dtype, bool greatest) {
  Array a = Array::empty(dtype, {});
  if (is_float(dtype)) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    a.set(0, greatest ? kInfinity : -kInfinity);
    return a;
  }
  u64 all = ~u64{0} >> (64 - bits(dtype));
  u64 most = is_signed(dtype) ? all >> 1 : all;
  a.set_int(0, static_cast<i64>(greatest ? most : is_signed(dtype) ? ~most : 0));
  return a;
}

/// max and min of bools are any and all; of nothing, the least and the greatest of the dtype.
template <Name kOp, Name kBool, bool kGreatest>
Values extreme(Call& c) {
  Axes a = axes_of(c);
  DType dtype = c.in(0).dtype();
  bool logical = dtype == DType::boolean, empty = false;
  Shape left = shape_of(c.in(0));
  for (i64 k : a.axes) {
    empty = empty || left[static_cast<size_t>(k)] == Dim(0);
    left[static_cast<size_t>(k)] = 1;
  }
  if (empty && !logical) {
    Value edge = broadcast_to(c.constant_of(edge_of(dtype, kGreatest)), left);
    return {c.reduce("sum", edge, a.axes, a.keepdims)};
  }
  return {c.reduce(logical ? kBool.text : kOp.text, c.in(0), a.axes, a.keepdims)};
}

/// The greatest (or, turned round, least) along an axis; the last of equals by looking at it backwards.
template <bool kGreatest>
Values arg(Call& c) {
  Value x = c.in(0);
  i64 axis = c.axis(c.integer("axis", 0), x.rank());
  bool last = c.integer("select_last_index", 0), keep = c.integer("keepdims", 1);
  if (!kGreatest) {
    if (!is_signed(x.dtype())) x = cast(x, DType::i64);
    // The least integer has no negative of its own; -1 - x turns the order of integers round without overflow.
    x = is_float(x.dtype()) ? c.emit("neg", {x}) : c.map("sub", {c.scalar(-1, x.dtype()), x});
  }
  if (last) x = c.emit("flip", {x}, {{"axes", std::vector<i64>{axis}}});
  Value r = c.emit("argmax", {x}, {{"axis", axis}});
  r = cast(r, DType::i64);
  if (last) {
    Value top = c.from_dims({x.shape()[static_cast<size_t>(axis)] - Dim(1)}, DType::i64, true);
    r = c.map("sub", {top, r});
  }
  Shape kept = shape_of(x);
  kept[static_cast<size_t>(axis)] = 1;
  return {keep ? reshape(r, kept) : r};
}

Values cumulative_sum(Call& c) {
  Value x = c.in(0);
  i64 axis = c.axis(c.known_int(1), x.rank());
  bool exclusive = c.integer("exclusive", 0), reverse = c.integer("reverse", 0);
  Attrs flip{{"axes", std::vector<i64>{axis}}};
  if (reverse) x = c.emit("flip", {x}, flip);
  Value r = c.emit("cumsum", {x}, {{"axis", axis}});
  if (exclusive) {  // shifted by one, a zero in front
    Dim n = x.shape()[static_cast<size_t>(axis)];
    Shape one = shape_of(x);
    one[static_cast<size_t>(axis)] = 1;
    Value zero = broadcast_to(c.scalar(0, x.dtype()), one);
    r = slice(concat(Values{zero, r}, axis), axis, 0, n);
  }
  return {reverse ? c.emit("flip", {r}, flip) : r};
}

constexpr ConverterEntry kEntries[] = {
    {"ArgMax", 1, arg<true>},
    {"ArgMin", 1, arg<false>},
    {"CumSum", 11, cumulative_sum},
    {"ReduceL1", 1, l1},
    {"ReduceL2", 1, l2},
    {"ReduceLogSum", 1, log_sum},
    {"ReduceLogSumExp", 1, log_sum_exp},
    {"ReduceMax", 1, extreme<"max", "any", false>},
    {"ReduceMean", 1, mean},
    {"ReduceMin", 1, extreme<"min", "all", true>},
    {"ReduceProd", 1, reduce<"prod">},
    {"ReduceSum", 1, reduce<"sum">},
    {"ReduceSumSquare", 1, sum_square},
};

}  // namespace

std::span<const ConverterEntry> reduce_converters() { return kEntries; }

}  // namespace tn::onnx
