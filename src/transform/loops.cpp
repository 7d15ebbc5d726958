#include "transform/loops.h"

#include "op/emit.h"

namespace tn {

Loop::Loop(const Attrs& loop_attrs, size_t operands)
    : attrs(loop_attrs), body(attrs.get<GraphPtr>("body")), consts(static_cast<u32>(attrs.get<i64>("consts"))) {
  carry = attrs.find("carry") ? static_cast<u32>(attrs.get<i64>("carry")) : static_cast<u32>(operands) - consts;
}

Attrs Loop::scan_attrs(const GraphPtr& new_body, size_t new_consts, size_t new_carry) const {
  return {{"body", new_body},
          {"consts", static_cast<i64>(new_consts)},
          {"carry", static_cast<i64>(new_carry)},
          {"length", attrs.get<Shape>("length")},
          {"reverse", attrs.get("reverse", false)}};
}

bool grow_carries(Mask& operands, u32 consts, const Mask& results, u32 carry) {
  bool grew = false;
  for (u32 i = 0; i < carry; ++i) {
    if (!results[i] || operands[consts + i]) continue;
    operands[consts + i] = grew = true;
  }
  return grew;
}

Split split_body(const Loop& loop, Mask& unknown) {
  Mask force(loop.results());
  for (;;) {
    for (u32 i = 0; i < loop.carry; ++i) force[i] = unknown[loop.consts + i];
    Split s = split_graph(loop.body, unknown, force);
    if (!grow_carries(unknown, loop.consts, s.unknown, loop.carry)) return s;
  }
}

WithTangents with_tangents(Builder& b, const Loop& loop, ValueSpan x, ValueSpan t, const Mask& live) {
  WithTangents r{};
  std::vector<u32> tangent_at = places(live, loop.operands());
  auto group = [&](u32 begin, u32 end) {
    size_t before = r.operands.size();
    for (u32 i = begin; i < end; ++i) {
      r.operands.push_back(x[i]);
      r.order.push_back(i);
    }
    for (u32 i = begin; i < end; ++i) {
      if (!live[i]) continue;
      r.operands.push_back(or_zeros(b, t[i], x[i].type()));
      r.order.push_back(tangent_at[i]);
    }
    return static_cast<u32>(r.operands.size() - before);
  };
  r.consts = group(0, loop.consts);
  r.carry = group(loop.consts, loop.xs());
  group(loop.xs(), loop.operands());
  return r;
}

GraphPtr body_with_tangents(const Loop& loop, const Transformed& j, const Mask& live, std::span<const u32> order) {
  GraphPtr ordered = reorder_inputs(j.graph, order);
  return make_graph(ordered->input_types(), [&](Builder& b, ValueSpan x) {
    u32 results = loop.results();
    Values all = inline_graph(b, *ordered, x), tangents(results), outputs;
    for (u32 i = 0, k = results; i < results; ++i)
      if (j.mask[i]) tangents[i] = all[k++];
    outputs.assign(all.begin(), all.begin() + loop.carry);
    for (u32 i = 0; i < loop.carry; ++i)
      if (live[loop.consts + i]) outputs.push_back(or_zeros(b, tangents[i], all[i].type()));
    outputs.insert(outputs.end(), all.begin() + loop.carry, all.begin() + results);
    for (u32 i = loop.carry; i < results; ++i)
      if (tangents[i]) outputs.push_back(tangents[i]);
    return outputs;
  });
}

}  // namespace tn
