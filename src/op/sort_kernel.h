// The native sort: whole arrays, any dtype.
#pragma once
#include <span>

#include "base/array.h"

namespace tn {

/// Elements of x in order along an axis, and the i64 places they come from. Stable; NaN last in either direction.
void sort_along(const Array& x, size_t axis, bool descending, const Array& values, const Array& places);

}  // namespace tn
