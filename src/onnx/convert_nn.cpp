// Normalisations, softmax and dropout.
#include <algorithm>
#include <numeric>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

std::vector<i64> axes_from(i64 first, i64 rank) {
  std::vector<i64> r(static_cast<size_t>(std::max<i64>(0, rank - first)));
  std::iota(r.begin(), r.end(), first);
  return r;
}

Value add(Call& c, Value a, Value b) { return c.map("add", {a, b}); }
Value sub(Call& c, Value a, Value b) { return c.map("sub", {a, b}); }
Value mul(Call& c, Value a, Value b) { return c.map("mul", {a, b}); }
Value div(Call& c, Value a, Value b) { return c.map("div", {a, b}); }
Value number(Call& c, Value like, double v) { return c.scalar(v, like.dtype()); }

Value mean_over(Call& c, Value x, const std::vector<i64>& axes) {
  Dim n = 1;
  for (i64 a : axes) n = n * x.shape()[static_cast<size_t>(a)];
  Value count = cast(c.from_dims({n}, DType::i64, true), x.dtype());
  return div(c, c.reduce("sum", x, axes, true), count);
}

/// x of shape [C] (or [C, ...]) along axis 1 of a tensor like y.
Value along_channels(Call& c, Value v, Value y) {
  if (v.rank() < 1 || y.rank() < 2)
    c.refuse("an input of at least 2 axes and a number a channel", to_string(y.type()) + " and " + to_string(v.type()));
  Shape s(static_cast<size_t>(y.rank()), Dim(1));
  s[1] = v.shape()[0];
  return reshape(v, s);
}

struct Normalised {
  Value y, mean, inverse;
};

/// (x - mean) / sqrt(variance + epsilon) over the axes.
Normalised normalise(Call& c, Value x, const std::vector<i64>& axes, double epsilon) {
  Value m = mean_over(c, x, axes), d = sub(c, x, m);
  Value inverse = c.emit("rsqrt", {add(c, mean_over(c, mul(c, d, d), axes), number(c, x, epsilon))});
  return {mul(c, d, inverse), m, inverse};
}

Values batch_norm(Call& c) {
  Value x = c.in(0), scale = along_channels(c, c.in(1), x), bias = along_channels(c, c.in(2), x);
  double epsilon = c.floating("epsilon", 1e-5f);
  if (!c.integer("training_mode", 0)) {
    Value mean = along_channels(c, c.in(3), x), variance = along_channels(c, c.in(4), x);
    Value factor =
        mul(c, cast(scale, variance.dtype()), c.emit("rsqrt", {add(c, variance, number(c, variance, epsilon))}));
    Value y = add(c, mul(c, sub(c, x, cast(mean, x.dtype())), cast(factor, x.dtype())), cast(bias, x.dtype()));
    return {y};
  }
  std::vector<i64> axes = axes_from(2, x.rank());
  axes.insert(axes.begin(), 0);
  Value w = widened(x), m = mean_over(c, w, axes), d = sub(c, w, m), v = mean_over(c, mul(c, d, d), axes);
  Value y = mul(c, mul(c, d, c.emit("rsqrt", {add(c, v, number(c, w, epsilon))})), cast(scale, w.dtype()));
  double momentum = c.floating("momentum", 0.9f);
  auto running = [&](Value old, Value now) {
    Value before = cast(old, now.dtype()), flat = reshape(now, shape_of(old));
    Value r = add(c, mul(c, before, number(c, w, momentum)), mul(c, flat, number(c, w, 1 - momentum)));
    return cast(r, old.dtype());
  };
  return {cast(add(c, y, cast(bias, w.dtype())), x.dtype()), running(c.in(3), m), running(c.in(4), v)};
}

Values instance_norm(Call& c) {
  Value x = widened(c.in(0)), y = normalise(c, x, axes_from(2, x.rank()), c.floating("epsilon", 1e-5f)).y;
  Value scale = along_channels(c, widened(c.in(1)), x), bias = along_channels(c, widened(c.in(2)), x);
  return {cast(add(c, mul(c, y, scale), bias), c.in(0).dtype())};
}

Values layer_norm(Call& c) {
  Value x = c.in(0);
  DType inner = bits(x.dtype()) < 32 && c.integer("stash_type", 1) == 1 ? DType::f32 : x.dtype();
  auto axes = axes_from(c.axis(c.integer("axis", -1), x.rank()), x.rank());
  Normalised n = normalise(c, cast(x, inner), axes, c.floating("epsilon", 1e-5f));
  Value y = mul(c, cast(n.y, x.dtype()), c.in(1));
  return {c.has(2) ? add(c, y, c.in(2)) : y, n.mean, n.inverse};
}

Values rms_norm(Call& c) {
  Value x = c.in(0);
  DType inner = bits(x.dtype()) < 32 && c.integer("stash_type", 1) == 1 ? DType::f32 : x.dtype();
  auto axes = axes_from(c.axis(c.integer("axis", -1), x.rank()), x.rank());
  Value v = cast(x, inner);
  Value inverse =
      c.emit("rsqrt", {add(c, mean_over(c, mul(c, v, v), axes), number(c, v, c.floating("epsilon", 1e-5f)))});
  return {mul(c, cast(mul(c, v, inverse), x.dtype()), c.in(1))};
}

Values group_norm(Call& c) {
  Value x = c.in(0, 2);
  i64 groups = c.size("num_groups", 1, 1);
  Shape s = shape_of(x), grouped{s[0], groups, floordiv(s[1], groups)};
  grouped.insert(grouped.end(), s.begin() + 2, s.end());
  DType inner = bits(x.dtype()) < 32 ? DType::f32 : x.dtype();
  Value v = cast(reshape(x, grouped), inner);
  Value y = normalise(c, v, axes_from(2, v.rank()), c.floating("epsilon", 1e-5f)).y;
  bool per_group = c.opset() < 21;  // scale and bias by group in opset 18, by channel from 21 on
  auto apply = [&](Value t, size_t input, auto f) {
    Value p = cast(c.in(input), t.dtype());
    return f(c, t, along_channels(c, p, t));
  };
  if (per_group) return {cast(reshape(apply(apply(y, 1, mul), 2, add), s), x.dtype())};
  return {cast(apply(apply(reshape(y, s), 1, mul), 2, add), x.dtype())};
}

Values mean_variance(Call& c) {
  Value x = widened(c.in(0));
  auto axes = c.axes(c.integers("axes", {0, 2, 3}), x.rank());
  Value m = mean_over(c, x, axes), square = mean_over(c, mul(c, x, x), axes);
  Value deviation = c.emit("sqrt", {sub(c, square, mul(c, m, m))});
  return {cast(div(c, sub(c, x, m), add(c, deviation, number(c, x, 1e-9))), c.in(0).dtype())};
}

/// x / max(norm, tiny) along an axis.
Values lp_norm(Call& c) {
  Value x = widened(c.in(0));
  std::vector<i64> axes{c.axis(c.integer("axis", -1), x.rank())};
  bool one = c.integer("p", 2) == 1;
  Value s = c.reduce("sum", one ? c.emit("abs", {x}) : mul(c, x, x), axes, true);
  Value norm = one ? s : c.emit("sqrt", {s});
  Value zero = c.map("equal", {norm, number(c, x, 0)});
  Value y = c.map("select", {zero, number(c, x, 0), div(c, x, c.map("select", {zero, number(c, x, 1), norm}))});
  return {cast(y, c.in(0).dtype())};
}

/// Softmax-like ops took the input as a matrix from `axis` on before opset 13; now they work along one axis.
template <class F>
Values over_axis(Call& c, F f) {
  Value x = c.in(0);
  bool flat = c.opset() < 13;
  i64 axis = c.axis(c.integer("axis", flat ? 1 : -1), x.rank());
  if (!flat) return {f(c, x, axis)};
  auto at = static_cast<size_t>(axis);
  Value m = reshape(x, {product(x.shape().first(at)), product(x.shape().subspan(at))});
  return {reshape(f(c, m, 1), shape_of(x))};
}

Values softmax(Call& c) {
  return over_axis(c, [](Call& k, Value x, i64 axis) { return k.emit("softmax", {x}, {{"axis", axis}}); });
}

Values log_softmax(Call& c) {
  return over_axis(c, [](Call& k, Value x, i64 axis) { return k.emit("log_softmax", {x}, {{"axis", axis}}); });
}

Values hardmax(Call& c) {
  return over_axis(c, [](Call& k, Value x, i64 axis) {
    Shape kept = shape_of(x);
    kept[static_cast<size_t>(axis)] = 1;
    Value best = reshape(cast(k.emit("argmax", {x}, {{"axis", axis}}), DType::i64), kept);
    Value at = k.emit("iota", {}, {{"shape", shape_of(x)}, {"axis", axis}, {"dtype", DType::i64}});
    return cast(k.map("equal", {at, best}), x.dtype());
  });
}

/// Inference only: the mask is all true.
Values dropout(Call& c) {
  Value x = c.in(0);
  bool training = false;
  if (c.has(2)) {
    auto t = c.known(c.in(2));
    training = !t || t->size() != 1 || t->get_int(0) != 0;
  }
  double ratio = c.opset() < 12 ? c.floating("ratio", 0.5f) : c.has(1) ? c.known_double(1) : 0.5;
  if (training && ratio != 0)
    c.refuse("training_mode false or a ratio of 0", "training with ratio " + std::to_string(ratio),
             "export the model for inference");
  Value all = broadcast_to(c.scalar(1, DType::boolean), shape_of(x));
  return {x, all};
}

/// x / (bias + alpha / size * sum of squares over `size` neighbouring channels)^beta.
Values local_response(Call& c) {
  Value x = widened(c.in(0, 2));
  i64 size = c.size("size", 1, 1, 1 << 12), low = (size - 1) / 2, high = size - 1 - low;
  Shape before(static_cast<size_t>(x.rank()), Dim(0)), after = before;
  before[1] = low;
  after[1] = high;
  Value squares = c.emit("pad", {mul(c, x, x)}, {{"low", before}, {"high", after}, {"value", 0.0}});
  Value s;
  for (i64 i = 0; i < size; ++i) {
    Value part = slice(squares, 1, i, Dim(i) + x.shape()[1]);
    s = s ? add(c, s, part) : part;
  }
  Value base = add(c, mul(c, s, number(c, x, c.floating("alpha", 1e-4f) / static_cast<double>(size))),
                   number(c, x, c.floating("bias", 1)));
  Value y = div(c, x, c.map("pow", {base, number(c, x, c.floating("beta", 0.75f))}));
  return {cast(y, c.in(0).dtype())};
}

constexpr ConverterEntry kEntries[] = {
    {"BatchNormalization", 1, batch_norm},
    {"Dropout", 1, dropout},
    {"GroupNormalization", 18, group_norm},
    {"Hardmax", 1, hardmax},
    {"InstanceNormalization", 1, instance_norm},
    {"LRN", 1, local_response},
    {"LayerNormalization", 17, layer_norm},
    {"LogSoftmax", 1, log_softmax},
    {"LpNormalization", 1, lp_norm},
    {"MeanVarianceNormalization", 9, mean_variance},
    {"RMSNormalization", 23, rms_norm},
    {"Softmax", 1, softmax},
};

}  // namespace

std::span<const ConverterEntry> nn_converters() { return kEntries; }

}  // namespace tn::onnx
