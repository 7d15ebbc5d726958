// Re-emission of a kernel: the base of all schedules. Nodes are copied in order, operands mapped, Dims substituted; a
// schedule overrides what it changes.
#pragma once
#include <string>
#include <vector>

#include "ir/loops.h"

namespace tn::loops {

class Rewriter {
 public:
  explicit Rewriter(const Kernel& k);
  virtual ~Rewriter() = default;
  Rewriter(const Rewriter&) = delete;
  Rewriter& operator=(const Rewriter&) = delete;

  Kernel run();

 protected:
  /// Emits the nodes first <= n < last of the input, whole loops at a time.
  void range(Val first, Val last);
  /// The loop with header n, its carries and results included.
  virtual void loop(Val n);
  /// Any other node.
  virtual void node(Val n);
  /// What an iteration of the loop with header n begins with.
  virtual void begin_body(Val /*n*/) {}

  /// The loop with another extent, its variable put for the old one by `variable`.
  void copy_loop(Val n, Dim extent, LoopKind kind);
  /// The input's node with operands mapped and Dims substituted.
  Node copied(Val n) const;
  std::vector<Val> operands(Val n) const;
  std::vector<Dim> index(Val n) const;
  Val emit(Val n) { return emit(n, copied(n)); }
  Val emit(Val n, const Node& changed);

  /// What a carried value starts with, and which tile it has.
  virtual Val initial(Val header, size_t j) { return value(in_.operands(input(header))[j]); }
  virtual Val yielded(Val header, size_t j) { return value(in_.operands(input(input(header).at))[j]); }

  const Node& input(Val v) const { return in_.nodes[static_cast<size_t>(v)]; }
  Val value(Val v) const { return values_[static_cast<size_t>(v)]; }
  void set(Val v, Val emitted) { values_[static_cast<size_t>(v)] = emitted; }
  Dim dim(Dim d) const { return d == Node::kNone ? d : substitute(d, replaced_); }
  /// From here on `to` stands for the symbol.
  void replace(Dim symbol, Dim to);
  /// The first body node and the yield of a loop.
  Val body(Val header) const { return header + 1 + static_cast<Val>(input(header).arg_count); }
  Val after(Val header) const { return input(header).at + 1 + static_cast<Val>(input(header).arg_count); }

  const Kernel& in_;
  Kernel out_;
  Builder b_;
  std::vector<std::pair<Dim, Dim>> replaced_;

 private:
  std::vector<Val> values_;
};

/// The kernel without pure nodes nobody uses, loops that do nothing and buffers nobody names (arguments stay).
Kernel without_dead_nodes(const Kernel& k);
/// The printed stem of a variable's name: "i" of i'7.
std::string stem_of(Dim variable);
/// The headers of the loops around node n, outermost first.
std::vector<Val> loops_around(const Kernel& k, Val n);
/// The only loop directly inside `outer`, whose other nodes are pure and need no store; -1 when there is none.
Val only_inner_loop(const Kernel& k, Val outer);
int find_buffer(const Kernel& k, std::string_view name, std::string_view rewrite);

}  // namespace tn::loops
