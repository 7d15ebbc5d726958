// Contractions: matrix products, einsum and convolutions of any number of spatial axes our conv has.
#include <algorithm>
#include <numeric>

#include "onnx/convert.h"
#include "onnx/windows.h"

namespace tn::onnx {

namespace {

Values matmul(Call& c) { return {c.emit("matmul", {c.in(0), c.in(1)})}; }

Values gemm(Call& c) {
  Value a = c.in(0), b = c.in(1);
  if (c.integer("transA", 0)) a = permute(a, {1, 0});
  if (c.integer("transB", 0)) b = permute(b, {1, 0});
  Value r = c.emit("matmul", {a, b});
  double alpha = c.floating("alpha", 1), beta = c.floating("beta", 1);
  if (alpha != 1) r = c.map("mul", {r, c.scalar(alpha, r.dtype())});
  if (!c.has(2)) return {r};
  Value bias = c.in(2);
  if (beta != 1) bias = c.map("mul", {bias, c.scalar(beta, bias.dtype())});
  return {c.map("add", {r, bias})};
}

Values einsum(Call& c) {
  std::string spec = c.text("equation", "");
  std::erase(spec, ' ');
  return {c.emit_all("einsum", c.all_in(), {{"spec", spec}})[0]};
}

/// A bias of one number a channel (axis 1).
Value with_bias(Call& c, Value y, size_t input) {
  if (!c.has(input)) return y;
  Shape s = shape_of(y);
  return c.map("add", {y, c.emit("broadcast", {c.in(input)}, {{"shape", s}, {"dims", std::vector<i64>{1}}})});
}

Values conv(Call& c) {
  Value x = c.in(0), w = c.in(1);
  Windows win = windows_of(c, x, spatial_extents(c, w));
  Value y = c.emit("conv", {x, w},
                   {{"strides", win.strides},
                    {"padding_low", win.low},
                    {"padding_high", win.high},
                    {"lhs_dilation", std::vector<i64>(win.strides.size(), 1)},
                    {"rhs_dilation", win.dilations},
                    {"groups", c.size("group", 1, 1)}});
  return {with_bias(c, y, 2)};
}

/// The transpose of a convolution: input spread by the stride, weights flipped, groups' channels exchanged.
Values conv_transpose(Call& c) {
  Value x = c.in(0), w = c.in(1);
  auto kernel = spatial_extents(c, w);
  size_t n = kernel.size();
  if (x.rank() != w.rank()) c.refuse("an input of " + std::to_string(n + 2) + " axes", to_string(x.type()));
  i64 groups = c.size("group", 1, 1);
  std::vector<i64> strides = c.sizes("strides", n, 1, 1), dil = c.sizes("dilations", n, 1, 1);
  std::vector<i64> extra = c.sizes("output_padding", n, 0, 0), pads = c.sizes("pads", 2 * n, 0, kLeastPad);
  std::vector<i64> want = c.integers("output_shape");
  if (!want.empty() && want.size() < n) c.refuse("an output_shape of " + std::to_string(n) + " axes", "fewer");
  std::string automatic = c.text("auto_pad", "NOTSET");
  for (size_t i = 0; i < n; ++i) {
    Dim in = x.shape()[i + 2];
    i64 reach = (kernel[i] - 1) * dil[i] + 1;
    bool same = automatic.starts_with("SAME");
    if (want.empty() && !same) continue;
    if (!in.is_constant())
      c.refuse("numbers for the input's extents where output_shape or auto_pad is given", to_string(x.type()));
    i64 target = want.empty() ? in.value() * strides[i] : want[want.size() - n + i];
    if (in.value() > kMostExtent || target < 0 || target > kMostExtent)
      c.refuse("extents from 0 to 2^31", std::to_string(target));
    i64 total = strides[i] * (in.value() - 1) + extra[i] + reach - target;
    // The larger half goes before, with SAME_UPPER after; what is missing is added at the end.
    pads[i] = total < 0 ? 0 : automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
    pads[i + n] = total - pads[i];
  }
  // Weights [C, O/g, k...] -> [O, C/g, k...], flipped.
  Shape s(w.shape().begin(), w.shape().end()), split{groups, floordiv(s[0], groups), s[1]},
      joined{s[1] * Dim(groups), floordiv(s[0], groups)};
  std::vector<i64> order{0, 2, 1}, spatial;
  for (size_t i = 0; i < n; ++i) {
    split.push_back(s[i + 2]);
    joined.push_back(s[i + 2]);
    order.push_back(static_cast<i64>(i) + 3);
    spatial.push_back(static_cast<i64>(i) + 2);
  }
  Value v = reshape(permute(reshape(w, split), order), joined);
  v = c.emit("flip", {v}, {{"axes", spatial}});
  std::vector<i64> low, high;
  for (size_t i = 0; i < n; ++i) {
    i64 reach = (kernel[i] - 1) * dil[i];
    low.push_back(reach - pads[i]);
    high.push_back(reach - pads[i + n] + extra[i]);
  }
  Value y = c.emit("conv", {x, v},
                   {{"strides", std::vector<i64>(n, 1)},
                    {"padding_low", low},
                    {"padding_high", high},
                    {"lhs_dilation", strides},
                    {"rhs_dilation", dil},
                    {"groups", groups}});
  return {with_bias(c, y, 2)};
}

constexpr ConverterEntry kEntries[] = {
    {"Conv", 1, conv},     {"ConvTranspose", 1, conv_transpose}, {"Einsum", 12, einsum}, {"Gemm", 1, gemm},
    {"MatMul", 1, matmul},
};

}  // namespace

std::span<const ConverterEntry> linear_converters() { return kEntries; }

}  // namespace tn::onnx
