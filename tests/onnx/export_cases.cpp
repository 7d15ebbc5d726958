// Writes what we export, with inputs and our answers, for another runtime to check: a folder a case, named after the
// op or network, with model.onnx, input_N.pb and output_N.pb.
//
//   export_cases FOLDER
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "control_graphs.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "onnx/tensors.h"
#include "runtime/execute.h"
#include "tenon/network.h"
#include "tenon/nn.h"

namespace tn {
namespace {

namespace fs = std::filesystem;

void write_case(const fs::path& folder, const NamedGraph& net, const std::vector<Array>& inputs) {
  std::string model = onnx::encode_model(onnx::export_model(net));
  std::vector<Array> outputs = execute(net.graph, inputs);
  fs::create_directories(folder);
  write_file("case", (folder / "model.onnx").string(), model);
  auto values = [&](const char* stem, const std::vector<Array>& arrays, const std::vector<std::string>& names) {
    for (size_t i = 0; i < arrays.size(); ++i) {
      onnx::ValueDef v;
      v.tensor = onnx::tensor_of(arrays[i], names[i]);
      write_file("case", (folder / (stem + std::to_string(i) + ".pb")).string(), onnx::encode_value(v));
    }
  };
  values("input_", inputs, net.inputs);
  values("output_", outputs, net.outputs);
}

std::vector<std::string> numbered(const char* stem, size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(stem + std::to_string(i));
  return names;
}

constexpr size_t kMostCases = 12;  // of an op, spread over its samples

void op_cases(const fs::path& folder, const OpDef& op) {
  size_t at = 0;
  for (const Sample& sample : test::some_samples(op, kMostCases)) {
    GraphPtr g = test::call_graph(op, sample);
    NamedGraph net{g, numbered("in", g->input_count()), numbered("out", g->outputs().size()), {}};
    try {
      write_case(folder / (std::string(op.name) + "." + std::to_string(at++)), net, test::make_operands(sample));
    } catch (const Error& e) { std::printf("%s: %s\n", std::string(op.name).c_str(), e.what()); }
  }
}

struct Pictures {
  nn::Conv2d conv;
  nn::BatchNorm2d norm;
  nn::Linear dense;
  static Pictures make() {
    nn::Keys keys(3);
    return {nn::conv2d(keys, 3, 8, 3, {.padding = 1}), nn::batch_norm2d(8), nn::linear(keys, 8 * 4 * 4, 5)};
  }
  Tensor operator()(const Tensor& x) const {
    return softmax(dense(flatten(max_pool2d(relu(norm(conv(x)))), 1)), {.axis = 1});
  }
};

void network_case(const fs::path& folder, const Network& network, std::vector<i64> shape) {
  test::Random random(1);
  Array x = test::random_like(Type::tensor(DType::f32, Shape(shape.begin(), shape.end())), random);
  write_case(folder, network.named_graph(), {x});
}

void write_cases(const fs::path& folder) {
  for (const OpDef* op : all_ops()) op_cases(folder, *op);
  for (const test::ControlText& t : test::kControl)
    for (bool taken : {false, true}) {
      GraphPtr g = parse_graph(t.text);
      NamedGraph net{g, numbered("in", g->input_count()), numbered("out", g->outputs().size()), {}};
      write_case(folder / ("control_" + std::string(t.name) + (taken ? ".1" : ".0")), net, inputs_of(t, *g, taken));
    }
  Dim batch = Dim::symbol("batch");
  network_case(
      folder / "network.pictures",
      trace_network(Pictures::make(), {"classes"}, NamedType{"image", Type::tensor(DType::f32, {batch, 3, 8, 8})}),
      {4, 3, 8, 8});
  nn::Keys keys(5);
  network_case(folder / "network.encoder",
               trace_network(nn::transformer_encoder_layer(keys, 16, 4, 32), {"y"},
                             NamedType{"tokens", Type::tensor(DType::f32, {batch, Dim::symbol("length"), 16})}),
               {2, 7, 16});
}

}  // namespace
}  // namespace tn

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: export_cases FOLDER\n");
    return 1;
  }
  tn::write_cases(argv[1]);
  return 0;
}
