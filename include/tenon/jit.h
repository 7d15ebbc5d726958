// jit: a callable traced once for each structure of its arguments, optimised as a whole and kept.
//
// Everything that changes between calls is an argument: a jitted callable may not use tensors from outside (an error;
// `constant(x)` marks one that never changes) nor a lambda's captures, which cannot be seen (a compile-time error). A
// struct with operator() may stand in its place: its members are walked like arguments. Arguments that the callable
// rebinds are outputs too: the caller's variables are rebound after the call, and the storage of the old value is used
// for the new one when nobody else holds it. Reading a tensor inside is an error.
#pragma once
#include "tenon/transform.h"

namespace [[gnu::visibility("default")]] tn {

namespace detail {

struct JitEntry {
  GraphPtr graph;
  std::vector<Tensor> constants;          // further inputs: arrays and literals found while tracing
  std::vector<u32> inputs;                // leaves that are defined
  std::vector<u32> state;                 // leaves that are rebound
  std::vector<bool> state_defined;        // to a tensor
  std::vector<bool> results;              // leaves of the result that are defined
  std::vector<double> numbers;            // floating members of the arguments, fixed in this trace
  std::shared_ptr<const void> prototype;  // the result without tensors
  Location where;
};

/// The traces of one jitted callable, safe for many threads.
class JitCache {
 public:
  JitCache();
  ~JitCache();
  std::shared_ptr<const JitEntry> find(const Leaves& arguments) const;
  std::shared_ptr<JitEntry> close(Trace&, LeafSpan results);
  void keep(const Leaves& arguments, std::shared_ptr<JitEntry> entry);
  /// Adds types of the tensors to the key.
  static void seal(Leaves& arguments, const void* types);
  static void run(const JitEntry& entry, LeafSpan arguments, LeafSpan results);
  u64 traces() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

template <class... A>
inline constexpr char kTypesTag = 0;

}  // namespace detail

template <class F>
class Jit {
 public:
  static_assert(detail::kWalkable<F>,
                "jit cannot see what a lambda captures: use a lambda without captures and pass what it needs as "
                "arguments, or a struct with operator() and public members");

  Jit(F f, Location at) : f_(std::move(f)), where_(at), cache_(std::make_shared<detail::JitCache>()) {}

  template <class... A>
  auto operator()(A&&... args) {
    using R = decltype(std::declval<F&>()(std::declval<detail::Given<A>&>()...));
    Leaves given{.keyed = true};
    walk(f_, given);
    (walk(args, given), ...);
    detail::JitCache::seal(given, &detail::kTypesTag<R, detail::Given<A>...>);
    std::shared_ptr<const detail::JitEntry> entry = cache_->find(given);
    if (!entry) entry = trace<R, detail::Given<A>...>(given, args...);
    if constexpr (!std::is_void_v<R>) {
      R result = *static_cast<const R*>(entry->prototype.get());
      detail::JitCache::run(*entry, given.tensors, leaves(result));
      return result;
    } else {
      detail::JitCache::run(*entry, given.tensors, {});
    }
  }
  template <class... A>
  auto operator()(A&&... args) const {
    return Jit(*this)(std::forward<A>(args)...);
  }
  /// How often the callable was traced.
  u64 traces() const { return cache_->traces(); }
  auto fields() { return std::tie(f_); }
  auto fields() const { return std::tie(f_); }

 private:
  static constexpr auto invoke = [](auto& f, auto&... x) { return f(x...); };

  template <class R, class... A>
  std::shared_ptr<detail::JitEntry> trace(const Leaves& given, A&... args) {
    detail::Call<F, A...> call(f_, args...);
    detail::Trace trace("jit", {.captures = false}, where_);
    trace.enter(call.leaves());
    std::shared_ptr<detail::JitEntry> entry;
    if constexpr (std::is_void_v<R>) {
      call.run(trace, invoke);
      entry = cache_->close(trace, {});
    } else {
      auto result = std::make_shared<R>(call.run(trace, invoke));
      auto tensors = leaves(*result);
      entry = cache_->close(trace, tensors);
      for (Tensor* t : tensors) *t = Tensor();
      entry->prototype = std::move(result);
    }
    cache_->keep(given, entry);
    return entry;
  }

  F f_;
  Location where_;
  std::shared_ptr<detail::JitCache> cache_;
};

/// f compiled as a whole; copies share their traces.
template <class F>
Jit<F> jit(F f, Location at = Location::current()) {
  return Jit<F>(std::move(f), at);
}

}  // namespace tn
