// What the generated tests of ops share: operands of samples, graphs of one call, comparison with a tolerance.
#pragma once
#include <string>
#include <vector>

#include "base/array.h"
#include "ir/op_def.h"

namespace tn::test {

/// A repeatable stream of numbers.
class Random {
 public:
  explicit Random(u64 seed) : state_(seed) {}
  u64 next();
  /// In [low, high).
  double uniform(double low, double high);

 private:
  u64 state_;
};

/// The operand of a sample: its values, or uniform ones.
Array make_operand(const SampleOperand& operand, Random& random);
std::vector<Array> make_operands(const Sample& sample, u64 seed = 1);
Array random_like(Type type, Random& random, double low = -1, double high = 1);

std::vector<Type> types_of(const Sample& sample);
/// One call of the op with these operand types; all results are outputs.
GraphPtr call_graph(const OpDef& op, std::span<const Type> types, const Attrs& attrs);
GraphPtr call_graph(const OpDef& op, const Sample& sample);

/// "f32[17], f32[17] {axis=0}", for messages.
std::string describe(const OpDef& op, const Sample& sample);

/// How close two arrays must be: |a - b| <= relative * (|b| + spread * greatest |b|).
struct Tolerance {
  double relative = 0;
  double spread = 0;
};
/// What a backend may differ from the oracle by.
Tolerance tolerance_of(const OpDef& op, const Sample& sample, DType result);
/// Empty when close (NaN equals NaN, infinities equal themselves, zeros keep their sign when `signs`), else what
/// differs.
std::string difference_of(const Array& got, const Array& want, Tolerance tolerance, bool signs = false);

/// Equal bits; the sign and payload of a NaN are the processor's.
bool same_numbers(const Array& a, const Array& b);

/// Samples that must work; and those whose operands are f64 and smooth, for finite differences.
std::vector<Sample> good_samples(const OpDef& op);
/// At most `count` of those that must work, spread over all.
std::vector<Sample> some_samples(const OpDef& op, size_t count);
std::vector<Sample> smooth_samples(const OpDef& op);

}  // namespace tn::test
