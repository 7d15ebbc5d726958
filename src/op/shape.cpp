// Ops that only say where elements stand: reshape, broadcast, permute, flip, and the numbers of places themselves
// (iota, dims). All are free inside a fused group: they rewrite the coordinates an operand is read at.
#include <algorithm>
#include <numeric>

#include "op/emit.h"
#include "op/families.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

namespace {

using Types = std::span<const Type>;
using Coords = std::span<const Dim>;

const Shape& shape_attr(const Attrs& a) { return a.get<Shape>("shape"); }
const std::vector<i64>& integers(const Attrs& a, std::string_view name) { return a.get<std::vector<i64>>(name); }
Shape shape_of(Type t) { return {t.shape().begin(), t.shape().end()}; }
size_t at(i64 axis) { return static_cast<size_t>(axis); }

/// For ops without operands, which no batch ever reaches.
Batched no_lanes(Builder&, Dim, ValueSpan, const Mask&, const Attrs&) { internal("an op without operands was mapped"); }

// ---------------------------------------------------------------- reshape

std::vector<Type> reshape_type(Types t, const Attrs& a) {
  check_extents("reshape", shape_attr(a));
  Type result = t[0].with(shape_attr(a));
  if (result.size() != t[0].size())
    fail("reshape", "expected a shape of " + to_string(t[0].size()) + " elements for " + to_string(t[0]) + ", got " +
                        shape_text(shape_attr(a)) + " of " + to_string(result.size()));
  return {result};
}

/// Axes of the operand and of the result that hold the same elements; extents of 1 are left out.
struct AxisGroup {
  std::vector<size_t> in, out;
};

std::vector<size_t> axes_above_one(Coords shape) {
  std::vector<size_t> axes;
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != Dim(1)) axes.push_back(i);
  return axes;
}

/// The shortest runs of axes with equal products, from the left; what has no such run is one group.
std::vector<AxisGroup> reshape_groups(Coords in, Coords out) {
  std::vector<size_t> a = axes_above_one(in), b = axes_above_one(out);
  auto size = [](Coords shape, const std::vector<size_t>& axes, size_t first, size_t count) {
    Dim n = 1;
    for (size_t k = first; k < first + count; ++k) n = n * shape[axes[k]];
    return n;
  };
  std::vector<AxisGroup> groups;
  for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    size_t left_a = a.size() - i, left_b = b.size() - j, take_a = left_a, take_b = left_b;
    for (size_t total = 2; total < left_a + left_b; ++total)
      for (size_t p = 1; p < total; ++p) {
        size_t q = total - p;
        if (p > left_a || q > left_b || size(in, a, i, p) != size(out, b, j, q)) continue;
        take_a = p;
        take_b = q;
        total = left_a + left_b;
        break;
      }
    AxisGroup g;
    for (size_t k = 0; k < take_a; ++k) g.in.push_back(a[i + k]);
    for (size_t k = 0; k < take_b; ++k) g.out.push_back(b[j + k]);
    groups.push_back(std::move(g));
    i += take_a;
    j += take_b;
  }
  return groups;
}

loops::Val reshape_at(Reader& reader, Types operands, Type result, const Attrs&, Coords coords) {
  Coords in = operands[0].shape(), out = result.shape();
  std::vector<Dim> source(in.size(), Dim(0));
  for (const AxisGroup& g : reshape_groups(in, out)) {
    Dim flat = 0;
    for (size_t axis : g.out) flat = flat * out[axis] + coords[axis];
    for (size_t k = g.in.size(); k-- > 0;) {
      size_t axis = g.in[k];
      source[axis] = k ? mod(flat, in[axis]) : flat;
      if (k) flat = floordiv(flat, in[axis]);
    }
  }
  return reader.load(0, source);
}

Value reshape_transpose(ValueSpan, Value ct, int, const Attrs&, Types types) { return reshape(ct, shape_of(types[0])); }

Batched reshape_batch(Builder&, Dim n, ValueSpan x, const Mask&, const Attrs& a) {
  return all_batched({reshape(x[0], with_leading(n, shape_attr(a)))});
}

std::vector<Array> reshape_ref(std::span<const Array> x, const Attrs&, Types results, const DimEnv& env) {
  Array y = copy_of(x[0]);
  y.shape = concrete(results[0].shape(), env);
  return {y};
}

std::vector<Sample> reshape_samples() {
  std::vector<Sample> r;
  auto with = [&](DType d, std::vector<i64> from, const Shape& to) {
    r.push_back(sample_of(d, from, 1, 0, 2, {{"shape", to}}));
  };
  for (DType d : every_dtype()) with(d, {17}, {1, 17});
  with(DType::f32, {}, {1, 1});
  with(DType::f32, {1}, {});
  with(DType::f32, {0, 3}, {3, 0, 2});
  with(DType::f32, {2, 12}, {2, 3, 4});
  with(DType::f32, {2, 3, 4}, {6, 4});
  with(DType::f64, {6, 4}, {3, 8});
  with(DType::f32, {33, 2}, {66});
  with(DType::f32, {2, 3, 5, 7}, {6, 1, 7, 5});
  r.push_back(failing({{DType::f32, {2, 3}, 0, 1, {}}}, "expected a shape of 6 elements", {{"shape", Shape{4}}}));
  r.push_back(failing({{DType::f32, {2}, 0, 1, {}}}, "on axis 0", {{"shape", Shape{-2}}}));
  return r;
}

OpDef reshape_entry() {
  return {"reshape",
          1,
          "The same elements in row-major order with another shape of as many.",
          {{{"x"}}, {{"shape", AttrKind::dims, {}}}},
          reshape_type,
          Linear{1, reshape_transpose},
          AxesFn{reshape_batch},
          Movement{reshape_at, Movement::Holds::same},
          RefArrays{reshape_ref},
          Pure{},
          reshape_samples};
}

// ---------------------------------------------------------------- broadcast

std::vector<Type> broadcast_type(Types t, const Attrs& a) {
  const auto& dims = integers(a, "dims");
  const Shape& shape = shape_attr(a);
  check_extents("broadcast", shape);
  if (dims.size() != at(t[0].rank()))
    fail("broadcast", "expected a result axis for each of the " + std::to_string(t[0].rank()) + " axes of " +
                          to_string(t[0]) + ", got " + std::to_string(dims.size()));
  check_axes("broadcast", dims, static_cast<int>(shape.size()));
  if (!std::is_sorted(dims.begin(), dims.end()))
    fail("broadcast", "expected result axes in rising order, got others; use permute");
  for (size_t i = 0; i < dims.size(); ++i) {
    Dim have = t[0].shape()[i], want = shape[at(dims[i])];
    if (have != want && have != Dim(1))
      fail("broadcast", "expected axis " + std::to_string(i) + " of " + to_string(t[0]) + " to be 1 or " +
                            to_string(want) + ", got " + to_string(have) + "; the result's shape is " +
                            shape_text(shape));
  }
  return {t[0].with(shape)};
}

loops::Val broadcast_at(Reader& reader, Types operands, Type, const Attrs& a, Coords coords) {
  const auto& dims = integers(a, "dims");
  std::vector<Dim> source;
  for (size_t i = 0; i < dims.size(); ++i)
    source.push_back(operands[0].shape()[i] == Dim(1) ? Dim(0) : coords[at(dims[i])]);
  return reader.load(0, source);
}

/// Sums over the axes that the operand lacks or has as 1.
Value broadcast_transpose(ValueSpan, Value ct, int, const Attrs& a, Types types) {
  const auto& dims = integers(a, "dims");
  std::vector<bool> kept(at(ct.rank()));
  for (size_t i = 0; i < dims.size(); ++i) kept[at(dims[i])] = types[0].shape()[i] == ct.shape()[at(dims[i])];
  std::vector<i64> axes;
  for (i64 i = 0; i < ct.rank(); ++i)
    if (!kept[at(i)]) axes.push_back(i);
  return reshape(sum(ct, axes), shape_of(types[0]));
}

Batched broadcast_batch(Builder&, Dim n, ValueSpan x, const Mask&, const Attrs& a) {
  std::vector<i64> dims = shifted(integers(a, "dims"));
  dims.insert(dims.begin(), 0);
  return all_batched({broadcast(x[0], with_leading(n, shape_attr(a)), dims)});
}

std::vector<Array> broadcast_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  const auto& dims = integers(a, "dims");
  return {moved(x[0], concrete(results[0].shape(), env), [&](std::span<const i64> to, std::span<i64> from) {
    for (size_t i = 0; i < from.size(); ++i) from[i] = x[0].shape[i] == 1 ? 0 : to[at(dims[i])];
  })};
}

std::vector<Sample> broadcast_samples() {
  std::vector<Sample> r;
  auto attrs = [](const Shape& shape, std::vector<i64> dims) {
    return Attrs{{"shape", shape}, {"dims", std::move(dims)}};
  };
  for (DType d : every_dtype()) r.push_back(sample_of(d, {17}, 1, 0, 2, attrs({3, 17}, {1})));
  r.push_back(sample_of(DType::f32, {}, 1, 0, 2, attrs({2, 3}, {})));
  r.push_back(sample_of(DType::f32, {33}, 1, 0, 2, attrs({33, 2}, {0})));
  r.push_back(sample_of(DType::f64, {2, 1, 3}, 1, 0, 2, attrs({2, 4, 3, 5}, {0, 1, 2})));
  r.push_back(sample_of(DType::f32, {0}, 1, 0, 2, attrs({4, 0}, {1})));
  r.push_back(sample_of(DType::f32, {1}, 1, 0, 2, attrs({0}, {0})));
  SampleOperand two{DType::f32, {2}, 0, 1, {}};
  r.push_back(failing({two}, "expected axis 0 of f32[2] to be 1 or 3, got 2", attrs({3}, {0})));
  r.push_back(failing({two}, "expected a result axis for each", attrs({2}, {})));
  r.push_back(failing({two}, "expected an axis from 0 to 0", attrs({2}, {1})));
  return r;
}

OpDef broadcast_entry() {
  return {"broadcast",
          1,
          "Operand axis i becomes result axis dims[i] (rising), an extent of 1 is repeated; other result axes repeat "
          "the whole.",
          {{{"x"}}, {{"shape", AttrKind::dims, {}}, {"dims", AttrKind::integers, {}}}},
          broadcast_type,
          Linear{1, broadcast_transpose},
          AxesFn{broadcast_batch},
          Movement{broadcast_at, Movement::Holds::repeated},
          RefArrays{broadcast_ref},
          Pure{},
          broadcast_samples};
}

// ---------------------------------------------------------------- permute

std::vector<Type> permute_type(Types t, const Attrs& a) {
  const auto& axes = integers(a, "axes");
  if (axes.size() != at(t[0].rank()))
    fail("permute", "expected the " + std::to_string(t[0].rank()) + " axes of " + to_string(t[0]) + ", got " +
                        std::to_string(axes.size()));
  check_axes("permute", axes, t[0].rank());
  Shape shape;
  for (i64 axis : axes) shape.push_back(t[0].shape()[at(axis)]);
  return {t[0].with(shape)};
}

loops::Val permute_at(Reader& reader, Types, Type, const Attrs& a, Coords coords) {
  const auto& axes = integers(a, "axes");
  std::vector<Dim> source(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) source[at(axes[i])] = coords[i];
  return reader.load(0, source);
}

Value permute_transpose(ValueSpan, Value ct, int, const Attrs& a, Types) {
  const auto& axes = integers(a, "axes");
  std::vector<i64> back(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) back[at(axes[i])] = static_cast<i64>(i);
  return permute(ct, back);
}

Batched permute_batch(Builder&, Dim, ValueSpan x, const Mask&, const Attrs& a) {
  std::vector<i64> axes = shifted(integers(a, "axes"));
  axes.insert(axes.begin(), 0);
  return all_batched({permute(x[0], axes)});
}

std::vector<Array> permute_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  const auto& axes = integers(a, "axes");
  return {moved(x[0], concrete(results[0].shape(), env), [&](std::span<const i64> to, std::span<i64> from) {
    for (size_t i = 0; i < axes.size(); ++i) from[at(axes[i])] = to[i];
  })};
}

std::vector<Sample> permute_samples() {
  std::vector<Sample> r;
  auto axes = [](std::vector<i64> v) { return Attrs{{"axes", std::move(v)}}; };
  for (DType d : every_dtype()) r.push_back(sample_of(d, {17, 3}, 1, 0, 2, axes({1, 0})));
  r.push_back(sample_of(DType::f32, {}, 1, 0, 2, axes({})));
  r.push_back(sample_of(DType::f32, {33, 35}, 1, 0, 2, axes({1, 0})));
  r.push_back(sample_of(DType::f64, {2, 3, 4, 5}, 1, 0, 2, axes({2, 0, 3, 1})));
  r.push_back(sample_of(DType::f32, {3, 0, 2}, 1, 0, 2, axes({2, 1, 0})));
  SampleOperand m{DType::f32, {2, 3}, 0, 1, {}};
  r.push_back(failing({m}, "got axis 1 twice", axes({1, 1})));
  r.push_back(failing({m}, "expected the 2 axes", axes({0})));
  return r;
}

OpDef permute_entry() {
  return {"permute",
          1,
          "Axes in another order: result axis i is operand axis axes[i].",
          {{{"x"}}, {{"axes", AttrKind::integers, {}}}},
          permute_type,
          Linear{1, permute_transpose},
          AxesFn{permute_batch},
          Movement{permute_at},
          RefArrays{permute_ref},
          Pure{},
          permute_samples};
}

// ---------------------------------------------------------------- flip

std::vector<Type> flip_type(Types t, const Attrs& a) {
  check_axes("flip", integers(a, "axes"), t[0].rank());
  return {t[0]};
}

loops::Val flip_at(Reader& reader, Types operands, Type, const Attrs& a, Coords coords) {
  std::vector<Dim> source(coords.begin(), coords.end());
  for (i64 axis : integers(a, "axes")) source[at(axis)] = operands[0].shape()[at(axis)] - Dim(1) - coords[at(axis)];
  return reader.load(0, source);
}

Value flip_transpose(ValueSpan, Value ct, int, const Attrs& a, Types) { return flip(ct, integers(a, "axes")); }

std::vector<Array> flip_ref(std::span<const Array> x, const Attrs& a, Types, const DimEnv&) {
  return {moved(x[0], x[0].shape, [&](std::span<const i64> to, std::span<i64> from) {
    std::copy(to.begin(), to.end(), from.begin());
    for (i64 axis : integers(a, "axes")) from[at(axis)] = x[0].shape[at(axis)] - 1 - to[at(axis)];
  })};
}

std::vector<Sample> flip_samples() {
  std::vector<Sample> r;
  auto axes = [](std::vector<i64> v) { return Attrs{{"axes", std::move(v)}}; };
  for (DType d : every_dtype()) r.push_back(sample_of(d, {17}, 1, 0, 2, axes({0})));
  r.push_back(sample_of(DType::f32, {}, 1, 0, 2, axes({})));
  r.push_back(sample_of(DType::f32, {3, 33}, 1, 0, 2, axes({0, 1})));
  r.push_back(sample_of(DType::f32, {33, 3}, 1, 0, 2, axes({0})));
  r.push_back(sample_of(DType::f32, {0, 3}, 1, 0, 2, axes({0})));
  r.push_back(failing({{DType::f32, {2}, 0, 1, {}}}, "expected an axis from 0 to 0", axes({1})));
  return r;
}

OpDef flip_entry() {
  return {"flip",
          1,
          "Elements in reverse order along the axes.",
          {{{"x"}}, {{"axes", AttrKind::integers, {}}}},
          flip_type,
          Linear{1, flip_transpose},
          AxesFn{batch_axes<"flip">},
          Movement{flip_at},
          RefArrays{flip_ref},
          Pure{},
          flip_samples};
}

// ---------------------------------------------------------------- iota and dims

std::vector<Type> iota_type(Types, const Attrs& a) {
  check_extents("iota", shape_attr(a));
  check_axis("iota", a.get<i64>("axis"), static_cast<int>(shape_attr(a).size()));
  DType d = a.get<DType>("dtype");
  if (d == DType::boolean) fail("iota", "expected a number's dtype, got bool; compare the numbers instead");
  return {Type::tensor(d, shape_attr(a))};
}

loops::Val iota_at(Reader& reader, Types, Type result, const Attrs& a, Coords coords) {
  return reader.coordinate(coords[at(a.get<i64>("axis"))], result.dtype());
}

std::vector<Array> iota_ref(std::span<const Array>, const Attrs& a, Types results, const DimEnv& env) {
  Array y = empty_result(results[0], env);
  for_each_index(y.shape, [&](std::span<const i64> index, i64 place) {
    i64 v = index[at(a.get<i64>("axis"))];
    if (is_float(y.dtype))
      y.set(place, static_cast<double>(v));
    else
      y.set_int(place, v);
  });
  return {y};
}

std::vector<Sample> iota_samples() {
  std::vector<Sample> r;
  auto attrs = [](const Shape& s, i64 axis, DType d) { return Attrs{{"shape", s}, {"axis", axis}, {"dtype", d}}; };
  for (DType d : every_dtype())
    if (d != DType::boolean) r.push_back({{}, attrs({33}, 0, d), {}, 0});
  r.push_back({{}, attrs({17, 3}, 0, DType::i64), {}, 0});
  r.push_back({{}, attrs({3, 17}, 1, DType::f32), {}, 0});
  r.push_back({{}, attrs({0}, 0, DType::i32), {}, 0});
  r.push_back({{}, attrs({300}, 0, DType::i8), {}, 0});
  r.push_back(failing({}, "expected an axis from 0 to 0", attrs({3}, 1, DType::i32)));
  r.push_back(failing({}, "got bool", attrs({3}, 0, DType::boolean)));
  return r;
}

OpDef iota_entry() {
  return {"iota",
          1,
          "0, 1, 2 ... along the axis; integers wrap, floats are rounded.",
          {{}, {{"shape", AttrKind::dims, {}}, {"axis", AttrKind::integer, {}}, {"dtype", AttrKind::dtype, {}}}},
          iota_type,
          Zero{},
          AxesFn{no_lanes},
          Movement{iota_at},
          RefArrays{iota_ref},
          Pure{},
          iota_samples};
}

const Shape& dims_attr(const Attrs& a) { return a.get<Shape>("value"); }

std::vector<Type> dims_type(Types, const Attrs& a) {
  return {Type::tensor(DType::i64, {Dim(static_cast<i64>(dims_attr(a).size()))})};
}

loops::Val dims_at(Reader& reader, Types, Type, const Attrs& a, Coords coords) {
  const Shape& value = dims_attr(a);
  loops::Val r = reader.coordinate(value.empty() ? Dim(0) : value[0], DType::i64);
  for (size_t i = 1; i < value.size(); ++i) {
    auto k = static_cast<i64>(i);
    Reader::Limit here{coords[0], k, k + 1};
    loops::Val other = reader.coordinate(value[i], DType::i64);
    r = reader.choose({&here, 1}, other, r);
  }
  return r;
}

std::vector<Array> dims_ref(std::span<const Array>, const Attrs& a, Types results, const DimEnv& env) {
  Array y = empty_result(results[0], env);
  for (size_t i = 0; i < dims_attr(a).size(); ++i) y.set_int(static_cast<i64>(i), evaluate(dims_attr(a)[i], env));
  return {y};
}

OpDef dims_entry() {
  return {"dims",
          1,
          "Sizes as data: i64 [k] of k dims.",
          {{}, {{"value", AttrKind::dims, {}}}},
          dims_type,
          Zero{},
          AxesFn{no_lanes},
          Movement{dims_at},
          RefArrays{dims_ref},
          Pure{},
          [] {
            return std::vector<Sample>{{{}, {{"value", Shape{3}}}, {}, 0},
                                       {{}, {{"value", Shape{}}}, {}, 0},
                                       {{}, {{"value", Shape{-3, 5, 7, 1000000}}}, {}, 0}};
          }};
}

}  // namespace

std::span<const OpDef> shape_ops() {
  static const auto* table = new std::vector<OpDef>{reshape_entry(), broadcast_entry(), permute_entry(),
                                                    flip_entry(),    iota_entry(),      dims_entry()};
  return *table;
}

}  // namespace tn
