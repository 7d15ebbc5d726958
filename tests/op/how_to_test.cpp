// The op of docs/how-to-add-an-op.md where no test is made from entries: its text, jit, and an ONNX file and back.
#include <gtest/gtest.h>

#include "harness.h"
#include "ir/graph_text.h"
#include "ir/named_graph.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "runtime/execute.h"
#include "tenon/tenon.h"
#include "tensor/evaluate.h"
#include "tensor/helpers.h"

namespace tn::test {
namespace {

constexpr double kWant[] = {-0.75, 0, 0.5};

Tensor softsign(const Tensor& x) { return apply1(op("softsign"), {x}, {}, Location::current()); }

GraphPtr softsign_graph() {
  Type types[] = {Type::tensor(DType::f32, {Dim::symbol("n")})};
  return call_graph(op("softsign"), types, {});
}

TEST(HowTo, TheOpPrintsAndReadsBack) {
  std::string text = to_string(*softsign_graph());
  EXPECT_NE(text.find("softsign(%0)"), text.npos) << text;
  EXPECT_EQ(parse_graph(text), softsign_graph());
}

TEST(HowTo, TheOpJitsAndDifferentiates) {
  Tensor x = tensor({-3.0, 0.0, 1.0}), y = jit(softsign)(x);
  Tensor slope = jit([](const Tensor& v) { return grad([](const Tensor& u) { return sum(softsign(u)); })(v); })(x);
  for (i64 i = 0; i < 3; ++i) {
    EXPECT_FLOAT_EQ(y(i).item<float>(), static_cast<float>(kWant[i]));
    double size = 1 + std::abs(x(i).item<double>());
    EXPECT_FLOAT_EQ(slope(i).item<float>(), static_cast<float>(1 / (size * size)));
  }
}

TEST(HowTo, TheOpGoesThroughAFile) {
  NamedGraph net{softsign_graph(), {"x"}, {"y"}, {}};
  NamedGraph back = onnx::import_model(onnx::decode_model(onnx::encode_model(onnx::export_model(net))), {});
  Array x = Array::zeros(DType::f32, {3});
  x.set(0, -3);
  x.set(2, 1);
  Array y = execute(back.graph, std::vector<Array>{x})[0];
  for (i64 i = 0; i < 3; ++i) EXPECT_FLOAT_EQ(static_cast<float>(y.get(i)), static_cast<float>(kWant[i]));
}

}  // namespace
}  // namespace tn::test
