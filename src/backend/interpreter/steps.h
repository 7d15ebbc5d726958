// What the program builder and the tile kernels share: the layout of steps and frames.
#pragma once
#include "ir/loops.h"

namespace tn::loops::interpreter {

struct Term {
  i64 coefficient;
  i32 first, second;  // slots; slot 0 holds 1
};

/// Recomputes one Dim slot.
struct Update {
  enum class Kind : u8 { polynomial, floordiv, min, max };
  Kind kind;
  i32 target;
  i32 a, b;  // polynomial: a = slot of the slower part or 0-slot for none, terms follow; else the operands' slots
  i32 first_term, last_term;
};

struct Copy {
  i32 to, from, bytes;
};

struct Step;

struct Frame {
  char* tiles;
  i64* dims;
  void* const* buffers;
  char* scratch;
  i64 phase, lo, hi;
  i64* error;
  const Update* updates;
  const Term* terms;
  const Copy* copies;
};

/// Does its work and says where to go on; nothing = the end.
using StepFn = const Step* (*)(Frame& frame, const Step* step);

struct Step {
  StepFn fn = nullptr;
  i32 to = 0, a = 0, b = 0, c = 0;  // byte offsets of tiles
  i32 rows = 1, lanes = 1;
  i32 pitch_a = 0, pitch_b = 0, pitch_c = 0;               // elements from row to row; 0 = one row for all
  bool splat_a = false, splat_b = false, splat_c = false;  // one lane for all
  bool flag = false;                                       // fold: over rows; check: -; loop: parallel
  i32 buffer = -1;                                         // argument; -1 = scratch
  i32 base = 0, row_stride = -1, lane_stride = -1, row_limit = -1, lane_limit = -1;  // slots; -1 = none
  i32 axis_stride = -1, axis_extent = -1;                                            // gather, scatter
  i32 variable = 0, extent = 0;                                                      // slots
  i32 jump = 0;                                                                      // steps
  i32 first_update = 0, last_update = 0, first_copy = 0, last_copy = 0;
  u64 fill = 0;  // an element's bits
  i64 guard = 0;
};

/// The tile ops of one instruction set; nothing where the combination is no op.
struct Kernels {
  StepFn (*map)(const Step& step, ScalarOp op, DType operand, DType result);
  StepFn (*fold)(ScalarOp op, DType dtype);
  StepFn (*scan)(ScalarOp op, DType dtype);
  StepFn (*slice)(int bytes);
  StepFn (*transpose)(int bytes);
  StepFn (*dim)(DType dtype);
  StepFn (*load)(const Step& step, int bytes);
  StepFn (*store)(const Step& step, int bytes);
  StepFn (*gather)(int bytes, DType index);
  StepFn (*scatter)(DType dtype, DType index, bool add);
};
const Kernels& kernels_baseline();
const Kernels& kernels_v3();
const Kernels& kernels_v4();

}  // namespace tn::loops::interpreter
