// Writing at places that data say. Places outside the axis are dropped; updates apply in the order of the indices, so
// that of equal places the last is set, and sums have fixed bits.
#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "op/families.h"
#include "op/index.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

namespace {

using Types = std::span<const Type>;

size_t at(i64 axis) { return static_cast<size_t>(axis); }
i64 axis_of(const Attrs& a) { return a.get<i64>("axis"); }
bool adds(const Attrs& a) { return a.get<std::string>("mode") == "add"; }

/// The shape of gather(x, indices, axis).
Shape updates_shape(std::span<const Dim> x, std::span<const Dim> indices, i64 axis) {
  Shape shape(x.begin(), x.end());
  shape.erase(shape.begin() + axis);
  shape.insert(shape.begin() + axis, indices.begin(), indices.end());
  return shape;
}

std::vector<Type> scatter_type(Types t, const Attrs& a) {
  i64 axis = axis_of(a);
  const auto& mode = a.get<std::string>("mode");
  if (mode != "set" && mode != "add") fail("scatter", "expected mode \"set\" or \"add\", got \"" + mode + "\"");
  check_axis("scatter", axis, t[0].rank());
  if (adds(a) && t[0].dtype() == DType::boolean) fail("scatter", "expected numbers to add, got " + to_string(t[0]));
  Type want = t[0].with(updates_shape(t[0].shape(), t[1].shape(), axis));
  if (t[2] != want)
    fail("scatter", "expected updates " + to_string(want) + " for " + to_string(t[0]) + " at " + to_string(t[1]) +
                        " along axis " + std::to_string(axis) + ", got " + to_string(t[2]));
  return {t[0]};
}

// ---------------------------------------------------------------- derivatives

/// Which updates are set last at their place: what the counts of updates, set at their places, give back.
Value winners(Value indices, Dim n) {
  Dim count = product(indices.shape());
  Builder& b = *indices.builder;
  Value flat = reshape(cast(indices, DType::i64), {count}), order = iota(b, {count}, 0, DType::i64);
  Value last = scatter(zeros(b, Type::tensor(DType::i64, {n})), flat, order, 0, "set");
  return reshape(equal(gather(last, clamped_places(flat, n), 0), order), shape_of(indices));
}

Value scatter_transpose(ValueSpan x, Value ct, int i, const Attrs& a, Types types) {
  i64 axis = axis_of(a);
  if (i == 0) return adds(a) ? ct : scatter(ct, x[1], zeros(*ct.builder, types[2]), axis, "set");
  Dim n = ct.shape()[at(axis)];
  if (n == Dim(0)) return zeros(*ct.builder, types[2]);
  Value counts = places_inside(x[1], n);
  if (!adds(a)) counts = logical_and(counts, winners(x[1], n));
  Value taken = gather(ct, x[1], axis);
  Value keep = broadcast(counts, shape_of(taken), axis_range(axis, axis + x[1].rank()));
  return select(keep, taken, zeros_like(taken));
}

/// With indices by lane the lanes' axis is joined with the axis and the places moved by lane.
Batched scatter_batch(Builder&, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  i64 axis = axis_of(a);
  const auto& mode = a.get<std::string>("mode");
  Value data = batched[0] ? x[0] : to_lanes(x[0], n), updates = batched[2] ? x[2] : to_lanes(x[2], n);
  if (!batched[1]) return all_batched({scatter(data, x[1], updates, axis + 1, mode)});
  data = move_axis(data, axis + 1, 1);
  Shape lanes = shape_of(data), rows = lanes;
  Dim m = lanes[1];
  rows.erase(rows.begin());
  rows[0] = n * m;
  i64 places = x[1].rank() - 1;
  std::vector<i64> order{0};
  for (i64 i : axis_range(1 + axis, 1 + axis + places)) order.push_back(i);
  for (i64 i : axis_range(1, 1 + axis)) order.push_back(i);
  for (i64 i : axis_range(1 + axis + places, updates.rank())) order.push_back(i);
  Value moved_places = lane_places(cast(x[1], DType::i64), m);
  Value flat = select(places_inside(x[1], m), moved_places, constant_like(moved_places, -1));
  Value y = scatter(reshape(data, rows), flat, permute(updates, order), 0, mode);
  return all_batched({move_axis(reshape(y, lanes), 1, axis + 1)});
}

// ---------------------------------------------------------------- kernel

/// x as [outer, n, inner], updates as [outer, places, inner].
struct Layout {
  i64 outer = 1, n = 1, inner = 1;
  Scratch<i64> places;
  Layout(const Array& x, const Array& indices, size_t axis) : places(at(indices.size())) {
    std::span<i64> to = places.span();
    if (indices.dtype == DType::i64)
      std::copy_n(indices.data<i64>(), to.size(), to.begin());
    else
      for (size_t i = 0; i < to.size(); ++i) to[i] = indices.get_int(static_cast<i64>(i));
    for (size_t i = 0; i < x.shape.size(); ++i) (i < axis ? outer : i == axis ? n : inner) *= x.shape[i];
  }
  /// f(row of x, row of updates) in order.
  template <class F>
  void rows(F f) const {
    std::span<const i64> list = places.span();
    auto count = static_cast<i64>(list.size());
    for (i64 o = 0; o < outer; ++o)
      for (i64 k = 0; k < count; ++k)
        if (i64 place = list[at(k)]; place >= 0 && place < n) f(o * n + place, o * count + k);
  }
};

template <class T>
void add_rows(const Layout& layout, T* y, const T* updates) {
  i64 inner = layout.inner;
  layout.rows([=](i64 to, i64 from) {
    T* __restrict out = y + to * inner;
    const T* __restrict in = updates + from * inner;
    for (i64 i = 0; i < inner; ++i) {
      if constexpr (std::is_floating_point_v<T>)
        out[i] += in[i];
      else
        out[i] = static_cast<T>(static_cast<u64>(out[i]) + static_cast<u64>(in[i]));
    }
  });
}

/// Sums of 16-bit floats are taken in f32 and rounded once.
void add_narrow_rows(const Layout& layout, const Array& y, const Array& updates) {
  Scratch<float> room(at(y.size()));
  std::span<float> sums = room.span();
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<float>(y.get(static_cast<i64>(i)));
  layout.rows([&](i64 to, i64 from) {
    for (i64 i = 0; i < layout.inner; ++i)
      sums[at(to * layout.inner + i)] += static_cast<float>(updates.get(from * layout.inner + i));
  });
  for (size_t i = 0; i < sums.size(); ++i) y.set(static_cast<i64>(i), static_cast<double>(sums[i]));
}

void add_updates(const Layout& layout, const Array& y, const Array& updates) {
  switch (y.dtype) {
    case DType::f64: return add_rows(layout, y.data<double>(), updates.data<double>());
    case DType::f32: return add_rows(layout, y.data<float>(), updates.data<float>());
    case DType::f16:
    case DType::bf16: return add_narrow_rows(layout, y, updates);
    case DType::i64: return add_rows(layout, y.data<i64>(), updates.data<i64>());
    case DType::i32: return add_rows(layout, y.data<i32>(), updates.data<i32>());
    case DType::u32: return add_rows(layout, y.data<u32>(), updates.data<u32>());
    default: return add_rows(layout, y.data<u8>(), updates.data<u8>());  // i8 wraps as u8 does
  }
}

void scatter_run(std::span<const Array> x, std::span<Array> results, const Attrs& a) {
  const Array &y = results[0], &updates = x[2];
  if (y.nbytes() && y.bytes_begin() != x[0].bytes_begin()) std::memcpy(y.bytes_begin(), x[0].bytes_begin(), y.nbytes());
  Layout layout(x[0], x[1], at(axis_of(a)));
  if (!layout.inner) return;
  if (adds(a)) return add_updates(layout, y, updates);
  size_t row = at(layout.inner) * at(bytes(y.dtype));
  layout.rows([&](i64 to, i64 from) {
    std::memcpy(y.bytes_begin() + at(to) * row, updates.bytes_begin() + at(from) * row, row);
  });
}

std::vector<Array> scatter_ref(std::span<const Array> x, const Attrs& a, Types, const DimEnv&) {
  Array y = copy_of(x[0]);
  size_t axis = at(axis_of(a)), rank = x[1].shape.size();
  std::vector<double> sums;
  for (i64 i = 0; i < y.size(); ++i) sums.push_back(is_float(y.dtype) ? y.get(i) : 0);
  for_each_index(x[2].shape, [&](std::span<const i64> from, i64 place) {
    std::vector<i64> to(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(axis));
    to.push_back(x[1].get_int(place_of(x[1].shape, from.subspan(axis, rank))));
    to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(axis + rank), from.end());
    i64 target = place_of(y.shape, to);
    if (target < 0) return;
    if (!adds(a))
      copy_element(y, target, x[2], place);
    else if (is_float(y.dtype))
      y.set(target, sums[at(target)] += x[2].get(place));
    else
      y.set_int(target, static_cast<i64>(static_cast<u64>(y.get_int(target)) + static_cast<u64>(x[2].get_int(place))));
  });
  return {y};
}

// ---------------------------------------------------------------- entry

std::vector<Sample> scatter_samples() {
  std::vector<Sample> r;
  auto with = [&](DType d, std::vector<i64> x, SampleOperand places, std::vector<i64> updates, i64 axis,
                  std::string mode) {
    Attrs attrs{{"axis", axis}, {"mode", std::move(mode)}};
    r.push_back({{{d, std::move(x), 0, 2, {}}, std::move(places), {d, std::move(updates), 0, 2, {}}}, attrs, {}, 0});
  };
  for (std::string mode : {"set", "add"}) {
    for (DType d : every_dtype())
      if (mode == "set" || d != DType::boolean) with(d, {17}, values_of(DType::i64, {3, 16, -1, 3, 17}), {5}, 0, mode);
    for (DType d : {DType::i32, DType::i8, DType::u32, DType::u8})
      with(DType::f32, {4, 33}, {d, {2, 2}, 0, 0, {3, 1, 1, 0}}, {2, 2, 33}, 0, mode);
    with(DType::f64, {3, 4, 5}, {DType::i64, {2, 3}, 0, 0, {0, 3, 2, 1, 1, 0}}, {3, 2, 3, 5}, 1, mode);
    with(DType::f32, {5, 2}, {DType::i64, {}, 0, 0, {4}}, {2}, 0, mode);
    with(DType::f32, {5, 2}, {DType::i64, {0}, 0, 1, {}}, {0, 2}, 0, mode);
    with(DType::f32, {0, 2}, {DType::i64, {1}, 0, 1, {}}, {1, 2}, 0, mode);
  }
  SampleOperand x{DType::f32, {3}, 0, 1, {}}, places{DType::i64, {2}, 0, 1, {}}, two{DType::f32, {2}, 0, 1, {}};
  Attrs set{{"axis", i64{0}}, {"mode", std::string("set")}};
  r.push_back(failing({x, places, x}, "expected updates f32[2] for f32[3] at i64[2] along axis 0", set));
  r.push_back(failing({x, places, two}, "expected mode", set.with("mode", std::string("max"))));
  r.push_back(failing({x, places, two}, "expected an axis from 0 to 0", set.with("axis", i64{1})));
  return r;
}

}  // namespace

std::span<const OpDef> scatter_ops() {
  static const auto* table = new std::vector<OpDef>{
      {"scatter",
       1,
       "x with `updates` (shaped as gather(x, indices, axis)) set or added at integer `indices` along the axis, in "
       "their order; places outside are dropped.",
       {{{"x"}, {"indices", Operands::integer}, {"updates"}},
        {{"axis", AttrKind::integer, {}}, {"mode", AttrKind::string, {}}},
        false},
       scatter_type,
       Linear{0b101, scatter_transpose},
       AxesFn{scatter_batch},
       Native{scatter_run},
       RefArrays{scatter_ref},
       Pure{},
       scatter_samples}};
  return *table;
}

}  // namespace tn
