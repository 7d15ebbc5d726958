// Bytes of ONNX files: the protobuf library behind its door, and data in other files.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/library.h"
#include "onnx/codec/codec.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "tenon/error.h"

namespace tn::onnx {

namespace {

const Codec& codec() {
  static const Codec* opened = [] {
    std::string why;
    void* library = open_own_library("libtenon_protobuf.so", why);
    if (!library)
      fail("onnx", "expected libtenon_protobuf.so, which reads and writes ONNX files, got none (" + why +
                       "); install it beside libtenon.so or set TENON_LIBRARY_DIR");
    auto* door = reinterpret_cast<const Codec* (*)()>(library_symbol(library, "tenon_onnx_codec"));
    const Codec* c = door ? door() : nullptr;
    if (!c || c->version != kCodecVersion)
      fail("onnx", "expected libtenon_protobuf.so of this Tenon, got another version; reinstall");
    return c;
  }();
  return *opened;
}

/// An external-data number: digits only.
u64 number(const TensorValue& t, const std::string& key, const std::string& text) {
  u64 v = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc{} || end != text.data() + text.size())
    fail("onnx", "tensor '" + t.name + "': expected a number for external " + key + ", got '" + text + "'");
  return v;
}

}  // namespace

ModelDef decode_model(std::string_view bytes) {
  ModelDef m;
  std::string error;
  if (!codec().decode_model(bytes.data(), bytes.size(), m, error))
    fail("onnx", "expected an ONNX model, got: " + error);
  return m;
}

std::string encode_model(const ModelDef& model) {
  std::string bytes, error;
  if (!codec().encode_model(model, bytes, error)) fail("onnx", "the model cannot be written: " + error);
  return bytes;
}

ValueDef decode_value(std::string_view bytes, TypeInfo::Kind kind) {
  ValueDef v;
  std::string error;
  if (!codec().decode_value(bytes.data(), bytes.size(), kind, v, error))
    fail("onnx", "expected an ONNX value, got: " + error);
  return v;
}

std::string encode_value(const ValueDef& value) {
  std::string bytes, error;
  if (!codec().encode_value(value, bytes, error)) fail("onnx", "the value cannot be written: " + error);
  return bytes;
}

std::string read_external(const TensorValue& t, const std::string& folder) {
  std::string location;
  u64 offset = 0, length = ~u64{0};
  for (const auto& [key, value] : t.external) {
    if (key == "location") location = value;
    if (key == "offset") offset = number(t, key, value);
    if (key == "length") length = number(t, key, value);
  }
  std::string who = "tensor '" + t.name + "': ";
  if (folder.empty()) fail("onnx", who + "expected a model from a file, for its data are in another; give the folder");
  namespace fs = std::filesystem;
  fs::path relative(location);
  if (location.empty() || relative.is_absolute())
    fail("onnx", who + "expected external data at a relative path, got '" + location + "'");
  for (const auto& part : relative)
    if (part == "..") fail("onnx", who + "expected external data in the model's folder, got '" + location + "'");
  std::error_code error;
  fs::path base = fs::canonical(folder, error), whole = error ? fs::path() : fs::canonical(base / relative, error);
  if (error) fail("onnx", who + "expected external data at '" + location + "', got no such file");
  auto [at, rest] = std::mismatch(base.begin(), base.end(), whole.begin(), whole.end());
  if (at != base.end())
    fail("onnx", who + "expected external data in the model's folder, got a link out of it at '" + location + "'");
  if (!fs::is_regular_file(whole, error)) fail("onnx", who + "expected a regular file, got '" + location + "'");
  u64 size = fs::file_size(whole, error);
  if (length == ~u64{0}) length = offset > size ? 0 : size - offset;
  if (error || offset > size || length > size - offset)
    fail("onnx", who + "expected bytes " + std::to_string(offset) + " to " + std::to_string(offset + length) + " of '" +
                     location + "', got a file of " + std::to_string(size) + " bytes");
  std::string bytes(length, '\0');
  std::ifstream in(whole, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offset));
  if (length && !in.read(bytes.data(), static_cast<std::streamsize>(length)))
    fail("onnx", who + "'" + location + "' cannot be read");
  return bytes;
}

void export_file(const NamedGraph& network, const std::string& path) {
  write_file("onnx", path, encode_model(export_model(network)));
}

ModelDef read_model(const std::string& path) {
  std::string bytes = read_file("onnx", path), error;
  ModelDef m;
  if (!codec().decode_model(bytes.data(), bytes.size(), m, error))
    fail("onnx", "'" + path + "': expected an ONNX model, got: " + error);
  return m;
}

NamedGraph import_file(const std::string& path, ImportOptions options) {
  ModelDef model = read_model(path);
  if (options.folder.empty()) {
    std::string parent = std::filesystem::path(path).parent_path().string();
    options.folder = parent.empty() ? "." : parent;
  }
  return import_model(model, options);
}

}  // namespace tn::onnx
