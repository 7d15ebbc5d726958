// Packing: a phase that only lays out constants (a weight's panels) runs when the plan is built, and not again.
#pragma once
#include "runtime/plan.h"

namespace tn {

/// Phases of the kernel that read nothing but buffers marked `constant`, write nothing but temporaries that no other
/// phase writes, and depend on no size: for each, the buffers it fills; for others none.
std::vector<std::vector<int>> constant_phases(const loops::Kernel& kernel, const std::vector<bool>& constant);

/// Runs such phases of a kernel's instruction: their temporaries become constants, their extents 0.
void pack_constants(const loops::Kernel& kernel, Instruction& instruction, std::span<Slot> slots);

}  // namespace tn
