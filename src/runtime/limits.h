// Limits of runs: memory and time that the graphs run on this thread may take, and a flag that stops them. Checked
// before memory is taken, between instructions, between pieces of a sweep and at each step of a loop, so that a loop
// without end stops too.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>

#include "ir/op_def.h"

namespace tn {

struct RunLimits {
  using Clock = std::chrono::steady_clock;
  size_t memory = 0;  // bytes of one run's intermediate values and outputs; 0 = any
  Clock::time_point deadline = Clock::time_point::max();
  const std::atomic<bool>* cancelled = nullptr;  // another thread, or a signal's handler, sets it

  static RunLimits of(size_t memory, double seconds) {
    RunLimits limits{.memory = memory};
    constexpr double kForever = 1e9;  // longer than a clock of nanoseconds counts, so no deadline
    if (seconds > 0 && seconds < kForever)
      limits.deadline =
          Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    return limits;
  }
};

/// The limits hold for what this thread runs while the scope lives; scopes nest, the innermost holds.
class LimitScope {
 public:
  explicit LimitScope(const RunLimits& limits);
  ~LimitScope();
  LimitScope(const LimitScope&) = delete;
  LimitScope& operator=(const LimitScope&) = delete;

 private:
  RunLimits limits_;
  const RunLimits* outer_;
};

/// The limits that hold now, or null.
const RunLimits* run_limits();
/// Error when the time is over or the run is cancelled.
void check_time(const RunLimits& limits);
/// Error when a run needs more bytes than the limit.
void check_memory(const RunLimits& limits, size_t arena, size_t outputs);

}  // namespace tn
