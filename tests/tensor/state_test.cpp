// State through jit and the other transforms, donation, backward, effects.
#include "base/array.h"
#include "base/memory.h"
#include "expect.h"
#include "tensor/evaluate.h"

namespace tn {
namespace {

struct Weights {
  Tensor w, b;
};
struct Momentum {
  Tensor m, steps;
  double rate;
};

Tensor energy(const Weights& w, const Tensor& x) { return sum(w.w * x * w.w) + w.b; }

TEST(Jit, StateGoesInAndOut) {
  auto step = jit([](Weights& w, Momentum& o, const Tensor& x) {
    auto [l, g] = value_and_grad(energy)(w, x);
    o.m = o.m * 0.9 + g.w;
    w.w = w.w - o.m * o.rate;
    o.steps = o.steps + 1.0;
    return l;
  });
  Weights w{f64({1, 2}), f64(.5)};
  Momentum o{f64({0, 0}), f64(0), .1};
  double first = step(w, o, f64(1)).item(), last = 0;
  for (int i = 0; i < 4; ++i) last = step(w, o, f64(1)).item();
  EXPECT_LT(last, first);
  expect_near(o.steps, 5);
  EXPECT_EQ(step.traces(), 1u);
  o.rate = .05;  // a number of a struct belongs to the trace, not to the compiled program
  u64 compiled = evaluation_counts().compiled;
  step(w, o, f64(1));
  EXPECT_EQ(step.traces(), 2u);
  EXPECT_EQ(evaluation_counts().compiled, compiled);
}

TEST(Jit, RefusesHiddenTensors) {
  static Tensor hidden = f64(1);
  expect_error([] { jit([](const Tensor& x) { return x + hidden; })(f64(1)); }, "constant(x)");
  static Tensor fine = constant(f64(3));
  expect_near(jit([](const Tensor& x) { return x * fine; })(f64(2)), 6);
  expect_near(jit([](const Tensor& x) { return x * f64({1, 2})(1); })(f64(2)), 4);
}

struct Scale {
  double by;
  Tensor shift;
  Tensor operator()(const Tensor& x) const { return x * by + shift; }
};

TEST(Jit, StructsAreWalked) {
  auto f = jit(Scale{3, f64(1)});
  expect_near(f(f64(2)), 7);
  expect_near(f(f64(3)), 10);
  EXPECT_EQ(f.traces(), 1u);
  f(f64({1, 2}));
  EXPECT_EQ(f.traces(), 2u);
}

TEST(Jit, LiteralsAreInputs) {
  auto text = [](auto f) { return to_string(*trace(f, f64({1, 2}))); };
  EXPECT_EQ(text([](const Tensor& x) { return x * 2.0 + 0.5; }), text([](const Tensor& x) { return x * 3.0 + 0.25; }));
  EXPECT_NE(text([](const Tensor& x) { return pow(x, 2); }), text([](const Tensor& x) { return pow(x, 3); }));
}

TEST(Jit, WithoutResult) {
  auto f = jit([](Tensor& x, const Tensor& y) { x = x + y; });
  Tensor x = f64(1);
  f(x, f64(2));
  f(x, f64(2));
  expect_near(x, 5);
}

TEST(Jit, DonatesStateNobodyElseHolds) {
  auto f = jit([](Tensor& w) { w = w * 0.5; });
  Tensor w = ones({1 << 18});
  w.eval();
  for (int i = 0; i < 3; ++i) f(w);
  Tensor alias = w;
  f(w);
  EXPECT_EQ(alias(0).item(), 0.125);
  EXPECT_EQ(w(0).item(), 0.0625);
  auto twice = jit([](Tensor& a, Tensor& b) { a = a + b, b = a * 2.0; });
  Tensor same = f64({1, 2}), other = same;
  twice(same, other);
  expect_near(same, {2, 4});
  expect_near(other, {4, 8});
}

TEST(State, GradAndJvpWriteBack) {
  auto f = [](const Tensor& x, Tensor& count) {
    count = count + x;
    return x * x;
  };
  Tensor count = f64(1);
  expect_near(grad(f)(f64(3), count), 6);
  expect_near(count, 4);
  auto one = [](Tensor& x) {
    Tensor y = x * x;
    x = x + 1.0;
    return y;
  };
  Tensor x = f64(2);
  jvp(one)(x, f64(1));
  expect_near(x, 3);
  checkpoint(one)(x);
  expect_near(x, 4);
}

TEST(Backward, AccumulatesAndAllowsReads) {
  Tensor w = f64(2);
  w.requires_grad();
  Tensor x = w * w;
  if (x.item() > 1) x = x * w;
  x.backward();
  expect_near(w.grad(), 12);
  (w * 3.0).backward();
  expect_near(w.grad(), 15);
  w.zero_grad();
  EXPECT_FALSE(w.grad().defined());
  (w * w).backward();
  expect_near(w.grad(), 4);
  Tensor v = (w - w.grad() * 0.25).detach().requires_grad();
  (v * v).backward();
  expect_near(v.grad(), 2);
  expect_error([] { f64(1).backward(); }, "requires_grad");
  expect_error([&] { (w * f64({1, 2})).backward(); }, "expected a floating scalar, got f64[2]");
}

TEST(Backward, LossThenGradientRunsOnce) {
  Tensor w = f64({1, 2});
  auto [l, g] = value_and_grad([](const Tensor& x) { return sum(sin(x)); })(w);
  u64 before = evaluation_counts().evaluations;
  l.item();
  g.to_vector();
  EXPECT_EQ(evaluation_counts().evaluations, before + 1);
}

/// How often `word` is printed while f runs.
template <class F>
int prints(F f, const std::string& word) {
  testing::internal::CaptureStdout();
  f();
  std::string text = testing::internal::GetCapturedStdout();
  int n = 0;
  for (size_t p = 0; (p = text.find(word, p)) != text.npos; ++p) ++n;
  return n;
}

TEST(Effects, RunOnceThroughEveryTransform) {
  auto f = [](const Tensor& x) {
    print("first", x);
    return sin(x);
  };
  EXPECT_EQ(prints([&] { f(f64(1)).item(); }, "first"), 1);
  EXPECT_EQ(prints([&] { grad(f)(f64(1)).item(); }, "first"), 1);
  EXPECT_EQ(prints([&] { grad(grad(f))(f64(1)).item(); }, "first"), 1);
  EXPECT_EQ(prints([&] { jvp(f)(f64(1), f64(1)).second.item(); }, "first"), 1);
  EXPECT_EQ(prints([&] { jit(f)(f64(1)).item(); }, "first"), 1);
  EXPECT_EQ(prints([&] { vmap(f)(f64({1, 2})).to_vector(); }, "first"), 1);
  EXPECT_EQ(prints([&] { grad(checkpoint(f))(f64(1)).item(); }, "first"), 1);
  EXPECT_EQ(prints([&] { vjp(f)(f64(1)).second(f64(1)); }, "first"), 1);
  EXPECT_EQ(prints([&] { linearize(f)(f64(1)).second(f64(1)).item(); }, "first"), 1);
  auto three = [&](const Tensor& x) {
    return scan([&](const Tensor& c, const Tensor&) { return std::pair(f(c), c); }, x, arange(3)).first;
  };
  EXPECT_EQ(prints([&] { three(f64(1)).item(); }, "first"), 3);
  EXPECT_EQ(prints([&] { grad(three)(f64(1)).item(); }, "first"), 3);
  auto taken = [&](const Tensor& x) { return cond(x > 0.0, f, [](const Tensor& v) { return v * 2.0; }, x); };
  EXPECT_EQ(prints([&] { grad(taken)(f64(1)).item(); }, "first"), 1);
  EXPECT_EQ(prints([&] { grad(taken)(f64(-1)).item(); }, "first"), 0);
  auto twice = [&](const Tensor& x) {
    return while_loop([](const Tensor& v) { return v < 4.0; }, [&](const Tensor& v) { return f(v) * 0.0 + v * 2.0; },
                      x);
  };
  EXPECT_EQ(prints([&] { twice(f64(1)).item(); }, "first"), 2);
  auto read_inside = [&](const Tensor& x) {
    Tensor y = jit(f)(x);
    return y.item() > 0 ? y * 2.0 : y;
  };
  EXPECT_EQ(prints([&] { EXPECT_NEAR(grad(read_inside)(f64(1)).item(), 2 * std::cos(1), 1e-6); }, "first"), 1);
}

TEST(Callbacks, RunOnceWithValuesInEveryTransform) {
  static std::vector<double> seen;  // jit wants lambdas without captures
  Type scalar = Type::tensor(DType::f64, {});
  static Callback half({scalar}, [](std::span<const Tensor> x) {
    seen.push_back(x[0].item<double>());
    return std::vector<Tensor>{x[0] * 0.5};
  });
  auto calls = [](auto f) {
    seen.clear();
    f();
    return seen;
  };
  using Seen = std::vector<double>;
  auto g = [](const Tensor& x) { return half(x) + 1.0; };
  EXPECT_EQ(calls([&] { expect_near(g(f64(4)), 3); }), Seen{4});
  auto compiled = jit(g);
  EXPECT_EQ(calls([&] { expect_near(compiled(f64(4)), 3), expect_near(compiled(f64(8)), 5); }), (Seen{4, 8}));
  EXPECT_EQ(calls([&] { EXPECT_EQ(vmap(g)(f64({2, 4, 6})).to_vector(), (Seen{2, 3, 4})); }), (Seen{2, 4, 6}));
  auto ruled = custom_vjp([](const Tensor& x) { return std::pair(half(x) + 1.0, x); },
                          [](const Tensor&, const Tensor& ct) { return ct * 0.5; });
  EXPECT_EQ(calls([&] { expect_near(grad(ruled)(f64(4)), 0.5); }), Seen{4});
  EXPECT_EQ(calls([&] { expect_near(grad(checkpoint(ruled))(f64(4)), 0.5); }), Seen{4});
  auto loop = [](const Tensor& x) {
    return scan([](const Tensor& c, const Tensor&) { return std::pair(half(c), c); }, x, arange(3)).first;
  };
  EXPECT_EQ(calls([&] { expect_near(jit(loop)(f64(8)), 1); }), (Seen{8, 4, 2}));
  expect_error([&] { grad(g)(f64(4)); }, "wrap it in custom_vjp or custom_jvp");
}

TEST(Callbacks, SayWhatIsWrong) {
  Type scalar = Type::tensor(DType::f64, {});
  auto identity = [](std::span<const Tensor> x) { return std::vector<Tensor>(x.begin(), x.end()); };
  Callback wrong({scalar}, [](std::span<const Tensor>) { return std::vector<Tensor>{f64({1, 2})}; });
  expect_error([&] { wrong(f64(1)).item(); }, "expected f64[] for result 0 of the function, got f64[2]");
  Callback none({scalar}, [](std::span<const Tensor>) { return std::vector<Tensor>{}; });
  expect_error([&] { none(f64(1)).item(); }, "expected 1 results of the function, got 0");
  Tensor pending = f64({1, 2}) * 2.0;
  Callback looks({pending.type()},
                 [pending](std::span<const Tensor> x) { return std::vector<Tensor>{x[0] * pending}; });
  expect_error([&] { looks(pending).to_vector(); }, "eval it first, or pass it as an operand");
  Callback throws({scalar}, [](std::span<const Tensor>) -> std::vector<Tensor> { throw 1; });
  expect_error([&] { throws(f64(1)).item(); }, "expected exceptions of std::exception's kind");
  std::optional<Callback> inner(std::in_place, std::vector<Type>{scalar}, identity);
  {
    Callback outer({scalar}, [c = *inner](std::span<const Tensor> x) { return c(x); });
    inner.reset();
    expect_near(outer(f64(3)), 3);
  }
  static std::optional<Callback> gone;
  gone.emplace(std::vector<Type>{scalar}, identity);
  auto late = jit([](const Tensor& x) { return (*gone)(x); });
  expect_near(late(f64(2)), 2);
  gone.reset();
  expect_error([&] { late(f64(2)).item(); }, "a graph with callbacks runs only in the process that made it");
}

TEST(Effects, ChecksFailWhenTheyRun) {
  auto f = jit([](const Tensor& x) {
    check(x > 0.0, "must be positive");
    return x * 2.0;
  });
  expect_near(f(f64(1)), 2);
  expect_error([&] { f(f64(-1)).item(); }, "must be positive");
}

TEST(Tensors, StepsOfEagerTrainingUseBoundedMemory) {
  Tensor w = ones({1000}), x = ones({1000});
  auto loss = [&](const Tensor& p) { return sum(square(p * x)); };
  i64 most = 0;
  for (int i = 0; i < 3000; ++i) {
    w = w - grad(loss)(w) * 0.001;
    most = std::max(most, live_nodes());
  }
  EXPECT_LT(most, 20000);
  EXPECT_GT(w(0).item(), 0);
}

TEST(Jit, AStateIsKeptWhenTheCallCannotBegin) {
  auto step = jit([](Tensor& w, Tensor& n) { w = w * 0.5, n = n + 1.0; });
  auto begin = [] { return std::pair(f64({1, 2}).eval(), f64(4)); };  // n is a literal: its array is made by the call
  auto [w, n] = begin();
  step(w, n);
  std::tie(w, n) = begin();
  set_block_limit(1);
  expect_error([&] { step(w, n); }, "the limit is 1 bytes");
  set_block_limit(0);
  ASSERT_TRUE(w.defined() && n.defined());
  step(w, n);
  expect_near(w, {0.5, 1});
  expect_near(n, 5);
}

}  // namespace
}  // namespace tn
