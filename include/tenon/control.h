// Control flow that is part of the program: branches and loops on values, for use where a value cannot be read (inside
// jit, vmap, checkpoint and other control flow). Callables may use tensors from outside; they may not rebind them, for
// what a loop changes belongs in its carry. All differentiate in both modes and map over lanes; a mapped branch that is
// not taken neither runs errors nor poisons gradients with NaN.
#pragma once
#include "tenon/transform.h"

namespace [[gnu::visibility("default")]] tn {

namespace detail {
/// A callable traced into a body, and the tensors from outside that it uses.
struct Body {
  GraphPtr graph;
  std::vector<Tensor> captures;
};
Body close_body(Trace&, LeafSpan results);
void apply_cond(Arg predicate, Body then, Body otherwise, LeafSpan arguments, LeafSpan then_results,
                LeafSpan else_results);
/// Enters slices of the leading axis of `xs`; the loop's length.
Dim enter_scan(Trace&, LeafSpan carry, LeafSpan xs);
void apply_scan(Body body, LeafSpan init, LeafSpan xs, LeafSpan carry, LeafSpan ys, Dim length, bool reverse,
                Location where);
void apply_while(Body condition, Body body, LeafSpan init, LeafSpan results, i64 bound, Location where);
Tensor counter(i64 lower, i64 upper, Location where);
}  // namespace detail

/// then(args...) where the predicate (a 0-d bool) holds, else otherwise(args...). Both return trees of one structure
/// and the same types. Only the one taken runs.
template <class Then, class Else, class... A>
auto cond(Arg predicate, Then then, Else otherwise, const A&... args) {
  auto branch = [&](auto& f, detail::Body& body) {
    detail::Call<const A...> call(args...);
    detail::Trace trace("cond", {.rebinding = false}, predicate.where);
    trace.enter(call.leaves());
    auto result = call.run(trace, f);
    body = detail::close_body(trace, leaves(result));
    return result;
  };
  detail::Body a, b;
  auto result = branch(then, a);
  auto other = branch(otherwise, b);
  static_assert(std::same_as<decltype(result), decltype(other)>, "both branches of cond return the same C++ type");
  Leaves given;
  (walk(args, given), ...);
  detail::apply_cond(predicate, std::move(a), std::move(b), given.tensors, leaves(result), leaves(other));
  return result;
}

struct ScanOptions {
  bool reverse = false;  ///< from the last entry to the first; results stand at the entry they came from
};
/// Folds body(carry, x) -> {carry, y} over the leading axis of every tensor of xs: {last carry, all y stacked}.
template <class Body, class Carry, class Xs>
auto scan(Body body, const Carry& init, const Xs& xs, ScanOptions options = {}, Location at = Location::current()) {
  detail::Trace trace("scan", {.rebinding = false}, at);
  Carry carry = init;
  Xs x = xs;
  Dim length = detail::enter_scan(trace, leaves(carry), leaves(x));
  auto result = body(std::as_const(carry), std::as_const(x));
  static_assert(detail::IsPair<decltype(result)>::value, "the body of scan returns a pair of carry and output");
  static_assert(std::same_as<decltype(result.first), Carry>, "the body of scan returns a carry of its argument's type");
  detail::Body traced = detail::close_body(trace, leaves(result));
  detail::apply_scan(std::move(traced), leaves(init), leaves(xs), leaves(result.first), leaves(result.second), length,
                     options.reverse, at);
  return result;
}

/// body(carry) -> carry as long as condition(carry), a 0-d bool, holds. With `bound`, the most steps there may be, it
/// differentiates in reverse too; a step past the bound is an error.
template <class Condition, class Body, class Carry>
Carry while_loop(Condition condition, Body body, const Carry& init, i64 bound = -1, Location at = Location::current()) {
  auto traced = [&](auto& f) {
    detail::Trace trace("while", {.rebinding = false}, at);
    detail::Call<const Carry> call(init);
    trace.enter(call.leaves());
    auto result = call.run(trace, f);
    return detail::close_body(trace, leaves(result));
  };
  detail::Body test = traced(condition), step = traced(body);
  Carry result = init;
  detail::apply_while(std::move(test), std::move(step), leaves(init), leaves(result), bound, at);
  return result;
}

/// body(i, carry) -> carry for i from lower to upper - 1, an i64 scalar.
template <class Body, class Carry>
Carry fori_loop(i64 lower, i64 upper, Body body, const Carry& init, Location at = Location::current()) {
  auto step = [&](const Carry& carry, const Tensor& i) { return std::pair(Carry(body(i, carry)), std::tuple<>()); };
  return scan(step, init, detail::counter(lower, upper, at), {}, at).first;
}
/// The same with bounds that are data, by while_loop: reverse mode needs `bound`.
template <class Body, class Carry>
Carry fori_loop(const Tensor& lower, const Tensor& upper, Body body, const Carry& init, i64 bound = -1,
                Location at = Location::current()) {
  using Both = std::pair<Tensor, Carry>;
  return while_loop([&](const Both& s) { return s.first < upper; },
                    [&](const Both& s) { return Both(s.first + 1, body(s.first, s.second)); }, Both(lower, init), bound,
                    at)
      .second;
}

/// f(args...) as a sub-program of its own.
template <class F, class... A>
auto call(F f, A&&... args) {
  return Checkpoint<F>{std::move(f), false, Location::current()}(std::forward<A>(args)...);
}

}  // namespace tn
