// Convolution of any number of spatial axes, x [N, C, ...] with w [O, C / groups, ...]. It is closed under
// transposition: the derivative of x is a convolution of the spread cotangent with the flipped weights, that of w one
// of x with the cotangent where batch and channels change places. So no backward op exists, and every order of
// derivative is a conv.
//
// y[n, o, p] = sum over c, k of x'[n, c of o's group, stride * p + rhs_dilation * k - padding_low] * w[o, c, k], where
// x' is x with lhs_dilation - 1 zeros between elements, and zero outside.
#include <algorithm>

#include "ir/guard.h"
#include "op/emit.h"
#include "op/families.h"
#include "op/lanes.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

namespace {

using Types = std::span<const Type>;
using Coords = std::span<const Dim>;

size_t at(i64 axis) { return static_cast<size_t>(axis); }

struct Conv {
  std::vector<i64> strides, low, high, lhs_dilation, rhs_dilation;
  i64 groups;
  explicit Conv(const Attrs& a)
      : strides(a.get<std::vector<i64>>("strides")),
        low(a.get<std::vector<i64>>("padding_low")),
        high(a.get<std::vector<i64>>("padding_high")),
        lhs_dilation(a.get<std::vector<i64>>("lhs_dilation")),
        rhs_dilation(a.get<std::vector<i64>>("rhs_dilation")),
        groups(a.get<i64>("groups")) {}
  size_t axes() const { return strides.size(); }
};

const OpDef& conv_op() {
  static const OpDef& o = op("conv");
  return o;
}

// ---------------------------------------------------------------- type

void check_attrs(Types t, const Conv& c) {
  if (t[0].rank() < 2 || t[1].rank() != t[0].rank())
    fail("conv", "expected x [N, C, ...] and w [O, C / groups, ...] of one rank, got " + to_string(t[0]) + " and " +
                     to_string(t[1]));
  size_t n = at(t[0].rank()) - 2;
  for (const auto* v : {&c.strides, &c.low, &c.high, &c.lhs_dilation, &c.rhs_dilation})
    if (v->size() != n)
      fail("conv", "expected strides, padding and dilations for each of the " + std::to_string(n) +
                       " spatial axes of " + to_string(t[0]) + ", got " + std::to_string(v->size()) + " numbers");
  constexpr i64 kMost = 1 << 30;  // keeps the arithmetic far from overflow
  for (size_t i = 0; i < n; ++i) {
    std::string axis = " on axis " + std::to_string(i + 2);
    for (i64 v : {c.strides[i], c.lhs_dilation[i], c.rhs_dilation[i]})
      if (v < 1 || v > kMost)
        fail("conv", "expected a stride and dilations of at least 1" + axis + ", got " + std::to_string(v));
    for (i64 v : {c.low[i], c.high[i]})
      if (v < -kMost || v > kMost)
        fail("conv", "expected padding of at most 2^30" + axis + ", got " + std::to_string(v));
  }
}

void check_channels(Types t, const Conv& c) {
  if (c.groups < 1) fail("conv", "expected at least 1 group, got " + std::to_string(c.groups));
  if (t[0].dim(1) != t[1].dim(1) * Dim(c.groups))
    fail("conv", "expected groups * extent 1 of w as channels (axis 1 of x), got " + to_string(t[0].dim(1)) + " in " +
                     to_string(t[0]) + " for w " + to_string(t[1]) + " in " + std::to_string(c.groups) + " groups");
  Dim out = t[1].dim(0);
  if (out.is_constant() ? out.value() % c.groups != 0 : !provably_divisible(out, c.groups))
    fail("conv",
         "expected a multiple of " + std::to_string(c.groups) + " groups on axis 0 of w, got " + to_string(t[1]));
}

/// Elements of x along an axis with lhs_dilation - 1 zeros between them.
Dim spread_extent(Dim extent, i64 dilation) { return (extent - Dim(1)) * Dim(dilation) + Dim(1); }

std::vector<Type> conv_type(Types t, const Attrs& a) {
  Conv c(a);
  check_attrs(t, c);
  check_channels(t, c);
  Shape shape{t[0].dim(0), t[1].dim(0)};
  for (size_t i = 0; i < c.axes(); ++i) {
    Dim padded = spread_extent(t[0].shape()[i + 2], c.lhs_dilation[i]) + Dim(c.low[i] + c.high[i]);
    Dim reach = spread_extent(t[1].shape()[i + 2], c.rhs_dilation[i]);
    expect_nonnegative("conv", padded - reach, [&] {
      return "expected weights that reach over at most the padded extent " + to_string(padded) + " on axis " +
             std::to_string(i + 2) + ", got " + to_string(reach) + " for " + to_string(t[0]) + " and " +
             to_string(t[1]);
    });
    shape.push_back(floordiv(padded - reach, c.strides[i]) + Dim(1));
  }
  return {t[0].with(shape)};
}

// ---------------------------------------------------------------- contraction

int conv_red_count(Types t, const Attrs&) { return t[0].rank() - 1; }

/// Reduction order: channel, then the weights' spatial axes.
ContractionSpec conv_spec(Types t, const Attrs& a, Coords out, Coords red) {
  Conv c(a);
  ContractionSpec s;
  Dim channels = t[1].dim(1), per_group = floordiv(t[1].dim(0), c.groups);
  Dim channel = c.groups == 1 ? red[0] : floordiv(out[1], per_group) * channels + red[0];
  s.a_index = {out[0], channel};
  s.b_index = {out[1], red[0]};
  s.red_extents = {channels};
  s.a_divisor = {1, 1};
  for (size_t i = 0; i < c.axes(); ++i) {
    s.a_index.push_back(out[i + 2] * Dim(c.strides[i]) + red[i + 1] * Dim(c.rhs_dilation[i]) - Dim(c.low[i]));
    s.b_index.push_back(red[i + 1]);
    s.red_extents.push_back(t[1].shape()[i + 2]);
    s.a_divisor.push_back(c.lhs_dilation[i]);
  }
  return s;
}

// ---------------------------------------------------------------- transposes

std::vector<i64> spatial_axes(size_t n) { return axis_range(2, static_cast<i64>(n) + 2); }

/// conv with padding that may be symbolic: then x is padded, and spread, by a node of its own.
Value padded_conv(Value x, Value w, const std::vector<i64>& strides, const Shape& low, const Shape& high,
                  const std::vector<i64>& lhs_dilation, const std::vector<i64>& rhs_dilation, i64 groups) {
  size_t n = strides.size();
  std::vector<i64> low_numbers(n), high_numbers(n), spread = lhs_dilation;
  bool numbers = true;
  for (size_t i = 0; i < n; ++i) numbers = numbers && low[i].is_constant() && high[i].is_constant();
  if (numbers) {
    for (size_t i = 0; i < n; ++i) low_numbers[i] = low[i].value(), high_numbers[i] = high[i].value();
  } else {
    static const OpDef& pad_op = op("pad");
    Shape before(n + 2, Dim(0)), after(n + 2, Dim(0));
    std::vector<i64> interior(n + 2);
    for (size_t i = 0; i < n; ++i) {
      before[i + 2] = low[i];
      after[i + 2] = high[i] - Dim(lhs_dilation[i] - 1);  // pad has zeros after the last element too
      interior[i + 2] = lhs_dilation[i] - 1;
      spread[i] = 1;
    }
    x = x.builder->emit1(pad_op, {x}, {{"low", before}, {"high", after}, {"value", 0.0}, {"interior", interior}});
  }
  return x.builder->emit1(conv_op(), {x, w},
                          {{"strides", strides},
                           {"padding_low", low_numbers},
                           {"padding_high", high_numbers},
                           {"lhs_dilation", spread},
                           {"rhs_dilation", rhs_dilation},
                           {"groups", groups}});
}

/// An axis as [outer, inner], and the other way round.
Value split_axis(Value x, i64 axis, Dim outer, Dim inner) {
  Shape s = shape_of(x);
  s[at(axis)] = inner;
  s.insert(s.begin() + axis, outer);
  return reshape(x, s);
}
Value join_axes(Value x, i64 axis) {
  Shape s = shape_of(x);
  s[at(axis)] = s[at(axis)] * s[at(axis) + 1];
  s.erase(s.begin() + axis + 1);
  return reshape(x, s);
}

/// The order 0, 1, 2 ... with the first few as given.
std::vector<i64> order(std::vector<i64> first, int rank) {
  for (i64 i = static_cast<i64>(first.size()); i < rank; ++i) first.push_back(i);
  return first;
}

/// [O, C / g, ...] as [C, O / g, ...], group by group.
Value exchange_channels(Value w, i64 groups) {
  if (groups == 1) return permute(w, order({1, 0}, w.rank()));
  Value parts = split_axis(w, 0, groups, floordiv(w.shape()[0], groups));
  return join_axes(permute(parts, order({0, 2, 1}, parts.rank())), 0);
}

Value input_transpose(Value w, Value ct, const Conv& c, Type x) {
  Shape low, high;
  for (size_t i = 0; i < c.axes(); ++i) {
    Dim reach = spread_extent(w.shape()[i + 2], c.rhs_dilation[i]);
    low.push_back(reach - Dim(1 + c.low[i]));
    high.push_back(spread_extent(x.shape()[i + 2], c.lhs_dilation[i]) - spread_extent(ct.shape()[i + 2], c.strides[i]) +
                   Dim(c.low[i]));
  }
  Value flipped = flip(exchange_channels(w, c.groups), spatial_axes(c.axes()));
  return padded_conv(ct, flipped, c.lhs_dilation, low, high, c.strides, c.rhs_dilation, c.groups);
}

constexpr i64 kMostTaps = 64;

/// A plain convolution with few taps: then the derivative of w is better a product for each tap than one convolution
/// with weights as large as pictures.
bool has_few_taps(const Conv& c, Type w) {
  i64 taps = 1;
  for (size_t i = 0; i < c.axes(); ++i) {
    Dim k = w.shape()[i + 2];
    if (!k.is_constant() || c.lhs_dilation[i] != 1 || c.low[i] < 0 || c.high[i] < 0) return false;
    taps *= k.value();
  }
  return c.groups == 1 && taps > 0 && taps <= kMostTaps;
}

/// w[o, c, u] = sum over pictures and places p of ct[n, o, p] * padded x[n, c, stride * p + dilation * u].
Value weights_by_taps(Value x, Value ct, const Conv& c, Type w) {
  size_t n = c.axes();
  Shape low(n + 2, Dim(0)), high(n + 2, Dim(0));
  std::vector<i64> contracted{0}, extents, strides{1, 1};
  for (size_t i = 0; i < n; ++i) {
    low[i + 2] = c.low[i];
    high[i + 2] = c.high[i];
    contracted.push_back(static_cast<i64>(i) + 2);
    extents.push_back(w.shape()[i + 2].value());
    strides.push_back(c.strides[i]);
  }
  Value padded = pad(x, low, high);
  Values taps;
  Shape column{w.shape()[0], w.shape()[1], Dim(1)};
  for_each_index(extents, [&](std::span<const i64> u, i64) {
    Shape starts(n + 2, Dim(0)), limits = shape_of(padded);
    for (size_t i = 0; i < n; ++i) {
      starts[i + 2] = u[i] * c.rhs_dilation[i];
      limits[i + 2] = starts[i + 2] + (ct.shape()[i + 2] - Dim(1)) * Dim(c.strides[i]) + Dim(1);
    }
    taps.push_back(reshape(dot(ct, slice(padded, starts, limits, strides), {}, {}, contracted, contracted), column));
  });
  return reshape(concat(taps, 2), Shape(w.shape().begin(), w.shape().end()));
}

/// The pictures that one chain of the derivative of w sums; chunks of them are added in order.
constexpr i64 kPictureChunk = 16;

Value pad_pictures(Value x, i64 more) {
  Shape low(at(x.rank()), Dim(0)), high = low;
  high[0] = more;
  return more ? pad(x, low, high) : x;
}

/// Chunks of pictures [N, C, ...] as groups: [C, N, ...] and [N / 16 * O, 16, ...] give [C, N / 16 * O, ...].
Value weights_by_chunks(Value x, Value ct, const Conv& c, Type w, const Shape& low, const Shape& high) {
  i64 pictures = x.shape()[0].value(), chunks = (pictures + kPictureChunk - 1) / kPictureChunk;
  x = pad_pictures(x, chunks * kPictureChunk - pictures);
  ct = pad_pictures(ct, chunks * kPictureChunk - pictures);
  Value parts = split_axis(ct, 0, chunks, kPictureChunk);  // [G, 16, O, ...]
  Value rhs = join_axes(permute(parts, order({0, 2, 1}, parts.rank())), 0);
  Value lhs = permute(x, order({1, 0}, x.rank()));
  Value r = padded_conv(lhs, rhs, c.rhs_dilation, low, high, c.lhs_dilation, c.strides, chunks);
  r = sum(split_axis(r, 1, chunks, w.shape()[0]), {1});
  return permute(r, order({1, 0}, r.rank()));
}

/// x [N, C, ...] becomes [C / g, g * N, ...] and the cotangent [N, O, ...] weights [O, N, ...] of g groups.
Value weights_transpose(Value x, Value ct, const Conv& c, Type w) {
  if (c.axes() != 2 && has_few_taps(c, w)) return weights_by_taps(x, ct, c, w);
  Shape low, high;
  for (size_t i = 0; i < c.axes(); ++i) {
    Dim reach = spread_extent(w.shape()[i + 2], c.rhs_dilation[i]);
    low.push_back(c.low[i]);
    high.push_back(reach + spread_extent(ct.shape()[i + 2], c.strides[i]) -
                   spread_extent(x.shape()[i + 2], c.lhs_dilation[i]) - Dim(1 + c.low[i]));
  }
  Dim pictures = x.shape()[0];
  if (c.groups == 1 && pictures.is_constant() && pictures.value() > kPictureChunk)
    return weights_by_chunks(x, ct, c, w, low, high);
  Value lhs = permute(x, order({1, 0}, x.rank()));
  if (c.groups > 1) {
    Value parts = split_axis(lhs, 0, c.groups, w.shape()[1]);  // [g, C / g, N, ...]
    lhs = join_axes(permute(parts, order({1, 0, 2}, parts.rank())), 1);
  }
  Value rhs = permute(ct, order({1, 0}, ct.rank()));
  Value r = padded_conv(lhs, rhs, c.rhs_dilation, low, high, c.lhs_dilation, c.strides, c.groups);
  return permute(r, order({1, 0}, r.rank()));
}

Value conv_transpose(ValueSpan x, Value ct, int i, const Attrs& a, Types types) {
  return i == 0 ? input_transpose(x[1], ct, Conv(a), types[0]) : weights_transpose(x[0], ct, Conv(a), types[1]);
}

// ---------------------------------------------------------------- lanes

Value emit_conv(Value x, Value w, const Attrs& a) { return x.builder->emit1(conv_op(), {x, w}, a); }

Batched conv_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  Conv c(a);
  if (!batched[1]) {  // lanes are more pictures
    Dim pictures = x[0].shape()[1];
    return all_batched({split_axis(emit_conv(join_axes(x[0], 0), x[1], a), 0, n, pictures)});
  }
  if (!batched[0]) {  // lanes are more channels of each group
    Dim per_group = floordiv(x[1].shape()[1], c.groups);
    Value w = split_axis(x[1], 1, c.groups, per_group);  // [n, g, O / g, ...]
    w = join_axes(join_axes(permute(w, order({1, 0, 2}, w.rank())), 0), 0);
    Value y = split_axis(split_axis(emit_conv(x[0], w, a), 1, Dim(c.groups), n * per_group), 2, n, per_group);
    y = permute(y, order({2, 0, 1, 3}, y.rank()));  // [n, N, g, O / g, ...]
    return all_batched({join_axes(y, 2)});
  }
  if (!n.is_constant() || n == Dim(0)) return batch_by_scan(conv_op(), b, n, x, batched, a);
  Value lanes = join_axes(permute(x[0], order({1, 0, 2}, x[0].rank())), 1);  // lanes are groups: [N, n * C, ...]
  Value w = join_axes(x[1], 0);
  Value y = split_axis(emit_conv(lanes, w, a.with("groups", c.groups * n.value())), 1, n, x[1].shape()[1]);
  return all_batched({permute(y, order({1, 0, 2}, y.rank()))});
}

// ---------------------------------------------------------------- oracle and samples

std::vector<Array> conv_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  Conv c(a);
  Array y = empty_result(results[0], env);
  i64 channels = x[1].shape[1], per_group = x[1].shape[0] / c.groups;
  std::vector<i64> from(x[0].shape.size()), tap(x[1].shape.size());
  std::span<const i64> taps = std::span<const i64>(x[1].shape).subspan(1);
  for_each_index(y.shape, [&](std::span<const i64> out, i64 place) {
    double sum = 0;
    u64 whole = 0;
    from[0] = out[0];
    tap[0] = out[1];
    for_each_index(taps, [&](std::span<const i64> k, i64) {
      std::copy(k.begin(), k.end(), tap.begin() + 1);
      from[1] = out[1] / per_group * channels + k[0];
      for (size_t i = 0; i < c.axes(); ++i) {
        i64 p = out[i + 2] * c.strides[i] + k[i + 1] * c.rhs_dilation[i] - c.low[i], d = c.lhs_dilation[i];
        from[i + 2] = p >= 0 && p % d == 0 ? p / d : -1;
      }
      i64 p = place_of(x[0].shape, from), q = place_of(x[1].shape, tap);
      if (p < 0) return;
      if (is_float(y.dtype))
        sum += x[0].get(p) * x[1].get(q);
      else
        whole += static_cast<u64>(x[0].get_int(p)) * static_cast<u64>(x[1].get_int(q));
    });
    if (is_float(y.dtype))
      y.set(place, sum);
    else
      y.set_int(place, static_cast<i64>(whole));
  });
  return {y};
}

using L = std::vector<i64>;

Attrs conv_attrs(L strides, L low, L high, L lhs, L rhs, i64 groups = 1) {
  return {{"strides", std::move(strides)},  {"padding_low", std::move(low)},  {"padding_high", std::move(high)},
          {"lhs_dilation", std::move(lhs)}, {"rhs_dilation", std::move(rhs)}, {"groups", groups}};
}

std::vector<Sample> conv_samples() {
  std::vector<Sample> r;
  auto with = [&](DType d, L x, L w, const Attrs& a, std::string_view error = {}) {
    double low = is_signed(d) ? -2 : 0;
    r.push_back({{{d, std::move(x), low, 3, {}}, {d, std::move(w), low, 3, {}}}, a, error, 0});
  };
  Attrs same = conv_attrs({1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1});
  for (DType d : every_dtype())
    if (d != DType::boolean) with(d, {1, 2, 5, 4}, {3, 2, 3, 3}, same);
  with(DType::f64, {2, 3, 6, 7}, {4, 3, 3, 2}, conv_attrs({2, 1}, {1, 0}, {0, 2}, {1, 1}, {1, 1}));
  with(DType::f64, {1, 2, 7, 8}, {2, 2, 2, 3}, conv_attrs({2, 3}, {1, 2}, {2, 1}, {1, 1}, {2, 2}));
  with(DType::f64, {2, 2, 3, 4}, {2, 2, 3, 2}, conv_attrs({1, 2}, {2, 0}, {1, 1}, {2, 3}, {1, 2}));
  with(DType::f64, {1, 4, 5, 5}, {6, 2, 3, 3}, conv_attrs({2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 2));
  with(DType::f64, {2, 3, 4, 4}, {3, 1, 3, 3}, conv_attrs({1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 3));
  with(DType::f64, {1, 1, 6, 6}, {1, 1, 2, 2}, conv_attrs({1, 1}, {-1, 1}, {1, -2}, {1, 1}, {1, 1}));
  with(DType::f64, {2, 2, 9}, {3, 2, 3}, conv_attrs({2}, {1}, {1}, {1}, {1}));
  with(DType::f64, {1, 2, 3, 4, 3}, {2, 2, 2, 3, 1}, conv_attrs({1, 1, 2}, {0, 1, 0}, {1, 1, 0}, {1, 1, 1}, {1, 1, 1}));
  with(DType::f32, {2, 17, 9, 9}, {33, 17, 3, 3}, same);
  with(DType::f32, {2, 5, 4, 4}, {7, 5, 1, 1}, conv_attrs({1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}));
  with(DType::f32, {3, 4}, {5, 4}, conv_attrs({}, {}, {}, {}, {}));
  with(DType::f32, {0, 2, 5, 4}, {3, 2, 3, 3}, same);
  with(DType::f32, {1, 2, 5, 4}, {3, 3, 3, 3}, same, "as channels (axis 1 of x), got 2");
  with(DType::f32, {1, 2, 1, 4}, {3, 2, 4, 3}, same, "at most the padded extent 3 on axis 2, got 4");
  with(DType::f32, {1, 2, 5, 4}, {3, 2, 3}, same, "of one rank");
  with(DType::f32, {1, 2, 5, 4}, {3, 2, 3, 3}, conv_attrs({1}, {1}, {1}, {1}, {1}), "each of the 2 spatial axes");
  with(DType::f32, {1, 2, 5, 4}, {3, 1, 3, 3}, same.with("groups", i64{2}),
       "expected a multiple of 2 groups on axis 0");
  with(DType::f32, {1, 2, 5, 4}, {3, 2, 3, 3}, same.with("strides", L{1, 0}), "of at least 1 on axis 3, got 0");
  return r;
}

}  // namespace

std::span<const OpDef> conv_ops() {
  static const auto* table = new std::vector<OpDef>{
      {"conv",
       1,
       "Convolution (correlation) of x [N, C, ...] with w [O, C / groups, ...] to [N, O, ...]: strides, padding "
       "(negative "
       "cuts), zeros between elements of x (lhs_dilation), gaps between weights (rhs_dilation), groups of channels.",
       {{{"x", Operands::numeric}, {"w", Operands::numeric}},
        {{"strides", AttrKind::integers, {}},
         {"padding_low", AttrKind::integers, {}},
         {"padding_high", AttrKind::integers, {}},
         {"lhs_dilation", AttrKind::integers, {}},
         {"rhs_dilation", AttrKind::integers, {}},
         {"groups", AttrKind::integer, Attr(i64{1})}}},
       conv_type,
       Bilinear{conv_transpose},
       AxesFn{conv_batch},
       Contraction{conv_red_count, conv_spec},
       RefArrays{conv_ref},
       Pure{},
       conv_samples}};
  return *table;
}

}  // namespace tn
