// Counts what the entries bring: an op with fewer samples, dtypes, sizes or special values than its kind must have
// fails here, for its other tests would check too little.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "each_op.h"
#include "harness.h"

namespace tn::test {

namespace {

std::set<DType> accepted(Operands kind) {
  std::set<DType> all;
  for (int i = 0; i < kDTypeCount; ++i) {
    auto d = static_cast<DType>(i);
    bool number = d != DType::boolean;
    bool fits = kind == Operands::any || (kind == Operands::floating && is_float(d)) ||
                (kind == Operands::integer && is_integer(d)) || (kind == Operands::boolean && !number) ||
                (kind == Operands::numeric && number) || (kind == Operands::signed_numeric && number && is_signed(d));
    if (fits) all.insert(d);
  }
  return all;
}

i64 elements(const SampleOperand& o) {
  i64 n = 1;
  for (i64 d : o.shape) n *= d;
  return n;
}

struct Met {
  std::set<DType> dtypes;  // of the first operand
  std::set<i64> extents;
  bool scalar = false, empty = false, nan = false, infinite = false, negative_zero = false;
  size_t good = 0, errors = 0, smooth = 0;
};

Met count(const OpDef& op) {
  Met m;
  for (const Sample& s : op.samples()) {
    (s.error.empty() ? m.good : m.errors)++;
    if (!s.error.empty() || s.operands.empty()) continue;
    m.dtypes.insert(s.operands[0].dtype);
    m.scalar |= s.operands[0].shape.empty();
    for (const SampleOperand& o : s.operands) {
      m.extents.insert(o.shape.begin(), o.shape.end());
      m.empty |= elements(o) == 0;
      for (double v : o.values) {
        m.nan |= std::isnan(v);
        m.infinite |= std::isinf(v);
        m.negative_zero |= v == 0 && std::signbit(v);
      }
    }
  }
  m.smooth = smooth_samples(op).size();
  return m;
}

bool is_control(const OpDef& op) {
  for (const AttrSpec& a : op.signature.attrs)
    if (a.kind == AttrKind::graph) return true;
  return op.lower.as<Structured>() || is_local(op);
}

/// Numbers in, numbers out: NaN and infinities have a meaning that must hold.
bool computes(const OpDef& op) {
  return op.lower.as<Scalar>() || op.lower.as<Reduction>() || op.lower.as<ArgReduction>() || op.lower.as<Prefix>();
}

bool differentiable_op(const OpDef& op) { return !op.grad.as<Zero>() && !op.grad.as<NoGrad>() && op.effect.as<Pure>(); }

}  // namespace

class Coverage : public testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& op() const { return *GetParam(); }
};

TEST_P(Coverage, EntrySaysWhatItMust) {
  EXPECT_GE(op().version, 1);
  EXPECT_GT(op().doc.size(), 8u);
  EXPECT_EQ(op().doc.back(), '.') << op().doc;
  std::set<std::string_view> names;
  for (const OperandSpec& o : op().signature.operands) EXPECT_TRUE(names.insert(o.name).second) << o.name;
  for (const AttrSpec& a : op().signature.attrs) EXPECT_TRUE(names.insert(a.name).second) << a.name;
}

TEST_P(Coverage, SamplesAreEnough) {
  Met m = count(op());
  EXPECT_GE(m.good, op().name == "custom_vjp_tangent" ? 0u : 1u);  // it only stands in tangents, to be transposed
  if (op().signature.operands.empty() || is_control(op())) return;
  EXPECT_GE(m.errors + (op().lower.as<Scalar>() ? 1 : 0), 1u) << "no call that must fail";
  EXPECT_TRUE(m.empty) << "no sample without elements";
  bool odd = m.extents.contains(17) || m.extents.contains(33);
  EXPECT_TRUE(odd || !op().effect.as<Pure>()) << "no extent that is no multiple of a lane count";
  if (op().lower.as<Scalar>()) {
    EXPECT_TRUE(m.scalar) << "no 0-d sample";
    bool has_floats = accepted(op().signature.operands.back().accepts).contains(DType::f32);
    EXPECT_TRUE(!has_floats || (m.extents.contains(17) && m.extents.contains(33))) << "no 17 or no 33 elements";
  }
  auto want = accepted(op().signature.operands[0].accepts);
  for (DType d : want) EXPECT_TRUE(m.dtypes.contains(d) || !computes(op())) << "no sample of " << name(d);
  for (DType kind : {DType::f32, DType::i64, DType::boolean}) {
    auto of_kind = [&](DType d) { return is_float(d) == is_float(kind) && is_integer(d) == is_integer(kind); };
    bool met = std::any_of(m.dtypes.begin(), m.dtypes.end(), of_kind);
    EXPECT_TRUE(met || !want.contains(kind)) << "no sample of the kind of " << name(kind);
  }
  bool special = m.nan && m.infinite && m.negative_zero;
  EXPECT_TRUE(special || !computes(op()) || !want.contains(DType::f32)) << "no sample with NaN, infinities and -0";
}

class Differentiable : public Coverage {};

TEST_P(Differentiable, HasSmoothSamples) { EXPECT_GE(count(op()).smooth, 1u) << "no f64 sample with random values"; }

TEST(Table, HoldsTheLanguage) {
  EXPECT_GE(all_ops().size(), 60u);
  std::set<std::string_view> names;
  for (const OpDef* o : all_ops()) {
    EXPECT_TRUE(names.insert(o->name).second) << o->name;
    EXPECT_EQ(find_op(o->name), o);
    for (char c : o->name) EXPECT_TRUE((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_') << o->name;
  }
}

/// NoGrad stands only where no derivative exists; who adds one says so here.
TEST(Table, OpsWithoutDerivativeAreKnown) {
  const std::set<std::string_view> known{"callback"};
  std::set<std::string_view> found;
  for (const OpDef* o : all_ops())
    if (const auto* none = o->grad.as<NoGrad>()) {
      found.insert(o->name);
      EXPECT_GT(none->why.size(), 20u) << o->name;
    }
  EXPECT_EQ(found, known);
}

TEST(Table, UnknownNamesAreExplained) {
  try {
    op("sofmax");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "[op] expected the name of an op, got 'sofmax'; did you mean softmax?");
  }
  EXPECT_EQ(find_op("nothing_of_the_kind"), nullptr);
  EXPECT_THROW(op(std::string(100000, 'x')), Error);
}

static bool needs_smooth(const OpDef& o) { return differentiable_op(o) && o.name != "custom_vjp_tangent"; }
INSTANTIATE_TEST_SUITE_P(Ops, Coverage, each_op(), op_name);
INSTANTIATE_TEST_SUITE_P(Ops, Differentiable, each_op(needs_smooth), op_name);

}  // namespace tn::test
