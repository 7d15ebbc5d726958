// ONNX files in: bytes -> plain structs -> NamedGraph.
#pragma once
#include <string>
#include <unordered_map>

#include "ir/named_graph.h"
#include "onnx/model.h"

namespace tn::onnx {

struct ImportOptions {
  /// Folder of the model's file: external data lie in it or below, never elsewhere.
  std::string folder;
  /// Contents of graph inputs that shapes are computed from, by name; used where an operator must know them. An input
  /// that an initializer backs stays an input where it is among them; otherwise the initializer is its fixed value.
  std::unordered_map<std::string, Array> known_inputs;
  /// Sizes that are fixed, by their names in the model: they are numbers in the network.
  std::unordered_map<std::string, i64> sizes;
  /// Inputs with known contents fix their sizes too: shapes are then numbers, for this one run.
  bool fix_sizes = false;
};

/// The network of a model; one Error names every problem: node, operator version, expected, found, fix.
NamedGraph import_model(const ModelDef& model, const ImportOptions& options = {});
/// The structs of a file; Error naming it.
ModelDef read_model(const std::string& path);
/// Reads and imports a file.
NamedGraph import_file(const std::string& path, ImportOptions options = {});

/// Bytes to structs and back, through the protobuf library, which is opened on the first call.
ModelDef decode_model(std::string_view bytes);
std::string encode_model(const ModelDef& model);
ValueDef decode_value(std::string_view bytes, TypeInfo::Kind kind = TypeInfo::Kind::tensor);
std::string encode_value(const ValueDef& value);

/// The bytes of a tensor's external data; refuses absolute places, "..", links out of the folder and sizes the file
/// does not have.
std::string read_external(const TensorValue& t, const std::string& folder);

}  // namespace tn::onnx
