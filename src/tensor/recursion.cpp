#include "tenon/recursion.h"

#include <algorithm>
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
  std::mutex mutex;
  std::map<std::vector<const TypeData*>, i64> functions;  // by types of the operands
  std::vector<Type> kept;                                 // so that those addresses go on meaning them

  /// The number for operands of these types, declared when it is new.
  i64 number(const FunctionType& type) {
    std::vector<const TypeData*> key;
    for (Type t : type.inputs) key.push_back(t.data());
    std::lock_guard lock(mutex);
    auto [place, fresh] = functions.try_emplace(key, 0);
    if (!fresh) return place->second;
    kept.insert(kept.end(), type.inputs.begin(), type.inputs.end());
    return place->second = declare_function(type);
  }
};

namespace {

constexpr size_t kMostTraces = 48;  // one inside the other

/// The functions whose bodies this thread traces.
std::vector<i64>& traced() {
  thread_local std::vector<i64> open;
  return open;
}

/// Bodies made inside the trace of another that they call: they are defined with it, or not at all.
std::vector<std::pair<i64, GraphPtr>>& waiting() {
  thread_local std::vector<std::pair<i64, GraphPtr>> made;
  return made;
}

/// Whether this thread traces the body, or has it waiting.
bool in_the_making(i64 id) {
  auto& open = traced();
  return std::find(open.begin(), open.end(), id) != open.end() ||
         std::any_of(waiting().begin(), waiting().end(), [&](const auto& made) { return made.first == id; });
}

/// A body calls itself and others while it is traced: one lock for all, so that nobody waits in a circle.
std::recursive_mutex& tracing() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

/// The body as a graph of its arguments alone: what it holds of numbers and tensors is part of it.
GraphPtr closed(const Cut& cut, size_t arguments, const std::string& name, const Location& at) {
  for (const Tensor& t : cut.captures)
    if (t.node()->level > 0 || t.node()->is(kNoValue))
      fail("recursion",
           "expected '" + name + "' to use its arguments and tensors with values, got " + to_string(t.type()) +
               " of a transform around it; pass it as an argument",
           at);
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
  State& s = *state_;
  FunctionType type{s.name, {}, s.results};
  for (const Tensor& x : operands) {
    Type t = node_of(x, "recursion", at)->type;
    for (Dim d : t.shape())
      if (!d.is_constant())
        fail("recursion", "expected operands of known sizes for '" + s.name + "', got " + to_string(t), at);
    type.inputs.push_back(t);
  }
  i64 id = s.number(type);
  if (!in_the_making(id) && !has_body(id)) trace(id, operands, at);
  return apply(op("invoke"), operands, {{"function", id}}, at);
}

void Recursion::trace(i64 id, std::span<const Tensor> operands, const Location& at) const {
  std::lock_guard lock(tracing());
  if (has_body(id)) return;  // another thread was first
  auto& open = traced();
  if (open.size() >= kMostTraces)
    fail("recursion", "expected calls of '" + state_->name + "' with operands of a few types, got new ones each time",
         at);
  auto& made = waiting();
  size_t before = made.size();
  open.push_back(id);
  try {
    detail::Trace trace("recursion", {.rebinding = false}, at);
    std::vector<Tensor> x(operands.begin(), operands.end());
    std::vector<Tensor*> slots;
    for (Tensor& t : x) slots.push_back(&t);
    trace.enter(slots);
    std::vector<Tensor> y = state_->body->call(*this, x);
    GraphPtr body = closed(trace.state().cut(y), operands.size(), state_->name, at);
    check_function(id, *body);
    made.emplace_back(id, std::move(body));
  } catch (...) {
    open.pop_back();
    made.erase(made.begin() + static_cast<std::ptrdiff_t>(before), made.end());
    throw;
  }
  open.pop_back();
  size_t from = open.empty() ? 0 : is_complete(id, *made.back().second) ? made.size() - 1 : made.size();
  for (size_t i = from; i < made.size(); ++i) define_function(made[i].first, made[i].second);
  made.erase(made.begin() + static_cast<std::ptrdiff_t>(from), made.end());
}

Tensor Recursion::operator()(const Tensor& x, Location at) const {
  std::vector<Tensor> y = (*this)(std::span(&x, 1), at);
  if (y.size() != 1) fail("recursion", "expected a function of one result, got " + std::to_string(y.size()), at);
  return y[0];
}

}  // namespace tn
