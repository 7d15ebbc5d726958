#include <cmath>

#include "tenon/nn.h"

namespace tn::nn {

namespace {

/// [batch, length, width] -> [batch, heads, length, width / heads]
Tensor split_heads(const Tensor& x, i64 heads) {
  Dim width = floordiv(x.shape()[2], heads);
  return permute(x.reshape({x.shape()[0], x.shape()[1], heads, width}), {0, 2, 1, 3});
}

Tensor join_heads(const Tensor& x) {
  return permute(x, {0, 2, 1, 3}).reshape({x.shape()[0], x.shape()[2], x.shape()[1] * x.shape()[3]});
}

void check_heads(Dim width, i64 heads, const Location& at) {
  if (heads < 1 || (width.is_constant() && width.value() % heads))
    fail("multi_head_attention",
         "expected heads that divide the width " + to_string(width) + ", got " + std::to_string(heads), at);
}

void check_input(const Tensor& x, const Tensor& weight, i64 heads, const Location& at) {
  if (x.rank(at) != 3 || x.shape()[2] != weight.shape()[1])
    fail("multi_head_attention",
         "expected [batch, length, " + to_string(weight.shape()[1]) + "], got " + to_string(x.type()), at);
  check_heads(weight.shape()[1], heads, at);
}

}  // namespace

Tensor MultiHeadAttention::operator()(const Tensor& x, bool causal, Location at) const {
  check_input(x, in_proj_weight, heads, at);
  Tensor projected = matmul(Arg(x, at), transpose(in_proj_weight)) + in_proj_bias;
  std::vector<Tensor> parts = split(projected, 3, 2);
  Tensor y = attention(split_heads(parts[0], heads), split_heads(parts[1], heads), split_heads(parts[2], heads),
                       {.causal = causal});
  return out_proj(join_heads(y), at);
}

Tensor MultiHeadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value, bool causal,
                                      Location at) const {
  const Tensor* inputs[] = {&query, &key, &value};
  std::vector<Tensor> weights = split(in_proj_weight, 3), biases = split(in_proj_bias, 3), heads_of;
  for (size_t i = 0; i < 3; ++i) {
    check_input(*inputs[i], in_proj_weight, heads, at);
    heads_of.push_back(split_heads(matmul(Arg(*inputs[i], at), transpose(weights[i])) + biases[i], heads));
  }
  Tensor y = attention(Arg(heads_of[0], at), heads_of[1], heads_of[2], {.causal = causal});
  return out_proj(join_heads(y), at);
}

MultiHeadAttention multi_head_attention(Keys& keys, i64 width, i64 heads, Location at) {
  check_heads(Dim(width), heads, at);
  MultiHeadAttention made{.heads = heads};
  double bound = std::sqrt(6.0 / static_cast<double>(4 * width));
  made.in_proj_weight = random::uniform(keys.next(), {3 * width, width}, {.low = -bound, .high = bound});
  made.in_proj_bias = zeros({3 * width});
  made.out_proj = linear(keys, width, width);
  made.out_proj.bias = zeros({width});
  return made;
}

namespace {

/// Without a key there is no dropout.
struct Drop {
  double p;
  const Tensor* key;
  Location at;
  i64 site = 0;
  Tensor operator()(const Tensor& x) {
    return key && p > 0 ? Dropout{p}(x, random::fold_in(Arg(*key, at), site++), at) : x;
  }
};

Tensor run(const TransformerEncoderLayer& layer, Tensor x, const Tensor* key, bool causal, const Location& at) {
  Drop drop{layer.dropout, key, at};
  auto attend = [&](const Tensor& v) { return drop(layer.self_attn(v, causal, at)); };
  auto feed = [&](const Tensor& v) {
    Tensor h = layer.linear1(v, at);
    h = layer.activation == Activation::relu ? relu(h) : gelu(h);
    return drop(layer.linear2(drop(h), at));
  };
  if (layer.norm_first) {
    x = x + attend(layer.norm1(x, at));
    return x + feed(layer.norm2(x, at));
  }
  x = layer.norm1(x + attend(x), at);
  return layer.norm2(x + feed(x), at);
}

}  // namespace

Tensor TransformerEncoderLayer::operator()(const Tensor& x, bool causal, Location at) const {
  return run(*this, x, nullptr, causal, at);
}

Tensor TransformerEncoderLayer::operator()(const Tensor& x, const Tensor& key, bool causal, Location at) const {
  return run(*this, x, &key, causal, at);
}

TransformerEncoderLayer transformer_encoder_layer(Keys& keys, i64 width, i64 heads, i64 hidden,
                                                  const EncoderOptions& options, Location at) {
  return {.self_attn = multi_head_attention(keys, width, heads, at),
          .linear1 = linear(keys, width, hidden),
          .linear2 = linear(keys, hidden, width),
          .norm1 = layer_norm(width),
          .norm2 = layer_norm(width),
          .dropout = options.dropout,
          .activation = options.activation,
          .norm_first = options.norm_first};
}

}  // namespace tn::nn
