#include "ir/guard.h"

#include <algorithm>

#include "ir/op_def.h"
#include "tenon/error.h"

namespace tn {

/// Where type rules that run on this thread note their guards; nobody listens while graphs are built.
static thread_local std::vector<Guard>* listener = nullptr;

void require_nonnegative(Dim least, std::string_view op, const std::function<std::string()>& message) {
  if (least.is_constant() ? least.value() < 0 : provably_nonnegative(-least - Dim(1))) fail(op, message());
  if (!listener || least.is_constant() || provably_nonnegative(least)) return;
  listener->push_back({least, "[" + std::string(op) + "] " + message()});
}

std::vector<Guard> guards_of(const Graph& g) {
  std::vector<Guard> found;
  auto symbolic = [](Type t) {
    return t.is_tensor() && std::ranges::any_of(t.shape(), [](Dim d) { return !d.is_constant(); });
  };
  if (std::ranges::none_of(g.input_types(), symbolic)) return found;
  struct Listening {
    explicit Listening(std::vector<Guard>& to) { listener = &to; }
    ~Listening() { listener = nullptr; }
  } listening(found);
  std::vector<Type> types;
  for (const Node& n : g.nodes()) {
    types.clear();
    for (u32 v : g.operands(n)) types.push_back(g.type(v));
    if (std::ranges::any_of(types, symbolic)) n.op->type(types, n.attrs);
  }
  return found;
}

void check_guards(std::span<const Guard> guards, const DimEnv& env) {
  for (const Guard& guard : guards) {
    if (evaluate(guard.least, env) >= 0) continue;
    std::string sizes;
    for (Dim s : symbols_of(guard.least))
      sizes += (sizes.empty() ? ", where " : " and ") + to_string(s) + " is " + std::to_string(evaluate(s, env));
    throw Error(guard.text + sizes);
  }
}

}  // namespace tn
