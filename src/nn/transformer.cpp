#include <cmath>
#include <limits>

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

/// Where nothing is dropped the square of shares stays out of memory.
Tensor attended(const MultiHeadAttention& layer, const Tensor& query, const Tensor& key, const Tensor& value,
                const Tensor* drop_key, bool causal, const Location& at) {
  if (!drop_key || layer.dropout == 0) return attention(Arg(query, at), key, value, {.causal = causal});
  Dim width = query.shape()[3];
  Tensor scores = matmul(Arg(query, at), swapaxes(key, -1, -2)) * (1 / std::sqrt(static_cast<double>(width.value())));
  if (causal) {
    Tensor seen = expand_dims(arange(scores.shape()[2]), 1) >= arange(scores.shape()[3]);
    scores = where(seen, scores, -std::numeric_limits<double>::infinity());
  }
  return matmul(Dropout{layer.dropout}(softmax(scores), *drop_key, at), value);
}

Tensor run(const MultiHeadAttention& layer, const Tensor& x, const Tensor* drop_key, bool causal, const Location& at) {
  check_input(x, layer.in_proj_weight, layer.heads, at);
  Tensor projected = matmul(Arg(x, at), transpose(layer.in_proj_weight)) + layer.in_proj_bias;
  std::vector<Tensor> parts = split(projected, 3, 2);
  for (Tensor& part : parts) part = split_heads(part, layer.heads);
  return layer.out_proj(join_heads(attended(layer, parts[0], parts[1], parts[2], drop_key, causal, at)), at);
}

Tensor run(const MultiHeadAttention& layer, std::initializer_list<const Tensor*> inputs, const Tensor* drop_key,
           bool causal, const Location& at) {
  std::vector<Tensor> weights = split(layer.in_proj_weight, 3), biases = split(layer.in_proj_bias, 3), parts;
  for (const Tensor* x : inputs) {
    check_input(*x, layer.in_proj_weight, layer.heads, at);
    size_t i = parts.size();
    parts.push_back(split_heads(matmul(Arg(*x, at), transpose(weights[i])) + biases[i], layer.heads));
  }
  return layer.out_proj(join_heads(attended(layer, parts[0], parts[1], parts[2], drop_key, causal, at)), at);
}

}  // namespace

Tensor MultiHeadAttention::operator()(const Tensor& x, bool causal, Location at) const {
  return run(*this, x, nullptr, causal, at);
}

Tensor MultiHeadAttention::operator()(const Tensor& x, const Tensor& drop_key, bool causal, Location at) const {
  return run(*this, x, &drop_key, causal, at);
}

Tensor MultiHeadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value, bool causal,
                                      Location at) const {
  return run(*this, {&query, &key, &value}, nullptr, causal, at);
}

Tensor MultiHeadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                      const Tensor& drop_key, bool causal, Location at) const {
  return run(*this, {&query, &key, &value}, &drop_key, causal, at);
}

MultiHeadAttention multi_head_attention(Keys& keys, i64 width, i64 heads, const AttentionOptions& options,
                                        Location at) {
  check_heads(Dim(width), heads, at);
  MultiHeadAttention made{.heads = heads, .dropout = options.dropout};
  double bound = std::sqrt(6.0 / static_cast<double>(4 * width));
  made.in_proj_weight = random::uniform(keys.next(), {3 * width, width}, {.low = -bound, .high = bound});
  made.in_proj_bias = zeros({3 * width});
  made.out_proj = linear(keys, width, width);
  made.out_proj.bias = zeros({width});
  return made;
}

namespace {

/// Each place that drops has its own key; without a key none does.
Tensor run(const TransformerEncoderLayer& layer, Tensor x, const Tensor* key, bool causal, const Location& at) {
  auto key_of = [&](i64 place) { return random::fold_in(Arg(*key, at), place); };
  auto drop = [&](const Tensor& v, i64 place) { return key ? Dropout{layer.dropout}(v, key_of(place), at) : v; };
  auto attend = [&](const Tensor& v) {
    const MultiHeadAttention& attention = layer.self_attn;
    return drop(key ? attention(v, key_of(0), causal, at) : attention(v, causal, at), 1);
  };
  auto feed = [&](const Tensor& v) {
    Tensor h = layer.linear1(v, at);
    h = layer.activation == Activation::relu ? relu(h) : gelu(h);
    return drop(layer.linear2(drop(h, 2), at), 3);
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
  return {.self_attn = multi_head_attention(keys, width, heads, {.dropout = options.dropout}, at),
          .linear1 = linear(keys, width, hidden),
          .linear2 = linear(keys, hidden, width),
          .norm1 = layer_norm(width),
          .norm2 = layer_norm(width),
          .dropout = options.dropout,
          .activation = options.activation,
          .norm_first = options.norm_first};
}

}  // namespace tn::nn
