#include "runtime/profile.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace tn {

namespace {

struct Total {
  long runs = 0;
  double seconds = 0, least = 1e300, bytes = 0;
};

struct Profile {
  std::mutex mutex;
  std::unordered_map<std::string, Total> totals;
};

Profile& profile() {
  static auto* p = new Profile;
  return *p;
}

void print_profile() {
  std::vector<std::pair<std::string, Total>> rows(profile().totals.begin(), profile().totals.end());
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double all = 0;
  for (const auto& [label, t] : rows) all += t.seconds;
  std::fprintf(stderr, "%8s %7s %10s %10s %8s  instruction\n", "share", "runs", "mean us", "least us", "GB/s");
  for (const auto& [label, t] : rows)
    std::fprintf(stderr, "%7.1f%% %7ld %10.1f %10.1f %8.1f  %s\n", 100 * t.seconds / all, t.runs,
                 1e6 * t.seconds / static_cast<double>(t.runs), 1e6 * t.least, 1e-9 * t.bytes / t.least, label.c_str());
}

}  // namespace

bool profiling() {
  static const bool asked = [] {
    if (!std::getenv("TENON_PROFILE")) return false;
    std::atexit(print_profile);
    return true;
  }();
  return asked;
}

void profile_run(const std::string& label, double seconds, double bytes) {
  std::lock_guard lock(profile().mutex);
  Total& t = profile().totals[label];
  ++t.runs;
  t.seconds += seconds;
  t.least = std::min(t.least, seconds);
  t.bytes = bytes;
}

}  // namespace tn
