// Reading at places that data say: gather, dynamic_slice, dynamic_update_slice, one_hot. Places are never outside:
// gather clamps them to the axis, dynamic slices are moved so that they fit.
#include "op/index.h"

#include <algorithm>

#include "ir/guard.h"
#include "ir/loops.h"
#include "op/families.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

// ---------------------------------------------------------------- places as values

namespace {

size_t at(i64 axis) { return static_cast<size_t>(axis); }

Value everywhere(Builder& b, Dim d, const Shape& shape) { return broadcast(dim_value(b, d, DType::i64), shape, {}); }

}  // namespace

Value clamped_places(Value places, Dim n) {
  Value p = cast(places, DType::i64);
  Value last = everywhere(*p.builder, n - Dim(1), shape_of(p));
  return maximum(minimum(p, last), zeros_like(p));
}

Value places_inside(Value places, Dim n) {
  Value p = cast(places, DType::i64);
  return logical_and(greater_equal(p, zeros_like(p)), less(p, everywhere(*p.builder, n, shape_of(p))));
}

Value lane_places(Value places, Dim n) {
  Value lane = iota(*places.builder, shape_of(places), 0, DType::i64);
  return add(mul(lane, everywhere(*places.builder, n, shape_of(places))), places);
}

namespace {

using Types = std::span<const Type>;
using Coords = std::span<const Dim>;

i64 axis_of(const Attrs& a) { return a.get<i64>("axis"); }

// ---------------------------------------------------------------- gather

std::vector<Type> gather_type(Types t, const Attrs& a) {
  i64 axis = axis_of(a);
  check_axis("gather", axis, t[0].rank());
  expect_nonnegative("gather", t[0].shape()[at(axis)] - min(t[1].size(), 1), [&] {
    return "expected at least one element along axis " + std::to_string(axis) + ", got " + to_string(t[0]);
  });
  Shape shape(t[0].shape().begin(), t[0].shape().end());
  shape.erase(shape.begin() + axis);
  shape.insert(shape.begin() + axis, t[1].shape().begin(), t[1].shape().end());
  return {t[0].with(shape)};
}

/// Whether a coordinate differs within a tile.
bool varies_in_tile(Coords coords) {
  for (Dim d : coords)
    for (Dim s : symbols_of(d))
      if (s == loops::row() || s == loops::lane()) return true;
  return false;
}

/// One place for the whole tile keeps the load contiguous; places by element make it a gather.
loops::Val gather_at(Reader& reader, Types operands, Type, const Attrs& a, Coords coords) {
  size_t axis = at(axis_of(a)), rank = operands[1].shape().size();
  Coords where = coords.subspan(axis, rank), after = coords.subspan(axis + rank);
  std::vector<Dim> source(coords.begin(), coords.begin() + static_cast<std::ptrdiff_t>(axis));
  bool by_element = varies_in_tile(where);
  source.push_back(by_element ? Dim(0) : reader.index(1, where, operands[0].shape()[axis]));
  source.insert(source.end(), after.begin(), after.end());
  if (!by_element) return reader.load(0, source);
  loops::Val places = reader.load(1, where);
  return reader.gather(0, source, static_cast<int>(axis), places);
}

Value gather_transpose(ValueSpan x, Value ct, int, const Attrs& a, Types types) {
  i64 axis = axis_of(a);
  Value places = clamped_places(x[1], types[0].shape()[at(axis)]);
  return scatter(zeros(*ct.builder, types[0]), places, ct, axis, "add");
}

/// With lanes on both sides the lanes' axes are joined into one and the places moved by lane.
Batched gather_batch(Builder&, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  i64 axis = axis_of(a);
  if (!batched[1]) return all_batched({gather(x[0], x[1], axis + 1)});
  if (!batched[0]) return all_batched({move_axis(gather(x[0], x[1], axis), axis, 0)});
  Value data = move_axis(x[0], axis + 1, 1);
  Shape rows = shape_of(data);
  Dim m = rows[1];
  rows.erase(rows.begin());
  rows[0] = n * m;
  Value y = gather(reshape(data, rows), lane_places(clamped_places(x[1], m), m), 0);
  i64 places = x[1].rank() - 1;
  std::vector<i64> order{0};
  for (i64 i : axis_range(1 + places, 1 + places + axis)) order.push_back(i);
  for (i64 i : axis_range(1, 1 + places)) order.push_back(i);
  for (i64 i : axis_range(1 + places + axis, y.rank())) order.push_back(i);
  return all_batched({permute(y, order)});
}

std::vector<Array> gather_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  size_t axis = at(axis_of(a)), rank = x[1].shape.size();
  return {moved(x[0], concrete(results[0].shape(), env), [&](std::span<const i64> to, std::span<i64> from) {
    i64 place = x[1].get_int(place_of(x[1].shape, to.subspan(axis, rank)));
    std::copy(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(axis), from.begin());
    from[axis] = std::clamp<i64>(place, 0, x[0].shape[axis] - 1);
    std::copy(to.begin() + static_cast<std::ptrdiff_t>(axis + rank), to.end(),
              from.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  })};
}

std::vector<Sample> gather_samples() {
  std::vector<Sample> r;
  auto with = [&](SampleOperand x, SampleOperand places, i64 axis) {
    r.push_back({{std::move(x), std::move(places)}, {{"axis", axis}}, {}, 0});
  };
  for (DType d : every_dtype()) with({d, {17}, 0, 2, {}}, {DType::i64, {5}, 0, 0, {3, 16, 0, 3, 7}}, 0);
  for (DType d : {DType::i32, DType::i8, DType::u32, DType::u8})
    with({DType::f32, {4, 33}, 0, 2, {}}, {d, {2, 2}, 0, 0, {3, 1, 1, 0}}, 0);
  with({DType::f32, {4, 33}, 0, 2, {}}, {DType::i64, {3}, 0, 0, {32, -5, 99}}, 1);
  with({DType::f64, {3, 4, 5}, 0, 2, {}}, {DType::i64, {2, 3}, 0, 0, {0, 3, 2, 1, 1, 0}}, 1);
  with({DType::f32, {5, 2}, 0, 2, {}}, {DType::i64, {}, 0, 0, {4}}, 0);
  with({DType::f32, {5, 2}, 0, 2, {}}, {DType::i64, {0}, 0, 1, {}}, 0);
  with({DType::f32, {5, 0}, 0, 2, {}}, {DType::i64, {2}, 0, 5, {}}, 0);
  SampleOperand x{DType::f32, {3}, 0, 1, {}}, none{DType::f32, {0}, 0, 1, {}}, one{DType::i64, {1}, 0, 1, {}};
  r.push_back(failing({x, one}, "expected an axis from 0 to 0", {{"axis", i64{1}}}));
  r.push_back(failing({none, one}, "expected at least one element along axis 0", {{"axis", i64{0}}}));
  r.push_back(failing({x, x}, "expected an integer dtype for operand 'indices'", {{"axis", i64{0}}}));
  return r;
}

OpDef gather_entry() {
  return {"gather",
          1,
          "x with the axis replaced by those of integer `indices`: the slices at those places, clamped to the axis.",
          {{{"x"}, {"indices", Operands::integer}}, {{"axis", AttrKind::integer, {}}}, false},
          gather_type,
          Linear{1, gather_transpose},
          AxesFn{gather_batch},
          Movement{gather_at},
          RefArrays{gather_ref},
          Pure{},
          gather_samples};
}

// ---------------------------------------------------------------- windows at places

void check_starts(std::string_view op, Type x, Type starts) {
  if (starts.rank() != 1 || starts.dim(0) != Dim(x.rank()))
    fail(op, "expected a start for each of the " + std::to_string(x.rank()) + " axes of " + to_string(x) + ", got " +
                 to_string(starts));
}

void check_fits(std::string_view op, Type x, Coords sizes) {
  if (sizes.size() != x.shape().size())
    fail(op, "expected a size for each of the " + std::to_string(x.rank()) + " axes of " + to_string(x) + ", got " +
                 std::to_string(sizes.size()));
  check_extents(op, sizes);
  for (size_t i = 0; i < sizes.size(); ++i)
    expect_nonnegative(op, x.shape()[i] - sizes[i], [&] {
      return "expected a window of at most " + to_string(x.shape()[i]) + " on axis " + std::to_string(i) + " of " +
             to_string(x) + ", got " + to_string(sizes[i]);
    });
}

/// Windows of `sizes` at starts [n, rank] in n arrays of `shape`: the arrays seen as rows, trailing axes that windows
/// cover joined, and the row of each part of each window.
struct WindowRows {
  Value rows;  // i64 [n * parts]
  Shape table, parts;
};

WindowRows window_rows(Value starts, Coords shape, Coords sizes) {
  size_t cut = sizes.size();
  while (cut > 0 && sizes[cut - 1] == shape[cut - 1]) --cut;
  Dim n = starts.shape()[0], rest = product(shape.subspan(cut));
  Shape lead = with_leading(n, sizes.first(cut));
  Builder& b = *starts.builder;
  Value row = iota(b, lead, 0, DType::i64);
  for (size_t i = 0; i < cut; ++i) {
    auto axis = static_cast<i64>(i);
    Value start = reshape(slice(starts, 1, axis, axis + 1), {n});
    Value first = broadcast(clamped_places(start, shape[i] - sizes[i] + Dim(1)), lead, {0});
    Value place = add(first, iota(b, lead, axis + 1, DType::i64));
    row = add(mul(row, everywhere(b, shape[i], lead)), place);
  }
  return {reshape(row, {product(lead)}), {n * product(shape.first(cut)), rest}, {product(lead), rest}};
}

/// A common window for all lanes: it starts at 0 on the lanes' axis.
Value with_lane_start(Value starts) {
  return concat(std::vector{zeros(*starts.builder, Type::tensor(starts.dtype(), {1})), starts}, 0);
}

Value dynamic_slice(Value x, Value starts, Coords sizes) {
  static const OpDef& o = op("dynamic_slice");
  return x.builder->emit1(o, {x, starts}, {{"sizes", Shape(sizes.begin(), sizes.end())}});
}

Value dynamic_update_slice(Value x, Value update, Value starts) {
  static const OpDef& o = op("dynamic_update_slice");
  return x.builder->emit1(o, {x, update, starts});
}

std::vector<i64> clamped_starts(const Array& starts, std::span<const i64> shape, std::span<const i64> sizes) {
  std::vector<i64> r;
  for (size_t i = 0; i < shape.size(); ++i)
    r.push_back(std::clamp<i64>(starts.get_int(static_cast<i64>(i)), 0, shape[i] - sizes[i]));
  return r;
}

// ---------------------------------------------------------------- dynamic_slice

const Shape& sizes_of(const Attrs& a) { return a.get<Shape>("sizes"); }

std::vector<Type> dynamic_slice_type(Types t, const Attrs& a) {
  check_starts("dynamic_slice", t[0], t[1]);
  check_fits("dynamic_slice", t[0], sizes_of(a));
  return {t[0].with(sizes_of(a))};
}

loops::Val dynamic_slice_at(Reader& reader, Types operands, Type result, const Attrs&, Coords coords) {
  std::vector<Dim> source(coords.begin(), coords.end());
  for (size_t i = 0; i < coords.size(); ++i) {
    Dim extent = operands[0].shape()[i], size = result.shape()[i], axis = static_cast<i64>(i);
    if (extent != size) source[i] = coords[i] + reader.index(1, {&axis, 1}, extent - size + Dim(1));
  }
  return reader.load(0, source);
}

Value dynamic_slice_transpose(ValueSpan x, Value ct, int, const Attrs&, Types types) {
  return dynamic_update_slice(zeros(*ct.builder, types[0]), ct, x[1]);
}

Batched dynamic_slice_batch(Builder&, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  if (!batched[1]) return all_batched({dynamic_slice(x[0], with_lane_start(x[1]), with_leading(n, sizes_of(a)))});
  Value all = batched[0] ? x[0] : to_lanes(x[0], n);
  WindowRows w = window_rows(x[1], all.shape().subspan(1), sizes_of(a));
  return all_batched({reshape(gather(reshape(all, w.table), w.rows, 0), with_leading(n, sizes_of(a)))});
}

std::vector<Array> dynamic_slice_ref(std::span<const Array> x, const Attrs&, Types results, const DimEnv& env) {
  std::vector<i64> sizes = concrete(results[0].shape(), env), starts = clamped_starts(x[1], x[0].shape, sizes);
  return {moved(x[0], sizes, [&](std::span<const i64> to, std::span<i64> from) {
    for (size_t i = 0; i < to.size(); ++i) from[i] = starts[i] + to[i];
  })};
}

std::vector<Sample> dynamic_slice_samples() {
  std::vector<Sample> r;
  auto with = [&](SampleOperand x, DType d, std::vector<double> starts, const Shape& sizes) {
    SampleOperand s = values_of(d, std::move(starts));
    r.push_back({{std::move(x), s}, {{"sizes", sizes}}, {}, 0});
  };
  for (DType d : every_dtype()) with({d, {17}, 0, 2, {}}, DType::i64, {3}, {5});
  with({DType::f32, {4, 33}, 0, 2, {}}, DType::i32, {1, 7}, {2, 17});
  with({DType::f32, {4, 33}, 0, 2, {}}, DType::i64, {9, -3}, {2, 33});
  with({DType::f64, {3, 4, 5}, 0, 2, {}}, DType::i64, {1, 2, 3}, {1, 2, 2});
  with({DType::f32, {}, 0, 2, {}}, DType::i64, {}, {});
  with({DType::f32, {4}, 0, 2, {}}, DType::i64, {2}, {0});
  SampleOperand x{DType::f32, {4}, 0, 1, {}}, s = values_of(DType::i64, {0}), two = values_of(DType::i64, {0, 0});
  r.push_back(failing({x, s}, "expected a window of at most 4 on axis 0 of f32[4], got 5", {{"sizes", Shape{5}}}));
  r.push_back(failing({x, two}, "expected a start for each of the 1 axes", {{"sizes", Shape{2}}}));
  r.push_back(failing({x, s}, "expected a size for each of the 1 axes", {{"sizes", Shape{}}}));
  return r;
}

OpDef dynamic_slice_entry() {
  return {"dynamic_slice",
          1,
          "The window of `sizes` of x at integer `starts` [rank], each clamped so that the window fits.",
          {{{"x"}, {"starts", Operands::integer}}, {{"sizes", AttrKind::dims, {}}}, false},
          dynamic_slice_type,
          Linear{1, dynamic_slice_transpose},
          AxesFn{dynamic_slice_batch},
          Movement{dynamic_slice_at},
          RefArrays{dynamic_slice_ref},
          Pure{},
          dynamic_slice_samples};
}

// ---------------------------------------------------------------- dynamic_update_slice

std::vector<Type> dynamic_update_slice_type(Types t, const Attrs&) {
  if (t[0].dtype() != t[1].dtype())
    fail("dynamic_update_slice",
         "expected equal dtypes, got " + to_string(t[0]) + " and " + to_string(t[1]) + "; use cast");
  check_starts("dynamic_update_slice", t[0], t[2]);
  check_fits("dynamic_update_slice", t[0], t[1].shape());
  return {t[0]};
}

loops::Val dynamic_update_slice_at(Reader& reader, Types operands, Type, const Attrs&, Coords coords) {
  std::vector<Dim> local(coords.begin(), coords.end());
  std::vector<Reader::Limit> inside;
  for (size_t i = 0; i < coords.size(); ++i) {
    Dim extent = operands[0].shape()[i], size = operands[1].shape()[i], axis = static_cast<i64>(i);
    if (extent == size) continue;
    local[i] = coords[i] - reader.index(2, {&axis, 1}, extent - size + Dim(1));
    inside.push_back({local[i], 0, size});
  }
  if (inside.empty()) return reader.load(1, local);
  loops::Val update = reader.load_where(1, local, inside, 0);
  loops::Val old = reader.load(0, coords);
  return reader.choose(inside, update, old);
}

Value dynamic_update_slice_transpose(ValueSpan x, Value ct, int i, const Attrs&, Types types) {
  if (i == 0) return dynamic_update_slice(ct, zeros(*ct.builder, types[1]), x[2]);
  return dynamic_slice(ct, x[2], types[1].shape());
}

Batched dynamic_update_slice_batch(Builder&, Dim n, ValueSpan x, const Mask& batched, const Attrs&) {
  Value all = batched[0] ? x[0] : to_lanes(x[0], n), update = batched[1] ? x[1] : to_lanes(x[1], n);
  if (!batched[2]) return all_batched({dynamic_update_slice(all, update, with_lane_start(x[2]))});
  WindowRows w = window_rows(x[2], all.shape().subspan(1), update.shape().subspan(1));
  Value y = scatter(reshape(all, w.table), w.rows, reshape(update, w.parts), 0, "set");
  return all_batched({reshape(y, shape_of(all))});
}

std::vector<Array> dynamic_update_slice_ref(std::span<const Array> x, const Attrs&, Types, const DimEnv&) {
  Array y = copy_of(x[0]);
  std::vector<i64> starts = clamped_starts(x[2], x[0].shape, x[1].shape), to(starts.size());
  for_each_index(x[1].shape, [&](std::span<const i64> index, i64 place) {
    for (size_t i = 0; i < to.size(); ++i) to[i] = starts[i] + index[i];
    copy_element(y, place_of(y.shape, to), x[1], place);
  });
  return {y};
}

std::vector<Sample> dynamic_update_slice_samples() {
  std::vector<Sample> r;
  auto with = [&](DType d, std::vector<i64> x, std::vector<i64> update, std::vector<double> starts) {
    r.push_back(
        {{{d, std::move(x), 0, 2, {}}, {d, std::move(update), 0, 2, {}}, values_of(DType::i64, std::move(starts))},
         {},
         {},
         0});
  };
  for (DType d : every_dtype()) with(d, {17}, {5}, {3});
  with(DType::f32, {4, 33}, {2, 17}, {1, 7});
  with(DType::f32, {4, 33}, {2, 33}, {9, -3});
  with(DType::f64, {3, 4, 5}, {1, 2, 2}, {1, 2, 3});
  with(DType::f32, {}, {}, {});
  with(DType::f32, {4}, {0}, {2});
  SampleOperand x{DType::f32, {4}, 0, 1, {}}, five{DType::f32, {5}, 0, 1, {}}, wide{DType::f64, {2}, 0, 1, {}};
  SampleOperand s = values_of(DType::i64, {0});
  r.push_back(failing({x, five, s}, "expected a window of at most 4 on axis 0 of f32[4], got 5"));
  r.push_back(failing({x, wide, s}, "expected equal dtypes"));
  r.push_back(failing({x, x, values_of(DType::i64, {0, 0})}, "expected a start for each of the 1 axes"));
  return r;
}

OpDef dynamic_update_slice_entry() {
  return {"dynamic_update_slice",
          1,
          "x with the window at integer `starts` [rank] replaced by `update`; starts are clamped so that it fits.",
          {{{"x"}, {"update"}, {"starts", Operands::integer}}, {}, false},
          dynamic_update_slice_type,
          Linear{3, dynamic_update_slice_transpose},
          AxesFn{dynamic_update_slice_batch},
          Movement{dynamic_update_slice_at},
          RefArrays{dynamic_update_slice_ref},
          Pure{},
          dynamic_update_slice_samples};
}

// ---------------------------------------------------------------- one_hot

std::vector<Type> one_hot_type(Types t, const Attrs& a) {
  i64 size = a.get<i64>("size");
  if (size < 0) fail("one_hot", "expected a size of at least 0, got " + std::to_string(size));
  Shape shape(t[0].shape().begin(), t[0].shape().end());
  shape.push_back(size);
  return {Type::tensor(a.get<DType>("dtype"), shape)};
}

Values one_hot_expand(Builder& b, ValueSpan x, const Attrs& a) {
  Shape shape = shape_of(x[0]);
  shape.push_back(a.get<i64>("size"));
  Value places = broadcast(cast(x[0], DType::i64), shape, axis_range(0, x[0].rank()));
  Value hit = equal(places, iota(b, shape, x[0].rank(), DType::i64));
  return {cast(hit, a.get<DType>("dtype"))};
}

std::vector<Sample> one_hot_samples() {
  std::vector<Sample> r;
  for (DType d : every_dtype())
    r.push_back({{values_of(DType::i64, {0, 3, 16, 17, -1})}, {{"size", i64{17}}, {"dtype", d}}, {}, 0});
  r.push_back({{{DType::u8, {2, 3}, 0, 5, {}}}, {{"size", i64{5}}, {"dtype", DType::f32}}, {}, 0});
  r.push_back({{{DType::i32, {}, 0, 0, {2}}}, {{"size", i64{3}}, {"dtype", DType::f32}}, {}, 0});
  for (const std::vector<i64>& shape : {std::vector<i64>{33}, {0, 2}})
    r.push_back({{{DType::i64, shape, 0, 5, {}}}, {{"size", i64{5}}, {"dtype", DType::f32}}, {}, 0});
  r.push_back({{{DType::i64, {2}, 0, 5, {}}}, {{"size", i64{0}}, {"dtype", DType::f32}}, {}, 0});
  r.push_back(failing({values_of(DType::i64, {0})}, "expected a size of at least 0",
                      {{"size", i64{-1}}, {"dtype", DType::f32}}));
  return r;
}

OpDef one_hot_entry() {
  return {"one_hot",
          1,
          "1 at the index on a new last axis of extent `size`, else 0; all 0 where the index is outside.",
          {{{"indices", Operands::integer}}, {{"size", AttrKind::integer, {}}, {"dtype", AttrKind::dtype, {}}}},
          one_hot_type,
          Zero{},
          ByExpansion{},
          Expand{one_hot_expand},
          RefNone{},
          Pure{},
          one_hot_samples};
}

}  // namespace

std::span<const OpDef> index_ops() {
  static const auto* table =
      new std::vector<OpDef>{gather_entry(), dynamic_slice_entry(), dynamic_update_slice_entry(), one_hot_entry()};
  return *table;
}

}  // namespace tn
