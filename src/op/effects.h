// Host functions that graphs call, and how arrays are printed.
#pragma once
#include <functional>
#include <span>
#include <string>

#include "base/array.h"

namespace tn {

/// Fills the results, which have the shapes and dtypes that the `callback` node promises.
using HostFunction = std::function<void(std::span<const Array> operands, std::span<Array> results)>;
/// The id a `callback` node names; valid until removed.
i64 register_callback(HostFunction function);
void remove_callback(i64 id);

/// Text of an array for `print`; the tensor room gives the NumPy-like one.
void set_array_text(std::string (*text)(const Array&));

}  // namespace tn
