// The op table is the union of these tables, in this order. A family is one or a few source files; its entries are the
// only place that knows its ops.
#pragma once
#include <span>

#include "ir/op_def.h"

namespace tn {

std::span<const OpDef> elementwise_ops();
std::span<const OpDef> function_ops();
std::span<const OpDef> reduce_ops();
std::span<const OpDef> order_ops();
std::span<const OpDef> shape_ops();
std::span<const OpDef> part_ops();
std::span<const OpDef> index_ops();
std::span<const OpDef> scatter_ops();
std::span<const OpDef> contraction_ops();
std::span<const OpDef> conv_ops();
std::span<const OpDef> normalize_ops();
std::span<const OpDef> activation_ops();
std::span<const OpDef> pool_ops();
std::span<const OpDef> random_ops();
std::span<const OpDef> control_ops();
std::span<const OpDef> effect_ops();

/// Puts another entry in the place of the op of that name and returns the former: for tests that break a rule to see
/// that they notice. Must run before the op is first looked up, for lookups are kept.
const OpDef* exchange_op(const OpDef* o);

}  // namespace tn
