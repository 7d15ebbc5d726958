#include "ir/function.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "ir/op_def.h"
#include "tenon/error.h"

namespace tn {

namespace {

struct Function {
  FunctionType type;
  GraphPtr body;
  bool making = false;  // of a derived one
  std::map<std::string, i64> derived;
};

struct Table {
  std::recursive_mutex mutex;  // a derived function is made while others wait, and makes others
  std::vector<std::unique_ptr<Function>> functions;

  Function& at(i64 id) {
    if (id < 0 || static_cast<size_t>(id) >= functions.size())
      fail("invoke", "expected the number of a function of this process, got " + std::to_string(id));
    return *functions[static_cast<size_t>(id)];
  }
};

Table& table() {
  static auto* t = new Table;
  return *t;
}

std::string listed(std::span<const Type> types) {
  std::string text = "(";
  for (Type t : types) text += (text.size() > 1 ? ", " : "") + to_string(t);
  return text + ")";
}

/// The functions that a graph, or what is in it, invokes.
void note_invoked(const Graph& g, std::set<i64>& found) {
  for (const Node& n : g.nodes()) {
    if (n.op->name == "invoke") found.insert(n.attrs.get<i64>("function"));
    for (const auto& [name, value] : n.attrs.items())
      if (const auto* body = std::get_if<GraphPtr>(&value)) note_invoked(**body, found);
  }
}

}  // namespace

i64 declare_function(FunctionType type) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  t.functions.push_back(std::make_unique<Function>(Function{std::move(type), nullptr, false, {}}));
  return static_cast<i64>(t.functions.size()) - 1;
}

void check_function(i64 id, const Graph& body) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  const Function& f = t.at(id);
  if (f.body) fail("invoke", "expected a function without a body, got '" + f.type.name + "', which has one");
  std::vector<Type> in(body.input_types().begin(), body.input_types().end()), out = body.output_types();
  if (in != f.type.inputs || out != f.type.outputs)
    fail("invoke", "expected a body of '" + f.type.name + "' from " + listed(f.type.inputs) + " to " +
                       listed(f.type.outputs) + ", as it was declared, got one from " + listed(in) + " to " +
                       listed(out));
  if (body.effectful())
    fail("invoke", "expected no effects in the function '" + f.type.name + "', got a print, assert or callback");
}

void define_function(i64 id, GraphPtr body) {
  check_function(id, *body);
  Table& t = table();
  std::lock_guard lock(t.mutex);
  t.at(id).body = std::move(body);
}

bool is_complete(i64 id, const Graph& body) {
  std::set<i64> invoked{id};
  note_invoked(body, invoked);
  invoked.erase(id);
  return std::all_of(invoked.begin(), invoked.end(), has_body);
}

const FunctionType& function_type(i64 id) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  return t.at(id).type;
}

bool has_body(i64 id) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  return t.at(id).body != nullptr;
}

const GraphPtr& function_body(i64 id) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  const Function& f = t.at(id);
  if (!f.body) fail("invoke", "expected a function with a body, got '" + f.type.name + "', which is being made");
  return f.body;
}

bool is_recursive(i64 id) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  std::set<i64> seen;
  std::vector<i64> open{id};
  while (!open.empty()) {
    const Function& f = t.at(open.back());
    open.pop_back();
    if (!f.body) return true;  // it is being made of one that was asked before
    std::set<i64> invoked;
    note_invoked(*f.body, invoked);
    for (i64 next : invoked) {
      if (next == id) return true;
      if (seen.insert(next).second) open.push_back(next);
    }
  }
  return false;
}

i64 derived_function(i64 id, const std::string& key, FunctionType type, const std::function<GraphPtr()>& body) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  auto [place, fresh] = t.at(id).derived.try_emplace(key, 0);
  if (fresh) place->second = declare_function(std::move(type));
  i64 made = place->second;
  Function& f = t.at(made);
  if (f.body || f.making) return made;  // else it failed before: others may hold its number already
  f.making = true;
  try {
    define_function(made, body());
  } catch (...) {
    f.making = false;
    throw;
  }
  f.making = false;
  return made;
}

GraphRunners& graph_runners() {
  static GraphRunners runners;
  return runners;
}

}  // namespace tn
