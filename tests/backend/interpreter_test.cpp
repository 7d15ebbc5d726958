// Kernels of every family run by the interpreter, against plain loops: all instruction sets, all tails, any split of
// the iterations, several threads at once, equal bits.
#include "backend/interpreter/program.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <thread>

#include "../ir/kernels.h"

namespace tn::loops {
namespace {

using Floats = std::vector<float>;

Floats ramp(i64 n, float scale) {
  Floats x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = scale * static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
  return x;
}

std::vector<Tier> tiers() {
  std::vector<Tier> all{Tier::baseline};
  if (best_tier() >= Tier::v3) all.push_back(Tier::v3);
  if (best_tier() >= Tier::v4) all.push_back(Tier::v4);
  return all;
}

/// Runs all phases, each cut into pieces of `step` iterations (0: one piece); the error word.
i64 run(const Kernel& k, const Program& p, std::vector<void*> buffers, const std::vector<i64>& sizes, i64 step = 0) {
  DimEnv env;
  for (size_t i = 0; i < k.sizes.size(); ++i) env.set(k.sizes[i], sizes[i]);
  auto bytes = static_cast<size_t>(evaluate(k.scratch_bytes, env));
  std::vector<char> room(bytes + 64, static_cast<char>(0xA5));
  void* scratch = room.data() + (64 - reinterpret_cast<size_t>(room.data()) % 64) % 64;
  i64 error = 0, phase = 0;
  for (Val loop : k.phases()) {
    i64 extent = evaluate(k.nodes[static_cast<size_t>(loop)].extent, env);
    for (i64 lo = 0; lo < extent; lo += step ? step : extent)
      p.run(phase, buffers.data(), sizes.data(), lo, std::min(extent, lo + (step ? step : extent)), scratch, &error);
    ++phase;
  }
  return error;
}

/// The same bits from every tier and every cut; `expected` has one element more, which must stay -7.
void expect_output(const Kernel& k, std::vector<void*> inputs, const std::vector<i64>& sizes, const Floats& expected,
                   size_t output, float tolerance = 0) {
  auto found = verify(k);
  ASSERT_TRUE(found.empty()) << found[0];
  Floats first;
  for (Tier tier : tiers())
    for (i64 step : {0, 1, 3}) {
      Floats y(expected.size() + 1, -7.f);
      inputs[output] = y.data();
      EXPECT_EQ(run(k, Program(k, tier), inputs, sizes, step), 0);
      EXPECT_EQ(y.back(), -7.f) << k.name << " wrote past its output";
      if (first.empty()) first = y;
      EXPECT_EQ(std::memcmp(first.data(), y.data(), y.size() * sizeof(float)), 0) << k.name;
    }
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_LE(std::fabs(first[i] - expected[i]), tolerance * std::max(1.f, std::fabs(expected[i])))
        << k.name << " at " << i;
}

TEST(Interpreter, AddsWithTails) {
  for (i64 n : {0, 1, 15, 16, 17, 63, 64, 65, 1000}) {
    Floats a = ramp(n, 0.5f), b = ramp(n, 1.25f), y(a.size());
    for (size_t i = 0; i < y.size(); ++i) y[i] = a[i] + b[i];
    expect_output(samples::add(), {a.data(), b.data(), nullptr}, {n}, y, 2);
  }
}

TEST(Interpreter, ChainsMaps) {
  i64 n = 192;
  Floats a = ramp(n, 0.02f), b = ramp(n, 0.03f), c = ramp(n, -0.01f), d = ramp(n, 0.04f), y(a.size());
  for (size_t i = 0; i < y.size(); ++i) {
    double t = std::exp(-std::fabs(double{a[i]} * double{b[i]} + double{c[i]})) / (1 + double{d[i]} * double{d[i]});
    y[i] = static_cast<float>(std::max(t, double{a[i]}));
  }
  expect_output(samples::chain(), {a.data(), b.data(), c.data(), d.data(), nullptr}, {3}, y, 4, 1e-6f);
}

TEST(Interpreter, Softmax) {
  for (i64 n : {1, 17, 64, 131}) {
    i64 m = 3;
    Floats x = ramp(m * n, 0.1f), y(x.size());
    for (i64 i = 0; i < m; ++i) {
      double top = -1e30, sum = 0;
      auto at = [&](i64 j) { return static_cast<size_t>(i * n + j); };
      for (i64 j = 0; j < n; ++j) top = std::max(top, double{x[at(j)]});
      for (i64 j = 0; j < n; ++j) sum += std::exp(double{x[at(j)]} - top);
      for (i64 j = 0; j < n; ++j) y[at(j)] = static_cast<float>(std::exp(double{x[at(j)]} - top) / sum);
    }
    expect_output(samples::softmax(), {x.data(), nullptr}, {m, n}, y, 1, 1e-6f);
  }
}

TEST(Interpreter, MatrixProductsHaveOneChainOfFmas) {
  for (i64 m : {1, 5, 6, 7, 13}) {
    i64 n = 128, depth = 19;
    Floats a = ramp(m * depth, 0.01f), b = ramp(depth * n, 0.02f), y(static_cast<size_t>(m * n)), relu = y;
    for (i64 i = 0; i < m; ++i)
      for (i64 j = 0; j < n; ++j) {
        float s = 0;
        for (i64 k = 0; k < depth; ++k)
          s = std::fma(a[static_cast<size_t>(i * depth + k)], b[static_cast<size_t>(k * n + j)], s);
        y[static_cast<size_t>(i * n + j)] = s;
        relu[static_cast<size_t>(i * n + j)] = s > 0 ? s : 0;
      }
    expect_output(samples::matmul(6, 16), {a.data(), b.data(), nullptr}, {m, 8, depth}, y, 2);
    expect_output(samples::matmul(6, 64), {a.data(), b.data(), nullptr}, {m, 2, depth}, y, 2);
    expect_output(samples::matmul(1, 32), {a.data(), b.data(), nullptr}, {m, 4, depth}, y, 2);
    expect_output(samples::naive_matmul(), {a.data(), b.data(), nullptr}, {m, 8, depth}, relu, 2);
  }
}

TEST(Interpreter, TransposesBlocks) {
  i64 m = 128, n = 64;
  Floats x = ramp(m * n, 1), y(x.size());
  for (i64 i = 0; i < m; ++i)
    for (i64 j = 0; j < n; ++j) y[static_cast<size_t>(j * m + i)] = x[static_cast<size_t>(i * n + j)];
  expect_output(samples::transpose(), {x.data(), nullptr}, {2, 1}, y, 1);
}

TEST(Interpreter, RunningSums) {
  i64 m = 4, n = 48;
  Floats x = ramp(m * n, 0.25f), y(x.size());  // sums of quarters are exact
  for (size_t i = 0; i < y.size(); ++i) y[i] = x[i] + (i % static_cast<size_t>(n) ? y[i - 1] : 0);
  expect_output(samples::cumsum(), {x.data(), nullptr}, {m, 3}, y, 1);
}

TEST(Interpreter, GathersClampedRowsAndElements) {
  std::vector<i32> rows{3, 0, -5, 99, 2, 4, 1};
  i64 n = 7, m = 5;
  Floats x = ramp(m * 64, 1), y(static_cast<size_t>(n * 64));
  for (i64 i = 0; i < n; ++i)
    for (i64 j = 0; j < 64; ++j)
      y[static_cast<size_t>(i * 64 + j)] =
          x[static_cast<size_t>(std::clamp<i64>(rows[static_cast<size_t>(i)], 0, m - 1) * 64 + j)];
  expect_output(samples::gather_rows(), {rows.data(), x.data(), nullptr}, {n, m}, y, 2);
  std::vector<i64> at{1, 0, 300, -1, 17, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 18};
  Floats z(at.size());
  m = 20;
  for (size_t i = 0; i < z.size(); ++i) z[i] = x[static_cast<size_t>(std::clamp<i64>(at[i], 0, m - 1))];
  expect_output(samples::gather_elements(), {at.data(), x.data(), nullptr}, {static_cast<i64>(at.size()), m}, z, 2);
}

TEST(Interpreter, ScatterAddsInOrderAndDropsWhatIsOutside) {
  std::vector<i32> at{0, 2, 2, -1, 5, 2, 0, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 7};
  i64 n = static_cast<i64>(at.size()), m = 5;
  Floats x = ramp(n, 0.1f);
  for (Tier tier : tiers()) {
    Floats y(static_cast<size_t>(m), 1.f), expected = y;
    for (size_t i = 0; i < at.size(); ++i)
      if (at[i] >= 0 && at[i] < m) expected[static_cast<size_t>(at[i])] += x[i];
    Kernel k = samples::scatter_add();
    run(k, Program(k, tier), {at.data(), x.data(), y.data()}, {n, m});
    EXPECT_EQ(y, expected);
  }
}

/// The fixed tree: element k to lane k mod 64 in order, lanes folded by halving.
float tree_sum(const float* x, i64 n) {
  float lanes[64] = {};
  for (i64 i = 0; i < n; ++i) lanes[i % 64] = lanes[i % 64] + x[i];
  for (int h = 32; h; h /= 2)
    for (int i = 0; i < h; ++i) lanes[i] = lanes[i] + lanes[i + h];
  return lanes[0];
}

TEST(Interpreter, SumsInTwoPhasesByTheFixedTree) {
  for (i64 n : {1, 64, 255, 256, 257, 1000}) {
    Floats x = ramp(n, 0.1f), part(static_cast<size_t>((n + 255) / 256)), y{0};
    for (i64 c = 0; c < n; c += 256) y[0] += tree_sum(x.data() + c, std::min<i64>(256, n - c));
    expect_output(samples::long_sum(), {x.data(), part.data(), nullptr}, {n}, y, 2);
  }
}

TEST(Interpreter, CarriesATileInPlace) {
  Floats a{.5f, .1f, .2f, .3f, .4f, .1f, .2f, .2f, .6f}, start{1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (i64 n : {0, 1, 2, 17})
    for (Tier tier : tiers()) {
      Floats y = start, expected = start;
      for (i64 t = 0; t < n; ++t) {
        Floats next(9);
        for (size_t r = 0; r < 3; ++r)
          for (size_t l = 0; l < 3; ++l) {
            float s = a[r * 3] * expected[l];
            for (size_t k = 1; k < 3; ++k) s = std::fma(a[r * 3 + k], expected[k * 3 + l], s);
            next[r * 3 + l] = s;
          }
        expected = next;
      }
      Kernel k = samples::matrix_steps();
      run(k, Program(k, tier), {a.data(), y.data()}, {n});
      EXPECT_EQ(y, expected);
    }
}

TEST(Interpreter, SwapsCarries) {
  // Fibonacci: (a, b) -> (b, a + b); carries that cross must not overwrite each other.
  Kernel k;
  k.name = "fibonacci";
  Builder b(k);
  Dim n = samples::size(b, "n");
  int y = b.buffer("Y", DType::i64, {2}, Buffer::Role::out);
  b.parallel("once", 1, [&](Dim) {
    Val zero = b.constant_int(0, DType::i64), one = b.constant_int(1, DType::i64);
    auto last = b.loop("i", n, std::vector<Val>{zero, one},
                       [&](Dim, std::span<const Val> c) { return std::vector<Val>{c[1], b.add(c[0], c[1])}; });
    b.store(y, std::vector<Dim>{0}, last[0]);
    b.store(y, std::vector<Dim>{1}, last[1]);
  });
  i64 out[2];
  run(k, Program(k), {out}, {10});
  EXPECT_EQ(out[0], 55);
  EXPECT_EQ(out[1], 89);
}

TEST(Interpreter, FoldsAnyExtentByTheSameRule) {
  for (int n : {1, 2, 3, 6, 7, 64})
    for (Axis axis : {Axis::rows, Axis::lanes}) {
      int rows = axis == Axis::rows ? n : 5, lanes = axis == Axis::rows ? 5 : n;
      Kernel k;
      k.name = "fold";
      Builder b(k);
      int x = b.buffer("X", DType::f32, {rows, lanes}, Buffer::Role::in),
          y = b.buffer("Y", DType::f32, {5}, Buffer::Role::out);
      b.parallel("once", 1, [&](Dim) {
        Val v = b.load(x, std::vector<Dim>{row(), lane()}, rows, lanes);
        Val s = b.reduce(ScalarOp::add, axis, v);
        b.store(y, std::vector<Dim>{axis == Axis::rows ? lane() : row()}, s);
      });
      Floats in = ramp(rows * lanes, 0.1f), expected(5);
      for (int o = 0; o < 5; ++o) {
        Floats t;
        for (int i = 0; i < n; ++i) t.push_back(in[static_cast<size_t>(axis == Axis::rows ? i * 5 + o : o * n + i)]);
        while (t.size() > 1) {
          size_t half = (t.size() + 1) / 2;
          for (size_t i = 0; i + half < t.size(); ++i) t[i] = t[i] + t[i + half];
          t.resize(half);
        }
        expected[static_cast<size_t>(o)] = t[0];
      }
      expect_output(k, {in.data(), nullptr}, {}, expected, 1);
    }
}

TEST(Interpreter, ChecksSetTheErrorWordOnce) {
  Kernel k;
  k.name = "check";
  Builder b(k);
  Dim n = samples::size(b, "n");
  int x = b.buffer("X", DType::i32, {n}, Buffer::Role::in);
  b.parallel("i", n, [&](Dim i) {
    Val v = b.load(x, std::vector<Dim>{i}, 1, 1);
    Val ten = b.constant_int(10, DType::i32), zero = b.constant_int(0, DType::i32);
    Val small = b.less(v, ten);
    b.check(small, 7);
    Val positive = b.less(zero, v);
    b.check(positive, 8);
  });
  Program p(k);
  std::vector<i32> good{1, 2, 9}, large{1, 12, -1}, negative{1, 0, 99};
  EXPECT_EQ(run(k, p, {good.data()}, {3}), 0);
  EXPECT_EQ(run(k, p, {large.data()}, {3}), 7);
  EXPECT_EQ(run(k, p, {negative.data()}, {3}), 8);
}

TEST(Interpreter, BranchesOnData) {
  Kernel k;
  k.name = "branch";
  Builder b(k);
  Dim n = samples::size(b, "n");
  int x = b.buffer("X", DType::f32, {n}, Buffer::Role::in), y = b.buffer("Y", DType::f32, {n}, Buffer::Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val v = b.load(x, std::vector<Dim>{i}, 1, 1);
    Val zero = b.number(0, v), hundred = b.number(100, v);
    Val positive = b.less(zero, v);
    auto root = b.branch(positive, std::vector<Val>{hundred}, [&] {
      b.check(positive, 5);
      return std::vector<Val>{sqrt(b, v)};
    });
    b.store(y, std::vector<Dim>{i}, root[0]);
  });
  Floats in{4, -4, 9, 0}, expected{2, 100, 3, 100};
  expect_output(k, {in.data(), nullptr}, {4}, expected, 1);
}

TEST(Interpreter, ThreadsShareAProgram) {
  Kernel k = samples::softmax();
  Program p(k);
  i64 m = 16, n = 200;
  Floats x = ramp(m * n, 0.1f), expected(x.size());
  run(k, p, {x.data(), expected.data()}, {m, n});
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        Floats y(x.size());
        run(k, p, {x.data(), y.data()}, {m, n}, 5);
        wrong[t] += y != expected;
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace tn::loops
