// Plans to bytes and back. The file holds the graph, the plan's text, the machine code of its kernels, and constants
// that both use where they are mapped. Opening one reads the plan's text and maps the code: nothing is lowered or
// compiled, and the graph is not looked at, unless the code is for another machine or another Tenon.
#include "backend/cpu/cpu.h"
#include "base/file.h"
#include "engine/plan_state.h"
#include "ir/op_def.h"
#include "ir/rewrite.h"
#include "runtime/plan_text.h"
#include "tenon/error.h"

namespace tn::engine {

namespace {

constexpr size_t kInlineBytes = 64;  // constants up to this stay in the graph's text

bool large(const Node& n) { return is_constant(n) && n.attrs.get<Array>("value").nbytes() > kInlineBytes; }

/// The graph with large constants as further inputs, and those constants in order.
GraphPtr lifted(const Graph& g, std::vector<NamedAttr>& constants) {
  std::vector<Type> types(g.input_types().begin(), g.input_types().end());
  for (const Node& n : g.nodes())
    if (large(n)) {
      constants.emplace_back(n.attrs.get<std::string>("name"), n.attrs.get<Array>("value"));
      types.push_back(g.type(n.first_result));
    }
  u32 next = g.input_count();
  return rewrite_graph(g, types, [&](Builder& b, const Node& n, ValueSpan) -> std::optional<Values> {
    if (!large(n)) return std::nullopt;
    return Values{Value{&b, next++}};
  });
}

/// The other way round: inputs after the first `count` become constants again.
GraphPtr bound(const Graph& g, size_t count, const std::vector<NamedAttr>& constants) {
  return make_graph(g.input_types().first(count), [&](Builder& b, ValueSpan in) {
    Values all(in.begin(), in.end());
    for (const auto& [name, value] : constants)
      all.push_back(b.emit1(op("constant"), {}, {{"value", value}, {"name", name}}));
    return inline_graph(b, g, all);
  });
}

/// The array among others, found again by its bytes.
u64 place_of(const Array& a, std::vector<Array>& arrays) {
  for (size_t k = 0; k < arrays.size(); ++k)
    if (arrays[k].nbytes() == a.nbytes() && arrays[k].same_bits(a)) return k;
  arrays.push_back(a);
  return arrays.size() - 1;
}

/// Lays out arrays, and says where.
std::string laid_out(const std::vector<Array>& arrays, Manifest& m) {
  std::string data;
  for (const Array& a : arrays) {
    data.append((kAlignment - data.size() % kAlignment) % kAlignment, '\0');
    Shape shape(a.shape.begin(), a.shape.end());
    m.arrays.push_back({Type::tensor(a.dtype, shape), data.size()});
    if (a.nbytes()) data.append(reinterpret_cast<const char*>(a.bytes_begin()), a.nbytes());
  }
  return data;
}

std::vector<Array> arrays_of(const Manifest& m, const PlanFile& file) {
  std::vector<Array> arrays;
  for (const auto& [type, offset] : m.arrays) {
    Array a;
    a.dtype = type.dtype();
    u64 size = static_cast<u64>(bytes(a.dtype));
    for (Dim d : type.shape()) {
      if (!d.is_constant() || d.value() < 0 || __builtin_mul_overflow(size, static_cast<u64>(d.value()), &size))
        fail("plan", "expected constants of known extents");
      a.shape.push_back(d.value());
    }
    if (offset % kAlignment || offset > file.data.size() || size > file.data.size() - offset)
      fail("plan", "expected constants within the file");
    a.storage = Storage::borrow(const_cast<char*>(file.data.data() + offset), size, file.owner);
    arrays.push_back(std::move(a));
  }
  return arrays;
}

PlanPtr stored_code(const Manifest& m, const PlanFile& file) {
  PlanTables tables{arrays_of(m, file), {}};
  for (auto [offset, size] : m.kernels) {
    if (offset > file.objects.size() || size > file.objects.size() - offset)
      fail("plan", "expected machine code within the file");
    tables.kernels.push_back(Executable::stored(std::as_bytes(std::span(file.objects.data() + offset, size))));
  }
  PlanPtr plan = parse_plan(file.code, tables);
  for (int f : plan->forwarded())
    if (f >= 0) fail("plan", "expected a plan that makes its outputs");
  return plan;
}

/// The graph of a file, with its constants.
NamedGraph graph_of(const Manifest& m, const PlanFile& file) {
  std::vector<Array> arrays = arrays_of(m, file);
  std::vector<NamedAttr> constants;
  for (const auto& [name, k] : m.constants) {
    if (k >= arrays.size()) fail("plan", "expected constants among the arrays");
    constants.emplace_back(name, arrays[k]);
  }
  GraphPtr g = parse_graph(file.graph);
  check_portable("plan", *g);
  if (g->input_count() != m.inputs.size() + constants.size() || g->outputs().size() != m.outputs.size())
    fail("plan", "expected a graph with the inputs and outputs the manifest names");
  return {bound(*g, m.inputs.size(), constants), m.inputs, m.outputs, m.metadata};
}

/// Whether the stored code is run, and why not or why although it is another's.
bool runs_stored(const Manifest& m, bool recompile, std::string& note) {
  auto host = cpu::host_isa();
  auto stored = cpu::isa_from_name(m.isa);
  if (!stored) fail("plan", "expected a known instruction set, got '" + m.isa + "'");
  if (recompile) return false;
  bool same_code = m.code == kCodeFormat && *stored != cpu::Isa::none;
  if (same_code && *stored == host) return true;
  std::string why = m.code != kCodeFormat ? "the plan's code is of version " + std::to_string(m.code) +
                                                ", this Tenon runs version " + std::to_string(kCodeFormat)
                    : *stored == cpu::Isa::none
                        ? "the plan was built without machine code"
                        : "the plan was built for " + m.isa + ", this machine runs " + std::string(cpu::name(host));
  std::string problem = cpu::compiler_problem();
  bool as_it_is = same_code && *stored < host && !problem.empty();
  note = why + ": its kernels " +
         (problem.empty() ? "were compiled again"
          : as_it_is      ? "run as they are"
                          : "are interpreted") +
         (problem.empty() ? "" : ", for " + problem);
  return as_it_is;
}

}  // namespace

std::vector<std::string> stored_plan(const PlanState& s) {
  const NamedGraph& net = s.network();
  check_portable("plan", *net.graph);
  Manifest m;
  m.isa = s.isa;
  m.inputs = net.inputs;
  m.outputs = net.outputs;
  m.metadata = net.metadata;
  m.profiles = s.profiles;
  m.without = s.without;
  PlanTables tables;
  std::string code = s.isa == "none" ? std::string() : to_string(*s.plan, tables), objects;
  std::vector<NamedAttr> constants;
  std::string graph = to_string(*lifted(*net.graph, constants));
  for (const auto& [name, value] : constants)
    m.constants.emplace_back(name, place_of(std::get<Array>(value), tables.constants));
  std::string data = laid_out(tables.constants, m);
  for (const auto& e : tables.kernels) {
    auto object = e->code()->object();
    m.kernels.push_back({objects.size(), object.size()});
    objects.append(reinterpret_cast<const char*>(object.data()), object.size());
  }
  std::string manifest = to_string(m);
  return framed({manifest, graph, code, objects, data, nullptr});
}

std::shared_ptr<const PlanState> open_plan(std::string_view bytes, std::shared_ptr<void> owner, const std::string& name,
                                           bool recompile) {
  PlanFile file = sections_of(bytes, name);
  file.owner = std::move(owner);
  try {
    Manifest m = parse_manifest(file.manifest);
    std::string note;
    if (!runs_stored(m, recompile, note)) {
      auto s = build_plan(graph_of(m, file), {.profiles = m.profiles, .without = m.without});
      if (!note.empty()) s->note = note;
      return s;
    }
    auto s = std::make_shared<PlanState>();
    s->plan = stored_code(m, file);
    s->inputs = named(m.inputs, s->plan->input_types());
    s->outputs = named(m.outputs, s->plan->output_types());
    check_profiles(s->inputs, m.profiles);
    s->profiles = m.profiles;
    s->without = m.without;
    s->note = note;
    s->isa = m.isa;
    s->name_ = name;
    s->file_ = std::move(file);
    return s;
  } catch (const Error& e) { refuse(name, e.what()); } catch (const InternalError& e) {
    refuse(name, e.what());
  }
}

const NamedGraph& PlanState::network() const {
  std::call_once(read_, [&] {
    if (net_.graph) return;
    try {
      net_ = graph_of(parse_manifest(file_.manifest), file_);
    } catch (const Error& e) { refuse(name_, e.what()); } catch (const InternalError& e) {
      refuse(name_, e.what());
    }
  });
  return net_;
}

Plan Plan::load(const std::string& path, bool recompile) {
  std::string_view bytes;
  std::shared_ptr<void> mapping = map_file(path, bytes);
  return Plan(open_plan(bytes, mapping, path, recompile));
}

void Plan::save(const std::string& path) const {
  std::vector<std::string> pieces = stored_plan(*state_);
  std::vector<std::string_view> views(pieces.begin(), pieces.end());
  write_file("plan", path, views);
}

std::string Plan::text() const {
  PlanTables tables;
  return to_string(*state_->plan, tables);
}

}  // namespace tn::engine
