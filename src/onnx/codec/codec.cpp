#include "onnx/codec/codec.h"

#include <exception>

#include "onnx/codec/messages.h"

namespace tn::onnx {

namespace {

/// Runs f; what it throws becomes a text.
template <class F>
bool guarded(std::string& error, F f) {
  try {
    f();
    return true;
  } catch (const CodecError& e) { error = e.text; } catch (const std::exception& e) {
    error = e.what();
  }
  return false;
}

const Codec kCodec = {
    kCodecVersion,
    [](const void* data, size_t size, ModelDef& model, std::string& error) {
      return guarded(error, [&] { model = read_model(data, size); });
    },
    [](const ModelDef& model, std::string& bytes, std::string& error) {
      return guarded(error, [&] { bytes = write_model(model); });
    },
    [](const void* data, size_t size, TypeInfo::Kind kind, ValueDef& value, std::string& error) {
      return guarded(error, [&] { value = read_value(data, size, kind); });
    },
    [](const ValueDef& value, std::string& bytes, std::string& error) {
      return guarded(error, [&] { bytes = write_value(value); });
    },
};

}  // namespace

}  // namespace tn::onnx

const tn::onnx::Codec* tenon_onnx_codec() { return &tn::onnx::kCodec; }
