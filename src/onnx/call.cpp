#include <algorithm>
#include <set>

#include "onnx/convert.h"
#include "runtime/execute.h"

namespace tn::onnx {

// ---------------------------------------------------------------- inputs

Value Call::in(size_t i) const {
  if (!has(i)) refuse("input " + std::to_string(i), "none", "give it");
  return inputs_[i];
}

/// The node that makes a value; null for an input.
static const Node* producer(const Graph& g, u32 id) {
  if (id < g.input_count()) return nullptr;
  auto nodes = g.nodes();
  auto after =
      std::upper_bound(nodes.begin(), nodes.end(), id, [](u32 v, const Node& n) { return v < n.first_result; });
  return &*(after - 1);
}

namespace {

constexpr size_t kMostFolded = 4000;  // nodes evaluated for one value

/// The nodes a value is computed from, in order; nothing when an input without contents, a size or an effect is among
/// them.
std::optional<std::vector<const Node*>> foldable_slice(const ImportState& state, u32 id) {
  static const OpDef& dims_op = op("dims");
  const Graph& g = state.builder.graph();
  std::vector<u32> open{id};
  std::set<const Node*> found;
  while (!open.empty()) {
    u32 v = open.back();
    open.pop_back();
    if (state.given.contains(v)) continue;
    const Node* n = producer(g, v);
    if (!n || n->op == &dims_op || n->effectful || found.size() > kMostFolded) return std::nullopt;
    if (found.insert(n).second)
      for (u32 x : g.operands(*n)) open.push_back(x);
  }
  return std::vector<const Node*>(found.begin(), found.end());  // addresses rise with the order of the nodes
}

/// Runs the slice on what is given.
Array folded(const ImportState& state, u32 id, const std::vector<const Node*>& slice) {
  const Graph& g = state.builder.graph();
  std::vector<u32> leaves;
  std::vector<Type> types;
  std::vector<Array> values;
  auto leaf = [&](u32 v) {
    auto found = state.given.find(v);
    if (found == state.given.end() || std::find(leaves.begin(), leaves.end(), v) != leaves.end()) return;
    const Array& a = found->second;
    leaves.push_back(v);
    types.push_back(Type::tensor(a.dtype, Shape(a.shape.begin(), a.shape.end())));
    values.push_back(a);
  };
  for (const Node* n : slice)
    for (u32 v : g.operands(*n)) leaf(v);
  GraphPtr graph = make_graph(types, [&](Builder& b, ValueSpan in) {
    std::unordered_map<u32, Value> env;
    for (size_t i = 0; i < leaves.size(); ++i) env.emplace(leaves[i], in[i]);
    for (const Node* n : slice) {
      Values x;
      for (u32 v : g.operands(*n)) x.push_back(env.at(v));
      Values r = b.emit(*n->op, x, n->attrs);
      for (u32 k = 0; k < n->result_count; ++k) env.emplace(n->first_result + k, r[k]);
    }
    return Values{env.at(id)};
  });
  return execute(graph, values)[0];
}

}  // namespace

std::optional<Array> Call::known(Value v) const {
  if (auto found = state_.given.find(v.id); found != state_.given.end()) return found->second;
  static const OpDef& constant_op = op("constant");
  const Node* n = producer(builder().graph(), v.id);
  if (n && n->op == &constant_op) return n->attrs.get<Array>("value");
  for (Dim d : v.shape())
    if (!d.is_constant()) return std::nullopt;
  auto slice = foldable_slice(state_, v.id);
  if (!slice) return std::nullopt;
  Array a = folded(state_, v.id, *slice);
  state_.given.insert_or_assign(v.id, a);
  return a;
}

std::optional<Shape> Call::find_dims(Value v) const {
  if (auto found = state_.dims.find(v.id); found != state_.dims.end()) return found->second;
  auto a = known(v);
  if (!a || !is_integer(a->dtype) || a->shape.size() > 1) return std::nullopt;
  Shape dims;
  for (i64 i = 0; i < a->size(); ++i) dims.push_back(std::clamp<i64>(a->get_int(i), -(1ll << 62), (1ll << 62) - 1));
  return dims;
}

Shape Call::known_dims(size_t i) const {
  if (auto dims = find_dims(in(i))) return *dims;
  refuse("input " + std::to_string(i) + " to be computable at import", "a value that depends on data",
         "make it an initializer, or give the model's shape inputs when building");
}

std::vector<i64> Call::known_ints(size_t i) const {
  std::vector<i64> result;
  for (Dim d : known_dims(i)) {
    if (!d.is_constant())
      refuse("input " + std::to_string(i) + " to be numbers", to_string(d), "fix that size in the model");
    result.push_back(d.value());
  }
  return result;
}

std::vector<double> Call::known_doubles(size_t i) const {
  auto a = known(in(i));
  if (!a)
    refuse("input " + std::to_string(i) + " to be a constant", "a value that depends on data",
           "make it an initializer");
  std::vector<double> result;
  for (i64 k = 0; k < a->size(); ++k) result.push_back(a->get(k));
  return result;
}

Value Call::with_dims(Value v, Shape dims) const {
  state_.dims.insert_or_assign(v.id, std::move(dims));
  return v;
}

Value Call::from_dims(const Shape& dims, DType dtype, bool as_scalar) const {
  bool numbers = std::all_of(dims.begin(), dims.end(), [](Dim d) { return d.is_constant(); });
  Value v;
  if (numbers) {
    Array a = Array::empty(dtype, as_scalar ? std::vector<i64>{} : std::vector<i64>{static_cast<i64>(dims.size())});
    for (size_t i = 0; i < dims.size(); ++i) a.set_int(static_cast<i64>(i), dims[i].value());
    v = constant(a);
  } else {
    v = cast(emit("dims", {}, {{"value", dims}}), dtype);
    if (as_scalar) v = reshape(v, {});
  }
  return with_dims(v, dims);
}

// ---------------------------------------------------------------- attributes

const Attribute* Call::attribute(std::string_view name) const {
  for (const auto& a : node_.attributes)
    if (a.name == name) return &a;
  return nullptr;
}

i64 Call::integer(std::string_view name, i64 otherwise) const {
  const auto* a = attribute(name);
  return a ? a->i : otherwise;
}

double Call::floating(std::string_view name, double otherwise) const {
  const auto* a = attribute(name);
  return a ? static_cast<double>(a->f) : otherwise;
}

std::string Call::text(std::string_view name, std::string_view otherwise) const {
  const auto* a = attribute(name);
  return a ? a->s : std::string(otherwise);
}

std::vector<i64> Call::integers(std::string_view name, std::vector<i64> otherwise) const {
  const auto* a = attribute(name);
  return a ? a->ints : std::move(otherwise);
}

std::vector<double> Call::floats(std::string_view name) const {
  const auto* a = attribute(name);
  return a ? std::vector<double>(a->floats.begin(), a->floats.end()) : std::vector<double>{};
}

// ---------------------------------------------------------------- emitting

Values Call::emit_all(std::string_view name, ValueSpan x, Attrs attrs) const {
  return builder().emit(op(name), x, attrs);
}

Value Call::emit(std::string_view name, std::initializer_list<Value> x, Attrs attrs) const {
  return builder().emit1(op(name), x, attrs);
}

Shape Call::broadcast_shape(ValueSpan x) const {
  size_t rank = 0;
  for (Value v : x) rank = std::max(rank, static_cast<size_t>(v.rank()));
  Shape shape(rank, Dim(1));
  for (Value v : x) {
    size_t lead = rank - static_cast<size_t>(v.rank());
    for (size_t i = lead; i < rank; ++i) {
      Dim d = v.shape()[i - lead];
      if (d == shape[i] || d == Dim(1)) continue;
      if (shape[i] != Dim(1))
        refuse("shapes that broadcast",
               to_string(v.type()) + " against " + to_string(shape[i]) + " on axis " + std::to_string(i));
      shape[i] = d;
    }
  }
  return shape;
}

Value Call::broadcast_to(Value v, const Shape& shape) const {
  auto have = v.shape();
  if (std::equal(have.begin(), have.end(), shape.begin(), shape.end())) return v;
  std::vector<i64> axes_;
  for (size_t i = 0; i < have.size(); ++i) axes_.push_back(static_cast<i64>(shape.size() - have.size() + i));
  return emit("broadcast", {v}, {{"shape", shape}, {"dims", axes_}});
}

Value Call::map(std::string_view name, std::initializer_list<Value> x, Attrs attrs) const {
  Values operands(x);
  Shape shape = broadcast_shape(operands);
  for (Value& v : operands) v = broadcast_to(v, shape);
  return emit_all(name, operands, attrs)[0];
}

Value Call::constant(const Array& a, std::string_view name) const {
  return emit("constant", {}, {{"value", a}, {"name", std::string(name)}});
}

Value Call::scalar(double v, DType dtype) const {
  Array a = Array::empty(dtype, {});
  if (is_float(dtype))
    a.set(0, v);
  else
    a.set_int(0, static_cast<i64>(v));
  return constant(a);
}

Value Call::like(Value x, double v) const {
  return broadcast_to(scalar(v, x.dtype()), Shape(x.shape().begin(), x.shape().end()));
}

Value Call::cast(Value v, DType dtype) const { return v.dtype() == dtype ? v : emit("cast", {v}, {{"dtype", dtype}}); }

Value Call::reshape(Value v, const Shape& shape) const {
  auto have = v.shape();
  if (std::equal(have.begin(), have.end(), shape.begin(), shape.end())) return v;
  return emit("reshape", {v}, {{"shape", shape}});
}

Value Call::permute(Value v, const std::vector<i64>& axes_) const {
  return std::is_sorted(axes_.begin(), axes_.end()) ? v : emit("permute", {v}, {{"axes", axes_}});
}

Value Call::reduce(std::string_view name, Value v, const std::vector<i64>& axes_, bool keepdims) const {
  Shape kept(v.shape().begin(), v.shape().end());
  Value r = axes_.empty() ? v : emit(name, {v}, {{"axes", axes_}});
  if (!keepdims) return r;
  for (i64 a : axes_) kept[static_cast<size_t>(a)] = 1;
  return reshape(r, kept);
}

Value Call::slice(Value v, i64 axis_, Dim start, Dim limit, i64 stride) const {
  Shape starts(v.shape().size(), Dim(0)), limits(v.shape().begin(), v.shape().end());
  std::vector<i64> strides(v.shape().size(), 1);
  auto a = static_cast<size_t>(axis_);
  starts[a] = start;
  limits[a] = limit;
  strides[a] = stride;
  return emit("slice", {v}, {{"starts", starts}, {"limits", limits}, {"strides", strides}});
}

Value Call::concat(ValueSpan x, i64 axis_) const {
  if (x.size() == 1) return x[0];
  return emit_all("concat", x, {{"axis", axis_}})[0];
}

// ---------------------------------------------------------------- checks

i64 Call::axis(i64 a, i64 rank) const {
  if (a < -rank || a >= std::max<i64>(rank, 1))
    refuse("an axis in [-" + std::to_string(rank) + ", " + std::to_string(rank) + ")", std::to_string(a));
  return a < 0 ? a + rank : a;
}

std::vector<i64> Call::axes(std::vector<i64> a, i64 rank) const {
  for (i64& x : a) x = axis(x, rank);
  std::sort(a.begin(), a.end());
  if (std::adjacent_find(a.begin(), a.end()) != a.end()) refuse("each axis once", "one twice");
  return a;
}

void Call::refuse(const std::string& expected, const std::string& got, const std::string& fix) const {
  fail(node_.op_type, "expected " + expected + ", got " + got + (fix.empty() ? "" : "; " + fix));
}

Converter find_converter(std::string_view name, i64 opset) {
  static const auto* index = [] {
    auto* all = new std::unordered_map<std::string_view, std::vector<ConverterEntry>>;
    for (auto table :
         {math_converters(), reduce_converters(), shape_converters(), index_converters(), linear_converters(),
          nn_converters(), loss_converters(), pool_converters(), control_converters()})
      for (const ConverterEntry& e : table) (*all)[e.op].push_back(e);
    return all;
  }();
  auto found = index->find(name);
  if (found == index->end()) return nullptr;
  const ConverterEntry* best = nullptr;
  for (const ConverterEntry& e : found->second)
    if (e.since <= opset && (!best || e.since > best->since)) best = &e;
  return best ? best->convert : nullptr;
}

}  // namespace tn::onnx
