// Context: the memory and pointers of one run of a plan at a time. Cheap; many contexts may run one plan at once. Once
// it is bound to sizes, running allocates nothing.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/plan.h"

namespace tn {

class Context {
 public:
  explicit Context(PlanPtr plan);

  const Plan& plan() const { return *plan_; }
  /// Fixes the sizes: plans the arena, evaluates every extent. Error of a guard that they break.
  void bind(const DimEnv& env);
  bool bound() const { return bound_; }
  /// Runs on memory of the bound sizes, one pointer for each input and output.
  void run(std::span<std::byte* const> inputs, std::span<std::byte* const> outputs);
  /// Tile operations of one run, roughly.
  i64 work() const { return work_; }
  /// Of intermediate values, those of sub-graphs included.
  size_t arena_bytes() const { return arena_bytes_; }
  /// Gives arenas above `keep` bytes back; the next run takes new ones.
  void release_arena(size_t keep);

 private:
  struct Bound {
    std::vector<i64> sizes;
    std::vector<void*> buffers;
    struct Phase {
      i64 extent = 0, grain = 0;  // grain 0: on the caller alone
    };
    std::vector<Phase> phases;
    size_t scratch = 0;
    std::vector<Array> operands, results;  // native
    std::vector<std::unique_ptr<Context>> bodies;
    i64 length = 0;                           // scan
    std::vector<std::byte*> inputs, outputs;  // of a body's run
    std::vector<std::byte*> second_inputs, second_outputs;
  };

  void bind_sizes(const DimEnv& env);
  void plan_arena(const DimEnv& env);
  void take_arena();
  void bind_instruction(const Instruction& i, Bound& bound, const DimEnv& env);
  void run_instruction(const Instruction& i, Bound& bound);
  void run_timed(const Instruction& i, Bound& bound);
  void run_kernel(const Instruction& i, Bound& bound);
  void run_native(const Instruction& i, Bound& bound);
  void run_cond(const Instruction& i, Bound& bound);
  void run_loop(const Instruction& i, Bound& bound);
  void run_scan(const Instruction& i, Bound& bound);
  void copy(u32 from, u32 to);

  PlanPtr plan_;
  bool bound_ = false;
  std::string broken_;  // what the guard says that the sizes break
  i64 work_ = 0;
  StoragePtr arena_;
  size_t own_bytes_ = 0, arena_bytes_ = 0;           // of arena_; with those of bodies
  std::vector<std::pair<u32, size_t>> temporaries_;  // slots in the arena and where they lie in it
  std::vector<std::byte*> at_;                       // by slot
  std::vector<size_t> bytes_;                        // by slot
  std::vector<Bound> instructions_;
};

/// Places for blocks that live over [first, last] instructions, so that blocks alive at the same time do not overlap.
struct Life {
  size_t bytes = 0;
  u32 first = 0, last = 0;
  size_t offset = 0;  // the answer
};
/// Fills in the offsets and returns the size of the arena.
size_t place(std::span<Life> lives);

}  // namespace tn
