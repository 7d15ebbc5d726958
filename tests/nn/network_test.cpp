// Models as networks: what is a weight and what is not, on the way through a file.
#include <gtest/gtest.h>
#include <tenon/engine.h>
#include <tenon/nn.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace tn {
namespace {

struct Small {
  nn::Conv2d conv;
  nn::BatchNorm2d bn;
  nn::Linear fc;
  static Small make() {
    nn::Keys keys(3);
    Small m{.conv = nn::conv2d(keys, 1, 4, 3, {.padding = 1, .bias = false}),
            .bn = nn::batch_norm2d(4),
            .fc = nn::linear(keys, 4 * 8 * 8, 3)};
    m.bn.running_mean.tensor = random::normal(keys.next(), {4});
    m.bn.running_var.tensor = random::uniform(keys.next(), {4}, {.low = 1e-6, .high = 1e-5});
    return m;
  }
  Tensor operator()(const Tensor& x) const { return fc(flatten(relu(bn(conv(x))), 1)); }
};

const NamedType kImage{"image", Type::tensor(DType::f32, {Dim::symbol("batch"), 1, 8, 8})};

std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, t] : tensors) names.push_back(name);
  return names;
}

Network through_file(const Network& network) {
  std::string path = testing::TempDir() + "tenon_network_test.onnx";
  export_onnx(network, path);
  Network back = import_onnx(path);
  std::filesystem::remove(path);
  return back;
}

const std::vector<std::string> kWeights = {"conv.weight",    "bn.weight", "bn.bias", "bn.running_mean",
                                           "bn.running_var", "fc.weight", "fc.bias"};

TEST(Network, WeightsAreTheModelsTensors) {
  Small model = Small::make();
  Network network = trace_network(model, {"logits"}, kImage);
  std::vector<std::string> names = names_of(network.weights());
  EXPECT_EQ(std::set(names.begin(), names.end()), std::set(kWeights.begin(), kWeights.end()));
}

// Numbers that an op's expansion needs (an epsilon) are no weights: trained, they turn a network into NaN.
TEST(Network, WeightsStayTheSameThroughAFile) {
  Small model = Small::make();
  Network network = through_file(trace_network(model, {"logits"}, kImage));
  std::vector<std::string> names = names_of(network.weights());
  EXPECT_EQ(std::set(names.begin(), names.end()), std::set(kWeights.begin(), kWeights.end()));
  EXPECT_EQ(names.size(), kWeights.size());
  Tensor x = random::normal(random::key(1), {5, 1, 8, 8});
  std::vector<float> want = model(x).to_vector<float>(), got = network(std::vector{x})[0].to_vector<float>();
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5 * std::abs(want[i]) + 1e-6);
}

// A tensor that stands twice in a model is one weight.
TEST(Network, TiedWeightsAreOne) {
  struct Tied {
    Tensor in, out;
    Tensor operator()(const Tensor& x) const { return matmul(matmul(x, in), transpose(out)); }
  };
  Tensor w = random::normal(random::key(1), {3, 4});
  Network network = trace_network(Tied{w, w}, {"y"}, NamedType{"x", Type::tensor(DType::f32, {2, 3})});
  EXPECT_EQ(names_of(network.weights()), std::vector<std::string>{"in"});
}

TEST(Network, GradientsAreTheModels) {
  Small model = Small::make();
  Network network = through_file(trace_network(model, {"logits"}, kImage));
  Tensor x = random::normal(random::key(1), {5, 1, 8, 8}), y = tensor({0, 1, 2, 0, 1});
  Small want = grad([&](const Small& m) { return nn::cross_entropy_loss(m(x), y); })(model);
  std::vector<Tensor> weights;
  for (const auto& [name, t] : network.weights()) weights.push_back(t);
  std::vector<Tensor> got = grad([&](const std::vector<Tensor>& w) {
    return nn::cross_entropy_loss(network.apply(w, std::vector{x})[0], y);
  })(weights);
  NamedTensors expected = named_tensors(want);
  std::vector<std::string> names = names_of(network.weights());
  for (size_t i = 0; i < names.size(); ++i) {
    auto at = std::find_if(expected.begin(), expected.end(), [&](const auto& e) { return e.first == names[i]; });
    ASSERT_NE(at, expected.end()) << names[i];
    std::vector<float> a = got[i].to_vector<float>(), b = at->second.to_vector<float>();
    double scale = 0;
    for (float v : b) scale = std::max(scale, std::abs(static_cast<double>(v)));
    for (size_t k = 0; k < a.size(); ++k) EXPECT_NEAR(a[k], b[k], 1e-5 * scale) << names[i] << " " << k;
  }
}

// What is computed of constants alone is computed when a plan is built.
TEST(Network, PlansComputeConstantsOnce) {
  Small model = Small::make();
  Network network = trace_network(model, {"logits"}, kImage);
  EXPECT_EQ(network.count("permute"), 1u);
  engine::Plan plan = engine::build(network, {.profiles = {{"batch", 1, 4, 8}}});
  engine::Context context(plan);
  Tensor x = random::normal(random::key(1), {5, 1, 8, 8});
  std::vector<float> want = model(x).to_vector<float>(), got = context.run({x})[0].to_vector<float>();
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5 * std::abs(want[i]) + 1e-6);
}

}  // namespace
}  // namespace tn
