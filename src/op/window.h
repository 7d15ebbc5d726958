// Windows that slide over the trailing axes of a tensor: the attributes shared by pooling and its derivatives.
#pragma once
#include <string_view>
#include <vector>

#include "ir/op_def.h"

namespace tn {

struct Window {
  std::vector<i64> window, strides, low, high, dilation;  // one number a spatial axis
  explicit Window(const Attrs& a);
  size_t axes() const { return window.size(); }
  /// Elements from the first to the last of a window.
  i64 reach(size_t axis) const { return (window[axis] - 1) * dilation[axis] + 1; }
  i64 count() const;
  bool padded() const;
  /// How many windows along an axis may hold one element.
  i64 overlap(size_t axis) const { return (reach(axis) + strides[axis] - 1) / strides[axis]; }
};

/// window, strides, padding_low, padding_high, dilation, and more.
std::vector<AttrSpec> window_attrs(const std::vector<AttrSpec>& more = {});
/// The shape of one number a window; Error naming the axis where none fits.
Shape windows_shape(std::string_view op, std::span<const Dim> x, const Window& w);

}  // namespace tn
