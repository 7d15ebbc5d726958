// ONNX tensors and our arrays.
#pragma once
#include <optional>

#include "base/array.h"
#include "onnx/model.h"

namespace tn::onnx {

/// Our dtype of an ONNX element type; nothing when Tenon has none.
std::optional<DType> dtype_of(Element e);
Element element_of(DType d);
std::string_view element_name(Element e);
/// The array of a tensor whose data are in the file; checks sizes against the bytes there are.
Array array_of(const TensorValue& t);
TensorValue tensor_of(const Array& a, std::string_view name);

}  // namespace tn::onnx
