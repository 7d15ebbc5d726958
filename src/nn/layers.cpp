#include <cmath>

#include "tenon/nn.h"

namespace tn::nn {

static Tensor uniform(Keys& keys, const Shape& shape, double bound) {
  return random::uniform(keys.next(), shape, {.low = -bound, .high = bound});
}

// ---------------------------------------------------------------- linear

Tensor Linear::operator()(const Tensor& x) const {
  Tensor y = matmul(x, transpose(weight));
  return bias.defined() ? y + bias : y;
}

Linear linear(Keys& keys, i64 in, i64 out, bool bias) {
  double bound = 1 / std::sqrt(static_cast<double>(in));
  Linear made;
  made.weight = uniform(keys, {out, in}, bound);
  if (bias) made.bias = uniform(keys, {out}, bound);
  return made;
}

// ---------------------------------------------------------------- convolution

Tensor Conv2d::operator()(const Tensor& x) const {
  Tensor y = tn::conv2d(x, weight, {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups});
  return bias.defined() ? y + bias.reshape({bias.shape()[0], 1, 1}) : y;
}

Conv2d conv2d(Keys& keys, i64 in, i64 out, i64 kernel, const Conv2dOptions& options) {
  if (options.groups < 1 || in % options.groups || out % options.groups)
    fail("conv2d", "expected groups that divide both channel counts, got " + std::to_string(options.groups) +
                       " groups for " + std::to_string(in) + " and " + std::to_string(out) + " channels");
  i64 per_group = in / options.groups;
  double bound = 1 / std::sqrt(static_cast<double>(per_group * kernel * kernel));
  Conv2d made{
      .stride = options.stride, .padding = options.padding, .dilation = options.dilation, .groups = options.groups};
  made.weight = uniform(keys, {out, per_group, kernel, kernel}, bound);
  if (options.bias) made.bias = uniform(keys, {out}, bound);
  return made;
}

// ---------------------------------------------------------------- normalisation

Tensor BatchNorm2d::operator()(const Tensor& x) const {
  return tn::batch_norm(x, weight, bias, running_mean.tensor, running_var.tensor, {.epsilon = epsilon});
}

Tensor BatchNorm2d::operator()(const Tensor& x, bool training) {
  if (!training) return std::as_const(*this)(x);
  if (x.rank() != 4) fail("batch_norm2d", "expected [batch, channels, rows, columns], got " + to_string(x.type()));
  auto [mean, variance] = tn::moments(x, {0, 2, 3});
  Tensor y = tn::batch_norm(x, weight, bias, mean, variance, {.epsilon = epsilon});
  Tensor count = stop_gradient(sum(ones_like(x(all, 0)), {}));
  Tensor unbiased = stop_gradient(variance) * (count / maximum(count - 1.0, 1.0));
  running_mean.tensor = running_mean.tensor * (1 - momentum) + stop_gradient(mean) * momentum;
  running_var.tensor = running_var.tensor * (1 - momentum) + unbiased * momentum;
  num_batches_tracked.tensor = num_batches_tracked.tensor + 1;
  return y;
}

BatchNorm2d batch_norm2d(i64 channels) {
  BatchNorm2d made;
  made.weight = ones({channels});
  made.bias = zeros({channels});
  made.running_mean.tensor = zeros({channels});
  made.running_var.tensor = ones({channels});
  made.num_batches_tracked.tensor = zeros({}, DType::i64);
  return made;
}

Tensor LayerNorm::operator()(const Tensor& x) const { return tn::layer_norm(x, weight, bias, {.epsilon = epsilon}); }

LayerNorm layer_norm(i64 width) {
  LayerNorm made;
  made.weight = ones({width});
  made.bias = zeros({width});
  return made;
}

// ---------------------------------------------------------------- dropout, embedding

Tensor Dropout::operator()(const Tensor& x, const Tensor& key) const {
  if (p < 0 || p >= 1) fail("dropout", "expected a probability in [0, 1), got " + std::to_string(p));
  if (p == 0) return x;
  Shape shape(x.shape().begin(), x.shape().end());
  return where(random::bernoulli(key, 1 - p, shape), x * (1 / (1 - p)), 0.0);
}

Tensor Embedding::operator()(const Tensor& indices) const { return gather(weight, indices, 0); }

Embedding embedding(Keys& keys, i64 count, i64 width) { return {random::normal(keys.next(), {count, width})}; }

// ---------------------------------------------------------------- losses

Tensor cross_entropy_loss(const Tensor& logits, const Tensor& labels, Location at) {
  if (logits.rank() != 2 || labels.rank() != 1)
    fail("cross_entropy_loss",
         "expected logits [batch, classes] and labels [batch], got " + to_string(logits.type()) + " and " +
             to_string(labels.type()),
         at);
  return mean(cross_entropy(Arg(logits, at), Arg(labels, at)));
}

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Location at) {
  Tensor difference = sub(Arg(prediction, at), Arg(target, at));
  return mean(difference * difference);
}

Tensor l1_loss(const Tensor& prediction, const Tensor& target, Location at) {
  return mean(abs(sub(Arg(prediction, at), Arg(target, at))));
}

Tensor bce_with_logits_loss(const Tensor& logits, const Tensor& targets, Location at) {
  // log(1 + e^x) - x t, with e^x of negative numbers only.
  Tensor linear = sub(maximum(Arg(logits, at), 0.0), mul(Arg(logits, at), Arg(targets, at)));
  return mean(linear + log1p(exp(-abs(logits))));
}

Tensor accuracy(const Tensor& logits, const Tensor& labels, Location at) {
  Tensor hit = equal(Arg(argmax(Arg(logits, at), {.axis = -1}), at), Arg(cast(Arg(labels, at), DType::i64), at));
  return mean(cast(hit, DType::f32));
}

}  // namespace tn::nn
