// The scalar expressions of elementwise ops, each in a kernel of its own: the interpreter on every instruction set and
// compiled code give the same bits, which are close to the oracle's.
#include <gtest/gtest.h>

#include "backend/cpu/cpu.h"
#include "backend/interpreter/program.h"
#include "backend/ref/ref.h"
#include "each_op.h"
#include "harness.h"

namespace tn::test {

namespace {

using loops::Builder;
using loops::Kernel;
using loops::Val;

DType computed(DType d) { return is_float(d) && bits(d) < 32 ? DType::f32 : d; }

/// y[i] = the expression of x_0[i], x_1[i] ... for i < n, in blocks of 64.
Kernel kernel_of(const OpDef& op, std::span<const DType> operands, DType result, const Attrs& attrs) {
  Kernel k;
  k.name = std::string(op.name);
  Builder b(k);
  Dim n = b.size(Dim::symbol("n"));
  std::vector<int> in;
  std::vector<DType> inner;
  for (size_t i = 0; i < operands.size(); ++i) {
    in.push_back(b.buffer("x" + std::to_string(i), operands[i], {n}, loops::Buffer::Role::in));
    inner.push_back(computed(operands[i]));
  }
  int out = b.buffer("y", result, {n}, loops::Buffer::Role::out);
  b.parallel("i", ceildiv(n, 64), [&](Dim i) {
    Dim at[] = {i * 64 + loops::lane()};
    Builder::Limits limits{.lanes = n - i * 64};
    std::vector<Val> x;
    for (size_t p = 0; p < in.size(); ++p) x.push_back(b.cast(b.load(in[p], at, 1, 64, limits), inner[p]));
    Val y = op.lower.as<Scalar>()->expression(b, x, {inner, computed(result)}, attrs);
    b.store(out, at, b.cast(y, result), limits);
  });
  return k;
}

template <class Run>
Array run(const std::vector<Array>& x, DType result, const Run& program) {
  Array y = Array::zeros(result, {x[0].size()});
  std::vector<void*> buffers;
  for (const Array& a : x) buffers.push_back(a.bytes_begin());
  buffers.push_back(y.bytes_begin());
  i64 n = x[0].size(), error = 0;
  program.run(0, buffers.data(), &n, 0, (n + 63) / 64, nullptr, &error);
  EXPECT_EQ(error, 0);
  return y;
}

/// The sample with many more numbers of its domain.
Sample longer(Sample s) {
  for (SampleOperand& o : s.operands) o.shape = {2000};
  return s;
}

void check(const OpDef& op, const Sample& s) {
  GraphPtr g = call_graph(op, s);
  std::vector<Array> x = make_operands(s, 3);
  Array want = ref_run(g, x)[0];
  std::vector<DType> operands;
  for (Array& a : x) {
    operands.push_back(a.dtype);
    a.shape = {a.size()};
  }
  want.shape = {want.size()};
  Kernel k = kernel_of(op, operands, want.dtype, s.attrs);
  Array first = run(x, want.dtype, loops::Program(k, loops::Tier::baseline));
  EXPECT_EQ(difference_of(first, want, tolerance_of(op, s, want.dtype), true), "");
  for (loops::Tier tier : {loops::Tier::v3, loops::Tier::v4}) {
    if (loops::best_tier() < tier) continue;
    EXPECT_EQ(difference_of(run(x, want.dtype, loops::Program(k, tier)), first, {}, true), "") << "a wider tier";
  }
  if (auto code = cpu::compile_kernel(k)) {
    EXPECT_EQ(difference_of(run(x, want.dtype, *code), first, {}, true), "") << "compiled";
  }
}

}  // namespace

class Expression : public testing::TestWithParam<const OpDef*> {};

TEST_P(Expression, AgreesWithTheOracle) {
  const OpDef& op = *GetParam();
  for (const Sample& s : good_samples(op)) {
    SCOPED_TRACE(describe(op, s));
    check(op, s);
    bool random = s.operands[0].values.empty();
    if (random && s.operands[0].shape == std::vector<i64>{17}) check(op, longer(s));
  }
}

static bool has_expression(const OpDef& o) { return o.lower.as<Scalar>() && !o.signature.operands.empty(); }
INSTANTIATE_TEST_SUITE_P(Ops, Expression, each_op(has_expression), op_name);

}  // namespace tn::test
