#include "tenon/recursion.h"

#include <map>
#include <mutex>

#include "ir/function.h"
#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn {

struct Recursion::State {
  std::string name;
  std::vector<Type> results;
  std::unique_ptr<Body> body;
  std::map<std::vector<const TypeData*>, i64> functions;  // by types of the operands
  std::vector<Type> kept;                                 // so that those addresses go on meaning them
};

namespace {

/// A body calls itself and others while it is traced: one lock for all, so that nobody waits in a circle.
std::recursive_mutex& tracing() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

/// The body as a graph of its arguments alone: what it holds of numbers and tensors is part of it.
GraphPtr closed(const Cut& cut, size_t arguments) {
  auto types = cut.graph->input_types().first(arguments);
  return make_graph(types, [&](Builder& b, ValueSpan x) {
    Values in(x.begin(), x.end());
    for (const Tensor& t : cut.captures)
      in.push_back(b.emit1(op("constant"), {}, {{"value", value_of(t.node(), Location())}}));
    return inline_graph(b, *cut.graph, in);
  });
}

}  // namespace

Recursion::Recursion(std::string name, std::vector<Type> results, std::unique_ptr<Body> body)
    : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  state_->results = std::move(results);
  state_->body = std::move(body);
}

std::vector<Tensor> Recursion::operator()(std::span<const Tensor> operands, Location at) const {
  std::vector<const TypeData*> key;
  FunctionType type{state_->name, {}, state_->results};
  for (const Tensor& x : operands) {
    type.inputs.push_back(node_of(x, "recursion", at)->type);
    key.push_back(type.inputs.back().data());
  }
  State& s = *state_;
  std::lock_guard lock(tracing());
  auto [place, fresh] = s.functions.try_emplace(key, 0);
  if (fresh) {
    s.kept.insert(s.kept.end(), type.inputs.begin(), type.inputs.end());
    i64 id = place->second = declare_function(type);
    try {
      detail::Trace trace("recursion", {.captures = false, .rebinding = false}, at);
      std::vector<Tensor> x(operands.begin(), operands.end());
      std::vector<Tensor*> slots;
      for (Tensor& t : x) slots.push_back(&t);
      trace.enter(slots);
      std::vector<Tensor> y = s.body->call(*this, x);
      define_function(id, closed(trace.state().cut(y), operands.size()));
    } catch (...) {
      s.functions.erase(key);
      throw;
    }
  }
  return apply(op("invoke"), operands, {{"function", s.functions.at(key)}}, at);
}

Tensor Recursion::operator()(const Tensor& x, Location at) const {
  std::vector<Tensor> y = (*this)(std::span(&x, 1), at);
  if (y.size() != 1) fail("recursion", "expected a function of one result, got " + std::to_string(y.size()), at);
  return y[0];
}

}  // namespace tn
