#include "op/window.h"

#include <string>

#include "ir/guard.h"

namespace tn {

Window::Window(const Attrs& a)
    : window(a.get<std::vector<i64>>("window")),
      strides(a.get<std::vector<i64>>("strides")),
      low(a.get<std::vector<i64>>("padding_low")),
      high(a.get<std::vector<i64>>("padding_high")),
      dilation(a.get<std::vector<i64>>("dilation")) {}

i64 Window::count() const {
  i64 n = 1;
  for (i64 w : window) n *= w;
  return n;
}

bool Window::padded() const {
  for (size_t i = 0; i < axes(); ++i)
    if (low[i] || high[i]) return true;
  return false;
}

std::vector<AttrSpec> window_attrs(const std::vector<AttrSpec>& more) {
  std::vector<AttrSpec> r{{"window", AttrKind::integers, {}},
                          {"strides", AttrKind::integers, {}},
                          {"padding_low", AttrKind::integers, {}},
                          {"padding_high", AttrKind::integers, {}},
                          {"dilation", AttrKind::integers, {}}};
  r.insert(r.end(), more.begin(), more.end());
  return r;
}

namespace {

void check_counts(std::string_view op, const Window& w, size_t rank) {
  size_t n = w.axes();
  if (w.strides.size() != n || w.low.size() != n || w.high.size() != n || w.dilation.size() != n)
    fail(op, "expected strides, padding and dilation for each of the " + std::to_string(n) +
                 " axes of the window, got " + std::to_string(w.strides.size()) + ", " + std::to_string(w.low.size()) +
                 ", " + std::to_string(w.high.size()) + " and " + std::to_string(w.dilation.size()));
  if (n > rank) fail(op, "expected a window of at most " + std::to_string(rank) + " axes, got " + std::to_string(n));
}

}  // namespace

Shape windows_shape(std::string_view op, std::span<const Dim> x, const Window& w) {
  check_counts(op, w, x.size());
  Shape shape(x.begin(), x.end());
  constexpr i64 kMost = 1 << 30;  // keeps the arithmetic below far from overflow
  for (size_t i = 0, axis = x.size() - w.axes(); i < w.axes(); ++i, ++axis) {
    std::string where = " on axis " + std::to_string(axis);
    for (i64 v : {w.window[i], w.strides[i], w.dilation[i]})
      if (v < 1 || v > kMost)
        fail(op, "expected a window, stride and dilation of at least 1" + where + ", got " + std::to_string(v));
    for (i64 v : {w.low[i], w.high[i]})
      if (v < 0 || v > kMost) fail(op, "expected padding of at least 0" + where + ", got " + std::to_string(v));
    Dim room = x[axis] + Dim(w.low[i] + w.high[i] - w.reach(i));
    expect_nonnegative(op, room, [&] {
      return "expected a window of at most the padded extent " + to_string(x[axis] + Dim(w.low[i] + w.high[i])) +
             where + ", got one that reaches over " + std::to_string(w.reach(i));
    });
    shape[axis] = floordiv(room, w.strides[i]) + Dim(1);
  }
  return shape;
}

}  // namespace tn
