// ONNX's words for our ops. What has no rule is expanded, or written under our own domain.
#include <algorithm>
#include <numeric>

#include "base/name.h"
#include "onnx/convert.h"
#include "onnx/writer.h"

namespace tn::onnx {

namespace {

constexpr auto attr = [](auto name, auto v) { return Writer::attr(name, v); };

template <Name kOp>
Strings same(Writer& w, const NodeView& n) {
  return {w.node(kOp.text, n.in)};
}

template <Name kOp>
Strings same_axis(Writer& w, const NodeView& n) {
  return {w.node(kOp.text, n.in, {attr("axis", n.attr<i64>("axis"))})};
}

// ---------------------------------------------------------------- elementwise

/// ONNX's Div of integers rounds toward zero: down by one where a remainder is left and the signs differ.
Strings floor_divide(Writer& w, const NodeView& n) {
  std::string q = w.node("Div", n.in);
  DType d = n.result().dtype();
  if (is_float(d)) return {w.node("Floor", {q})};
  if (!is_signed(d)) return {q};
  std::string rest = w.node("Sub", {n.in[0], w.node("Mul", {q, n.in[1]})}), zero = w.scalar(0, d);
  std::string left = w.node("Not", {w.node("Equal", {rest, zero})});
  std::string differ = w.node("Xor", {w.node("Less", {rest, zero}), w.node("Less", {n.in[1], zero})});
  std::string down = w.node("Cast", {w.node("And", {left, differ})}, {attr("to", static_cast<i64>(element_of(d)))});
  return {w.node("Sub", {q, down})};
}

Strings remainder(Writer& w, const NodeView& n) {
  if (!is_float(n.result().dtype())) return {w.node("Mod", n.in)};
  std::string q = w.node("Floor", {w.node("Div", n.in)});
  return {w.node("Sub", {n.in[0], w.node("Mul", {q, n.in[1]})})};
}

Strings rsqrt(Writer& w, const NodeView& n) { return {w.node("Reciprocal", {w.node("Sqrt", n.in)})}; }
Strings log1p(Writer& w, const NodeView& n) {
  return {w.node("Log", {w.node("Add", {n.in[0], w.scalar(1, n.result().dtype())})})};
}
Strings expm1(Writer& w, const NodeView& n) {
  return {w.node("Sub", {w.node("Exp", n.in), w.scalar(1, n.result().dtype())})};
}
Strings silu(Writer& w, const NodeView& n) { return {w.node("Mul", {n.in[0], w.node("Sigmoid", n.in)})}; }
Strings not_equal(Writer& w, const NodeView& n) { return {w.node("Not", {w.node("Equal", n.in)})}; }

Strings cast(Writer& w, const NodeView& n) {
  return {w.node("Cast", n.in, {attr("to", static_cast<i64>(element_of(n.result().dtype())))})};
}

// ---------------------------------------------------------------- reductions

template <Name kOp>
Strings reduce(Writer& w, const NodeView& n) {
  return {w.node(kOp.text, {n.in[0], w.ints(n.attr<std::vector<i64>>("axes"))}, {attr("keepdims", i64{0})})};
}

/// any and all by the greatest and least of bytes.
template <Name kOp>
Strings reduce_bool(Writer& w, const NodeView& n) {
  std::string bytes = w.node("Cast", n.in, {attr("to", static_cast<i64>(Element::uint8))});
  std::string r = w.node(kOp.text, {bytes, w.ints(n.attr<std::vector<i64>>("axes"))}, {attr("keepdims", i64{0})});
  return {w.node("Cast", {r}, {attr("to", static_cast<i64>(Element::boolean))})};
}

Strings argmax(Writer& w, const NodeView& n) {
  return {w.node("ArgMax", n.in, {attr("axis", n.attr<i64>("axis")), attr("keepdims", i64{0})})};
}

Strings cumsum(Writer& w, const NodeView& n) {
  const Attr* reverse = n.node.attrs.find("reverse");
  bool backwards = reverse && std::get<bool>(*reverse);
  std::string axis = w.scalar(static_cast<double>(n.attr<i64>("axis")), DType::i64);
  return {w.node("CumSum", {n.in[0], axis}, {attr("reverse", static_cast<i64>(backwards))})};
}

// ---------------------------------------------------------------- shape

Strings constant(Writer& w, const NodeView& n) {
  return {w.tensor(n.attr<Array>("value"), n.node.attrs.get<std::string>("name", ""))};
}
Strings dims(Writer& w, const NodeView& n) { return {w.shape(n.attr<Shape>("value"))}; }
Strings reshape(Writer& w, const NodeView& n) {
  const Shape& s = n.attr<Shape>("shape");
  auto open = std::count_if(s.begin(), s.end(), [](Dim d) { return !d.is_constant(); });
  bool zero = std::find(s.begin(), s.end(), Dim(0)) != s.end();
  if (open == 1 && !zero) {  // one unknown extent is -1
    std::vector<i64> v;
    for (Dim d : s) v.push_back(d.is_constant() ? d.value() : -1);
    return {w.node("Reshape", {n.in[0], w.ints(v)})};
  }
  return {w.node("Reshape", {n.in[0], w.shape(s)}, {attr("allowzero", i64{1})})};
}

Strings broadcast(Writer& w, const NodeView& n) {
  const Shape& shape = n.attr<Shape>("shape");
  const auto& map = n.attr<std::vector<i64>>("dims");
  Type x = n.operand(0);
  Shape lined(shape.size(), Dim(1));
  bool trailing = true;
  for (size_t i = 0; i < map.size(); ++i) {
    lined[static_cast<size_t>(map[i])] = x.shape()[i];
    trailing = trailing && map[i] == static_cast<i64>(shape.size() - map.size() + i);
  }
  std::string v = n.in[0];
  if (!trailing) v = w.node("Reshape", {v, w.shape(lined)});
  return {w.node("Expand", {v, w.shape(shape)})};
}

Strings permute(Writer& w, const NodeView& n) {
  return {w.node("Transpose", n.in, {attr("perm", n.attr<std::vector<i64>>("axes"))})};
}

std::vector<i64> all_axes(Type t) {
  std::vector<i64> r(static_cast<size_t>(t.rank()));
  std::iota(r.begin(), r.end(), 0);
  return r;
}

Strings slice(Writer& w, const NodeView& n) {
  return {w.node("Slice", {n.in[0], w.shape(n.attr<Shape>("starts")), w.shape(n.attr<Shape>("limits")),
                           w.ints(all_axes(n.operand(0))), w.ints(n.attr<std::vector<i64>>("strides"))})};
}

Strings pad(Writer& w, const NodeView& n) {
  Shape both = n.attr<Shape>("low");
  const Shape& high = n.attr<Shape>("high");
  both.insert(both.end(), high.begin(), high.end());
  return {w.node("Pad", {n.in[0], w.shape(both), w.scalar(n.attr<double>("value"), n.result().dtype())})};
}

Strings flip(Writer& w, const NodeView& n) {
  const auto& axes = n.attr<std::vector<i64>>("axes");
  std::vector<i64> starts(axes.size(), -1), ends(axes.size(), std::numeric_limits<i64>::min()), steps(axes.size(), -1);
  return {w.node("Slice", {n.in[0], w.ints(starts), w.ints(ends), w.ints(axes), w.ints(steps)})};
}

Strings iota(Writer& w, const NodeView& n) {
  const Shape& shape = n.attr<Shape>("shape");
  auto axis = static_cast<size_t>(n.attr<i64>("axis"));
  Shape lined(shape.size(), Dim(1));
  lined[axis] = shape[axis];
  std::string count = w.node("Squeeze", {w.shape(std::span(&shape[axis], 1))});
  std::string r = w.node("Range", {w.scalar(0, DType::i64), count, w.scalar(1, DType::i64)});
  r = w.node("Expand", {w.node("Reshape", {r, w.shape(lined)}), w.shape(shape)});
  DType d = n.result().dtype();
  return {d == DType::i64 ? r : w.node("Cast", {r}, {attr("to", static_cast<i64>(element_of(d)))})};
}

// ---------------------------------------------------------------- indexing

Strings one_hot(Writer& w, const NodeView& n) {
  DType d = n.result().dtype();
  Array values = Array::empty(d, {2});
  if (is_float(d)) {
    values.set(0, 0);
    values.set(1, 1);
  } else {
    values.set_int(0, 0);
    values.set_int(1, 1);
  }
  Dim depth = n.result().shape().back();
  return {w.node("OneHot", {n.in[0], w.shape({&depth, 1}), w.tensor(values)}, {attr("axis", i64{-1})})};
}

// ---------------------------------------------------------------- contraction

/// The general product in letters.
Strings dot(Writer& w, const NodeView& n) {
  using List = std::vector<i64>;
  const List &ab = n.attr<List>("lhs_batch"), &bb = n.attr<List>("rhs_batch");
  const List &ac = n.attr<List>("lhs_contract"), &bc = n.attr<List>("rhs_contract");
  std::string a(static_cast<size_t>(n.operand(0).rank()), ' '), b(static_cast<size_t>(n.operand(1).rank()), ' '), out;
  char next = 'a';
  for (size_t i = 0; i < ab.size(); ++i) out += a[static_cast<size_t>(ab[i])] = b[static_cast<size_t>(bb[i])] = next++;
  for (size_t i = 0; i < ac.size(); ++i) a[static_cast<size_t>(ac[i])] = b[static_cast<size_t>(bc[i])] = next++;
  for (std::string* letters : {&a, &b})
    for (char& c : *letters)
      if (c == ' ') out += c = next++;
  return {w.node("Einsum", n.in, {attr("equation", a + "," + b + "->" + out)})};
}

Strings conv(Writer& w, const NodeView& n) {
  using List = std::vector<i64>;
  const List& spread = n.attr<List>("lhs_dilation");
  if (std::any_of(spread.begin(), spread.end(), [](i64 s) { return s != 1; }))
    fail("conv", "expected no lhs_dilation, which only gradients have, got one; ONNX's Conv has no such attribute");
  List pads = n.attr<List>("padding_low");
  const List& high = n.attr<List>("padding_high");
  pads.insert(pads.end(), high.begin(), high.end());
  if (std::any_of(pads.begin(), pads.end(), [](i64 p) { return p < 0; }))
    fail("conv", "expected padding of at least 0, got a negative one, which ONNX's Conv has not");
  return {w.node("Conv", n.in,
                 {attr("strides", n.attr<List>("strides")), attr("pads", pads),
                  attr("dilations", n.attr<List>("rhs_dilation")), attr("group", n.attr<i64>("groups"))})};
}

std::vector<Attribute> window_attributes(const NodeView& n) {
  using List = std::vector<i64>;
  List pads = n.attr<List>("padding_low");
  const List& high = n.attr<List>("padding_high");
  pads.insert(pads.end(), high.begin(), high.end());
  return {attr("kernel_shape", n.attr<List>("window")), attr("strides", n.attr<List>("strides")), attr("pads", pads),
          attr("dilations", n.attr<List>("dilation"))};
}

Strings max_pool(Writer& w, const NodeView& n) { return {w.node("MaxPool", n.in, window_attributes(n))}; }

Strings avg_pool(Writer& w, const NodeView& n) {
  auto attributes = window_attributes(n);
  attributes.push_back(attr("count_include_pad", static_cast<i64>(n.attr<bool>("count_include_pad"))));
  return {w.node("AveragePool", n.in, std::move(attributes))};
}

struct Entry {
  std::string_view op;
  ExportRule rule;
};

constexpr Entry kEntries[] = {
    {"abs", same<"Abs">},
    {"add", same<"Add">},
    {"all", reduce_bool<"ReduceMin">},
    {"any", reduce_bool<"ReduceMax">},
    {"argmax", argmax},
    {"avg_pool", avg_pool},
    {"broadcast", broadcast},
    {"cast", cast},
    {"concat", same_axis<"Concat">},
    {"constant", constant},
    {"conv", conv},
    {"cos", same<"Cos">},
    {"cumsum", cumsum},
    {"dims", dims},
    {"div", same<"Div">},
    {"dot", dot},
    {"equal", same<"Equal">},
    {"erf", same<"Erf">},
    {"exp", same<"Exp">},
    {"expm1", expm1},
    {"flip", flip},
    {"floor", same<"Floor">},
    {"floor_divide", floor_divide},
    {"gather", same_axis<"Gather">},
    {"greater", same<"Greater">},
    {"greater_equal", same<"GreaterOrEqual">},
    {"iota", iota},
    {"less", same<"Less">},
    {"less_equal", same<"LessOrEqual">},
    {"log", same<"Log">},
    {"log1p", log1p},
    {"log_softmax", same_axis<"LogSoftmax">},
    {"logical_and", same<"And">},
    {"logical_not", same<"Not">},
    {"logical_or", same<"Or">},
    {"logsumexp", reduce<"ReduceLogSumExp">},
    {"matmul", same<"MatMul">},
    {"max", reduce<"ReduceMax">},
    {"max_pool", max_pool},
    {"maximum", same<"Max">},
    {"min", reduce<"ReduceMin">},
    {"minimum", same<"Min">},
    {"mul", same<"Mul">},
    {"neg", same<"Neg">},
    {"not_equal", not_equal},
    {"one_hot", one_hot},
    {"pad", pad},
    {"permute", permute},
    {"pow", same<"Pow">},
    {"prod", reduce<"ReduceProd">},
    {"relu", same<"Relu">},
    {"remainder", remainder},
    {"reshape", reshape},
    {"rsqrt", rsqrt},
    {"select", same<"Where">},
    {"sigmoid", same<"Sigmoid">},
    {"sign", same<"Sign">},
    {"silu", silu},
    {"sin", same<"Sin">},
    {"slice", slice},
    {"softmax", same_axis<"Softmax">},
    {"sqrt", same<"Sqrt">},
    {"stop_gradient", same<"Identity">},
    {"sub", same<"Sub">},
    {"sum", reduce<"ReduceSum">},
    {"tanh", same<"Tanh">},
};

}  // namespace

ExportRule find_export_rule(std::string_view name) {
  auto found = std::find_if(std::begin(kEntries), std::end(kEntries), [&](const Entry& e) { return e.op == name; });
  return found == std::end(kEntries) ? nullptr : found->rule;
}

}  // namespace tn::onnx
