#include "op/emit.h"

#include <algorithm>
#include <numeric>

namespace tn {

// ---------------------------------------------------------------- looking at values

Shape shape_of(Value v) {
  auto s = v.shape();
  return {s.begin(), s.end()};
}

const Node* producer(Value v) {
  const Graph& g = v.builder->graph();
  if (v.id < g.input_count()) return nullptr;
  auto nodes = g.nodes();
  auto after =
      std::upper_bound(nodes.begin(), nodes.end(), v.id, [](u32 id, const Node& n) { return id < n.first_result; });
  return &*(after - 1);
}

std::optional<Array> constant_array(Value v) {
  static const OpDef& constant_op = op("constant");
  const Node* n = producer(v);
  if (!n || n->op != &constant_op) return std::nullopt;
  return n->attrs.get<Array>("value");
}

std::optional<double> constant_number(Value v) {
  static const OpDef* const kThrough[] = {&op("broadcast"), &op("reshape")};
  for (const Node* n = producer(v); n; n = producer(v)) {
    if (std::find(std::begin(kThrough), std::end(kThrough), n->op) == std::end(kThrough)) break;
    v.id = v.builder->graph().operands(*n)[0];
  }
  auto a = constant_array(v);
  if (!a || a->size() != 1) return std::nullopt;
  return a->get(0);
}

// ---------------------------------------------------------------- constants

Value constant(Builder& b, const Array& value, std::string_view name) {
  static const OpDef& o = op("constant");
  return b.emit1(o, {}, {{"value", value}, {"name", std::string(name)}});
}

Value constant(Builder& b, double number, DType dtype) {
  Array a = Array::empty(dtype, {});
  a.set(0, number);
  return constant(b, a);
}

Value constant(Builder& b, double number, Type type) {
  auto s = type.shape();
  return broadcast(constant(b, number, type.dtype()), Shape(s.begin(), s.end()), {});
}

Value zeros(Builder& b, Type type) { return constant(b, 0, type); }
Value ones(Builder& b, Type type) { return constant(b, 1, type); }
Value constant_like(Value x, double number) { return constant(*x.builder, number, x.type()); }
Value zeros_like(Value x) { return constant_like(x, 0); }
Value ones_like(Value x) { return constant_like(x, 1); }

Value iota(Builder& b, const Shape& shape, i64 axis, DType dtype) {
  static const OpDef& o = op("iota");
  return b.emit1(o, {}, {{"shape", shape}, {"axis", axis}, {"dtype", dtype}});
}

Value dim_value(Builder& b, Dim d, DType dtype) {
  static const OpDef& o = op("dims");
  if (d.is_constant()) return constant(b, static_cast<double>(d.value()), dtype);
  return cast(reshape(b.emit1(o, {}, {{"value", Shape{d}}}), {}), dtype);
}

// ---------------------------------------------------------------- elementwise

namespace {

Value unary(const OpDef& o, Value x) { return x.builder->emit1(o, {x}); }
Value binary(const OpDef& o, Value a, Value b) { return a.builder->emit1(o, {a, b}); }

}  // namespace

Value add(Value a, Value b) {
  static const OpDef& o = op("add");
  return binary(o, a, b);
}
Value sub(Value a, Value b) {
  static const OpDef& o = op("sub");
  return binary(o, a, b);
}
Value mul(Value a, Value b) {
  static const OpDef& o = op("mul");
  return binary(o, a, b);
}
Value div(Value a, Value b) {
  static const OpDef& o = op("div");
  return binary(o, a, b);
}
Value add(Value a, double b) { return add(a, constant_like(a, b)); }
Value sub(Value a, double b) { return sub(a, constant_like(a, b)); }
Value sub(double a, Value b) { return sub(constant_like(b, a), b); }
Value mul(Value a, double b) { return mul(a, constant_like(a, b)); }
Value div(Value a, double b) { return div(a, constant_like(a, b)); }
Value div(double a, Value b) { return div(constant_like(b, a), b); }
Value floor_divide(Value a, Value b) {
  static const OpDef& o = op("floor_divide");
  return binary(o, a, b);
}
Value remainder(Value a, Value b) {
  static const OpDef& o = op("remainder");
  return binary(o, a, b);
}
Value pow(Value a, Value b) {
  static const OpDef& o = op("pow");
  return binary(o, a, b);
}
Value maximum(Value a, Value b) {
  static const OpDef& o = op("maximum");
  return binary(o, a, b);
}
Value minimum(Value a, Value b) {
  static const OpDef& o = op("minimum");
  return binary(o, a, b);
}
Value neg(Value x) {
  static const OpDef& o = op("neg");
  return unary(o, x);
}
Value exp(Value x) {
  static const OpDef& o = op("exp");
  return unary(o, x);
}
Value log(Value x) {
  static const OpDef& o = op("log");
  return unary(o, x);
}
Value log1p(Value x) {
  static const OpDef& o = op("log1p");
  return unary(o, x);
}
Value expm1(Value x) {
  static const OpDef& o = op("expm1");
  return unary(o, x);
}
Value sin(Value x) {
  static const OpDef& o = op("sin");
  return unary(o, x);
}
Value cos(Value x) {
  static const OpDef& o = op("cos");
  return unary(o, x);
}
Value tanh(Value x) {
  static const OpDef& o = op("tanh");
  return unary(o, x);
}
Value sigmoid(Value x) {
  static const OpDef& o = op("sigmoid");
  return unary(o, x);
}
Value erf(Value x) {
  static const OpDef& o = op("erf");
  return unary(o, x);
}
Value sqrt(Value x) {
  static const OpDef& o = op("sqrt");
  return unary(o, x);
}
Value rsqrt(Value x) {
  static const OpDef& o = op("rsqrt");
  return unary(o, x);
}
Value abs(Value x) {
  static const OpDef& o = op("abs");
  return unary(o, x);
}
Value sign(Value x) {
  static const OpDef& o = op("sign");
  return unary(o, x);
}
Value floor(Value x) {
  static const OpDef& o = op("floor");
  return unary(o, x);
}
Value equal(Value a, Value b) {
  static const OpDef& o = op("equal");
  return binary(o, a, b);
}
Value not_equal(Value a, Value b) {
  static const OpDef& o = op("not_equal");
  return binary(o, a, b);
}
Value less(Value a, Value b) {
  static const OpDef& o = op("less");
  return binary(o, a, b);
}
Value less_equal(Value a, Value b) {
  static const OpDef& o = op("less_equal");
  return binary(o, a, b);
}
Value greater(Value a, Value b) {
  static const OpDef& o = op("greater");
  return binary(o, a, b);
}
Value greater_equal(Value a, Value b) {
  static const OpDef& o = op("greater_equal");
  return binary(o, a, b);
}
Value logical_and(Value a, Value b) {
  static const OpDef& o = op("logical_and");
  return binary(o, a, b);
}
Value logical_or(Value a, Value b) {
  static const OpDef& o = op("logical_or");
  return binary(o, a, b);
}
Value logical_not(Value x) {
  static const OpDef& o = op("logical_not");
  return unary(o, x);
}
Value select(Value p, Value a, Value b) {
  static const OpDef& o = op("select");
  return p.builder->emit1(o, {p, a, b});
}
Value cast(Value x, DType dtype) {
  static const OpDef& o = op("cast");
  return x.dtype() == dtype ? x : x.builder->emit1(o, {x}, {{"dtype", dtype}});
}
Value stop_gradient(Value x) {
  static const OpDef& o = op("stop_gradient");
  return unary(o, x);
}

// ---------------------------------------------------------------- reductions

namespace {

Value reduce(const OpDef& o, Value x, const std::vector<i64>& axes) {
  return axes.empty() ? x : x.builder->emit1(o, {x}, {{"axes", axes}});
}

}  // namespace

Value sum(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("sum");
  return reduce(o, x, axes);
}
Value max(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("max");
  return reduce(o, x, axes);
}
Value min(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("min");
  return reduce(o, x, axes);
}
Value prod(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("prod");
  return reduce(o, x, axes);
}
Value any(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("any");
  return reduce(o, x, axes);
}
Value all(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("all");
  return reduce(o, x, axes);
}

Value mean(Value x, const std::vector<i64>& axes) {
  Dim count = 1;
  for (i64 a : axes) count = count * x.shape()[static_cast<size_t>(a)];
  Value s = sum(x, axes);
  Value n = dim_value(*x.builder, count, x.dtype());
  return div(s, broadcast(n, shape_of(s), {}));
}

Value argmax(Value x, i64 axis) {
  static const OpDef& o = op("argmax");
  return x.builder->emit1(o, {x}, {{"axis", axis}});
}

Value cumsum(Value x, i64 axis, bool reverse) {
  static const OpDef& o = op("cumsum");
  if (reverse) return flip(cumsum(flip(x, {axis}), axis), {axis});
  return x.builder->emit1(o, {x}, {{"axis", axis}});
}

std::vector<i64> all_axes(Value x) { return axis_range(0, x.rank()); }

std::vector<i64> axis_range(i64 first, i64 last) {
  std::vector<i64> axes(static_cast<size_t>(std::max<i64>(0, last - first)));
  std::iota(axes.begin(), axes.end(), first);
  return axes;
}

// ---------------------------------------------------------------- shape

Value broadcast(Value x, const Shape& shape, const std::vector<i64>& dims) {
  static const OpDef& o = op("broadcast");
  if (shape_of(x) == shape) return x;
  return x.builder->emit1(o, {x}, {{"shape", shape}, {"dims", dims}});
}

Value broadcast_to(Value x, const Shape& shape) {
  auto rank = static_cast<i64>(shape.size());
  return broadcast(x, shape, axis_range(rank - x.rank(), rank));
}

Value broadcast_along(Value reduced, const Shape& shape, const std::vector<i64>& axes) {
  std::vector<i64> kept;
  for (i64 i = 0; i < static_cast<i64>(shape.size()); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) kept.push_back(i);
  return broadcast(reduced, shape, kept);
}

Value reshape(Value x, const Shape& shape) {
  static const OpDef& o = op("reshape");
  return shape_of(x) == shape ? x : x.builder->emit1(o, {x}, {{"shape", shape}});
}

Value permute(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("permute");
  return std::is_sorted(axes.begin(), axes.end()) ? x : x.builder->emit1(o, {x}, {{"axes", axes}});
}

Value move_axis(Value x, i64 from, i64 to) {
  std::vector<i64> axes = all_axes(x);
  axes.erase(axes.begin() + from);
  axes.insert(axes.begin() + to, from);
  return permute(x, axes);
}

Value drop_axis(Value x, i64 axis) {
  Shape s = shape_of(x);
  s.erase(s.begin() + axis);
  return reshape(x, s);
}

Value add_axis(Value x, i64 axis) {
  Shape s = shape_of(x);
  s.insert(s.begin() + axis, Dim(1));
  return reshape(x, s);
}

Value concat(ValueSpan parts, i64 axis) {
  static const OpDef& o = op("concat");
  if (parts.size() == 1) return parts[0];
  return parts[0].builder->emit(o, parts, {{"axis", axis}})[0];
}

Value slice(Value x, const Shape& starts, const Shape& limits, const std::vector<i64>& strides) {
  static const OpDef& o = op("slice");
  return x.builder->emit1(o, {x}, {{"starts", starts}, {"limits", limits}, {"strides", strides}});
}

Value slice(Value x, i64 axis, Dim start, Dim limit, i64 stride) {
  auto rank = static_cast<size_t>(x.rank()), at = static_cast<size_t>(axis);
  Shape starts(rank, Dim(0)), limits = shape_of(x);
  std::vector<i64> strides(rank, 1);
  starts[at] = start;
  limits[at] = limit;
  strides[at] = stride;
  return slice(x, starts, limits, strides);
}

Value pad(Value x, const Shape& low, const Shape& high, double value) {
  static const OpDef& o = op("pad");
  return x.builder->emit1(o, {x}, {{"low", low}, {"high", high}, {"value", value}});
}

Value flip(Value x, const std::vector<i64>& axes) {
  static const OpDef& o = op("flip");
  return axes.empty() ? x : x.builder->emit1(o, {x}, {{"axes", axes}});
}

// ---------------------------------------------------------------- indexing, contraction

Value gather(Value x, Value indices, i64 axis) {
  static const OpDef& o = op("gather");
  return x.builder->emit1(o, {x, indices}, {{"axis", axis}});
}

Value scatter(Value x, Value indices, Value updates, i64 axis, std::string_view mode) {
  static const OpDef& o = op("scatter");
  return x.builder->emit1(o, {x, indices, updates}, {{"axis", axis}, {"mode", std::string(mode)}});
}

Value matmul(Value a, Value b) {
  static const OpDef& o = op("matmul");
  return binary(o, a, b);
}

Value einsum(std::string_view spec, Value a, Value b) {
  static const OpDef& o = op("einsum");
  return a.builder->emit1(o, {a, b}, {{"spec", std::string(spec)}});
}

Value dot(Value a, Value b, const std::vector<i64>& lhs_batch, const std::vector<i64>& rhs_batch,
          const std::vector<i64>& lhs_contract, const std::vector<i64>& rhs_contract) {
  static const OpDef& o = op("dot");
  return a.builder->emit1(o, {a, b},
                          {{"lhs_batch", lhs_batch},
                           {"rhs_batch", rhs_batch},
                           {"lhs_contract", lhs_contract},
                           {"rhs_contract", rhs_contract}});
}

// ---------------------------------------------------------------- batching

Value to_lanes(Value x, Dim n) { return broadcast(x, with_leading(n, x.shape()), axis_range(1, x.rank() + 1)); }

Values all_to_lanes(ValueSpan x, const Mask& batched, Dim n) {
  Values r(x.begin(), x.end());
  for (size_t i = 0; i < r.size(); ++i)
    if (!batched[i]) r[i] = to_lanes(r[i], n);
  return r;
}

std::vector<i64> shifted(const std::vector<i64>& axes) {
  std::vector<i64> r = axes;
  for (i64& a : r) ++a;
  return r;
}

Shape with_leading(Dim n, std::span<const Dim> shape) {
  Shape r{n};
  r.insert(r.end(), shape.begin(), shape.end());
  return r;
}

Batched all_batched(Values values) {
  Mask mask(values.size(), true);
  return {std::move(values), std::move(mask)};
}

Values expand(Builder& b, const OpDef& o, ValueSpan x, const Attrs& attrs) {
  const Expand* rule = o.lower.as<Expand>();
  if (!rule) internal("[" + std::string(o.name) + "] expected an op with an expansion");
  return rule->expand(b, x, attrs);
}

}  // namespace tn
