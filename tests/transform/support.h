// What the tests of transforms share.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "backend/ref/ref.h"
#include "transform/transform.h"

namespace tn::testing {

inline Array array_of(DType dtype, std::vector<i64> shape, const std::vector<double>& numbers) {
  Array a = Array::empty(dtype, std::move(shape));
  for (i64 i = 0; i < a.size(); ++i) a.set(i, numbers[static_cast<size_t>(i)]);
  return a;
}
inline Array scalar_of(double v) { return array_of(DType::f64, {}, {v}); }

/// Runs on the oracle, after checking the graph and that its text reads back as itself.
inline std::vector<Array> evaluate(const GraphPtr& g, const std::vector<Array>& inputs) {
  verify(*g);
  EXPECT_EQ(parse_graph(to_string(*g)), g) << to_string(*g);
  return ref_run(g, inputs);
}

}  // namespace tn::testing
