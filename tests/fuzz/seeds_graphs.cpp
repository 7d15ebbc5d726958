// Seeds of the readers of graphs: ONNX, plans, and the texts of both IRs.
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "../ir/kernels.h"
#include "../onnx/models.h"
#include "../op/harness.h"
#include "base/file.h"
#include "ir/named_graph.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "onnx/tensors.h"
#include "targets.h"
#include "tenon/engine.h"

namespace tn::fuzz {

namespace {

/// softmax(relu(x w + b)) on a batch of any size.
NamedGraph dense_network() {
  Type types[] = {Type::tensor(DType::f32, {Dim::symbol("batch"), 4})};
  GraphPtr g = make_graph(types, [](Builder& b, ValueSpan in) {
    Array w = Array::empty(DType::f32, {4, 3}), bias = Array::empty(DType::f32, {3});
    for (i64 i = 0; i < 12; ++i) w.set(i, 0.25 * static_cast<double>(i) - 1);
    for (i64 i = 0; i < 3; ++i) bias.set(i, 1);
    auto constant = [&](const Array& a, const char* name) {
      return b.emit1(op("constant"), {}, {{"value", a}, {"name", std::string(name)}});
    };
    Value y = b.emit1(op("matmul"), {in[0], constant(w, "weight")});
    Shape shape(y.shape().begin(), y.shape().end());
    Value wide = b.emit1(op("broadcast"), {constant(bias, "bias")}, {{"shape", shape}, {"dims", std::vector<i64>{1}}});
    y = b.emit1(op("relu"), {b.emit1(op("add"), {y, wide})});
    return Values{b.emit1(op("softmax"), {y}, {{"axis", i64{1}}})};
  });
  return {g, {"x"}, {"y"}, {{"made", "here"}}};
}

bool has_body(const OpDef& op) {
  for (const AttrSpec& a : op.signature.attrs)
    if (a.kind == AttrKind::graph) return true;
  return false;
}

}  // namespace

Seeds model_seeds() {
  using onnx::samples::ints;
  using onnx::samples::model;
  using onnx::samples::node;
  auto bytes = [](const onnx::ModelDef& m) { return onnx::encode_model(m); };
  auto outside = model({node("Reshape", {"x", "far"}, {"y"})}, {ints("far", {1}, {-1})});
  outside.graph.initializers[0].external = {{"location", "../far.bin"}, {"length", "8"}};
  auto huge = model({node("ConstantOfShape", {"s"}, {"y"})}, {ints("s", {2}, {1ll << 40, 1ll << 20})});
  constexpr float kFar = std::numeric_limits<float>::infinity();
  auto far = model({node("Resize", {"x", "roi", "", "sizes"}, {"z"},
                         {onnx::samples::text("coordinate_transformation_mode", "tf_crop_and_resize")}),
                    node("Cast", {"z"}, {"w"}, {onnx::samples::integer("to", 7)}), node("IsInf", {"w"}, {"y"})},
                   {onnx::samples::floats("roi", {4}, {0, kFar, 1, -kFar}), ints("sizes", {2}, {2, 9})});
  return {{"dense", bytes(onnx::export_model(dense_network()))},
          {"shapes", bytes(onnx::samples::shapes())},
          {"control", bytes(onnx::samples::control())},
          {"bad_cyclic", bytes(model({node("Add", {"x", "y"}, {"z"}), node("Relu", {"z"}, {"y"})}))},
          {"bad_outside", bytes(outside)},
          {"bad_huge", bytes(huge)},
          {"bad_far", bytes(far)}};
}

Seeds value_seeds() {
  auto bytes = [](char kind, const onnx::ValueDef& v) { return std::string(1, kind) + onnx::encode_value(v); };
  onnx::ValueDef tensor{onnx::TypeInfo::Kind::tensor, "t", onnx::samples::ints("t", {2, 2}, {1, 2, 3, 4}), {}};
  onnx::ValueDef sequence{onnx::TypeInfo::Kind::sequence, "s", {}, {tensor, tensor}};
  onnx::ValueDef optional{onnx::TypeInfo::Kind::optional, "o", {}, {tensor}};
  onnx::ValueDef lies = tensor;
  lies.tensor.dims = {1ll << 40};
  return {{"tensor", bytes(0, tensor)},
          {"sequence", bytes(1, sequence)},
          {"optional", bytes(2, optional)},
          {"bad_size", bytes(0, lies)}};
}

Seeds plan_seeds() {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "tenon-seed-XXXXXX").string();
  fs::path folder = mkdtemp(pattern.data());
  std::string path = (folder / "dense.plan").string();
  Network network(std::make_shared<NamedGraph>(dense_network()));
  engine::build(network, {.profiles = {{"batch", 1, 8, 64}}}).save(path);
  std::string bytes = read_file("seeds", path);
  fs::remove_all(folder);
  return {{"dense", bytes}, {"bad_cut", bytes.substr(0, 200)}};
}

/// A call of every op that has a body, and of every seventh of the others.
static Program calls() {
  Program p;
  size_t at = 0;
  for (const OpDef* op : all_ops()) {
    auto samples = test::good_samples(*op);
    if (samples.empty() || (!has_body(*op) && at++ % 7)) continue;
    p.graphs.emplace_back(op->name, test::call_graph(*op, samples[0]));
  }
  return p;
}

Seeds graph_seeds() {
  Seeds seeds{{"bad_nested", std::string(10000, '{')}};
  for (const auto& [name, g] : calls().graphs) seeds.emplace_back(name, to_string(*g));
  return seeds;
}

Seeds program_seeds() { return {{"calls", to_string(calls())}, {"bad_empty", ""}}; }

Seeds kernel_seeds() {
  Seeds seeds;
  for (const loops::Kernel& k : loops::samples::all()) seeds.emplace_back(k.name, to_string(k));
  return seeds;
}

}  // namespace tn::fuzz
