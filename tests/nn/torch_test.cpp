// Layers, losses, optimisers, schedules and initialisations against what torch gave (torch_cases.py).
//
//   nn_torch_test FOLDER
#include <gtest/gtest.h>
#include <tenon/io.h>
#include <tenon/nn.h>
#include <tenon/optim.h>
#include <tenon/transform.h>

#include <cmath>
#include <map>

namespace tn {
namespace {

std::string folder;

/// The arrays of one case by name.
struct Case {
  explicit Case(const std::string& name_) : name(name_) {
    for (auto& [key, t] : load_npz(folder + "/" + name + ".npz")) all.emplace(key, t);
  }
  const Tensor& operator()(const std::string& key) const {
    auto found = all.find(key);
    if (found == all.end()) fail("case", name + " has no '" + key + "'");
    return found->second;
  }
  std::vector<Tensor> inputs() const {
    std::vector<Tensor> found;
    for (std::string key = "in.0"; all.contains(key); key = "in." + std::to_string(found.size()))
      found.push_back(all.at(key));
    return found;
  }
  /// Those whose name begins so, by the rest of the name.
  NamedTensors under(const std::string& prefix) const {
    NamedTensors found;
    for (const auto& [key, t] : all)
      if (key.starts_with(prefix)) found.emplace_back(key.substr(prefix.size()), t);
    return found;
  }
  std::string name;
  std::map<std::string, Tensor> all;
};

/// Within `tolerance` of the greatest number expected.
void expect_close(const Tensor& got, const Tensor& want, double tolerance, const std::string& what) {
  ASSERT_TRUE(got.defined()) << what;
  std::vector<double> a = got.to_vector<double>(), b = want.to_vector<double>();
  ASSERT_EQ(a.size(), b.size()) << what << ": " << to_string(got.type()) << " and " << to_string(want.type());
  double scale = 0;
  for (double v : b) scale = std::max(scale, std::fabs(v));
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_LE(std::fabs(a[i] - b[i]), tolerance * scale + 1e-300)
        << what << " at " << i << ": " << a[i] << " for " << b[i];
}

/// The layer in the case's dtype with the case's tensors; the keys are torch's, so none may be missing or left over.
template <class Layer>
Layer with_tensors(const Case& c, Layer layer) {
  std::vector<std::pair<std::string, Tensor*>> targets;
  bool doubles = c.name.ends_with(".f64") || c.name.starts_with("optimiser");
  walk_named(layer, [&](const std::string& name, Tensor& t, bool) {
    if (t.defined() && is_float(t.dtype()) && doubles) t = cast(t, DType::f64);
    if (t.defined()) targets.emplace_back(name, &t);
  });
  assign_named(targets, c.under("param."), c.name);
  return layer;
}

template <class Layer>
struct Arguments {
  Layer layer;
  std::vector<Tensor> inputs;
};

/// Results, tensors after the call, and gradients of sum(result * ct), in f32 and f64.
template <class Layer, class Call>
void check(const std::string& name, const Layer& made, Call call) {
  for (const char* dtype : {".f32", ".f64"}) {
    Case c(name + dtype);
    double tolerance = c.name.ends_with("f64") ? 1e-12 : 1e-5;
    Arguments<Layer> arguments{with_tensors(c, made), c.inputs()};
    auto loss = [&](Arguments<Layer>& a) {
      Tensor out = call(a.layer, a.inputs);
      return std::pair(sum(out * c("ct")), out);
    };
    auto [value, gradients] = value_and_grad(loss)(arguments);
    expect_close(value.second, c("out"), tolerance, c.name + " out");
    for (const auto& [key, t] : named_tensors(arguments.layer))
      expect_close(t, c("after." + key), tolerance, c.name + " after." + key);
    NamedTensors by_name = named_tensors(gradients.layer);
    for (const auto& [key, want] : c.under("grad.param.")) {
      auto at = std::find_if(by_name.begin(), by_name.end(), [&](const auto& g) { return g.first == key; });
      ASSERT_NE(at, by_name.end()) << c.name << " has no gradient of " << key;
      expect_close(at->second, want, tolerance, c.name + " grad.param." + key);
    }
    for (const auto& [key, want] : c.under("grad.in."))
      expect_close(gradients.inputs[std::stoul(key)], want, tolerance, c.name + " grad.in." + key);
  }
}
template <class Layer>
void check(const std::string& name, const Layer& made) {
  check(name, made, [](const Layer& layer, const std::vector<Tensor>& x) { return layer(x[0]); });
}

/// A function in the place of a layer.
struct Nothing {};
void check_function(const std::string& name, Tensor (*f)(const Tensor&, const Tensor&, Location)) {
  check(name, Nothing(), [f](const Nothing&, const std::vector<Tensor>& x) { return f(x[0], x[1], {}); });
}

nn::Keys keys(1);

TEST(Torch, Linear) {
  check("linear", nn::linear(keys, 7, 5));
  check("linear_no_bias", nn::linear(keys, 7, 5, false));
}

TEST(Torch, Conv2d) {
  check("conv2d", nn::conv2d(keys, 6, 8, 3, {.padding = 1}));
  check("conv2d_options",
        nn::conv2d(keys, 6, 8, 3, {.stride = 2, .padding = 2, .dilation = 2, .groups = 2, .bias = false}));
}

TEST(Torch, Normalisations) {
  check("batch_norm2d_eval", nn::batch_norm2d(6));
  check("batch_norm2d_train", nn::batch_norm2d(6),
        [](nn::BatchNorm2d& norm, const std::vector<Tensor>& x) { return norm(x[0], true); });
  check("layer_norm", nn::layer_norm(10));
}

TEST(Torch, Embedding) { check("embedding", nn::embedding(keys, 11, 5)); }

TEST(Torch, Pooling) {
  check("max_pool2d", nn::MaxPool2d());
  check("max_pool2d_options", nn::MaxPool2d{.size = 3, .stride = 2, .padding = 1});
  check("avg_pool2d", nn::AvgPool2d());
  check("avg_pool2d_options", nn::AvgPool2d{.size = 3, .stride = 2, .padding = 1});
}

TEST(Torch, Activations) {
  check("relu", nn::ReLU());
  check("gelu", nn::GELU());
  check("silu", nn::SiLU());
  check("tanh", nn::Tanh());
  check("sigmoid", nn::Sigmoid());
  check("flatten", nn::Flatten());
}

TEST(Torch, Sequential) {
  check("sequential", nn::sequential(nn::linear(keys, 6, 9), nn::ReLU(), nn::linear(keys, 9, 4), nn::Tanh()));
}

TEST(Torch, Attention) {
  auto attention = nn::multi_head_attention(keys, 12, 3);
  check("attention", attention);
  check("attention_causal", attention, [](const auto& m, const std::vector<Tensor>& x) { return m(x[0], true); });
  check("attention_cross", attention, [](const auto& m, const std::vector<Tensor>& x) { return m(x[0], x[1], x[2]); });
}

TEST(Torch, Encoder) {
  check("encoder_post_relu", nn::transformer_encoder_layer(keys, 12, 3, 20));
  check("encoder_pre_gelu",
        nn::transformer_encoder_layer(keys, 12, 3, 20, {.activation = nn::Activation::gelu, .norm_first = true}));
}

TEST(Torch, Losses) {
  check_function("cross_entropy", nn::cross_entropy_loss);
  check_function("mse", nn::mse_loss);
  check_function("l1", nn::l1_loss);
  check_function("bce_with_logits", nn::bce_with_logits_loss);
}

using Mlp = nn::Sequential<nn::Linear, nn::Tanh, nn::Linear>;

/// 100 steps from the same weights; `clip` changes the gradients and may return their norm.
template <class Make, class Clip>
void check_steps(const std::string& name, Make make, Clip clip) {
  Case c("optimiser." + name);
  Mlp net = with_tensors(c, nn::sequential(nn::linear(keys, 6, 8), nn::Tanh(), nn::linear(keys, 8, 2)));
  auto optimizer = make(net);
  std::vector<double> losses = c("losses").to_vector<double>(), norms = c("norms").to_vector<double>();
  for (size_t i = 0; i < losses.size(); ++i) {
    auto [loss, gradients] = value_and_grad([&](const Mlp& m) { return nn::mse_loss(m(c("in.0")), c("in.1")); })(net);
    ASSERT_NEAR(loss.item(), losses[i], 1e-9 * losses[0]) << name << " before step " << i;
    Tensor norm = clip(parameters(gradients));
    if (norm.defined()) { EXPECT_NEAR(norm.item(), norms[i], 1e-9 * norms[0]) << name << " norm at step " << i; }
    optimizer.update(net, gradients);
    std::vector<Tensor> state;
    for (const Tensor* t : leaves(std::tie(net, optimizer)))
      if (t->defined()) state.push_back(*t);
    eval(state);
  }
  for (const auto& [key, t] : named_tensors(net)) expect_close(t, c("after." + key), 1e-7, name + " " + key);
}
template <class Make>
void check_steps(const std::string& name, Make make) {
  check_steps(name, make, [](const std::vector<Tensor*>&) { return Tensor(); });
}

constexpr double kRate = 0.015;

TEST(Torch, Sgd) {
  check_steps("sgd", [](const Mlp& m) { return optim::sgd(m, {.lr = kRate}); });
  check_steps("sgd_decay", [](const Mlp& m) { return optim::sgd(m, {.lr = kRate, .weight_decay = 0.1}); });
  check_steps("sgd_momentum",
              [](const Mlp& m) { return optim::sgd(m, {.lr = kRate, .momentum = 0.9, .dampening = 0.1}); });
  check_steps("sgd_nesterov", [](const Mlp& m) {
    return optim::sgd(m, {.lr = kRate, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true});
  });
}

TEST(Torch, Adam) {
  check_steps("adam", [](const Mlp& m) { return optim::adam(m, {.lr = kRate}); });
  check_steps("adam_decay", [](const Mlp& m) {
    return optim::adam(m, {.lr = kRate, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.1});
  });
  check_steps("adamw", [](const Mlp& m) { return optim::adamw(m, {.lr = kRate}); });
}

TEST(Torch, Clipping) {
  auto sgd = [](const Mlp& m) { return optim::sgd(m, {.lr = kRate}); };
  check_steps("sgd_clip_norm", sgd, [](const std::vector<Tensor*>& g) { return optim::clip_grad_norm(g, 0.5); });
  check_steps("sgd_clip_value", sgd, [](const std::vector<Tensor*>& g) {
    optim::clip_grad_value(g, 0.05);
    return Tensor();
  });
}

TEST(Torch, Schedules) {
  Case c("schedules");
  auto same = [&](const std::string& name, auto schedule) {
    std::vector<double> rates = c(name).to_vector<double>();
    for (size_t i = 0; i < rates.size(); ++i)
      EXPECT_NEAR(schedule(static_cast<i64>(i)), rates[i], 1e-12) << name << " at " << i;
  };
  same("step", optim::StepSchedule{.lr = 0.25, .every = 7, .factor = 0.5});
  same("cosine", optim::CosineSchedule{.lr = 0.25, .steps = 50, .least = 0.01});
  same("one_cycle", optim::OneCycleSchedule{.peak = 0.3, .steps = 60});
  same("one_cycle_options",
       optim::OneCycleSchedule{.peak = 0.3, .steps = 60, .rise = 0.1, .first_divisor = 10, .last_divisor = 100});
}

struct Made {
  nn::Linear linear;
  nn::Conv2d conv2d;
  nn::Embedding embedding;
  nn::MultiHeadAttention attention;
  nn::BatchNorm2d batch_norm2d;
  nn::LayerNorm layer_norm;
};

TEST(Torch, Initialisations) {
  Case c("initialisations");
  Made made{.linear = nn::linear(keys, 500, 400),
            .conv2d = nn::conv2d(keys, 32, 64, 5, {.groups = 2}),
            .embedding = nn::embedding(keys, 400, 300),
            .attention = nn::multi_head_attention(keys, 240, 4),
            .batch_norm2d = nn::batch_norm2d(8),
            .layer_norm = nn::layer_norm(8)};
  size_t checked = 0;
  for (const auto& [name, t] : named_tensors(made)) {
    if (!is_float(t.dtype())) continue;
    std::vector<double> want = c(name).to_vector<double>(), v = t.to_vector<double>();
    double mean = 0, square = 0, n = static_cast<double>(v.size());
    for (double x : v) mean += x / n, square += x * x / n;
    double deviation = std::sqrt(std::max(0.0, square - mean * mean));
    double few = 4 / std::sqrt(n);  // how far a sample's figures stray
    EXPECT_NEAR(deviation, want[2], few * want[2]) << name;
    EXPECT_NEAR(*std::max_element(v.begin(), v.end()), want[1], (0.15 + few) * std::fabs(want[1])) << name;
    EXPECT_NEAR(*std::min_element(v.begin(), v.end()), want[0], (0.15 + few) * std::fabs(want[0])) << name;
    ++checked;
  }
  EXPECT_EQ(checked, c.all.size());
}

}  // namespace
}  // namespace tn

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc == 2) tn::folder = argv[1];
  return RUN_ALL_TESTS();
}
