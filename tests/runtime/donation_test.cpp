// Outputs in the memory of donated inputs: where it is right they take it, and the numbers never change.
#include <gtest/gtest.h>

#include "../op/harness.h"
#include "ir/loops.h"
#include "runtime/donation.h"
#include "runtime/execute.h"

namespace tn::test {
namespace {

Array copied(const Array& a) {
  Array b = Array::empty(a.dtype, a.shape);
  for (i64 i = 0; i < a.size(); ++i) is_float(a.dtype) ? b.set(i, a.get(i)) : b.set_int(i, a.get_int(i));
  return b;
}

struct Case {
  explicit Case(const char* text, std::vector<i64> shape = {}) : graph(parse_graph(text)) {
    Random random(1);
    for (Type t : graph->input_types()) {
      Array a =
          random_like(t.is_tensor() && shape.empty() ? t : Type::tensor(t.dtype(), Shape(shape.begin(), shape.end())),
                      random, 0.5, 2);
      inputs.push_back(a);
    }
  }
  /// Runs with those inputs donated, expects the numbers of a run without, and says which input each output took.
  std::vector<int> takes(const Mask& donated) const {
    std::vector<Array> want = execute(graph, inputs), given;
    for (const Array& a : inputs) given.push_back(copied(a));
    std::vector<Array> got = execute(graph, given, donated);
    std::vector<int> from;
    for (size_t o = 0; o < got.size(); ++o) {
      EXPECT_TRUE(got[o].same_bits(want[o])) << "output " << o;
      from.push_back(-1);
      for (size_t i = 0; i < given.size(); ++i)
        if (got[o].storage == given[i].storage) from.back() = static_cast<int>(i);
    }
    for (size_t i = 0; i < given.size(); ++i)
      EXPECT_TRUE(donated[i] || given[i].same_bits(inputs[i])) << "input " << i << " was not donated";
    return from;
  }

  GraphPtr graph;
  std::vector<Array> inputs;
};

class Donation : public testing::TestWithParam<Tier> {
 protected:
  void SetUp() override { set_tier(GetParam()); }
  void TearDown() override { set_tier(Tier::automatic); }
};

TEST_P(Donation, AnUpdateHappensInPlace) {
  Case momentum(R"(graph(%0: f32[100, 70], %1: f32[100, 70], %2: f32[100, 70]) {
    %3: f32[100, 70] = mul(%1, %2)
    %4: f32[100, 70] = add(%3, %2)
    %5: f32[100, 70] = sub(%0, %4)
    return %5, %4
  })");
  EXPECT_EQ(momentum.takes({false, false, false}), (std::vector{-1, -1}));
  EXPECT_EQ(momentum.takes({true, true, false}), (std::vector{0, 1}));
  EXPECT_EQ(momentum.takes({false, true, false}), (std::vector{1, -1}));
}

TEST_P(Donation, SymbolicSizes) {
  Case step(R"(graph(%0: f32[n], %1: f32[n]) {
    %2: f32[n] = mul(%0, %1)
    return %2
  })",
            {1000});
  EXPECT_EQ(step.takes({true, false}), (std::vector{0}));
}

TEST_P(Donation, NotWhereOtherElementsAreReadLater) {
  Case flip(R"(graph(%0: f32[4096]) {
    %1: f32[4096] = flip(%0) {axes=[0]}
    return %1
  })");
  EXPECT_EQ(flip.takes({true}), (std::vector{-1}));
  Case square(R"(graph(%0: f32[64, 64]) {
    %1: f32[64, 64] = permute(%0) {axes=[1, 0]}
    %2: f32[64, 64] = add(%0, %1)
    return %2
  })");
  EXPECT_EQ(square.takes({true}), (std::vector{-1}));
  Case product(R"(graph(%0: f32[64, 64], %1: f32[64, 64]) {
    %2: f32[64, 64] = matmul(%0, %1)
    return %2
  })");
  // Where tiles are narrow a first phase packs the second operand, which is dead then.
  EXPECT_NE(product.takes({true, true}), (std::vector{0}));
}

TEST_P(Donation, DeadMemoryServesAnyOutputOfItsSize) {
  // The last matrix is made after the last read of the first input, whatever the kernel.
  Case chain(R"(graph(%0: f32[64, 64], %1: f32[64, 64]) {
    %2: f32[64, 64] = matmul(%0, %1)
    %3: f32[64, 64] = matmul(%2, %1)
    return %3
  })");
  EXPECT_EQ(chain.takes({true, false}), (std::vector{0}));
}

TEST_P(Donation, AnInputThatIsAnOutputIsKept) {
  Case both(R"(graph(%0: f32[1000]) {
    %1: f32[1000] = neg(%0)
    return %0, %1
  })");
  EXPECT_EQ(both.takes({true}), (std::vector{0, -1}));
}

/// A loop whose variable nothing mentions may still run twice: then what it read has been overwritten.
TEST(InPlace, OnlyWhatIsMadeOnce) {
  auto kernel = [](const char* count) {
    return loops::parse_kernel(
        std::string("kernel k(n; in A: f32[16*n] by [1], out Y: f32[16*n] by [1]) scratch 0 {\n") +
        "  parallel i < n {\n"
        "    for t < " +
        count +
        " {\n"
        "      %2 = f32<1x16> load A[l + 16*i]\n"
        "      %3 = f32<1x16> add %2, %2\n"
        "      store Y[l + 16*i] = %3\n"
        "    }\n"
        "  }\n}\n");
  };
  int in[] = {0};
  EXPECT_TRUE(InPlace(kernel("1"))(in, 1));
  EXPECT_TRUE(InPlace(kernel("((n + 63)//(64)) - ((n)//(64))"))(in, 1));
  EXPECT_FALSE(InPlace(kernel("2"))(in, 1));
  EXPECT_FALSE(InPlace(kernel("n"))(in, 1));
}

INSTANTIATE_TEST_SUITE_P(Tiers, Donation, testing::Values(Tier::interpreted, Tier::compiled));

}  // namespace
}  // namespace tn::test
