#include "harness.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace tn::test {

u64 Random::next() {
  u64 z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

double Random::uniform(double low, double high) {
  return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
}

Array make_operand(const SampleOperand& operand, Random& random) {
  Array a = Array::empty(operand.dtype, operand.shape);
  for (i64 i = 0; i < a.size(); ++i) {
    double v =
        operand.values.empty() ? random.uniform(operand.low, operand.high) : operand.values[static_cast<size_t>(i)];
    if (operand.values.empty() && !is_float(operand.dtype)) v = std::floor(v);
    a.set(i, v);
  }
  return a;
}

std::vector<Array> make_operands(const Sample& sample, u64 seed) {
  Random random(seed);
  std::vector<Array> r;
  for (const SampleOperand& o : sample.operands) r.push_back(make_operand(o, random));
  return r;
}

Array random_like(Type type, Random& random, double low, double high) {
  SampleOperand o{type.dtype(), {}, low, high, {}};
  for (Dim d : type.shape()) o.shape.push_back(d.value());
  return make_operand(o, random);
}

std::vector<Type> types_of(const Sample& sample) {
  std::vector<Type> r;
  for (const SampleOperand& o : sample.operands)
    r.push_back(Type::tensor(o.dtype, Shape(o.shape.begin(), o.shape.end())));
  return r;
}

GraphPtr call_graph(const OpDef& op, std::span<const Type> types, const Attrs& attrs) {
  return make_graph(types, [&](Builder& b, ValueSpan x) { return b.emit(op, x, attrs); });
}

GraphPtr call_graph(const OpDef& op, const Sample& sample) { return call_graph(op, types_of(sample), sample.attrs); }

std::string describe(const OpDef& op, const Sample& sample) {
  std::string text(op.name);
  text += "(";
  for (Type t : types_of(sample)) text += (text.back() == '(' ? "" : ", ") + to_string(t);
  return text + ")" + (sample.attrs.empty() ? "" : ", attributes " + std::to_string(sample.attrs.items().size()));
}

Tolerance tolerance_of(const OpDef& op, const Sample& sample, DType result) {
  if (!is_float(result)) return {};
  bool elementwise = op.lower.as<Scalar>();
  if (sample.tolerance != 0) return {sample.tolerance, elementwise ? 0.0 : 1.0};
  switch (result) {
    case DType::f64: return elementwise ? Tolerance{3 * 0x1p-52, 0} : Tolerance{1e-13, 1};
    case DType::f32: return elementwise ? Tolerance{3 * 0x1p-23, 0} : Tolerance{2e-6, 1};
    case DType::f16: return elementwise ? Tolerance{0x1p-10, 0} : Tolerance{0x1p-10, 0.1};
    default: return elementwise ? Tolerance{0x1p-7, 0} : Tolerance{0x1p-7, 0.1};
  }
}

static std::string shown(const Array& a) {
  std::string text(name(a.dtype));
  text += "[";
  for (i64 d : a.shape) text += (text.back() == '[' ? "" : ", ") + std::to_string(d);
  return text + "]";
}

static bool close(double a, double b, double bound) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::fabs(a - b) <= bound;
}

/// The least normal number: below it a relative bound means nothing.
static double smallest(DType d) { return d == DType::f64 ? 0x1p-1022 : d == DType::f16 ? 0x1p-14 : 0x1p-126; }

std::string difference_of(const Array& got, const Array& want, Tolerance tolerance, bool signs) {
  if (got.dtype != want.dtype || got.shape != want.shape) return "expected " + shown(want) + ", got " + shown(got);
  double greatest = 0;
  for (i64 i = 0; i < want.size(); ++i)
    if (double w = std::fabs(want.get(i)); std::isfinite(w)) greatest = std::max(greatest, w);
  for (i64 i = 0; i < want.size(); ++i) {
    bool same = true;
    double a = got.get(i), b = want.get(i);
    if (!is_float(want.dtype))
      same = got.get_int(i) == want.get_int(i);
    else {
      double bound = tolerance.relative * (std::fabs(b) + tolerance.spread * greatest + smallest(want.dtype));
      same = close(a, b, bound) && (!signs || a != 0 || b != 0 || std::signbit(a) == std::signbit(b));
    }
    if (same) continue;
    char text[200];
    std::snprintf(text, sizeof text, "element %lld: expected %.17g, got %.17g (tolerance %g)",
                  static_cast<long long>(i), b, a, tolerance.relative);
    return text;
  }
  return "";
}

bool same_numbers(const Array& a, const Array& b) {
  if (a.same_bits(b)) return true;
  if (a.dtype != b.dtype || a.shape != b.shape || !is_float(a.dtype)) return false;
  size_t step = static_cast<size_t>(bytes(a.dtype));
  for (i64 i = 0; i < a.size(); ++i) {
    auto at = static_cast<size_t>(i) * step;
    if (std::isnan(a.get(i)) && std::isnan(b.get(i))) continue;
    if (std::memcmp(a.bytes_begin() + at, b.bytes_begin() + at, step) != 0) return false;
  }
  return true;
}

std::vector<Sample> good_samples(const OpDef& op) {
  std::vector<Sample> r;
  for (Sample& s : op.samples())
    if (s.error.empty()) r.push_back(std::move(s));
  return r;
}

std::vector<Sample> some_samples(const OpDef& op, size_t count) {
  std::vector<Sample> all = good_samples(op), r;
  count = std::min(count, all.size());
  for (size_t i = 0; i < count; ++i) r.push_back(std::move(all[i * all.size() / count]));
  return r;
}

std::vector<Sample> smooth_samples(const OpDef& op) {
  std::vector<Sample> r;
  for (Sample& s : good_samples(op)) {
    bool smooth = true, floating = false;
    for (const SampleOperand& o : s.operands) {
      floating |= o.dtype == DType::f64;
      smooth = smooth && (!is_float(o.dtype) || (o.dtype == DType::f64 && o.values.empty()));
    }
    if (smooth && floating) r.push_back(std::move(s));
  }
  return r;
}

}  // namespace tn::test
