// Models run on arrays, for tests.
#pragma once
#include <limits>
#include <vector>

#include "onnx/import.h"
#include "runtime/execute.h"

namespace tn::onnx {

inline constexpr i64 kMost = std::numeric_limits<i64>::max(), kLeast = std::numeric_limits<i64>::min();

inline Array vector(const std::vector<i64>& values) {
  Array a = Array::empty(DType::i64, {static_cast<i64>(values.size())});
  for (size_t i = 0; i < values.size(); ++i) a.set_int(static_cast<i64>(i), values[i]);
  return a;
}

inline std::vector<i64> elements(const Array& a) {
  std::vector<i64> r;
  for (i64 i = 0; i < a.size(); ++i) r.push_back(a.get_int(i));
  return r;
}

/// The first output for inputs of these contents.
inline Array answer(const ModelDef& m, const std::vector<Array>& inputs) {
  return execute(import_model(m).graph, inputs)[0];
}

}  // namespace tn::onnx
