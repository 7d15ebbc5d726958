#include <algorithm>
#include <map>
#include <set>

#include "onnx/convert.h"
#include "runtime/execute.h"

namespace tn::onnx {

// ---------------------------------------------------------------- inputs

Value Call::in(size_t i, i64 least_rank) const {
  if (!has(i)) refuse("input " + std::to_string(i), "none", "give it");
  if (inputs_[i].rank() < least_rank)
    refuse("at least " + std::to_string(least_rank) + " axes in input " + std::to_string(i),
           to_string(inputs_[i].type()));
  return inputs_[i];
}

Values Call::all_in() const {
  Values r;
  for (size_t i = 0; i < count(); ++i) r.push_back(in(i));
  if (r.empty()) refuse("at least one input", "none");
  return r;
}

namespace {

constexpr size_t kMostFolded = 4000;    // nodes evaluated for one value
constexpr i64 kMostElements = 1 << 16;  // and the elements they have in all
constexpr i64 kMostSizes = 1 << 12;     // elements of a tensor that are followed as sizes

/// Elements that a node makes; more than are computed at import where nobody knows.
i64 elements_of(const Graph& g, const Node& n) {
  i64 all = 0;
  for (u32 k = 0; k < n.result_count; ++k) {
    i64 count = 1;
    for (Dim d : g.type(n.first_result + k).shape())
      if (!d.is_constant() || __builtin_mul_overflow(count, d.value(), &count)) return kMostElements + 1;
    all = std::min(all + std::min(count, kMostElements + 1), kMostElements + 1);
  }
  return all;
}

/// Whether a node may be run at import: no effect, no size, no loop, whose end nobody knows, and few elements.
bool is_cheap(const Graph& g, const Node& n) {
  static const OpDef& dims_op = op("dims");
  if (is_constant(n)) return true;
  if (n.op == &dims_op || n.effectful) return false;
  for (const auto& [name, value] : n.attrs.items())
    if (std::holds_alternative<GraphPtr>(value)) return false;
  return elements_of(g, n) <= kMostElements;
}

/// Sees each new node once: what depends on an input without contents or on a node that is not run is open.
void follow(ImportState& state) {
  const Graph& g = state.builder.graph();
  std::vector<bool>& open = state.open.ids;
  while (open.size() < g.input_count()) open.push_back(!state.given.contains(static_cast<u32>(open.size())));
  auto nodes = g.nodes();
  for (size_t& k = state.open.followed; k < nodes.size(); ++k) {
    const Node& n = nodes[k];
    auto operands = g.operands(n);
    bool any = std::any_of(operands.begin(), operands.end(), [&](u32 v) { return open[v]; });
    open.resize(n.first_result + n.result_count, any || !is_cheap(g, n));
  }
}

/// The nodes a value is computed from, in order; nothing when it is open, or they are too many.
std::optional<std::vector<const Node*>> foldable_slice(ImportState& state, u32 id) {
  follow(state);
  if (state.open.ids[id]) return std::nullopt;
  const Graph& g = state.builder.graph();
  i64 elements = 0;
  std::vector<u32> left{id};
  std::set<const Node*> found;
  while (!left.empty()) {
    u32 v = left.back();
    left.pop_back();
    if (state.given.contains(v)) continue;
    const Node* n = producer({&state.builder, v});
    if (!found.insert(n).second) continue;
    if (!is_constant(*n)) elements += elements_of(g, *n);
    if (elements > kMostElements || found.size() > kMostFolded) {
      state.open.ids[id] = true;  // for good, and for what depends on it
      return std::nullopt;
    }
    for (u32 x : g.operands(*n)) left.push_back(x);
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
  const Node* n = producer(v);
  if (n && is_constant(*n)) return n->attrs.get<Array>("value");
  for (Dim d : v.shape())
    if (!d.is_constant()) return std::nullopt;
  auto slice = foldable_slice(state_, v.id);
  if (!slice) return std::nullopt;
  Array a = folded(state_, v.id, *slice);
  state_.given.insert_or_assign(v.id, a);
  return a;
}

Dim nearest_size(i64 v) { return std::clamp<i64>(v, -(i64{1} << 62), (i64{1} << 62) - 1); }

static std::optional<Array> known_integers(const Call& c, Value v) {
  if (!is_integer(v.dtype()) || v.rank() > 1) return std::nullopt;
  if (v.rank() == 1 && v.shape()[0].is_constant() && v.shape()[0].value() > kMostSizes) return std::nullopt;
  return c.known(v);
}

static Shape nearest_sizes(const Array& a) {
  Shape dims;
  for (i64 i = 0; i < a.size(); ++i) dims.push_back(nearest_size(a.get_int(i)));
  return dims;
}

std::optional<Shape> Call::find_dims(Value v) const {
  if (auto found = state_.dims.find(v.id); found != state_.dims.end()) return found->second;
  auto a = known_integers(*this, v);
  if (!a) return std::nullopt;
  for (i64 i = 0; i < a->size(); ++i)
    if (!Dim::holds(a->get_int(i))) return std::nullopt;
  return nearest_sizes(*a);
}

Shape Call::known_dims(size_t i) const {
  if (auto dims = find_dims(in(i))) return *dims;
  if (auto a = known_integers(*this, in(i))) return nearest_sizes(*a);
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

Dim Call::known_dim(size_t i) const {
  Shape dims = known_dims(i);
  if (dims.size() != 1) refuse("one element in input " + std::to_string(i), std::to_string(dims.size()));
  return dims[0];
}

i64 Call::known_int(size_t i) const {
  auto v = known_ints(i);
  if (v.size() != 1) refuse("one element in input " + std::to_string(i), std::to_string(v.size()));
  return v[0];
}

double Call::known_double(size_t i) const {
  auto v = known_doubles(i);
  if (v.size() != 1) refuse("one element in input " + std::to_string(i), std::to_string(v.size()));
  return v[0];
}

bool Call::are_held(const Shape& dims, DType dtype) {
  Array a = Array::empty(dtype, {});
  return std::all_of(dims.begin(), dims.end(), [&](Dim d) {
    if (!d.is_constant()) return true;
    a.set_int(0, d.value());
    return a.get_int(0) == d.value();
  });
}

Value Call::with_dims(Value v, Shape dims) const {
  state_.dims.insert_or_assign(v.id, std::move(dims));
  return v;
}

Value Call::from_dims(const Shape& dims, DType dtype, bool as_scalar) const {
  bool numbers = std::all_of(dims.begin(), dims.end(), [](Dim d) { return d.is_constant(); });
  if (numbers) {
    Array a = Array::empty(dtype, as_scalar ? std::vector<i64>{} : std::vector<i64>{static_cast<i64>(dims.size())});
    for (size_t i = 0; i < dims.size(); ++i) a.set_int(static_cast<i64>(i), dims[i].value());
    return constant_of(a);
  }
  Value v = cast(emit("dims", {}, {{"value", dims}}), dtype);
  if (as_scalar) v = reshape(v, {});
  return are_held(dims, dtype) ? with_dims(v, dims) : v;
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
  if (a) return a->ints;
  return otherwise;
}

std::vector<double> Call::floats(std::string_view name) const {
  const auto* a = attribute(name);
  return a ? std::vector<double>(a->floats.begin(), a->floats.end()) : std::vector<double>{};
}

std::vector<i64> Call::sizes(std::string_view name, size_t count, i64 otherwise, i64 least) const {
  std::vector<i64> r = integers(name, std::vector<i64>(count, otherwise));
  std::string what = std::to_string(count) + " numbers from " + std::to_string(least) + " to 2^31 in attribute '" +
                     std::string(name) + "'";
  if (r.size() != count) refuse(what, std::to_string(r.size()) + " numbers");
  for (i64 v : r)
    if (v < least || v > i64{1} << 31) refuse(what, std::to_string(v));
  return r;
}

i64 Call::size(std::string_view name, i64 otherwise, i64 least, i64 most) const {
  i64 v = integer(name, otherwise);
  if (v < least || v > most)
    refuse("attribute '" + std::string(name) + "' from " + std::to_string(least) + " to " + std::to_string(most),
           std::to_string(v));
  return v;
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

Value Call::map(std::string_view name, std::initializer_list<Value> x, Attrs attrs) const {
  Values operands(x);
  Shape shape = broadcast_shape(operands);
  for (Value& v : operands) v = broadcast_to(v, shape);
  return emit_all(name, operands, attrs)[0];
}

Value Call::scalar(double v, DType dtype) const {
  Array a = Array::empty(dtype, {});
  a.set(0, v);
  if (is_integer(dtype) && (a.get(0) != v || v >= 0x1p63))
    refuse("numbers of a dtype that holds " + std::to_string(v), std::string(name(dtype)));
  return constant_of(a);
}

Value Call::like(Value x, double v) const { return broadcast_to(scalar(v, x.dtype()), shape_of(x)); }

Value Call::reduce(std::string_view name, Value v, const std::vector<i64>& axes_, bool keepdims) const {
  Shape kept = shape_of(v);
  Value r = axes_.empty() ? v : emit(name, {v}, {{"axes", axes_}});
  if (!keepdims) return r;
  for (i64 a : axes_) kept[static_cast<size_t>(a)] = 1;
  return reshape(r, kept);
}

Value widened(Value x) { return is_float(x.dtype()) && bits(x.dtype()) == 16 ? cast(x, DType::f32) : x; }

// ---------------------------------------------------------------- checks

i64 Call::axis(i64 a, i64 rank) const {
  if (a < -rank || a >= rank)
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

static const std::map<std::string_view, std::vector<ConverterEntry>>& converters() {
  static const auto* index = [] {
    auto* all = new std::map<std::string_view, std::vector<ConverterEntry>>;
    for (auto table : {math_converters(), reduce_converters(), shape_converters(), index_converters(),
                       linear_converters(), attention_converters(), nn_converters(), loss_converters(),
                       pool_converters(), resize_converters(), control_converters()})
      for (const ConverterEntry& e : table) (*all)[e.op].push_back(e);
    return all;
  }();
  return *index;
}

Converter find_converter(std::string_view name, i64 opset) {
  auto found = converters().find(name);
  if (found == converters().end()) return nullptr;
  const ConverterEntry* best = nullptr;
  for (const ConverterEntry& e : found->second)
    if (e.since <= opset && (!best || e.since > best->since)) best = &e;
  return best ? best->convert : nullptr;
}

Strings converter_names() {
  Strings names;
  for (const auto& [name, entries] : converters()) names.emplace_back(name);
  return names;
}

}  // namespace tn::onnx
