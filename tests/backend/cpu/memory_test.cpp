// Loads and stores of every stride, limit and dtype, gathers and scatters, tile ops across lanes: equal bits, and
// nothing is touched past the end of a buffer.
#include "support.h"

namespace tn::cpu::testing {
namespace {

using loops::Axis;

constexpr DType kAll[] = {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64,
                          DType::i32, DType::i8,  DType::u32, DType::u8,   DType::boolean};
constexpr i64 kSizes[] = {0, 1, 15, 16, 17, 63, 64, 65, 1000, 997};

/// Y = X over n elements in blocks of `lanes`, the last under a limit.
Kernel copy(DType d, int lanes) {
  Kernel k;
  k.name = "copy";
  Builder b(k);
  Dim n = b.size(Dim::symbol("n"));
  int x = b.buffer("X", d, {n}, Buffer::Role::in), y = b.buffer("Y", d, {n}, Buffer::Role::out);
  b.parallel("i", ceildiv(n, lanes), [&](Dim i) {
    Dim at[] = {i * Dim(lanes) + loops::lane()};
    Builder::Limits limits{.lanes = n - i * Dim(lanes)};
    Val v = b.load(x, at, 1, lanes, limits);
    b.store(y, at, v, limits);
  });
  return k;
}

TEST(CpuMemory, LaneLimits) {
  for (DType d : kAll)
    for (int lanes : {1, 8, 24, 64})
      for (i64 n : kSizes) expect_same_bits(make_case(copy(d, lanes), {n}));
}

/// A column, a row, a block and a strided block of X, each with limits, row by row.
Kernel strided(int rows, int lanes, Dim row_step, Dim lane_step, bool any, bool limit_rows, bool limit_lanes) {
  Kernel k;
  k.name = "strided";
  Builder b(k);
  Dim m = b.size(Dim::symbol("m")), n = b.size(Dim::symbol("n"));
  int x = b.buffer("X", DType::f32, {m, n}, Buffer::Role::in);
  int y = b.buffer("Y", DType::f32, {m, n}, Buffer::Role::out);
  b.parallel("i", ceildiv(m, rows), [&](Dim i) {
    Dim at[] = {i * Dim(rows) + row_step * loops::row(), lane_step * loops::lane()};
    Builder::Limits limits{.any = any, .otherwise = 2.5};
    if (limit_rows) limits.rows = m - i * Dim(rows);
    if (limit_lanes) limits.lanes = n;
    Val v = b.load(x, at, rows, lanes, limits);
    Builder::Limits out = limits;
    Dim to[] = {i * Dim(rows) + loops::row(), loops::lane()};
    b.store(y, to, v, out);
  });
  return k;
}

TEST(CpuMemory, RowLimitsAndStrides) {
  for (auto [rows, lanes] : {std::pair{6, 1}, {1, 16}, {4, 24}, {3, 64}})
    for (bool any : {false, true})
      for (i64 m : {1, 2, 6, 7, 13}) {
        expect_same_bits(make_case(strided(rows, lanes, 1, 1, any, true, false), {m, lanes}));
        if (!any)
          expect_same_bits(make_case(strided(rows, lanes, 1, 1, any, true, true), {m, lanes > 1 ? lanes - 1 : 1}));
      }
}

/// Lane strides 0, 2, 3, -1 with and without a limit.
TEST(CpuMemory, LaneStrides) {
  for (DType d : {DType::f32, DType::f64, DType::i8, DType::boolean})
    for (i64 step : {0, 1, 2, 3, -1, -2})
      for (bool limited : {false, true})
        for (int lanes : {4, 16, 20, 64}) {
          Kernel k;
          k.name = "steps";
          Builder b(k);
          Dim n = b.size(Dim::symbol("n"));
          i64 span = (lanes - 1) * std::abs(step) + 1;
          int x = b.buffer("X", d, {span}, Buffer::Role::in), y = b.buffer("Y", d, {lanes}, Buffer::Role::out);
          int z = b.buffer("Z", d, {span}, Buffer::Role::out);
          b.parallel("i", 1, [&](Dim) {
            Dim at[] = {Dim(step < 0 ? span - 1 : 0) + Dim(step) * loops::lane()}, to[] = {loops::lane()};
            Builder::Limits limits{.otherwise = 1};
            if (limited) limits.lanes = n;
            Val v = b.load(x, at, 1, lanes, limits);
            b.store(y, to, v);
            if (step) b.store(z, at, v, limits);
          });
          for (i64 limit : {0, 1, 3, lanes - 1, lanes}) {
            expect_same_bits(make_case(k, {limit}));
            if (!limited) break;
          }
        }
}

/// Every second element of rows whose length is known and no whole vector; the last row ends with the buffer.
TEST(CpuMemory, EverySecondOfAKnownCount) {
  for (DType d : {DType::f32, DType::f64, DType::i8, DType::boolean})
    for (i64 count : {1, 2, 3, 5, 7, 8, 13, 14, 15, 16, 23, 31}) {
      Kernel k;
      k.name = "halved";
      Builder b(k);
      Dim n = b.size(Dim::symbol("n"));
      int x = b.buffer("X", d, {n, Dim(2 * count - 1)}, Buffer::Role::in);
      int y = b.buffer("Y", d, {n, Dim(count)}, Buffer::Role::out);
      b.parallel("i", n, [&](Dim i) {
        int lanes = count > 16 ? 32 : 16;
        Dim from[] = {i, Dim(2) * loops::lane()}, to[] = {i, loops::lane()};
        Val v = b.load(x, from, 1, lanes, {.lanes = count, .any = true});
        b.store(y, to, v, {.lanes = count});
      });
      expect_same_bits(make_case(k, {3}));
    }
}

TEST(CpuMemory, SymbolicStridesAndNegativeOffsets) {
  Kernel k;
  k.name = "view";
  Builder b(k);
  Dim n = b.size(Dim::symbol("n")), s = b.size(Dim::symbol("s"));
  int x = b.buffer("X", DType::f32, {n, s}, Buffer::Role::in, {s, 1});
  int y = b.buffer("Y", DType::f32, {n, s}, Buffer::Role::out);
  b.parallel("i", n, [&](Dim i) {
    b.serial("j", s, [&](Dim j) {
      Dim from[] = {n - i - Dim(1), s - j - Dim(1)}, to[] = {i, j};
      Val v = b.load(x, from, 1, 1);
      b.store(y, to, v);
    });
  });
  for (i64 m : {1, 5}) expect_same_bits(make_case(k, {m, 7}));
}

TEST(CpuMemory, DimsWithDivisionOfEverySign) {
  Kernel k;
  k.name = "division";
  Builder b(k);
  Dim n = b.size(Dim::symbol("n")), d = b.size(Dim::symbol("d"));
  int y = b.buffer("Y", DType::i64, {6, n}, Buffer::Role::out);
  b.parallel("i", n, [&](Dim i) {
    Dim x = i - Dim(20);
    const Dim all[] = {floordiv(x, 7), floordiv(x, 8),     floordiv(x, d),
                       mod(x, 7),      min(x, Dim(3) - i), max(x * x, d * x)};
    for (int r = 0; r < 6; ++r) {
      Val v = b.dim(all[r], DType::i64);
      b.store(y, std::vector<Dim>{r, i}, v);
    }
  });
  auto out = expect_same_bits(make_case(k, {41, 3}));
  i64 first = 0;
  std::memcpy(&first, out[0].data(), 8);
  EXPECT_EQ(first, -3);
}

TEST(CpuMemory, DimTiles) {
  for (DType d : {DType::i64, DType::i32, DType::u32, DType::i8, DType::f32, DType::f64}) {
    Kernel k;
    k.name = "iota";
    Builder b(k);
    Dim n = b.size(Dim::symbol("n"));
    int y = b.buffer("Y", d, {3, 4, 20}, Buffer::Role::out);
    b.parallel("i", 1, [&](Dim i) {
      const Dim what[] = {loops::lane() * n + loops::row() - Dim(3), floordiv(n + i, 3) + loops::row() * n, n};
      for (int j = 0; j < 3; ++j) {
        Val v = b.dim(what[j], d, 4, 20);
        b.store(y, std::vector<Dim>{j, loops::row(), loops::lane()}, v);
      }
    });
    for (i64 m : {1, 200}) expect_same_bits(make_case(k, {m}));
  }
}

TEST(CpuMemory, GatherAndScatter) {
  for (DType d : {DType::f32, DType::f64, DType::i32, DType::u8, DType::bf16})
    for (DType at_type : {DType::i32, DType::i64, DType::u8})
      for (int lanes : {1, 16, 20})
        for (bool add : {false, true}) {
          if (add && d == DType::bf16) continue;
          Kernel k;
          k.name = "gather";
          Builder b(k);
          Dim n = b.size(Dim::symbol("n")), m = b.size(Dim::symbol("m"));
          int index = b.buffer("I", at_type, {2, 20}, Buffer::Role::in);
          int table = b.buffer("T", d, {m, 3}, Buffer::Role::in);
          int y = b.buffer("Y", d, {2, 20}, Buffer::Role::out);
          int z = b.buffer("Z", d, {m, 20}, Buffer::Role::inout);
          b.parallel("i", 1, [&](Dim) {
            Dim at[] = {loops::row(), loops::lane()}, from[] = {0, 2}, to[] = {0, loops::lane()};
            Builder::Limits limits{.rows = 2, .lanes = n, .otherwise = 1};
            Val where = b.load(index, at, 2, lanes);
            Val v = b.gather(table, from, 0, where, limits);
            b.store(y, at, v, limits);
            b.scatter(add ? ScalarOp::add : ScalarOp::select, z, to, 0, where, v, limits);
          });
          for (i64 limit : {1, lanes}) expect_same_bits(make_case(k, {limit, 40}, 7));
        }
}

TEST(CpuLanes, ReduceScanSliceTranspose) {
  for (DType d : {DType::f64, DType::f32, DType::i64, DType::i32, DType::i8, DType::u32, DType::u8, DType::boolean})
    for (auto [rows, lanes] : {std::pair{1, 64}, {3, 20}, {8, 8}, {16, 16}, {5, 1}, {32, 32}}) {
      if (rows * lanes > 256 && d != DType::f32 && d != DType::i8) continue;
      Kernel k;
      k.name = "lanes";
      Builder b(k);
      int x = b.buffer("X", d, {rows, lanes}, Buffer::Role::in), count = 0;
      b.parallel("i", 1, [&](Dim) {
        Dim at[] = {loops::row(), loops::lane()};
        Val v = b.load(x, at, rows, lanes);
        auto out = [&](Val w) {
          auto t = b.tile(w);
          b.store(b.buffer("Y" + std::to_string(count++), t.dtype, {t.rows, t.lanes}, Buffer::Role::out), at, w);
        };
        std::vector<ScalarOp> ops = {ScalarOp::max, ScalarOp::min};
        if (d == DType::boolean)
          ops = {ScalarOp::logical_and, ScalarOp::logical_or};
        else
          ops.insert(ops.end(), {ScalarOp::add, ScalarOp::mul});
        for (ScalarOp op : ops) {
          out(b.reduce(op, Axis::lanes, v));
          out(b.reduce(op, Axis::rows, v));
          out(b.scan(op, v));
        }
        out(b.slice(Axis::lanes, lanes - 1, v));
        out(b.slice(Axis::rows, rows / 2, v));
        out(b.transpose(v));
      });
      SCOPED_TRACE(std::string(name(d)) + " " + std::to_string(rows) + "x" + std::to_string(lanes));
      expect_same_bits(make_case(std::move(k), {}));
    }
}

TEST(CpuControl, CarriesIndexCheckAndPhases) {
  Kernel k;
  k.name = "control";
  Builder b(k);
  Dim n = b.size(Dim::symbol("n"));
  int x = b.buffer("X", DType::f32, {n, 16}, Buffer::Role::in), at = b.buffer("I", DType::i32, {n}, Buffer::Role::in);
  int sums = b.buffer("S", DType::f32, {n, 16}, Buffer::Role::temp),
      y = b.buffer("Y", DType::f32, {n}, Buffer::Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val where = b.load(at, std::vector<Dim>{i}, 1, 1);
    Dim chosen = b.index("c", where, n);
    b.prefetch(x, std::vector<Dim>{chosen, 0});
    Val zero = b.constant(0, DType::f32, 1, 16);
    auto sum = b.loop("j", chosen + Dim(1), std::vector<Val>{zero}, [&](Dim j, std::span<const Val> c) {
      Val v = b.load(x, std::vector<Dim>{j, loops::lane()}, 1, 16);
      return std::vector<Val>{b.add(c[0], v)};
    });
    b.store(sums, std::vector<Dim>{i, loops::lane()}, sum[0]);
  });
  b.parallel("k", n, [&](Dim i) {
    Val v = b.load(sums, std::vector<Dim>{i, loops::lane()}, 1, 16);
    Val total = b.reduce(ScalarOp::add, Axis::lanes, v);
    Val good = b.less(total, b.number(1e30, total));
    b.check(good, 7);
    b.store(y, std::vector<Dim>{i}, total);
  });
  for (i64 m : {1, 2, 9}) expect_same_bits(make_case(k, {m}));
}

/// A loop of at most one iteration and one that surely runs have forms of their own.
TEST(CpuControl, LoopsOfAtMostOne) {
  Kernel k;
  k.name = "tails";
  Builder b(k);
  Dim n = b.size(Dim::symbol("n"));
  int x = b.buffer("X", DType::f32, {n}, Buffer::Role::in), y = b.buffer("Y", DType::f32, {1}, Buffer::Role::out);
  b.parallel("i", 1, [&](Dim) {
    Val zero = b.constant(0, DType::f32, 1, 16);
    auto part = [&](Dim base, const Builder::Limits& limits, Val acc) {
      Val v = b.load(x, std::vector<Dim>{base + loops::lane()}, 1, 16, limits);
      return b.add(acc, v);
    };
    Dim full = floordiv(n, 16);
    auto main = b.loop("j", full, std::vector<Val>{zero},
                       [&](Dim j, std::span<const Val> c) { return std::vector<Val>{part(j * Dim(16), {}, c[0])}; });
    auto tail = b.loop("t", ceildiv(n, 16) - full, main, [&](Dim t, std::span<const Val> c) {
      Dim base = (full + t) * Dim(16);
      return std::vector<Val>{part(base, {.lanes = n - base}, c[0])};
    });
    auto twice = b.loop("w", 2, tail, [&](Dim, std::span<const Val> c) { return std::vector<Val>{b.add(c[0], c[0])}; });
    Val total = b.reduce(ScalarOp::max, Axis::lanes, twice[0]);
    b.store(y, std::vector<Dim>{0}, total);
  });
  for (i64 m : kSizes) expect_same_bits(make_case(k, {m}));
}

TEST(CpuMemory, StreamedStores) {
  Kernel k;
  k.name = "stream";
  Builder b(k);
  Dim q = b.size(Dim::symbol("q"));
  int x = b.buffer("X", DType::f32, {q * Dim(64)}, Buffer::Role::in);
  int y = b.buffer("Y", DType::f32, {q * Dim(64)}, Buffer::Role::out);
  b.parallel("i", q, [&](Dim i) {
    Dim at[] = {i * Dim(64) + loops::lane()};
    Val v = b.load(x, at, 1, 64);
    b.store(y, at, b.neg(v), {}, true);
  });
  expect_same_bits(make_case(k, {33}));
  EXPECT_NE(assembly(k, Isa::avx2).find("vmovntps"), std::string::npos);
  EXPECT_NE(assembly(k, Isa::avx2).find("sfence"), std::string::npos);
}

}  // namespace
}  // namespace tn::cpu::testing
