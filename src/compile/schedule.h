// Schedules: rewrites of kernels that change how the work is ordered, never what is computed, nor a bit of it. Each
// reads a kernel and emits another, so any sequence composes; an illegal one throws Error and says why.
//
//   naive i, j, k nest of a matmul
//     tile(j, 64, lanes)   one vector of 64 columns
//     tile(i, 6, rows)     6 rows of it in registers
//     interchange(i)       j outermost
//     stage(B, j)          the panel of B that a j needs, packed once
//
// Loops are named by the stem of their variable as it is printed ("i"), buffers by their names.
#pragma once
#include <string_view>

#include "ir/loops.h"

namespace tn::loops {

/// Iterations n v .. n v + n - 1 become the rows or lanes of one tile, tails a limit. The loop carries nothing and its
/// iterations are independent; what it computes is so far one row (lane).
Kernel tile(const Kernel& k, std::string_view loop, int n, Axis axis);
/// v = n v' + w: two loops, the inner one of n iterations (fewer at the end). Carried values pass through both.
Kernel split(const Kernel& k, std::string_view loop, int n);
/// Swaps a loop with the only loop directly inside it. Neither carries, and iterations of both are independent.
Kernel interchange(const Kernel& k, std::string_view outer);
/// At the start of each iteration of `at`, copies what the iteration reads of the buffer into scratch and reads that.
Kernel stage(const Kernel& k, std::string_view buffer, std::string_view at);
/// Computes elements of a scratch or temp buffer where they are read instead of storing them.
Kernel inlined(const Kernel& k, std::string_view buffer);
/// The only loop directly inside a parallel loop of one iteration takes its place.
Kernel parallel(const Kernel& k, std::string_view loop);
/// Iterations of a loop of constant extent, one after the other.
Kernel unroll(const Kernel& k, std::string_view loop);

/// The header of the loop of that name; Error listing the loops when there is none.
Val find_loop(const Kernel& k, std::string_view name);

}  // namespace tn::loops
