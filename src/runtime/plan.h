// Plan: what a graph becomes, once for all sizes: a flat list of instructions over slots of memory. Immutable and
// shared; contexts hold what belongs to one run at a time.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compile/pipeline.h"
#include "ir/guard.h"
#include "runtime/executable.h"

namespace tn {

class Plan;

/// A piece of memory instructions read and write: an input or output of the plan, a constant, or a place in the arena.
struct Slot {
  enum class Role : u8 { input, output, constant, temp };
  Role role = Role::temp;
  u32 number = 0;  // which input or output
  DType dtype = DType::f32;
  Shape shape;
  Array constant;
};

struct Instruction {
  enum class Kind : u8 { kernel, native, copy, cond, loop, scan };
  Kind kind = Kind::kernel;
  std::vector<u32> reads, writes;  // slots
  Location where;
  std::string label;  // for people: the ops of a kernel, the op of others

  // kernel
  std::shared_ptr<const Executable> code;
  std::vector<u32> buffers;                   // the slot of each argument
  std::vector<std::pair<u32, u32>> in_place;  // an input and an output that may be one memory (donation.h)
  std::vector<Dim> sizes;
  struct Phase {
    Dim extent, work;  // iterations, and tile elements touched in all of them
  };
  std::vector<Phase> phases;
  Dim scratch = 0;

  // native, cond, loop, scan: slots of operands and results in order
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<u32> operands, results, spare;      // spare: a second buffer for each carry
  std::vector<Type> operand_types, result_types;  // a slot's shape may be another's that shares its memory
  std::vector<std::shared_ptr<const Plan>> bodies;
};

class Plan {
 public:
  /// With `forward`, an output that is an input as it is is left to the caller (see forwarded), else copied. With
  /// `pack`, what kernels lay out of constants is laid out now (packing.h): for plans that run often.
  static std::shared_ptr<const Plan> build(const GraphPtr& g, const Target& target, bool forward = false,
                                           bool pack = false);

  const Target& target() const { return target_; }
  std::span<const Slot> slots() const { return slots_; }
  std::span<const Instruction> instructions() const { return instructions_; }
  std::span<const Type> input_types() const { return input_types_; }
  const std::vector<Type>& output_types() const { return output_types_; }
  /// Outputs that are an input's memory as it is: the input, else -1.
  const std::vector<int>& forwarded() const { return forwarded_; }
  /// What must hold of the sizes it is bound to.
  std::span<const Guard> guards() const { return guards_; }
  /// Phases of all kernels, for tests and inspection.
  size_t phase_count() const;

 private:
  friend class PlanBuilder;
  friend class PlanReader;
  Target target_;
  std::vector<Slot> slots_;
  std::vector<Instruction> instructions_;
  std::vector<Type> input_types_, output_types_;
  std::vector<int> forwarded_;
  std::vector<Guard> guards_;
};
using PlanPtr = std::shared_ptr<const Plan>;

}  // namespace tn
