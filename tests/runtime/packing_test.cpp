// Which phases of a kernel lay out constants only, so that they run once.
#include "runtime/packing.h"

#include <gtest/gtest.h>

namespace tn::test {
namespace {

using loops::Buffer;
using loops::Builder;
using loops::Val;

/// A weight W is copied to a temporary, which the last phase copies to Y; `clears`: an earlier phase fills it with 0.
loops::Kernel packing(bool clears) {
  loops::Kernel k;
  k.name = "packing";
  Builder b(k);
  int w = b.buffer("W", DType::f32, {64}, Buffer::Role::in), t = b.buffer("T", DType::f32, {64}, Buffer::Role::temp),
      y = b.buffer("Y", DType::f32, {64}, Buffer::Role::out);
  Dim at[] = {loops::lane()};
  auto copy = [&](int from, int to) {
    b.parallel("p", 1, [&](Dim) {
      Val v = b.load(from, at, 1, 64);
      b.store(to, at, v);
    });
  };
  if (clears)
    b.parallel("z", 1, [&](Dim) {
      Val zero = b.constant(0, DType::f32, 1, 64);
      b.store(t, at, zero);
    });
  copy(w, t);
  copy(t, y);
  return k;
}

TEST(Packing, FindsPhasesOfConstants) {
  using Found = std::vector<std::vector<int>>;
  EXPECT_EQ(constant_phases(packing(false), {true, false, false}), (Found{{1}, {}}));
  EXPECT_EQ(constant_phases(packing(false), {false, false, false}), (Found{{}, {}}));
}

/// The phase before would run again and clear what was packed.
TEST(Packing, LeavesWhatAnotherPhaseWrites) {
  for (const std::vector<int>& filled : constant_phases(packing(true), {true, false, false}))
    EXPECT_TRUE(filled.empty());
}

}  // namespace
}  // namespace tn::test
