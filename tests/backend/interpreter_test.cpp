// The interpreter against plain loops: every scalar op over every pair of tile shapes, kernels of each family, all
// instruction sets with equal bits.
#include "backend/interpreter/program.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "ir/scalar_functions.h"

namespace tn::loops {
namespace {

std::vector<Tier> tiers() {
  std::vector<Tier> all{Tier::baseline};
  if (best_tier() >= Tier::v3) all.push_back(Tier::v3);
  if (best_tier() >= Tier::v4) all.push_back(Tier::v4);
  return all;
}

std::vector<float> ramp(size_t n, float scale) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = scale * static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
  return x;
}

/// Y = A + B over n numbers in blocks of 64.
Kernel add_kernel() {
  Kernel k;
  k.name = "add";
  Builder b(k);
  Dim n = b.size(Dim::symbol("n"));
  int x = b.buffer("A", DType::f32, {n}, Buffer::Role::in);
  int y = b.buffer("B", DType::f32, {n}, Buffer::Role::in);
  int z = b.buffer("Y", DType::f32, {n}, Buffer::Role::out);
  b.parallel("i", ceildiv(n, 64), [&](Dim i) {
    Dim at[] = {i * 64 + lane()};
    Builder::Limits limits{.lanes = n - i * 64};
    Val u = b.load(x, at, 1, 64, limits);
    Val v = b.load(y, at, 1, 64, limits);
    Val w = b.add(u, v);
    b.store(z, at, w, limits);
  });
  return k;
}

TEST(Interpreter, AddsWithTails) {
  Kernel k = add_kernel();
  for (Tier tier : tiers()) {
    Program p(k, tier);
    for (i64 n : {0, 1, 15, 16, 17, 63, 64, 65, 1000}) {
      auto a = ramp(static_cast<size_t>(n), 0.5f), b = ramp(static_cast<size_t>(n), 1.25f);
      std::vector<float> y(static_cast<size_t>(n) + 1, -7.f);
      void* buffers[] = {a.data(), b.data(), y.data()};
      i64 error = 0;
      p.run(0, buffers, &n, 0, (n + 63) / 64, nullptr, &error);
      for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(y[i], a[i] + b[i]) << i << " of " << n;
      EXPECT_EQ(y.back(), -7.f) << "wrote past " << n;
    }
  }
}

/// C = A B with register tiles of 6 x 16 and a packed panel of B in scratch; rows beyond M are cut.
Kernel matmul_kernel() {
  Kernel k;
  k.name = "matmul";
  Builder b(k);
  Dim m = b.size(Dim::symbol("M")), q = b.size(Dim::symbol("q")), depth = b.size(Dim::symbol("K")), n = q * 16;
  int x = b.buffer("A", DType::f32, {m, depth}, Buffer::Role::in);
  int w = b.buffer("B", DType::f32, {depth, n}, Buffer::Role::in);
  int y = b.buffer("C", DType::f32, {m, n}, Buffer::Role::out);
  b.parallel("j", q, [&](Dim j) {
    int panel = b.alloc("P", DType::f32, {depth, 16});
    b.serial("p", depth, [&](Dim p) {
      Val v = b.load(w, std::vector<Dim>{p, j * 16 + lane()}, 1, 16);
      b.store(panel, std::vector<Dim>{p, lane()}, v);
    });
    b.serial("i", ceildiv(m, 6), [&](Dim i) {
      Builder::Limits rows{.rows = m - i * 6};
      Builder::Limits any = rows;
      any.any = true;
      Val zero = b.constant(0, DType::f32, 6, 16);
      auto sum = b.loop("k", depth, std::vector<Val>{zero}, [&](Dim kk, std::span<const Val> c) {
        Val u = b.load(x, std::vector<Dim>{i * 6 + row(), kk}, 6, 1, any);
        Val v = b.load(panel, std::vector<Dim>{kk, lane()}, 1, 16);
        return std::vector<Val>{b.fma(u, v, c[0])};
      });
      b.store(y, std::vector<Dim>{i * 6 + row(), j * 16 + lane()}, sum[0], rows);
    });
  });
  return k;
}

TEST(Interpreter, MultipliesMatrices) {
  Kernel k = matmul_kernel();
  for (Tier tier : tiers()) {
    Program p(k, tier);
    for (i64 m : {1, 5, 6, 7, 13}) {
      i64 sizes[] = {m, 3, 19}, n = 48, depth = 19;
      auto a = ramp(static_cast<size_t>(m * depth), 0.01f), w = ramp(static_cast<size_t>(depth * n), 0.02f);
      std::vector<float> y(static_cast<size_t>(m * n) + 1, -7.f);
      void* buffers[] = {a.data(), w.data(), y.data()};
      DimEnv env;
      for (size_t i = 0; i < k.sizes.size(); ++i) env.set(k.sizes[i], sizes[i]);
      std::vector<float> scratch(static_cast<size_t>(evaluate(k.scratch_bytes, env)) / 4);
      i64 error = 0;
      p.run(0, buffers, sizes, 0, 3, scratch.data(), &error);
      for (i64 i = 0; i < m; ++i)
        for (i64 j = 0; j < n; ++j) {
          float s = 0;
          for (i64 d = 0; d < depth; ++d)
            s = std::fma(a[static_cast<size_t>(i * depth + d)], w[static_cast<size_t>(d * n + j)], s);
          ASSERT_EQ(y[static_cast<size_t>(i * n + j)], s);
        }
      EXPECT_EQ(y.back(), -7.f);
    }
  }
}

}  // namespace
}  // namespace tn::loops
