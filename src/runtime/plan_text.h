// Plans as text, both ways: what a plan file holds and `tenon inspect` shows.
//
//   plan(f32[n, 3]) -> (f32[n, 3]) forward [-1] guards [<n - 1> "slice" "expected ..."] {
//     0 input 0 f32[n, 3]
//     1 constant 0 f32[3]
//     2 output 0 f32[n, 3]
//     kernel 0 "add relu" (0, 1, =2) sizes <n> scratch <0> phases [<n> <12*n>]
//     native sort 1 (f32[n] 2) -> (f32[n] 3, i64[n] 4) spare [] {axis=0} []
//     copy 0 2
//   }
//
// Slots come first, numbered from 0; "=" marks buffers a kernel writes. Arrays and machine code are in tables beside
// the text, named by number. Locations and sub-graphs are left out: the bodies of a control op follow it as plans.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "runtime/plan.h"

namespace tn {

struct PlanTables {
  std::vector<Array> constants;
  std::vector<std::shared_ptr<const Executable>> kernels;
};

std::string_view name(Slot::Role role);
std::string_view name(Instruction::Kind kind);

/// Adds to the tables what the text names; equal arrays and kernels once.
std::string to_string(const Plan& plan, PlanTables& tables);

/// The plan of a text, verified: slots, types and machine code fit each other, so that running it touches its own
/// memory alone (machine code itself is trusted). Error with line and column, or naming the instruction.
PlanPtr parse_plan(std::string_view text, const PlanTables& tables);

/// What parse_plan verifies; Error naming the instruction.
void check_plan(const Plan& plan);

}  // namespace tn
