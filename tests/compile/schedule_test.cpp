// Schedules keep bits and verify; illegal ones say why.
#include "compile/schedule.h"

#include <gtest/gtest.h>

#include <cstring>

#include "../ir/kernels.h"
#include "backend/interpreter/program.h"
#include "tenon/error.h"

namespace tn::loops {
namespace {

using Floats = std::vector<float>;

Floats ramp(i64 n, float scale) {
  Floats x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = scale * static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
  return x;
}

/// The output (the last argument, of `count` numbers) of the kernel on ramps.
Floats output(const Kernel& k, const std::vector<i64>& sizes) {
  auto found = verify(k);
  EXPECT_TRUE(found.empty()) << found[0] << "\n" << to_string(k);
  DimEnv env;
  for (size_t i = 0; i < k.sizes.size(); ++i) env.set(k.sizes[i], sizes[i]);
  std::vector<Floats> storage;
  for (const Buffer& b : k.buffers)
    if (b.is_argument()) storage.push_back(ramp(evaluate(product(b.shape), env), 0.01f));
  std::vector<void*> buffers;
  for (Floats& f : storage) buffers.push_back(f.data());
  Floats scratch(static_cast<size_t>(evaluate(k.scratch_bytes, env)) / 4 + 16);
  Program p(k);
  i64 error = 0, phase = 0;
  for (Val loop : k.phases())
    p.run(phase++, buffers.data(), sizes.data(), 0, evaluate(k.nodes[static_cast<size_t>(loop)].extent, env),
          scratch.data(), &error);
  return storage.back();
}

void expect_same(const Kernel& a, const Kernel& b, const std::vector<i64>& sizes) {
  Floats x = output(a, sizes), y = output(b, sizes);
  ASSERT_EQ(x.size(), y.size());
  EXPECT_EQ(std::memcmp(x.data(), y.data(), x.size() * sizeof(float)), 0) << to_string(b);
}

TEST(Schedule, MakesAFastMatmulOfANaiveOne) {
  Kernel naive = samples::naive_matmul(64);
  for (auto [rows, lanes] : {std::pair{6, 16}, {6, 64}, {4, 32}}) {
    Kernel a = tile(naive, "j", lanes, Axis::lanes);
    Kernel b = tile(a, "i", rows, Axis::rows);
    Kernel c = interchange(b, "i");
    Kernel d = stage(c, "B", "j");
    for (const Kernel& k : {a, b, c, d})
      for (i64 m : {1, 5, 6, 13}) expect_same(naive, k, {m, 2, 17});
    EXPECT_NE(to_string(d).find("<" + std::to_string(rows) + "x" + std::to_string(lanes) + "> fma"), std::string::npos);
    EXPECT_NE(to_string(d).find("alloc Bp"), std::string::npos);
  }
}

TEST(Schedule, TilesWithTails) {
  // One element at a time, any n.
  Kernel k;
  k.name = "scale";
  Builder b(k);
  Dim n = samples::size(b, "n");
  int x = b.buffer("X", DType::f32, {n}, Buffer::Role::in), y = b.buffer("Y", DType::f32, {n}, Buffer::Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val v = b.load(x, std::vector<Dim>{n - 1 - i}, 1, 1);
    Val place = b.dim(i, DType::f32);
    Val w = b.mul(v, place);
    b.store(y, std::vector<Dim>{i}, w);
  });
  for (i64 size : {1, 15, 16, 17, 100})
    for (Axis axis : {Axis::rows, Axis::lanes}) {
      expect_same(k, tile(k, "i", 16, axis), {size});
      expect_same(k, tile(split(k, "i", 8), "i", 8, axis), {size});
    }
  EXPECT_EQ(to_string(tile(k, "i", 16, Axis::lanes)).find("reduce"), std::string::npos);
}

TEST(Schedule, SplitsLoopsThatCarry) {
  Kernel k = samples::naive_matmul();
  Kernel s = split(k, "k", 5);
  for (i64 depth : {1, 5, 12}) expect_same(k, s, {3, 1, depth});
  Kernel twice = split(split(k, "j", 4), "i", 2);
  expect_same(k, twice, {5, 1, 7});
}

TEST(Schedule, UnrollsCarries) {
  Kernel k = samples::long_sum();
  Kernel u = unroll(k, "j");
  EXPECT_EQ(to_string(u).find("for j"), std::string::npos);
  for (i64 n : {1, 100, 256, 1000}) expect_same(k, u, {n});
}

TEST(Schedule, MakesInnerLoopsParallel) {
  Kernel k;
  k.name = "fill";
  Builder b(k);
  Dim n = samples::size(b, "n");
  int y = b.buffer("Y", DType::f32, {n}, Buffer::Role::out);
  b.parallel("once", 1, [&](Dim) {
    b.serial("i", n, [&](Dim i) {
      Val v = b.dim(i, DType::f32);
      b.store(y, std::vector<Dim>{i}, v);
    });
  });
  Kernel p = parallel(k, "i");
  EXPECT_EQ(p.nodes[static_cast<size_t>(p.phases()[0])].extent, n);
  expect_same(k, p, {9});
}

TEST(Schedule, InlinesAcrossPhases) {
  // T = 2 X, then Y[i] = T[i] + T[n - 1 - i].
  Kernel k;
  k.name = "two";
  Builder b(k);
  Dim n = samples::size(b, "n");
  int x = b.buffer("X", DType::f32, {n}, Buffer::Role::in), t = b.buffer("T", DType::f32, {n}, Buffer::Role::temp);
  int y = b.buffer("Y", DType::f32, {n}, Buffer::Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val v = b.load(x, std::vector<Dim>{i}, 1, 1);
    Val two = b.constant(2, DType::f32);
    Val w = b.mul(v, two);
    b.store(t, std::vector<Dim>{i}, w);
  });
  b.parallel("j", n, [&](Dim j) {
    Val u = b.load(t, std::vector<Dim>{j}, 1, 1);
    Val v = b.load(t, std::vector<Dim>{n - 1 - j}, 1, 1);
    Val w = b.add(u, v);
    b.store(y, std::vector<Dim>{j}, w);
  });
  Kernel one = inlined(k, "T");
  EXPECT_EQ(one.phases().size(), 1u);
  for (i64 size : {1, 2, 33}) expect_same(k, one, {size});
  EXPECT_THROW(inlined(samples::long_sum(), "T"), Error) << "a reduction is not computed twice";
}

std::string error_of(auto rewrite) {
  try {
    rewrite();
  } catch (const Error& e) { return e.what(); }
  return "none";
}

TEST(Schedule, RefusesWhatWouldChangeTheResult) {
  Kernel k = samples::naive_matmul(), sums = samples::cumsum(), tiles = samples::matmul();
  auto contains = [](const std::string& text, std::string_view part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  contains(error_of([&] { tile(k, "k", 4, Axis::lanes); }), "carries nothing");
  contains(error_of([&] { tile(k, "x", 4, Axis::lanes); }), "got 'x'");
  contains(error_of([&] { tile(k, "j", 0, Axis::lanes); }), "from 1 to 1024");
  contains(error_of([&] { tile(samples::softmax(), "i", 4, Axis::lanes); }), "one row (lane)");
  contains(error_of([&] { interchange(k, "j"); }), "hold one loop");
  contains(error_of([&] { interchange(sums, "i"); }), "hold one loop");
  contains(error_of([&] { interchange(tiles, "j"); }), "hold one loop");
  contains(error_of([&] { unroll(k, "k"); }), "constant extent");
  contains(error_of([&] { parallel(k, "k"); }), "only loop");
  contains(error_of([&] { stage(k, "C", "j"); }), "loads of the buffer only");
  contains(error_of([&] { stage(k, "Z", "j"); }), "got 'Z'");
  contains(error_of([&] { inlined(k, "A"); }), "scratch or temp");
  // Each iteration reads what the one before wrote.
  Kernel chain;
  chain.name = "chain";
  Builder b(chain);
  Dim n = samples::size(b, "n");
  int y = b.buffer("Y", DType::f32, {n + 1}, Buffer::Role::inout);
  b.parallel("once", 1, [&](Dim) {
    b.serial("i", n, [&](Dim i) {
      Val v = b.load(y, std::vector<Dim>{i}, 1, 1);
      b.store(y, std::vector<Dim>{i + 1}, v);
    });
  });
  contains(error_of([&] { tile(chain, "i", 4, Axis::lanes); }), "dependence");
  contains(error_of([&] { parallel(chain, "i"); }), "dependence");
}

TEST(Schedule, RandomLegalSequencesKeepBits) {
  u64 state = 12345;
  auto pick = [&](u64 n) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return (state >> 33) % n;
  };
  const char* loops[] = {"i", "j", "k", "io", "jo", "ko"};
  int applied = 0;
  for (int round = 0; round < 150; ++round) {
    Kernel k = samples::naive_matmul(8), first = k;
    for (int step = 0; step < 6; ++step) {
      const char* loop = loops[pick(6)];
      int n = static_cast<int>(1 + pick(7));
      try {
        switch (pick(5)) {
          case 0: k = tile(k, loop, n, Axis::lanes); break;
          case 1: k = tile(k, loop, n, Axis::rows); break;
          case 2: k = split(k, loop, n); break;
          case 3: k = interchange(k, loop); break;
          default: k = stage(k, pick(2) ? "A" : "B", loop);
        }
        ++applied;
      } catch (const Error& e) { EXPECT_STRNE(e.what(), ""); }
    }
    expect_same(first, k,
                {static_cast<i64>(1 + pick(9)), 1 + static_cast<i64>(pick(2)), static_cast<i64>(1 + pick(6))});
    if (HasFailure()) break;
  }
  EXPECT_GT(applied, 100);
}

}  // namespace
}  // namespace tn::loops
