// Tracing: a transform opens a trace, puts fresh leaves in the place of its arguments, runs the callable with ordinary
// operations, and cuts the slice from leaves to results into a graph. There is no other tracer: pending nodes are the
// only trace, so transforms nest without rules of their own.
#pragma once
#include <memory>
#include <vector>

#include "tenon/transform.h"
#include "tensor/pending.h"

namespace tn {

/// A cut slice. The graph's inputs are the leaves, then the captures.
struct Cut {
  GraphPtr graph;
  std::vector<Tensor> captures;  // values from outside, arrays and literals found inside
};

struct detail::Trace::State {
  State(const char* name, Rules rules, Location where);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const char* name;
  Rules rules;
  Location where;
  u64 level;
  State* outer;
  bool open = true;
  std::vector<Tensor*> slots;     // the defined tensors that were replaced
  std::vector<Tensor> inputs;     // the leaves in their place
  std::vector<Tensor> originals;  // what they were
  std::vector<Tensor> effects;    // nodes with an effect, in the order they were made
  std::vector<Tensor> evaluated;  // nodes read inside: they keep their operands as long as the trace is open
  std::vector<Tensor> mapped;     // vmap: the originals with the mapped axis first
  std::vector<bool> batched;      // vmap: which inputs are mapped
  Dim extent = 0;                 // vmap: of the mapped axis

  /// A leaf of a type; `value` may be empty.
  Tensor leaf(Type type, const Tensor& value);
  void add(Tensor* slot, Type type, const Tensor& value);
  /// Rebound slots: positions in `slots`.
  std::vector<size_t> rebound() const;
  /// New operations belong to the trace around it.
  void leave();
  /// Leaves, and hands what was evaluated inside to a trace that may still differentiate through it, or lets go of it.
  void close();
  /// Leaves, closes, and turns the slice from the inputs to `results` into a graph.
  Cut cut(std::span<const Tensor> results);
};
using TraceState = detail::Trace::State;

/// Whether this thread is inside a traced callable.
bool inside_trace();
/// While it stands this thread has no trace: functions of the host that a run calls are no part of what is traced.
class NoTrace {
 public:
  NoTrace();
  NoTrace(const NoTrace&) = delete;
  NoTrace& operator=(const NoTrace&) = delete;
  ~NoTrace();

 private:
  TraceState* hidden_;
};

/// The innermost trace of this thread, or null.
TraceState* current_trace();
/// Whether the trace of that level is open, or it is backward's.
bool open_level(u64 level);
/// Whether nodes of that level keep their operands when they are evaluated. A value that escaped from a closed trace
/// may depend on any open one that is older, and be differentiated there.
bool keeps_operands(u64 level);
/// Keeps an evaluated node with the newest open trace it may depend on.
void keep_evaluated(Pending* p);

/// Level of what `backward` sees.
inline constexpr u64 kBackwardLevel = 1;
/// The slice from leaves of level 1 to a value.
Cut cut_backward(std::span<const Tensor> leaves, const Tensor& result, const Location& where);

/// A node's op emitted on values: implicit broadcasting becomes explicit, calls are inlined.
Values emit_pending(Builder& b, const Pending* p, Values operands);

}  // namespace tn
