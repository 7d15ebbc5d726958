// `tenon run` and `tenon compare`: one execution on a folder of inputs.
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"
#include "base/file.h"
#include "commands.h"
#include "runtime/counters.h"
#include "source.h"

namespace tn::app {

std::string report() {
  const RuntimeCounters& c = runtime_counters();
  cpu::Counters code = cpu::counters();
  nlohmann::ordered_json j = {{"plans_built", c.plans_built.load()},
                              {"kernels_made", c.kernels_made.load()},
                              {"kernels_stored", c.kernels_stored.load()},
                              {"compiled_by_llvm", code.compiled},
                              {"read_from_cache", code.cache_hits},
                              {"phases", c.phases.load()},
                              {"phases_interpreted", c.interpreted.load()},
                              {"library_kernels", c.natives.load()},
                              {"copies", c.copies.load()},
                              {"reference_runs", ref_run_count()}};
  return j.dump(2) + "\n";
}

void run(const RunOptions& o) {
  LimitScope limits(set_budget(o.timeout_seconds, o.memory_gib));
  Source source = open_source(o.model, o.inputs, o.plugins);
  std::vector<Array> outputs = source.run();
  write_outputs(o.outputs, source.outputs(), outputs, source.protobuf);
  if (!o.report.empty()) write_file("run", o.report, report());
}

void compare(const CompareOptions& o) {
  Source source = open_source(o.model, o.inputs, o.plugins);
  std::vector<Array> got = source.run(), want = ref_run(source.graph().graph, source.inputs);
  std::vector<NamedType> outputs = source.outputs();
  for (size_t i = 0; i < got.size(); ++i) {
    double worst = 0;
    for (i64 k = 0; k < got[i].size(); ++k) {
      double d = std::fabs(got[i].get(k) - want[i].get(k));
      if (!(d <= worst)) worst = got[i].get(k) == want[i].get(k) ? worst : d;
    }
    std::printf("%s max_abs_diff %.3g\n", outputs[i].name.c_str(), worst);
  }
}

}  // namespace tn::app
