#include "tenon/parameters.h"

#include <unordered_map>

namespace tn {

void assign_named(const std::vector<std::pair<std::string, Tensor*>>& targets, const NamedTensors& values,
                  std::string_view source) {
  std::unordered_map<std::string_view, const Tensor*> given;
  for (const auto& [name, t] : values) given.emplace(name, &t);
  std::vector<const Tensor*> found;
  std::string problems;
  auto problem = [&](const std::string& text) { problems += "\n  " + text; };
  for (const auto& [name, target] : targets) {
    auto it = given.find(name);
    if (it == given.end()) {
      problem("expected '" + name + "' " + to_string(target->type()) + ", got no tensor of that name");
      continue;
    }
    if (it->second->type() != target->type())
      problem("expected '" + name + "' " + to_string(target->type()) + ", got " + to_string(it->second->type()));
    found.push_back(it->second);
    given.erase(it);
  }
  for (const auto& [name, t] : values)
    if (given.contains(name)) problem("expected no tensor '" + name + "', got " + to_string(t.type()));
  if (!problems.empty())
    fail("load", "'" + std::string(source) + "' does not fit the structure it is loaded into:" + problems);
  for (size_t i = 0; i < targets.size(); ++i) *targets[i].second = *found[i];
}

}  // namespace tn
