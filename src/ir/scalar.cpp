#include "ir/scalar.h"

namespace tn::loops {

using Takes = ScalarInfo::Takes;
using Gives = ScalarInfo::Gives;

static constexpr std::array<ScalarInfo, kScalarOps> kInfos = {{
    {"add", 2, Takes::numbers, Gives::same},
    {"sub", 2, Takes::numbers, Gives::same},
    {"mul", 2, Takes::numbers, Gives::same},
    {"div", 2, Takes::floats, Gives::same},
    {"floor_div", 2, Takes::integers, Gives::same},
    {"floor_mod", 2, Takes::integers, Gives::same},
    {"fma", 3, Takes::floats, Gives::same},
    {"neg", 1, Takes::numbers, Gives::same},
    {"abs", 1, Takes::numbers, Gives::same},
    {"sqrt", 1, Takes::floats, Gives::same},
    {"floor", 1, Takes::floats, Gives::same},
    {"round", 1, Takes::floats, Gives::same},
    {"max", 2, Takes::any, Gives::same},
    {"min", 2, Takes::any, Gives::same},
    {"less", 2, Takes::any, Gives::boolean},
    {"less_equal", 2, Takes::any, Gives::boolean},
    {"equal", 2, Takes::any, Gives::boolean},
    {"not_equal", 2, Takes::any, Gives::boolean},
    {"and", 2, Takes::whole, Gives::same},
    {"or", 2, Takes::whole, Gives::same},
    {"xor", 2, Takes::whole, Gives::same},
    {"shift_left", 2, Takes::integers, Gives::same},
    {"shift_right", 2, Takes::integers, Gives::same},
    {"select", 3, Takes::any, Gives::same},
    {"cast", 1, Takes::any, Gives::chosen},
    {"bitcast", 1, Takes::any, Gives::chosen},
}};

const ScalarInfo& info(ScalarOp op) { return kInfos[static_cast<size_t>(op)]; }

std::optional<ScalarOp> scalar_op(std::string_view name) {
  for (size_t i = 0; i < kInfos.size(); ++i)
    if (kInfos[i].name == name) return static_cast<ScalarOp>(i);
  return std::nullopt;
}

}  // namespace tn::loops
