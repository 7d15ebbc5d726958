// Lowered groups run on numbers, for comparisons of bits between lowerings, executors and widths of vectors.
#pragma once
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "backend/cpu/cpu.h"
#include "backend/interpreter/program.h"
#include "compile/group.h"
#include "ir/graph.h"
#include "op/emit.h"
#include "tenon/error.h"

namespace tn::test {

using Data = std::vector<std::vector<std::byte>>;

struct Problem {
  GraphPtr graph;
  Group group;
  DimEnv sizes;
};

/// Numbers with many bits, and some specials.
inline std::vector<std::byte> numbers(Type t, const DimEnv& sizes, u64 seed) {
  auto count = static_cast<size_t>(evaluate(t.size(), sizes));
  Array a = Array::empty(t.dtype(), {static_cast<i64>(count)});
  u64 state = seed * 0x9E3779B97F4A7C15ull + 1;
  for (size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    double x = static_cast<double>(static_cast<i64>(state >> 40)) / (1 << 23) - 1;
    if (is_float(t.dtype()))
      a.set(static_cast<i64>(i), x);
    else
      a.set_int(static_cast<i64>(i), static_cast<i64>(state >> 33) % 100);
  }
  return {a.bytes_begin(), a.bytes_begin() + a.nbytes()};
}

template <class Run>
Data execute(const Problem& p, const Lowered& l, const Run& run, std::byte unset = std::byte{0xEE}) {
  Data buffers;
  std::vector<void*> pointers;
  std::vector<size_t> results(p.group.outputs.size());
  size_t argument = 0;
  for (const auto& buffer : l.kernel.buffers) {
    if (!buffer.is_argument()) continue;
    const auto& a = l.arguments[argument];
    if (a.temp || a.written) {
      auto bytes_needed = static_cast<size_t>(evaluate(product(buffer.shape), p.sizes) * bytes(buffer.dtype));
      buffers.emplace_back(bytes_needed, unset);
      for (size_t i = 0; i < results.size(); ++i)
        if (!a.temp && p.group.outputs[i] == a.value) results[i] = argument;
    } else {
      buffers.push_back(numbers(p.graph->type(a.value), p.sizes, a.value + 1));
    }
    ++argument;
  }
  for (auto& b : buffers) pointers.push_back(b.data());
  std::vector<i64> sizes;
  for (Dim s : l.kernel.sizes) sizes.push_back(evaluate(s, p.sizes));
  auto scratch_bytes = static_cast<size_t>(evaluate(l.kernel.scratch_bytes, p.sizes)) + 64;
  std::vector<std::byte> scratch(scratch_bytes + 64, unset);
  void* aligned = reinterpret_cast<void*>((reinterpret_cast<u64>(scratch.data()) + 63) & ~u64{63});
  i64 phase = 0, error = 0;
  for (loops::Val v : l.kernel.phases()) {
    i64 extent = evaluate(l.kernel.nodes[static_cast<size_t>(v)].extent, p.sizes), half = extent / 2;
    run(phase, pointers.data(), sizes.data(), half, extent, aligned, &error);  // as another thread might come first
    run(phase++, pointers.data(), sizes.data(), 0, half, aligned, &error);
  }
  Data out;
  for (size_t r : results) out.push_back(buffers[r]);
  return out;
}

inline Data interpreted(const Problem& p, const Lowered& l) {
  loops::Program program(l.kernel);
  return execute(p, l, [&](auto... x) { program.run(x...); });
}

/// What loads leave unspecified, and memory nobody wrote, as NaNs (or a number of its own): it may pass through
/// scratch, but no result depends on it.
inline Data poisoned(const Problem& p, Lowered l) {
  for (loops::Node& n : l.kernel.nodes)
    if ((n.kind == loops::Kind::load || n.kind == loops::Kind::gather) && n.any) {
      n.any = false;
      n.number = is_float(n.tile.dtype) ? std::numeric_limits<double>::quiet_NaN() : 77;
    }
  loops::Program program(l.kernel);
  return execute(p, l, [&](auto... x) { program.run(x...); }, std::byte{0xFF});
}

inline void expect_equal(const Data& want, const Data& got, const std::string& what) {
  ASSERT_EQ(want.size(), got.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(want[i].size(), got[i].size());
    size_t bad = 0;
    for (size_t j = 0; j < want[i].size(); ++j) bad += want[i][j] != got[i][j];
    EXPECT_EQ(bad, 0u) << what << ": bytes of output " << i << " differ, of " << want[i].size();
  }
}

/// The kernel on every executor that this machine has: all bits as the interpreter's of `want`.
inline void expect_executors(const Data& want, const Problem& p, const Lowered& l, const std::string& name) {
  expect_equal(want, interpreted(p, l), name + " interpreted");
  expect_equal(want, poisoned(p, l), name + " with what is unspecified poisoned");
  for (cpu::Isa isa : {cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (isa > cpu::widest_isa()) continue;
    auto code = cpu::compile_kernel(l.kernel, isa);
    ASSERT_TRUE(code) << cpu::compiler_problem();
    Data got = execute(p, l, [&](auto... x) { code->run(x...); });
    expect_equal(want, got, name + " on " + std::string(cpu::name(isa)));
  }
}

inline Value input(Builder& b, std::initializer_list<Dim> shape, DType d = DType::f32) {
  return b.input(Type::tensor(d, shape));
}

inline Value input(Builder& b, const std::vector<i64>& shape) {
  Shape s(shape.begin(), shape.end());
  return b.input(Type::tensor(DType::f32, s));
}

}  // namespace tn::test
