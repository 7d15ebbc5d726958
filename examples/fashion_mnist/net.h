// The network: four convolutions with batch norm, two poolings, two linear layers.
#pragma once
#include <tenon/nn.h>

struct Net {
  tn::nn::Conv2d conv1, conv2, conv3, conv4;
  tn::nn::BatchNorm2d bn1, bn2, bn3, bn4;
  tn::nn::Linear fc1, fc2;

  static Net make(tn::nn::Keys keys) {
    auto conv = [&](tn::i64 in, tn::i64 out) {
      return tn::nn::conv2d(keys, in, out, 3, {.padding = 1, .bias = false});
    };
    return {.conv1 = conv(1, 32),
            .conv2 = conv(32, 32),
            .conv3 = conv(32, 64),
            .conv4 = conv(64, 64),
            .bn1 = tn::nn::batch_norm2d(32),
            .bn2 = tn::nn::batch_norm2d(32),
            .bn3 = tn::nn::batch_norm2d(64),
            .bn4 = tn::nn::batch_norm2d(64),
            .fc1 = tn::nn::linear(keys, 64 * 7 * 7, 128),
            .fc2 = tn::nn::linear(keys, 128, 10)};
  }
  /// Pictures [batch, 1, 28, 28] -> logits [batch, 10]. `norm` is how a batch norm is called: training or not.
  template <class Self, class Norm>
  static tn::Tensor forward(Self& net, tn::Tensor x, Norm norm) {
    x = relu(norm(net.bn1, net.conv1(x)));
    x = max_pool2d(relu(norm(net.bn2, net.conv2(x))));
    x = relu(norm(net.bn3, net.conv3(x)));
    x = max_pool2d(relu(norm(net.bn4, net.conv4(x))));
    return net.fc2(relu(net.fc1(flatten(x, 1))));
  }
  tn::Tensor train(const tn::Tensor& x) {
    return forward(*this, x, [](tn::nn::BatchNorm2d& norm, const tn::Tensor& v) { return norm(v, true); });
  }
  tn::Tensor operator()(const tn::Tensor& x) const {
    return forward(*this, x, [](const tn::nn::BatchNorm2d& norm, const tn::Tensor& v) { return norm(v); });
  }
};
