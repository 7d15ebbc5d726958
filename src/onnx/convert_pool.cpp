// Pooling. Windows that ceil_mode lets hang over the padding are padding of ours that counts for nothing.
#include <algorithm>
#include <numeric>

#include "onnx/convert.h"
#include "onnx/windows.h"

namespace tn::onnx {

namespace {

struct Pooling {
  std::vector<i64> kernel;
  Windows windows;
  std::vector<i64> overhang;  // beyond padding_high, from ceil_mode
};

Pooling pooling_of(Call& c) {
  Pooling p;
  p.kernel = c.sizes("kernel_shape", c.integers("kernel_shape").size(), 1, 1);
  if (p.kernel.empty()) c.refuse("attribute kernel_shape", "none");
  Value x = c.in(0);
  p.windows = windows_of(c, x, p.kernel);
  p.overhang.assign(p.kernel.size(), 0);
  if (!c.integer("ceil_mode", 0)) return p;
  for (size_t i = 0; i < p.kernel.size(); ++i) {
    Dim d = x.shape()[i + 2];
    if (!d.is_constant()) c.refuse("numbers for the input's extents with ceil_mode", to_string(x.type()));
    if (d.value() > kMostExtent) c.refuse("extents up to 2^31 with ceil_mode", to_string(x.type()));
    i64 reach = (p.kernel[i] - 1) * p.windows.dilations[i] + 1, stride = p.windows.strides[i];
    i64 padded = d.value() + p.windows.low[i] + p.windows.high[i];
    i64 out = (std::max<i64>(0, padded - reach) + stride - 1) / stride + 1;
    if ((out - 1) * stride >= d.value() + p.windows.low[i]) --out;  // a window must begin inside
    p.overhang[i] = std::max<i64>(0, (out - 1) * stride + reach - padded);
  }
  return p;
}

Attrs attrs_of(const Pooling& p, std::vector<i64> low, std::vector<i64> high) {
  for (size_t i = 0; i < high.size(); ++i) high[i] += p.overhang[i];
  return {{"window", p.kernel},
          {"strides", p.windows.strides},
          {"padding_low", std::move(low)},
          {"padding_high", high},
          {"dilation", p.windows.dilations}};
}

Attrs attrs_of(const Pooling& p) { return attrs_of(p, p.windows.low, p.windows.high); }

/// Places among the spatial axes become places in the whole tensor.
Value whole_places(Call& c, Value at) {
  Value x = c.in(0);
  Shape lead{x.shape()[0] * x.shape()[1]};
  Value channel = reshape(c.emit("iota", {}, {{"shape", lead}, {"axis", i64{0}}, {"dtype", DType::i64}}),
                          {x.shape()[0], x.shape()[1]});
  Shape ones{x.shape()[0], x.shape()[1]};
  ones.resize(static_cast<size_t>(x.rank()), Dim(1));
  Value size = c.from_dims({product(x.shape().subspan(2))}, DType::i64, true);
  return c.map("add", {c.map("mul", {reshape(channel, ones), size}), cast(at, DType::i64)});
}

Values max_pool(Call& c) {
  Pooling p = pooling_of(c);
  Value x = c.in(0), y = c.emit("max_pool", {x}, attrs_of(p));
  if (c.node().outputs.size() < 2) return {y};
  Value at = c.emit("max_pool_index", {x}, attrs_of(p));
  if (!c.integer("storage_order", 0)) return {y, whole_places(c, at)};
  // Column-major places: the spatial axes counted the other way round.
  Value rest = cast(at, DType::i64), place = c.scalar(0, DType::i64);
  for (int i = x.rank() - 1; i >= 2; --i) {
    Value extent = c.from_dims({x.shape()[static_cast<size_t>(i)]}, DType::i64, true);
    Value stride = c.from_dims({product(x.shape().subspan(2, static_cast<size_t>(i) - 2))}, DType::i64, true);
    place = c.map("add", {place, c.map("mul", {c.map("remainder", {rest, extent}), stride})});
    rest = c.map("floor_divide", {rest, extent});
  }
  return {y, whole_places(c, place)};
}

Values average_pool(Call& c) {
  Pooling p = pooling_of(c);
  Value x = widened(c.in(0));
  bool counts_padding = c.integer("count_include_pad", 0);
  Value sums = c.emit("window_sum", {x}, attrs_of(p));
  Shape ones{1, 1};
  for (size_t i = 0; i < p.kernel.size(); ++i)
    ones.push_back(x.shape()[i + 2] + Dim(counts_padding ? p.windows.low[i] + p.windows.high[i] : 0));
  std::vector<i64> none(p.kernel.size(), 0);
  Value one = broadcast_to(c.scalar(1, x.dtype()), ones);
  Value counts = c.emit("window_sum", {one}, counts_padding ? attrs_of(p, none, none) : attrs_of(p));
  return {cast(c.map("div", {sums, counts}), c.in(0).dtype())};
}

Values lp_pool(Call& c) {
  Pooling p = pooling_of(c);
  Value x = widened(c.in(0)), a = c.emit("abs", {x});
  double power = static_cast<double>(c.integer("p", 2));
  Value s = c.emit("window_sum", {c.map("pow", {a, c.scalar(power, x.dtype())})}, attrs_of(p));
  return {cast(c.map("pow", {s, c.scalar(1 / power, x.dtype())}), c.in(0).dtype())};
}

std::vector<i64> spatial_axes(Call& c) {
  if (c.in(0).rank() < 3) c.refuse("an input with spatial axes", to_string(c.in(0).type()));
  std::vector<i64> axes(static_cast<size_t>(c.in(0).rank() - 2));
  std::iota(axes.begin(), axes.end(), 2);
  return axes;
}

Values global_max(Call& c) { return {c.reduce("max", c.in(0), spatial_axes(c), true)}; }

Values global_average(Call& c) {
  Value x = widened(c.in(0, 3));
  Value count = cast(c.from_dims({product(x.shape().subspan(2))}, DType::i64, true), x.dtype());
  return {cast(c.map("div", {c.reduce("sum", x, spatial_axes(c), true), count}), c.in(0).dtype())};
}

Values global_lp(Call& c) {
  Value x = widened(c.in(0)), a = c.emit("abs", {x});
  double power = static_cast<double>(c.integer("p", 2));
  Value s = c.reduce("sum", c.map("pow", {a, c.scalar(power, x.dtype())}), spatial_axes(c), true);
  return {cast(c.map("pow", {s, c.scalar(1 / power, x.dtype())}), c.in(0).dtype())};
}

constexpr ConverterEntry kEntries[] = {
    {"AveragePool", 1, average_pool}, {"GlobalAveragePool", 1, global_average},
    {"GlobalLpPool", 1, global_lp},   {"GlobalMaxPool", 1, global_max},
    {"LpPool", 1, lp_pool},           {"MaxPool", 1, max_pool},
};

}  // namespace

std::span<const ConverterEntry> pool_converters() { return kEntries; }

}  // namespace tn::onnx
