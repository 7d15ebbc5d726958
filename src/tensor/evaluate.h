// Running what is pending: the ancestors of the values wanted are flattened into a list and run as one graph. Graphs
// are found again by the structure of the list, so a loop of plain operations compiles once.
#pragma once
#include <mutex>
#include <span>

#include "tensor/pending.h"

namespace tn {

/// Gives every root its value, or throws the error of its operation; `where` is the place that reads.
void evaluate(std::span<Pending* const> roots, const Location& where);
/// The value of a node, evaluated when it must be. Valid as long as the node lives.
const Array& value_of(Pending* p, const Location& where);

/// Guards scratch fields and claims of all nodes.
std::mutex& nodes_mutex();
/// A mark no node has; under the lock only.
u32 next_mark();

/// What happened, for tests and benchmarks.
struct EvaluationCounts {
  u64 evaluations = 0;  // graphs run for pending nodes
  u64 operations = 0;   // nodes in them
  u64 compiled = 0;     // structures never seen before
  u64 donated = 0;      // inputs whose storage could be reused
};
EvaluationCounts evaluation_counts();
/// Whether structures are looked up only, without running: for measuring.
void set_run_kernels(bool run);

}  // namespace tn
