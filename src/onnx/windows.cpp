#include "onnx/windows.h"

#include <algorithm>

namespace tn::onnx {

std::vector<i64> spatial_extents(Call& c, Value v) {
  std::vector<i64> r;
  for (int i = 2; i < v.rank(); ++i) {
    Dim d = v.shape()[static_cast<size_t>(i)];
    if (!d.is_constant()) c.refuse("kernel extents that are numbers", to_string(v.type()));
    if (d.value() > kMostExtent) c.refuse("kernel extents up to 2^31", to_string(v.type()));
    r.push_back(d.value());
  }
  if (r.empty()) c.refuse("at least one spatial axis", to_string(v.type()));
  return r;
}

Windows windows_of(Call& c, Value x, const std::vector<i64>& kernel) {
  size_t n = kernel.size();
  if (x.rank() != static_cast<int>(n) + 2)
    c.refuse("an input of " + std::to_string(n + 2) + " axes", to_string(x.type()));
  Windows w;
  w.strides = c.sizes("strides", n, 1, 1);
  w.dilations = c.sizes("dilations", n, 1, 1);
  std::vector<i64> pads = c.sizes("pads", 2 * n, 0, kLeastPad);
  w.low.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(n));
  w.high.assign(pads.begin() + static_cast<std::ptrdiff_t>(n), pads.end());
  std::string automatic = c.text("auto_pad", "NOTSET");
  if (automatic == "VALID") {
    std::fill(w.low.begin(), w.low.end(), 0);
    std::fill(w.high.begin(), w.high.end(), 0);
  }
  if (!automatic.starts_with("SAME")) return w;
  for (size_t i = 0; i < n; ++i) {
    Dim d = x.shape()[i + 2];
    if (!d.is_constant())
      c.refuse("numbers for the input's extents with auto_pad", to_string(x.type()), "give explicit pads");
    if (d.value() > kMostExtent) c.refuse("extents up to 2^31 with auto_pad", to_string(x.type()));
    i64 in = d.value(), out = (in + w.strides[i] - 1) / w.strides[i];
    i64 total = std::max<i64>(0, (out - 1) * w.strides[i] + (kernel[i] - 1) * w.dilations[i] + 1 - in);
    w.low[i] = automatic == "SAME_LOWER" ? total - total / 2 : total / 2;
    w.high[i] = total - w.low[i];
  }
  return w;
}

}  // namespace tn::onnx
