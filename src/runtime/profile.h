// Where the time of a process goes, instruction by instruction; printed at its end when TENON_PROFILE is set.
#pragma once
#include <string>

namespace tn {

bool profiling();
/// Adds one run of an instruction: its label, seconds, and the bytes of all it reads and writes.
void profile_run(const std::string& label, double seconds, double bytes);
/// Of all runs so far.
double profiled_seconds();

}  // namespace tn
