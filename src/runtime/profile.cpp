#include "runtime/profile.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <numeric>

#include "ir/op_def.h"

namespace tn {

namespace {

struct Entry {
  i64 runs = 0, total = 0, least = 0;
  double bytes = 0;
};

struct PlanEntries {
  PlanPtr plan;
  std::vector<Entry> instructions;
  i64 total() const {
    return std::accumulate(instructions.begin(), instructions.end(), i64{0},
                           [](i64 sum, const Entry& e) { return sum + e.total; });
  }
};

struct Profile {
  std::mutex mutex;
  std::map<const Plan*, PlanEntries> plans;
};

std::string described(const Plan& plan, const Instruction& i) {
  std::string text = i.label.empty() ? std::string(i.op ? i.op->name : "copy") : i.label;
  if (i.code && !i.code->compiled()) text += " (interpreted)";
  text += " ->";
  for (u32 s : i.writes) {
    const Slot& slot = plan.slots()[s];
    text += " " + std::string(name(slot.dtype)) + "[";
    for (size_t a = 0; a < slot.shape.size(); ++a) text += (a ? ", " : "") + to_string(slot.shape[a]);
    text += "]";
    if (text.size() > 200) return text + " ...";
  }
  return text;
}

void print(const PlanEntries& p) {
  double total = static_cast<double>(p.total());
  i64 runs = 0;
  for (const Entry& e : p.instructions) runs = std::max(runs, e.runs);
  std::fprintf(stderr, "plan of %zu instructions, %ld runs, %.4f ms a run\n", p.instructions.size(),
               static_cast<long>(runs), total / 1e6 / static_cast<double>(runs));
  std::fprintf(stderr, "%7s %10s %10s %8s  %s\n", "share", "ms a run", "least ms", "GB/s", "instruction");
  std::vector<size_t> order(p.instructions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return p.instructions[a].total > p.instructions[b].total; });
  for (size_t k : order) {
    const Entry& e = p.instructions[k];
    if (e.runs == 0) continue;
    double least = static_cast<double>(std::max<i64>(e.least, 1));
    std::fprintf(stderr, "%6.1f%% %10.4f %10.4f %8.1f  %zu %s\n", 100 * static_cast<double>(e.total) / total,
                 static_cast<double>(e.total) / 1e6 / static_cast<double>(runs), least / 1e6, e.bytes / least, k,
                 described(*p.plan, p.plan->instructions()[k]).c_str());
  }
}

/// Never destroyed: other threads may still run plans while it is printed.
Profile& state() {
  static Profile* made = [] {
    auto* p = new Profile;
    std::atexit([] {
      Profile& all = state();
      std::lock_guard lock(all.mutex);
      std::vector<const PlanEntries*> plans;
      for (const auto& [plan, entries] : all.plans) plans.push_back(&entries);
      std::sort(plans.begin(), plans.end(), [](auto* a, auto* b) { return a->total() > b->total(); });
      for (const PlanEntries* entries : plans) print(*entries);
    });
    return p;
  }();
  return *made;
}

}  // namespace

bool profiling() {
  static const bool asked = std::getenv("TENON_PROFILE") != nullptr;
  return asked;
}

i64 profile_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void profile(const PlanPtr& plan, size_t instruction, i64 nanoseconds, std::span<const size_t> slot_bytes) {
  Profile& all = state();
  std::lock_guard lock(all.mutex);
  PlanEntries& p = all.plans[plan.get()];
  if (!p.plan) {
    p.plan = plan;
    p.instructions.resize(plan->instructions().size());
  }
  Entry& e = p.instructions[instruction];
  e.least = e.runs == 0 ? nanoseconds : std::min(e.least, nanoseconds);
  e.total += nanoseconds;
  ++e.runs;
  e.bytes = 0;
  const Instruction& i = plan->instructions()[instruction];
  for (const auto* list : {&i.reads, &i.writes})
    for (u32 s : *list) e.bytes += static_cast<double>(slot_bytes[s]);
}

}  // namespace tn
