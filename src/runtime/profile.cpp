#include "runtime/profile.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <vector>

namespace tn {

namespace {

struct Total {
  std::vector<double> seconds;  // of each run
  double bytes = 0;
  double sum() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }
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
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second.sum() > b.second.sum(); });
  double all = 0;
  for (const auto& [label, t] : rows) all += t.sum();
  std::fprintf(stderr, "%8s %7s %10s %10s %8s  instruction\n", "share", "runs", "median us", "least us", "GB/s");
  for (auto& [label, t] : rows) {
    std::sort(t.seconds.begin(), t.seconds.end());
    double median = t.seconds[t.seconds.size() / 2];
    std::fprintf(stderr, "%7.1f%% %7zu %10.1f %10.1f %8.1f  %s\n", 100 * t.sum() / all, t.seconds.size(), 1e6 * median,
                 1e6 * t.seconds[0], 1e-9 * t.bytes / median, label.c_str());
  }
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
  t.seconds.push_back(seconds);
  t.bytes = bytes;
}

double profiled_seconds() {
  std::lock_guard lock(profile().mutex);
  double all = 0;
  for (const auto& [label, t] : profile().totals) all += t.sum();
  return all;
}

}  // namespace tn
