// Every op, from the samples of its entry: the plan's answer against the oracle's, and machine code against the
// interpreter, bit for bit.
#include <gtest/gtest.h>

#include "../op/harness.h"
#include "backend/ref/ref.h"
#include "runtime/execute.h"

namespace tn::test {
namespace {

class EveryOp : public testing::TestWithParam<const OpDef*> {
 protected:
  ~EveryOp() override { set_tier(Tier::automatic); }

  static std::vector<Array> run(Tier tier, const GraphPtr& g, std::span<const Array> inputs) {
    set_tier(tier);
    return execute(g, inputs);
  }
};

TEST_P(EveryOp, AgreesWithTheOracle) {
  const OpDef& op = *GetParam();
  for (const Sample& sample : good_samples(op)) {
    SCOPED_TRACE(describe(op, sample));
    GraphPtr g = call_graph(op, sample);
    std::vector<Array> inputs = make_operands(sample);
    std::vector<Array> want = ref_run(g, inputs), got = run(Tier::interpreted, g, inputs);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(difference_of(got[i], want[i], tolerance_of(op, sample, want[i].dtype)), "");
  }
}

TEST_P(EveryOp, CompiledHasTheInterpretersBits) {
  const OpDef& op = *GetParam();
  for (const Sample& sample : good_samples(op)) {
    SCOPED_TRACE(describe(op, sample));
    GraphPtr g = call_graph(op, sample);
    std::vector<Array> inputs = make_operands(sample);
    std::vector<Array> want = run(Tier::interpreted, g, inputs), got = run(Tier::compiled, g, inputs);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].same_bits(want[i])) << "result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryOp, testing::ValuesIn(all_ops().begin(), all_ops().end()),
                         [](const auto& instance) { return std::string(instance.param->name); });

}  // namespace
}  // namespace tn::test
