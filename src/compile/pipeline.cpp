#include "compile/pipeline.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "compile/explain.h"
#include "compile/passes.h"
#include "tenon/error.h"
#include "transform/lanes.h"

namespace tn {

namespace {

constexpr PassInfo kPasses[] = {
    {"expand", "composites become simpler ops, calls their bodies", false},
    {"lanes", "choices by lane become mapped branches and a select", false},
    {"expand_lanes", "what the lanes brought in is expanded", false},
    {"simplify", "rewrites that keep every bit", true},
    {"reductions", "every reduction goes over axes that one kernel can sweep", false},
    {"joins", "what is joined of many parts is joined a group at a time", false},
    {"fuse", "nodes that feed each other share a kernel; without it each has its own", true},
};

using GraphPass = GraphPtr (*)(const GraphPtr&);
/// The passes from graph to graph, in the order of kPasses; fuse, which makes the steps, comes after them.
constexpr GraphPass kGraphPasses[] = {expand_composites, lower_lanes,      expand_composites,
                                      simplify,          split_reductions, split_joins};
static_assert(std::size(kGraphPasses) + 1 == std::size(kPasses));
constexpr size_t kFuse = std::size(kGraphPasses);

/// A list with commas of passes, or `all`, that a variable holds: a bit for each pass.
u32 passes_listed(const char* variable, bool optional) {
  const char* value = std::getenv(variable);
  u32 bits = 0;
  std::string known;
  for (const PassInfo& p : kPasses)
    if (!optional || p.optional) known += std::string(p.name) + ", ";
  for (std::string_view rest = value ? value : ""; !rest.empty();) {
    std::string_view name = rest.substr(0, rest.find(','));
    u32 found = 0;
    for (size_t i = 0; i < std::size(kPasses); ++i)
      if ((name == kPasses[i].name || name == "all") && (!optional || kPasses[i].optional)) found |= 1u << i;
    if (!found) fail(variable, "expected names of passes (" + known + "all), got '" + std::string(name) + "'");
    bits |= found;
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
  }
  return bits;
}

bool dumped(size_t pass) {
  static const u32 kBits = passes_listed("TENON_DUMP", false);
  return kBits >> pass & 1;
}

bool is_off(const Target& target, size_t pass) {
  static const u32 kBits = passes_listed("TENON_SKIP", true);
  return (target.passes_off | kBits) >> pass & 1;
}

/// What must hold of the graph after a pass.
void check_pass(size_t pass, const Graph& g) {
  verify(g);
  if (kGraphPasses[pass] == lower_lanes) return;  // what it brings in is expanded next
  for (const Node& n : g.nodes())
    if (const auto* e = n.op->lower.as<Expand>(); e && e->whole == Template::none)
      internal("pass " + std::string(kPasses[pass].name) + " left " + std::string(n.op->name));
}

void dump(std::string_view pass, const std::string& text) {
  std::fprintf(stderr, "# after %.*s\n%s\n", static_cast<int>(pass.size()), pass.data(), text.c_str());
}

std::string text_of(const std::vector<Step>& steps) {
  std::string text;
  for (const Step& s : steps)
    if (s.kind == Step::Kind::kernel) text += "# " + s.lowered.label + "\n" + loops::to_string(s.lowered.kernel);
  return text;
}

/// What became of the graph: each kernel with what it stores, and the time of each pass.
void explain_passes(const Compilation& c) {
  for (const Step& s : c.steps)
    if (s.kind == Step::Kind::kernel) explain("kernel", s.lowered.label);
  std::string times;
  for (size_t i = 0; i < c.seconds.size(); ++i) {
    char text[64];
    std::snprintf(text, sizeof text, "%s%.*s %.2f ms", i ? ", " : "", static_cast<int>(kPasses[i].name.size()),
                  kPasses[i].name.data(), 1e3 * c.seconds[i]);
    times += text;
  }
  explain("passes", times + "; " + std::to_string(c.graph->nodes().size()) + " nodes");
}

}  // namespace

bool verifying() {
  static const bool asked = std::getenv("TENON_VERIFY") != nullptr;
  return asked;
}

std::span<const PassInfo> compiler_passes() { return kPasses; }

Target without_pass(Target target, std::string_view name) {
  std::string known;
  for (size_t i = 0; i < std::size(kPasses); ++i) {
    if (!kPasses[i].optional) continue;
    known += (known.empty() ? "" : ", ") + std::string(kPasses[i].name);
    if (kPasses[i].name != name) continue;
    target.passes_off |= 1u << i;
    return target;
  }
  fail("build", "expected a pass that can be switched off (" + known + "), got '" + std::string(name) + "'");
}

Compilation compile_graph(const GraphPtr& g, const Target& target) {
  using Clock = std::chrono::steady_clock;
  Compilation c{g, {}, {}};
  auto start = Clock::now();
  auto done = [&] {
    auto now = Clock::now();
    c.seconds.push_back(std::chrono::duration<double>(now - start).count());
    start = now;
  };
  for (size_t i = 0; i < kFuse; ++i) {
    if (!is_off(target, i)) c.graph = kGraphPasses[i](c.graph);
    done();
    if (verifying()) check_pass(i, *c.graph);
    if (dumped(i)) dump(kPasses[i].name, to_string(*c.graph));
  }
  c.steps = fuse(*c.graph, target, !is_off(target, kFuse));
  done();
  if (dumped(kFuse)) dump(kPasses[kFuse].name, text_of(c.steps));
  if (explaining()) explain_passes(c);
  return c;
}

}  // namespace tn
