// What scan and while share: bodies of (consts..., carry..., xs...) -> (carry..., ys...), whose carries decide what is
// differentiated, late or batched by a fixed point, for what enters the loop as one kind may leave it as another.
#pragma once
#include "transform/helpers.h"

namespace tn {

struct Loop {
  Attrs attrs;
  GraphPtr body;
  u32 consts, carry;

  /// Of a scan or a while; a while's carry is all that is not const.
  Loop(const Attrs& loop_attrs, size_t operands);
  u32 xs() const { return consts + carry; }  // the first of them
  u32 operands() const { return body->input_count(); }
  u32 results() const { return static_cast<u32>(body->outputs().size()); }
  /// Attributes of a scan like this one.
  Attrs scan_attrs(const GraphPtr& new_body, size_t new_consts, size_t new_carry) const;
};

/// Marks the carries that leave the body marked; whether there was a new one.
bool grow_carries(Mask& operands, u32 consts, const Mask& results, u32 carry);

/// The body split with every carry unknown that becomes unknown in some step; `unknown` grows to say which.
Split split_body(const Loop& loop, Mask& unknown);

/// Primals and tangents of a loop's operands, each group (consts, carry, xs) with its tangents behind it.
struct WithTangents {
  Values operands;
  std::vector<u32> order;  // the place of each in the operands of the body's jvp: (x..., tangents...)
  u32 consts, carry;
};
WithTangents with_tangents(Builder& b, const Loop& loop, ValueSpan x, ValueSpan t, const Mask& live);
/// The body's jvp for those operands, returning (carry, tangents of live carries, ys, tangents of ys).
GraphPtr body_with_tangents(const Loop& loop, const Transformed& j, const Mask& live, std::span<const u32> order);

/// Partial evaluation of a scan (and of a while turned into one).
std::optional<SplitResult> scan_split(Builder& known, ValueSpan x, const Mask& unknown, const Attrs& attrs);

}  // namespace tn
