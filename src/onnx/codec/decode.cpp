// Protobuf messages to plain structs. Typed data fields all become raw little-endian bytes.
#include <google/protobuf/io/coded_stream.h>
#include <cstring>

#include "onnx/codec/messages.h"

namespace tn::onnx {

namespace pb = ::onnx;

namespace {

constexpr int kMaxNesting = 200;  // levels of sub-graphs

[[noreturn]] void refuse(const std::string& what) { throw CodecError{what}; }

template <class T>
void append(std::string& raw, T v) {
  raw.append(reinterpret_cast<const char*>(&v), sizeof v);
}

template <class T, class Field>
void append_all(std::string& raw, const Field& field) {
  raw.reserve(static_cast<size_t>(field.size()) * sizeof(T));
  for (auto v : field) append(raw, static_cast<T>(v));
}

void typed_data(const pb::TensorProto& t, std::string& raw) {
  switch (static_cast<Element>(t.data_type())) {
    case Element::float32:
    case Element::complex64: return append_all<float>(raw, t.float_data());
    case Element::float64:
    case Element::complex128: return append_all<double>(raw, t.double_data());
    case Element::int64: return append_all<i64>(raw, t.int64_data());
    case Element::uint64: return append_all<u64>(raw, t.uint64_data());
    case Element::uint32: return append_all<u32>(raw, t.uint64_data());
    case Element::int32: return append_all<i32>(raw, t.int32_data());
    case Element::uint16:
    case Element::int16:
    case Element::float16:
    case Element::bfloat16: return append_all<u16>(raw, t.int32_data());
    case Element::uint8:
    case Element::int8:
    case Element::boolean: return append_all<u8>(raw, t.int32_data());
    default:
      if (t.int32_data_size()) append_all<u8>(raw, t.int32_data());  // 8 bits and less: packed bytes
  }
}

TensorValue tensor(const pb::TensorProto& t) {
  TensorValue r;
  r.name = t.name();
  r.element = static_cast<Element>(t.data_type());
  r.dims.assign(t.dims().begin(), t.dims().end());
  if (t.has_segment()) refuse("tensor '" + t.name() + "': expected whole tensors, got a segment");
  if (t.data_location() == pb::TensorProto::EXTERNAL)
    for (const auto& e : t.external_data()) r.external.emplace_back(e.key(), e.value());
  else if (r.element == Element::string)
    r.strings.assign(t.string_data().begin(), t.string_data().end());
  else if (t.has_raw_data())
    r.raw = t.raw_data();
  else
    typed_data(t, r.raw);
  return r;
}

std::vector<TypeInfo::Extent> extents(const pb::TensorShapeProto& s) {
  std::vector<TypeInfo::Extent> r;
  for (const auto& d : s.dim()) {
    TypeInfo::Extent e;
    if (d.has_dim_value()) {
      e.kind = TypeInfo::Extent::Kind::value;
      e.value = d.dim_value();
    } else if (d.has_dim_param() && !d.dim_param().empty()) {
      e.kind = TypeInfo::Extent::Kind::name;
      e.name = d.dim_param();
    }
    r.push_back(std::move(e));
  }
  return r;
}

template <class T>
TypeInfo tensor_type(TypeInfo::Kind kind, const T& t) {
  TypeInfo r;
  r.kind = kind;
  r.element = static_cast<Element>(t.elem_type());
  r.has_shape = t.has_shape();
  if (r.has_shape) r.shape = extents(t.shape());
  return r;
}

TypeInfo type(const pb::TypeProto& t, int depth = 0) {
  if (depth > kMaxNesting) refuse("types nested over " + std::to_string(kMaxNesting) + " levels");
  TypeInfo r;
  if (t.has_tensor_type()) return tensor_type(TypeInfo::Kind::tensor, t.tensor_type());
  if (t.has_sparse_tensor_type()) return tensor_type(TypeInfo::Kind::sparse, t.sparse_tensor_type());
  if (t.has_sequence_type()) {
    r.kind = TypeInfo::Kind::sequence;
    r.inner = std::make_shared<TypeInfo>(type(t.sequence_type().elem_type(), depth + 1));
  } else if (t.has_optional_type()) {
    r.kind = TypeInfo::Kind::optional;
    r.inner = std::make_shared<TypeInfo>(type(t.optional_type().elem_type(), depth + 1));
  } else if (t.has_map_type())
    r.kind = TypeInfo::Kind::map;
  else if (t.has_opaque_type())
    r.kind = TypeInfo::Kind::opaque;
  return r;
}

std::vector<ValueInfo> infos(const google::protobuf::RepeatedPtrField<pb::ValueInfoProto>& field) {
  std::vector<ValueInfo> r;
  for (const auto& v : field) r.push_back({v.name(), type(v.type())});
  return r;
}

GraphDef graph(const pb::GraphProto& g, int depth);

Attribute attribute(const pb::AttributeProto& a, int depth) {
  Attribute r;
  r.name = a.name();
  r.kind = static_cast<Attribute::Kind>(a.type());
  r.reference = a.ref_attr_name();
  r.f = a.f();
  r.i = a.i();
  r.s = a.s();
  r.floats.assign(a.floats().begin(), a.floats().end());
  r.ints.assign(a.ints().begin(), a.ints().end());
  r.strings.assign(a.strings().begin(), a.strings().end());
  if (a.has_t()) r.tensors.push_back(tensor(a.t()));
  for (const auto& t : a.tensors()) r.tensors.push_back(tensor(t));
  if (a.has_g()) r.graphs.push_back(std::make_shared<GraphDef>(graph(a.g(), depth + 1)));
  for (const auto& g : a.graphs()) r.graphs.push_back(std::make_shared<GraphDef>(graph(g, depth + 1)));
  if (a.has_tp()) r.type = type(a.tp());
  return r;
}

NodeDef node(const pb::NodeProto& n, int depth) {
  NodeDef r{n.name(), n.op_type(), n.domain(), n.overload(), {}, {}, {}};
  r.inputs.assign(n.input().begin(), n.input().end());
  r.outputs.assign(n.output().begin(), n.output().end());
  for (const auto& a : n.attribute()) r.attributes.push_back(attribute(a, depth));
  return r;
}

GraphDef graph(const pb::GraphProto& g, int depth) {
  if (depth > kMaxNesting) refuse("sub-graphs nested over " + std::to_string(kMaxNesting) + " levels");
  GraphDef r;
  r.name = g.name();
  for (const auto& n : g.node()) r.nodes.push_back(node(n, depth));
  for (const auto& t : g.initializer()) r.initializers.push_back(tensor(t));
  r.sparse_initializers = static_cast<size_t>(g.sparse_initializer_size());
  r.inputs = infos(g.input());
  r.outputs = infos(g.output());
  r.values = infos(g.value_info());
  return r;
}

FunctionDef function(const pb::FunctionProto& f) {
  FunctionDef r{f.name(), f.domain(), f.overload(), {}, {}, {}, {}, {}, {}};
  r.inputs.assign(f.input().begin(), f.input().end());
  r.outputs.assign(f.output().begin(), f.output().end());
  r.attributes.assign(f.attribute().begin(), f.attribute().end());
  for (const auto& a : f.attribute_proto()) r.defaults.push_back(attribute(a, 0));
  for (const auto& n : f.node()) r.nodes.push_back(node(n, 0));
  for (const auto& o : f.opset_import()) r.opsets.push_back({o.domain(), o.version()});
  return r;
}

template <class Message>
Message parsed(const void* data, size_t size, const char* what) {
  if (size > 0x7fffffff) refuse(std::string("a ") + what + " of over 2 GiB; keep its tensors as external data");
  google::protobuf::io::CodedInputStream in(static_cast<const u8*>(data), static_cast<int>(size));
  in.SetTotalBytesLimit(0x7fffffff);
  in.SetRecursionLimit(4 * kMaxNesting);
  Message m;
  if (!m.ParseFromCodedStream(&in) || !in.ConsumedEntireMessage())
    refuse(std::string("the bytes are no ONNX ") + what + ": truncated, damaged, or nested too deep");
  return m;
}

ValueDef sequence(const pb::SequenceProto& s, int depth);

ValueDef optional(const pb::OptionalProto& o, int depth) {
  if (depth > kMaxNesting) refuse("values nested too deep");
  ValueDef r;
  r.kind = TypeInfo::Kind::optional;
  r.name = o.name();
  if (o.has_tensor_value()) r.items.push_back({TypeInfo::Kind::tensor, "", tensor(o.tensor_value()), {}});
  if (o.has_sequence_value()) r.items.push_back(sequence(o.sequence_value(), depth + 1));
  if (o.has_optional_value()) r.items.push_back(optional(o.optional_value(), depth + 1));
  return r;
}

ValueDef sequence(const pb::SequenceProto& s, int depth) {
  if (depth > kMaxNesting) refuse("values nested too deep");
  ValueDef r;
  r.kind = TypeInfo::Kind::sequence;
  r.name = s.name();
  for (const auto& t : s.tensor_values()) r.items.push_back({TypeInfo::Kind::tensor, t.name(), tensor(t), {}});
  for (const auto& q : s.sequence_values()) r.items.push_back(sequence(q, depth + 1));
  for (const auto& o : s.optional_values()) r.items.push_back(optional(o, depth + 1));
  return r;
}

}  // namespace

ModelDef read_model(const void* data, size_t size) {
  auto m = parsed<pb::ModelProto>(data, size, "model");
  ModelDef r;
  r.ir_version = m.ir_version();
  r.producer_name = m.producer_name();
  r.producer_version = m.producer_version();
  r.domain = m.domain();
  r.model_version = m.model_version();
  for (const auto& o : m.opset_import()) r.opsets.push_back({o.domain(), o.version()});
  if (!m.has_graph()) refuse("the model holds no graph");
  r.graph = graph(m.graph(), 0);
  for (const auto& f : m.functions()) r.functions.push_back(function(f));
  for (const auto& e : m.metadata_props()) r.metadata.emplace_back(e.key(), e.value());
  return r;
}

ValueDef read_value(const void* data, size_t size, TypeInfo::Kind kind) {
  if (kind == TypeInfo::Kind::sequence) return sequence(parsed<pb::SequenceProto>(data, size, "sequence"), 0);
  if (kind == TypeInfo::Kind::optional) return optional(parsed<pb::OptionalProto>(data, size, "optional"), 0);
  ValueDef r;
  r.tensor = tensor(parsed<pb::TensorProto>(data, size, "tensor"));
  r.name = r.tensor.name;
  return r;
}

}  // namespace tn::onnx
