#include "runtime/limits.h"

#include <string>

#include "tenon/error.h"

namespace tn {

static thread_local const RunLimits* current = nullptr;

LimitScope::LimitScope(const RunLimits& limits) : limits_(limits), outer_(current) { current = &limits_; }
LimitScope::~LimitScope() { current = outer_; }

const RunLimits* run_limits() { return current; }

void check_time(const RunLimits& limits) {
  if (limits.cancelled && limits.cancelled->load(std::memory_order_relaxed))
    fail("run", "expected to run to the end, got cancelled");
  if (limits.deadline != RunLimits::Clock::time_point::max() && RunLimits::Clock::now() > limits.deadline)
    fail("run", "expected an end within the time given, got none; a loop may not end: give it a bound, or more time");
}

void check_memory(const RunLimits& limits, size_t arena, size_t outputs) {
  if (limits.memory == 0 || (arena <= limits.memory && outputs <= limits.memory - arena)) return;
  fail("run", "expected to need at most " + std::to_string(limits.memory) + " bytes, got " + std::to_string(arena) +
                  " of intermediate values and " + std::to_string(outputs) +
                  " of outputs; use smaller shapes or a smaller batch, or give it more memory");
}

}  // namespace tn
