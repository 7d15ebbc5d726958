// Resize and Upsample: axis by axis, where each element comes from is known at import. Nearest ones are a gather;
// linear and cubic ones a product with a matrix of weights, a row an element of the result.
#include <algorithm>
#include <cmath>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

constexpr i64 kMostWeights = i64{1} << 26;  // of one axis; and places

/// One axis: `in` elements become `out`, scale times as many before rounding.
struct Span {
  i64 axis, in, out;
  double scale, start = 0, end = 1;  // start and end: of the region of interest, in parts of the axis
};

struct Rules {
  std::string place, nearest;
  bool cubic = false, antialias = false, exclude_outside = false;
  double a = -0.75;
};

double place_of(const Span& s, const Rules& r, i64 i) {
  double x = static_cast<double>(i), n = static_cast<double>(s.in), m = static_cast<double>(s.out), wide = s.scale * n;
  if (r.place == "asymmetric") return x / s.scale;
  if (r.place == "align_corners") return wide <= 1 ? 0 : x * (n - 1) / (wide - 1);
  if (r.place == "tf_crop_and_resize")
    return m > 1 ? s.start * (n - 1) + x * (s.end - s.start) * (n - 1) / (m - 1) : 0.5 * (s.start + s.end) * (n - 1);
  double half = (x + 0.5) / s.scale - 0.5;
  if (r.place == "half_pixel_symmetric") return n / 2 * (1 - m / wide) + half;
  return r.place == "pytorch_half_pixel" && s.out == 1 ? 0 : half;
}

/// Where element i of the result stands among the originals; far outside, where a file's numbers ask for the
/// impossible.
double original(const Span& s, const Rules& r, i64 i) {
  double x = place_of(s, r, i);
  return std::isnan(x) ? 0 : std::clamp(x, -0x1p40, 0x1p40);
}

double kernel(const Rules& r, double d) {
  d = std::fabs(d);
  if (!r.cubic) return std::max(0.0, 1 - d);
  if (d <= 1) return ((r.a + 2) * d - (r.a + 3)) * d * d + 1;
  return d < 2 ? ((r.a * d - 5 * r.a) * d + 8 * r.a) * d - 4 * r.a : 0;
}

/// Weights of the originals for element i, added to `row`.
void weigh(const Span& s, const Rules& r, i64 i, double* row) {
  double x = original(s, r, i), narrow = r.antialias ? std::min(1.0, s.scale) : 1;
  auto reach = static_cast<i64>(std::ceil((r.cubic ? 2 : 1) / narrow)), middle = static_cast<i64>(std::floor(x));
  double sum = 0;
  auto each = [&](auto visit) {
    for (i64 k = middle - reach; k <= middle + reach + 1; ++k) {
      bool outside = k < 0 || k >= s.in;
      if (outside && r.exclude_outside) continue;
      visit(std::clamp<i64>(k, 0, s.in - 1), kernel(r, (static_cast<double>(k) - x) * narrow));
    }
  };
  each([&](i64, double w) { sum += w; });
  each([&](i64 k, double w) { row[k] += w / sum; });
}

Value interpolated(Call& c, Value x, const Span& s, const Rules& r) {
  if (s.in > kMostWeights / std::max<i64>(s.out, 1))
    c.refuse("an axis whose extents before and after have a product of at most 2^26",
             std::to_string(s.in) + " and " + std::to_string(s.out));
  Array weights = Array::empty(x.dtype(), {s.out, s.in});
  std::vector<double> row(static_cast<size_t>(s.in));
  for (i64 i = 0; i < s.out; ++i) {
    std::fill(row.begin(), row.end(), 0);
    weigh(s, r, i, row.data());
    for (i64 k = 0; k < s.in; ++k) weights.set(i * s.in + k, row[static_cast<size_t>(k)]);
  }
  return move_axis(dot(x, c.constant_of(weights), {}, {}, {s.axis}, {1}), x.rank() - 1, s.axis);
}

Value nearest(Call& c, Value x, const Span& s, const Rules& r) {
  if (s.out > kMostWeights) c.refuse("a result of at most 2^26 elements along an axis", std::to_string(s.out));
  Array places = Array::empty(DType::i64, {s.out});
  for (i64 i = 0; i < s.out; ++i) {
    double at = original(s, r, i);
    at = r.nearest == "round_prefer_ceil" ? std::floor(at + 0.5)
         : r.nearest == "floor"           ? std::floor(at)
         : r.nearest == "ceil"            ? std::ceil(at)
                                          : std::ceil(at - 0.5);
    places.set_int(i, static_cast<i64>(std::clamp(at, 0.0, static_cast<double>(s.in - 1))));
  }
  return gather(x, c.constant_of(places), s.axis);
}

/// What lies outside of the originals becomes `value`.
Value extrapolated(Call& c, Value y, const Span& s, const Rules& r, double value) {
  Array outside = Array::empty(DType::boolean, {s.out});
  for (i64 i = 0; i < s.out; ++i) {
    double x = original(s, r, i);
    outside.set_int(i, x < 0 || x > static_cast<double>(s.in - 1));
  }
  Value mask = broadcast(c.constant_of(outside), shape_of(y), {s.axis});
  return select(mask, c.like(y, value), y);
}

void expect_few(Call& c, double out) {
  if (!(out >= 0 && out <= 0x1p31)) c.refuse("results of 0 to 2^31 elements along an axis", std::to_string(out));
}

/// Results in which every axis keeps its share of one scale: the greatest that fits, or the least that covers.
void keep_aspect(Call& c, std::vector<Span>& spans, const std::string& policy) {
  if (policy == "stretch") return;
  double scale = spans[0].scale;
  for (const Span& s : spans) scale = policy == "not_larger" ? std::min(scale, s.scale) : std::max(scale, s.scale);
  for (Span& s : spans) {
    s.scale = scale;
    expect_few(c, scale * static_cast<double>(s.in));
    s.out = static_cast<i64>(std::floor(scale * static_cast<double>(s.in) + 0.5));
  }
}

std::vector<Span> spans_of(Call& c, Value x, size_t scales, size_t sizes) {
  std::vector<i64> axes = axis_range(0, x.rank());
  if (c.attribute("axes")) {
    axes = c.integers("axes");
    for (i64& a : axes) a = c.axis(a, x.rank());
    if (c.axes(axes, x.rank()).empty()) c.refuse("at least one axis", "none");
  }
  std::vector<double> factors;
  std::vector<i64> wanted;
  if (c.attribute("scales"))
    factors = c.floats("scales");
  else if (c.has(sizes) && c.known_ints(sizes).size() == axes.size())
    wanted = c.known_ints(sizes);
  else
    factors = c.known_doubles(scales);
  if (axes.empty() || (factors.size() != axes.size() && wanted.size() != axes.size()))
    c.refuse("a scale or size for each of " + std::to_string(axes.size()) + " axes",
             std::to_string(std::max(factors.size(), wanted.size())));
  std::vector<Span> spans;
  for (size_t i = 0; i < axes.size(); ++i) {
    Dim n = x.shape()[static_cast<size_t>(axes[i])];
    bool same = !factors.empty() && factors[i] == 1;
    if (same && !n.is_constant()) continue;
    if (!n.is_constant() || n.value() < 1)
      c.refuse("a number of at least 1 on axis " + std::to_string(axes[i]), to_string(x.type()));
    double in = static_cast<double>(n.value());
    double scale = wanted.empty() ? factors[i] : static_cast<double>(wanted[i]) / in;
    expect_few(c, scale * in);
    i64 out = wanted.empty() ? static_cast<i64>(std::floor(scale * in)) : wanted[i];
    spans.push_back({axes[i], n.value(), out, scale});
  }
  if (!wanted.empty()) keep_aspect(c, spans, c.text("keep_aspect_ratio_policy", "stretch"));
  return spans;
}

Value resized(Call& c, const Rules& rules, std::vector<Span> spans, bool by_nearest) {
  Value x = c.in(0);
  DType dtype = x.dtype();
  bool crop = rules.place == "tf_crop_and_resize";
  if (crop) {
    std::vector<double> region = c.known_doubles(1);
    if (region.size() != 2 * spans.size())
      c.refuse("a region of " + std::to_string(2 * spans.size()) + " numbers", std::to_string(region.size()));
    for (size_t i = 0; i < spans.size(); ++i) {
      spans[i].start = region[i];
      spans[i].end = region[i + spans.size()];
      if (!(std::fabs(spans[i].start) < 0x1p31) || !(std::fabs(spans[i].end) < 0x1p31))
        c.refuse("a region within 2^31", "another");
    }
  }
  if (!by_nearest && !is_float(dtype)) x = cast(x, DType::f32);
  for (const Span& s : spans) {
    if (!crop && s.scale == 1) continue;
    x = by_nearest ? nearest(c, x, s, rules) : interpolated(c, x, s, rules);
  }
  for (const Span& s : spans)
    if (crop) x = extrapolated(c, x, s, rules, c.floating("extrapolation_value", 0));
  return cast(x, dtype);
}

Values resize(Call& c) {
  bool old = c.opset() < 11;
  Rules r;
  r.place = old ? "asymmetric" : c.text("coordinate_transformation_mode", "half_pixel");
  r.nearest = old ? "floor" : c.text("nearest_mode", "round_prefer_floor");
  r.antialias = c.integer("antialias", 0) != 0;
  r.exclude_outside = c.integer("exclude_outside", 0) != 0;
  r.a = c.floating("cubic_coeff_a", -0.75);
  std::string mode = c.text("mode", "nearest");
  r.cubic = mode == "cubic";
  if (mode != "nearest" && mode != "linear" && mode != "cubic") c.refuse("mode nearest, linear or cubic", mode);
  return {resized(c, r, spans_of(c, c.in(0), old ? 1 : 2, old ? ~size_t{0} : 3), mode == "nearest")};
}

constexpr ConverterEntry kEntries[] = {
    {"Resize", 10, resize},
    {"Upsample", 7, resize},
};

}  // namespace

std::span<const ConverterEntry> resize_converters() { return kEntries; }

}  // namespace tn::onnx
