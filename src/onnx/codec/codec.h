// The door of the protobuf library: bytes to plain structs and back. Functions return false and fill `error` on
// failure; nothing is thrown across the border.
#pragma once
#include <cstddef>

#include "onnx/model.h"

namespace tn::onnx {

inline constexpr int kCodecVersion = 1;

struct Codec {
  int version;
  bool (*decode_model)(const void* data, size_t size, ModelDef& model, std::string& error);
  bool (*encode_model)(const ModelDef& model, std::string& bytes, std::string& error);
  bool (*decode_value)(const void* data, size_t size, TypeInfo::Kind kind, ValueDef& value, std::string& error);
  bool (*encode_value)(const ValueDef& value, std::string& bytes, std::string& error);
};

}  // namespace tn::onnx

extern "C" [[gnu::visibility("default")]] const tn::onnx::Codec* tenon_onnx_codec();
