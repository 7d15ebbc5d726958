// Products of tensors by labelled axes, made of dot, sum, permute and reshape: what matmul, einsum and the derivatives
// of dot are written with.
#pragma once
#include <vector>

#include "op/emit.h"

namespace tn {

using Labels = std::vector<i64>;

/// A tensor with a label for each axis.
struct Term {
  Value value;
  Labels labels;
};

/// The sum, over all labels that `out` lacks, of the product of the terms; `out` gives the order of the result's axes.
/// Terms are multiplied from the left. Labels repeated in a term stand for its diagonal. An extent of 1 where another
/// term has more is repeated.
Value contract(std::vector<Term> terms, const Labels& out);

}  // namespace tn
