#include "ir/guard.h"

#include <algorithm>

#include "ir/op_def.h"

namespace tn {

// Type rules are plain functions of types and attributes; who gathers guards listens here while they run.
static thread_local std::vector<Guard>* gathered = nullptr;

namespace guard_detail {

bool surely_negative(Dim value) { return provably_nonnegative(-value - Dim(1)); }

bool wanted(Dim value) { return gathered && !provably_nonnegative(value); }

void note(std::string_view op, Dim value, std::string error) {
  for (const Guard& known : *gathered)
    if (known.value == value) return;
  gathered->push_back({value, std::string(op), std::move(error)});
}

}  // namespace guard_detail

static bool has_symbols(std::span<const Dim> shape) {
  return std::any_of(shape.begin(), shape.end(), [](Dim d) { return !d.is_constant(); });
}

static void gather_from(const Graph& g, const Node& n, std::vector<Guard>& to) {
  std::vector<Type> types;
  bool symbolic = false;
  for (u32 v : g.operands(n)) {
    types.push_back(g.type(v));
    symbolic |= types.back().is_tensor() && has_symbols(types.back().shape());
  }
  for (Type t : g.result_types(n)) symbolic |= t.is_tensor() && has_symbols(t.shape());
  if (!symbolic) return;
  struct Listening {
    explicit Listening(std::vector<Guard>* to) { gathered = to; }
    ~Listening() { gathered = nullptr; }
  } listening(&to);
  n.op->type(types, n.attrs);
}

std::vector<Guard> guards_of(const Graph& g, const Node& n) {
  std::vector<Guard> guards;
  gather_from(g, n, guards);
  return guards;
}

std::vector<Guard> guards_of(const Graph& g) {
  std::vector<Guard> guards;
  for (const Node& n : g.nodes()) gather_from(g, n, guards);
  return guards;
}

std::string broken_guard(std::span<const Guard> guards, const DimEnv& env) {
  for (const Guard& guard : guards) {
    if (evaluate(guard.value, env) >= 0) continue;
    std::string sizes;
    for (Dim s : symbols_of(guard.value))
      sizes += (sizes.empty() ? " with " : ", ") + to_string(s) + " = " + std::to_string(evaluate(s, env));
    return "[" + guard.op + "] " + guard.error + sizes;
  }
  return "";
}

}  // namespace tn
