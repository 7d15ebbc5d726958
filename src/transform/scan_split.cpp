// Partial evaluation of a scan: a known scan now, which stacks what the linear scan will need in each step. A stack
// costs its size times the length, so little is stacked: not what depends on constants alone (computed once, before the
// loop), not the xs nor what is cheap to make from them (the linear scan has the xs), not one value twice.
#include <unordered_map>

#include "op/emit.h"
#include "transform/loops.h"
#include "transform/residuals.h"

namespace tn {

namespace {

/// Everything the linear scan is made of, kept until it is emitted.
struct LateScan {
  Loop loop;
  Mask given, unknown;  // by operand: unknown outside; unknown in some step
  Split body;
  Residuals residuals;
  std::vector<u32> invariants, stacked, known_xs;  // values of the known body

  Values emit(Builder& b, ValueSpan handed, ValueSpan late) const;
  Values step(Builder& b, ValueSpan x) const;
};

/// The values of the known body that depend on constants alone, computed outside the loop; and, as a mask, those worth
/// keeping outside together with the xs: what the linear scan has at hand.
std::vector<bool> hoist(Builder& outside, const Graph& known, ValueSpan x, const Loop& loop, const Mask& unknown,
                        Values& values) {
  std::vector<bool> at_hand(known.value_count());
  values.assign(known.value_count(), {});
  for (u32 i = 0, k = 0; i < loop.operands(); ++i) {
    if (unknown[i]) continue;
    if (i < loop.consts) values[k] = x[i];
    at_hand[k++] = i < loop.consts || i >= loop.xs();
  }
  std::vector<bool> trivial = trivial_nodes(known);
  Values operands;
  for (size_t k = 0; k < known.nodes().size(); ++k) {
    const Node& n = known.nodes()[k];
    operands_of(known, n, values, operands);
    bool invariant = !n.effectful;
    for (const Value& v : operands) invariant = invariant && v;
    if (!invariant) continue;
    emit_again(outside, known, n, operands, values);
    for (u32 i = 0; i < n.result_count; ++i) at_hand[n.first_result + i] = !trivial[k];
  }
  return at_hand;
}

/// Emits the known scan: its own results, and behind them the stacks of `stacked`. A value that is a stacked result
/// already is not stacked again.
Values emit_known(Builder& b, ValueSpan x, const LateScan& late, size_t own, Values& stacks) {
  const Loop& loop = late.loop;
  const GraphPtr& known = late.body.known;
  size_t consts = 0, carry = 0;
  for (u32 i = 0; i < loop.xs(); ++i) (i < loop.consts ? consts : carry) += !late.unknown[i];
  std::vector<u32> results(known->outputs().begin(), known->outputs().begin() + static_cast<std::ptrdiff_t>(own));
  std::unordered_map<u32, size_t> place;
  for (size_t i = carry; i < own; ++i) place.emplace(results[i], i);
  for (u32 v : late.stacked)
    if (place.emplace(v, results.size()).second) results.push_back(v);
  if (results.empty() && !known->effectful()) return {};
  Attrs attrs = loop.scan_attrs(graph_of_values(known, results), consts, carry);
  Values all = b.emit(op("scan"), present(x), attrs);
  for (u32 v : late.stacked) stacks.push_back(all[place.at(v)]);
  all.resize(own);
  return all;
}

Values LateScan::emit(Builder& b, ValueSpan handed, ValueSpan late) const {
  Values operands = list(handed.first(invariants.size())), carry, xs;
  std::vector<Type> types;
  for (u32 v : invariants) types.push_back(body.known->type(v));
  size_t initial = invariants.size() + stacked.size() + known_xs.size(), at = 0;
  std::vector<Type> carry_types, xs_types;
  for (u32 i = 0; i < loop.operands(); ++i) {
    if (!unknown[i]) continue;
    Value v = given[i] ? late[at++] : handed[initial++];
    Type t = loop.body->type(i);
    (i < loop.consts ? operands : i < loop.xs() ? carry : xs).push_back(v);
    (i < loop.consts ? types : i < loop.xs() ? carry_types : xs_types).push_back(t);
  }
  size_t consts = operands.size();
  append(operands, carry);
  append(types, std::span<const Type>(carry_types));
  append(operands, handed.subspan(invariants.size(), stacked.size() + known_xs.size()));
  for (u32 v : stacked) types.push_back(body.known->type(v));
  for (u32 v : known_xs) types.push_back(body.known->type(v));
  append(operands, xs);
  append(types, std::span<const Type>(xs_types));
  GraphPtr late_body = make_graph(types, [&](Builder& inner, ValueSpan x) { return step(inner, x); });
  return b.emit(op("scan"), operands, loop.scan_attrs(late_body, consts, carry.size()));
}

/// (invariants, unknown consts; unknown carry; stacks, known xs, unknown xs) -> (carry, ys)
Values LateScan::step(Builder& b, ValueSpan x) const {
  size_t consts = 0, carry = 0;
  for (u32 i = 0; i < loop.xs(); ++i) (i < loop.consts ? consts : carry) += unknown[i];
  size_t stacks = invariants.size() + consts + carry, xs = stacks + stacked.size();
  Values env(body.known->value_count()), inputs;
  for (size_t i = 0; i < invariants.size(); ++i) env[invariants[i]] = x[i];
  for (size_t i = 0; i < stacked.size(); ++i) env[stacked[i]] = x[stacks + i];
  for (size_t i = 0; i < known_xs.size(); ++i) env[known_xs[i]] = x[xs + i];
  residuals.make_again(b, env);
  auto outputs = body.known->outputs();
  for (u32 v : outputs.subspan(outputs.size() - body.residuals)) inputs.push_back(env[v]);
  append(inputs, x.subspan(invariants.size(), consts + carry));
  append(inputs, x.subspan(xs + known_xs.size()));
  return inline_graph(b, *body.linear, inputs);
}

}  // namespace

std::optional<SplitResult> scan_split(Builder& known, ValueSpan x, const Mask& given, const Attrs& attrs) {
  Loop loop(attrs, x.size());
  Mask unknown = given;
  Split body = split_body(loop, unknown);
  Values present_x = select_where(x, unknown, false), hoisted, stacks;
  std::vector<bool> at_hand = hoist(known, *body.known, x, loop, unknown, hoisted);
  LateScan late{loop, given, unknown, body, Residuals(*body.known, std::move(at_hand)), {}, {}, {}};
  auto outputs = body.known->outputs();
  size_t own = outputs.size() - body.residuals;
  for (u32 v : outputs.subspan(own)) late.residuals.need(v);
  auto handed = late.residuals.handed_over();
  late.stacked.assign(handed.begin(), handed.end());
  for (u32 v : late.residuals.used_at_hand()) (hoisted[v] ? late.invariants : late.known_xs).push_back(v);
  Values all = emit_known(known, present_x, late, own, stacks);
  SplitResult r;
  r.unknown = body.unknown;
  r.known.resize(r.unknown.size());
  for (size_t i = 0, k = 0; i < r.unknown.size(); ++i)
    if (!r.unknown[i]) r.known[i] = all[k++];
  for (u32 v : late.invariants) r.residuals.push_back(hoisted[v]);
  append(r.residuals, stacks);
  for (u32 v : late.known_xs) r.residuals.push_back(present_x[v]);
  for (u32 i = 0; i < unknown.size(); ++i)
    if (unknown[i] && !given[i]) r.residuals.push_back(x[i]);
  r.emit_linear = [late](Builder& b, ValueSpan residuals, ValueSpan values) { return late.emit(b, residuals, values); };
  return r;
}

}  // namespace tn
