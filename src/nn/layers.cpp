#include <algorithm>
#include <cmath>

#include "tenon/nn.h"

namespace tn::nn {

static Tensor uniform(Keys& keys, const Shape& shape, double bound) {
  return random::uniform(keys.next(), shape, {.low = -bound, .high = bound});
}

// ---------------------------------------------------------------- linear

Tensor Linear::operator()(const Tensor& x, Location at) const {
  Tensor y = matmul(Arg(x, at), transpose(Arg(weight, at)));
  return bias.defined() ? add(Arg(y, at), bias) : y;
}

Linear linear(Keys& keys, i64 in, i64 out, bool bias) {
  double bound = 1 / std::sqrt(static_cast<double>(in));
  Linear made;
  made.weight = uniform(keys, {out, in}, bound);
  if (bias) made.bias = uniform(keys, {out}, bound);
  return made;
}

// ---------------------------------------------------------------- convolution

Tensor Conv2d::operator()(const Tensor& x, Location at) const {
  Tensor y =
      tn::conv2d(Arg(x, at), weight, {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups});
  return bias.defined() ? add(Arg(y, at), bias.reshape({bias.shape()[0], 1, 1}, at)) : y;
}

Conv2d conv2d(Keys& keys, i64 in, i64 out, i64 kernel, const Conv2dOptions& options, Location at) {
  if (options.groups < 1 || in % options.groups || out % options.groups)
    fail("conv2d",
         "expected groups that divide both channel counts, got " + std::to_string(options.groups) + " groups for " +
             std::to_string(in) + " and " + std::to_string(out) + " channels",
         at);
  i64 per_group = in / options.groups;
  double bound = 1 / std::sqrt(static_cast<double>(per_group * kernel * kernel));
  Conv2d made{
      .stride = options.stride, .padding = options.padding, .dilation = options.dilation, .groups = options.groups};
  made.weight = uniform(keys, {out, per_group, kernel, kernel}, bound);
  if (options.bias) made.bias = uniform(keys, {out}, bound);
  return made;
}

// ---------------------------------------------------------------- normalisation

Tensor BatchNorm2d::operator()(const Tensor& x, Location at) const {
  return tn::batch_norm(Arg(x, at), weight, bias, running_mean.tensor, running_var.tensor, {.epsilon = epsilon});
}

Tensor BatchNorm2d::operator()(const Tensor& x, bool training, Location at) {
  if (!training) return std::as_const(*this)(x, at);
  if (x.rank(at) != 4)
    fail("batch_norm2d", "expected [batch, channels, rows, columns], got " + to_string(x.type()), at);
  auto [mean, variance] = tn::moments(Arg(x, at), {0, 2, 3});
  Tensor y = tn::batch_norm(Arg(x, at), weight, bias, mean, variance, {.epsilon = epsilon});
  DType wide = bits(x.dtype()) == 16 ? DType::f32 : x.dtype();  // the count of a large batch does not fit 16 bits
  Tensor count = stop_gradient(sum(ones_like(cast(x(all, 0), wide)), {}));
  Tensor unbiased = cast(cast(stop_gradient(variance), wide) * (count / maximum(count - 1.0, 1.0)), variance.dtype());
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

Tensor LayerNorm::operator()(const Tensor& x, Location at) const {
  return tn::layer_norm(Arg(x, at), weight, bias, {.epsilon = epsilon});
}

LayerNorm layer_norm(i64 width) {
  LayerNorm made;
  made.weight = ones({width});
  made.bias = zeros({width});
  return made;
}

// ---------------------------------------------------------------- dropout, embedding

Tensor Dropout::operator()(const Tensor& x, const Tensor& key, Location at) const {
  if (!(p >= 0 && p <= 1)) fail("dropout", "expected a probability in [0, 1], got " + std::to_string(p), at);
  if (p == 0) return x;
  if (p == 1) return zeros_like(Arg(x, at));
  Shape shape(x.shape(at).begin(), x.shape().end());
  return where(random::bernoulli(Arg(key, at), 1 - p, shape), mul(Arg(x, at), 1 / (1 - p)), 0.0);
}

Tensor Embedding::operator()(const Tensor& indices, Location at) const {
  return gather(Arg(weight, at), Arg(indices, at), 0);
}

Embedding embedding(Keys& keys, i64 count, i64 width) { return {random::normal(keys.next(), {count, width})}; }

// ---------------------------------------------------------------- losses

Tensor cross_entropy_loss(const Tensor& logits, const Tensor& labels, Location at) {
  if (logits.rank(at) != 2 || labels.rank(at) != 1)
    fail("cross_entropy_loss",
         "expected logits [batch, classes] and labels [batch], got " + to_string(logits.type()) + " and " +
             to_string(labels.type()),
         at);
  return mean(cross_entropy(Arg(logits, at), Arg(labels, at)));
}

/// Shapes that broadcast hide a forgotten axis: [n, 1] and [n] would give n * n differences.
static void check_alike(const char* loss, const Tensor& prediction, const Tensor& target, const Location& at) {
  auto a = prediction.shape(at), b = target.shape(at);
  if (!std::equal(a.begin(), a.end(), b.begin(), b.end()))
    fail(loss,
         "expected prediction and target of one shape, got " + to_string(prediction.type()) + " and " +
             to_string(target.type()) + "; reshape or broadcast_to one of them",
         at);
}

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Location at) {
  check_alike("mse_loss", prediction, target, at);
  Tensor difference = sub(Arg(prediction, at), Arg(target, at));
  return mean(difference * difference);
}

Tensor l1_loss(const Tensor& prediction, const Tensor& target, Location at) {
  check_alike("l1_loss", prediction, target, at);
  return mean(abs(sub(Arg(prediction, at), Arg(target, at))));
}

Tensor bce_with_logits_loss(const Tensor& logits, const Tensor& targets, Location at) {
  check_alike("bce_with_logits_loss", logits, targets, at);
  // log(1 + e^x) - x t, with e^x of negative numbers only.
  Tensor linear = sub(maximum(Arg(logits, at), 0.0), mul(Arg(logits, at), Arg(targets, at)));
  return mean(linear + log1p(exp(-abs(logits))));
}

Tensor accuracy(const Tensor& logits, const Tensor& labels, Location at) {
  Tensor hit = equal(Arg(argmax(Arg(logits, at), {.axis = -1}), at), Arg(cast(Arg(labels, at), DType::i64), at));
  return mean(cast(hit, DType::f32));
}

}  // namespace tn::nn
