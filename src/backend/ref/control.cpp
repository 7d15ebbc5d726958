// A predicate of rank k > 0 has a truth value by lane: every operand and result leads with its axes, the branches are
// graphs of one lane, and each lane runs its own. A while with attribute `lanes` likewise.
#include "backend/ref/control.h"

#include <algorithm>
#include <cstring>

namespace tn {

namespace {

using Arrays = std::vector<Array>;
using ArraySpan = std::span<const Array>;

const Graph& graph(const Attrs& attrs, std::string_view name) { return *attrs.get<GraphPtr>(name); }

Arrays list(ArraySpan x) { return {x.begin(), x.end()}; }

std::vector<i64> concrete(std::span<const Dim> dims, const DimEnv& env) {
  std::vector<i64> shape;
  for (Dim d : dims) shape.push_back(evaluate(d, env));
  return shape;
}

/// Lane `at` of an operand whose first `rank` axes are lanes.
Array lane(const Array& x, size_t rank, i64 at) {
  Array e = x;
  e.shape.erase(e.shape.begin(), e.shape.begin() + static_cast<std::ptrdiff_t>(rank));
  e.offset += static_cast<size_t>(at) * e.nbytes();
  return e;
}

/// Runs `one` on every lane and stacks what it gives.
template <class F>
Arrays by_lane(ArraySpan x, size_t rank, i64 lanes, std::span<const Type> results, const DimEnv& env, F one) {
  Arrays ys;
  for (Type t : results) ys.push_back(Array::empty(t.dtype(), concrete(t.shape(), env)));
  for (i64 k = 0; k < lanes; ++k) {
    Arrays in;
    for (const Array& a : x) in.push_back(lane(a, rank, k));
    Arrays out = one(in);
    for (size_t i = 0; i < ys.size(); ++i)
      if (out[i].nbytes()) std::memcpy(lane(ys[i], rank, k).bytes_begin(), out[i].bytes_begin(), out[i].nbytes());
  }
  return ys;
}

Arrays run_cond(ArraySpan x, const Attrs& attrs, std::span<const Type> results, const DimEnv& env) {
  auto one = [&](ArraySpan in) {
    return ref_run_in(graph(attrs, in[0].get_int(0) ? "then" : "else"), in.subspan(1), env);
  };
  if (x[0].shape.empty()) return one(x);
  return by_lane(x, x[0].shape.size(), x[0].size(), results, env, one);
}

Arrays run_scan(ArraySpan x, const Attrs& attrs, std::span<const Type> results, const DimEnv& env) {
  auto consts = static_cast<size_t>(attrs.get<i64>("consts")),
       carry_count = static_cast<size_t>(attrs.get<i64>("carry"));
  i64 n = evaluate(attrs.get<Shape>("length")[0], env);
  bool reverse = attrs.get<bool>("reverse");
  Arrays carry = list(x.subspan(consts, carry_count)), ys;
  for (Type t : results.subspan(carry_count)) ys.push_back(Array::empty(t.dtype(), concrete(t.shape(), env)));
  for (i64 k = 0; k < n; ++k) {
    i64 at = reverse ? n - 1 - k : k;
    Arrays in = list(x.first(consts));
    in.insert(in.end(), carry.begin(), carry.end());
    for (const Array& xs : x.subspan(consts + carry_count)) in.push_back(lane(xs, 1, at));
    Arrays out = ref_run_in(graph(attrs, "body"), in, env);
    std::copy_n(out.begin(), carry_count, carry.begin());
    for (size_t i = 0; i < ys.size(); ++i) {
      const Array& y = out[carry_count + i];
      if (y.nbytes()) std::memcpy(lane(ys[i], 1, at).bytes_begin(), y.bytes_begin(), y.nbytes());
    }
  }
  carry.insert(carry.end(), ys.begin(), ys.end());
  return carry;
}

Arrays run_loop(ArraySpan x, const Attrs& attrs, const DimEnv& env) {
  auto consts = static_cast<size_t>(attrs.get<i64>("consts"));
  i64 bound = attrs.get<i64>("bound");
  Arrays in = list(x);
  for (i64 step = 0; ref_run_in(graph(attrs, "cond"), in, env)[0].get_int(0); ++step) {
    if (step == bound)
      fail("while", "expected at most " + std::to_string(bound) +
                        " steps, got a condition that still holds; give a greater bound");
    Arrays next = ref_run_in(graph(attrs, "body"), in, env);
    std::copy(next.begin(), next.end(), in.begin() + static_cast<std::ptrdiff_t>(consts));
  }
  return list(ArraySpan(in).subspan(consts));
}

Arrays run_while(ArraySpan x, const Attrs& attrs, std::span<const Type> results, const DimEnv& env) {
  std::vector<i64> lanes = concrete(attrs.get<Shape>("lanes", {}), env);
  if (lanes.empty()) return run_loop(x, attrs, env);
  i64 count = 1;
  for (i64 extent : lanes) count *= extent;
  return by_lane(x, lanes.size(), count, results, env, [&](ArraySpan in) { return run_loop(in, attrs, env); });
}

Arrays run_call(ArraySpan x, const Attrs& attrs, std::span<const Type>, const DimEnv& env) {
  return ref_run_in(graph(attrs, "body"), x, env);
}

Arrays run_barrier(ArraySpan x, const Attrs&, std::span<const Type>, const DimEnv&) { return list(x); }

struct Evaluator {
  std::string_view name;
  Arrays (*run)(ArraySpan x, const Attrs& attrs, std::span<const Type> results, const DimEnv& env);
};
constexpr Evaluator kEvaluators[] = {
    {"call", run_call}, {"cond", run_cond}, {"scan", run_scan}, {"while", run_while}, {"barrier", run_barrier}};

}  // namespace

std::vector<Array> ref_run_control(const OpDef& op, ArraySpan x, const Attrs& attrs, std::span<const Type> results,
                                   const DimEnv& env) {
  for (const Evaluator& e : kEvaluators)
    if (e.name == op.name) return e.run(x, attrs, results, env);
  internal("[" + std::string(op.name) + "] has neither an oracle nor an expansion");
}

}  // namespace tn
