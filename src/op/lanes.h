// Mapping an op that has no batched form: a scan over the lanes.
#pragma once
#include "op/emit.h"

namespace tn {

/// The op on each lane in turn, results stacked. Effects happen lane by lane, in order.
Batched batch_by_scan(const OpDef& o, Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs);

}  // namespace tn
