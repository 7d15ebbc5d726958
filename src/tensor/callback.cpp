#include "tenon/callback.h"

#include <cstring>

#include "op/effects.h"
#include "tensor/evaluate.h"
#include "tensor/helpers.h"
#include "tensor/trace.h"

namespace tn {

/// The registration ends with the last copy; a run that has begun keeps the function.
struct Callback::State {
  GraphPtr results;  // a graph with outputs of those types: how the node says them
  i64 id = 0;
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { remove_callback(id); }
};

/// The kernel's memory is reused after the call; what the function keeps must not be.
static Tensor copied(const Array& a) {
  Array own = Array::empty(a.dtype, a.shape);
  if (own.nbytes()) std::memcpy(own.bytes_begin(), a.bytes_begin(), own.nbytes());
  return handle(new_value(std::move(own), Location()));
}

static std::string text_of(const Array& a) {
  return to_string(Type::tensor(a.dtype, Shape(a.shape.begin(), a.shape.end())));
}

static void store(const std::vector<Tensor>& given, std::span<Array> results) {
  if (given.size() != results.size())
    fail("callback", "expected " + std::to_string(results.size()) + " results of the function, got " +
                         std::to_string(given.size()));
  for (size_t i = 0; i < results.size(); ++i) {
    const Array& a = value_of(node_of(given[i], "callback", Location()), Location());
    if (a.dtype != results[i].dtype || a.shape != results[i].shape)
      fail("callback", "expected " + text_of(results[i]) + " for result " + std::to_string(i) +
                           " of the function, got " + text_of(a));
    if (a.nbytes()) std::memcpy(results[i].bytes_begin(), a.bytes_begin(), a.nbytes());
  }
}

Callback::Callback(std::vector<Type> results, std::unique_ptr<Host> host) {
  auto state = std::make_shared<State>();
  state->results = make_graph(results, [](Builder&, ValueSpan x) { return Values(x.begin(), x.end()); });
  state->id = register_callback(
      [host = std::shared_ptr<Host>(std::move(host))](std::span<const Array> operands, std::span<Array> given) {
        NoTrace outside;
        std::vector<Tensor> x;
        for (const Array& o : operands) x.push_back(copied(o));
        try {
          store(host->call(x), given);
        } catch (const std::exception&) { throw; } catch (...) {
          fail("callback", "expected exceptions of std::exception's kind, got another");
        }
      });
  state_ = std::move(state);
}

std::vector<Tensor> Callback::operator()(std::span<const Tensor> operands, Location at) const {
  return apply(op("callback"), operands, {{"id", state_->id}, {"results", state_->results}}, at);
}

Tensor Callback::operator()(const Tensor& x, Location at) const {
  std::vector<Tensor> results = (*this)(std::span(&x, 1), at);
  if (results.size() != 1)
    fail("callback", "expected a function of one result, got " + std::to_string(results.size()), at);
  return results[0];
}

}  // namespace tn
