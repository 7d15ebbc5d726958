// Rules of the ops with sub-graphs, defined in src/transform: they are transforms of graphs, and entries of the op
// table only point at them.
#pragma once
#include "ir/op_def.h"

namespace tn {

extern const Region kCallRegion, kCondRegion, kScanRegion, kWhileRegion, kBarrierRegion;
extern const Region kCustomJvpRegion, kCustomVjpRegion, kCustomVjpTangentRegion;
extern const AxesFn kCallAxes, kCondAxes, kScanAxes, kWhileAxes, kBarrierAxes;
extern const Region kInvokeRegion;
extern const AxesFn kInvokeAxes;
extern const AxesFn kCustomJvpAxes, kCustomVjpAxes, kCustomVjpTangentAxes;

}  // namespace tn
