// Building, saving, loading and running plans. A plan file holds the graph (its large constants beside it, aligned, so
// that they are used where they are mapped), and the machine code of every kernel for the CPU it was built on; loading
// parses the graph, lowers it again and finds all code in the file.
#include "tenon/engine.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "backend/cpu/cpu.h"
#include "engine/fold.h"
#include "engine/plan_file.h"
#include "ir/op_def.h"
#include "runtime/context.h"
#include "tensor/evaluate.h"

namespace tn::engine {

class PlanState {
 public:
  NamedGraph net;
  std::vector<ShapeProfile> profiles;
  PlanPtr plan;
  std::string note;
  std::shared_ptr<void> mapping;
};

namespace {

using nlohmann::json;

constexpr size_t kInlineBytes = 64;  // constants up to this stay in the graph's text

const OpDef& constant_op() {
  static const OpDef& found = op("constant");
  return found;
}

Target target() {
  if (!cpu::compiler_problem().empty()) return {};
  return {.map_lanes = 16, .compiled = true, .vector_bits = cpu::vector_bits(cpu::host_isa())};
}

std::set<std::string> size_names(const Graph& g) {
  std::set<std::string> names;
  for (Type t : g.input_types())
    for (Dim d : t.shape())
      for (Dim s : symbols_of(d)) names.insert(to_string(s));
  return names;
}

void check_profiles(const Graph& g, const std::vector<ShapeProfile>& profiles) {
  std::set<std::string> names = size_names(g);
  for (const ShapeProfile& p : profiles) {
    if (!names.contains(p.name)) {
      std::string have;
      for (const std::string& n : names) have += (have.empty() ? "" : ", ") + n;
      fail("build", "expected a profile for a size of the network (" + (have.empty() ? "it has none" : have) +
                        "), got '" + p.name + "'");
    }
    if (p.min < 0 || p.min > p.opt || p.opt > p.max)
      fail("build", "expected min <= opt <= max for size '" + p.name + "', got " + std::to_string(p.min) + ", " +
                        std::to_string(p.opt) + ", " + std::to_string(p.max));
  }
}

void collect_kernels(const tn::Plan& plan, std::map<std::string_view, const Executable*>& found) {
  for (const Instruction& i : plan.instructions()) {
    if (i.code && i.code->compiled()) found.emplace(i.code->text(), i.code.get());
    for (const auto& body : i.bodies) collect_kernels(*body, found);
  }
}

bool large(const Node& n) { return n.op == &constant_op() && n.attrs.get<Array>("value").nbytes() > kInlineBytes; }

/// The graph with large constants as further inputs, and those constants in order.
GraphPtr lifted(const Graph& g, std::vector<const Node*>& constants) {
  std::vector<Type> types(g.input_types().begin(), g.input_types().end());
  for (const Node& n : g.nodes())
    if (large(n)) {
      constants.push_back(&n);
      types.push_back(g.type(n.first_result));
    }
  return make_graph(types, [&](Builder& b, ValueSpan in) {
    Values env(g.value_count());
    std::copy(in.begin(), in.begin() + g.input_count(), env.begin());
    u32 next = g.input_count();
    for (const Node& n : g.nodes()) {
      if (large(n)) {
        env[n.first_result] = in[next++];
        continue;
      }
      Values x;
      for (u32 v : g.operands(n)) x.push_back(env[v]);
      Values r = b.emit(*n.op, x, n.attrs);
      std::copy(r.begin(), r.end(), env.begin() + n.first_result);
    }
    Values out;
    for (u32 o : g.outputs()) out.push_back(env[o]);
    return out;
  });
}

/// The other way round: inputs after the first `count` become constants again.
GraphPtr bound(const Graph& g, size_t count, const std::vector<NamedAttr>& constants) {
  std::vector<Type> types(g.input_types().begin(), g.input_types().begin() + static_cast<std::ptrdiff_t>(count));
  return make_graph(types, [&](Builder& b, ValueSpan in) {
    Values all(in.begin(), in.end());
    for (const auto& [name, value] : constants)
      all.push_back(b.emit1(constant_op(), {}, {{"value", value}, {"name", name}}));
    return inline_graph(b, g, all);
  });
}

[[noreturn]] void damaged(const std::string& path, const std::string& what) {
  fail("plan", "'" + path + "': expected " + what + "; the file is damaged");
}

/// Constants as the header lists them, used where they are mapped.
std::vector<NamedAttr> constants_of(const std::string& path, const json& list, const PlanFile& file) {
  std::vector<NamedAttr> constants;
  for (const json& c : list) {
    Array a;
    a.dtype = dtype_from_name(c.at("dtype").get<std::string>());
    a.shape = c.at("shape").get<std::vector<i64>>();
    u64 offset = c.at("offset").get<u64>(), size = static_cast<u64>(bytes(a.dtype));
    for (i64 e : a.shape)
      if (e < 0 || __builtin_mul_overflow(size, static_cast<u64>(e), &size)) damaged(path, "extents that fit");
    if (offset % kAlignment || offset > file.data.size() || size > file.data.size() - offset)
      damaged(path, "constants within the file");
    a.storage = Storage::borrow(const_cast<char*>(file.data.data() + offset), size, file.mapping);
    constants.emplace_back(c.at("name").get<std::string>(), a);
  }
  return constants;
}

void add_kernels(PlanState& s, const PlanFile& file, const std::string& isa) {
  auto host = cpu::host_isa();
  if (isa == cpu::name(host)) {
    for (const StoredKernel& k : file.kernels)
      cpu::add_compiled(k.text, host, std::as_bytes(std::span(k.object.data(), k.object.size())));
    return;
  }
  std::string problem = cpu::compiler_problem();
  s.note = "the plan was built for " + isa + ", this machine runs " + std::string(cpu::name(host)) +
           ": its kernels are " + (problem.empty() ? "compiled again" : "interpreted, for " + problem);
}

}  // namespace

// ---------------------------------------------------------------- plans

Plan::Plan(std::shared_ptr<const PlanState> state) : state_(std::move(state)) {}

Plan build(const Network& network, const BuildOptions& options) {
  auto s = std::make_shared<PlanState>();
  s->net = network.named_graph();
  if (!s->net.graph) fail("build", "expected a network, got an empty one");
  check_profiles(*s->net.graph, options.profiles);
  s->net.graph = fold_constants(s->net.graph);
  s->profiles = options.profiles;
  s->plan = tn::Plan::build(s->net.graph, target());
  s->note = cpu::compiler_problem();
  return Plan(std::move(s));
}

static std::vector<NamedType> named(const std::vector<std::string>& names, std::span<const Type> types) {
  std::vector<NamedType> r;
  for (size_t i = 0; i < names.size(); ++i) r.push_back({names[i], types[i]});
  return r;
}

std::vector<NamedType> Plan::inputs() const { return named(state_->net.inputs, state_->net.graph->input_types()); }
std::vector<NamedType> Plan::outputs() const { return named(state_->net.outputs, state_->plan->output_types()); }
const std::vector<ShapeProfile>& Plan::profiles() const { return state_->profiles; }
const std::string& Plan::note() const { return state_->note; }

std::string Plan::text() const {
  static constexpr std::string_view kKinds[] = {"kernel", "native", "copy", "cond", "loop", "scan"};
  std::string text;
  size_t at = 0;
  for (const Instruction& i : state_->plan->instructions()) {
    text += std::to_string(at++) + " " + std::string(kKinds[static_cast<size_t>(i.kind)]);
    if (i.op) text += " " + std::string(i.op->name);
    auto list = [&](const char* word, const std::vector<u32>& slots) {
      text += word;
      for (u32 s : slots) text += " " + std::to_string(s);
    };
    list(" reads", i.reads);
    list(" writes", i.writes);
    if (i.code)
      text += " phases " + std::to_string(i.phases.size()) + (i.code->compiled() ? " compiled" : " interpreted");
    text += "\n";
  }
  return text;
}

void Plan::save(const std::string& path) const {
  const PlanState& s = *state_;
  std::vector<const Node*> constants;
  std::string graph = to_string(*lifted(*s.net.graph, constants)), data;
  json header;
  header["isa"] = cpu::name(cpu::host_isa());
  header["inputs"] = s.net.inputs;
  header["outputs"] = s.net.outputs;
  header["metadata"] = s.net.metadata;
  header["profiles"] = json::array();
  for (const ShapeProfile& p : s.profiles)
    header["profiles"].push_back({{"name", p.name}, {"min", p.min}, {"opt", p.opt}, {"max", p.max}});
  header["constants"] = json::array();
  for (const Node* n : constants) {
    const Array& a = n->attrs.get<Array>("value");
    data.append((kAlignment - data.size() % kAlignment) % kAlignment, '\0');
    header["constants"].push_back({{"name", n->attrs.get<std::string>("name")},
                                   {"dtype", name(a.dtype)},
                                   {"shape", a.shape},
                                   {"offset", data.size()}});
    data.append(reinterpret_cast<const char*>(a.bytes_begin()), a.nbytes());
  }
  std::map<std::string_view, const Executable*> kernels;
  collect_kernels(*s.plan, kernels);
  PlanFile file;
  file.header = header.dump();
  file.graph = graph;
  file.data = data;
  for (const auto& [text, e] : kernels) {
    auto object = e->code()->object();
    file.kernels.push_back({text, {reinterpret_cast<const char*>(object.data()), object.size()}});
  }
  write_plan_file(path, file);
}

Plan Plan::load(const std::string& path, bool recompile) {
  PlanFile file = read_plan_file(path);
  auto s = std::make_shared<PlanState>();
  s->mapping = file.mapping;
  try {
    json header = json::parse(file.header);
    s->net.inputs = header.at("inputs").get<std::vector<std::string>>();
    s->net.outputs = header.at("outputs").get<std::vector<std::string>>();
    s->net.metadata = header.at("metadata").get<std::vector<std::pair<std::string, std::string>>>();
    for (const json& p : header.at("profiles"))
      s->profiles.push_back(
          {p.at("name").get<std::string>(), p.at("min").get<i64>(), p.at("opt").get<i64>(), p.at("max").get<i64>()});
    auto constants = constants_of(path, header.at("constants"), file);
    GraphPtr g = parse_graph(file.graph);
    if (g->input_count() != s->net.inputs.size() + constants.size() || g->outputs().size() != s->net.outputs.size())
      damaged(path, "a graph with the inputs and outputs its header names");
    s->net.graph = bound(*g, s->net.inputs.size(), constants);
    check_profiles(*s->net.graph, s->profiles);
    if (!recompile) add_kernels(*s, file, header.at("isa").get<std::string>());
  } catch (const json::exception&) { damaged(path, "a header in JSON"); }
  s->plan = tn::Plan::build(s->net.graph, target());
  return Plan(std::move(s));
}

// ---------------------------------------------------------------- contexts

struct Context::State {
  explicit State(Plan p)
      : plan(std::move(p)),
        context(plan.state().plan),
        inputs(names().inputs.size()),
        shapes(inputs.size()),
        outputs(names().outputs.size()),
        capacity(outputs.size()) {}
  const NamedGraph& names() const { return plan.state().net; }

  Plan plan;
  tn::Context context;
  std::vector<i64> key;  // shapes the context is bound to
  std::vector<std::byte*> inputs;
  std::vector<std::vector<i64>> shapes;
  std::vector<std::byte*> outputs;
  std::vector<size_t> capacity;
  std::vector<std::vector<i64>> output_shapes;

  void check_input(size_t i, const std::vector<i64>& shape, DimEnv& env) const {
    Type want = plan.state().plan->input_types()[i];
    auto refuse = [&](const std::string& why) {
      fail("run", "expected " + to_string(want) + " for input '" + names().inputs[i] + "', got " + why);
    };
    if (shape.size() != want.shape().size()) refuse(std::to_string(shape.size()) + " axes");
    for (size_t a = 0; a < shape.size(); ++a) {
      Dim d = want.shape()[a];
      std::optional<i64> known = d.is_constant() ? std::optional(d.value())
                                 : d.is_symbol() ? env.find(d)
                                                 : std::nullopt;
      if (known && *known != shape[a])
        refuse("extent " + std::to_string(shape[a]) + " on axis " + std::to_string(a) + ", where " + to_string(d) +
               " is " + std::to_string(*known));
      if (!known && d.is_symbol()) env.set(d, shape[a]);
    }
  }

  void check_profiles(const DimEnv& env) const {
    for (const ShapeProfile& p : plan.profiles())
      if (auto v = env.find(Dim::symbol(p.name)); v && (*v < p.min || *v > p.max))
        fail("run", "expected size '" + p.name + "' from " + std::to_string(p.min) + " to " + std::to_string(p.max) +
                        ", got " + std::to_string(*v) + "; build the plan with a wider profile");
  }

  /// Plans memory for the shapes, unless they are the last ones.
  void bind_shapes() {
    size_t at = 0;
    bool same = !key.empty() || inputs.empty();
    for (const auto& s : shapes)
      for (i64 e : s) {
        same = same && at < key.size() && key[at] == e;
        ++at;
      }
    if (same && at == key.size() && context.bound()) return;
    DimEnv env;
    for (size_t i = 0; i < shapes.size(); ++i) check_input(i, shapes[i], env);
    check_profiles(env);
    for (size_t i = 0; i < shapes.size(); ++i)
      for (size_t a = 0; a < shapes[i].size(); ++a)
        if (evaluate(plan.state().plan->input_types()[i].shape()[a], env) != shapes[i][a])
          fail("run", "expected extent " + to_string(plan.state().plan->input_types()[i].shape()[a]) + " on axis " +
                          std::to_string(a) + " of input '" + names().inputs[i] + "', got " +
                          std::to_string(shapes[i][a]));
    context.bind(env);
    output_shapes.clear();
    for (Type t : plan.state().plan->output_types()) {
      std::vector<i64> shape;
      for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
      output_shapes.push_back(std::move(shape));
    }
    key.clear();
    for (const auto& s : shapes) key.insert(key.end(), s.begin(), s.end());
  }

  size_t position(const std::vector<std::string>& list, std::string_view name, const char* what) const {
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i] == name) return i;
    fail("bind", "expected the name of an " + std::string(what) + ", got '" + std::string(name) + "'");
  }
};

Context::Context(Plan plan) : state_(std::make_unique<State>(std::move(plan))) {}
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;
Context::~Context() = default;

std::vector<Tensor> Context::run(std::span<const Tensor> inputs) {
  State& s = *state_;
  if (inputs.size() != s.inputs.size())
    fail("run", "expected " + std::to_string(s.inputs.size()) + " inputs, got " + std::to_string(inputs.size()));
  std::vector<Array> arrays;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Array& a = value_of(node_of(inputs[i], "run", Location::current()), Location::current());
    DType want = s.plan.state().plan->input_types()[i].dtype();
    if (a.dtype != want)
      fail("run", "expected " + std::string(name(want)) + " for input '" + s.names().inputs[i] + "', got " +
                      std::string(name(a.dtype)) + "; use cast");
    s.shapes[i] = a.shape;
    s.inputs[i] = a.bytes_begin();
    arrays.push_back(a);
  }
  s.bind_shapes();
  std::vector<Array> results;
  std::vector<std::byte*> outputs;
  for (size_t o = 0; o < s.output_shapes.size(); ++o) {
    results.push_back(Array::empty(s.plan.state().plan->output_types()[o].dtype(), s.output_shapes[o]));
    outputs.push_back(results.back().bytes_begin());
  }
  s.context.run(s.inputs, outputs);
  std::vector<Tensor> tensors;
  for (Array& a : results) tensors.push_back(handle(new_value(std::move(a), Location::current())));
  return tensors;
}

void Context::bind_input(std::string_view name, const void* data, std::span<const i64> shape) {
  size_t i = state_->position(state_->names().inputs, name, "input");
  state_->inputs[i] = static_cast<std::byte*>(const_cast<void*>(data));
  state_->shapes[i].assign(shape.begin(), shape.end());
}

void Context::bind_output(std::string_view name, void* data, size_t bytes_) {
  size_t i = state_->position(state_->names().outputs, name, "output");
  state_->outputs[i] = static_cast<std::byte*>(data);
  state_->capacity[i] = bytes_;
}

void Context::run() {
  State& s = *state_;
  for (size_t i = 0; i < s.inputs.size(); ++i)
    if (!s.inputs[i]) fail("run", "expected memory for input '" + s.names().inputs[i] + "', got none; call bind_input");
  s.bind_shapes();
  for (size_t o = 0; o < s.outputs.size(); ++o) {
    size_t need = static_cast<size_t>(bytes(s.plan.state().plan->output_types()[o].dtype()));
    for (i64 e : s.output_shapes[o]) need *= static_cast<size_t>(e);
    if (!s.outputs[o] || s.capacity[o] < need)
      fail("run", "expected " + std::to_string(need) + " bytes for output '" + s.names().outputs[o] + "', got " +
                      std::to_string(s.capacity[o]) + "; call bind_output");
  }
  s.context.run(s.inputs, s.outputs);
}

std::vector<i64> Context::output_shape(std::string_view name) const {
  size_t o = state_->position(state_->names().outputs, name, "output");
  if (o >= state_->output_shapes.size()) fail("output_shape", "expected a run first, got none");
  return state_->output_shapes[o];
}

}  // namespace tn::engine
