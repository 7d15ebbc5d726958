// Sliding windows as ONNX describes them (strides, pads, dilations, auto_pad): shared by convolution and pooling.
#pragma once
#include "onnx/convert.h"

namespace tn::onnx {

inline constexpr i64 kMostExtent = i64{1} << 31, kLeastPad = -kMostExtent;

struct Windows {
  std::vector<i64> strides, dilations, low, high;
};

/// Extents of axes 2 and on, which must be numbers.
std::vector<i64> spatial_extents(Call& c, Value v);
/// Attributes of a window of that kernel over x, auto_pad resolved (which needs x's extents as numbers).
Windows windows_of(Call& c, Value x, const std::vector<i64>& kernel);

}  // namespace tn::onnx
