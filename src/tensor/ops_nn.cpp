// Contractions, convolution, pooling, and the composites that networks are made of.
#include <algorithm>

#include "op/effects.h"
#include "tensor/helpers.h"

namespace tn {

// ---------------------------------------------------------------- contraction

Tensor matmul(Arg a, Arg b) {
  auto [x, y] = alike("matmul", a, b);
  return apply1(the<"matmul">(), {x, y}, {}, a.where);
}

Tensor einsum(std::string_view spec, std::span<const Tensor> operands, Location at) {
  return apply1(the<"einsum">(), operands, {{"spec", std::string(spec)}}, at);
}

Tensor einsum(std::string_view spec, Arg a) {
  Tensor t = tensor_of(a);
  return einsum(spec, std::span<const Tensor>(&t, 1), a.where);
}

Tensor einsum(std::string_view spec, Arg a, Arg b) {
  auto [x, y] = alike("einsum", a, b);
  Tensor both[] = {x, y};
  return einsum(spec, both, a.where);
}

// ---------------------------------------------------------------- convolution and pooling

static std::vector<i64> list(Pair p) { return {p.rows, p.columns}; }

Tensor conv2d(Arg x, Arg w, const Conv2d& options) {
  auto [picture, filter] = alike("conv2d", x, w);
  for (const Tensor& t : {picture, filter})
    if (t.type().rank() != 4)
      fail("conv2d",
           "expected pictures [batch, channels, rows, columns] and filters [out, in, rows, columns], got " +
               to_string(picture.type()) + " and " + to_string(filter.type()),
           x.where);
  return apply1(the<"conv">(), {picture, filter},
                {{"strides", list(options.stride)},
                 {"padding_low", list(options.padding)},
                 {"padding_high", list(options.padding)},
                 {"rhs_dilation", list(options.dilation)},
                 {"lhs_dilation", std::vector<i64>{1, 1}},
                 {"groups", options.groups}},
                x.where);
}

static Tensor pool(const OpDef& op, const Arg& x, const Pool2d& o) {
  Tensor t = tensor_of(x);
  Type type = node_of(t, op.name, x.where)->type;
  if (type.rank() != 4)
    fail(op.name, "expected pictures [batch, channels, rows, columns], got " + to_string(type), x.where);
  Pair stride = o.stride.rows ? o.stride : o.size;
  return apply1(op, {t},
                {{"window", list(o.size)},
                 {"strides", list(stride)},
                 {"padding_low", list(o.padding)},
                 {"padding_high", list(o.padding)},
                 {"dilation", std::vector<i64>{1, 1}}},
                x.where);
}

Tensor max_pool2d(Arg x, const Pool2d& options) { return pool(the<"max_pool">(), x, options); }
Tensor avg_pool2d(Arg x, const Pool2d& options) { return pool(the<"avg_pool">(), x, options); }

// ---------------------------------------------------------------- composites

Tensor gelu(Arg x) { return elementwise(the<"gelu">(), {&x}); }

static Tensor along(const OpDef& op, const Arg& x, i64 axis) {
  Tensor t = tensor_of(x);
  return apply1(op, {t}, {{"axis", normal_axis(op.name, axis, node_of(t, op.name, x.where)->type, x.where)}}, x.where);
}

Tensor softmax(Arg x, const AxisOption& options) { return along(the<"softmax">(), x, options.axis); }
Tensor log_softmax(Arg x, const AxisOption& options) { return along(the<"log_softmax">(), x, options.axis); }

Tensor layer_norm(Arg x, Arg scale, Arg bias, const LayerNorm& options) {
  return apply1(the<"layer_norm">(), {tensor_of(x), tensor_of(scale), tensor_of(bias)}, {{"epsilon", options.epsilon}},
                x.where);
}

Tensor batch_norm(Arg x, Arg scale, Arg bias, Arg mean, Arg variance, const BatchNorm& options) {
  return apply1(the<"batch_norm">(),
                {tensor_of(x), tensor_of(scale), tensor_of(bias), tensor_of(mean), tensor_of(variance)},
                {{"epsilon", options.epsilon}}, x.where);
}

Tensor attention(Arg query, Arg key, Arg value, const Attention& options) {
  Attrs attrs{{"causal", options.causal}, {"scale", options.scale}};
  std::vector<Tensor> operands{tensor_of(query), tensor_of(key), tensor_of(value)};
  if (options.mask) operands.push_back(*options.mask);
  return apply1(the<"attention">(), operands, attrs, query.where);
}

Tensor cross_entropy(Arg logits, Arg labels) {
  return apply1(the<"cross_entropy">(), {tensor_of(logits), tensor_of(labels)}, {}, logits.where);
}

// ---------------------------------------------------------------- effects

void print(std::string_view label, Arg x) {
  [[maybe_unused]] static const bool known = (set_array_text(array_text), true);
  Tensor t = tensor_of(x);
  apply(the<"print">(), std::span(&t, 1), {{"label", std::string(label)}}, x.where);
}

void check(Arg condition, std::string_view message) {
  Tensor t = tensor_of(condition);
  apply(the<"assert">(), std::span(&t, 1), {{"message", std::string(message)}}, condition.where);
}

}  // namespace tn
