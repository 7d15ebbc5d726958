// The machine below: long chains, small stacks, many threads, nothing left at the end.
#include <sys/resource.h>

#include <thread>

#include "expect.h"
#include "tensor/evaluate.h"
#include "tensor/pending.h"

namespace tn {
namespace {

TEST(Chains, EvaluateInPieces) {
  Tensor y = f64(1);
  i64 most = 0;
  for (int i = 0; i < 200000; ++i) {
    y = y + 1.0;
    most = std::max(most, live_nodes());
  }
  EXPECT_EQ(y.item(), 200001);
  EXPECT_LT(most, 5000);
}

TEST(Chains, OfWhichEachValueIsKept) {
  Tensor sum = f64(0);
  std::vector<Tensor> kept;
  for (int i = 0; i < 20000; ++i) kept.push_back(sum = sum + f64(i));
  EXPECT_EQ(sum.item(), 199990000);
  EXPECT_EQ(kept[100].item(), 5050);
}

/// Numbers that an operation is made of, such as the count of a mean, stay what they are when the loss is read.
TEST(Backward, AfterARead) {
  auto check = [](auto f, std::vector<double> expected) {
    for (int reads = 0; reads < 4; ++reads) {
      Tensor w = f64({1, 2, 3});
      w.requires_grad();
      Tensor loss = f(w);
      if (reads & 1) loss.item();
      loss.backward();
      if (reads & 2) loss.item();
      EXPECT_EQ(w.grad().to_vector(), expected) << reads;
      loss.backward();
      for (double& e : expected) e *= 2;
      EXPECT_EQ(w.grad().to_vector(), expected) << reads;
      for (double& e : expected) e /= 2;
      EXPECT_EQ(grad(f)(f64({1, 2, 3})).to_vector(), expected);
    }
  };
  check([](const Tensor& x) { return mean(x * x * 1.5); }, {1, 2, 3});
  check([](const Tensor& x) { return sum(x * ones({}, DType::f64) * 2.0); }, {2, 2, 2});
  check([](const Tensor& x) { return sum(var(x * 3.0)); }, {-6, 0, 6});
}

TEST(Backward, ReadsOfNumbersLeaveThem) {
  Tensor one = ones({}, DType::f64);
  eval({one});
  EXPECT_EQ(jit([](const Tensor& x, const Tensor& y) { return x + y; })(one, f64(2)).item(), 3);
  EXPECT_EQ(grad([&](const Tensor& x) { return x * one; })(f64(2)).item(), 1);
  EXPECT_EQ((one * 4.0).item(), 4);
}

/// A loss that is read runs the update before it, of which nothing but the new parameters is kept.
TEST(Backward, KeepsOfTheUpdateBeforeWhatTheLossIsMadeOf) {
  Tensor w = f64({1, 2, 3});
  w.requires_grad();
  i64 most = 0;
  for (int i = 0; i < 50; ++i) {
    Tensor loss = sum(square(w * 2.0 - 3.0));
    loss.backward();
    EXPECT_GE(loss.item(), 0);
    Tensor step = w.grad();
    for (int k = 0; k < 20; ++k) step = step * 0.9;
    w = w.detach() - step;
    w.requires_grad();
    most = std::max(most, live_nodes());
  }
  EXPECT_NEAR(w(0).item(), 1.5, 1e-6);
  EXPECT_LT(most, 200);
}

TEST(Chains, ThousandsOfPartsJoined) {
  std::vector<Tensor> rows;
  for (int i = 0; i < 3000; ++i) rows.push_back(full({4}, i));
  EXPECT_EQ(sum(concat(rows) * arange(12000)).item<i64>(), [] {
    i64 all = 0;
    for (i64 i = 0; i < 12000; ++i) all += i / 4 * i;
    return all;
  }());
}

/// Statics end after the main thread's own objects, and still compute.
struct LastWord {
  Tensor x;
  ~LastWord() {
    if (!x.defined()) return;
    if (sum(x + 1).item() != 6 || max(matmul(ones({99, 99}), ones({99, 99}))).item() != 99) std::_Exit(1);
  }
} last_word;

TEST(Threads, StaticsComputeAtExit) {
  last_word.x = arange(3);
  EXPECT_EQ(sum(last_word.x).item(), 3);
}

TEST(Chains, NoRecursionOverNodes) {
  // A long chain under grad is one piece; recording, cutting, transforming and dropping it must not recurse.
  std::thread([] {
    auto f = [](const Tensor& x) {
      Tensor y = x;
      for (int i = 0; i < 30000; ++i) y = y + x;
      return y;
    };
    EXPECT_EQ(grad(f)(f64(1)).item(), 30001);
  }).join();
}

TEST(Threads, ReadSharedNodes) {
  Tensor a = f64({1, 2, 3});
  for (int repetition = 0; repetition < 30; ++repetition) {
    std::vector<Tensor> v{sin(a)};
    for (size_t i = 0; i < 20; ++i) v.push_back(v[i] * 1.01 + v[i / 2]);
    std::vector<std::thread> threads;
    std::vector<double> out(8);
    for (size_t k = 0; k < 8; ++k)
      threads.emplace_back([&, k] { out[k] = v[20 - k % 4](0).item() + (v[10 + k] + v[5])(1).item(); });
    for (auto& t : threads) t.join();
    for (size_t k = 0; k < 8; ++k) EXPECT_EQ(out[k], v[20 - k % 4](0).item() + (v[10 + k] + v[5])(1).item());
  }
}

TEST(Threads, TraceAndJit) {
  auto step = jit([](Tensor& w, const Tensor& x) {
    w = w - grad([](const Tensor& p, const Tensor& y) { return sum(p * p * y); })(w, x) * 0.1;
    return sum(w);
  });
  std::vector<std::thread> threads;
  std::vector<double> out(8);
  for (size_t k = 0; k < 8; ++k)
    threads.emplace_back([&, k] {
      Tensor w = f64({1, 2});
      for (int i = 0; i < 20; ++i) out[k] = step(w, f64({1, .5})).item();
    });
  for (auto& t : threads) t.join();
  for (double v : out) EXPECT_EQ(v, out[0]);
}

TEST(Threads, DifferentiateMapAndJitSharedNodes) {
  auto energy = [](const Tensor& w, const Tensor& x) { return sum(sin(w * x) * w); };
  auto step = jit([](Tensor& w, const Tensor& x) {
    w = w + x * 0.5;
    return sum(w);
  });
  for (int repetition = 0; repetition < 10; ++repetition) {
    Tensor x = f64({1, 2, 3}) * 0.5, w = cos(x);  // pending, and everybody's
    std::vector<std::thread> threads;
    std::vector<double> out(8);
    for (size_t k = 0; k < 8; ++k)
      threads.emplace_back([&, k] {
        Tensor g = grad(energy)(w, x), mine = w;
        double total = vmap([&](const Tensor& v) { return sum(v * w); })(broadcast_to(x, {2, 3}))(0).item();
        for (int i = 0; i < 3; ++i) total += step(mine, k % 2 ? x : g + x - g).item();
        out[k] = total + g(k % 3).item() - g(k % 3).item();
      });
    for (auto& t : threads) t.join();
    for (double v : out) EXPECT_NEAR(v, out[0], 1e-12);
  }
}

TEST(Nodes, NothingIsLeft) {
  i64 before = live_nodes();
  {
    Tensor x = f64({1, 2});
    auto [l, g] = value_and_grad([](const Tensor& y) { return sum(sin(y) * y); })(x);
    l.item();
    Tensor unread = g * 2.0;
    auto [y, pull] = vjp([](const Tensor& z) { return z * z; })(x);
    Tensor w = f64(1);
    w.requires_grad();
    (w * w).backward();
    scan([](const Tensor& c, const Tensor& e) { return std::pair{c + e, c}; }, f64(0), x).first.item();
    expect_error([&] { sum(x + f64({1, 2, 3})); }, "axis");
  }
  EXPECT_EQ(live_nodes(), before);
}

TEST(Results, UnheldOnesAreNotKept) {
  Tensor x = ones({1 << 16});
  x.eval();
  auto loss = [](const Tensor& y) { return sum(y * y); };
  auto run = [&] {
    auto [l, g] = value_and_grad(loss)(x);
    g = Tensor();
    l.item();
    return Storage::live_bytes();
  };
  run();  // the plan's own memory
  size_t before = Storage::live_bytes();
  EXPECT_LT(run(), before + 1000);
}

TEST(Failures, AreReportedAtEachRead) {
  auto f = [](const Tensor& x) {
    return while_loop([](const Tensor& v) { return v < 5.0; }, [](const Tensor& v) { return v * 1.0; }, x, 3);
  };
  Tensor a = f64(1) + 1.0, b = f(a), c = b + 1.0;
  expect_error([&] { c.item(); }, "while");
  expect_error([&] { c.item(); }, "machine_test.cpp");
  EXPECT_EQ(a.item(), 2);
}

TEST(Results, MayBeMoreThan65535) {
  constexpr size_t kMany = 65540;
  std::vector<Tensor> x(kMany, f64(1));
  for (size_t i = 0; i < kMany; ++i) x[i] = f64(static_cast<double>(i));
  auto f = [](const std::vector<Tensor>& v) { return v[1] * v[2] * v[kMany - 1]; };
  auto [value, gradient] = value_and_grad(f)(x);
  Tensor second = gradient[2], last = gradient.back();
  gradient.clear();
  expect_near(value, 2.0 * (kMany - 1));
  expect_near(second, kMany - 1);
  expect_near(last, 2);
}

}  // namespace
}  // namespace tn
