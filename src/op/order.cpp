// Ops along one axis that depend on its order: the greatest element's place, running sums, sorting. NaN counts as
// greater than every number.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <numeric>

#include "op/emit.h"
#include "op/families.h"
#include "op/rules.h"
#include "op/sort_kernel.h"

namespace tn {

namespace {

size_t axis_of(const Attrs& a) { return static_cast<size_t>(a.get<i64>("axis")); }

/// The elements along an axis of a row-major array: `rows` lines of n elements, `stride` apart.
struct Lines {
  i64 n = 1, stride = 1, outer = 1;
  Lines(const Array& x, size_t axis) : n(x.shape[axis]) {
    for (size_t i = axis + 1; i < x.shape.size(); ++i) stride *= x.shape[i];
    for (size_t i = 0; i < axis; ++i) outer *= x.shape[i];
  }
  i64 count() const { return outer * stride; }
  i64 start(i64 line) const { return line / stride * n * stride + line % stride; }
  i64 at(i64 line, i64 k) const { return start(line) + k * stride; }
};

// ---------------------------------------------------------------- argmax

std::vector<Type> argmax_type(std::span<const Type> t, const Attrs& a) {
  check_axis("argmax", a.get<i64>("axis"), t[0].rank());
  Shape kept(t[0].shape().begin(), t[0].shape().end());
  if (kept[axis_of(a)] == Dim(0))
    fail("argmax", "expected at least one element along axis " + std::to_string(axis_of(a)) + ", got " +
                       to_string(t[0]) + ", which has none to choose from");
  kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(axis_of(a)));
  return {Type::tensor(DType::i64, kept)};
}

std::vector<Array> argmax_ref(std::span<const Array> x, const Attrs& a, std::span<const Type>, const DimEnv&) {
  Lines lines(x[0], axis_of(a));
  std::vector<i64> shape = x[0].shape;
  shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis_of(a)));
  Array y = Array::empty(DType::i64, shape);
  bool floating = is_float(x[0].dtype);
  for (i64 line = 0; line < lines.count(); ++line) {
    i64 best = 0;
    for (i64 k = 1; k < lines.n; ++k) {
      i64 here = lines.at(line, k), top = lines.at(line, best);
      bool greater = floating ? !std::isnan(x[0].get(top)) && !(x[0].get(here) <= x[0].get(top))
                              : x[0].get_int(here) > x[0].get_int(top);
      if (greater) best = k;
    }
    y.set_int(line, best);
  }
  return {y};
}

std::vector<Sample> along_axis(std::initializer_list<DType> dtypes, bool empties, const Attrs& attrs = {}) {
  std::vector<Sample> r;
  auto with = [&](i64 axis) { return attrs.with("axis", axis); };
  for (DType d : dtypes) {
    r.push_back(sample_of(d, {33}, 1, 0, 5, with(0)));
    r.push_back(sample_of(d, {17, 3}, 1, 0, 5, with(0)));
    r.push_back(sample_of(d, {2, 3, 17}, 1, -2, 3, with(2)));
    r.push_back(sample_of(d, {2, 5, 3}, 1, -2, 3, with(1)));
  }
  DType d = *dtypes.begin();
  r.push_back(sample_of(d, {0, 3}, 1, 0, 1, with(1)));
  if (empties) r.push_back(sample_of(d, {3, 0}, 1, 0, 1, with(1)));
  r.push_back(sample_of(d, {1, 1025}, 1, -2, 2, with(1)));
  for (DType f : {DType::f64, DType::f32})
    r.push_back({{values_of(f, {1, NAN, INFINITY, -INFINITY, NAN, 0.0, -0.0, 2})}, with(0), {}, 0});
  r.push_back(failing({values_of(d, {1})}, "expected an axis from 0 to 0, got 1", with(1)));
  return r;
}

std::vector<Sample> argmax_samples() {
  std::vector<Sample> r = along_axis({DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32,
                                      DType::i8, DType::u32, DType::u8, DType::boolean},
                                     false);
  SampleOperand empty{DType::f32, {3, 0}, 0, 1, {}};
  r.push_back(failing({empty}, "expected at least one element along axis 1", {{"axis", i64{1}}}));
  return r;
}

// ---------------------------------------------------------------- cumsum

template <Name kOp>
std::vector<Type> along_type(std::span<const Type> t, const Attrs& a) {
  check_axis(kOp, a.get<i64>("axis"), t[0].rank());
  return {t[0]};
}

Value cumsum_transpose(ValueSpan, Value ct, int, const Attrs& a, std::span<const Type>) {
  return cumsum(ct, a.get<i64>("axis"), true);
}

std::vector<Array> cumsum_ref(std::span<const Array> x, const Attrs& a, std::span<const Type>, const DimEnv&) {
  Lines lines(x[0], axis_of(a));
  Array y = Array::empty(x[0].dtype, x[0].shape);
  for (i64 line = 0; line < lines.count(); ++line) {
    double sum = 0;
    u64 whole = 0;
    for (i64 k = 0; k < lines.n; ++k) {
      i64 at = lines.at(line, k);
      if (is_float(x[0].dtype))
        y.set(at, sum += x[0].get(at));
      else
        y.set_int(at, static_cast<i64>(whole += static_cast<u64>(x[0].get_int(at))));
    }
  }
  return {y};
}

std::vector<Sample> cumsum_samples() {
  return along_axis(
      {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::i8, DType::u32, DType::u8},
      true);
}

// ---------------------------------------------------------------- sort

std::vector<Type> sort_type(std::span<const Type> t, const Attrs& a) {
  check_axis("sort", a.get<i64>("axis"), t[0].rank());
  return {t[0], t[0].with(DType::i64)};
}

template <class Key>
bool is_nan(Key k) {
  if constexpr (std::floating_point<Key>)
    return std::isnan(k);
  else
    return false;
}

/// Sorts the places of a line's keys.
template <class Key>
void order(std::span<const Key> keys, std::vector<i64>& places, bool descending) {
  std::iota(places.begin(), places.end(), 0);
  auto key = [&](i64 i) { return keys[static_cast<size_t>(i)]; };
  std::stable_sort(places.begin(), places.end(), [&](i64 i, i64 j) {
    if (is_nan(key(i)) || is_nan(key(j))) return !is_nan(key(i));
    return descending ? key(j) < key(i) : key(i) < key(j);
  });
}

void sort_run(std::span<const Array> x, std::span<Array> results, const Attrs& a) {
  sort_along(x[0], axis_of(a), a.get<bool>("descending"), results[0], results[1]);
}

/// By comparing.
void compare_sort(std::span<const Array> x, std::span<Array> results, const Attrs& a) {
  Lines lines(x[0], axis_of(a));
  bool descending = a.get<bool>("descending"), floating = is_float(x[0].dtype);
  auto n = static_cast<size_t>(lines.n);
  std::vector<double> keys(floating ? n : 0);
  std::vector<i64> whole(floating ? 0 : n), places(n);
  for (i64 line = 0; line < lines.count(); ++line) {
    for (size_t k = 0; k < n; ++k) {
      i64 at = lines.at(line, static_cast<i64>(k));
      if (floating)
        keys[k] = x[0].get(at);
      else
        whole[k] = x[0].get_int(at);
    }
    if (floating)
      order<double>(keys, places, descending);
    else
      order<i64>(whole, places, descending);
    for (size_t k = 0; k < n; ++k) {
      i64 at = lines.at(line, static_cast<i64>(k));
      auto from = static_cast<size_t>(places[k]);
      if (floating)
        results[0].set(at, keys[from]);
      else
        results[0].set_int(at, whole[from]);
      results[1].set_int(at, places[k]);
    }
  }
}

std::vector<Array> sort_ref(std::span<const Array> x, const Attrs& a, std::span<const Type>, const DimEnv&) {
  std::vector<Array> r{Array::empty(x[0].dtype, x[0].shape), Array::empty(DType::i64, x[0].shape)};
  compare_sort(x, r, a);
  return r;
}

/// The elements of v at `indices` along the axis (both of one shape), by one gather from the flat array.
Value take_along(Value v, Value indices, i64 axis) {
  Value last = move_axis(v, axis, v.rank() - 1), at = move_axis(indices, axis, v.rank() - 1);
  Shape shape = shape_of(last);
  Dim n = shape.back(), rows = product(std::span(shape).first(shape.size() - 1));
  Builder& b = *v.builder;
  Value row = iota(b, {rows, n}, 0, DType::i64);
  Value flat = add(mul(row, broadcast(dim_value(b, n, DType::i64), {rows, n}, {})), reshape(at, {rows, n}));
  Value taken = gather(reshape(last, {rows * n}), reshape(flat, {rows * n}), 0);
  return move_axis(reshape(taken, shape), v.rank() - 1, axis);
}

Values sort_tangent(Builder&, ValueSpan, ValueSpan y, ValueSpan t, const Attrs& a) {
  return {take_along(t[0], y[1], a.get<i64>("axis")), Value()};
}

std::vector<Sample> sort_samples() {
  auto all = {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64,
              DType::i32, DType::i8,  DType::u32, DType::u8,   DType::boolean};
  std::vector<Sample> r = joined({along_axis(all, true), along_axis({DType::f32}, true, {{"descending", true}})});
  for (bool descending : {false, true}) {  // lines long enough for the other way of sorting, with many equal ones
    Attrs attrs{{"axis", i64{0}}, {"descending", descending}};
    for (DType d : all) r.push_back(sample_of(d, {700}, 1, is_signed(d) ? -100 : 0, 100, attrs));
    for (DType d : {DType::f64, DType::f32, DType::f16}) {
      std::vector<double> v;
      for (int i = 0; i < 40; ++i)
        for (double special : special_floats()) v.push_back(special);
      r.push_back({{values_of(d, v)}, attrs, {}, 0});
    }
  }
  return r;
}

std::vector<OpDef> entries() {
  AttrSpec axis{"axis", AttrKind::integer, {}};
  return {
      {"argmax",
       1,
       "i64 place of the first greatest along `axis`, which is dropped; NaN counts as greatest. The axis must not be "
       "empty.",
       {{{"x"}}, {axis}},
       argmax_type,
       Zero{},
       AxesFn{batch_axis<"argmax">},
       ArgReduction{true},
       RefArrays{argmax_ref},
       Pure{},
       argmax_samples},
      {"cumsum",
       1,
       "Sums of the elements up to each along `axis`, itself included.",
       {{{"x", Operands::numeric}}, {axis}},
       along_type<"cumsum">,
       Linear{1, cumsum_transpose},
       AxesFn{batch_axis<"cumsum">},
       Prefix{"add"},
       RefArrays{cumsum_ref},
       Pure{},
       cumsum_samples},
      {"sort",
       1,
       "The elements in order along `axis`, and the i64 places they come from. Stable; NaN last in either direction.",
       {{{"x"}}, {axis, {"descending", AttrKind::boolean, Attr(false)}}},
       sort_type,
       Jvp{sort_tangent},
       AxesFn{batch_axis<"sort">},
       Native{sort_run},
       RefArrays{sort_ref},
       Pure{},
       sort_samples},
  };
}

}  // namespace

std::span<const OpDef> order_ops() {
  static const auto* table = new std::vector<OpDef>(entries());
  return *table;
}

}  // namespace tn
