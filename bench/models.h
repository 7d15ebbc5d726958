// The networks of the rows, their train steps, and how they take weights with PyTorch's keys.
#pragma once
#include "../examples/fashion_mnist/net.h"
#include "bench.h"
#include "tenon/jit.h"
#include "tenon/optim.h"

namespace tn::bench {

struct Mlp {
  nn::Linear fc1, fc2, fc3;
  Tensor operator()(const Tensor& x) const { return fc3(relu(fc2(relu(fc1(x))))); }
};

/// The model with the tensors that are given; others (counters) stay.
template <class Model>
Model with_weights(Model model, const Inputs& in) {
  walk_named(model, [&](const std::string& name, Tensor& t, bool) {
    if (in.contains(name)) t = in[name];
  });
  return model;
}

// Losses: (model, x, y) -> scalar.
struct CnnLoss {
  Tensor operator()(Net& net, const Tensor& x, const Tensor& labels) const {
    return nn::cross_entropy_loss(net.train(x), labels);
  }
};
struct MlpLoss {
  Tensor operator()(const Mlp& net, const Tensor& x, const Tensor& labels) const {
    return nn::cross_entropy_loss(net(x), labels);
  }
};
struct EncoderLoss {
  Tensor operator()(const nn::TransformerEncoderLayer& layer, const Tensor& x, const Tensor& target) const {
    return nn::mse_loss(layer(x), target);
  }
};

/// A jitted step of Adam: (model, adam, x, y) -> loss, the state rebound.
template <class Model, class Loss>
auto train_step() {
  return jit([](Model& model, optim::Adam& adam, const Tensor& x, const Tensor& y) {
    auto [loss, gradients] = value_and_grad(Loss{})(model, x, y);
    adam.update(model, gradients);
    return loss;
  });
}

}  // namespace tn::bench
