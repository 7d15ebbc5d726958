// Every op, from the samples of its entry: the plan's answer against the oracle's, and machine code against the
// interpreter, bit for bit.
#include <gtest/gtest.h>

#include "../op/harness.h"
#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"
#include "runtime/counters.h"
#include "runtime/execute.h"

namespace tn::test {
namespace {

class EveryOp : public testing::TestWithParam<const OpDef*> {
 protected:
  void TearDown() override { set_tier(Tier::automatic); }

  static std::vector<Array> run(Tier tier, const GraphPtr& g, std::span<const Array> inputs, const Mask& donated = {}) {
    set_tier(tier);
    return execute(g, inputs, donated);
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
    std::vector<Array> want = run(Tier::interpreted, g, inputs);
    u64 interpreted = runtime_counters().interpreted;
    std::vector<Array> got = run(Tier::compiled, g, inputs);
    bool compiles = cpu::host_isa() != cpu::Isa::none;
    EXPECT_TRUE(!compiles || runtime_counters().interpreted == interpreted) << cpu::compiler_problem();
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_numbers(got[i], want[i])) << "result " << i;
  }
}

TEST_P(EveryOp, DonatedInputsGiveTheSameBits) {
  const OpDef& op = *GetParam();
  for (const Sample& sample : good_samples(op)) {
    SCOPED_TRACE(describe(op, sample));
    GraphPtr g = call_graph(op, sample);
    std::vector<Array> want = run(Tier::interpreted, g, make_operands(sample));
    for (Tier tier : {Tier::interpreted, Tier::compiled}) {
      std::vector<Array> inputs = make_operands(sample);
      std::vector<Array> got = run(tier, g, inputs, Mask(inputs.size(), true));
      for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_numbers(got[i], want[i])) << "result " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryOp, testing::ValuesIn(all_ops().begin(), all_ops().end()),
                         [](const auto& instance) { return std::string(instance.param->name); });

}  // namespace
}  // namespace tn::test
