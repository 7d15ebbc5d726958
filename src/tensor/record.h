// Recording operations: operands are promoted and checked by the op's own type rule, at the call.
#pragma once
#include <algorithm>

#include "base/name.h"
#include "tensor/pending.h"

namespace tn {

/// An operation on tensors, one tensor a result. Operands of ops that want equal dtypes are promoted. Errors end with
/// `where`.
std::vector<Tensor> apply(const OpDef& op, std::span<const Tensor> operands, const Attrs& attrs, const Location& where);
/// The same of an op with one result.
Tensor apply1(const OpDef& op, std::span<const Tensor> operands, const Attrs& attrs, const Location& where);
inline Tensor apply1(const OpDef& op, std::initializer_list<Tensor> operands, const Attrs& attrs,
                     const Location& where) {
  return apply1(op, std::span(operands.begin(), operands.size()), attrs, where);
}
/// An elementwise op with broadcasting; numbers take the dtype of the tensors.
Tensor elementwise(const OpDef& op, std::initializer_list<const Arg*> operands);
/// The results of a graph on tensors.
std::vector<Tensor> call_graph(const GraphPtr& g, std::span<const Tensor> inputs, const Location& where,
                               bool remat = false);

/// The tensor of an operand; a number becomes one of its own dtype, or of the one given.
Tensor tensor_of(const Arg& x);
Tensor tensor_of(const Arg& x, DType dtype);

/// The op of that name, looked up once.
template <Name kName>
const OpDef& the() {
  static const OpDef& found = op(kName);
  return found;
}

}  // namespace tn
