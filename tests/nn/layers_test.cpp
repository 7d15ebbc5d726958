// Layers: keys, randomness, errors. Numbers are compared with torch's in torch_test.cpp.
#include <gtest/gtest.h>
#include <tenon/nn.h>
#include <tenon/tenon.h>

#include <cmath>
#include <map>

namespace tn {
namespace {

template <class F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what(); }
}

struct Model {
  nn::Sequential<nn::Linear, nn::ReLU, nn::Linear> head;
  std::vector<nn::TransformerEncoderLayer> layers;
  nn::BatchNorm2d bn;
  std::map<std::string, Tensor> extra;
};

TEST(Layers, KeysArePyTorchs) {
  nn::Keys keys(0);
  Model model{.head = nn::sequential(nn::linear(keys, 2, 3), nn::ReLU(), nn::linear(keys, 3, 1, false)),
              .layers = {nn::transformer_encoder_layer(keys, 4, 2, 8)},
              .bn = nn::batch_norm2d(2),
              .extra = {{"scale", ones({1})}}};
  std::vector<std::string> names;
  for (const auto& [name, t] : named_tensors(model)) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"head.0.weight",
                                             "head.0.bias",
                                             "head.2.weight",
                                             "layers.0.self_attn.in_proj_weight",
                                             "layers.0.self_attn.in_proj_bias",
                                             "layers.0.self_attn.out_proj.weight",
                                             "layers.0.self_attn.out_proj.bias",
                                             "layers.0.linear1.weight",
                                             "layers.0.linear1.bias",
                                             "layers.0.linear2.weight",
                                             "layers.0.linear2.bias",
                                             "layers.0.norm1.weight",
                                             "layers.0.norm1.bias",
                                             "layers.0.norm2.weight",
                                             "layers.0.norm2.bias",
                                             "bn.weight",
                                             "bn.bias",
                                             "bn.running_mean",
                                             "bn.running_var",
                                             "bn.num_batches_tracked",
                                             "extra.scale"}));
}

TEST(Layers, BatchNormOfSixteenBitsCountsLargeBatches) {
  nn::BatchNorm2d bn = nn::batch_norm2d(2);
  for (Tensor* t : {&bn.weight, &bn.bias, &bn.running_mean.tensor, &bn.running_var.tensor}) *t = cast(*t, DType::f16);
  Tensor x = cast(random::normal(random::key(1), {2, 2, 200, 200}), DType::f16) * 2.0;
  bn(x, true);
  EXPECT_EQ(bn.running_var.tensor.dtype(), DType::f16);
  for (double v : bn.running_var.tensor.to_vector()) EXPECT_NEAR(v, 0.9 + 0.1 * 4, 0.02);
}

TEST(Layers, DropoutKeepsTheMean) {
  Tensor x = ones({100, 1000});
  Tensor y = nn::Dropout{.p = 0.3}(x, random::key(1));
  std::vector<float> v = y.to_vector<float>();
  double kept = 0;
  for (float e : v) {
    EXPECT_TRUE(e == 0 || std::fabs(e - 1 / 0.7f) < 1e-6f) << e;
    kept += e != 0;
  }
  EXPECT_NEAR(kept / 1e5, 0.7, 4 * std::sqrt(0.21 / 1e5));
  EXPECT_EQ(nn::Dropout{.p = 0.3}(x, random::key(1)).to_vector<float>(), v);
  EXPECT_NE(nn::Dropout{.p = 0.3}(x, random::key(2)).to_vector<float>(), v);
  EXPECT_EQ(nn::Dropout{.p = 0}(x, random::key(1)).to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(sum(nn::Dropout{.p = 1}(x, random::key(1))).item(), 0);
  EXPECT_EQ(nn::Dropout{.p = 0.3}(x).to_vector<float>(), x.to_vector<float>());
  expect_error([&] { nn::Dropout{.p = 1.5}(x, random::key(1)); }, "a probability in [0, 1]");
}

TEST(Layers, ASequentialTrainsAsItsLayersByHand) {
  nn::Keys keys(0);
  auto net = nn::sequential(nn::conv2d(keys, 1, 4, 3), nn::batch_norm2d(4), nn::Dropout{.p = 0.5},
                            nn::sequential(nn::ReLU(), nn::Dropout{.p = 0.25}), nn::Flatten());
  auto& [conv, norm, drop, inner, flat] = net.layers;
  Tensor x = random::normal(random::key(1), {3, 1, 5, 5}), key = random::key(2);
  nn::BatchNorm2d by_hand = norm;
  Tensor y = flatten(relu(std::as_const(by_hand)(conv(x))), 1);
  EXPECT_EQ(net(x).to_vector(), y.to_vector());
  EXPECT_EQ(net(x, false, key).to_vector(), y.to_vector());
  EXPECT_EQ(norm.num_batches_tracked.tensor.item(), 0);
  y = drop(by_hand(conv(x), true), random::fold_in(key, 2));
  y = nn::Dropout{.p = 0.25}(relu(y), random::fold_in(random::fold_in(key, 3), 1));
  EXPECT_EQ(net(x, true, key).to_vector(), flat(y).to_vector());
  EXPECT_EQ(norm.num_batches_tracked.tensor.item(), 1);
  EXPECT_EQ(norm.running_mean.tensor.to_vector(), by_hand.running_mean.tensor.to_vector());
  EXPECT_EQ(norm.running_var.tensor.to_vector(), by_hand.running_var.tensor.to_vector());
  EXPECT_NE(norm.running_mean.tensor.to_vector(), std::vector<double>(4, 0.0));
  expect_error([&] { net(x, true); }, "[sequential] expected a key, which layer 2 draws from, got none");
}

/// A layer's own flag and key are not taken for one another.
TEST(Layers, ASequentialOfAttentionAndAnEncoder) {
  nn::Keys keys(0);
  Tensor x = random::normal(random::key(1), {2, 3, 4}), key = random::key(2);
  auto norms = nn::sequential(nn::linear(keys, 4, 4), nn::layer_norm(4));
  EXPECT_EQ(norms(x, true).to_vector(), norms(x).to_vector());  // nothing random, no key
  auto net = nn::sequential(nn::multi_head_attention(keys, 4, 2), nn::transformer_encoder_layer(keys, 4, 2, 8));
  auto& [attention, encoder] = net.layers;
  EXPECT_EQ(net(x).to_vector(), encoder(attention(x)).to_vector());
  auto exact = nn::sequential(attention);
  EXPECT_EQ(exact(x, true).to_vector(), exact(x).to_vector());  // drops nothing, needs no key
  attention.dropout = 0.5;
  Tensor y = encoder(attention(x, random::fold_in(key, 0)), random::fold_in(key, 1));
  EXPECT_EQ(net(x, true, key).to_vector(), y.to_vector());
}

TEST(Layers, AnEncoderDropsOnlyWithAKey) {
  nn::Keys keys(0);
  auto layer = nn::transformer_encoder_layer(keys, 8, 2, 16, {.dropout = 0.5});
  Tensor x = random::normal(random::key(1), {2, 3, 8});
  EXPECT_EQ(layer(x).to_vector<float>(), layer(x).to_vector<float>());
  EXPECT_NE(layer(x, random::key(1)).to_vector<float>(), layer(x).to_vector<float>());
  EXPECT_NE(layer(x, random::key(1)).to_vector<float>(), layer(x, random::key(2)).to_vector<float>());
}

TEST(Layers, AttentionDropsSharesAsByHand) {
  nn::Keys keys(0);
  auto attention = nn::multi_head_attention(keys, 6, 2, {.dropout = 0.4});
  attention.in_proj_bias = random::normal(keys.next(), {18});
  Tensor x = random::normal(random::key(1), {2, 5, 6}), context = random::normal(random::key(2), {2, 4, 6});
  Tensor key = random::key(3);
  auto by_hand = [&](const Tensor& query, const Tensor& other, bool causal) {
    auto part = [&](const Tensor& v, i64 i) {
      Tensor weight = attention.in_proj_weight(slice(6 * i, 6 * i + 6)),
             bias = attention.in_proj_bias(slice(6 * i, 6 * i + 6));
      return reshape(einsum("bli,oi->blo", v, weight) + bias, {2, -1, 2, 3});
    };
    Tensor scores = einsum("bqhd,bkhd->bhqk", part(query, 0), part(other, 1)) / std::sqrt(3.0);
    if (causal) scores = where(tril(ones_like(scores)) > 0.0, scores, -1e30);
    Tensor shares = nn::Dropout{.p = 0.4}(softmax(scores), key);
    return attention.out_proj(reshape(einsum("bhqk,bkhd->bqhd", shares, part(other, 2)), {2, -1, 6}));
  };
  auto expect_near = [](const Tensor& got, const Tensor& want) { EXPECT_LT(max(abs(got - want)).item(), 1e-5); };
  for (bool causal : {false, true}) expect_near(attention(x, key, causal), by_hand(x, x, causal));
  expect_near(attention(x, context, context, key), by_hand(x, context, false));
  EXPECT_NE(attention(x, key).to_vector(), attention(x).to_vector());
  Tensor gradient = grad([&](const Tensor& v) { return sum(square(attention(v, key, true))); })(x);
  EXPECT_TRUE(all(isfinite(gradient)).item<bool>());
  attention.dropout = 0;
  EXPECT_EQ(attention(x, key).to_vector(), attention(x).to_vector());
  attention.dropout = 1;
  expect_near(attention(x, key), broadcast_to(attention.out_proj.bias, {2, 5, 6}));
  attention.dropout = -1;
  expect_error([&] { attention(x, key); }, "a probability in [0, 1]");
}

TEST(Layers, AnEncoderDropsInFourPlaces) {
  nn::Keys keys(0);
  auto layer = nn::transformer_encoder_layer(keys, 8, 2, 16, {.dropout = 0.3});
  Tensor x = random::normal(random::key(1), {2, 3, 8}), key = random::key(2);
  auto drop = [&](const Tensor& v, i64 place) { return nn::Dropout{.p = 0.3}(v, random::fold_in(key, place)); };
  Tensor y = layer.norm1(x + drop(layer.self_attn(x, random::fold_in(key, 0)), 1));
  y = layer.norm2(y + drop(layer.linear2(drop(relu(layer.linear1(y)), 2)), 3));
  EXPECT_EQ(layer.self_attn.dropout, 0.3);
  EXPECT_EQ(layer(x, key).to_vector(), y.to_vector());
}

TEST(Layers, Refuse) {
  nn::Keys keys(0);
  Tensor x = ones({2, 3});
  expect_error([&] { nn::linear(keys, 4, 2)(x); }, "[matmul]");
  expect_error([&] { nn::conv2d(keys, 3, 4, 3, {.groups = 2}); }, "groups that divide both channel counts");
  expect_error([&] { nn::conv2d(keys, 3, 4, 3)(x); }, "conv");
  auto norm = nn::batch_norm2d(3);
  expect_error([&] { norm(x, true); }, "expected [batch, channels, rows, columns], got f32[2, 3]");
  expect_error([&] { nn::multi_head_attention(keys, 4, 2)(x); }, "expected [batch, length, 4], got f32[2, 3]");
  expect_error([&] { nn::multi_head_attention(keys, 4, 3)(ones({1, 2, 4})); }, "heads that divide the width 4");
  expect_error([&] { nn::embedding(keys, 3, 2)(x); }, "gather");
  expect_error([&] { nn::cross_entropy_loss(x, x); }, "logits [batch, classes] and labels [batch]");
}

}  // namespace
}  // namespace tn
