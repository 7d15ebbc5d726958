// Layers. A model is a plain struct of layers and tensors; a layer is a struct of tensors with a call operator. Members
// are named as PyTorch names them, so weights move between the two by name, and the functions that make layers
// initialise as PyTorch does by default.
//
//   struct Net {
//     nn::Linear fc1, fc2;
//     Tensor operator()(const Tensor& x) const { return fc2(relu(fc1(x))); }
//   };
//   nn::Keys keys(0);
//   Net net{.fc1 = nn::linear(keys, 784, 128), .fc2 = nn::linear(keys, 128, 10)};
#pragma once
#include "tenon/ops.h"
#include "tenon/parameters.h"
#include "tenon/random.h"

namespace [[gnu::visibility("default")]] tn {
namespace nn {

/// A stream of keys: each initialisation takes the next.
class Keys {
 public:
  explicit Keys(u64 seed) : key_(random::key(seed)) {}
  explicit Keys(Tensor key) : key_(std::move(key)) {}
  Tensor next() { return random::fold_in(key_, count_++); }

 private:
  Tensor key_;
  i64 count_ = 0;
};

/// x [..., in] -> [..., out]: x weight^T + bias, weight [out, in].
struct Linear {
  Tensor weight = {}, bias = {};
  Tensor operator()(const Tensor& x, Location at = Location::current()) const;
};
/// Uniform in +-1/sqrt(in), weight and bias.
Linear linear(Keys& keys, i64 in, i64 out, bool bias = true);

struct Conv2dOptions {
  i64 stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
};
/// x [batch, in, rows, columns] -> [batch, out, rows', columns'], weight [out, in / groups, kernel, kernel].
struct Conv2d {
  Tensor weight = {}, bias = {};
  i64 stride = 1, padding = 0, dilation = 1, groups = 1;
  Tensor operator()(const Tensor& x, Location at = Location::current()) const;
};
/// Uniform in +-1/sqrt(in / groups * kernel^2), weight and bias.
Conv2d conv2d(Keys& keys, i64 in, i64 out, i64 kernel, const Conv2dOptions& options = {},
              Location at = Location::current());

/// Over batch, rows and columns of x [batch, channels, rows, columns]. Training uses the batch's own mean and (biased)
/// variance and moves the running ones towards them (variance unbiased); otherwise the running ones are used.
struct BatchNorm2d {
  Tensor weight = {}, bias = {};
  Buffer running_mean = {}, running_var = {}, num_batches_tracked = {};
  double epsilon = 1e-5, momentum = 0.1;
  Tensor operator()(const Tensor& x, bool training, Location at = Location::current());
  Tensor operator()(const Tensor& x, Location at = Location::current()) const;
};
BatchNorm2d batch_norm2d(i64 channels);

/// Over the last axis.
struct LayerNorm {
  Tensor weight = {}, bias = {};
  double epsilon = 1e-5;
  Tensor operator()(const Tensor& x, Location at = Location::current()) const;
};
LayerNorm layer_norm(i64 width);

/// Zeroes each number with probability p and scales the others by 1/(1 - p). Without a key x stays as it is.
struct Dropout {
  double p = 0.5;
  bool draws() const { return p != 0; }
  Tensor operator()(const Tensor& x, Location = Location::current()) const { return x; }
  Tensor operator()(const Tensor& x, const Tensor& key, Location at = Location::current()) const;
};

/// Integers [...] -> rows [..., width] of weight [count, width], normally distributed at first.
struct Embedding {
  Tensor weight = {};
  Tensor operator()(const Tensor& indices, Location at = Location::current()) const;
};
Embedding embedding(Keys& keys, i64 count, i64 width);

/// x [batch, length, width] with `heads` heads. in_proj_weight [3 width, width] holds query, key and value. With a key
/// to drop by, each share that a query gives to a key is zeroed with probability `dropout`.
struct MultiHeadAttention {
  Tensor in_proj_weight = {}, in_proj_bias = {};
  Linear out_proj = {};
  i64 heads = 1;
  double dropout = 0;
  bool draws() const { return dropout != 0; }
  Tensor operator()(const Tensor& x, bool causal = false, Location at = Location::current()) const;
  Tensor operator()(const Tensor& x, const Tensor& drop_key, bool causal = false,
                    Location at = Location::current()) const;
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value, bool causal = false,
                    Location at = Location::current()) const;
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& drop_key,
                    bool causal = false, Location at = Location::current()) const;
};
struct AttentionOptions {
  double dropout = 0;
};
/// Projections uniform by Glorot, biases 0.
MultiHeadAttention multi_head_attention(Keys& keys, i64 width, i64 heads, const AttentionOptions& options = {},
                                        Location at = Location::current());

enum class Activation : u8 { relu, gelu };
/// Self-attention and a two-layer network, each with a residual and a layer norm after it (before it with norm_first).
/// Dropout of the attention (by its own `dropout`), after it, between the two layers and after them needs a key;
/// without one there is none.
struct TransformerEncoderLayer {
  MultiHeadAttention self_attn = {};
  Linear linear1 = {}, linear2 = {};
  LayerNorm norm1 = {}, norm2 = {};
  double dropout = 0.1;
  Activation activation = Activation::relu;
  bool norm_first = false;
  bool draws() const { return dropout != 0 || self_attn.draws(); }
  Tensor operator()(const Tensor& x, bool causal = false, Location at = Location::current()) const;
  Tensor operator()(const Tensor& x, const Tensor& key, bool causal = false, Location at = Location::current()) const;
};
struct EncoderOptions {
  double dropout = 0.1;
  Activation activation = Activation::relu;
  bool norm_first = false;
};
TransformerEncoderLayer transformer_encoder_layer(Keys& keys, i64 width, i64 heads, i64 hidden,
                                                  const EncoderOptions& options = {},
                                                  Location at = Location::current());

// Layers without tensors, for Sequential.
struct ReLU {
  Tensor operator()(const Tensor& x, Location at = Location::current()) const { return relu(Arg(x, at)); }
};
struct GELU {
  Tensor operator()(const Tensor& x, Location at = Location::current()) const { return gelu(Arg(x, at)); }
};
struct SiLU {
  Tensor operator()(const Tensor& x, Location at = Location::current()) const { return silu(Arg(x, at)); }
};
struct Tanh {
  Tensor operator()(const Tensor& x, Location at = Location::current()) const { return tanh(Arg(x, at)); }
};
struct Sigmoid {
  Tensor operator()(const Tensor& x, Location at = Location::current()) const { return sigmoid(Arg(x, at)); }
};
struct Flatten {
  Tensor operator()(const Tensor& x, Location at = Location::current()) const { return flatten(Arg(x, at), 1); }
};
struct MaxPool2d {
  i64 size = 2, stride = 0, padding = 0;
  Tensor operator()(const Tensor& x, Location at = Location::current()) const {
    return max_pool2d(Arg(x, at), {.size = size, .stride = stride, .padding = padding});
  }
};
struct AvgPool2d {
  i64 size = 2, stride = 0, padding = 0;
  Tensor operator()(const Tensor& x, Location at = Location::current()) const {
    return avg_pool2d(Arg(x, at), {.size = size, .stride = stride, .padding = padding});
  }
};

namespace detail {

/// A bool and nothing else: a tensor could be made of one.
struct Flag {
  operator bool() const { return true; }
};
template <class Layer, class... More>
concept Takes =
    std::invocable<Layer&, const Tensor&, More..., Location> || std::invocable<Layer&, const Tensor&, More...>;
/// What a layer takes only where it may change. A flag that a const layer takes has another meaning than training.
template <class Layer, class... More>
concept ChangesWith = Takes<Layer, More...> && !Takes<const Layer, More...>;

template <class Layer, class... More>
Tensor call(Layer& layer, Location at, const Tensor& x, const More&... more) {
  if constexpr (std::invocable<Layer&, const Tensor&, const More&..., Location>)
    return layer(x, more..., at);
  else
    return layer(x, more...);
}

/// The call in training of the layer at `position`.
template <class Layer>
Tensor train(Layer& layer, i64 position, const Tensor& x, const Tensor& key, Location at) {
  auto own_key = [&] { return key.defined() ? random::fold_in(Arg(key, at), position) : Tensor(); };
  if constexpr (ChangesWith<Layer, Flag, Tensor>) return detail::call(layer, at, x, true, own_key());
  if constexpr (ChangesWith<Layer, Flag>) return detail::call(layer, at, x, true);
  if constexpr (requires { layer.draws(); })
    if (layer.draws()) {
      if (!key.defined())
        fail("sequential", "expected a key, which layer " + std::to_string(position) + " draws from, got none", at);
      return detail::call(layer, at, x, own_key());
    }
  return detail::call(layer, at, x);
}

}  // namespace detail

/// Layers one after the other; keys are their positions: "0.weight". In training a layer whose `draws()` is true takes
/// the key folded with its position, one that may change with a flag (BatchNorm2d, Sequential) is called with true.
template <class... Layers>
struct Sequential {
  std::tuple<Layers...> layers;
  Tensor operator()(Tensor x, Location at = Location::current()) const {
    std::apply([&](const auto&... layer) { ((x = detail::call(layer, at, x)), ...); }, layers);
    return x;
  }
  Tensor operator()(Tensor x, bool training, const Tensor& key = {}, Location at = Location::current()) {
    if (!training) return std::as_const(*this)(std::move(x), at);
    [&]<size_t... I>(std::index_sequence<I...>) {
      ((x = detail::train(std::get<I>(layers), static_cast<i64>(I), x, key, at)), ...);
    }(std::index_sequence_for<Layers...>());
    return x;
  }
  auto fields() {
    return std::apply([](auto&... layer) { return std::tie(layer...); }, layers);
  }
  auto fields() const {
    return std::apply([](auto&... layer) { return std::tie(layer...); }, layers);
  }
};
template <class... Layers>
Sequential<Layers...> sequential(Layers... layers) {
  return {{std::move(layers)...}};
}

// Losses: means over the batch. Prediction and target have one shape: a forgotten axis would broadcast silently.

/// -log softmax(logits)[label]: logits [batch, classes], integer labels [batch].
Tensor cross_entropy_loss(const Tensor& logits, const Tensor& labels, Location at = Location::current());
Tensor mse_loss(const Tensor& prediction, const Tensor& target, Location at = Location::current());
Tensor l1_loss(const Tensor& prediction, const Tensor& target, Location at = Location::current());
/// Binary cross-entropy of sigmoid(logits), targets in [0, 1].
Tensor bce_with_logits_loss(const Tensor& logits, const Tensor& targets, Location at = Location::current());
/// Fraction of rows whose greatest logit stands at the label.
Tensor accuracy(const Tensor& logits, const Tensor& labels, Location at = Location::current());

}  // namespace nn
}  // namespace tn
