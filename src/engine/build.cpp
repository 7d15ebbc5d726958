// From a network to a plan for this machine.
#include <algorithm>
#include <cctype>
#include <set>

#include "backend/cpu/cpu.h"
#include "compile/pipeline.h"
#include "engine/fold.h"
#include "engine/plan_state.h"

namespace tn::engine {

std::vector<NamedType> named(const std::vector<std::string>& names, std::span<const Type> types) {
  if (names.size() != types.size()) fail("plan", "expected a name for each input and output");
  std::vector<NamedType> r;
  for (size_t i = 0; i < names.size(); ++i) r.push_back({names[i], types[i]});
  return r;
}

constexpr PassInfo kFold{"fold", "what follows from constants alone becomes a constant", true};
constexpr PassInfo kPack{"pack", "weights are laid out as their kernels want them, once", true};

std::vector<PassInfo> build_passes() {
  std::vector<PassInfo> passes{kFold};
  passes.insert(passes.end(), compiler_passes().begin(), compiler_passes().end());
  passes.push_back(kPack);
  return passes;
}

static void check_pass(const std::string& name) {
  std::string optional;
  for (const PassInfo& p : build_passes()) {
    if (p.optional && p.name == name) return;
    if (p.optional) (optional += optional.empty() ? "" : ", ") += p.name;
  }
  fail("build", "expected a pass that can be switched off (" + optional + "), got '" + name + "'");
}

static Target target_without(const std::vector<std::string>& passes) {
  Target t;
  if (cpu::compiler_problem().empty())
    t = {.map_lanes = 16, .compiled = true, .vector_bits = cpu::vector_bits(cpu::host_isa())};
  for (const std::string& pass : passes) {
    check_pass(pass);
    if (pass != kFold.name && pass != kPack.name) t = without_pass(t, pass);
  }
  return t;
}

void check_profiles(std::span<const NamedType> inputs, const std::vector<ShapeProfile>& profiles) {
  std::set<std::string> names, given;
  for (const NamedType& i : inputs)
    for (Dim d : i.type.shape())
      for (Dim s : symbols_of(d)) names.insert(to_string(s));
  for (const ShapeProfile& p : profiles) {
    if (!names.contains(p.name)) {
      std::string have;
      for (const std::string& n : names) have += (have.empty() ? "" : ", ") + n;
      fail("build", "expected a profile for a size of the network (" + (have.empty() ? "it has none" : have) +
                        "), got '" + p.name + "'");
    }
    if (!given.insert(p.name).second) fail("build", "expected one profile for size '" + p.name + "', got two");
    if (p.min < 0 || p.min > p.opt || p.opt > p.max)
      fail("build", "expected min <= opt <= max for size '" + p.name + "', got " + std::to_string(p.min) + ", " +
                        std::to_string(p.opt) + ", " + std::to_string(p.max));
  }
}

/// Sizes stand in the texts of a plan file, so their names are words.
static void check_names(const Graph& g) {
  for (Type t : g.input_types())
    for (Dim d : t.shape())
      for (Dim s : symbols_of(d)) {
        std::string text = to_string(s);
        bool word = !text.empty() && !(text[0] >= '0' && text[0] <= '9');
        for (char c : text) word = word && (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '\'');
        if (!word) fail("build", "expected names of sizes of letters, digits and _, got '" + text + "'; rename it");
      }
}

std::shared_ptr<PlanState> build_plan(NamedGraph net, const BuildOptions& options) {
  if (!net.graph) fail("build", "expected a network, got an empty one");
  auto s = std::make_shared<PlanState>();
  s->inputs = named(net.inputs, net.graph->input_types());
  s->outputs = named(net.outputs, net.graph->output_types());
  check_names(*net.graph);
  check_profiles(s->inputs, options.profiles);
  s->profiles = options.profiles;
  s->without = options.without;
  Target t = target_without(options.without);
  auto has = [&](const PassInfo& pass) {
    return std::ranges::find(options.without, pass.name) == options.without.end();
  };
  if (has(kFold)) net.graph = fold_constants(net.graph);
  s->plan = tn::Plan::build(net.graph, t, false, has(kPack));
  if (std::string problem = cpu::compiler_problem(); !problem.empty())
    s->note = "its kernels are interpreted, for " + problem;
  if (t.compiled) s->isa = cpu::name(cpu::host_isa());
  s->net_ = std::move(net);
  return s;
}

// ---------------------------------------------------------------- the public door

Plan build(const Network& network, const BuildOptions& options) {
  return Plan(build_plan(network.named_graph(), options));
}

Plan::Plan(std::shared_ptr<const PlanState> state) : state_(std::move(state)) {}
const std::vector<NamedType>& Plan::inputs() const { return state_->inputs; }
const std::vector<NamedType>& Plan::outputs() const { return state_->outputs; }
const std::vector<ShapeProfile>& Plan::profiles() const { return state_->profiles; }
const std::string& Plan::note() const { return state_->note; }
Network Plan::network() const { return Network(std::make_shared<NamedGraph>(state_->network())); }

}  // namespace tn::engine
