// Transforms of callables: derivatives in both modes, mapping, recomputation, rules of one's own. Each takes a callable
// on trees (see tree.h) and gives a callable; they nest in any order, also with jit and control flow.
//
// A transform calls f with fresh tensors in the place of the arguments' and turns what f records into a graph. Inside
// grad, jvp, vjp and linearize they have values, so f may read them and use `if`; inside vmap, checkpoint and custom
// rules they have none, and reading is an error. f may use tensors from outside (custom rules aside); they are constant
// to the transform. An argument (a non-const lvalue) that f rebinds is rebound after the call by grad, jvp, vjp,
// linearize and checkpoint; vmap refuses it.
#pragma once
#include "tenon/tree.h"

namespace [[gnu::visibility("default")]] tn {

class Graph;
using GraphPtr = std::shared_ptr<const Graph>;

struct VmapOptions {
  /// One entry an argument: the axis of all its tensors that is mapped, or none. Empty: axis 0 of every argument.
  std::vector<Axes> in_axes = {};
  /// Where the mapped axis stands in the results.
  i64 out_axes = 0;
};

namespace detail {

using LeafSpan = std::span<Tensor* const>;

/// One open transform: the leaves it made, and what it stands for in errors. Closes without a result when destroyed.
class Trace {
 public:
  struct Rules {
    bool reads = false;     // leaves stand for values
    bool captures = true;   // tensors from outside may be used
    bool rebinding = true;  // arguments may be rebound
  };
  Trace(const char* name, Rules rules, Location where);
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
  ~Trace();
  /// Replaces each defined tensor by a leaf of its type.
  void enter(LeafSpan leaves);
  /// The same, without the mapped axis of each (-1: none). Returns the axis's extent.
  Dim enter_mapped(LeafSpan leaves, std::span<const Axes> axes);
  /// The same with leaves of these types (for the tensors of `leaves`, whose values do not matter).
  void enter_types(LeafSpan leaves, std::span<const Type> types);
  /// Where the tensors that were entered stand after the call; Error when the structure changed.
  void refresh(LeafSpan leaves);
  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// A copy of the arguments of one call, on which the callable runs; the caller's tensors to rebind.
template <class... A>
class Call {
 public:
  explicit Call(A&... args) : copies_(args...) {
    Leaves found, mine;
    (walk(args, found), ...);
    walk(copies_, mine);
    originals_ = std::move(found.tensors);
    leaves_ = std::move(mine.tensors);
  }
  LeafSpan leaves() const { return leaves_; }
  LeafSpan originals() const { return originals_; }
  /// Calls f on the copies. Temporaries and const arguments are passed as const, so that only what can be rebound is.
  template <class F>
  auto run(Trace& trace, F& f) {
    auto call = [&](auto&... copy) { return f(as<A>(copy)...); };
    if constexpr (std::is_void_v<decltype(std::apply(call, copies_))>) {
      std::apply(call, copies_);
      refresh(trace);
    } else {
      auto result = std::apply(call, copies_);
      refresh(trace);
      return result;
    }
  }

 private:
  template <class To, class From>
  static std::conditional_t<std::is_const_v<To>, const From&, From&> as(From& x) {
    return x;
  }
  /// Containers that were rebound hold their tensors elsewhere now.
  void refresh(Trace& trace) {
    Leaves mine;
    walk(copies_, mine);
    leaves_ = std::move(mine.tensors);
    trace.refresh(leaves_);
  }

  std::tuple<std::remove_const_t<A>...> copies_;
  std::vector<Tensor*> leaves_, originals_;
};
/// An argument as Call takes it: a non-const lvalue may be rebound, all else is const.
template <class A>
using Given =
    std::conditional_t<std::is_lvalue_reference_v<A>, std::remove_reference_t<A>, const std::remove_reference_t<A>>;

template <class T>
struct IsPair : std::false_type {};
template <class A, class B>
struct IsPair<std::pair<A, B>> : std::true_type {};

/// A linear function that was left over: a graph and the values it needs.
struct LinearMap {
  GraphPtr graph;
  std::vector<Tensor> residuals;
  std::vector<Type> in, out;  // of the leaves that take part; empty Type: a leaf that does not
  std::vector<bool> live;     // by leaf of the result: not zero
  Location where;
  const char* name = "";
  void operator()(LeafSpan in_leaves, LeafSpan out_leaves) const;
};

// The halves of the transforms that know no types; defined in src/tensor.
void finish_grad(Trace&, LeafSpan results, LeafSpan gradients, LeafSpan originals);
void finish_jvp(Trace&, LeafSpan tangents, LeafSpan results, LeafSpan result_tangents, LeafSpan originals);
LinearMap finish_linear(Trace&, bool reverse, LeafSpan results, LeafSpan originals);
void finish_vmap(Trace&, LeafSpan results, i64 out_axis);
void finish_call(Trace&, bool recompute, LeafSpan results, LeafSpan originals);
void apply_custom_jvp(Trace& primal, LeafSpan results, Trace& tangent, LeafSpan tangent_results);
void enter_custom_jvp(Trace&, LeafSpan primals, LeafSpan tangents);
void apply_custom_vjp(Trace& forward, LeafSpan results, LeafSpan residuals, Trace& backward, LeafSpan cotangents);
void enter_custom_vjp(Trace& forward, Trace& backward, LeafSpan residuals, LeafSpan results);
/// The n unit vectors in the shape of x: [n, shape...].
Tensor basis(const Tensor& x, Location where);
/// Splits the axis of extent `size(of)` into of's shape; it is the first axis, or the last one.
Tensor unflatten(const Tensor& x, const Tensor& of, bool first, Location where);

}  // namespace detail

// ---------------------------------------------------------------- reverse mode

template <class F>
struct ValueAndGrad {
  F f;
  Location where;

  template <class A, class... Rest>
  auto operator()(A&& first, Rest&&... rest) const {
    detail::Call<detail::Given<A>, detail::Given<Rest>...> call(first, rest...);
    detail::Trace trace("grad", {.reads = true}, where);
    trace.enter(call.leaves());
    auto result = call.run(trace, f);
    std::decay_t<A> gradient = first;
    detail::finish_grad(trace, leaves(result), leaves(gradient), call.originals());
    return std::pair(std::move(result), std::move(gradient));
  }
};
/// (x, rest...) -> {f(x, rest...), the gradient with respect to x}, a tree like x in which tensors that are not
/// floating are undefined. f returns a floating scalar, or a pair of one and something else that is not differentiated.
template <class F>
ValueAndGrad<F> value_and_grad(F f, Location at = Location::current()) {
  return {std::move(f), at};
}

template <class F>
struct GradOf {
  F f;
  Location where;

  template <class... A>
  auto operator()(A&&... args) const {
    auto [value, gradient] = ValueAndGrad<F>{f, where}(std::forward<A>(args)...);
    if constexpr (detail::IsPair<decltype(value)>::value) {
      return std::pair(std::move(gradient), std::move(value.second));
    } else {
      return std::move(gradient);
    }
  }
};
/// The gradient alone, or a pair of it and what f returned beside the scalar.
template <class F>
GradOf<F> grad(F f, Location at = Location::current()) {
  return {std::move(f), at};
}

// ---------------------------------------------------------------- forward mode

template <class F>
struct JvpOf {
  F f;
  Location where;

  template <class... A>
  auto operator()(A&&... args) const {
    static_assert(sizeof...(A) % 2 == 0, "jvp(f) takes the arguments of f, then a tangent for each");
    return run(std::make_index_sequence<sizeof...(A) / 2>(), std::forward_as_tuple(args...));
  }

 private:
  template <size_t... I, class Tuple>
  auto run(std::index_sequence<I...>, Tuple args) const {
    detail::Call<std::remove_reference_t<std::tuple_element_t<I, Tuple>>...> call(std::get<I>(args)...);
    Leaves tangents;
    (walk(std::get<sizeof...(I) + I>(args), tangents), ...);
    detail::Trace trace("jvp", {.reads = true}, where);
    trace.enter(call.leaves());
    auto result = call.run(trace, f);
    auto tangent = result;
    detail::finish_jvp(trace, tangents.tensors, leaves(result), leaves(tangent), call.originals());
    return std::pair(std::move(result), std::move(tangent));
  }
};
/// (x..., t...) -> {f(x...), its derivative along t...}. An undefined tangent is zero.
template <class F>
JvpOf<F> jvp(F f, Location at = Location::current()) {
  return {std::move(f), at};
}

/// A linear function from trees like In to trees like Out; made by linearize and vjp, callable any number of times.
template <class In, class Out>
struct LinearFunction {
  detail::LinearMap map;
  Out prototype;

  Out operator()(const In& x) const {
    Out out = prototype;
    map(leaves(x), leaves(out));
    return out;
  }
};

namespace detail {
/// One argument stands for itself, several for a tuple.
template <class... A>
struct TreeOf {
  using type = std::tuple<A...>;
};
template <class A>
struct TreeOf<A> {
  using type = A;
};
template <bool reverse, class F, class... A>
auto linear_call(const F& f, const char* name, Location where, A&&... args) {
  using In = typename TreeOf<std::decay_t<A>...>::type;
  Call<Given<A>...> call(args...);
  Trace trace(name, {.reads = true}, where);
  trace.enter(call.leaves());
  auto result = call.run(trace, f);
  LinearMap map = finish_linear(trace, reverse, leaves(result), call.originals());
  if constexpr (reverse) {
    LinearFunction<decltype(result), In> back{std::move(map), In(args...)};
    return std::pair(std::move(result), std::move(back));
  } else {
    LinearFunction<In, decltype(result)> forward{std::move(map), result};
    return std::pair(std::move(result), std::move(forward));
  }
}
}  // namespace detail

template <class F>
struct VjpOf {
  F f;
  Location where;
  template <class... A>
  auto operator()(A&&... args) const {
    return detail::linear_call<true>(f, "vjp", where, std::forward<A>(args)...);
  }
};
/// (x...) -> {f(x...), the function from a cotangent of the result to those of x... (a tuple when there are several)}.
template <class F>
VjpOf<F> vjp(F f, Location at = Location::current()) {
  return {std::move(f), at};
}

template <class F>
struct LinearizeOf {
  F f;
  Location where;
  template <class... A>
  auto operator()(A&&... args) const {
    return detail::linear_call<false>(f, "linearize", where, std::forward<A>(args)...);
  }
};
/// (x...) -> {f(x...), the function from tangents of x... (a tuple when there are several) to that of the result}.
template <class F>
LinearizeOf<F> linearize(F f, Location at = Location::current()) {
  return {std::move(f), at};
}

// ---------------------------------------------------------------- mapping

template <class F>
struct VmapOf {
  F f;
  VmapOptions options;
  Location where;

  template <class... A>
  auto operator()(A&&... args) const {
    detail::Call<const std::remove_reference_t<A>...> call(args...);
    std::vector<Axes> axes;
    size_t k = 0;
    (add_axes(args, k++, axes), ...);
    if (!options.in_axes.empty() && options.in_axes.size() != k)
      fail("vmap", "expected an entry of in_axes for each of " + std::to_string(k) + " arguments", where);
    detail::Trace trace("vmap", {.rebinding = false}, where);
    trace.enter_mapped(call.leaves(), axes);
    auto result = call.run(trace, f);
    detail::finish_vmap(trace, leaves(result), options.out_axes);
    return result;
  }

 private:
  template <class A>
  void add_axes(const A& arg, size_t k, std::vector<Axes>& axes) const {
    Axes axis = k < options.in_axes.size() ? options.in_axes[k] : Axes(0);
    axes.insert(axes.end(), leaves(arg).size(), axis);
  }
};
/// f over an axis of the arguments' tensors, as if called for each entry and the results stacked.
template <class F>
VmapOf<F> vmap(F f, VmapOptions options = {}, Location at = Location::current()) {
  return {std::move(f), std::move(options), at};
}

// ---------------------------------------------------------------- jacobians

template <class F>
struct JacobianForward {
  F f;
  Location where;

  template <class... Rest>
  auto operator()(const Tensor& x, const Rest&... rest) const {
    auto partial = [&](const Tensor& y) { return f(y, rest...); };
    auto along = [&](const Tensor& d) { return jvp(partial, where)(x, d).second; };
    auto columns = vmap(along, {.out_axes = -1}, where)(detail::basis(x, where));
    for (Tensor* t : leaves(columns))
      if (t->defined()) *t = detail::unflatten(*t, x, false, where);
    return columns;
  }
};
/// The derivative of every result by every element of the first argument, [result shape..., x shape...], column by
/// column: for few inputs.
template <class F>
JacobianForward<F> jacobian_forward(F f, Location at = Location::current()) {
  return {std::move(f), at};
}

template <class F>
struct JacobianReverse {
  F f;
  Location where;

  template <class... Rest>
  Tensor operator()(const Tensor& x, const Rest&... rest) const {
    auto partial = [&](const Tensor& y) { return f(y, rest...); };
    auto [value, pull] = vjp(partial, where)(x);
    auto row = [&back = pull](const Tensor& c) { return back(c); };
    return detail::unflatten(vmap(row, {}, where)(detail::basis(value, where)), value, true, where);
  }
};
/// The same row by row, for few results; f returns one tensor.
template <class F>
JacobianReverse<F> jacobian_reverse(F f, Location at = Location::current()) {
  return {std::move(f), at};
}
template <class F>
JacobianReverse<F> jacobian(F f, Location at = Location::current()) {
  return {std::move(f), at};
}
/// Second derivatives of a scalar function: [x shape..., x shape...].
template <class F>
JacobianForward<GradOf<F>> hessian(F f, Location at = Location::current()) {
  return {{std::move(f), at}, at};
}

// ---------------------------------------------------------------- recomputation, calls, rules of one's own

template <class F>
struct Checkpoint {
  F f;
  bool recompute;
  Location where;

  template <class... A>
  auto operator()(A&&... args) const {
    detail::Call<detail::Given<A>...> call(args...);
    detail::Trace trace(recompute ? "checkpoint" : "call", {}, where);
    trace.enter(call.leaves());
    auto result = call.run(trace, f);
    detail::finish_call(trace, recompute, leaves(result), call.originals());
    return result;
  }
};
/// f, whose intermediate values are not kept for the backward pass but computed again there.
template <class F>
Checkpoint<F> checkpoint(F f, Location at = Location::current()) {
  return {std::move(f), true, at};
}

template <class Primal, class Tangent>
struct CustomJvp {
  Primal primal;
  Tangent tangent;
  Location where;

  template <class... A>
  auto operator()(const A&... args) const {
    detail::Call<const A...> call(args...);
    detail::Trace trace("custom_jvp", {.captures = false, .rebinding = false}, where);
    trace.enter(call.leaves());
    auto result = call.run(trace, primal);
    detail::Call<const A..., const A...> both(args..., args...);
    detail::Trace rule("custom_jvp", {.captures = false, .rebinding = false}, where);
    size_t half = both.leaves().size() / 2;
    detail::enter_custom_jvp(rule, both.leaves().first(half), both.leaves().subspan(half));
    auto derivative = both.run(rule, tangent);
    detail::apply_custom_jvp(trace, leaves(result), rule, leaves(derivative));
    return result;
  }
};
/// primal(x...) with the derivative tangent(x..., t...), which is linear in t... and returns a tree like the result.
template <class Primal, class Tangent>
CustomJvp<Primal, Tangent> custom_jvp(Primal primal, Tangent tangent, Location at = Location::current()) {
  return {std::move(primal), std::move(tangent), at};
}

template <class Forward, class Backward>
struct CustomVjp {
  Forward forward;
  Backward backward;
  Location where;

  template <class... A>
  auto operator()(const A&... args) const {
    detail::Call<const A...> call(args...);
    detail::Trace trace("custom_vjp", {.captures = false, .rebinding = false}, where);
    trace.enter(call.leaves());
    auto [result, residuals] = call.run(trace, forward);
    detail::Trace rule("custom_vjp", {.captures = false, .rebinding = false}, where);
    auto kept = residuals;
    auto cotangent = result;
    detail::enter_custom_vjp(trace, rule, leaves(kept), leaves(cotangent));
    auto cotangents = backward(std::as_const(kept), std::as_const(cotangent));
    detail::apply_custom_vjp(trace, leaves(result), leaves(residuals), rule, leaves(cotangents));
    return std::move(result);
  }
};
/// forward(x...) -> {result, residuals}; backward(residuals, cotangent) -> the cotangent of x (a tuple when there are
/// several). Forward mode over it is an error; use custom_jvp for that.
template <class Forward, class Backward>
CustomVjp<Forward, Backward> custom_vjp(Forward forward, Backward backward, Location at = Location::current()) {
  return {std::move(forward), std::move(backward), at};
}

}  // namespace tn
