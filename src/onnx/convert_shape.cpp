// Shapes and rearrangements. What ONNX computes with integer tensors at run time is followed here as sizes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

// ---------------------------------------------------------------- sizes as data

Values shape(Call& c) {
  Shape all = shape_of(c.in(0));
  i64 rank = static_cast<i64>(all.size());
  auto clamp = [&](i64 a) { return std::clamp<i64>(a < 0 ? a + rank : a, 0, rank); };
  i64 start = clamp(c.integer("start", 0)), end = std::max(start, clamp(c.integer("end", rank)));
  return {c.from_dims(Shape(all.begin() + start, all.begin() + end), DType::i64)};
}

Values size(Call& c) { return {c.from_dims({product(c.in(0).shape())}, DType::i64, true)}; }

/// The one element of attribute 'value', else 0.
Array single_or_zero(Call& c) {
  const Attribute* a = c.attribute("value");
  if (!a) return Array::zeros(DType::f32, {1});
  if (a->tensors.empty()) c.refuse("a tensor in attribute 'value'", "none");
  Array v = array_of(a->tensors[0]);
  if (v.size() != 1) c.refuse("one element in attribute 'value'", std::to_string(v.size()));
  return v;
}

Values constant(Call& c) {
  if (c.attribute("value")) {
    if (c.attribute("value")->tensors.empty()) c.refuse("a tensor in attribute 'value'", "none");
    return {c.constant_of(array_of(c.attribute("value")->tensors[0]))};
  }
  for (const Attribute& a : c.node().attributes) {
    Array r;
    if (a.name == "value_float" || a.name == "value_floats") {
      std::vector<float> v = a.name == "value_float" ? std::vector<float>{a.f} : a.floats;
      r = Array::empty(DType::f32,
                       a.name == "value_float" ? std::vector<i64>{} : std::vector<i64>{static_cast<i64>(v.size())});
      std::copy(v.begin(), v.end(), r.data<float>());
    } else if (a.name == "value_int" || a.name == "value_ints") {
      std::vector<i64> v = a.name == "value_int" ? std::vector<i64>{a.i} : a.ints;
      r = Array::empty(DType::i64,
                       a.name == "value_int" ? std::vector<i64>{} : std::vector<i64>{static_cast<i64>(v.size())});
      std::copy(v.begin(), v.end(), r.data<i64>());
    } else
      continue;
    return {c.constant_of(r)};
  }
  c.refuse("one of value, value_float(s), value_int(s)", "none of them",
           "strings and sparse tensors are not among Tenon's dtypes");
}

Values constant_of_shape(Call& c) {
  Array v = single_or_zero(c);
  Array element = Array::empty(v.dtype, {});
  if (is_float(v.dtype))
    element.set(0, v.get(0));
  else
    element.set_int(0, v.get_int(0));
  Shape dims = c.known_dims(0);
  Value r = broadcast_to(c.constant_of(element), dims);
  bool few = dims.size() == 1 && dims[0].is_constant() && dims[0].value() < 64 && dims[0].value() >= 0;
  if (few && is_integer(v.dtype) && Dim::holds(v.get_int(0)))
    return {c.from_dims(Shape(static_cast<size_t>(dims[0].value()), Dim(v.get_int(0))), v.dtype)};
  return {r};
}

constexpr double kMostCounted = 1 << 12;  // elements that are made at import

/// start + i * delta, computed when the model runs.
Value long_range(Call& c, const Array& start, const Array& delta, double count) {
  if (!(count < 0x1p62)) c.refuse("a range of less than 2^62 elements", std::to_string(count));
  DType wide = is_float(start.dtype) ? DType::f64 : DType::i64;
  Value i = iota(c.builder(), {static_cast<i64>(count)}, 0, wide);
  Value first = cast(c.constant_of(start), wide), step = cast(c.constant_of(delta), wide);
  return cast(c.map("add", {reshape(first, {}), c.map("mul", {i, reshape(step, {})})}), start.dtype);
}

/// start + i * delta between sizes, as many as a symbolic limit allows.
std::optional<Value> range_of_sizes(Call& c) {
  DType dtype = c.in(0).dtype();
  if (!is_integer(dtype) || c.in(1).dtype() != dtype || c.in(2).dtype() != dtype) return std::nullopt;
  auto start = c.find_dims(c.in(0)), limit = c.find_dims(c.in(1)), delta = c.find_dims(c.in(2));
  auto single = [](const auto& s) { return s && s->size() == 1; };
  if (!single(start) || !single(limit) || !single(delta) || !(*delta)[0].is_constant()) return std::nullopt;
  i64 step = (*delta)[0].value();
  if (step == 0 || ((*start)[0].is_constant() && (*limit)[0].is_constant())) return std::nullopt;
  Dim way = step > 0 ? (*limit)[0] - (*start)[0] : (*start)[0] - (*limit)[0];
  Value i = iota(c.builder(), {ceildiv(max(way, 0), step > 0 ? step : -step)}, 0, DType::i64);
  i = c.map("mul", {i, c.from_dims({step}, DType::i64, true)});
  return cast(c.map("add", {i, c.from_dims(*start, DType::i64, true)}), dtype);
}

Values range(Call& c) {
  if (auto sizes = range_of_sizes(c)) return {*sizes};
  auto start = c.known(c.in(0)), limit = c.known(c.in(1)), delta = c.known(c.in(2));
  if (!start || !limit || !delta)
    c.refuse("start, limit and delta known at import", "values that depend on data", "make them initializers");
  for (const auto& a : {start, limit, delta})
    if (a->size() != 1 || a->dtype != start->dtype) c.refuse("scalars of one dtype", "others");
  bool integers = !is_float(start->dtype);
  double step = delta->get(0);
  if (step == 0 || std::isnan(step)) c.refuse("a delta other than 0", std::to_string(step));
  double count = std::max(0.0, std::ceil((limit->get(0) - start->get(0)) / step));
  if (!(count <= kMostCounted)) return {long_range(c, *start, *delta, count)};
  Array r = Array::empty(start->dtype, {static_cast<i64>(count)});
  for (i64 i = 0; i < r.size(); ++i) {
    if (integers)
      r.set_int(i, static_cast<i64>(static_cast<u64>(start->get_int(0)) +
                                    static_cast<u64>(i) * static_cast<u64>(delta->get_int(0))));
    else
      r.set(i, start->get(0) + static_cast<double>(i) * step);
  }
  return {c.constant_of(r)};
}

// ---------------------------------------------------------------- reshaping

Values reshape(Call& c) {
  Value x = c.in(0);
  Shape want = c.opset() < 5 ? Shape() : c.known_dims(1);
  bool allow_zero = c.integer("allowzero", 0) != 0;
  Dim known = 1;
  std::optional<size_t> open;
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i] == Dim(0) && !allow_zero) {
      if (i >= x.shape().size())
        c.refuse("a 0 only where the input has an axis", "axis " + std::to_string(i) + " of " + to_string(x.type()));
      want[i] = x.shape()[i];
    }
    if (want[i] == Dim(-1)) {
      if (open) c.refuse("at most one -1", "two");
      open = i;
    } else
      known = known * want[i];
  }
  if (open) want[*open] = known == Dim(0) ? Dim(0) : floordiv(product(x.shape()), known);
  Value r = reshape(x, want);
  auto dims = c.find_dims(x);
  return {dims && want.size() <= 1 ? c.with_dims(r, *dims) : r};
}

std::vector<i64> axes_input(Call& c, size_t input) {
  return c.attribute("axes") ? c.integers("axes") : c.has(input) ? c.known_ints(input) : std::vector<i64>{};
}

Values squeeze(Call& c) {
  Value x = c.in(0);
  auto axes = c.axes(axes_input(c, 1), x.rank());
  bool all = axes.empty() && !c.attribute("axes") && !c.has(1);
  Shape kept;
  auto dims = c.find_dims(x);
  for (i64 i = x.rank(); i-- > 0;) {
    bool named = std::binary_search(axes.begin(), axes.end(), i);
    Dim extent = x.shape()[static_cast<size_t>(i)];
    if (!named && !(all && extent == Dim(1)))
      kept.insert(kept.begin(), extent);
    else if (extent != Dim(1) && provably_nonnegative(Dim(1) - extent) && !extent.is_constant())
      x = c.emit("gather", {x, c.scalar(0, DType::i64)}, {{"axis", i}});  // one element of an axis like min(n, 1)
    else if (extent != Dim(1))
      c.refuse("an extent of 1 on axis " + std::to_string(i), to_string(x.type()),
               extent.is_constant() ? "" : "fix that size");
  }
  Value r = reshape(x, kept);
  return {dims ? c.with_dims(r, *dims) : r};
}

Values unsqueeze(Call& c) {
  Value x = c.in(0);
  auto axes = axes_input(c, 1);
  i64 rank = x.rank() + static_cast<i64>(axes.size());
  axes = c.axes(axes, rank);
  Shape want;
  for (i64 i = 0, from = 0; i < rank; ++i)
    want.push_back(std::binary_search(axes.begin(), axes.end(), i) ? Dim(1) : x.shape()[static_cast<size_t>(from++)]);
  Value r = reshape(x, want);
  auto dims = c.find_dims(x);
  return {dims && rank <= 1 ? c.with_dims(r, *dims) : r};
}

Values flatten(Call& c) {
  Value x = c.in(0);
  i64 a = c.integer("axis", 1), rank = x.rank();
  if (a < 0) a += rank;
  if (a < 0 || a > rank)
    c.refuse("an axis in [-" + std::to_string(rank) + ", " + std::to_string(rank) + "]", std::to_string(a));
  auto at = static_cast<size_t>(a);
  return {reshape(x, {product(x.shape().first(at)), product(x.shape().subspan(at))})};
}

Values transpose(Call& c) {
  i64 rank = c.in(0).rank();
  std::vector<i64> perm(static_cast<size_t>(rank));
  std::iota(perm.rbegin(), perm.rend(), 0);
  perm = c.integers("perm", perm);
  std::vector<i64> sorted = c.axes(perm, rank);
  if (static_cast<i64>(sorted.size()) != rank)
    c.refuse("a permutation of " + std::to_string(rank) + " axes", std::to_string(sorted.size()) + " axes");
  return {permute(c.in(0), perm)};
}

Values expand(Call& c) {
  Value x = c.in(0);
  Shape want = c.known_dims(1), have = shape_of(x);
  size_t rank = std::max(want.size(), have.size());
  Shape result(rank, Dim(1));
  for (size_t i = 0; i < rank; ++i) {
    Dim a = i < rank - have.size() ? Dim(1) : have[i - (rank - have.size())];
    Dim b = i < rank - want.size() ? Dim(1) : want[i - (rank - want.size())];
    if (a != b && a != Dim(1) && b != Dim(1))
      c.refuse("a shape that broadcasts",
               to_string(x.type()) + " and " + to_string(b) + " on axis " + std::to_string(i));
    result[i] = a == Dim(1) ? b : a;
  }
  return {broadcast_to(x, result)};
}

Values tile(Call& c) {
  Value x = c.in(0);
  Shape repeats = c.known_dims(1), wide, merged;
  if (static_cast<int>(repeats.size()) != x.rank())
    c.refuse("a repeat for each of " + std::to_string(x.rank()) + " axes", std::to_string(repeats.size()));
  std::vector<i64> dims;
  for (size_t i = 0; i < repeats.size(); ++i) {
    wide.push_back(repeats[i]);
    dims.push_back(static_cast<i64>(wide.size()));
    wide.push_back(x.shape()[i]);
    merged.push_back(repeats[i] * x.shape()[i]);
  }
  return {reshape(c.emit("broadcast", {x}, {{"shape", wide}, {"dims", dims}}), merged)};
}

// ---------------------------------------------------------------- joining and cutting

Values concat(Call& c) {
  std::optional<Shape> joined = Shape();
  for (size_t i = 0; i < c.count(); ++i) {
    auto dims = c.in(i).rank() == 1 ? c.find_dims(c.in(i)) : std::nullopt;
    if (!dims) joined.reset();
    if (joined) joined->insert(joined->end(), dims->begin(), dims->end());
  }
  if (joined && is_integer(c.in(0).dtype())) return {c.from_dims(*joined, c.in(0).dtype())};
  return {concat(c.all_in(), c.axis(c.integer("axis", 1), c.in(0).rank()))};
}

Values split(Call& c) {
  Value x = c.in(0);
  i64 a = c.axis(c.integer("axis", 0), x.rank());
  Dim whole = x.shape()[static_cast<size_t>(a)];
  Shape parts;
  if (c.attribute("split"))
    for (i64 s : c.integers("split")) parts.push_back(nearest_size(s));
  else if (c.has(1))
    parts = c.known_dims(1);
  else {
    i64 n = c.size("num_outputs", static_cast<i64>(c.node().outputs.size()), 1, 1 << 16);
    Dim each = ceildiv(whole, n);
    for (i64 i = 0; i + 1 < n; ++i) parts.push_back(each);
    parts.push_back(whole - each * Dim(n - 1));
  }
  Dim all = std::accumulate(parts.begin(), parts.end(), Dim(0));
  if (all != whole && (all - whole).is_constant())
    c.refuse("parts of " + to_string(whole) + " elements in all", to_string(all));
  Values r;
  Dim at = 0;
  for (Dim p : parts) {
    r.push_back(slice(x, a, at, at + p));
    at = at + p;
  }
  return r;
}

/// One axis of a Slice as NumPy has it: clamped start and limit in the walk's direction.
struct Cut {
  Dim start, limit;
  i64 stride;
  bool reversed;
};

Cut cut_of(Call& c, Dim n, Dim start, Dim end, i64 step) {
  constexpr i64 kFar = 1ll << 30;
  auto place = [&](Dim d, Dim low, Dim high) -> Dim {
    if (d.is_constant() && d.value() >= kFar) return high;
    if (d.is_constant() && d.value() <= -kFar) return low;
    if (d.is_constant() && d.value() < 0) d = d + n;
    return max(low, min(d, high));
  };
  if (step > 0) {
    step = std::min(step, kFar);
    Dim s = place(start, 0, n), e = place(end, 0, n);
    return {s, max(s, e), step, false};
  }
  if (step == 0) c.refuse("a step other than 0", "0");
  step = std::max(step, -kFar);
  Dim s = place(start, -1, n - Dim(1)), e = place(end, -1, n - Dim(1));  // walk from s down to e + 1
  return {n - Dim(1) - s, max(n - Dim(1) - s, n - Dim(1) - e), -step, true};
}

/// A value as op(other, known): one operand's elements are known.
struct Applied {
  Value other;
  Shape known;
};

std::optional<Applied> applied(Call& c, Value v, std::string_view name) {
  const Node* n = producer(v);
  if (!n || n->op->name != name) return std::nullopt;
  auto operands = c.builder().graph().operands(*n);
  Value a{&c.builder(), operands[0]}, b{&c.builder(), operands[1]};
  if (auto known = c.find_dims(b)) return Applied{a, *known};
  if (auto known = c.find_dims(a)) return Applied{b, *known};
  return std::nullopt;
}

/// A window whose place depends on data: starts of all axes clamped so that it fits, max(min(s, extent - size), 0), and
/// ends that far after them.
std::optional<Value> window(Call& c) {
  Value x = c.in(0);
  if (c.find_dims(c.in(1))) return std::nullopt;
  auto end = applied(c, c.in(2), "add"), start = applied(c, c.in(1), "maximum");
  if (!end || !start || end->other != c.in(1)) return std::nullopt;
  auto fitting = applied(c, start->other, "minimum");
  std::vector<i64> all = axis_range(0, x.rank()), ones(all.size(), 1);
  if ((c.has(3) && c.known_ints(3) != all) || (c.has(4) && c.known_ints(4) != ones)) return std::nullopt;
  if (!fitting || end->known.size() != all.size()) return std::nullopt;
  Shape last = shape_of(x);
  for (size_t i = 0; i < last.size(); ++i) {
    last[i] = last[i] - end->known[i];
    auto below_zero = [](Dim d) { return d.is_constant() && d.value() < 0; };
    if (below_zero(last[i]) || below_zero(end->known[i])) return std::nullopt;
  }
  if (fitting->known != last || start->known != Shape(last.size(), Dim(0))) return std::nullopt;
  return c.emit("dynamic_slice", {x, fitting->other}, {{"sizes", end->known}});
}

Values slice(Call& c) {
  Value x = c.in(0);
  bool old = c.opset() < 10;
  if (!old)
    if (auto found = window(c)) return {*found};
  auto list = [&](const char* name, size_t input) {
    Shape r;
    if (!old) return c.known_dims(input);
    for (i64 v : c.integers(name)) r.push_back(nearest_size(v));
    return r;
  };
  Shape starts = list("starts", 1), ends = list("ends", 2);
  std::vector<i64> axes, steps(starts.size(), 1);
  if (old ? c.attribute("axes") != nullptr : c.has(3))
    axes = old ? c.integers("axes") : c.known_ints(3);
  else {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (!old && c.has(4)) steps = c.known_ints(4);
  if (axes.size() != starts.size() || ends.size() != starts.size() || steps.size() != starts.size())
    c.refuse("as many starts as ends, axes and steps", std::to_string(starts.size()) + " starts");
  auto dims = c.find_dims(x);
  if (dims && x.rank() == 1 && axes.size() == 1 && starts[0].is_constant() && ends[0].is_constant() && steps[0] == 1) {
    i64 n = static_cast<i64>(dims->size());
    auto place = [n](i64 v) { return std::clamp<i64>(v < 0 ? v + n : v, 0, n); };
    i64 s = place(starts[0].value()), e = std::max(s, place(ends[0].value()));
    return {c.from_dims(Shape(dims->begin() + s, dims->begin() + e), x.dtype())};
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    i64 a = c.axis(axes[i], x.rank());
    Cut cut = cut_of(c, x.shape()[static_cast<size_t>(a)], starts[i], ends[i], steps[i]);
    if (cut.reversed) x = c.emit("flip", {x}, {{"axes", std::vector<i64>{a}}});
    x = slice(x, a, cut.start, cut.limit, cut.stride);
  }
  return {x};
}

// ---------------------------------------------------------------- padding

/// Rows of the mirrored or repeated border, by slices and flips of x along one axis.
Value border(Call& c, Value x, i64 a, i64 low, i64 high, const std::string& mode) {
  Dim n = x.shape()[static_cast<size_t>(a)];
  Attrs along{{"axes", std::vector<i64>{a}}};
  auto flipped = [&](Dim s, Dim e) { return c.emit("flip", {slice(x, a, s, e)}, along); };
  auto repeated = [&](Dim at, i64 times) {
    Shape wide = shape_of(x);
    wide[static_cast<size_t>(a)] = times;
    return broadcast_to(slice(x, a, at, at + Dim(1)), wide);
  };
  Values parts;
  if (low > 0)
    parts.push_back(mode == "reflect" ? flipped(1, low + 1)
                    : mode == "edge"  ? repeated(0, low)
                                      : slice(x, a, n - Dim(low), n));
  parts.push_back(x);
  if (high > 0)
    parts.push_back(mode == "reflect" ? flipped(n - Dim(high + 1), n - Dim(1))
                    : mode == "edge"  ? repeated(n - Dim(1), high)
                                      : slice(x, a, 0, high));
  return concat(parts, a);
}

Values pad(Call& c) {
  Value x = c.in(0);
  std::string mode = c.text("mode", "constant");
  bool old = c.opset() < 11;
  std::vector<i64> pads = old ? c.integers("pads", c.integers("paddings")) : c.known_ints(1);
  double value = old ? c.floating("value", 0) : 0;
  if (!old && c.has(2)) value = c.known_double(2);
  std::vector<i64> axes(static_cast<size_t>(x.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  if (!old && c.has(3)) {
    axes = c.known_ints(3);
    for (i64& a : axes) a = c.axis(a, x.rank());
  }
  for (i64 p : pads)
    if (p < -(i64{1} << 31) || p > i64{1} << 31) c.refuse("pads within 2^31", std::to_string(p));
  if (pads.size() != 2 * axes.size()) c.refuse(std::to_string(2 * axes.size()) + " pads", std::to_string(pads.size()));
  Shape low(static_cast<size_t>(x.rank()), Dim(0)), high = low;
  for (size_t i = 0; i < axes.size(); ++i) {
    i64 l = pads[i], h = pads[i + axes.size()], a = axes[i];
    Dim n = x.shape()[static_cast<size_t>(a)];
    if (l < 0 || h < 0) x = slice(x, a, std::max<i64>(0, -l), n - Dim(std::max<i64>(0, -h)));
    l = std::max<i64>(l, 0);
    h = std::max<i64>(h, 0);
    if (mode != "constant" && (l || h)) x = border(c, x, a, l, h, mode);
    low[static_cast<size_t>(a)] = mode == "constant" ? l : 0;
    high[static_cast<size_t>(a)] = mode == "constant" ? h : 0;
  }
  if (mode != "constant") return {x};
  return {c.emit("pad", {x}, {{"low", low}, {"high", high}, {"value", value}})};
}

// ---------------------------------------------------------------- blocks

Values depth_to_space(Call& c) {
  Value x = c.in(0);
  i64 b = c.size("blocksize", 0, 1, 1 << 15);
  if (x.rank() != 4) c.refuse("an NCHW tensor", to_string(x.type()));
  Dim n = x.shape()[0], ch = floordiv(x.shape()[1], b * b), h = x.shape()[2], w = x.shape()[3];
  bool dcr = c.text("mode", "DCR") == "DCR";
  Value r = reshape(x, dcr ? Shape{n, b, b, ch, h, w} : Shape{n, ch, b, b, h, w});
  r = permute(r, dcr ? std::vector<i64>{0, 3, 4, 1, 5, 2} : std::vector<i64>{0, 1, 4, 2, 5, 3});
  return {reshape(r, {n, ch, h * Dim(b), w * Dim(b)})};
}

Values space_to_depth(Call& c) {
  Value x = c.in(0);
  i64 b = c.size("blocksize", 0, 1, 1 << 15);
  if (x.rank() != 4) c.refuse("an NCHW tensor", to_string(x.type()));
  Dim n = x.shape()[0], ch = x.shape()[1], h = floordiv(x.shape()[2], b), w = floordiv(x.shape()[3], b);
  Value r = permute(reshape(x, {n, ch, h, b, w, b}), {0, 3, 5, 1, 2, 4});
  return {reshape(r, {n, ch * Dim(b * b), h, w})};
}

constexpr ConverterEntry kEntries[] = {
    {"Concat", 1, concat},
    {"Constant", 1, constant},
    {"ConstantOfShape", 9, constant_of_shape},
    {"DepthToSpace", 1, depth_to_space},
    {"Expand", 8, expand},
    {"Flatten", 1, flatten},
    {"Pad", 1, pad},
    {"Range", 11, range},
    {"Reshape", 5, reshape},
    {"Shape", 1, shape},
    {"Size", 1, size},
    {"Slice", 1, slice},
    {"SpaceToDepth", 1, space_to_depth},
    {"Split", 1, split},
    {"Squeeze", 1, squeeze},
    {"Tile", 6, tile},
    {"Transpose", 1, transpose},
    {"Unsqueeze", 1, unsqueeze},
};

}  // namespace

std::span<const ConverterEntry> shape_converters() { return kEntries; }

}  // namespace tn::onnx
