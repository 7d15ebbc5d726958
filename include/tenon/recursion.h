// Functions that call themselves, as a part of programs.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {

/// A function of tensors whose body may call it again, to be ended by a cond:
///
///   Recursion factorial("factorial", {Type::tensor(DType::f32, {})},
///                       [](const Recursion& self, std::span<const Tensor> x) -> std::vector<Tensor> {
///                         return {cond(x[0] > 1, [&](const Tensor& n) { return n * self(n - 1); },
///                                      [](const Tensor& n) { return n; }, x[0])};
///                       });
///
/// `results` are the types it returns. The body is traced once for operands of the same types, whose sizes are numbers;
/// it uses its arguments, numbers and tensors that it holds, whose values are then part of it, has no effects, and does
/// not read values. Calls are at most 1,000 deep. Forward mode and vmap go through it, with each other and through jit
/// and control flow; reverse mode is an Error where it does call itself. A program that calls it runs in this process
/// only.
class Recursion {
 public:
  /// f(const Recursion& self, std::span<const Tensor>) -> std::vector<Tensor>
  template <class F>
  Recursion(std::string name, std::vector<Type> results, F f)
      : Recursion(std::move(name), std::move(results), std::unique_ptr<Body>(new Of<F>(std::move(f)))) {}
  std::vector<Tensor> operator()(std::span<const Tensor> operands, Location at = Location::current()) const;
  /// For a function of one operand and one result.
  Tensor operator()(const Tensor& x, Location at = Location::current()) const;

 private:
  struct Body {
    virtual ~Body() = default;
    virtual std::vector<Tensor> call(const Recursion& self, std::span<const Tensor> operands) = 0;
  };
  template <class F>
  struct Of : Body {
    explicit Of(F given) : f(std::move(given)) {}
    std::vector<Tensor> call(const Recursion& self, std::span<const Tensor> x) override { return f(self, x); }
    F f;
  };
  Recursion(std::string name, std::vector<Type> results, std::unique_ptr<Body> body);
  void trace(i64 id, std::span<const Tensor> operands, const Location& at) const;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tn
