// Ops that take arrays apart and put them together: concat, slice, pad.
#include <algorithm>
#include <cmath>

#include "ir/guard.h"
#include "op/emit.h"
#include "op/families.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

namespace {

using Types = std::span<const Type>;
using Coords = std::span<const Dim>;

size_t at(i64 axis) { return static_cast<size_t>(axis); }
i64 axis_of(const Attrs& a) { return a.get<i64>("axis"); }

// ---------------------------------------------------------------- concat

std::vector<Type> concat_type(Types t, const Attrs& a) {
  if (t.empty()) fail("concat", "expected at least one operand, got none");
  i64 axis = axis_of(a);
  check_axis("concat", axis, t[0].rank());
  Dim extent = 0;
  for (size_t k = 0; k < t.size(); ++k) {
    if (t[k].rank() != t[0].rank()) fail("concat", "expected equal ranks, got " + difference(t[0], t[k]));
    for (int i = 0; i < t[0].rank(); ++i)
      if (i != axis && t[k].dim(i) != t[0].dim(i))
        fail("concat", "expected equal extents on every axis but " + std::to_string(axis) + ", got " + to_string(t[k]) +
                           " for operand " + std::to_string(k) + " and " + to_string(t[0]) +
                           " for operand 0, which differ on axis " + std::to_string(i) + "; slice or pad one of them");
    extent = extent + t[k].dim(static_cast<int>(axis));
  }
  Shape shape(t[0].shape().begin(), t[0].shape().end());
  shape[at(axis)] = extent;
  return {t[0].with(shape)};
}

loops::Val concat_at(Reader& reader, Types operands, Type, const Attrs& a, Coords coords) {
  size_t axis = at(axis_of(a));
  std::vector<Dim> source(coords.begin(), coords.end());
  Dim offset = 0;
  loops::Val r = -1;
  for (size_t k = 0; k < operands.size(); ++k) {
    Dim extent = operands[k].shape()[axis];
    if (extent == Dim(0)) continue;
    source[axis] = coords[axis] - offset;
    Reader::Limit here{source[axis], 0, extent};
    loops::Val part = reader.load_where(static_cast<int>(k), source, {&here, 1}, 0);
    r = r < 0 ? part : reader.choose({&here, 1}, part, r);
    offset = offset + extent;
  }
  return r < 0 ? reader.load(0, coords) : r;
}

Value concat_transpose(ValueSpan, Value ct, int i, const Attrs& a, Types types) {
  int axis = static_cast<int>(axis_of(a));
  Dim offset = 0;
  for (int k = 0; k < i; ++k) offset = offset + types[at(k)].dim(axis);
  return slice(ct, axis, offset, offset + types[at(i)].dim(axis));
}

Batched concat_batch(Builder&, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  return all_batched({concat(all_to_lanes(x, batched, n), axis_of(a) + 1)});
}

std::vector<Array> concat_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  Array y = empty_result(results[0], env);
  size_t axis = at(axis_of(a));
  i64 offset = 0;
  for (const Array& part : x) {
    std::vector<i64> to(y.shape.size());
    for_each_index(part.shape, [&](std::span<const i64> index, i64 place) {
      std::copy(index.begin(), index.end(), to.begin());
      to[axis] += offset;
      copy_element(y, place_of(y.shape, to), part, place);
    });
    offset += part.shape[axis];
  }
  return {y};
}

std::vector<Sample> concat_samples() {
  std::vector<Sample> r;
  auto with = [&](DType d, std::initializer_list<std::vector<i64>> shapes, i64 axis) {
    Sample s;
    for (const auto& shape : shapes) s.operands.push_back({d, shape, 0, 2, {}});
    s.attrs = {{"axis", axis}};
    r.push_back(s);
  };
  for (DType d : every_dtype()) with(d, {{17}, {5}}, 0);
  with(DType::f32, {{3, 33}, {2, 33}}, 0);
  with(DType::f32, {{3, 4}, {3, 0}, {3, 33}, {3, 1}}, 1);
  with(DType::f64, {{2, 3}}, 1);
  with(DType::f32, {{0, 3}, {0, 2}}, 1);
  with(DType::f32, {{0}, {0}}, 0);
  SampleOperand a{DType::f32, {2, 3}, 0, 1, {}}, b{DType::f32, {3, 3}, 0, 1, {}}, c{DType::f32, {2}, 0, 1, {}};
  r.push_back(failing({a, b}, "for operand 0, which differ on axis 0", {{"axis", i64{1}}}));
  r.push_back(failing({a, c}, "expected equal ranks", {{"axis", i64{0}}}));
  r.push_back(failing({a}, "expected an axis from 0 to 1", {{"axis", i64{2}}}));
  r.push_back(failing({}, "expected at least one operand", {{"axis", i64{0}}}));
  return r;
}

OpDef concat_entry() {
  return {"concat",
          1,
          "Operands one after another along an axis; other extents are equal.",
          {{{"parts", Operands::any, true}}, {{"axis", AttrKind::integer, {}}}},
          concat_type,
          Linear{~0u, concat_transpose},
          AxesFn{concat_batch},
          Movement{concat_at},
          RefArrays{concat_ref},
          Pure{},
          concat_samples};
}

// ---------------------------------------------------------------- slice

struct SliceAttrs {
  const Shape& starts;
  const Shape& limits;
  const std::vector<i64>& strides;
  explicit SliceAttrs(const Attrs& a)
      : starts(a.get<Shape>("starts")), limits(a.get<Shape>("limits")), strides(a.get<std::vector<i64>>("strides")) {}
};

std::vector<Type> slice_type(Types t, const Attrs& attrs) {
  SliceAttrs s(attrs);
  size_t rank = t[0].shape().size();
  if (s.starts.size() != rank || s.limits.size() != rank || s.strides.size() != rank)
    fail("slice", "expected a start, limit and stride for each of the " + std::to_string(rank) + " axes of " +
                      to_string(t[0]) + ", got " + std::to_string(s.starts.size()) + ", " +
                      std::to_string(s.limits.size()) + " and " + std::to_string(s.strides.size()));
  Shape shape;
  for (size_t i = 0; i < rank; ++i) {
    Dim extent = t[0].shape()[i];
    std::string axis = " on axis " + std::to_string(i);
    if (s.strides[i] < 1)
      fail("slice", "expected a stride of at least 1" + axis + ", got " + std::to_string(s.strides[i]) + "; use flip");
    for (Dim room : {s.starts[i], s.limits[i] - s.starts[i], extent - s.limits[i]})
      expect_nonnegative("slice", room, [&] {
        return "expected 0 <= start <= limit <= " + to_string(extent) + axis + ", got " + to_string(s.starts[i]) +
               " and " + to_string(s.limits[i]);
      });
    shape.push_back(ceildiv(s.limits[i] - s.starts[i], s.strides[i]));
  }
  return {t[0].with(shape)};
}

/// Where symbolic bounds are not proved to lie inside, places are clamped, so that nothing is read elsewhere.
loops::Val slice_at(Reader& reader, Types operands, Type, const Attrs& attrs, Coords coords) {
  SliceAttrs s(attrs);
  std::vector<Dim> source;
  for (size_t i = 0; i < coords.size(); ++i) {
    Dim extent = operands[0].shape()[i], place = s.starts[i] + coords[i] * Dim(s.strides[i]);
    if (!provably_nonnegative(extent - s.limits[i])) place = min(place, extent - Dim(1));
    if (!provably_nonnegative(s.starts[i])) place = max(place, 0);
    source.push_back(place);
  }
  return reader.load(0, source);
}

Value slice_transpose(ValueSpan, Value ct, int, const Attrs& attrs, Types types) {
  SliceAttrs s(attrs);
  Shape high;
  std::vector<i64> interior;
  for (size_t i = 0; i < s.starts.size(); ++i) {
    high.push_back(types[0].shape()[i] - s.starts[i] - ct.shape()[i] * Dim(s.strides[i]));
    interior.push_back(s.strides[i] - 1);
  }
  static const OpDef& pad_op = op("pad");
  return ct.builder->emit1(pad_op, {ct}, {{"low", s.starts}, {"high", high}, {"value", 0.0}, {"interior", interior}});
}

Batched slice_batch(Builder&, Dim n, ValueSpan x, const Mask&, const Attrs& attrs) {
  SliceAttrs s(attrs);
  std::vector<i64> strides = s.strides;
  strides.insert(strides.begin(), 1);
  return all_batched({slice(x[0], with_leading(0, s.starts), with_leading(n, s.limits), strides)});
}

std::vector<Array> slice_ref(std::span<const Array> x, const Attrs& attrs, Types results, const DimEnv& env) {
  SliceAttrs s(attrs);
  std::vector<i64> starts = concrete(s.starts, env);
  return {moved(x[0], concrete(results[0].shape(), env), [&](std::span<const i64> to, std::span<i64> from) {
    for (size_t i = 0; i < to.size(); ++i)
      from[i] = std::clamp<i64>(starts[i] + to[i] * s.strides[i], 0, x[0].shape[i] - 1);
  })};
}

std::vector<Sample> slice_samples() {
  std::vector<Sample> r;
  auto attrs = [](const Shape& a, const Shape& b, std::vector<i64> s) {
    return Attrs{{"starts", a}, {"limits", b}, {"strides", std::move(s)}};
  };
  for (DType d : every_dtype()) r.push_back(sample_of(d, {17}, 1, 0, 2, attrs({3}, {11}, {1})));
  r.push_back(sample_of(DType::f32, {33}, 1, 0, 2, attrs({1}, {33}, {3})));
  r.push_back(sample_of(DType::f32, {}, 1, 0, 2, attrs({}, {}, {})));
  r.push_back(sample_of(DType::f64, {5, 33, 4}, 1, 0, 2, attrs({1, 0, 3}, {5, 33, 4}, {2, 1, 1})));
  r.push_back(sample_of(DType::f32, {4, 40}, 1, 0, 2, attrs({0, 2}, {4, 39}, {1, 2})));
  r.push_back(sample_of(DType::f32, {7}, 1, 0, 2, attrs({3}, {3}, {2})));
  r.push_back(sample_of(DType::f32, {0, 2}, 1, 0, 2, attrs({0, 1}, {0, 2}, {1, 1})));
  SampleOperand x{DType::f32, {4}, 0, 1, {}};
  r.push_back(failing({x}, "expected 0 <= start <= limit <= 4 on axis 0, got 1 and 5", attrs({1}, {5}, {1})));
  r.push_back(failing({x}, "got 3 and 2", attrs({3}, {2}, {1})));
  r.push_back(failing({x}, "expected a stride of at least 1 on axis 0", attrs({0}, {2}, {0})));
  r.push_back(failing({x}, "for each of the 1 axes", attrs({}, {}, {})));
  return r;
}

OpDef slice_entry() {
  return {
      "slice",
      1,
      "Elements start, start + stride ... before limit, axis by axis; 0 <= start <= limit <= extent.",
      {{{"x"}}, {{"starts", AttrKind::dims, {}}, {"limits", AttrKind::dims, {}}, {"strides", AttrKind::integers, {}}}},
      slice_type,
      Linear{1, slice_transpose},
      AxesFn{slice_batch},
      Movement{slice_at},
      RefArrays{slice_ref},
      Pure{},
      slice_samples};
}

// ---------------------------------------------------------------- pad

struct PadAttrs {
  const Shape& low;
  const Shape& high;
  std::vector<i64> interior;
  double value;
  explicit PadAttrs(const Attrs& a)
      : low(a.get<Shape>("low")),
        high(a.get<Shape>("high")),
        interior(a.get<std::vector<i64>>("interior")),
        value(a.get<double>("value")) {
    if (interior.empty()) interior.resize(low.size());
  }
  Dim step(size_t axis) const { return interior[axis] + 1; }
};

std::vector<Type> pad_type(Types t, const Attrs& attrs) {
  PadAttrs p(attrs);
  size_t rank = t[0].shape().size();
  if (p.low.size() != rank || p.high.size() != rank || p.interior.size() != rank)
    fail("pad", "expected numbers for each of the " + std::to_string(rank) + " axes of " + to_string(t[0]) + ", got " +
                    std::to_string(p.low.size()) + " low, " + std::to_string(p.high.size()) + " high and " +
                    std::to_string(p.interior.size()) + " interior");
  Shape shape;
  for (size_t i = 0; i < rank; ++i) {
    std::string axis = " on axis " + std::to_string(i);
    if (p.interior[i] < 0)
      fail("pad", "expected an interior of at least 0" + axis + ", got " + std::to_string(p.interior[i]));
    Dim extent = t[0].shape()[i] * p.step(i) + p.low[i] + p.high[i];
    expect_nonnegative("pad", extent, [&] {
      return "expected to cut at most the " + to_string(t[0].shape()[i]) + " elements" + axis + ", got " +
             to_string(p.low[i]) + " and " + to_string(p.high[i]);
    });
    shape.push_back(extent);
  }
  return {t[0].with(shape)};
}

loops::Val pad_at(Reader& reader, Types operands, Type result, const Attrs& attrs, Coords coords) {
  PadAttrs p(attrs);
  std::vector<Dim> source;
  std::vector<Reader::Limit> limits;
  for (size_t i = 0; i < coords.size(); ++i) {
    Dim place = coords[i] - p.low[i], extent = operands[0].shape()[i], step = p.step(i);
    bool inside = provably_nonnegative(-p.low[i]) && provably_nonnegative(extent * step - result.shape()[i] + p.low[i]);
    if (!inside) limits.push_back({place, 0, extent * step});
    if (p.interior[i]) limits.push_back({mod(place, step), 0, 1});
    source.push_back(p.interior[i] ? floordiv(place, step) : place);
  }
  return limits.empty() ? reader.load(0, source) : reader.load_where(0, source, limits, p.value);
}

/// The elements of ct that x's have become.
Value pad_transpose(ValueSpan, Value ct, int, const Attrs& attrs, Types types) {
  PadAttrs p(attrs);
  Shape low, high, starts(p.low.size(), Dim(0)), limits;
  std::vector<i64> strides;
  bool spread = false;
  for (size_t i = 0; i < p.low.size(); ++i) {
    low.push_back(-p.low[i]);
    high.push_back(-p.high[i]);
    limits.push_back(types[0].shape()[i] * p.step(i));
    strides.push_back(p.interior[i] + 1);
    spread = spread || p.interior[i];
  }
  Value whole = pad(ct, low, high);
  return spread ? slice(whole, starts, limits, strides) : whole;
}

Attrs pad_tangent(const Attrs& attrs) { return attrs.with("value", 0.0); }

Batched pad_batch(Builder& b, Dim, ValueSpan x, const Mask&, const Attrs& attrs) {
  PadAttrs p(attrs);
  static const OpDef& pad_op = op("pad");
  p.interior.insert(p.interior.begin(), 0);
  return all_batched({b.emit1(pad_op, {x[0]},
                              {{"low", with_leading(0, p.low)},
                               {"high", with_leading(0, p.high)},
                               {"value", p.value},
                               {"interior", p.interior}})});
}

std::vector<Array> pad_ref(std::span<const Array> x, const Attrs& attrs, Types results, const DimEnv& env) {
  PadAttrs p(attrs);
  std::vector<i64> low = concrete(p.low, env);
  auto source = [&](std::span<const i64> to, std::span<i64> from) {
    for (size_t i = 0; i < to.size(); ++i) {
      i64 place = to[i] - low[i], step = p.interior[i] + 1;
      from[i] = place >= 0 && place % step == 0 ? place / step : -1;
    }
  };
  return {moved(x[0], concrete(results[0].shape(), env), source, p.value)};
}

std::vector<Sample> pad_samples() {
  std::vector<Sample> r;
  auto attrs = [](const Shape& low, const Shape& high, double value, std::vector<i64> interior = {}) {
    return Attrs{{"low", low}, {"high", high}, {"value", value}, {"interior", std::move(interior)}};
  };
  for (DType d : every_dtype()) r.push_back(sample_of(d, {17}, 1, 0, 2, attrs({2}, {3}, 1)));
  r.push_back(sample_of(DType::f32, {}, 1, 0, 2, attrs({}, {}, 0)));
  r.push_back(sample_of(DType::f32, {3, 33}, 1, 0, 2, attrs({1, 0}, {0, 5}, -INFINITY)));
  r.push_back(sample_of(DType::f64, {4, 5}, 1, 0, 2, attrs({-1, 2}, {2, -3}, 0.5)));
  r.push_back(sample_of(DType::f32, {0, 3}, 1, 0, 2, attrs({2, 0}, {1, 0}, 7)));
  r.push_back(sample_of(DType::f32, {3, 4}, 1, 0, 2, attrs({0, 0}, {-2, 0}, 0)));
  r.push_back(sample_of(DType::f64, {5, 3}, 1, 0, 2, attrs({1, 0}, {-1, 2}, 0, {1, 2})));
  r.push_back(sample_of(DType::f32, {17}, 1, 0, 2, attrs({-3}, {1}, 0, {2})));
  SampleOperand x{DType::f32, {4}, 0, 1, {}};
  r.push_back(failing({x}, "expected to cut at most the 4 elements on axis 0", attrs({-3}, {-2}, 0)));
  r.push_back(failing({x}, "for each of the 1 axes", attrs({}, {}, 0)));
  r.push_back(failing({x}, "expected an interior of at least 0", attrs({0}, {0}, 0, {-1})));
  return r;
}

OpDef pad_entry() {
  return {"pad",
          1,
          "`value` before and after each axis; negative numbers cut. Each element is followed by `interior` values.",
          {{{"x"}},
           {{"low", AttrKind::dims, {}},
            {"high", AttrKind::dims, {}},
            {"value", AttrKind::floating, Attr(0.0)},
            {"interior", AttrKind::integers, Attr(std::vector<i64>{})}}},
          pad_type,
          Linear{1, pad_transpose, pad_tangent},
          AxesFn{pad_batch},
          Movement{pad_at},
          RefArrays{pad_ref},
          Pure{},
          pad_samples};
}

}  // namespace

std::span<const OpDef> part_ops() {
  static const auto* table = new std::vector<OpDef>{concat_entry(), slice_entry(), pad_entry()};
  return *table;
}

}  // namespace tn
