// Clusters become steps: each is lowered, those that cannot be lowered as they are are cut, and the steps are
// put in an order in which every value is made before it is read.
#include <algorithm>
#include <map>
#include <queue>

#include "compile/clusters.h"
#include "compile/explain.h"
#include "compile/pipeline.h"

namespace tn {

namespace {

class Fuser {
 public:
  Fuser(const Graph& g, const Target& target, bool fusing)
      : g_(g), target_(target), index_(g), clusters_(g, index_, fusing) {}

  /// Nothing when the steps depend on each other in a circle.
  std::optional<std::vector<Step>> run() {
    for (size_t tries = 0; tries < g_.nodes().size() + g_.value_count() + 2; ++tries) {
      planned_.clear();
      if (!lower_clusters()) continue;
      try {
        for (u32 n = 0; n < g_.nodes().size(); ++n) add_rest(n);
      } catch (const Refusal& r) {
        clusters_.need(r.value);
        continue;
      }
      for (auto& [c, made] : made_) planned_.push_back(std::move(made.planned));
      return ordered();
    }
    return std::nullopt;
  }

 private:
  static constexpr size_t kMostNamed = 12;
  struct Planned {
    Step step;
    u32 place;  // its last node
    std::vector<u32> reads, writes;
    bool ordered = false;  // effects keep their order
  };

  struct Made {
    Group group;
    Planned planned;
  };

  /// False when the group of a cluster has to change first, which is done; those made already stay.
  bool lower_clusters() {
    for (size_t c = 0; c < clusters_.all().size(); ++c) {
      const auto& nodes = clusters_.all()[c].nodes;
      Group group;
      if (!nodes.empty()) group = clusters_.group(static_cast<int>(c));
      if (auto made = made_.find(c); made != made_.end()) {
        if (made->second.group == group) continue;
        made_.erase(made);
      }
      if (group.outputs.empty()) continue;
      Planned p;
      p.place = *std::max_element(nodes.begin(), nodes.end());
      try {
        p.step = {Step::Kind::kernel, 0, lower_group(g_, index_, group, target_)};
        p.step.lowered.label = label(group, nodes);
      } catch (const Refusal& r) {
        u32 producer = index_.producer[r.value];
        if (explaining()) explain("fuse", name_of(r.value) + " has to lie in memory for " + label(group, nodes));
        if (clusters_.of(producer) == static_cast<int>(c))
          clusters_.cut(static_cast<int>(c), r);
        else
          clusters_.need(r.value);
        return false;
      }
      for (const auto& a : p.step.lowered.arguments)
        if (!a.temp) (a.written ? p.writes : p.reads).push_back(a.value);
      made_.emplace(c, Made{std::move(group), std::move(p)});
    }
    return true;
  }

  std::string name_of(u32 value) const {
    u32 producer = index_.producer[value];
    std::string maker = producer == GraphIndex::kInput ? "input" : std::string(g_.nodes()[producer].op->name);
    return "%" + std::to_string(value) + ", the " + maker + " " + to_string(g_.type(value)) + ",";
  }

  /// "rows: max sub exp sum div -> f32[8, 10]"
  std::string label(const Group& group, std::span<const u32> nodes) const {
    static constexpr const char* kKinds[] = {"map", "rows", "columns", "contraction", "attention", "prefix", "arg"};
    std::string text = kKinds[static_cast<size_t>(group.kind)];
    text += ":";
    for (size_t i = 0; i < nodes.size() && i < kMostNamed; ++i)
      text += " " + std::string(g_.nodes()[nodes[i]].op->name);
    if (nodes.size() > kMostNamed) text += " and " + std::to_string(nodes.size() - kMostNamed) + " more";
    for (size_t i = 0; i < group.outputs.size() && i < kMostNamed; ++i)
      text += (i ? ", " : " -> ") + to_string(g_.type(group.outputs[i]));
    return text;
  }

  /// Movements that lie in memory, aliases, and what is no kernel.
  void add_rest(u32 n) {
    const Node& node = g_.nodes()[n];
    if (is_constant(node) || clusters_.of(n) >= 0) return;
    Planned p;
    p.place = n;
    for (u32 i = 0; i < node.result_count; ++i) p.writes.push_back(node.first_result + i);
    auto operands = g_.operands(node);
    if (is_alias(node)) {
      if (node.op->lower.as<Movement>() && !clusters_.in_memory(node.first_result)) return;
      p.step = {Step::Kind::alias, n, {}};
      p.reads.assign(operands.begin(), operands.end());
    } else if (node.op->lower.as<Movement>()) {
      if (!clusters_.in_memory(node.first_result)) return;
      Group group;
      group.computed.insert(n);
      clusters_.add_on_the_way(group.computed, {n});
      group.outputs = {node.first_result};
      group.anchor = n;
      p.step = {Step::Kind::kernel, n, lower_group(g_, index_, group, target_)};
      p.step.lowered.label = label(group, {&n, 1});
      for (const auto& a : p.step.lowered.arguments)
        if (!a.temp && !a.written) p.reads.push_back(a.value);
    } else {
      p.step = {node.op->lower.as<Native>() ? Step::Kind::native : Step::Kind::control, n, {}};
      p.reads.assign(operands.begin(), operands.end());
      p.ordered = node.effectful;
    }
    planned_.push_back(std::move(p));
  }

  std::optional<std::vector<Step>> ordered() {
    std::vector<int> maker(g_.value_count(), -1);
    std::vector<std::vector<size_t>> next(planned_.size());
    std::vector<int> waits(planned_.size(), 0);
    auto depend = [&](size_t on, size_t step) {
      next[on].push_back(step);
      ++waits[step];
    };
    std::sort(planned_.begin(), planned_.end(), [](const Planned& a, const Planned& b) { return a.place < b.place; });
    for (size_t i = 0; i < planned_.size(); ++i)
      for (u32 v : planned_[i].writes) maker[v] = static_cast<int>(i);
    int last_effect = -1;
    for (size_t i = 0; i < planned_.size(); ++i) {
      for (u32 v : planned_[i].reads)
        if (maker[v] >= 0) depend(static_cast<size_t>(maker[v]), i);
      if (!planned_[i].ordered) continue;
      if (last_effect >= 0) depend(static_cast<size_t>(last_effect), i);
      last_effect = static_cast<int>(i);
    }
    std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
    for (size_t i = 0; i < planned_.size(); ++i)
      if (waits[i] == 0) ready.push(i);
    std::vector<Step> steps;
    while (!ready.empty()) {
      size_t i = ready.top();
      ready.pop();
      steps.push_back(std::move(planned_[i].step));
      for (size_t k : next[i])
        if (--waits[k] == 0) ready.push(k);
    }
    if (steps.size() != planned_.size()) return std::nullopt;
    return steps;
  }

  const Graph& g_;
  const Target& target_;
  GraphIndex index_;
  Clusters clusters_;
  std::vector<Planned> planned_;
  std::map<size_t, Made> made_;  // by cluster
};

}  // namespace

std::vector<Step> fuse(const Graph& g, const Target& target, bool fusing) {
  if (fusing) {
    if (auto steps = Fuser(g, target, true).run()) return std::move(*steps);
    if (explaining()) explain("fuse", "steps wait for each other in a circle, so nothing is fused");
  }
  auto steps = Fuser(g, target, false).run();
  if (!steps) internal("the steps of a graph depend on each other in a circle");
  return std::move(*steps);
}

}  // namespace tn
