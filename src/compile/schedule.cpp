// split, interchange, parallel, unroll: schedules of loops alone.
#include "compile/schedule.h"

#include "compile/rewriter.h"
#include "tenon/error.h"

namespace tn::loops {

namespace {

/// Throws unless iterations of the loop may run in any order.
void need_independent(const Kernel& k, Val loop, std::string_view rewrite) {
  auto found = dependences(k, loop);
  if (!found.empty()) fail(rewrite, "expected independent iterations, got a dependence: " + found[0]);
}

class Split : public Rewriter {
 public:
  Split(const Kernel& k, Val target, int n) : Rewriter(k), target_(target), n_(n) {}

 private:
  void loop(Val n) override {
    if (n != target_) return Rewriter::loop(n);
    const Node& head = input(n);
    std::string stem = stem_of(head.variable);
    Dim extent = dim(head.extent);
    std::vector<Val> start;
    for (size_t j = 0; j < head.arg_count; ++j) start.push_back(initial(n, j));
    auto results = b_.loop(
        stem + "o", ceildiv(extent, n_), start,
        [&](Dim outer, std::span<const Val> carried) {
          Dim inner_extent = provably_divisible(extent, n_) ? Dim(n_) : min(Dim(n_), extent - outer * Dim(n_));
          return b_.loop(stem, inner_extent, carried, [&](Dim inner, std::span<const Val> carries) {
            replace(head.variable, outer * Dim(n_) + inner);
            for (size_t j = 0; j < carries.size(); ++j) set(n + 1 + static_cast<Val>(j), carries[j]);
            range(body(n), head.at);
            std::vector<Val> next;
            for (size_t j = 0; j < carries.size(); ++j) next.push_back(yielded(n, j));
            return next;
          });
        },
        head.loop);
    for (size_t j = 0; j < results.size(); ++j) set(head.at + 1 + static_cast<Val>(j), results[j]);
  }

  Val target_;
  int n_;
};

/// Emits `outer` and the only loop inside it in the other order.
class Interchange : public Rewriter {
 public:
  Interchange(const Kernel& k, Val outer, Val inner) : Rewriter(k), outer_(outer), inner_(inner) {}

 private:
  void loop(Val n) override {
    if (n != outer_) return Rewriter::loop(n);
    const Node &o = input(outer_), &i = input(inner_);
    auto inside = [&](Dim i_variable) {
      replace(i.variable, i_variable);
      b_.serial(stem_of(o.variable), dim(o.extent), [&](Dim o_variable) {
        replace(o.variable, o_variable);
        range(body(outer_), inner_);  // constants
        range(body(inner_), i.at);
        range(after(inner_), o.at);
      });
    };
    b_.loop(
        stem_of(i.variable), dim(i.extent), {},
        [&](Dim v, std::span<const Val>) {
          inside(v);
          return std::vector<Val>{};
        },
        o.loop);
  }

  Val outer_, inner_;
};

class Parallel : public Rewriter {
 public:
  Parallel(const Kernel& k, Val outer, Val inner) : Rewriter(k), outer_(outer), inner_(inner) {}

 private:
  void loop(Val n) override {
    if (n == inner_) return copy_loop(n, dim(input(n).extent), LoopKind::parallel);
    if (n != outer_) return Rewriter::loop(n);
    replace(input(n).variable, 0);
    range(body(n), input(n).at);
  }

  Val outer_, inner_;
};

class Unroll : public Rewriter {
 public:
  Unroll(const Kernel& k, Val target) : Rewriter(k), target_(target) {}

 private:
  void loop(Val n) override {
    if (n != target_) return Rewriter::loop(n);
    const Node& head = input(n);
    std::vector<Val> carried;
    for (size_t j = 0; j < head.arg_count; ++j) carried.push_back(initial(n, j));
    for (i64 i = 0; i < head.extent.value(); ++i) {
      replace(head.variable, i);
      for (size_t j = 0; j < carried.size(); ++j) set(n + 1 + static_cast<Val>(j), carried[j]);
      range(body(n), head.at);
      for (size_t j = 0; j < carried.size(); ++j) carried[j] = yielded(n, j);
    }
    for (size_t j = 0; j < carried.size(); ++j) set(head.at + 1 + static_cast<Val>(j), carried[j]);
  }

  Val target_;
};

}  // namespace

Kernel split(const Kernel& k, std::string_view loop, int n) {
  if (n < 1) fail("split", "expected a factor of at least 1, got " + std::to_string(n));
  return Split(k, find_loop(k, loop), n).run();
}

Kernel interchange(const Kernel& k, std::string_view outer_name) {
  Val outer = find_loop(k, outer_name), inner = only_inner_loop(k, outer);
  if (inner < 0)
    fail("interchange", "expected loop '" + std::string(outer_name) + "' to hold one loop and constants, got more");
  const Node &o = k.nodes[static_cast<size_t>(outer)], &i = k.nodes[static_cast<size_t>(inner)];
  if (o.arg_count || i.arg_count) fail("interchange", "expected loops that carry nothing, got a carried value");
  for (Dim s : symbols_of(i.extent))
    if (s == o.variable) fail("interchange", "expected an inner extent free of the outer variable, got one with it");
  need_independent(k, outer, "interchange");
  need_independent(k, inner, "interchange");
  return Interchange(k, outer, inner).run();
}

Kernel parallel(const Kernel& k, std::string_view loop) {
  Val inner = find_loop(k, loop);
  auto around = loops_around(k, inner);
  const Node& i = k.nodes[static_cast<size_t>(inner)];
  bool fits = around.size() == 1 && only_inner_loop(k, around[0]) == inner &&
              k.nodes[static_cast<size_t>(around[0])].extent == Dim(1);
  if (!fits)
    fail("parallel",
         "expected '" + std::string(loop) + "' to be the only loop in a parallel loop of 1, got another nest");
  if (i.arg_count) fail("parallel", "expected a loop that carries nothing, got a carried value");
  need_independent(k, inner, "parallel");
  return Parallel(k, around[0], inner).run();
}

Kernel unroll(const Kernel& k, std::string_view loop) {
  constexpr i64 kMost = 64;
  Val n = find_loop(k, loop);
  const Node& head = k.nodes[static_cast<size_t>(n)];
  if (!head.extent.is_constant() || head.extent.value() > kMost)
    fail("unroll",
         "expected a constant extent of at most " + std::to_string(kMost) + ", got " + to_string(head.extent));
  if (head.loop == LoopKind::parallel) fail("unroll", "expected a serial loop, got a parallel one");
  return Unroll(k, n).run();
}

}  // namespace tn::loops
