// Convolutions over pictures as register tiles; see window.cpp.
#pragma once
#include "compile/contraction.h"

namespace tn {

/// More weights than this an output element and channel are a picture themselves: the gradient of weights.
inline constexpr i64 kMostTaps = 49;

/// A contraction that is a two-dimensional convolution without spread inputs.
struct WindowView {
  static std::optional<WindowView> of(const ContractionView& v);
  /// How much of the padded picture `count` results along `axis` see.
  Dim span(size_t axis, Dim count) const;

  i64 step[2], low[2], dilation[2];
  Dim image[2], taps[2], result[2];
  Dim pictures, channels, features;
};

/// A picture in scratch, channel by channel, with zeros left and right of it: [channel][row][column].
class PaddedCopy {
 public:
  /// Room for `rows` rows of all channels of `value`.
  PaddedCopy(KernelWriter& w, const WindowView& view, u32 value, DType dtype, Dim rows);
  /// Copies, from row `first_row` of the padded picture on; `at` gives the coordinates of channel, row and column. Rows
  /// above and below the picture stay as they are: they are left out of every sum.
  void fill(KernelWriter& w, const std::function<Coords(Dim, Dim, Dim)>& at, Dim first_row) const;
  /// `rows` elements from `offset` on, as a column.
  loops::Val column(KernelWriter& w, Dim offset, Dim row_step, int rows) const;
  /// Elements from row to row, from channel to channel.
  Dim width() const { return width_; }
  Dim plane() const { return plane_; }

 private:
  static constexpr i64 kSlack = 256;
  static constexpr int kLanes = 64, kZeros = 16;
  static Dim plane_of(Dim rows, Dim width);
  void copy_row(KernelWriter& w, const std::function<Coords(Dim, Dim, Dim)>& at, Dim c, Dim y, Dim to,
                Dim columns) const;
  void zeros(KernelWriter& w, Dim to, Dim count) const;
  const WindowView& view_;
  u32 value_;
  DType dtype_;
  Dim rows_, width_, plane_;
  int buffer_ = -1;
};

/// Whether the convolution is better done as a gradient of weights: small results of large weights.
bool is_window_gradient(const WindowView& view);
Lowered lower_window_gradient(const Graph& g, const GraphIndex& index, const Group& group, const Target& target,
                              const ContractionView& v, const WindowView& view);

std::optional<Lowered> lower_window_contraction(const Graph& g, const GraphIndex& index, const Group& group,
                                                const Target& target);

}  // namespace tn
