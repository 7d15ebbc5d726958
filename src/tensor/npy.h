// The .npy format in memory, for files and for the entries of .npz.
#pragma once
#include <string>
#include <string_view>

#include "base/array.h"

namespace tn {

/// The array in these bytes; `what` names them in errors.
Array parse_npy(std::string_view bytes, const std::string& what);
/// Everything before the elements, which follow in C order.
std::string npy_header(const Array& a, const std::string& what);

}  // namespace tn
