// Rows that are one function: rows and chains, contractions, movement.
#include "planned.h"
#include "tenon/ops.h"
#include "tenon/transform.h"

namespace tn::bench {

Planned::Planned(const Network& network, std::vector<Tensor> inputs)
    : inputs_(std::move(inputs)), context_(engine::build(network)) {
  auto types = network.inputs();
  for (size_t i = 0; i < types.size(); ++i) {
    std::vector<i64> shape;
    for (Dim d : types[i].type.shape()) shape.push_back(d.value());
    context_.bind_input(types[i].name, inputs_[i].raw(), shape);
  }
  for (const NamedType& t : network.outputs()) {
    i64 size = static_cast<i64>(bytes(t.type.dtype()));
    for (Dim d : t.type.shape()) size *= d.value();
    auto rounded = (static_cast<size_t>(size) + 63) & ~size_t{63};
    outputs_.push_back({t, std::unique_ptr<void, Free>(std::aligned_alloc(64, rounded))});
    context_.bind_output(t.name, outputs_.back().memory.get(), rounded);
  }
}

NamedTensors Planned::outputs() {
  run();
  NamedTensors found;
  for (const Output& o : outputs_) {
    Shape shape(o.type.type.shape().begin(), o.type.type.shape().end());
    found.emplace_back(o.type.name, from_data(o.memory.get(), shape, o.type.type.dtype()));
  }
  return found;
}

namespace {

Work row_softmax(const Inputs& in) {
  return planned(in, [](const Tensor& x) { return softmax(x); }, {"y"}, "x");
}

constexpr auto kLayerNorm = [](const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return layer_norm(x, weight, bias);
};

Work row_layernorm(const Inputs& in) { return planned(in, kLayerNorm, {"y"}, "x", "weight", "bias"); }

Work row_layernorm_grad(const Inputs& in) {
  auto both = [](const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& dy) {
    auto [y, back] = vjp(kLayerNorm)(x, weight, bias);
    auto [dx, dweight, dbias] = back(dy);
    return std::tuple(y, dx, dweight, dbias);
  };
  return planned(in, both, {"y", "dx", "dweight", "dbias"}, "x", "weight", "bias", "dy");
}

Work row_gelu(const Inputs& in) {
  return planned(in, [](const Tensor& x) { return gelu(x); }, {"y"}, "x");
}

Work row_chain8(const Inputs& in) {
  auto chain = [](const Tensor& x) {
    Tensor b = tanh(x) + exp(x * -0.5);
    return (sigmoid(b) * x + b) * 0.25;
  };
  return planned(in, chain, {"y"}, "x");
}

Work row_matmul(const Inputs& in) {
  return planned(in, [](const Tensor& a, const Tensor& b) { return matmul(a, b); }, {"y"}, "a", "b");
}

Work row_transpose(const Inputs& in) {
  return planned(in, [](const Tensor& x) { return transpose(x); }, {"y"}, "x");
}

Work row_sum0(const Inputs& in) {
  return planned(in, [](const Tensor& x) { return sum(x, {.axis = 0}); }, {"y"}, "x");
}

Work row_gather(const Inputs& in) {
  return planned(in, [](const Tensor& x, const Tensor& rows) { return gather(x, rows); }, {"y"}, "x", "indices");
}

}  // namespace

std::vector<Row> function_rows() {
  return {{"softmax", row_softmax},     {"layernorm", row_layernorm}, {"layernorm_grad", row_layernorm_grad},
          {"gelu", row_gelu},           {"chain8", row_chain8},       {"matmul_512", row_matmul},
          {"matmul_1024", row_matmul},  {"matmul_2048", row_matmul},  {"bmm", row_matmul},
          {"transpose", row_transpose}, {"sum0", row_sum0},           {"gather", row_gather}};
}

}  // namespace tn::bench
