#include "op/rules.h"

#include <limits>

namespace tn {

// ---------------------------------------------------------------- types

std::string difference(Type a, Type b) {
  std::string text = to_string(a) + " and " + to_string(b);
  if (a.rank() != b.rank()) return text + ", of rank " + std::to_string(a.rank()) + " and " + std::to_string(b.rank());
  for (int i = 0; i < a.rank(); ++i)
    if (a.shape()[static_cast<size_t>(i)] != b.shape()[static_cast<size_t>(i)])
      return text + ", which differ on axis " + std::to_string(i);
  return text;
}

void check_same_shapes(std::string_view op, std::span<const Type> types) {
  for (const Type& t : types.subspan(1))
    if (!std::equal(t.shape().begin(), t.shape().end(), types[0].shape().begin(), types[0].shape().end()))
      fail(op, "expected equal shapes, got " + difference(types[0], t) + "; broadcast or reshape one of them");
}

void check_axis(std::string_view op, i64 axis, int rank) {
  if (axis < 0 || axis >= rank)
    fail(op, "expected an axis from 0 to " + std::to_string(rank - 1) + ", got " + std::to_string(axis) +
                 " for an operand of rank " + std::to_string(rank));
}

void check_axes(std::string_view op, const std::vector<i64>& axes, int rank) {
  std::vector<bool> seen(static_cast<size_t>(rank));
  for (i64 a : axes) {
    check_axis(op, a, rank);
    if (seen[static_cast<size_t>(a)]) fail(op, "expected each axis once, got axis " + std::to_string(a) + " twice");
    seen[static_cast<size_t>(a)] = true;
  }
}

std::string shape_text(std::span<const Dim> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + to_string(shape[i]);
  return text + "]";
}

void check_extents(std::string_view op, std::span<const Dim> shape) {
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i].is_constant() && shape[i].value() < 0)
      fail(op, "expected an extent of at least 0 on axis " + std::to_string(i) + ", got " + shape_text(shape));
}

// ---------------------------------------------------------------- samples

const std::vector<DType>& every_dtype() {
  static const std::vector<DType> all{DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64,
                                      DType::i32, DType::i8,  DType::u32, DType::u8,   DType::boolean};
  return all;
}

Sample sample_of(DType dtype, const std::vector<i64>& shape, size_t count, double low, double high,
                 const Attrs& attrs) {
  return {std::vector<SampleOperand>(count, SampleOperand{dtype, shape, low, high, {}}), attrs, {}, 0};
}

SampleOperand values_of(DType dtype, std::vector<double> values) {
  auto n = static_cast<i64>(values.size());
  return {dtype, {n}, 0, 0, std::move(values)};
}

Sample failing(std::vector<SampleOperand> operands, std::string_view error, const Attrs& attrs) {
  return {std::move(operands), attrs, error, 0};
}

std::vector<double> special_floats() {
  double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  return {nan, inf, -inf, 0.0, -0.0, 1, -1, 0.5, -0.5, 2, -2.5, 100, -100, 1e-4, -1e-4, 6e4, -6e4};
}

std::vector<double> special_integers(DType dtype) {
  double top = 1;
  for (int i = is_signed(dtype) ? 1 : 0; i < bits(dtype); ++i) top *= 2;
  if (is_signed(dtype)) return {0, 1, -1, 2, -3, 7, -top, 1 - top, top - 1, top / 2};
  return {0, 1, 2, 3, 7, top - 1, top / 2};
}

std::pair<std::vector<double>, std::vector<double>> pairs_of(const std::vector<double>& values) {
  std::pair<std::vector<double>, std::vector<double>> r;
  for (double a : values)
    for (double b : values) {
      r.first.push_back(a);
      r.second.push_back(b);
    }
  return r;
}

/// One operand: the values; two: all pairs; three: pairs with the values in turn.
static Sample of_specials(DType dtype, size_t count, const std::vector<double>& values) {
  Sample s;
  if (count == 1) {
    s.operands = {values_of(dtype, values)};
    return s;
  }
  auto [a, b] = pairs_of(values);
  s.operands = {values_of(dtype, a), values_of(dtype, b)};
  return s;
}

std::vector<Sample> float_samples(size_t count, double low, double high) {
  std::vector<Sample> r;
  for (DType d : {DType::f64, DType::f32})
    for (const std::vector<i64>& shape : {std::vector<i64>{}, {0, 3}, {17}, {33}, {2, 3, 4}})
      r.push_back(sample_of(d, shape, count, low, high));
  for (DType d : {DType::f16, DType::bf16}) r.push_back(sample_of(d, {33}, count, low, high));
  for (DType d : {DType::f64, DType::f32, DType::f16, DType::bf16})
    r.push_back(of_specials(d, count, special_floats()));
  return r;
}

std::vector<Sample> integer_samples(size_t count) {
  std::vector<Sample> r;
  for (DType d : {DType::i64, DType::i32, DType::i8, DType::u32, DType::u8}) {
    r.push_back(sample_of(d, {17}, count, is_signed(d) ? -9 : 0, 10));
    r.push_back(of_specials(d, count, special_integers(d)));
  }
  return r;
}

std::vector<Sample> bool_samples(size_t count) {
  std::vector<Sample> r{of_specials(DType::boolean, count, {0, 1})};
  for (const std::vector<i64>& shape : {std::vector<i64>{}, {0, 3}, {17}, {33}})
    r.push_back(sample_of(DType::boolean, shape, count, 0, 2));
  return r;
}

std::vector<Sample> joined(std::initializer_list<std::vector<Sample>> parts) {
  std::vector<Sample> r;
  for (const auto& p : parts) r.insert(r.end(), p.begin(), p.end());
  return r;
}

}  // namespace tn
