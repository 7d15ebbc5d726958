// Functions of the host as a part of programs.
#pragma once
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {

/// A function of the host that programs call on values: once each time they run, in order with prints; under vmap lane
/// by lane. `results` are the shapes and dtypes it returns; others are an Error when the program runs. Their symbols
/// are those of the inputs of the graph that calls it. It has no derivative: wrap it in custom_vjp or custom_jvp.
/// Threads that run programs call it side by side. A program that calls it runs in this process only, and while a copy
/// of the Callback stands.
class Callback {
 public:
  /// f(std::span<const Tensor>) -> std::vector<Tensor>
  template <class F>
  Callback(std::vector<Type> results, F f)
      : Callback(std::move(results), std::unique_ptr<Host>(new Of<F>(std::move(f)))) {}
  std::vector<Tensor> operator()(std::span<const Tensor> operands, Location at = Location::current()) const;
  /// For a function of one result.
  Tensor operator()(const Tensor& x, Location at = Location::current()) const;

 private:
  struct Host {
    virtual ~Host() = default;
    virtual std::vector<Tensor> call(std::span<const Tensor> operands) = 0;
  };
  template <class F>
  struct Of : Host {
    explicit Of(F given) : f(std::move(given)) {}
    std::vector<Tensor> call(std::span<const Tensor> operands) override { return f(operands); }
    F f;
  };
  Callback(std::vector<Type> results, std::unique_ptr<Host> host);
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace tn
