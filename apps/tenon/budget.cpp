#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/sanitizer.h"
#include "commands.h"
#include "tenon/error.h"

namespace tn::app {

constexpr double kLeast = 1.0 / 64;  // GiB
constexpr double kLongest = 1e9;     // seconds a clock can add to its time
constexpr double kGrace = 0.5;       // what a run that stops by itself has to say so

RunLimits set_budget(double timeout_seconds, double memory_gib) {
  if (!(timeout_seconds > 0)) fail("run", "expected --timeout above 0, got " + std::to_string(timeout_seconds));
  if (!(memory_gib >= 0)) fail("run", "expected --memory of at least 0, got " + std::to_string(memory_gib));
  if (memory_gib > 0 && memory_gib < kLeast)
    fail("run",
         "expected --memory of at least 1/64 GiB, which the program itself takes, got " + std::to_string(memory_gib));
  timeout_seconds = std::min(timeout_seconds, kLongest);
  double machine = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  double bytes = memory_gib > 0 ? std::min(memory_gib * 1073741824.0, 0x1p60) : machine * 0.75;
  // Before the limit, which may leave no room for its stack.
  std::thread([timeout_seconds] {
    std::this_thread::sleep_for(std::chrono::duration<double>(timeout_seconds + kGrace));
    std::fprintf(stderr,
                 "tenon: [run] expected an end within %g s, got none; the model may loop for ever; give --timeout more "
                 "seconds\n",
                 timeout_seconds);
    _exit(1);
  }).detach();
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  auto wanted = static_cast<rlim_t>(bytes);
  if (!kSanitized && (limit.rlim_max == RLIM_INFINITY || wanted < limit.rlim_max)) {
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_AS, &limit);
  }
  return RunLimits::of(static_cast<size_t>(bytes), timeout_seconds);
}

}  // namespace tn::app
