// compile_kernel: one table a process, the disk cache behind it, LLVM behind that.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <unordered_map>

#include "backend/cpu/cpu.h"
#include "backend/cpu/llvm_abi.h"
#include "base/library.h"
#include "tenon/error.h"

namespace tn::cpu {

namespace {

/// One kernel of the table, while somebody has it; its mutex is held while it is made, so that others wait for it
/// instead of making it again.
struct Slot {
  std::mutex making;
  std::weak_ptr<const CompiledKernel> kernel;
};

struct Table {
  std::mutex mutex;
  size_t sweep_at = 256;
  std::unordered_map<std::string, std::shared_ptr<Slot>> slots;
};

Table& table() {
  static auto* t = new Table;
  return *t;
}

struct {
  std::atomic<u64> compiled, cache_hits, cache_errors, table_hits, loaded, compile_microseconds;
} counts;

struct Compiler {
  decltype(&tenon_llvm_compile) compile = nullptr;
  std::string problem;
};

const Compiler& compiler() {
  static const auto* opened = [] {
    auto* c = new Compiler;
    std::string why;
    void* library = open_own_library("libtenon_llvm.so", why);
    if (library)
      c->compile = reinterpret_cast<decltype(&tenon_llvm_compile)>(library_symbol(library, "tenon_llvm_compile"));
    if (!c->compile) c->problem = "the LLVM backend (libtenon_llvm.so) cannot be opened: " + why;
    return c;
  }();
  return *opened;
}

std::string call_llvm(std::string_view text, Isa isa, int form) {
  auto take = [](void* context, const char* data, size_t size) {
    static_cast<std::string*>(context)->assign(data, size);
  };
  std::string result;
  int status = compiler().compile(text.data(), text.size(), vector_bits(isa), form, &result, take);
  if (status) internal("a kernel does not compile: " + result + "\n" + std::string(text));
  return result;
}

std::shared_ptr<const CompiledKernel> loaded(std::span<const std::byte> object) {
  auto kernel = std::make_shared<const CompiledKernel>(object);
  ++counts.loaded;
  return kernel;
}

std::shared_ptr<const CompiledKernel> from_cache(const std::string& text, Isa isa) {
  auto object = read_cache(text, isa);
  if (!object) return nullptr;
  try {
    auto kernel = loaded(*object);
    ++counts.cache_hits;
    return kernel;
  } catch (const Error&) {
    ++counts.cache_errors;
    return nullptr;
  }
}

std::shared_ptr<const CompiledKernel> make(const std::string& text, Isa isa) {
  if (auto kernel = from_cache(text, isa)) return kernel;
  if (!compiler().compile) return nullptr;
  auto start = std::chrono::steady_clock::now();
  std::string object = call_llvm(text, isa, kTenonLlvmObject);
  auto time = std::chrono::steady_clock::now() - start;
  ++counts.compiled;
  counts.compile_microseconds += static_cast<u64>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  auto bytes = std::as_bytes(std::span(object));
  auto kernel = loaded(bytes);
  write_cache(text, isa, bytes);
  return kernel;
}

}  // namespace

std::shared_ptr<const CompiledKernel> compile_kernel(const loops::Kernel& kernel) {
  return compile_kernel(kernel, host_isa());
}

static std::shared_ptr<Slot> slot_of(std::string_view text, Isa isa) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  if (t.slots.size() > t.sweep_at) {
    std::erase_if(t.slots, [](const auto& s) { return s.second.use_count() == 1 && s.second->kernel.expired(); });
    t.sweep_at = std::max<size_t>(256, 2 * t.slots.size());
  }
  auto& kept = t.slots[std::string(name(isa)) + "\n" + std::string(text)];
  if (!kept) kept = std::make_shared<Slot>();
  return kept;
}

std::shared_ptr<const CompiledKernel> compile_kernel(const loops::Kernel& kernel, Isa isa) {
  if (isa == Isa::none) return nullptr;
  std::string text = loops::canonical_text(kernel);
  std::shared_ptr<Slot> slot = slot_of(text, isa);
  std::lock_guard lock(slot->making);
  auto code = slot->kernel.lock();
  if (code)
    ++counts.table_hits;
  else
    slot->kernel = code = make(text, isa);
  return code;
}

std::string compiler_problem() {
  if (host_isa() == Isa::none) return "this machine has no AVX2 with FMA (or TENON_ISA=none is set)";
  return compiler().problem;
}

static std::string text_of(const loops::Kernel& kernel, Isa isa, int form) {
  if (!compiler().compile) fail("compile_kernel", compiler().problem);
  return call_llvm(loops::canonical_text(kernel), isa, form);
}

std::string assembly(const loops::Kernel& kernel, Isa isa) { return text_of(kernel, isa, kTenonLlvmAssembly); }
std::string llvm_ir(const loops::Kernel& kernel, Isa isa) { return text_of(kernel, isa, kTenonLlvmIr); }

Counters counters() {
  return {counts.compiled,   counts.cache_hits, counts.cache_errors,
          counts.table_hits, counts.loaded,     static_cast<double>(counts.compile_microseconds) / 1000};
}

void reset_counters() {
  counts.compiled = 0, counts.cache_hits = 0, counts.cache_errors = 0;
  counts.table_hits = 0, counts.loaded = 0, counts.compile_microseconds = 0;
}

void forget_kernels() {
  std::lock_guard lock(table().mutex);
  table().slots.clear();
}

}  // namespace tn::cpu
