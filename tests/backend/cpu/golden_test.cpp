// What the generated code must not have: calls, libm symbols, spills in the inner loop of a contraction. Counts, not
// times.
#include <algorithm>
#include <sstream>

#include "support.h"

namespace tn::cpu::testing {
namespace {

/// C = A B with register tiles of rows x lanes, a panel of B packed ahead, row tails in the same body.
Kernel matmul(int rows, int lanes) {
  Kernel k;
  k.name = "matmul";
  Builder b(k);
  Dim m = b.size(Dim::symbol("M")), q = b.size(Dim::symbol("q")), depth = b.size(Dim::symbol("K")), n = q * Dim(lanes);
  int a = b.buffer("A", DType::f32, {m, depth}, Buffer::Role::in);
  int w = b.buffer("B", DType::f32, {depth, n}, Buffer::Role::in);
  int c = b.buffer("C", DType::f32, {m, n}, Buffer::Role::out);
  b.parallel("j", q, [&](Dim j) {
    int panel = b.alloc("P", DType::f32, {depth, lanes});
    b.serial("p", depth, [&](Dim p) {
      Val v = b.load(w, std::vector<Dim>{p, j * Dim(lanes) + loops::lane()}, 1, lanes);
      b.store(panel, std::vector<Dim>{p, loops::lane()}, v);
    });
    b.serial("i", ceildiv(m, rows), [&](Dim i) {
      Builder::Limits limits{.rows = m - i * Dim(rows)}, any = limits;
      any.any = true;
      Val zero = b.constant(0, DType::f32, rows, lanes);
      auto sum = b.loop("k", depth, std::vector<Val>{zero}, [&](Dim p, std::span<const Val> acc) {
        Val x = b.load(a, std::vector<Dim>{i * Dim(rows) + loops::row(), p}, rows, 1, any);
        Val y = b.load(panel, std::vector<Dim>{p, loops::lane()}, 1, lanes);
        return std::vector<Val>{b.fma(x, y, acc[0])};
      });
      b.store(c, std::vector<Dim>{i * Dim(rows) + loops::row(), j * Dim(lanes) + loops::lane()}, sum[0], limits);
    });
  });
  return k;
}

struct Body {
  int fma = 0, spills = 0, stack = 0, instructions = 0;
};

/// Counts in the basic block (from label to backward branch) with the most fmas.
Body busiest_block(const std::string& assembly) {
  Body best, now;
  std::istringstream lines(assembly);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != '\t') {
      if (now.fma > best.fma) best = now;
      now = {};
      continue;
    }
    if (line.size() < 2 || line[1] == '.' || line[1] == '#') continue;
    ++now.instructions;
    now.fma += line.find("vfmadd") != std::string::npos;
    bool stack = line.find("(%rsp") != std::string::npos;
    bool vector = line.find("%zmm") != std::string::npos || line.find("%ymm") != std::string::npos;
    now.stack += stack;
    now.spills += stack && vector;
  }
  return now.fma > best.fma ? now : best;
}

void expect_self_contained(const std::string& assembly) {
  EXPECT_EQ(assembly.find("\tcall"), std::string::npos) << assembly;
  EXPECT_EQ(assembly.find("@PLT"), std::string::npos);
  EXPECT_EQ(assembly.find("GOTPCREL"), std::string::npos);
}

TEST(CpuGolden, MatmulLoopHasNoSpills) {
  for (auto [isa, rows, lanes] : {std::tuple{Isa::avx512, 6, 64}, {Isa::avx512, 8, 32}, {Isa::avx2, 6, 16}}) {
    std::string text = assembly(matmul(rows, lanes), isa);
    expect_self_contained(text);
    Body body = busiest_block(text);
    EXPECT_EQ(body.fma, rows * lanes / (vector_bits(isa) / 32));
    EXPECT_EQ(body.spills, 0) << text;
    EXPECT_LE(body.stack, 1) << text;
    EXPECT_LE(body.instructions, body.fma + rows + lanes * 32 / vector_bits(isa) + 6);
  }
  EXPECT_GT(busiest_block(assembly(matmul(4, 64), Isa::avx2)).spills, 0)
      << "the count sees spills where there are some";
}

TEST(CpuGolden, MatmulBits) {
  for (i64 m : {1, 5, 6, 13})
    for (i64 depth : {0, 1, 17}) expect_same_bits(make_case(matmul(6, 64), {m, 2, depth}));
  expect_same_bits(make_case(matmul(6, 16), {13, 3, 19}));
  expect_same_bits(make_case(matmul(8, 32), {13, 3, 19}));
}

/// Ops that elsewhere become calls of libm or of the compiler's run-time library.
TEST(CpuGolden, NoOpIsACall) {
  for (DType d : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::u32, DType::i8})
    for (int lanes : {1, 5, 64}) {
      Kernel k;
      k.name = "calls";
      Builder b(k);
      int x = b.buffer("X", d, {64}, Buffer::Role::in), count = 0;
      b.parallel("i", 1, [&](Dim) {
        Dim at[] = {loops::lane()};
        Val v = b.load(x, at, 1, lanes);
        auto out = [&](Val w) {
          b.store(b.buffer("Y" + std::to_string(count++), b.tile(w).dtype, {64}, Buffer::Role::out), at, w);
        };
        for (DType to : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::u32, DType::i8})
          out(b.cast(v, to));
        Val f = b.cast(v, d == DType::f64 ? d : DType::f32);
        for (ScalarOp op : {ScalarOp::sqrt, ScalarOp::floor, ScalarOp::round, ScalarOp::abs, ScalarOp::neg})
          out(b.map(op, {f}));
        out(b.fma(f, f, f));
        if (is_integer(d)) out(b.map(ScalarOp::floor_div, {v, v}));
      });
      for (Isa isa : {Isa::avx2, Isa::avx512}) expect_self_contained(assembly(k, isa));
    }
}

/// The same text gives the same object whatever was compiled before.
TEST(CpuGolden, ObjectsAreReproducible) {
  setenv("TENON_CACHE_DIR", "off", 1);
  for (Isa isa : isas()) {
    auto first = compile_kernel(matmul(6, 16), isa);
    forget_kernels();
    compile_kernel(matmul(3, 32), isa);
    Dim::fresh("other");
    auto second = compile_kernel(matmul(6, 16), isa);
    EXPECT_TRUE(std::ranges::equal(first->object(), second->object()));
    EXPECT_LT(first->object().size(), 8192u);
  }
}

}  // namespace
}  // namespace tn::cpu::testing
