#include "tenon/network.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <unordered_map>

#include "engine/picture.h"
#include "ir/named_graph.h"
#include "ir/op_def.h"
#include "ir/rewrite.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn {

/// The graph with its named constants as further inputs.
struct Network::Lifted {
  std::once_flag once;
  GraphPtr graph;
};

namespace {

bool is_weight(const Node& n) { return is_constant(n) && !n.attrs.get<std::string>("name").empty(); }

/// A graph of symbolic sizes takes those of the tensors it is recorded among.
GraphPtr fitted(const GraphPtr& g, std::span<const Tensor> inputs) {
  std::vector<std::pair<Dim, Dim>> sizes;
  for (u32 i = 0; i < std::min<size_t>(inputs.size(), g->input_count()); ++i) {
    auto want = g->type(i).shape(), have = inputs[i].shape();
    for (size_t a = 0; a < std::min(want.size(), have.size()); ++a) {
      auto known = [&](const auto& s) { return s.first == want[a]; };
      if (want[a].is_symbol() && want[a] != have[a] && std::none_of(sizes.begin(), sizes.end(), known))
        sizes.emplace_back(want[a], have[a]);
    }
  }
  return sizes.empty() ? g : with_sizes(*g, sizes);
}

Tensor tensor_of_array(const Array& a) { return handle(new_value(a, Location::current())); }

}  // namespace

Network::Network() : net_(std::make_shared<NamedGraph>()), lifted_(std::make_shared<Lifted>()) {}
Network::Network(std::shared_ptr<const NamedGraph> net) : net_(std::move(net)), lifted_(std::make_shared<Lifted>()) {}

// ---------------------------------------------------------------- looking

std::vector<NamedType> Network::inputs() const {
  std::vector<NamedType> r;
  for (size_t i = 0; i < net_->inputs.size(); ++i)
    r.push_back({net_->inputs[i], net_->graph->type(static_cast<u32>(i))});
  return r;
}

std::vector<NamedType> Network::outputs() const {
  std::vector<NamedType> r;
  for (size_t i = 0; i < net_->outputs.size(); ++i)
    r.push_back({net_->outputs[i], net_->graph->type(net_->graph->outputs()[i])});
  return r;
}

NamedTensors Network::weights() const {
  NamedTensors r;
  for (const Node& n : net_->graph->nodes())
    if (is_weight(n)) r.emplace_back(n.attrs.get<std::string>("name"), tensor_of_array(n.attrs.get<Array>("value")));
  return r;
}

size_t Network::count(std::string_view op_name) const {
  size_t n = 0;
  for (const Node& node : net_->graph->nodes()) n += node.op->name == op_name;
  return n;
}

std::string Network::text() const { return to_string(*net_->graph); }
std::string Network::svg() const { return svg_picture(*net_); }

// ---------------------------------------------------------------- editing

Network Network::with_weights(std::span<const Tensor> weights_) const {
  size_t next = 0;
  auto changed = std::make_shared<NamedGraph>(*net_);
  changed->graph = rewrite_graph(
      *net_->graph, net_->graph->input_types(), [&](Builder& b, const Node& n, ValueSpan) -> std::optional<Values> {
        if (!is_weight(n)) return std::nullopt;
        if (next == weights_.size())
          fail("with_weights", "expected a tensor for each weight, got " + std::to_string(weights_.size()));
        const Tensor& t = weights_[next++];
        if (t.type() != net_->graph->type(n.first_result))
          fail("with_weights", "expected '" + n.attrs.get<std::string>("name") + "' " +
                                   to_string(net_->graph->type(n.first_result)) + ", got " + to_string(t.type()));
        const Array& value = value_of(node_of(t, "with_weights", n.where), n.where);
        return b.emit(*n.op, {}, n.attrs.with("value", value));
      });
  if (next != weights_.size())
    fail("with_weights", "expected " + std::to_string(next) + " tensors, got " + std::to_string(weights_.size()));
  return Network(std::move(changed));
}

/// Fields as the op's attributes want them.
static Attrs attrs_of(const OpDef& by, const std::vector<Field>& fields) {
  std::vector<NamedAttr> items;
  for (const Field& f : fields) {
    const AttrSpec* spec = nullptr;
    for (const AttrSpec& s : by.signature.attrs)
      if (s.name == f.name) spec = &s;
    if (!spec) fail(by.name, "expected no field '" + f.name + "'; the op has none of that name");
    if (spec->kind == AttrKind::floating)
      items.emplace_back(f.name, f.number);
    else if (spec->kind == AttrKind::integer && (f.number != std::trunc(f.number) || std::fabs(f.number) > 0x1p53))
      fail(by.name, "expected an integer for field '" + f.name + "', got " + std::to_string(f.number));
    else if (spec->kind == AttrKind::integer)
      items.emplace_back(f.name, static_cast<i64>(f.number));
    else if (spec->kind == AttrKind::boolean)
      items.emplace_back(f.name, f.number != 0);
    else
      fail(by.name, "expected a number for a field of numbers, got field '" + f.name + "'");
  }
  return Attrs(std::move(items));
}

Network Network::replace_last(std::string_view op_name, std::string_view by, const std::vector<Field>& fields) const {
  const Node* last = nullptr;
  for (const Node& n : net_->graph->nodes())
    if (n.op->name == op_name) last = &n;
  if (!last) fail("replace_last", "expected a node of op " + std::string(op_name) + ", got a network without one");
  const OpDef& replacement = op(by);
  auto changed = std::make_shared<NamedGraph>(*net_);
  changed->graph = rewrite_graph(
      *net_->graph, net_->graph->input_types(), [&](Builder& b, const Node& n, ValueSpan x) -> std::optional<Values> {
        if (&n != last) return std::nullopt;
        Values r = b.emit(replacement, x, attrs_of(replacement, fields), &n.where);
        for (u32 i = 0; i < n.result_count; ++i)
          if (i >= r.size() || r[i].type() != net_->graph->type(n.first_result + i))
            fail("replace_last", "expected " + std::string(by) + " to give " +
                                     to_string(net_->graph->type(n.first_result + i)) + ", got another type");
        return r;
      });
  return Network(std::move(changed));
}

// ---------------------------------------------------------------- calling

std::vector<Tensor> Network::operator()(std::span<const Tensor> inputs, Location at) const {
  return call_graph(fitted(net_->graph, inputs), inputs, at);
}

std::vector<Tensor> Network::apply(std::span<const Tensor> weights_, std::span<const Tensor> inputs_,
                                   Location at) const {
  std::call_once(lifted_->once, [&] {
    const Graph& g = *net_->graph;
    std::vector<Type> types(g.input_types().begin(), g.input_types().end());
    for (const Node& n : g.nodes())
      if (is_weight(n)) types.push_back(g.type(n.first_result));
    u32 next = g.input_count();
    lifted_->graph = rewrite_graph(g, types, [&](Builder& b, const Node& n, ValueSpan) -> std::optional<Values> {
      if (!is_weight(n)) return std::nullopt;
      return Values{Value{&b, next++}};
    });
  });
  size_t want = lifted_->graph->input_count() - net_->graph->input_count();
  if (weights_.size() != want)
    fail("network", "expected " + std::to_string(want) + " weights, got " + std::to_string(weights_.size()), at);
  std::vector<Tensor> all(inputs_.begin(), inputs_.end());
  all.insert(all.end(), weights_.begin(), weights_.end());
  return call_graph(fitted(lifted_->graph, all), all, at);
}

// ---------------------------------------------------------------- tracing

struct detail::NetworkTrace::State {
  detail::Trace trace;
  std::vector<std::string> inputs = {};
  NamedTensors weights = {};                               // as they were
  std::unordered_map<const Pending*, Tensor> leaves = {};  // by what they were
};

detail::NetworkTrace::NetworkTrace(Location where)
    : state_(new State{detail::Trace("trace_network", {.reads = false, .captures = true, .rebinding = false}, where)}) {
}
detail::NetworkTrace::~NetworkTrace() = default;

Tensor detail::NetworkTrace::input(const NamedType& type) {
  TraceState& s = state_->trace.state();
  Tensor made = s.leaf(type.type, Tensor());
  s.inputs.push_back(made);
  state_->inputs.push_back(type.name);
  return made;
}

/// A tensor that stands twice in the model is one weight, under its first name.
void detail::NetworkTrace::weight(const std::string& name, Tensor& tensor) {
  auto [at, fresh] = state_->leaves.try_emplace(resolve(tensor.node()));
  if (fresh) {
    TraceState& s = state_->trace.state();
    at->second = s.leaf(tensor.type(), tensor);
    s.inputs.push_back(at->second);
    state_->weights.emplace_back(name, tensor);
  }
  tensor = at->second;
}

Network detail::NetworkTrace::close(std::span<Tensor* const> results, const std::vector<std::string>& outputs) {
  if (results.size() != outputs.size())
    fail("trace_network", "expected a name for each of " + std::to_string(results.size()) + " outputs, got " +
                              std::to_string(outputs.size()));
  std::vector<Tensor> out;
  for (const Tensor* t : results) out.push_back(*t);
  Cut cut = state_->trace.state().cut(out);
  auto net = std::make_shared<NamedGraph>();
  net->inputs = state_->inputs;
  net->outputs = outputs;
  net->graph = make_graph(cut.graph->input_types().first(net->inputs.size()), [&](Builder& b, ValueSpan x) {
    Values all(x.begin(), x.end());
    auto bind = [&](const Tensor& t, const std::string& name) {
      all.push_back(b.emit1(op("constant"), {}, {{"value", value_of(t.node(), Location::current())}, {"name", name}}));
    };
    for (const auto& [name, t] : state_->weights) bind(t, name);
    for (const Tensor& t : cut.captures) bind(t, "");
    return inline_graph(b, *cut.graph, all);
  });
  return Network(std::move(net));
}

// ---------------------------------------------------------------- files

Network import_onnx(const std::string& path) { return Network(std::make_shared<NamedGraph>(onnx::import_file(path))); }
void export_onnx(const Network& network, const std::string& path) { onnx::export_file(network.named_graph(), path); }

}  // namespace tn
