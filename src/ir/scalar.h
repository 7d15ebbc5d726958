// The scalar language: what a map, reduce or scan of the loop IR does to one element. One table says each op's name,
// operands, dtypes and exact meaning; the interpreter, the compilers and constant folding all follow it, so their bits
// agree. There is no op with a loose meaning: no contraction, no reassociation, no libm.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "tenon/dtype.h"

namespace tn::loops {

enum class ScalarOp : u8 {
  add,        // a + b; integers wrap
  sub,        // a - b
  mul,        // a * b
  div,        // a / b, floats, IEEE
  floor_div,  // integers, rounded down; x // 0 = 0; least // -1 = least
  floor_mod,  // a - floor_div(a, b) * b, sign of b; x mod 0 = 0
  fma,        // a * b + c rounded once, floats
  neg,        // -a; floats flip the sign bit
  abs,        // floats clear the sign bit; least integer stays
  sqrt,       // floats, correctly rounded
  floor,      // floats, toward minus infinity
  round,      // floats, to nearest, halves to even
  max,        // a > b ? a : b
  min,        // a < b ? a : b
  less,       // a < b, false with NaN
  less_equal,
  equal,
  not_equal,    // true with NaN
  logical_and,  // bitwise on integers and bools
  logical_or,
  logical_xor,
  shift_left,   // integers; the amount is taken modulo the width
  shift_right,  // logical for unsigned, arithmetic for signed
  select,       // a ? b : c, a bool
  cast,         // to the node's dtype: float to integer truncates, saturates, NaN is 0; to bool is != 0; integers wrap
  bitcast,      // same bits, same width
};
inline constexpr int kScalarOps = 26;

struct ScalarInfo {
  std::string_view name;
  int arity;
  enum class Takes : u8 { numbers, floats, integers, whole, any } takes;  // whole: integers and bools
  enum class Gives : u8 { same, boolean, chosen } gives;                  // chosen: the node says
};
const ScalarInfo& info(ScalarOp op);
std::optional<ScalarOp> scalar_op(std::string_view name);

}  // namespace tn::loops
