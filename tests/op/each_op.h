// Tests of every op, or of those a property holds for: INSTANTIATE_TEST_SUITE_P(Ops, Suite, each_op(...), op_name).
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ir/op_def.h"

namespace tn::test {

inline std::string op_name(const testing::TestParamInfo<const OpDef*>& info) { return std::string(info.param->name); }

inline auto each_op(bool (*holds)(const OpDef&) = [](const OpDef&) { return true; }) {
  std::vector<const OpDef*> chosen;
  for (const OpDef* o : all_ops())
    if (holds(*o)) chosen.push_back(o);
  return testing::ValuesIn(chosen);
}

}  // namespace tn::test
