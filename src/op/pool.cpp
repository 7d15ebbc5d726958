// Pooling. A window is a short loop over the operand's elements, unrolled when it has few; so pooling fuses with what
// it reads and with what reads it. The derivative of the greatest goes to the first greatest of each window:
// max_pool_index names its place, window_pick takes elements at such places, window_spread is the transpose of that.
// They read, and never write, at computed places: an input's derivative is the sum over the few windows it lies in.
#include <cmath>
#include <functional>
#include <limits>

#include "ir/loops.h"
#include "op/emit.h"
#include "op/families.h"
#include "op/oracle.h"
#include "op/rules.h"
#include "op/window.h"

namespace tn {

namespace {

using loops::ScalarOp;
using loops::Val;
using Types = std::span<const Type>;
using Coords = std::span<const Dim>;

constexpr i64 kUnrolled = 16;

size_t at(i64 axis) { return static_cast<size_t>(axis); }
Shape list(Coords dims) { return {dims.begin(), dims.end()}; }

// ---------------------------------------------------------------- walks in the loop IR

using Step = std::function<std::vector<Val>(Coords place, std::span<const Val> carries)>;

/// Runs `step` over all places of the extents in row-major order: written out when few, else as loops.
std::vector<Val> walk(loops::Builder& b, std::span<const i64> extents, std::vector<Val> carries, const Step& step) {
  i64 count = 1;
  for (i64 e : extents) count *= e;
  if (count <= kUnrolled) {
    for_each_index(extents, [&](std::span<const i64> index, i64) {
      std::vector<Dim> place(index.begin(), index.end());
      carries = step(place, carries);
    });
    return carries;
  }
  // A loop's carries have one tile all along: constants start as wide as what the first step makes of them.
  std::vector<Val> first = step(std::vector<Dim>(extents.size(), Dim(0)), carries);
  for (size_t i = 0; i < carries.size(); ++i) {
    const loops::Node start = b.node(carries[i]);
    loops::Tile wide = b.tile(first[i]);
    if (start.tile == wide) continue;
    if (start.kind != loops::Kind::constant) internal("a window's walk starts from a narrow value that is no constant");
    carries[i] = is_float(wide.dtype) ? b.constant(start.number, wide.dtype, wide.rows, wide.lanes)
                                      : b.constant_int(start.whole, wide.dtype, wide.rows, wide.lanes);
  }
  std::vector<Dim> place;
  std::function<std::vector<Val>(size_t, std::span<const Val>)> nest = [&](size_t axis, std::span<const Val> in) {
    if (axis == extents.size()) return step(place, in);
    return b.loop("w", extents[axis], in, [&](Dim variable, std::span<const Val> inner) {
      place.push_back(variable);
      std::vector<Val> out = nest(axis + 1, inner);
      place.pop_back();
      return out;
    });
  };
  return nest(0, carries);
}

/// Where element `place` of the window of result `coords` lies in the operand, and the limits it must keep.
struct Element {
  std::vector<Dim> coords;
  std::vector<Reader::Limit> limits;
};

Element window_element(const Window& w, Type operand, Coords coords, Coords place) {
  Element e{{coords.begin(), coords.end()}, {}};
  size_t lead = coords.size() - w.axes();
  for (size_t i = 0; i < w.axes(); ++i) {
    Dim& d = e.coords[lead + i];
    d = d * Dim(w.strides[i]) + place[i] * Dim(w.dilation[i]) - Dim(w.low[i]);
    if (w.low[i] || w.high[i]) e.limits.push_back({d, 0, operand.shape()[lead + i]});
  }
  return e;
}

Val load_element(Reader& reader, const Element& e, double otherwise) {
  return e.limits.empty() ? reader.load(0, e.coords) : reader.load_where(0, e.coords, e.limits, otherwise);
}

double least(DType d) {
  if (is_float(d)) return -std::numeric_limits<double>::infinity();
  return is_signed(d) ? -std::ldexp(1.0, bits(d) - 1) : 0;
}

/// v > best, or v is the first NaN.
Val beats(loops::Builder& b, Val v, Val best) {
  Val greater = b.less(best, v);
  if (!is_float(b.tile(v).dtype)) return greater;
  Val is_nan = b.map(ScalarOp::not_equal, {v, v}), was_number = b.equal(best, best);
  Val first_nan = b.map(ScalarOp::logical_and, {is_nan, was_number});
  return b.map(ScalarOp::logical_or, {greater, first_nan});
}

// ---------------------------------------------------------------- the oracle

/// f(place in x, place in window order) for each element of the window at `out` that lies inside x.
template <class F>
void for_each_element(const Window& w, const Array& x, std::span<const i64> out, F f) {
  size_t lead = out.size() - w.axes();
  std::vector<i64> from(out.begin(), out.end());
  for_each_index(w.window, [&](std::span<const i64> k, i64) {
    for (size_t i = 0; i < w.axes(); ++i)
      from[lead + i] = out[lead + i] * w.strides[i] + k[i] * w.dilation[i] - w.low[i];
    if (i64 place = place_of(x.shape, from); place >= 0) f(place);
  });
}

/// The product of the trailing extents.
i64 spatial_size(const Array& x, size_t axes) {
  i64 n = 1;
  for (size_t i = x.shape.size() - axes; i < x.shape.size(); ++i) n *= x.shape[i];
  return n;
}

// ---------------------------------------------------------------- max_pool

template <Name kOp>
std::vector<Type> pooled_type(Types t, const Attrs& a) {
  return {t[0].with(windows_shape(kOp, t[0].shape(), Window(a)))};
}

Batched same_windows(const OpDef& o, Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  return all_batched(b.emit(o, all_to_lanes(x, batched, n), a));
}

/// Windows lie on the trailing axes, so lanes are one more leading axis.
template <Name kOp>
Batched batch_windows(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  return same_windows(op(kOp), b, n, x, batched, a);
}

Val max_pool_at(Reader& reader, Types operands, Type result, const Attrs& a, Coords coords) {
  Window w(a);
  loops::Builder& b = reader.builder();
  double outside = least(result.dtype());
  Element first = window_element(w, operands[0], coords, std::vector<Dim>(w.axes(), Dim(0)));
  Val start = load_element(reader, first, outside);
  return walk(b, w.window, {start}, [&](Coords place, std::span<const Val> c) {
    Val v = load_element(reader, window_element(w, operands[0], coords, place), outside);
    return std::vector<Val>{b.select(beats(b, v, c[0]), v, c[0])};
  })[0];
}

Value emit_windows(std::string_view name, Values x, const Attrs& a) { return x[0].builder->emit(op(name), x, a)[0]; }

Values max_pool_tangent(Builder&, ValueSpan x, ValueSpan, ValueSpan t, const Attrs& a) {
  Value index = emit_windows("max_pool_index", {x[0]}, a);
  return {emit_windows("window_pick", {t[0], index}, a)};
}

std::vector<Array> max_pool_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  Window w(a);
  Array y = empty_result(results[0], env);
  for_each_index(y.shape, [&](std::span<const i64> out, i64 place) {
    set_number(y, place, least(y.dtype));
    bool first = true, nan = false;
    for_each_element(w, x[0], out, [&](i64 from) {
      bool floating = is_float(y.dtype);
      bool better = floating ? x[0].get(from) > y.get(place) : x[0].get_int(from) > y.get_int(place);
      if (!nan && (first || better || (floating && std::isnan(x[0].get(from))))) copy_element(y, place, x[0], from);
      nan = floating && std::isnan(y.get(place));
      first = false;
    });
  });
  return {y};
}

Attrs windows(std::vector<i64> window, std::vector<i64> strides, std::vector<i64> low, std::vector<i64> high,
              std::vector<i64> dilation) {
  return {{"window", std::move(window)},
          {"strides", std::move(strides)},
          {"padding_low", std::move(low)},
          {"padding_high", std::move(high)},
          {"dilation", std::move(dilation)}};
}

std::vector<Sample> window_samples(const std::vector<DType>& dtypes) {
  std::vector<Sample> r;
  Attrs two = windows({2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1});
  for (DType d : dtypes) r.push_back(sample_of(d, {1, 2, 6, 5}, 1, 0, 9, two));
  for (DType d : {DType::f64, DType::f32}) {
    r.push_back(sample_of(d, {2, 8, 9}, 1, -2, 2, windows({3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1})));
    r.push_back(sample_of(d, {33}, 1, -2, 2, windows({3}, {1}, {1}, {1}, {2})));
    r.push_back(sample_of(d, {2, 7, 6}, 1, -2, 2, windows({2, 3}, {3, 1}, {0, 1}, {2, 0}, {2, 1})));
  }
  r.push_back(sample_of(DType::f32, {1, 7, 7}, 1, -2, 2, windows({5, 5}, {1, 1}, {2, 2}, {2, 2}, {1, 1})));
  r.push_back(
      sample_of(DType::f64, {3, 4, 3, 4}, 1, -2, 2, windows({2, 2, 2}, {1, 1, 2}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1})));
  r.push_back(sample_of(DType::f32, {0, 4, 4}, 1, -2, 2, two));
  SampleOperand small{DType::f32, {1, 3}, 0, 1, {}};
  r.push_back(failing({small}, "expected a window of at most the padded extent 1 on axis 0", two));
  r.push_back(failing({small}, "of at least 1 on axis 1, got 0", windows({1, 1}, {1, 0}, {0, 0}, {0, 0}, {1, 1})));
  r.push_back(failing({small}, "for each of the 2 axes of the window", windows({1, 1}, {1}, {0, 0}, {0, 0}, {1, 1})));
  r.push_back(failing({small}, "expected padding of at least 0", windows({1}, {1}, {-1}, {0}, {1})));
  return r;
}

std::vector<Sample> max_pool_samples() {
  std::vector<DType> numbers(every_dtype().begin(), every_dtype().end() - 1);
  std::vector<Sample> r = window_samples(numbers);
  Attrs three = windows({3}, {1}, {1}, {1}, {1});
  for (DType d : {DType::f64, DType::f32}) {
    r.push_back({{values_of(d, {1, NAN, 2, 3, -INFINITY, -INFINITY, -INFINITY, -0.0, 0.0})}, three, {}, 0});
    r.push_back({{values_of(d, {5, 5, 5, 1, 1})}, three, {}, 0});
  }
  return r;
}

OpDef max_pool_entry() {
  return {"max_pool",
          1,
          "The greatest element of each window over the trailing axes; NaN where there is one. Padding counts for "
          "nothing; the first of equal ones has the derivative.",
          {{{"x", Operands::numeric}}, window_attrs()},
          pooled_type<"max_pool">,
          Jvp{max_pool_tangent},
          AxesFn{batch_windows<"max_pool">},
          Costly{max_pool_at},
          RefArrays{max_pool_ref},
          Pure{},
          max_pool_samples};
}

// ---------------------------------------------------------------- max_pool_index

std::vector<Type> index_type(Types t, const Attrs& a) {
  return {Type::tensor(DType::i32, windows_shape("max_pool_index", t[0].shape(), Window(a)))};
}

/// Row-major place among the trailing axes.
Dim spatial_place(Coords coords, Coords shape, size_t axes) {
  Dim place = 0;
  for (size_t i = shape.size() - axes; i < shape.size(); ++i) place = place * shape[i] + coords[i];
  return place;
}

Val max_pool_index_at(Reader& reader, Types operands, Type, const Attrs& a, Coords coords) {
  Window w(a);
  loops::Builder& b = reader.builder();
  double outside = least(operands[0].dtype());
  auto element = [&](Coords place) { return window_element(w, operands[0], coords, place); };
  auto index = [&](const Element& e) {
    Val v = reader.coordinate(spatial_place(e.coords, operands[0].shape(), w.axes()), DType::i32);
    return e.limits.empty() ? v : reader.choose(e.limits, v, b.constant_int(-1, DType::i32));
  };
  Element first = element(std::vector<Dim>(w.axes(), Dim(0)));
  Val best = load_element(reader, first, outside), best_index = index(first);
  return walk(b, w.window, {best, best_index}, [&](Coords place, std::span<const Val> c) {
    Element e = element(place);
    Val v = load_element(reader, e, outside), here = index(e);
    Val better = beats(b, v, c[0]);
    if (!e.limits.empty()) {  // the first inside the operand is taken whatever it is
      Val none = b.less(c[1], b.constant_int(0, DType::i32));
      better = b.map(ScalarOp::logical_or, {better, none});
    }
    Val value = b.select(better, v, c[0]), chosen = b.select(better, here, c[1]);
    return std::vector<Val>{value, chosen};
  })[1];
}

std::vector<Array> max_pool_index_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  Window w(a);
  Array y = empty_result(results[0], env);
  for_each_index(y.shape, [&](std::span<const i64> out, i64 place) {
    i64 best = -1;
    for_each_element(w, x[0], out, [&](i64 from) {
      bool better = best < 0;
      if (!better && is_float(x[0].dtype))
        better = x[0].get(from) > x[0].get(best) || (std::isnan(x[0].get(from)) && !std::isnan(x[0].get(best)));
      else if (!better)
        better = x[0].get_int(from) > x[0].get_int(best);
      if (better) best = from;
    });
    y.set_int(place, best < 0 ? -1 : best % spatial_size(x[0], w.axes()));
  });
  return {y};
}

OpDef max_pool_index_entry() {
  return {"max_pool_index",
          1,
          "i32 place of the first greatest element of each window among the flattened trailing axes; -1 for a window "
          "of padding.",
          {{{"x", Operands::numeric}}, window_attrs()},
          index_type,
          Zero{},
          AxesFn{batch_windows<"max_pool_index">},
          Costly{max_pool_index_at},
          RefArrays{max_pool_index_ref},
          Pure{},
          max_pool_samples};
}

// ---------------------------------------------------------------- window_pick and window_spread

void check_index(std::string_view op, Type index, const Shape& want) {
  if (index != Type::tensor(DType::i32, want))
    fail(op, "expected an index " + to_string(Type::tensor(DType::i32, want)) + ", got " + to_string(index));
}

std::vector<Type> pick_type(Types t, const Attrs& a) {
  Shape shape = windows_shape("window_pick", t[0].shape(), Window(a));
  check_index("window_pick", t[1], shape);
  return {t[0].with(shape)};
}

Values pick_expand(Builder& b, ValueSpan x, const Attrs& a) {
  size_t axes = Window(a).axes(), lead = x[0].shape().size() - axes;
  Dim rows = product(x[0].shape().first(lead)), size = product(x[0].shape().subspan(lead));
  Shape flat{rows, product(x[1].shape().subspan(lead))};
  Value index = reshape(cast(x[1], DType::i64), flat);
  Value row = mul(iota(b, flat, 0, DType::i64), broadcast(dim_value(b, size, DType::i64), flat, {}));
  Value taken = gather(reshape(x[0], {rows * size}), add(row, index), 0);
  Value none = less(index, zeros_like(index));
  return {reshape(select(none, zeros_like(taken), taken), shape_of(x[1]))};
}

Value pick_transpose(ValueSpan x, Value ct, int, const Attrs& a, Types types) {
  size_t lead = types[0].shape().size() - Window(a).axes();
  return emit_windows("window_spread", {ct, x[1]}, a.with("extents", list(types[0].shape().subspan(lead))));
}

/// x uniform, the index any that is inside.
std::vector<Sample> pick_samples(bool spread) {
  std::vector<Sample> r;
  auto with = [&](DType d, std::vector<i64> x, std::vector<i64> out, std::vector<double> index, const Attrs& a,
                  std::vector<i64> extents) {
    SampleOperand value{d, spread ? out : x, -2, 2, {}};
    Shape dims(extents.begin(), extents.end());
    r.push_back({{value, {DType::i32, out, 0, 0, std::move(index)}}, spread ? a.with("extents", dims) : a, {}, 0});
  };
  for (DType d : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
    with(d, {2, 2, 4}, {2, 1, 2}, {1, 6, 4, 3}, windows({2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}), {2, 4});
    with(d, {5}, {5}, {0, 0, 2, 4, 4}, windows({3}, {1}, {1}, {1}, {1}), {5});
    with(d, {3}, {3}, {-1, 1, -1}, windows({1}, {2}, {1}, {2}, {1}), {3});
  }
  with(DType::f32, {17}, {17}, {0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16},
       windows({3}, {1}, {1}, {1}, {1}), {17});
  with(DType::f32, {0, 2}, {0, 1}, {}, windows({2}, {2}, {0}, {0}, {1}), {2});
  SampleOperand x{DType::f32, {4}, 0, 1, {}}, index{DType::i32, {3}, 0, 1, {}};
  Attrs two = windows({2}, {2}, {0}, {0}, {1});
  r.push_back(failing({x, index}, spread ? "expected an operand of shape [2]" : "expected an index",
                      spread ? two.with("extents", Shape{4}) : two));
  return r;
}

OpDef window_pick_entry() {
  return {"window_pick",
          1,
          "Elements at places max_pool_index gave, one a window; 0 at -1.",
          {{{"x", Operands::floating}, {"index", Operands::integer}}, window_attrs(), false},
          pick_type,
          Linear{1, pick_transpose},
          AxesFn{batch_windows<"window_pick">},
          Expand{pick_expand},
          RefNone{},
          Pure{},
          [] { return pick_samples(false); }};
}

std::vector<Type> spread_type(Types t, const Attrs& a) {
  Window w(a);
  const Shape& extents = a.get<Shape>("extents");
  if (extents.size() != w.axes() || t[0].shape().size() < w.axes())
    fail("window_spread", "expected an extent for each of the " + std::to_string(w.axes()) +
                              " axes of the window, got " + shape_text(extents) + " and " + to_string(t[0]));
  check_extents("window_spread", extents);
  Shape shape = list(t[0].shape().first(t[0].shape().size() - w.axes()));
  shape.insert(shape.end(), extents.begin(), extents.end());
  Shape want = windows_shape("window_spread", shape, w);
  if (t[0].with(want) != t[0])
    fail("window_spread", "expected an operand of shape " + shape_text(want) + ", got " + to_string(t[0]));
  check_index("window_spread", t[1], want);
  return {t[0].with(shape)};
}

/// The sum over the windows an element lies in of what they give to it.
Val spread_at(Reader& reader, Types operands, Type result, const Attrs& a, Coords coords) {
  Window w(a);
  loops::Builder& b = reader.builder();
  size_t lead = coords.size() - w.axes();
  std::vector<i64> overlaps;
  for (size_t i = 0; i < w.axes(); ++i) overlaps.push_back(w.overlap(i));
  Val here = reader.coordinate(spatial_place(coords, result.shape(), w.axes()), DType::i32);
  auto term = [&](Coords back) {
    std::vector<Dim> from(coords.begin(), coords.end());
    std::vector<Reader::Limit> limits;
    for (size_t i = 0; i < w.axes(); ++i) {
      Dim& d = from[lead + i];
      d = floordiv(d + Dim(w.low[i]), w.strides[i]) - back[i];
      limits.push_back({d, 0, operands[0].shape()[lead + i]});
    }
    Val index = reader.load_where(1, from, limits, -1), value = reader.load_where(0, from, limits, 0);
    return b.select(b.equal(index, here), value, b.number(0, value));
  };
  i64 count = 1;
  for (i64 o : overlaps) count *= o;
  if (count == 1) return term(std::vector<Dim>(w.axes(), Dim(0)));
  Val none = b.number(0, term(std::vector<Dim>(w.axes(), Dim(0))));
  return walk(b, overlaps, {none},
              [&](Coords back, std::span<const Val> c) { return std::vector<Val>{b.add(c[0], term(back))}; })[0];
}

Value spread_transpose(ValueSpan x, Value ct, int, const Attrs& a, Types) {
  return emit_windows("window_pick", {ct, x[1]}, a.without("extents"));
}

std::vector<Array> spread_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  Array y = empty_result(results[0], env);
  i64 size = spatial_size(y, Window(a).axes()), windows_count = spatial_size(x[0], Window(a).axes());
  std::vector<double> sums(at(y.size()));
  for (i64 i = 0; i < x[0].size(); ++i)
    if (i64 place = x[1].get_int(i); place >= 0) sums[at(i / windows_count * size + place)] += x[0].get(i);
  for (size_t i = 0; i < sums.size(); ++i) y.set(static_cast<i64>(i), sums[i]);
  return {y};
}

OpDef window_spread_entry() {
  return {"window_spread",
          1,
          "The transpose of window_pick: each window's number added at its place among axes of `extents`.",
          {{{"x", Operands::floating}, {"index", Operands::integer}},
           window_attrs({{"extents", AttrKind::dims, {}}}),
           false},
          spread_type,
          Linear{1, spread_transpose},
          AxesFn{batch_windows<"window_spread">},
          Costly{spread_at},
          RefArrays{spread_ref},
          Pure{},
          [] { return pick_samples(true); }};
}

// ---------------------------------------------------------------- window_sum and avg_pool

Val window_sum_at(Reader& reader, Types operands, Type, const Attrs& a, Coords coords) {
  Window w(a);
  loops::Builder& b = reader.builder();
  auto load = [&](Coords place) { return load_element(reader, window_element(w, operands[0], coords, place), 0); };
  if (w.count() == 1) return load(std::vector<Dim>(w.axes(), Dim(0)));
  Val none = b.number(0, load(std::vector<Dim>(w.axes(), Dim(0))));
  return walk(b, w.window, {none},
              [&](Coords place, std::span<const Val> c) { return std::vector<Val>{b.add(c[0], load(place))}; })[0];
}

/// An element's derivative is the sum over the windows it lies in: windows of stride 1 over the spread cotangent.
Value window_sum_transpose(ValueSpan, Value ct, int, const Attrs& a, Types types) {
  Window w(a);
  size_t rank = types[0].shape().size(), lead = rank - w.axes();
  Shape low(rank, Dim(0)), high(rank, Dim(0));
  std::vector<i64> interior(rank), ones(w.axes(), 1), none(w.axes(), 0);
  for (size_t i = 0; i < w.axes(); ++i) {
    low[lead + i] = w.reach(i) - 1 - w.low[i];
    high[lead + i] = types[0].shape()[lead + i] + Dim(w.low[i]) - ct.shape()[lead + i] * Dim(w.strides[i]);
    interior[lead + i] = w.strides[i] - 1;
  }
  static const OpDef& pad_op = op("pad");
  Value spread =
      ct.builder->emit1(pad_op, {ct}, {{"low", low}, {"high", high}, {"value", 0.0}, {"interior", interior}});
  return emit_windows("window_sum", {spread}, windows(w.window, ones, none, none, w.dilation));
}

std::vector<Array> window_sum_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  Window w(a);
  Array y = empty_result(results[0], env);
  for_each_index(y.shape, [&](std::span<const i64> out, i64 place) {
    double sum = 0;
    u64 whole = 0;
    for_each_element(w, x[0], out, [&](i64 from) {
      if (is_float(y.dtype))
        sum += x[0].get(from);
      else
        whole += static_cast<u64>(x[0].get_int(from));
    });
    if (is_float(y.dtype))
      y.set(place, sum);
    else
      y.set_int(place, static_cast<i64>(whole));
  });
  return {y};
}

OpDef window_sum_entry() {
  return {"window_sum",
          1,
          "The sum of each window over the trailing axes; padding counts as 0.",
          {{{"x", Operands::numeric}}, window_attrs()},
          pooled_type<"window_sum">,
          Linear{1, window_sum_transpose},
          AxesFn{batch_windows<"window_sum">},
          Costly{window_sum_at},
          RefArrays{window_sum_ref},
          Pure{},
          [] { return window_samples(std::vector<DType>(every_dtype().begin(), every_dtype().end() - 1)); }};
}

Values avg_pool_expand(Builder& b, ValueSpan x, const Attrs& attrs) {
  Attrs a = attrs.without("count_include_pad");
  Window w(a);
  Value sums = emit_windows("window_sum", {x[0]}, a);
  if (attrs.get<bool>("count_include_pad") || !w.padded()) return {div(sums, static_cast<double>(w.count()))};
  size_t lead = x[0].shape().size() - w.axes();
  Value one = ones(b, Type::tensor(x[0].dtype(), x[0].shape().subspan(lead)));
  return {div(sums, broadcast_to(emit_windows("window_sum", {one}, a), shape_of(sums)))};
}

std::vector<Sample> avg_pool_samples() {
  std::vector<Sample> r;
  for (bool include : {true, false})
    for (Sample& s : window_samples({DType::f64, DType::f32, DType::f16, DType::bf16})) {
      s.attrs = s.attrs.with("count_include_pad", include);
      r.push_back(s);
    }
  return r;
}

OpDef avg_pool_entry() {
  return {"avg_pool",
          1,
          "The mean of each window over the trailing axes; padding counts as zeros, or for nothing.",
          {{{"x", Operands::floating}}, window_attrs({{"count_include_pad", AttrKind::boolean, Attr(true)}})},
          pooled_type<"avg_pool">,
          ByExpansion{},
          ByExpansion{},
          Expand{avg_pool_expand},
          RefNone{},
          Pure{},
          avg_pool_samples};
}

}  // namespace

std::span<const OpDef> pool_ops() {
  static const auto* table = new std::vector<OpDef>{max_pool_entry(),      max_pool_index_entry(), window_pick_entry(),
                                                    window_spread_entry(), window_sum_entry(),     avg_pool_entry()};
  return *table;
}

}  // namespace tn
