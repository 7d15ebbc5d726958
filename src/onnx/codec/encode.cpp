// Plain structs to protobuf messages. The bytes of a message are the same at every run (deterministic serialisation).
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "onnx/codec/messages.h"

namespace tn::onnx {

namespace pb = ::onnx;

namespace {

void tensor(const TensorValue& t, pb::TensorProto& r) {
  if (!t.name.empty()) r.set_name(t.name);
  r.set_data_type(static_cast<i32>(t.element));
  for (i64 d : t.dims) r.add_dims(d);
  for (const auto& s : t.strings) r.add_string_data(s);
  for (const auto& [key, value] : t.external) {
    auto* e = r.add_external_data();
    e->set_key(key);
    e->set_value(value);
  }
  if (!t.external.empty())
    r.set_data_location(pb::TensorProto::EXTERNAL);
  else if (t.element != Element::string)
    r.set_raw_data(t.raw);
}

template <class T>
void tensor_type(const TypeInfo& t, T& r) {
  r.set_elem_type(static_cast<i32>(t.element));
  if (!t.has_shape) return;
  auto* shape = r.mutable_shape();
  for (const auto& e : t.shape) {
    auto* d = shape->add_dim();
    if (e.kind == TypeInfo::Extent::Kind::value) d->set_dim_value(e.value);
    if (e.kind == TypeInfo::Extent::Kind::name) d->set_dim_param(e.name);
  }
}

void type(const TypeInfo& t, pb::TypeProto& r) {
  switch (t.kind) {
    case TypeInfo::Kind::tensor: return tensor_type(t, *r.mutable_tensor_type());
    case TypeInfo::Kind::sparse: return tensor_type(t, *r.mutable_sparse_tensor_type());
    case TypeInfo::Kind::sequence: return type(*t.inner, *r.mutable_sequence_type()->mutable_elem_type());
    case TypeInfo::Kind::optional: return type(*t.inner, *r.mutable_optional_type()->mutable_elem_type());
    case TypeInfo::Kind::none: return;
    case TypeInfo::Kind::map:
    case TypeInfo::Kind::opaque: throw CodecError{"map and opaque types are not written"};
  }
}

void info(const ValueInfo& v, pb::ValueInfoProto& r) {
  r.set_name(v.name);
  type(v.type, *r.mutable_type());
}

void graph(const GraphDef& g, pb::GraphProto& r);

void attribute(const Attribute& a, pb::AttributeProto& r) {
  r.set_name(a.name);
  r.set_type(static_cast<pb::AttributeProto::AttributeType>(a.kind));
  if (!a.reference.empty()) return r.set_ref_attr_name(a.reference);
  switch (a.kind) {
    case Attribute::Kind::floating: return r.set_f(a.f);
    case Attribute::Kind::integer: return r.set_i(a.i);
    case Attribute::Kind::string: return r.set_s(a.s);
    case Attribute::Kind::tensor: return tensor(a.tensors.at(0), *r.mutable_t());
    case Attribute::Kind::graph: return graph(*a.graphs.at(0), *r.mutable_g());
    case Attribute::Kind::type: return type(a.type, *r.mutable_tp());
    default: break;
  }
  for (float v : a.floats) r.add_floats(v);
  for (i64 v : a.ints) r.add_ints(v);
  for (const auto& v : a.strings) r.add_strings(v);
  for (const auto& v : a.tensors) tensor(v, *r.add_tensors());
  for (const auto& v : a.graphs) graph(*v, *r.add_graphs());
}

void node(const NodeDef& n, pb::NodeProto& r) {
  if (!n.name.empty()) r.set_name(n.name);
  r.set_op_type(n.op_type);
  if (!n.domain.empty()) r.set_domain(n.domain);
  if (!n.overload.empty()) r.set_overload(n.overload);
  for (const auto& v : n.inputs) r.add_input(v);
  for (const auto& v : n.outputs) r.add_output(v);
  for (const auto& a : n.attributes) attribute(a, *r.add_attribute());
}

void graph(const GraphDef& g, pb::GraphProto& r) {
  r.set_name(g.name);
  for (const auto& n : g.nodes) node(n, *r.add_node());
  for (const auto& t : g.initializers) tensor(t, *r.add_initializer());
  for (const auto& v : g.inputs) info(v, *r.add_input());
  for (const auto& v : g.outputs) info(v, *r.add_output());
  for (const auto& v : g.values) info(v, *r.add_value_info());
}

void function(const FunctionDef& f, pb::FunctionProto& r) {
  r.set_name(f.name);
  r.set_domain(f.domain);
  if (!f.overload.empty()) r.set_overload(f.overload);
  for (const auto& v : f.inputs) r.add_input(v);
  for (const auto& v : f.outputs) r.add_output(v);
  for (const auto& v : f.attributes) r.add_attribute(v);
  for (const auto& a : f.defaults) attribute(a, *r.add_attribute_proto());
  for (const auto& n : f.nodes) node(n, *r.add_node());
  for (const auto& o : f.opsets) {
    auto* q = r.add_opset_import();
    q->set_domain(o.domain);
    q->set_version(o.version);
  }
}

template <class Message>
std::string bytes_of(const Message& m) {
  if (m.ByteSizeLong() > 0x7fffffff) throw CodecError{"a message of over 2 GiB; keep its tensors as external data"};
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    if (!m.SerializeToCodedStream(&out)) throw CodecError{"the message is incomplete"};
  }
  return bytes;
}

void sequence(const ValueDef& v, pb::SequenceProto& r);

void optional(const ValueDef& v, pb::OptionalProto& r) {
  r.set_name(v.name);
  if (v.items.empty()) return r.set_elem_type(0);
  const ValueDef& item = v.items[0];
  r.set_elem_type(item.kind == TypeInfo::Kind::tensor ? 1 : item.kind == TypeInfo::Kind::sequence ? 3 : 5);
  if (item.kind == TypeInfo::Kind::tensor)
    tensor(item.tensor, *r.mutable_tensor_value());
  else if (item.kind == TypeInfo::Kind::sequence)
    sequence(item, *r.mutable_sequence_value());
  else
    optional(item, *r.mutable_optional_value());
}

void sequence(const ValueDef& v, pb::SequenceProto& r) {
  r.set_name(v.name);
  r.set_elem_type(v.items.empty() || v.items[0].kind == TypeInfo::Kind::tensor ? 1 : 3);
  for (const auto& item : v.items) {
    if (item.kind == TypeInfo::Kind::tensor)
      tensor(item.tensor, *r.add_tensor_values());
    else if (item.kind == TypeInfo::Kind::sequence)
      sequence(item, *r.add_sequence_values());
    else
      optional(item, *r.add_optional_values());
  }
}

}  // namespace

std::string write_model(const ModelDef& m) {
  pb::ModelProto r;
  r.set_ir_version(m.ir_version);
  r.set_producer_name(m.producer_name);
  r.set_producer_version(m.producer_version);
  if (!m.domain.empty()) r.set_domain(m.domain);
  r.set_model_version(m.model_version);
  for (const auto& o : m.opsets) {
    auto* q = r.add_opset_import();
    q->set_domain(o.domain);
    q->set_version(o.version);
  }
  graph(m.graph, *r.mutable_graph());
  for (const auto& f : m.functions) function(f, *r.add_functions());
  for (const auto& [key, value] : m.metadata) {
    auto* e = r.add_metadata_props();
    e->set_key(key);
    e->set_value(value);
  }
  return bytes_of(r);
}

std::string write_value(const ValueDef& v) {
  if (v.kind == TypeInfo::Kind::sequence) {
    pb::SequenceProto r;
    sequence(v, r);
    return bytes_of(r);
  }
  if (v.kind == TypeInfo::Kind::optional) {
    pb::OptionalProto r;
    optional(v, r);
    return bytes_of(r);
  }
  pb::TensorProto r;
  tensor(v.tensor, r);
  return bytes_of(r);
}

}  // namespace tn::onnx
