// A predicate of rank k > 0 has a truth value by lane: every operand and result leads with its axes. Both branches run
// on all lanes, and each lane takes its own; a loop keeps the bits of lanes that are done.
#include "backend/ref/control.h"

#include <algorithm>
#include <cstring>

namespace tn {

namespace {

using Arrays = std::vector<Array>;
using ArraySpan = std::span<const Array>;

const Graph& graph(const Attrs& attrs, std::string_view name) { return *attrs.get<GraphPtr>(name); }

Arrays list(ArraySpan x) { return {x.begin(), x.end()}; }

/// By lane of the predicate from a or b.
Array choose(const Array& predicate, const Array& a, const Array& b) {
  Array y = Array::empty(a.dtype, a.shape);
  i64 lanes = predicate.size();
  if (lanes == 0) return y;
  size_t width = y.nbytes() / static_cast<size_t>(lanes);
  for (i64 i = 0; i < lanes; ++i) {
    size_t at = static_cast<size_t>(i) * width;
    std::memcpy(y.bytes_begin() + at, (predicate.get_int(i) ? a : b).bytes_begin() + at, width);
  }
  return y;
}

Arrays choose(const Array& predicate, const Arrays& a, ArraySpan b) {
  Arrays r;
  for (size_t i = 0; i < a.size(); ++i) r.push_back(choose(predicate, a[i], b[i]));
  return r;
}

Arrays run_cond(ArraySpan x, const Attrs& attrs, std::span<const Type>, const DimEnv& env) {
  const Graph &then = graph(attrs, "then"), &otherwise = graph(attrs, "else");
  if (x[0].shape.empty()) return ref_run_in(x[0].get_int(0) ? then : otherwise, x.subspan(1), env);
  Arrays taken = ref_run_in(then, x.subspan(1), env), other = ref_run_in(otherwise, x.subspan(1), env);
  return choose(x[0], taken, other);
}

/// Element `at` along the leading axis.
Array element(const Array& x, i64 at) {
  Array e = x;
  e.shape.erase(e.shape.begin());
  e.offset += static_cast<size_t>(at) * e.nbytes();
  return e;
}

Arrays run_scan(ArraySpan x, const Attrs& attrs, std::span<const Type> results, const DimEnv& env) {
  auto consts = static_cast<size_t>(attrs.get<i64>("consts")),
       carry_count = static_cast<size_t>(attrs.get<i64>("carry"));
  i64 n = evaluate(attrs.get<Shape>("length")[0], env);
  bool reverse = attrs.get<bool>("reverse");
  Arrays carry = list(x.subspan(consts, carry_count)), ys;
  for (Type t : results.subspan(carry_count)) {
    std::vector<i64> shape;
    for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
    ys.push_back(Array::empty(t.dtype(), shape));
  }
  for (i64 k = 0; k < n; ++k) {
    i64 at = reverse ? n - 1 - k : k;
    Arrays in = list(x.first(consts));
    in.insert(in.end(), carry.begin(), carry.end());
    for (const Array& xs : x.subspan(consts + carry_count)) in.push_back(element(xs, at));
    Arrays out = ref_run_in(graph(attrs, "body"), in, env);
    std::copy_n(out.begin(), carry_count, carry.begin());
    for (size_t i = 0; i < ys.size(); ++i) {
      const Array& y = out[carry_count + i];
      if (y.nbytes()) std::memcpy(element(ys[i], at).bytes_begin(), y.bytes_begin(), y.nbytes());
    }
  }
  carry.insert(carry.end(), ys.begin(), ys.end());
  return carry;
}

bool any_true(const Array& p) {
  for (i64 i = 0; i < p.size(); ++i)
    if (p.get_int(i)) return true;
  return false;
}

Arrays run_while(ArraySpan x, const Attrs& attrs, std::span<const Type>, const DimEnv& env) {
  auto consts = static_cast<size_t>(attrs.get<i64>("consts"));
  i64 bound = attrs.get<i64>("bound");
  Arrays in = list(x);
  for (i64 step = 0;; ++step) {
    Array predicate = ref_run_in(graph(attrs, "cond"), in, env)[0];
    if (!any_true(predicate)) break;
    if (step == bound)
      fail("while", "expected at most " + std::to_string(bound) +
                        " steps, got a condition that still holds; give a greater bound");
    Arrays next = ref_run_in(graph(attrs, "body"), in, env);
    if (!predicate.shape.empty()) next = choose(predicate, next, ArraySpan(in).subspan(consts));
    std::copy(next.begin(), next.end(), in.begin() + static_cast<std::ptrdiff_t>(consts));
  }
  return list(ArraySpan(in).subspan(consts));
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
