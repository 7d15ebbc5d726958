// A kernel ready to run: interpreted, or machine code. Equal kernels are one object in the process.
#pragma once
#include <memory>

#include "backend/cpu/cpu.h"
#include "backend/interpreter/program.h"

namespace tn {

class Executable {
 public:
  void run(i64 phase, void* const* buffers, const i64* sizes, i64 lo, i64 hi, void* scratch, i64* error) const {
    if (code_)
      code_->run(phase, buffers, sizes, lo, hi, scratch, error);
    else
      program_->run(phase, buffers, sizes, lo, hi, scratch, error);
  }
  bool compiled() const { return code_ != nullptr; }
  const cpu::CompiledKernel* code() const { return code_.get(); }
  /// The kernel's canonical text; empty for stored code.
  const std::string& text() const { return text_; }

  /// The kernel as machine code where wanted and possible, else as steps of the interpreter.
  static std::shared_ptr<const Executable> of(const loops::Kernel& kernel, bool compile);
  /// Machine code that was made before, as a plan file holds it. Error when it cannot be mapped.
  static std::shared_ptr<const Executable> stored(std::span<const std::byte> object);

 private:
  std::shared_ptr<const cpu::CompiledKernel> code_;
  std::unique_ptr<loops::Program> program_;
  std::string text_;
};

}  // namespace tn
