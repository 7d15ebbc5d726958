// Places as values: what the rules of indexing ops share.
#pragma once
#include "op/emit.h"

namespace tn {

/// Integer places as i64, clamped to [0, n).
Value clamped_places(Value places, Dim n);
/// Which integer places lie in [0, n).
Value places_inside(Value places, Dim n);
/// Places i64 [lanes, ...] along an axis of n, as places along the joined axis of lanes * n.
Value lane_places(Value places, Dim n);

}  // namespace tn
