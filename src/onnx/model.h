// An ONNX file in plain structs. The protobuf library stays behind the codec (a library of its own, opened when first
// needed); importer and exporter work on these.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tenon/dtype.h"

namespace tn::onnx {

/// TensorProto.DataType.
enum class Element : i32 {
  undefined = 0,
  float32 = 1,
  uint8 = 2,
  int8 = 3,
  uint16 = 4,
  int16 = 5,
  int32 = 6,
  int64 = 7,
  string = 8,
  boolean = 9,
  float16 = 10,
  float64 = 11,
  uint32 = 12,
  uint64 = 13,
  complex64 = 14,
  complex128 = 15,
  bfloat16 = 16,
};

using Strings = std::vector<std::string>;
using Entries = std::vector<std::pair<std::string, std::string>>;

struct TensorValue {
  std::string name;
  Element element = Element::undefined;
  std::vector<i64> dims;
  std::string raw;   // little endian, whatever field the file used
  Strings strings;   // for Element::string
  Entries external;  // location, offset, length, checksum: data in another file
};

struct TypeInfo {
  enum class Kind : u8 { none, tensor, sequence, optional, map, sparse, opaque };
  struct Extent {
    enum class Kind : u8 { unknown, value, name } kind = Kind::unknown;
    i64 value = 0;
    std::string name;
  };
  Kind kind = Kind::none;
  Element element = Element::undefined;
  bool has_shape = false;
  std::vector<Extent> shape;
  std::shared_ptr<TypeInfo> inner;  // of sequence and optional
};

struct ValueInfo {
  std::string name;
  TypeInfo type;
};

struct GraphDef;

struct Attribute {
  enum class Kind : i32 {
    undefined = 0,
    floating = 1,
    integer = 2,
    string = 3,
    tensor = 4,
    graph = 5,
    floats = 6,
    integers = 7,
    strings = 8,
    tensors = 9,
    graphs = 10,
    sparse = 11,
    sparses = 12,
    type = 13,
    types = 14,
  };
  std::string name;
  Kind kind = Kind::undefined;
  std::string reference;  // in a function body: the attribute of the call it stands for
  float f = 0;
  i64 i = 0;
  std::string s;
  std::vector<float> floats;
  std::vector<i64> ints;
  Strings strings;
  std::vector<TensorValue> tensors;               // tensor: one
  std::vector<std::shared_ptr<GraphDef>> graphs;  // graph: one
  TypeInfo type;
};

struct NodeDef {
  std::string name, op_type, domain, overload;
  Strings inputs, outputs;  // "" = not given
  std::vector<Attribute> attributes;
};

struct GraphDef {
  std::string name;
  std::vector<NodeDef> nodes;
  std::vector<TensorValue> initializers;
  size_t sparse_initializers = 0;
  std::vector<ValueInfo> inputs, outputs, values;
};

struct OpsetImport {
  std::string domain;
  i64 version = 0;
};

struct FunctionDef {
  std::string name, domain, overload;
  Strings inputs, outputs, attributes;
  std::vector<Attribute> defaults;
  std::vector<NodeDef> nodes;
  std::vector<OpsetImport> opsets;
};

struct ModelDef {
  i64 ir_version = 0;
  std::string producer_name, producer_version, domain;
  i64 model_version = 0;
  std::vector<OpsetImport> opsets;
  GraphDef graph;
  std::vector<FunctionDef> functions;
  Entries metadata;
};

/// A value of a test-data file: a tensor, or a sequence or optional of values.
struct ValueDef {
  TypeInfo::Kind kind = TypeInfo::Kind::tensor;
  std::string name;
  TensorValue tensor;
  std::vector<ValueDef> items;  // of a sequence; of an optional at most one
};

}  // namespace tn::onnx
