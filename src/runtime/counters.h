// What the run time has done in this process: tests count phases, plans and kernels with it.
#pragma once
#include <atomic>

#include "tenon/dtype.h"

namespace tn {

struct RuntimeCounters {
  std::atomic<u64> traces = 0;  // callables traced into graphs
  std::atomic<u64> plans_built = 0;
  std::atomic<u64> kernels_made = 0;      // distinct kernels, interpreted or compiled
  std::atomic<u64> kernels_compiled = 0;  // of them, as machine code
  std::atomic<u64> kernels_stored = 0;    // machine code out of plan files, neither made nor compiled here
  std::atomic<u64> phases = 0;            // dispatched: one sweep of the pool each
  std::atomic<u64> natives = 0;           // library kernels called
  std::atomic<u64> copies = 0;
  std::atomic<u64> interpreted = 0;  // phases run by the interpreter
  std::atomic<u64> bindings = 0;     // new shapes or contexts: memory planned anew
};
RuntimeCounters& runtime_counters();

}  // namespace tn
