// while: forward mode carries tangents along, and the condition sees primals. Reverse mode needs a bound on the number
// of steps: the loop becomes a scan of that many, each of them a cond that idles once the condition fails, with an
// assert behind it, so that a loop past its bound is an error in both directions.
//
// Where the condition differs by lane, `lanes` has the axes of the lanes: they lead every operand and result, while
// both graphs stay those of one lane, and each lane runs its own loop. lanes.h lowers it.
#include "op/emit.h"
#include "op/region_rules.h"
#include "transform/effects.h"
#include "transform/loops.h"

namespace tn {

namespace {

const GraphPtr& condition_of(const Attrs& attrs) { return attrs.get<GraphPtr>("cond"); }
Shape lanes_of(const Attrs& attrs) { return attrs.get("lanes", Shape{}); }

Values while_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  Loop loop(attrs, x.size());
  Mask live = present_mask(t);
  Transformed j = jvp_graph(loop.body, live);
  while (grow_carries(live, loop.consts, j.mask, loop.carry)) j = jvp_graph(loop.body, live);
  WithTangents in = with_tangents(b, loop, x, t, live);
  GraphPtr body = body_with_tangents(loop, j, live, in.order);
  GraphPtr condition = make_graph(body->input_types(), [&](Builder& inner, ValueSpan all) {
    Values primals(x.size());
    for (size_t i = 0; i < all.size(); ++i)
      if (in.order[i] < x.size()) primals[in.order[i]] = all[i];
    return inline_graph(inner, *condition_of(attrs), primals);
  });
  Attrs both = attrs.with("body", body).with("cond", condition);
  Values all = b.emit(op("while"), in.operands, both.with("consts", static_cast<i64>(in.consts)));
  for (u32 i = 0, k = loop.carry; i < loop.carry; ++i)
    if (live[loop.consts + i]) dy[i] = all[k++];
  all.resize(loop.carry);
  return all;
}

/// One step that idles where the condition fails: (consts, carry) -> carry, each with the lanes' axes.
GraphPtr guarded_step(const Loop& loop) {
  Shape lanes = lanes_of(loop.attrs);
  GraphPtr condition = vmap_lanes(condition_of(loop.attrs), lanes);
  auto types = loop.body->input_types();
  GraphPtr idle = make_graph(types, [&](Builder&, ValueSpan x) { return list(x.subspan(loop.consts)); });
  return make_graph(condition->input_types(), [&](Builder& b, ValueSpan x) {
    Values operands = inline_graph(b, *condition, x);
    append(operands, x);
    return b.emit(op("cond"), operands, {{"then", loop.body}, {"else", idle}});
  });
}

/// Fails where the condition still holds after the last step.
void assert_done(Builder& known, const Loop& loop, ValueSpan x, const SplitResult& s, i64 bound) {
  GraphPtr condition = vmap_lanes(condition_of(loop.attrs), lanes_of(loop.attrs));
  Values last = list(x.first(loop.consts));
  append(last, s.known);
  for (size_t i = 0; i < last.size(); ++i) last[i] = or_zeros(known, last[i], condition->type(static_cast<u32>(i)));
  Value more = inline_graph(known, *condition, last)[0];
  std::string message = "[while] expected at most " + std::to_string(bound) +
                        " steps (the bound), got a condition that is still true after them; raise the bound";
  known.emit(op("assert"), std::vector{logical_not(more)}, {{"message", message}});
}

std::optional<SplitResult> while_split(Builder& known, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
  Loop loop(attrs, x.size());
  Mask late = unknown;
  split_body(loop, late);
  if (split_graph(condition_of(attrs), late).unknown[0]) return std::nullopt;
  i64 bound = attrs.get<i64>("bound", -1);
  if (bound < 0)
    fail("while",
         "expected a bound on the number of steps for reverse mode, got none; give one, or use scan, or "
         "forward mode (jvp)",
         known.where);
  Attrs as_scan{{"body", guarded_step(loop)},
                {"consts", static_cast<i64>(loop.consts)},
                {"carry", static_cast<i64>(loop.carry)},
                {"length", Shape{Dim(bound)}},
                {"reverse", false}};
  auto s = scan_split(known, x, unknown, as_scan);
  assert_done(known, loop, x, *s, bound);
  return s;
}

Batched while_batch(Builder& b, Dim n, ValueSpan x, const Mask& given, const Attrs& attrs) {
  Loop loop(attrs, x.size());
  const GraphPtr& condition = condition_of(attrs);
  Shape lanes = lanes_of(attrs);
  Mask batched = given;
  Transformed body = vmap_graph(loop.body, batched, n);
  while (grow_carries(batched, loop.consts, body.mask, loop.carry)) body = vmap_graph(loop.body, batched, n);
  if (!lanes.empty() || vmap_graph(condition, batched, n).mask[0]) {
    if (has_effect_besides_assert(*loop.body) || has_effect_besides_assert(*condition))
      fail("while",
           "expected a loop without effects under vmap, where each lane runs its own, got one with an effect; "
           "move it out of the loop",
           b.where);
    lanes.insert(lanes.begin(), n);
    return all_batched(b.emit(op("while"), all_to_lanes(x, given, n), attrs.with("lanes", lanes)));
  }
  Mask want(batched.begin() + loop.consts, batched.end());
  Values operands = list(x);
  for (u32 i = 0; i < operands.size(); ++i)
    if (batched[i] && !given[i]) operands[i] = to_lanes(operands[i], n);
  Attrs both = attrs.with("body", batch_outputs(body, want, n)).with("cond", vmap_graph(condition, batched, n).graph);
  return {b.emit(op("while"), operands, both), want};
}

/// A lane that is to rest has a condition that never holds.
Values while_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  GraphPtr inner = guard_graph(condition_of(attrs));
  GraphPtr condition = make_graph(inner->input_types(), [&](Builder& c, ValueSpan all) {
    return Values{logical_and(all[0], inline_graph(c, *inner, all)[0])};
  });
  Attrs guarded = guard_attrs(attrs).with("cond", condition).with("consts", attrs.get<i64>("consts") + 1);
  Values operands{broadcast(lane, lanes_of(attrs), {})};
  append(operands, x);
  return b.emit(op("while"), operands, guarded);
}

}  // namespace

const Region kWhileRegion{while_jvp, while_split, nullptr, while_guard};
const AxesFn kWhileAxes{while_batch};

}  // namespace tn
