// The loop IR: one small language for both executors.
//
// Dims say where: indices, extents, limits and strides are Dims over sizes, loop variables and the two coordinates of a
// tile, r (row) and l (lane). Tiles say what: SSA values `dtype<rows x lanes>` of constant extents. `load A[6*i + r,
// k]` of a <6x1> tile is a column; `load X[i, 64*j + l]` of <1x64> a run of a row; an index with 2*l is strided. So
// there are no vector loops, no pointers and no address code: "vectorise" is to substitute v := 64*v + l, "unroll" v :=
// 6*v + r.
//
// A kernel is a flat vector of nodes. Its phases are its top-level `parallel` loops, one after the other; the pool
// joins between them. Loops begin with a `loop` node (operands: initial carries) followed by a `carry` node for each,
// and end with a `yield` (operands: next carries) followed by a `result` node for each.
#pragma once
#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/scalar.h"
#include "tenon/dim.h"
#include "tenon/type.h"

namespace tn::loops {

using Val = int;  // a node's place in the kernel

struct Tile {
  DType dtype = DType::f32;
  int rows = 1, lanes = 1;
  int size() const { return rows * lanes; }
  bool operator==(const Tile&) const = default;
};

enum class Kind : u8 {
  constant,   // a splat number
  dim,        // a Dim as an integer tile (may hold r and l)
  map,        // a scalar op; operands broadcast over extents of 1
  reduce,     // over rows or lanes by halving: i with i + n/2
  scan,       // inclusive along lanes in log steps: x[i] += x[i - h], h = 1, 2, 4 ...
  slice,      // one row or one lane
  transpose,  // rows <-> lanes
  mma,        // acc += a x b on packed pairs (later)
  load,       // buffer at Dims, with limits
  store,
  gather,    // one axis of the buffer indexed by an integer tile, clamped
  scatter,   // the inverse; set or add, lanes in ascending order, out of range dropped
  alloc,     // scratch of the worker
  prefetch,  // hint
  check,     // sets the error word to a guard number when a bool is false
  barrier,   // within a CUDA block (later)
  loop,      // for or parallel, from 0, step 1
  while_,    // (later)
  if_,       // (later)
  carry,     // a carried tile inside the loop
  yield,     // end of a loop
  result,    // a carried tile after the loop
  index,     // a loaded integer becomes a Dim symbol, clamped to [0, extent)
};

enum class LoopKind : u8 { serial, parallel };
enum class Axis : u8 { rows, lanes };
/// Where a prefetch brings a line: to the first cache, no nearer than the second, or to the first to be written.
enum class Fetch : u8 { near, far, write };

struct Buffer {
  enum class Role : u8 { in, out, inout, temp, scratch };  // temp: shared between phases; scratch: a worker's own
  std::string name;
  DType dtype = DType::f32;
  Shape shape, strides;  // in elements
  Role role = Role::in;
  Dim offset = 0;  // of scratch: bytes from the worker's scratch
  bool is_argument() const { return role != Role::scratch; }
};

struct Node {
  Kind kind;
  ScalarOp op = ScalarOp::add;
  Tile tile = {};
  u32 first_arg = 0, arg_count = 0;
  u32 first_dim = 0, dim_count = 0;  // load, store ...: the index
  int buffer = -1;
  Dim row_limit = kNone, lane_limit = kNone;  // r < row_limit, l < lane_limit; kNone = none
  double number = 0;                          // constant; a load's value past its limits
  i64 whole = 0;                              // constant of an integer dtype
  bool any = false;                           // load: past the limits unspecified
  bool stream = false;                        // store: non-temporal
  LoopKind loop = LoopKind::serial;
  Axis axis = Axis::lanes;
  Dim variable = kNone, extent = kNone;  // loop, index
  int at = 0;                            // slice: which; loop: its yield; yield: its loop; result: which; check: guard;
                                         // prefetch: a Fetch
  static constexpr Dim kNone = Dim(i64{-1} << 60);
};

/// The coordinates of a tile; printed r and l, and equal to no size whatever its name.
Dim row();
Dim lane();

struct Kernel {
  std::string name;
  std::vector<Dim> sizes;  // symbols passed at run time, in order
  std::vector<Buffer> buffers;
  std::vector<Node> nodes;
  std::vector<Val> args;
  std::vector<Dim> dims;
  Dim scratch_bytes = 0;  // a worker's
  int buffer_arguments = 0;

  std::span<const Val> operands(const Node& n) const { return {args.data() + n.first_arg, n.arg_count}; }
  std::span<const Dim> index(const Node& n) const { return {dims.data() + n.first_dim, n.dim_count}; }
  /// The top-level parallel loops.
  std::vector<Val> phases() const;
};

/// Where an element lies: sum of index times stride.
Dim element_offset(const Buffer& b, std::span<const Dim> index);

class Builder {
 public:
  explicit Builder(Kernel& kernel) : kernel_(kernel) {}
  Kernel& kernel() { return kernel_; }
  const Node& node(Val v) const { return kernel_.nodes[static_cast<size_t>(v)]; }
  Tile tile(Val v) const { return node(v).tile; }

  // Declarations.
  /// A size passed at run time; asking twice for a symbol gives it once.
  Dim size(Dim symbol);
  int buffer(std::string name, DType dtype, Shape shape, Buffer::Role role, Shape strides = {});
  /// Scratch of this worker.
  int alloc(std::string name, DType dtype, Shape shape);

  // Values.
  Val constant(double v, DType dtype, int rows = 1, int lanes = 1);
  Val constant_int(i64 v, DType dtype, int rows = 1, int lanes = 1);
  /// v of the dtype of `like`.
  Val number(double v, Val like);
  Val dim(Dim d, DType dtype, int rows = 1, int lanes = 1);
  Val map(ScalarOp op, std::initializer_list<Val> operands);
  Val cast(Val v, DType dtype);
  Val bitcast(Val v, DType dtype);
  Val reduce(ScalarOp op, Axis axis, Val v);
  Val scan(ScalarOp op, Val v);
  Val slice(Axis axis, int at, Val v);
  Val transpose(Val v);

  // Memory.
  struct Limits {
    Dim rows = Node::kNone, lanes = Node::kNone;
    bool any = false;
    double otherwise = 0;
  };
  Val load(int buffer, std::span<const Dim> index, int rows, int lanes, const Limits& limits);
  Val load(int buffer, std::span<const Dim> index, int rows, int lanes) {
    return load(buffer, index, rows, lanes, Limits());
  }
  void store(int buffer, std::span<const Dim> index, Val v, const Limits& limits, bool stream = false);
  void store(int buffer, std::span<const Dim> index, Val v) { store(buffer, index, v, Limits()); }
  /// `axis` of the index is given by the integer tile `at`, clamped to the axis.
  Val gather(int buffer, std::span<const Dim> index, int axis, Val at, const Limits& limits);
  void scatter(ScalarOp mode, int buffer, std::span<const Dim> index, int axis, Val at, Val v, const Limits& limits);
  void prefetch(int buffer, std::span<const Dim> index, Fetch how = Fetch::near);
  void check(Val condition, int guard);
  /// A scalar integer tile as a symbol in [0, extent).
  Dim index(std::string_view stem, Val v, Dim extent);

  // Control: the body gets the loop's variable and its carries, and gives the next carries.
  using Body = std::function<std::vector<Val>(Dim variable, std::span<const Val> carries)>;
  std::vector<Val> loop(std::string_view stem, Dim extent, std::span<const Val> initial, const Body& body,
                        LoopKind kind = LoopKind::serial);
  void parallel(std::string_view stem, Dim extent, const std::function<void(Dim)>& body);
  void serial(std::string_view stem, Dim extent, const std::function<void(Dim)>& body);
  /// Where the bool scalar holds, what the body gives, else `otherwise`; the body runs only there. A loop of 0 or 1
  /// iterations, counted by data.
  std::vector<Val> branch(Val condition, std::span<const Val> otherwise, const std::function<std::vector<Val>()>& body);

  /// A node as it is, for rewrites; operands and index are taken from the spans.
  Val append(const Node& n, std::span<const Val> operands, std::span<const Dim> index) {
    return push(n, operands, index);
  }

  // Shorthand for expressions.
  Val add(Val a, Val b) { return map(ScalarOp::add, {a, b}); }
  Val sub(Val a, Val b) { return map(ScalarOp::sub, {a, b}); }
  Val mul(Val a, Val b) { return map(ScalarOp::mul, {a, b}); }
  Val div(Val a, Val b) { return map(ScalarOp::div, {a, b}); }
  Val fma(Val a, Val b, Val c) { return map(ScalarOp::fma, {a, b, c}); }
  Val neg(Val a) { return map(ScalarOp::neg, {a}); }
  Val abs(Val a) { return map(ScalarOp::abs, {a}); }
  Val max(Val a, Val b) { return map(ScalarOp::max, {a, b}); }
  Val min(Val a, Val b) { return map(ScalarOp::min, {a, b}); }
  Val less(Val a, Val b) { return map(ScalarOp::less, {a, b}); }
  Val equal(Val a, Val b) { return map(ScalarOp::equal, {a, b}); }
  Val select(Val p, Val a, Val b) { return map(ScalarOp::select, {p, a, b}); }

 private:
  Val push(Node n, std::span<const Val> operands = {}, std::span<const Dim> index = {});
  Kernel& kernel_;
};

/// Text that parses back.
std::string to_string(const Kernel& k);
/// Error with line and column for any text that is no kernel.
Kernel parse_kernel(std::string_view text);
/// User names gone, values, loops, sizes and buffers numbered: equal work has equal text.
std::string canonical_text(const Kernel& k);
struct KernelKey {
  u64 high = 0, low = 0;
  bool operator==(const KernelKey&) const = default;
};
KernelKey kernel_key(std::string_view canonical);
/// Every rule broken, as text; empty = the kernel is sound. (See loops_verify.cpp for the rules.)
std::vector<std::string> verify(const Kernel& k);

/// Tiles that do not fit the registers of an instruction set and will be spilled: what is slow, not wrong.
std::vector<std::string> register_warnings(const Kernel& k, int registers, int register_bits);
/// Why iterations of a loop may touch the same element of a buffer that one of them writes; empty = they may run in any
/// order, or at once.
std::vector<std::string> dependences(const Kernel& k, Val loop);

/// What a compiled or interpreted kernel is called as: iterations lo <= i < hi of phase `phase`. `error` stays 0 unless
/// a check fails.
using Entry = void (*)(i64 phase, void* const* buffers, const i64* sizes, i64 lo, i64 hi, void* scratch, i64* error);

}  // namespace tn::loops
