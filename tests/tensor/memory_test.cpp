// Memory of training: state is donated, checkpoint trades it for work, loops that read nothing stay bounded.
#include "base/array.h"
#include "base/thread_pool.h"
#include "expect.h"
#include "tenon/nn.h"
#include "tenon/optim.h"
#include "tensor/evaluate.h"
#include "tensor/pending.h"

namespace tn {
namespace {

struct Net {
  nn::Linear first, second;
  nn::BatchNorm2d norm;
  Tensor key;

  Tensor operator()(const Tensor& x) {
    Tensor next = random::split(key, 2);
    key = next(0);
    Tensor h = reshape(relu(first(x)), {-1, 16, 8, 8});
    h = reshape(norm(h, true), {-1, 1024});
    return second(h * cast(random::bernoulli(next(1), 0.9, {1, 1024}), DType::f32));
  }
  static Net make() {
    nn::Keys keys(7);
    return {nn::linear(keys, 64, 1024), nn::linear(keys, 1024, 10), nn::batch_norm2d(16), random::key(3)};
  }
};

size_t parameter_bytes(Net& net) {
  size_t bytes = 0;
  for (Tensor* p : parameters(net)) bytes += static_cast<size_t>(p->size()) * 4;
  return bytes;
}

TEST(Memory, AJittedTrainingStepHoldsItsStateOnce) {
  // A worker takes its scratch when it first takes part, which may be in any step.
  int threads = ThreadPool::shared().threads();
  ThreadPool::shared().set_threads(1);
  Net net = Net::make();
  optim::Adam adam = optim::adam(net);
  auto step = jit([](Net& n, optim::Adam& a, const Tensor& x) {
    auto [loss, gradients] = value_and_grad([](Net& m, const Tensor& v) { return sum(square(m(v))); })(n, x);
    a.update(n, gradients);
    return loss;
  });
  Tensor x = ones({4, 64});
  for (int i = 0; i < 60; ++i) step(net, adam, x);  // compiled by now
  size_t live = Storage::live_bytes();
  i64 nodes = live_nodes();
  Storage::reset_peak();
  for (int i = 0; i < 1000; ++i) step(net, adam, x);
  EXPECT_EQ(Storage::live_bytes(), live);
  EXPECT_EQ(live_nodes(), nodes);
  // Beside what lives between steps: gradients and activations, but no second copy of parameters and moments.
  size_t one = parameter_bytes(net);
  EXPECT_LT(Storage::peak_bytes() - live, one + one / 2);
  // Between steps: parameters, two moments, and little else.
  EXPECT_LT(live, 3 * one + one / 2);
  ThreadPool::shared().set_threads(threads);
}

TEST(Memory, AnAliasKeepsItsNumbers) {
  auto f = jit([](Tensor& w, const Tensor& x) { w = w * x; });
  Tensor w = ones({1 << 16}), x = ones({1 << 16}) * 0.5;
  w.eval();
  x.eval();
  const void* place = w.data<float>();
  f(w, x);
  EXPECT_EQ(w.data<float>(), place);  // nobody else held it
  Tensor alias = w;
  f(w, x);
  EXPECT_EQ(alias(0).item(), 0.5);
  EXPECT_EQ(w(0).item(), 0.25);
  Tensor part = reshape(w, {256, 256}).eval();  // may share storage
  f(w, x);
  EXPECT_EQ(part(0, 0).item(), 0.25);
  f(w, w);  // the same tensor twice
  EXPECT_EQ(w(5).item(), 0.125 * 0.125);
}

TEST(Memory, AFailureInTheMiddleSpendsWhatWasDonated) {
  auto f = jit([](Tensor& w, const Tensor& x) {
    w = w * 0.5;
    check(x > 0.0, "must be positive");
    w = w + 1.0;
  });
  Tensor w = ones({1000}), alias = w;
  w.eval();
  expect_error([&] { f(w, Tensor(-1.0)); }, "must be positive");
  EXPECT_EQ(w(0).item(), 1);  // held twice, so it was not donated
  alias = Tensor();
  expect_error([&] { f(w, Tensor(-1.0)); }, "must be positive");
  expect_error([&] { w(0).item(); }, "reused by a call that failed");
  w = ones({1000});
  f(w, Tensor(1.0));
  EXPECT_EQ(w(0).item(), 1.5);
}

Tensor deep(const Tensor& x, bool remat) {
  auto block = [](const Tensor& v) {
    Tensor y = v;
    for (int i = 0; i < 4; ++i) y = sin(matmul(y, y) * 0.01 + y);
    return y;
  };
  Tensor y = x;
  for (int i = 0; i < 8; ++i) y = remat ? checkpoint(block)(y) : block(y);
  return sum(y);
}

TEST(Memory, CheckpointLowersThePeak) {
  Tensor x = ones({128, 128}) * 0.1;
  x.eval();
  auto peak = [&](bool remat, auto f) {
    Storage::reset_peak();
    size_t before = Storage::live_bytes();
    Tensor g = f(x);
    EXPECT_NE(g(0, 0).item(), 0) << remat;
    return Storage::peak_bytes() - before;
  };
  auto plain = grad([](const Tensor& v) { return deep(v, false); });
  auto saved = grad([](const Tensor& v) { return deep(v, true); });
  Tensor a = plain(x), b = saved(x);
  EXPECT_EQ(a.to_vector(), b.to_vector());
  size_t all = peak(false, plain), less = peak(true, saved);
  EXPECT_LT(less, all / 2) << less << " and " << all;
}

TEST(Memory, AMillionOperationsWithoutARead) {
  Tensor x = ones({16});
  x.eval();
  Storage::reset_peak();
  size_t before = Storage::live_bytes();
  i64 most = 0;
  Tensor y = x;
  for (int i = 0; i < 1000000; ++i) {
    y = y * 1.0000001;
    if (i % 64 == 0) most = std::max(most, live_nodes());
  }
  EXPECT_LT(most, 5000);
  EXPECT_LT(Storage::peak_bytes() - before, size_t{1} << 20);
  EXPECT_GT(y(0).item(), 1);
}

}  // namespace
}  // namespace tn
