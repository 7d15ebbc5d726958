// Optimisers as trees, their errors, schedules at their ends. Agreement with torch is in tests/nn.
#include <gtest/gtest.h>
#include <tenon/jit.h>
#include <tenon/nn.h>
#include <tenon/optim.h>

#include <cmath>

#include "runtime/counters.h"
#include "runtime/execute.h"

namespace tn {
namespace {

template <class F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what(); }
}

struct Net {
  nn::Linear fc;
  nn::BatchNorm2d bn;
  static Net make() {
    nn::Keys keys(1);
    return {nn::linear(keys, 3, 2), nn::batch_norm2d(2)};
  }
};

TEST(Optim, StateHasNamesAndBuffersAreNotTrained) {
  Net net = Net::make();
  EXPECT_EQ(parameters(net).size(), 4u);  // weight and bias of both; running averages are buffers
  optim::Adam adam = optim::adam(net);
  std::vector<std::string> names;
  for (const auto& [name, t] : named_tensors(adam)) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"lr", "step", "exp_avg.0", "exp_avg.1", "exp_avg.2", "exp_avg.3",
                                             "exp_avg_sq.0", "exp_avg_sq.1", "exp_avg_sq.2", "exp_avg_sq.3"}));
}

TEST(Optim, ARateIsAnArgumentOfJit) {
  Net net = Net::make();
  optim::Sgd sgd = optim::sgd(net, {.lr = 1});
  auto step = jit([](Net& n, optim::Sgd& o) {
    Net gradients =
        grad([](const Net& m) { return sum(m.fc.weight) + sum(m.fc.bias) + sum(m.bn.weight * m.bn.bias); })(n);
    o.update(n, gradients);
  });
  double before = net.fc.weight(0, 0).item();
  step(net, sgd);
  EXPECT_FLOAT_EQ(static_cast<float>(net.fc.weight(0, 0).item()), static_cast<float>(before - 1));
  sgd.lr = Tensor(0.25, DType::f32);
  step(net, sgd);
  EXPECT_FLOAT_EQ(static_cast<float>(net.fc.weight(0, 0).item()), static_cast<float>(before - 1.25));
  EXPECT_EQ(step.traces(), 1u);
  EXPECT_EQ(sgd.step.item(), 2);
}

/// Tensors of every size, as a network of pictures has.
struct Pictures {
  nn::Conv2d first, second;
  nn::BatchNorm2d norm, other;
  nn::Linear wide, last;
  static Pictures make() {
    nn::Keys keys(2);
    return {nn::conv2d(keys, 1, 32, 3), nn::conv2d(keys, 32, 64, 3),    nn::batch_norm2d(32),
            nn::batch_norm2d(64),       nn::linear(keys, 64 * 49, 128), nn::linear(keys, 128, 10)};
  }
};

/// Phases that a jitted step dispatches, all parameters given with their gradients.
template <class Optimizer>
u64 phases_of_step(Optimizer optimizer, Pictures net) {
  auto step = jit([](Pictures& n, const Pictures& gradients, Optimizer& o) { o.update(n, gradients); });
  Pictures gradients = Pictures::make();
  u64 before = 0;
  for (int i = 0; i < 2; ++i) {
    before = runtime_counters().phases;
    step(net, gradients, optimizer);
    net.last.bias.eval();
  }
  return runtime_counters().phases - before;
}

TEST(Optim, AStepOverAllParametersIsOneSweep) {
  Pictures net = Pictures::make();
  for (Tier tier : {Tier::interpreted, Tier::compiled}) {
    set_tier(tier);
    EXPECT_EQ(phases_of_step(optim::adam(net), net), 1u);
    EXPECT_EQ(phases_of_step(optim::adamw(net), net), 1u);
    EXPECT_EQ(phases_of_step(optim::sgd(net, {.momentum = 0.9, .nesterov = true}), net), 1u);
  }
  set_tier(Tier::automatic);
}

TEST(Optim, ARateHasTheDigitsOfTheParameters) {
  auto after_one_step = [](auto make, DType dtype) {
    nn::Linear fc{.weight = ones({1}, dtype), .bias = ones({1}, dtype)}, gradients = fc;
    auto optimizer = make(fc);
    EXPECT_EQ(optimizer.lr.dtype(), dtype);
    optimizer.update(fc, gradients);
    return fc.weight.item();
  };
  auto sgd = [](const nn::Linear& m) { return optim::sgd(m, {.lr = 1e-3}); };
  auto adam = [](const nn::Linear& m) { return optim::adam(m, {.lr = 1e-3}); };
  EXPECT_EQ(after_one_step(sgd, DType::f64), 1 - 1e-3);
  EXPECT_EQ(after_one_step(sgd, DType::f32), 1 - 1e-3f);
  EXPECT_NEAR(after_one_step(adam, DType::f64), 1 - 1e-3 / (1 + 1e-8), 1e-15);
  after_one_step(adam, DType::f32);
}

TEST(Optim, AdamWDecaysWhateverElseIsNamed) {
  Net net = Net::make();
  EXPECT_EQ(optim::adamw(net).weight_decay, 1e-2);
  EXPECT_EQ(optim::adamw(net, {.lr = 0.5}).weight_decay, 1e-2);
  EXPECT_EQ(optim::adamw(net, {.weight_decay = 0}).weight_decay, 0);
  EXPECT_EQ(optim::adam(net).weight_decay, 0);
  optim::Adam all = optim::adamw(net, {.lr = 0.5, .beta1 = 0.1, .beta2 = 0.2, .epsilon = 0.3, .weight_decay = 0.4});
  EXPECT_EQ(std::tuple(all.lr.item(), all.beta1, all.beta2, all.epsilon, all.weight_decay, all.decoupled),
            std::tuple(0.5, 0.1, 0.2, 0.3, 0.4, true));
  // Without a gradient only the decay moves a weight.
  net.fc.weight = ones({2, 3});
  optim::Adam adamw = optim::adamw(net, {.lr = 0.5});
  Net gradients = net;
  for (Tensor* g : parameters(gradients)) *g = zeros_like(*g);
  adamw.update(net, gradients);
  EXPECT_FLOAT_EQ(net.fc.weight(0, 0).item<float>(), 1 - 0.5f * 1e-2f);
}

TEST(Optim, StepAfterBackward) {
  Net net = Net::make();
  for (Tensor* p : parameters(net)) p->requires_grad();
  optim::Sgd sgd = optim::sgd(net, {.lr = 0.5});
  double before = net.fc.bias(0).item();
  for (int i = 0; i < 2; ++i) {
    Tensor loss = sum(net.fc.weight) + sum(net.fc.bias * 3.0) + sum(net.bn.weight) + sum(net.bn.bias);
    loss.backward();
    optim::step_backward(net, sgd);
  }
  EXPECT_FLOAT_EQ(static_cast<float>(net.fc.bias(0).item()), static_cast<float>(before - 3));
}

TEST(Optim, Refuses) {
  Net net = Net::make(), empty;
  expect_error([&] { optim::sgd(net, {.nesterov = true}); }, "momentum above 0");
  expect_error([&] { optim::sgd(net, {.momentum = 0.9, .dampening = 0.5, .nesterov = true}); }, "no dampening");
  expect_error([&] { optim::adam(net, {.beta1 = 1}); }, "betas in [0, 1)");
  optim::Adam adam = optim::adam(net);
  expect_error([&] { adam.update(net, empty); }, "a gradient for each of 4 parameters, got 0");
  optim::Adam other = optim::adam(net.fc);
  expect_error([&] { other.update(net, net); }, "the model the optimiser was made for, with 2 parameters, got 4");
  Net wrong = net;
  wrong.fc.bias = zeros({3});
  expect_error([&] { adam.update(net, wrong); }, "expected a gradient f32[2] for parameter 1, got f32[3]");
  expect_error([] { optim::clip_grad_norm({}, 1); }, "at least one gradient");
}

TEST(Optim, ClippingLeavesSmallGradients) {
  Tensor a = tensor({3.0, 0.0}), b = tensor({0.0, 4.0});
  EXPECT_NEAR(optim::clip_grad_norm({&a, &b}, 10).item(), 5, 1e-6);
  EXPECT_EQ(a(0).item(), 3);
  EXPECT_NEAR(optim::clip_grad_norm({&a, &b}, 1).item(), 5, 1e-6);
  EXPECT_NEAR(a(0).item(), 0.6, 1e-5);
  EXPECT_NEAR(b(1).item(), 0.8, 1e-5);
}

TEST(Schedules, TheirEnds) {
  optim::CosineSchedule cosine{.lr = 1, .steps = 10, .least = 0.1};
  EXPECT_EQ(cosine(0), 1);
  EXPECT_NEAR(cosine(5), 0.55, 1e-12);
  EXPECT_NEAR(cosine(10), 0.1, 1e-12);
  EXPECT_EQ(cosine(1000), cosine(10));
  optim::OneCycleSchedule cycle{.peak = 1, .steps = 100};
  EXPECT_NEAR(cycle(0), 0.04, 1e-12);
  EXPECT_NEAR(cycle(29), 1, 1e-12);
  EXPECT_NEAR(cycle(99), 4e-6, 1e-12);
  EXPECT_EQ(cycle(500), cycle(99));
  for (i64 steps : {0, 1, 2, 3})
    for (i64 i = 0; i < 4; ++i) {
      EXPECT_TRUE(std::isfinite((optim::OneCycleSchedule{.peak = 1, .steps = steps})(i))) << steps << " " << i;
      EXPECT_TRUE(std::isfinite((optim::StepSchedule{.lr = 1, .every = steps})(i))) << steps << " " << i;
      EXPECT_TRUE(std::isfinite((optim::CosineSchedule{.lr = 1, .steps = steps})(i))) << steps << " " << i;
    }
}

}  // namespace
}  // namespace tn
