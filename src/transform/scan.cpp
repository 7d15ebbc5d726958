// scan in forward mode, transposed and mapped. Its partial evaluation is in scan_split.cpp.
//
// The transpose of a scan is a scan in the other direction: its carry holds the cotangents of the carry, and beside
// them the sums of the constants' cotangents, its xs are the cotangents of the ys.
#include "op/emit.h"
#include "op/region_rules.h"
#include "transform/effects.h"
#include "transform/loops.h"

namespace tn {

namespace {

Values scan_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  Loop loop(attrs, x.size());
  Mask live = present_mask(t);
  Transformed j = jvp_graph(loop.body, live);
  while (grow_carries(live, loop.consts, j.mask, loop.carry)) j = jvp_graph(loop.body, live);
  WithTangents in = with_tangents(b, loop, x, t, live);
  GraphPtr body = body_with_tangents(loop, j, live, in.order);
  Values all = b.emit(op("scan"), in.operands, loop.scan_attrs(body, in.consts, in.carry));
  Values y(all.begin(), all.begin() + loop.carry);
  u32 k = loop.carry;
  for (u32 i = 0; i < loop.carry; ++i)
    if (live[loop.consts + i]) dy[i] = all[k++];
  for (u32 i = loop.carry; i < loop.results(); ++i) y.push_back(all[k++]);
  for (u32 i = loop.carry; i < loop.results(); ++i)
    if (j.mask[i]) dy[i] = all[k++];
  return y;
}

// ---------------------------------------------------------------- transpose

class ScanTranspose {
 public:
  ScanTranspose(Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                std::span<const Type> results)
      : b_(b), loop_(attrs, x.size()), x_(x), ct_(ct), results_(results), given_(linear), linear_(linear) {
    // A carry that starts from a known zero and becomes linear inside is linear.
    while (grow_carries(linear_, loop_.consts, depends_on(*loop_.body, linear_), loop_.carry)) continue;
    Mask keep(loop_.results(), true);
    for (u32 i = 0; i < loop_.results(); ++i) {
      keep[i] = i < loop_.carry || ct[i];
      if (i < loop_.carry && !linear_[loop_.consts + i]) internal("[scan] a known carry in a linear scan");
    }
    transposed_ = transpose_graph(prune_graph(loop_.body, keep), linear_);
    for (u32 i = 0, l = 0; i < loop_.operands(); ++i) has_cotangent_.push_back(linear_[i] && transposed_.mask[l++]);
  }

  Values run() {
    place_operands();
    GraphPtr body = make_graph(body_types_, [&](Builder& b, ValueSpan x) { return step(b, x); });
    Attrs attrs = loop_.scan_attrs(body, fixed_, loop_.carry + sums_.size());
    Values all = b_.emit(op("scan"), operands_, attrs.with("reverse", !loop_.attrs.get("reverse", false)));
    Values result(x_.size());
    for (u32 i = 0; i < loop_.carry; ++i)
      if (given_[loop_.consts + i]) result[loop_.consts + i] = all[i];
    u32 k = loop_.carry;
    for (u32 i : sums_) {
      Value sum = all[k++];
      Type t = loop_.body->type(i);
      result[i] = sum.type() == t ? sum : cast(sum, t.dtype());
    }
    for (u32 i = loop_.xs(); i < loop_.operands(); ++i)
      if (has_cotangent_[i]) result[i] = all[k++];
    return result;
  }

 private:
  void operand(Value v, Type in_body) {
    operands_.push_back(v);
    body_types_.push_back(in_body);
  }

  /// (known consts; cotangents of the carry, sums of linear consts; known xs, cotangents of ys)
  void place_operands() {
    const Graph& body = *loop_.body;
    for (u32 i = 0; i < loop_.consts; ++i)
      if (!linear_[i]) operand(x_[i], body.type(i));
    fixed_ = static_cast<u32>(operands_.size());
    for (u32 i = 0; i < loop_.carry; ++i) operand(or_zeros(b_, ct_[i], results_[i]), results_[i]);
    for (u32 i = 0; i < loop_.consts; ++i) {
      if (!has_cotangent_[i]) continue;
      Type sum = is_narrow(body.type(i)) ? body.type(i).with(DType::f32) : body.type(i);
      operand(zeros(b_, sum), sum);
      sums_.push_back(i);
    }
    for (u32 i = loop_.xs(); i < loop_.operands(); ++i)
      if (!linear_[i]) operand(x_[i], body.type(i));
    for (u32 i = loop_.carry; i < loop_.results(); ++i)
      if (ct_[i]) operand(ct_[i], body.type(body.outputs()[i]));
  }

  Values step(Builder& b, ValueSpan x) {
    size_t cotangents = fixed_, sums = cotangents + loop_.carry, xs = sums + sums_.size(), ys = xs;
    for (u32 i = loop_.xs(); i < loop_.operands(); ++i) ys += !linear_[i];
    Values inputs = list(x.first(fixed_));
    append(inputs, x.subspan(xs, ys - xs));
    append(inputs, x.subspan(cotangents, loop_.carry));
    append(inputs, x.subspan(ys));
    Values all = inline_graph(b, *transposed_.graph, inputs), by_operand(loop_.operands()), outputs;
    for (u32 i = 0, k = 0; i < loop_.operands(); ++i)
      if (has_cotangent_[i]) by_operand[i] = all[k++];
    for (u32 i = loop_.consts; i < loop_.xs(); ++i) outputs.push_back(or_zeros(b, by_operand[i], loop_.body->type(i)));
    for (size_t k = 0; k < sums_.size(); ++k) {
      Value c = by_operand[sums_[k]], sum = x[sums + k];
      outputs.push_back(add(sum, c.type() == sum.type() ? c : cast(c, sum.dtype())));
    }
    for (u32 i = loop_.xs(); i < loop_.operands(); ++i)
      if (by_operand[i]) outputs.push_back(by_operand[i]);
    return outputs;
  }

  Builder& b_;
  Loop loop_;
  ValueSpan x_, ct_;
  std::span<const Type> results_;
  Mask given_, linear_, has_cotangent_;  // by operand
  Transformed transposed_;
  Values operands_;
  std::vector<Type> body_types_;
  std::vector<u32> sums_;  // linear consts that receive a cotangent
  u32 fixed_ = 0;          // known consts
};

Values scan_transpose(Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                      std::span<const Type> results, std::span<const Type>) {
  return ScanTranspose(b, x, linear, ct, attrs, results).run();
}

// ---------------------------------------------------------------- vmap

Batched scan_batch(Builder& b, Dim n, ValueSpan x, const Mask& given, const Attrs& attrs) {
  Loop loop(attrs, x.size());
  Mask batched = given;
  Transformed body = vmap_graph(loop.body, batched, n);
  while (grow_carries(batched, loop.consts, body.mask, loop.carry)) body = vmap_graph(loop.body, batched, n);
  Mask want = body.mask;
  for (u32 i = 0; i < loop.carry; ++i) want[i] = batched[loop.consts + i];
  Values operands = list(x);
  for (u32 i = 0; i < operands.size(); ++i) {
    if (batched[i] && !given[i]) operands[i] = to_lanes(operands[i], n);
    if (batched[i] && i >= loop.xs()) operands[i] = swap_leading(operands[i]);
  }
  Values y = b.emit(op("scan"), operands, attrs.with("body", batch_outputs(body, want, n)));
  for (u32 i = loop.carry; i < y.size(); ++i)
    if (want[i]) y[i] = swap_leading(y[i]);
  return {y, want};
}

Values scan_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  Values operands{lane};
  append(operands, x);
  return b.emit(op("scan"), operands, guard_attrs(attrs).with("consts", attrs.get<i64>("consts") + 1));
}

}  // namespace

const Region kScanRegion{scan_jvp, scan_split, scan_transpose, scan_guard};
const AxesFn kScanAxes{scan_batch};

}  // namespace tn
