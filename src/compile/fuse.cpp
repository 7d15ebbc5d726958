#include "compile/pipeline.h"

namespace tn {

namespace {

bool is_alias(const Node& n) { return n.op->name == "reshape" || n.op->name == "barrier"; }

std::optional<Group::Kind> anchor_kind(const Graph& g, const Node& n) {
  const Lower& lower = n.op->lower;
  if (lower.as<Scalar>() || lower.as<Movement>() || lower.as<Costly>()) return Group::Kind::map;
  if (lower.as<Contraction>()) return Group::Kind::contraction;
  if (lower.as<Prefix>()) return Group::Kind::prefix;
  if (lower.as<ArgReduction>()) return Group::Kind::arg;
  if (!lower.as<Reduction>()) return std::nullopt;
  i64 last = n.attrs.get<std::vector<i64>>("axes").back();
  return last + 1 == g.type(g.operands(n)[0]).rank() ? Group::Kind::rows : Group::Kind::columns;
}

}  // namespace

std::vector<Step> fuse(const Graph& g, const Target& target) {
  GraphIndex index(g);
  std::vector<Step> steps;
  for (u32 k = 0; k < g.nodes().size(); ++k) {
    const Node& n = g.nodes()[k];
    if (n.op->name == "constant") continue;
    if (is_alias(n)) {
      steps.push_back({Step::Kind::alias, k, {}});
      continue;
    }
    if (n.op->lower.as<Native>()) {
      steps.push_back({Step::Kind::native, k, {}});
      continue;
    }
    auto kind = anchor_kind(g, n);
    if (!kind) {
      steps.push_back({Step::Kind::control, k, {}});
      continue;
    }
    Group group;
    group.kind = *kind;
    group.computed.assign(g.nodes().size(), false);
    group.computed[k] = true;
    group.outputs = {n.first_result};
    group.anchor = k;
    steps.push_back({Step::Kind::kernel, k, lower_group(g, index, group, target)});
  }
  return steps;
}

}  // namespace tn
