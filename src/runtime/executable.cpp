#include "runtime/executable.h"

#include <mutex>
#include <unordered_map>

#include "compile/pipeline.h"
#include "runtime/counters.h"
#include "tenon/error.h"

namespace tn {

RuntimeCounters& runtime_counters() {
  static RuntimeCounters counters;
  return counters;
}

namespace {

struct KeyHash {
  size_t operator()(const loops::KernelKey& k) const { return static_cast<size_t>(k.low ^ k.high); }
};

/// Kernels in use, by content. Entries whose kernel is gone are swept when the table has doubled.
struct Table {
  std::mutex mutex;
  std::unordered_map<loops::KernelKey, std::weak_ptr<const Executable>, KeyHash> kernels[2];
  size_t sweep_at = 256;
};

Table& table() {
  static auto* t = new Table;
  return *t;
}

/// The kernel is sound, and its text reads back to it.
void verify_when_asked(const loops::Kernel& kernel) {
  if (!verifying()) return;
  std::string text = loops::to_string(kernel);
  if (loops::to_string(loops::parse_kernel(text)) != text)
    internal("kernel " + kernel.name + " does not read back:\n" + text);
  auto found = loops::verify(kernel);
  if (!found.empty())
    internal("kernel " + kernel.name + " is not sound: " + found[0] + "\n" + loops::to_string(kernel));
}

}  // namespace

std::shared_ptr<const Executable> Executable::of(const loops::Kernel& kernel, bool compile) {
  std::string text = loops::canonical_text(kernel);
  loops::KernelKey key = loops::kernel_key(text);
  Table& t = table();
  {
    std::lock_guard lock(t.mutex);
    auto found = t.kernels[compile].find(key);
    if (found != t.kernels[compile].end())
      if (auto kept = found->second.lock(); kept && kept->text_ == text) return kept;
  }
  verify_when_asked(kernel);
  auto made = std::make_shared<Executable>();
  made->text_ = std::move(text);
  if (compile) made->code_ = cpu::compile_kernel(kernel);
  if (!made->code_) made->program_ = std::make_unique<loops::Program>(kernel);
  runtime_counters().kernels_made++;
  if (made->code_) runtime_counters().kernels_compiled++;
  std::lock_guard lock(t.mutex);
  auto& kernels = t.kernels[compile];
  if (kernels.size() > t.sweep_at) {
    std::erase_if(kernels, [](const auto& entry) { return entry.second.expired(); });
    t.sweep_at = std::max<size_t>(256, 2 * kernels.size());
  }
  auto& slot = kernels[key];
  if (auto first = slot.lock(); first && first->text_ == made->text_) return first;
  slot = made;
  return made;
}

std::shared_ptr<const Executable> Executable::stored(std::span<const std::byte> object) {
  auto made = std::make_shared<Executable>();
  made->code_ = std::make_shared<const cpu::CompiledKernel>(object);
  runtime_counters().kernels_stored++;
  return made;
}

}  // namespace tn
