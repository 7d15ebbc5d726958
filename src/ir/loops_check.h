// The type rules of kernel nodes; a part of verify.
#pragma once
#include "ir/loops.h"

namespace tn::loops {

/// Whether other nodes may use it as an operand.
bool makes_value(Kind kind);
/// Whether the scalar op takes operands of that dtype.
bool takes(ScalarOp op, DType d);
/// What is wrong with the node's own tile, operands' tiles and operand counts. Operands stand before it.
std::vector<std::string> check_types(const Kernel& kernel, Val n);

}  // namespace tn::loops
