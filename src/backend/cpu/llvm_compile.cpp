// From the emitter's IR to an object: LLVM's code generator and nothing before it.
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>

#include <mutex>

#include "backend/cpu/emitter.h"
#include "backend/cpu/llvm_abi.h"
#include "tenon/error.h"

namespace tn::cpu {

static constexpr const char* kTriple = "x86_64-unknown-linux-gnu";

/// One a thread and width: making one costs more than many a kernel.
static llvm::TargetMachine& machine(int vector_bits) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  static thread_local std::unique_ptr<llvm::TargetMachine> machines[2];
  auto& made = machines[vector_bits == 512];
  if (made) return *made;
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(kTriple, error);
  if (!target) internal("LLVM has no x86-64 target: " + error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  const char* cpu = vector_bits == 512 ? "x86-64-v4" : "x86-64-v3";
  made.reset(target->createTargetMachine(kTriple, cpu, "", options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                         llvm::CodeGenOptLevel::Default, true));
  return *made;
}

static std::string compile(std::string_view text, int vector_bits, int form) {
  loops::Kernel kernel = loops::parse_kernel(text);
  llvm::TargetMachine& target = machine(vector_bits);
  llvm::LLVMContext context;
  llvm::Module module("kernel", context);
  module.setDataLayout(target.createDataLayout());
  module.setTargetTriple(kTriple);
  Emitter(kernel, vector_bits, module).run();
  std::string problem;
  llvm::raw_string_ostream problems(problem);
#ifndef NDEBUG
  if (llvm::verifyModule(module, &problems)) internal("unsound LLVM IR: " + problems.str());
#endif
  if (form == kTenonLlvmIr) {
    module.print(problems, nullptr);
    return problems.str();
  }
  llvm::SmallVector<char, 0> out;
  llvm::raw_svector_ostream stream(out);
  llvm::legacy::PassManager passes;
  auto kind = form == kTenonLlvmAssembly ? llvm::CodeGenFileType::AssemblyFile : llvm::CodeGenFileType::ObjectFile;
  if (target.addPassesToEmitFile(passes, stream, nullptr, kind)) internal("LLVM cannot write this kind of file");
  passes.run(module);
  return {out.begin(), out.end()};
}

}  // namespace tn::cpu

extern "C" [[gnu::visibility("default")]] int tenon_llvm_compile(const char* text, size_t size, int vector_bits,
                                                                 int form, void* context, TenonLlvmTake take) {
  std::string result;
  int status = 0;
  try {
    result = tn::cpu::compile({text, size}, vector_bits, form);
  } catch (const std::exception& e) {
    result = e.what();
    status = 1;
  }
  take(context, result.data(), result.size());
  return status;
}
