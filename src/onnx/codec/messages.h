// Inside the codec: the generated messages, and the two halves of the translation.
#pragma once
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "onnx/onnx-data.pb.h"
#include "onnx/onnx-ml.pb.h"
#pragma GCC diagnostic pop

#include "onnx/codec/codec.h"

namespace tn::onnx {

struct CodecError {
  std::string text;
};

ModelDef read_model(const void* data, size_t size);
ValueDef read_value(const void* data, size_t size, TypeInfo::Kind kind);
std::string write_model(const ModelDef& model);
std::string write_value(const ValueDef& value);

}  // namespace tn::onnx
