// The interpreter of the loop IR: a kernel becomes a list of steps over tiles in a small frame, one indirect call a
// tile op, so its cost is spread over 16 to 384 numbers. Runs everywhere and needs no code generation; a kernel's first
// runs and machines without AVX2 use it. Bits equal the compiled kernel's.
#pragma once
#include <memory>

#include "ir/loops.h"

namespace tn::loops {

namespace interpreter {
struct Code;
}

/// Instruction set of the interpreter's tile ops; the result's bits do not depend on it.
enum class Tier : u8 { baseline, v3, v4 };
/// The best this machine runs.
Tier best_tier();

/// A kernel made ready to run. Immutable: any number of threads may run it at once.
class Program {
 public:
  /// The kernel must be sound (verify); throws Error for nodes the interpreter has not.
  explicit Program(const Kernel& kernel, Tier tier = best_tier());
  ~Program();
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;

  /// Iterations lo <= i < hi of phase `phase`; as Entry. `scratch` holds evaluate(kernel.scratch_bytes) bytes, aligned
  /// to 64; `error` is set to a failed check's guard number.
  void run(i64 phase, void* const* buffers, const i64* sizes, i64 lo, i64 hi, void* scratch, i64* error) const;

  /// Steps of all phases, for tests.
  size_t steps() const;

 private:
  std::unique_ptr<const interpreter::Code> code_;
};

}  // namespace tn::loops
