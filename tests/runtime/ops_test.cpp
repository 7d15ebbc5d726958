// Every op, from the samples of its entry: the plan's answer against the oracle's.
#include <gtest/gtest.h>

#include "../op/harness.h"
#include "backend/ref/ref.h"
#include "runtime/execute.h"

namespace tn::test {
namespace {

class EveryOp : public testing::TestWithParam<const OpDef*> {};

TEST_P(EveryOp, AgreesWithTheOracle) {
  const OpDef& op = *GetParam();
  for (const Sample& sample : good_samples(op)) {
    SCOPED_TRACE(describe(op, sample));
    GraphPtr g = call_graph(op, sample);
    std::vector<Array> inputs = make_operands(sample);
    std::vector<Array> got, want = ref_run(g, inputs);
    try {
      got = execute(g, inputs);
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
      continue;
    }
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(difference_of(got[i], want[i], tolerance_of(op, sample, want[i].dtype)), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryOp, testing::ValuesIn(all_ops().begin(), all_ops().end()),
                         [](const auto& instance) { return std::string(instance.param->name); });

}  // namespace
}  // namespace tn::test
