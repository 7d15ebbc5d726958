// Where time goes. With TENON_PROFILE set, every instruction of every plan is timed, and when the process ends each
// plan is printed to standard error with its instructions, those that took longest first.
#pragma once
#include <span>

#include "runtime/plan.h"

namespace tn {

/// Whether TENON_PROFILE is set; asked once.
bool profiling();
/// Nanoseconds of a clock that only runs forward.
i64 profile_clock();
/// Adds one execution of an instruction; `slot_bytes` is by slot of the plan.
void profile(const PlanPtr& plan, size_t instruction, i64 nanoseconds, std::span<const size_t> slot_bytes);

}  // namespace tn
