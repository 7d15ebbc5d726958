// What the code of the golden kernels may cost, in counts: no call and no spill where the products are made, a bounded
// number of instructions and bytes. Times are the benchmarks' business.
#include <sstream>

#include "compile/pipeline.h"
#include "run_kernel.h"

namespace tn::test {
namespace {

struct Golden {
  std::string name;
  GraphPtr graph;
  size_t most_instructions;  // of either instruction set
  size_t most_spills = 0;    // the exponentials of attention are wider than what AVX2 has registers for
};

Golden matmul(i64 m, i64 n, i64 k, bool turned) {
  Builder b;
  Value x = input(b, {m, k}), y = turned ? input(b, {n, k}) : input(b, {k, n});
  return {"matmul " + std::to_string(m), b.build(std::vector{dot(x, y, {}, {}, {1}, {turned ? 1 : 0})}),
          turned ? 1400u : 500u};
}

/// The convolution (which = -1) or its derivative by operand `which`.
Golden conv(i64 channels, i64 features, i64 size, int which) {
  std::vector<i64> one{1, 1};
  Attrs attrs{{"strides", one},      {"padding_low", one},  {"padding_high", one},
              {"lhs_dilation", one}, {"rhs_dilation", one}, {"groups", i64{1}}};
  Builder b;
  Value x = input(b, {128, channels, size, size}), w = input(b, {features, channels, 3, 3});
  std::string name =
      "conv " + std::to_string(channels) + " " + std::to_string(features) + " by " + std::to_string(which);
  if (which < 0) return {name, b.build(std::vector{b.emit1(op("conv"), {x, w}, attrs)}), 4500};
  Value ct = input(b, {128, features, size, size});
  std::vector<Type> types{x.type(), w.type()};
  Values operands{x, w};
  Value gradient = op("conv").grad.as<Bilinear>()->transpose(operands, ct, which, attrs, types);
  return {name, b.build(std::vector{gradient}), 4500};
}

Golden attention() {
  Builder b;
  Value q = input(b, {12, 1024, 64}), k = input(b, {12, 1024, 64}), v = input(b, {12, 1024, 64});
  return {"attention", b.build(std::vector{b.emit1(op("attention"), {q, k, v}, {})}), 1500, 32};
}

std::vector<Golden> all() {
  return {matmul(512, 512, 512, false),
          matmul(1024, 1024, 1024, true),
          conv(32, 32, 28, -1),
          conv(32, 32, 28, 0),
          conv(32, 32, 28, 1),
          conv(64, 64, 14, -1),
          conv(64, 64, 14, 0),
          conv(64, 64, 14, 1),
          attention()};
}

constexpr int kManyFma = 8;  // of a block: there products are made

struct Counts {
  size_t instructions = 0, calls = 0, spills = 0, product_blocks = 0;
};

/// Vector registers stored to or loaded from the stack in blocks of many fused multiply-adds are spills.
Counts count(const std::string& assembly) {
  Counts all;
  size_t fma = 0, stack = 0;
  auto end_block = [&] {
    if (fma >= kManyFma) all.spills += stack, ++all.product_blocks;
    fma = stack = 0;
  };
  std::istringstream lines(assembly);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != '\t') end_block();
    if (line.size() < 2 || line[0] != '\t' || line[1] == '.' || line[1] == '#') continue;
    ++all.instructions;
    all.calls += line.starts_with("\tcall");
    fma += line.find("vfmadd") != std::string::npos;
    bool vector = line.find("%zmm") != std::string::npos || line.find("%ymm") != std::string::npos;
    stack += vector && line.find("(%rsp") != std::string::npos;
    if (line.starts_with("\tj")) end_block();
  }
  end_block();
  return all;
}

TEST(Golden, ProductsHaveNoCallsAndNoSpills) {
  for (const Golden& g : all())
    for (cpu::Isa isa : {cpu::Isa::avx2, cpu::Isa::avx512}) {
      SCOPED_TRACE(g.name + " " + std::string(cpu::name(isa)));
      Target target{.map_lanes = 16, .compiled = true, .vector_bits = cpu::vector_bits(isa)};
      Counts all;
      for (const Step& s : compile_graph(g.graph, target).steps) {
        if (s.kind != tn::Step::Kind::kernel) continue;
        Counts c = count(cpu::assembly(s.lowered.kernel, isa));
        all.instructions += c.instructions, all.calls += c.calls;
        all.spills += c.spills, all.product_blocks += c.product_blocks;
      }
      EXPECT_EQ(all.calls, 0u);
      EXPECT_LE(all.spills, isa == cpu::Isa::avx2 ? g.most_spills : 0);
      EXPECT_GE(all.product_blocks, 1u);
      EXPECT_LE(all.instructions, g.most_instructions);
    }
}

/// A convolution asks early for the next picture and for the lines that it will store.
TEST(Golden, ConvolutionsFetchAhead) {
  Golden g = conv(32, 32, 28, -1);
  Target target{.map_lanes = 16, .compiled = true, .vector_bits = 512};
  std::string all;
  for (const Step& s : compile_graph(g.graph, target).steps) all += cpu::assembly(s.lowered.kernel, cpu::Isa::avx512);
  EXPECT_NE(all.find("prefetcht1"), std::string::npos);
  EXPECT_NE(all.find("prefetchw"), std::string::npos);
}

/// The count sees spills where there are some: 16 accumulators are too many for AVX2.
TEST(Golden, SpillsAreCounted) {
  Golden g = matmul(512, 512, 512, false);
  Target wide{.map_lanes = 16, .compiled = true, .vector_bits = 512};
  Compilation made = compile_graph(g.graph, wide);
  size_t spills = 0;
  for (const Step& s : made.steps) spills += count(cpu::assembly(s.lowered.kernel, cpu::Isa::avx2)).spills;
  EXPECT_GT(spills, 0u);
}

}  // namespace
}  // namespace tn::test
