// Pending nodes: what Tensor handles point at. A node is an operation that has not run, a value, a literal or the leaf
// of a trace. Nodes point at their operands and are counted; nothing here recurses over them, so chains may have any
// length.
//
// Levels: every open transform has a number, greater than those opened before it, and its leaves carry it. A node's
// level is the greatest of its operands', so "depends on this trace" is a comparison. Level 0 is plain computation,
// level 1 what `backward` sees.
//
// Several results: the node itself has no type and no value; each result is a `get` node that receives its value when
// the node runs, so the node runs once, and a result that nobody holds is not computed or kept.
//
// Threads: any thread may read. `mark`, `id` and `uses` are scratch, valid only under the lock of evaluate.h; state
// goes from pending to claimed under that lock, and from claimed to its end under it too.
#pragma once
#include <sys/single_threaded.h>

#include <atomic>
#include <string>
#include <vector>

#include "base/array.h"
#include "ir/op_def.h"
#include "tenon/tensor.h"

namespace tn {

enum class State : u8 { pending, claimed, done, failed };

/// Node flags.
enum : u8 {
  kLiteral = 1,   // a number of the host
  kGet = 2,       // result number `result` of operand 0, which has several
  kLeaf = 4,      // stands for operand 0, or for nothing (kNoValue)
  kConstant = 8,  // never changes: may enter any trace
  kNoValue = 16,  // depends on a leaf that has no value
  kFixed = 32,    // a literal that is part of the program: a new one compiles anew
  kEffect = 64,   // the op, or a sub-graph of it, has an effect
};

struct Pending {
  std::atomic<u32> references{1};
  std::atomic<State> state{State::pending};
  u8 flags = 0;
  const OpDef* op = nullptr;
  Type type;
  Attrs attrs;
  Location where;
  u32 operand_count = 0;
  std::atomic<u32> depth{0};  // pending operations below, along the longest path
  u64 level = 0;
  u32 mark = 0, id = 0, uses = 0;
  u32 result = 0;  // of a get: which; of a node of several results (type is empty): how many
  union {
    Pending* few[2];
    Pending** many;
    double floating;  // of a literal
    i64 integer;
    const char* trace_name;  // of a leaf without value
  };
  union {
    Array* value = nullptr;
    std::string* error;  // of a failed node
  };
  union {
    Pending* gradient = nullptr;  // of a leaf of level 1
    Pending** gets;               // of a node of several results: its living gets, by result; under the lock
  };

  Pending() { few[0] = few[1] = nullptr; }
  Pending* const* operands() const { return operand_count > 2 ? many : few; }
  bool is(u8 flag) const { return flags & flag; }
  u32 result_count() const { return type ? 1 : result; }
};
static_assert(sizeof(Pending) <= 112);

/// Counted without locked instructions while the process has one thread.
inline void retain(Pending* p) {
  if (__libc_single_threaded)
    p->references.store(p->references.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  else
    p->references.fetch_add(1, std::memory_order_relaxed);
}
/// Takes a reference off; whether it was the last one. Who holds the only reference is alone with the node, but for
/// gets, which their source knows.
inline bool drop_reference(Pending* p) {
  u32 n = p->references.load(std::memory_order_acquire);
  if (n == 1 && !p->is(kGet)) return true;
  if (!__libc_single_threaded) return p->references.fetch_sub(1, std::memory_order_acq_rel) == 1;
  p->references.store(n - 1, std::memory_order_relaxed);
  return n == 1;
}
/// Gives a reference back; frees what nothing refers to any more, without recursion.
void release(Pending* p);
/// Nodes alive, for tests.
i64 live_nodes();

/// A node without operands of that type.
Pending* new_node(Type type, const Location& where);
/// A computed value.
Pending* new_value(Array value, const Location& where);
/// A literal that any trace may hold, converted to the dtype; Error when an integer dtype cannot hold it.
Pending* new_literal(const Arg& number, DType dtype, std::string_view op = "tensor");
/// An operation on operands, whose types were checked; its operands are retained. Chains longer than the greatest depth
/// are evaluated here.
Pending* new_operation(const OpDef& op, std::span<Pending* const> operands, Type type, Attrs attrs,
                       const Location& where);
/// The results of a node with several, each with one reference; once for a node.
std::vector<Pending*> new_gets(Pending* node, std::span<const Type> types);

/// Chains of this many operations are evaluated in pieces.
inline constexpr u32 kGreatestDepth = 1000;

/// The words that say op, result and attributes in a key; `flags` are those that count.
inline void add_words(std::vector<u64>& key, const Pending* p, u8 flags) {
  key.push_back(reinterpret_cast<u64>(p->op) ^ static_cast<u64>(p->flags & flags) << 56 ^ u64{p->result != 0} << 55);
  if (p->result) key.push_back(p->result);
  key.push_back(reinterpret_cast<u64>(p->attrs.data()));
}

/// The value when it is there.
inline Array* stored_value(const Pending* p) {
  return p->state.load(std::memory_order_acquire) == State::done ? p->value : nullptr;
}
/// The node a chain of leaves with values ends at.
Pending* resolve(Pending* p);
/// The number of a literal as an array.
Array literal_array(const Pending* p);

/// The dtype a number takes by itself: f32, i64 or bool.
DType default_dtype(Arg::Kind kind);
/// Throws unless the tensor has a node.
Pending* node_of(const Tensor& x, std::string_view op, const Location& where);
inline Tensor handle(Pending* p) { return Tensor::from_node(p); }
inline Tensor shared_handle(Pending* p) {
  retain(p);
  return Tensor::from_node(p);
}

}  // namespace tn
