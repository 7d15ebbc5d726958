// Kernel to LLVM IR. A tile becomes rows x pieces of hardware vectors; every loop, limit and address is emitted in the
// form the code generator wants, so no optimiser runs between this and instruction selection.
//
// Dims are the addresses. Each Dim, pointer and mask is emitted once, in the outermost scope where its symbols live:
// a scope is the function, a loop's body, or what follows an `index`; its anchor is the instruction before which the
// enclosing scope's values can still be made. Loops come rotated (test, body, test), so an anchor is the branch that
// enters the loop.
//
// Row limits of stores are branches, lane limits masks. A lone element past its limits is read from a slot on the stack
// and written to it, so scalar code has no branches and never touches memory it does not own.
#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <map>
#include <unordered_map>

#include "ir/dim_node.h"
#include "ir/loops.h"

namespace tn::cpu {

using llvm::Value;
using loops::Node;
using loops::Tile;
using loops::Val;
using Pieces = std::vector<Value*>;

/// Lanes of one piece: 16 for 512-bit vectors, 8 for 256-bit ones, whatever the dtype; wider elements are split by the
/// code generator. So all operands of a map are cut alike.
constexpr int lanes_of(int vector_bits) { return vector_bits / 32; }

// ---------------------------------------------------------------- scalars (emit_scalar.cpp)

/// LLVM's type of an element in a register; f16 and bf16 are held as 16-bit integers, bool as i1.
llvm::Type* element_type(llvm::LLVMContext& context, DType d);
/// ... in memory: bool is a byte.
llvm::Type* memory_type(llvm::LLVMContext& context, DType d);
/// One op of the scalar table on vectors or numbers of equal length.
Value* emit_op(llvm::IRBuilder<>& b, loops::ScalarOp op, DType from, DType to, std::span<Value* const> operands);
/// `number` (floats) or `whole` (others) as a constant of the dtype.
llvm::Constant* element_constant(llvm::LLVMContext& context, DType d, double number, i64 whole);

// ---------------------------------------------------------------- lanes (emit_lanes.cpp)

/// A tile's pieces and how it is cut.
struct Cut {
  int rows = 1, lanes = 1, width = 1;  // width: the most lanes of a piece
  explicit Cut(const Tile& t, int most) : rows(t.rows), lanes(t.lanes), width(std::min(t.lanes, most)) {}
  int pieces() const { return (lanes + width - 1) / width; }
  int length(int piece) const { return std::min(width, lanes - piece * width); }
  size_t at(int row, int piece) const { return static_cast<size_t>(row * pieces() + piece); }
};

Pieces emit_reduce(llvm::IRBuilder<>& b, loops::ScalarOp op, loops::Axis axis, const Tile& tile, int most,
                   const Pieces& in);
Pieces emit_scan(llvm::IRBuilder<>& b, loops::ScalarOp op, const Tile& tile, int most, const Pieces& in);
Pieces emit_slice(llvm::IRBuilder<>& b, loops::Axis axis, int at, const Tile& tile, int most, const Pieces& in);
Pieces emit_transpose(llvm::IRBuilder<>& b, const Tile& tile, int most, const Pieces& in);

// ---------------------------------------------------------------- dims (emit_dims.cpp)

/// Dims, pointers and masks, each made once in the scope of its newest symbol.
class Scopes {
 public:
  Scopes(llvm::IRBuilder<>& builder) : b_(builder), scopes_(1) {}

  /// Enters a scope whose enclosing values go before `anchor`.
  void enter(llvm::Instruction* anchor) { scopes_.push_back({anchor, {}, {}, {}}); }
  void leave();
  int depth() const { return static_cast<int>(scopes_.size()) - 1; }
  /// A symbol of the current scope with its inclusive bounds.
  void define(Dim symbol, Value* v, std::optional<Dim> high);
  /// Whether the current scope is that of `symbol`.
  bool defines(Dim symbol) const;
  void define_size(Dim symbol, std::function<Value*()> load);

  Value* dim(Dim d);
  /// base[offset], in elements of `type`.
  Value* pointer(Value* base, llvm::Type* type, i64 size, Dim offset);
  /// Lanes first .. first + n - 1 that are below `limit`; null where all surely are.
  Value* lanes_below(Dim limit, int first, int n);
  /// Whether element `at` is below `limit`, as i1; null where it surely is.
  Value* below(Dim limit, int at);
  /// What `make` makes, once, in the innermost scope of these Dims; `what` tells users apart.
  Value* once(std::initializer_list<Dim> of, u64 what, const std::function<Value*()>& make);
  bool nonnegative(Dim d) const { return provably_nonnegative(d, bounds_); }
  int depth_of(Dim d);

 private:
  struct Key {
    const void* base;
    u64 dim, what;
    auto operator<=>(const Key&) const = default;
  };
  struct Scope {
    llvm::Instruction* anchor = nullptr;
    std::unordered_map<u64, Value*> dims;
    std::map<Key, Value*> made;
    std::vector<const DimNode*> symbols;
  };
  struct Symbol {
    Value* value;
    int depth;
    std::function<Value*()> load;
  };

  Value* at_depth(int depth, const std::function<Value*()>& make);
  Value* polynomial(Dim d, int depth);
  Value* atom(const DimNode* n);
  Value* quotient(Dim a, Dim b);
  /// The part of d that lives further out than `depth`.
  Dim outer_part(Dim d, int depth);

  llvm::IRBuilder<>& b_;
  std::vector<Scope> scopes_;
  std::unordered_map<const DimNode*, Symbol> symbols_;
  std::unordered_map<u64, int> depths_;
  std::vector<Bound> bounds_;
};

// ---------------------------------------------------------------- kernels (emit.cpp, emit_memory.cpp)

class Emitter {
 public:
  Emitter(const loops::Kernel& kernel, int vector_bits, llvm::Module& module);
  /// One function `phase_N` for each phase. Throws Error for what a kernel must not hold.
  void run();

 private:
  struct Loop {
    Val begin = -1;
    llvm::BasicBlock *before = nullptr, *body = nullptr, *exit = nullptr;
    llvm::PHINode* variable = nullptr;
    std::vector<std::vector<llvm::PHINode*>> carried;
    std::vector<Pieces> initial;
    Value* extent = nullptr;
    llvm::Instruction* anchor = nullptr;
    bool entered = false, once = false;  // surely runs; its block of code runs at most once
    int copies = 1;                      // of the body in that block
  };

  // emit.cpp
  void phase(int number, Val begin);
  void node(Val v);
  int copies_of_body(Val v) const;
  void begin_loop(Val v);
  std::vector<Pieces> yielded(const Loop& loop, Val v);
  std::vector<Pieces> repeat_body(const Loop& loop, Val v);
  void end_loop(Val v);
  void emit_map(Val v);
  void emit_dim(Val v);
  void emit_index(Val v);
  void emit_check(Val v);
  const Node& at(Val v) const { return kernel_.nodes[static_cast<size_t>(v)]; }
  Cut cut(Val v) const { return Cut(at(v).tile, most_); }
  Pieces& pieces(Val v) { return values_[static_cast<size_t>(v)]; }
  /// The part of `v` a broadcasting operand needs: `length` lanes of piece `piece` of row `row`.
  Value* operand(Val v, int row, int piece, int length);
  Value* splat(Value* v, int length);
  llvm::Type* piece_type(DType d, int length);

  // emit_memory.cpp
  struct Access {
    const Node* node;
    const loops::Buffer* buffer;
    Cut cut;
    Dim base, row_stride, lane_stride;  // elements
    Value* pointer;                     // of the buffer
    llvm::Type* type;                   // of an element in memory
    i64 size;
  };
  /// One store, made ready ahead of the branch that decides whether it happens.
  struct Planned {
    Value *pointer, *value, *mask;
    i64 align;
    bool stream;
  };
  Access access(const Node& n, Dim offset);
  void plan_parts(const Access& a, const Planned& whole, Value* pointer, int length, std::vector<Planned>& plan);
  void emit_load(Val v);
  void emit_store(Val v);
  void emit_prefetch(Val v);
  void emit_gather(Val v);
  void emit_scatter(Val v);
  Value* element_pointer(const Access& a, int row, int lane);
  Value* load_piece(const Access& a, int row, int piece);
  Value* load_run(const Access& a, Value* pointer, int length, Value* mask);
  Value* load_every_second(const Access& a, int row, int piece);
  Value* load_lanes(const Access& a, int row, int piece, Value* ok);
  Value* load_element(const Access& a, Value* pointer, Value* ok);
  void plan_row(const Access& a, Val v, int row, std::vector<Planned>& plan);
  void commit(const Planned& p);
  Value* lane_mask(const Access& a, int piece);
  /// Whether a row or lane is inside the limits; null where it surely is.
  Value* row_inside(const Access& a, int row);
  Value* lane_inside(const Access& a, int lane);
  Value* fill(const Access& a, int length);
  Value* from_memory(Value* v, DType d);
  Value* to_memory(Value* v, DType d);
  Value* buffer_pointer(int buffer);
  /// Room on the stack that elements past their limits are read from and written to.
  Value* slot();
  Value* both(Value* a, Value* b);
  Value* first_lanes(int n, int whole);
  Value* resized(Value* v, int n);
  /// Element offsets along the gathered axis, as i64: index times stride.
  Value* axis_offsets(const Access& a, Value* index, DType d, bool clamp);

  const loops::Kernel& kernel_;
  int most_, vector_bits_;
  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::IRBuilder<> b_;
  llvm::Function* function_ = nullptr;
  Value *buffers_ = nullptr, *sizes_ = nullptr, *low_ = nullptr, *high_ = nullptr, *scratch_ = nullptr,
        *error_ = nullptr;
  std::vector<Value*> buffer_pointers_;
  Value* slot_ = nullptr;
  std::optional<Scopes> scopes_;
  std::vector<Pieces> values_;
  std::vector<Loop> loops_;
  bool streams_ = false;
};

}  // namespace tn::cpu
