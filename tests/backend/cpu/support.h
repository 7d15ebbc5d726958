// Runs a kernel in the interpreter and as machine code of each instruction set here, and compares every byte.
#pragma once
#include <gtest/gtest.h>

#include <cstring>

#include "backend/cpu/cpu.h"
#include "backend/interpreter/program.h"
#include "base/array.h"

namespace tn::cpu::testing {

using loops::Buffer;
using loops::Builder;
using loops::Kernel;
using loops::ScalarOp;
using loops::Val;

inline std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::avx2, Isa::avx512})
    if (widest_isa() >= isa) all.push_back(isa);
  return all;
}

/// Memory that ends at a page nobody may touch, so that a read or write past its end is seen.
class Guarded {
 public:
  explicit Guarded(size_t bytes);
  Guarded(const Guarded& other);
  Guarded(Guarded&& other) noexcept;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded();
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0, mapped_ = 0;
  void* map_ = nullptr;
};

/// Elements that bring out differences: specials first, then numbers of many sizes.
Guarded interesting(DType d, size_t count, u64 seed);

struct Case {
  Kernel kernel;
  std::vector<i64> sizes;
  std::vector<Guarded> buffers;  // arguments in order
};
/// Buffers of the kernel's shapes under `sizes`, filled with interesting numbers.
Case make_case(Kernel kernel, std::vector<i64> sizes, u64 seed = 1);
/// All executors agree; gives the interpreter's buffers.
std::vector<Guarded> expect_same_bits(const Case& c);
/// Runs all phases by `run(phase, buffers, extent, scratch, error)`.
void run_compiled(const CompiledKernel& kernel, const Case& c, std::vector<Guarded>& buffers);
void run_interpreted(const Case& c, std::vector<Guarded>& buffers);

}  // namespace tn::cpu::testing
