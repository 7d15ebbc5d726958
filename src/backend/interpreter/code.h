// What a program holds once built.
#pragma once
#include <utility>
#include <vector>

#include "backend/interpreter/program.h"
#include "backend/interpreter/steps.h"

namespace tn::loops::interpreter {

struct Code {
  struct Constant {
    i32 offset, count, bytes;  // `count` elements of `bytes` each
    u64 bits;
  };
  u64 id = 0;  // distinguishes programs in the per-thread frames
  std::vector<Step> steps;
  std::vector<Update> updates;
  std::vector<Term> terms;
  std::vector<Copy> copies;
  std::vector<Constant> constants;
  std::vector<std::pair<i32, i64>> fixed_dims;  // slots of constants
  std::vector<i32> size_slots;
  i32 first_entry_update = 0, last_entry_update = 0;
  i32 dim_slots = 1;
  size_t frame_bytes = 0;
};

/// Steps that steer; the tile ops come from Kernels.
const Step* enter_loop(Frame& f, const Step* s);
const Step* next_iteration(Frame& f, const Step* s);
const Step* take_index_i64(Frame& f, const Step* s);
const Step* take_index_i32(Frame& f, const Step* s);
const Step* take_index_u32(Frame& f, const Step* s);
const Step* take_index_i8(Frame& f, const Step* s);
const Step* take_index_u8(Frame& f, const Step* s);
const Step* check_all(Frame& f, const Step* s);
const Step* prefetch(Frame& f, const Step* s);
const Step* finish(Frame& f, const Step* s);

Code build(const Kernel& kernel, const Kernels& kernels);

}  // namespace tn::loops::interpreter
