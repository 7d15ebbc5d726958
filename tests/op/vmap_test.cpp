// vmap of every op against a loop over the lanes, for each operand alone and for all together.
#include <gtest/gtest.h>

#include <cstring>

#include "backend/ref/ref.h"
#include "each_op.h"
#include "harness.h"
#include "transform/transform.h"

namespace tn::test {

namespace {

using Arrays = std::vector<Array>;
constexpr i64 kLanes = 3;

Array stacked(const Arrays& lanes) {
  std::vector<i64> shape = lanes[0].shape;
  shape.insert(shape.begin(), static_cast<i64>(lanes.size()));
  Array r = Array::empty(lanes[0].dtype, shape);
  size_t width = lanes[0].nbytes();
  for (size_t i = 0; i < lanes.size() && width; ++i)
    std::memcpy(r.bytes_begin() + i * width, lanes[i].bytes_begin(), width);
  return r;
}

/// Bits differ only where an expansion of the batched op adds in another order.
Tolerance nearly(DType d) {
  switch (d) {
    case DType::f64: return {1e-13, 1};
    case DType::f32: return {1e-6, 1};
    case DType::f16: return {0x1p-10, 0.1};
    case DType::bf16: return {0x1p-7, 0.1};
    default: return {};
  }
}

void check(const OpDef& op, const Sample& s, const Mask& batched, Dim n) {
  GraphPtr g = call_graph(op, s), mapped = vmap_graph_all(g, batched, n);
  std::vector<Arrays> lanes;
  for (i64 k = 0; k < kLanes; ++k) lanes.push_back(make_operands(s, static_cast<u64>(k) + 1));
  Arrays in;
  for (size_t i = 0; i < batched.size(); ++i) {
    Arrays column;
    for (Arrays& lane : lanes) {
      if (!batched[i]) lane[i] = lanes[0][i];
      column.push_back(lane[i]);
    }
    in.push_back(batched[i] ? stacked(column) : column[0]);
  }
  Arrays got = ref_run(mapped, in);
  std::vector<Arrays> want(got.size());
  for (const Arrays& lane : lanes) {
    Arrays y = ref_run(g, lane);
    ASSERT_EQ(y.size(), got.size());
    for (size_t i = 0; i < y.size(); ++i) want[i].push_back(y[i]);
  }
  for (size_t i = 0; i < got.size(); ++i) {
    Array w = stacked(want[i]);
    EXPECT_EQ(difference_of(got[i], w, nearly(w.dtype)), "") << "result " << i;
  }
}

}  // namespace

class Mapped : public testing::TestWithParam<const OpDef*> {};

TEST_P(Mapped, EqualsALoop) {
  const OpDef& op = *GetParam();
  for (const Sample& s : good_samples(op)) {
    SCOPED_TRACE(describe(op, s));
    size_t count = s.operands.size();
    for (size_t i = 0; i < count; ++i) {
      Mask one(count);
      one[i] = true;
      check(op, s, one, kLanes);
    }
    if (count > 1) check(op, s, Mask(count, true), kLanes);
  }
}

TEST_P(Mapped, OverASymbolicNumberOfLanes) {
  const OpDef& op = *GetParam();
  for (const Sample& s : good_samples(op)) {
    if (s.operands.empty()) continue;
    SCOPED_TRACE(describe(op, s));
    check(op, s, Mask(s.operands.size(), true), Dim::symbol("lanes"));
  }
}

/// Effects see the whole batch.
static bool pure(const OpDef& o) { return o.effect.as<Pure>(); }
INSTANTIATE_TEST_SUITE_P(Ops, Mapped, each_op(pure), op_name);

}  // namespace tn::test
