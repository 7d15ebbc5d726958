#include "compile/pipeline.h"

#include "compile/passes.h"
#include "transform/lanes.h"

namespace tn {

Compilation compile_graph(const GraphPtr& g, const Target& target) {
  GraphPtr now = expand_composites(g);
  now = lower_lanes(now);
  now = expand_composites(now);
  now = split_reductions(now);
  return {now, fuse(*now, target)};
}

}  // namespace tn
