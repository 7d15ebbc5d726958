// Functions that call themselves: values, derivatives and lanes against plain C++, and what they refuse.
#include "tenon/recursion.h"

#include <cmath>
#include <optional>
#include <stdexcept>
#include <utility>

#include "expect.h"
#include "runtime/execute.h"
#include "tenon/control.h"
#include "tenon/jit.h"

namespace tn {
namespace {

using Operands = std::span<const Tensor>;

Type number() { return Type::tensor(DType::f64, {}); }
Tensor whole(i64 n) { return Tensor(n, DType::i64); }

/// x to the n-th, by halves: n is an integer of the program.
Recursion power() {
  return {"power", {number()}, [](const Recursion& self, Operands x) -> std::vector<Tensor> {
            return {cond(
                x[1] <= 0, [](const Tensor&, const Tensor&) { return f64(1); },
                [&](const Tensor& base, const Tensor& n) {
                  Tensor half = self(std::vector{base, floor_divide(n, 2)})[0];
                  return cond(
                      n % 2 == 1, [](const Tensor& h, const Tensor& b) { return h * h * b; },
                      [](const Tensor& h, const Tensor&) { return h * h; }, half, base);
                },
                x[0], x[1])};
          }};
}

Recursion fibonacci() {
  return {"fibonacci", {Type::tensor(DType::i64, {})}, [](const Recursion& self, Operands x) -> std::vector<Tensor> {
            return {cond(
                x[0] < 2, [](const Tensor& n) { return n; }, [&](const Tensor& n) { return self(n - 1) + self(n - 2); },
                x[0])};
          }};
}

TEST(Recursion, CallsItself) {
  Recursion f = fibonacci();
  EXPECT_EQ(f(whole(15)).item(), 610);
  Recursion p = power();
  for (i64 n : {0, 1, 2, 5, 10, 31}) EXPECT_NEAR(p(std::vector{f64(1.1), whole(n)})[0].item(), std::pow(1.1, n), 1e-12);
}

TEST(Recursion, TiersAndThreadsAgree) {
  for (Tier tier : {Tier::interpreted, Tier::compiled}) {
    set_tier(tier);
    EXPECT_EQ(fibonacci()(whole(12)).item(), 144);
  }
  set_tier(Tier::automatic);
}

TEST(Recursion, UnderJit) {
  static const Recursion p = power();
  auto f = jit([](const Tensor& x, const Tensor& n) { return sin(p(std::vector{x, n})[0]); });
  for (i64 n : {3, 4, 9}) EXPECT_NEAR(f(f64(0.9), whole(n)).item(), std::sin(std::pow(0.9, n)), 1e-12);
  EXPECT_EQ(f.traces(), 1u);
}

TEST(Recursion, DerivesForward) {
  Recursion p = power();
  for (i64 n : {1, 2, 7}) {
    auto f = [&](const Tensor& x) { return p(std::vector{x, whole(n)})[0]; };
    EXPECT_NEAR(jvp(f)(f64(1.2), f64(1)).second.item(), static_cast<double>(n) * std::pow(1.2, n - 1), 1e-10);
    auto slope = [&](const Tensor& x) { return jvp(f)(x, f64(1)).second; };
    EXPECT_NEAR(jvp(slope)(f64(1.2), f64(1)).second.item(), static_cast<double>(n * (n - 1)) * std::pow(1.2, n - 2),
                1e-10);
  }
}

/// Lanes end at different depths, and a lane that has ended calls no more.
TEST(Recursion, MapsOverLanes) {
  Recursion f = fibonacci();
  Tensor n = tensor({0, 1, 7, 10, 2});
  EXPECT_EQ(vmap([&](const Tensor& k) { return f(k); })(n).to_vector(), (std::vector<double>{0, 1, 13, 55, 1}));
  Recursion p = power();
  auto slope = [&](const Tensor& x, const Tensor& k) {
    return jvp([&](const Tensor& y) { return p(std::vector{y, k})[0]; })(x, f64(1)).second;
  };
  std::vector<double> got = vmap(slope)(f64({1.1, 0.9, 1.3}), tensor({0, 3, 6})).to_vector();
  EXPECT_NEAR(got[0], 0, 1e-12);
  EXPECT_NEAR(got[1], 3 * .81, 1e-12);
  EXPECT_NEAR(got[2], 6 * std::pow(1.3, 5), 1e-10);
}

/// Past their end the conditions of lanes hold no more: only that they have ended stops them.
TEST(Recursion, LanesThatEndedStayEnded) {
  Recursion f("count", {number()}, [](const Recursion& self, Operands x) -> std::vector<Tensor> {
    return {cond(
        x[1] == 0, [](const Tensor& v, const Tensor&) { return v * 0.0; },
        [&](const Tensor& v, const Tensor& n) { return self(std::vector{v, n - 1})[0] + v; }, x[0], x[1])};
  });
  auto call = [&](const Tensor& x, const Tensor& n) { return f(std::vector{x, n})[0]; };
  auto slope = [&](const Tensor& x, const Tensor& n) {
    return jvp([&](const Tensor& v) { return call(v, n); })(x, f64(1)).second;
  };
  Tensor x = f64({1.5, 2, 3}), n = tensor({0, 3, 1});
  EXPECT_EQ(vmap(call)(x, n).to_vector(), (std::vector<double>{0, 6, 3}));
  EXPECT_EQ(vmap(slope)(x, n).to_vector(), (std::vector<double>{0, 3, 1}));
  auto total = [&](const Tensor& v) { return sum(vmap(call)(v * f64({1, 1, 1}), n)); };
  EXPECT_EQ(jvp(total)(f64(2), f64(1)).second.item(), 4);
}

TEST(Recursion, HoldsTensors) {
  Tensor w = f64({2, 3});
  Recursion f("weighs", {number()},
              [w](const Recursion&, Operands x) -> std::vector<Tensor> { return {sum(w * x[0])}; });
  EXPECT_EQ(f(f64(2)).item(), 10);
  auto outer = [&](const Tensor& v) {
    Recursion g("outer", {number()}, [v](const Recursion&, Operands x) -> std::vector<Tensor> { return {v * x[0]}; });
    return g(f64(2));
  };
  expect_error([&] { grad(outer)(f64(1)); }, "of a transform around it; pass it as an argument");
}

TEST(Recursion, MayBeCalledAgainAfterAnError) {
  static bool fails = true;
  Recursion f("twice", {number()}, [](const Recursion&, Operands x) -> std::vector<Tensor> {
    if (fails) throw std::runtime_error("not yet");
    return {x[0] * 2.0};
  });
  EXPECT_THROW(f(f64(1)), std::runtime_error);
  fails = false;
  EXPECT_EQ(f(f64(1)).item(), 2);
}

TEST(Recursion, OneThatDoesNotCallItselfDerivesInReverse) {
  Recursion cube("cube", {number()},
                 [](const Recursion&, Operands x) -> std::vector<Tensor> { return {x[0] * x[0] * x[0]}; });
  EXPECT_NEAR(grad([&](const Tensor& x) { return cube(x); })(f64(2)).item(), 12, 1e-12);
}

TEST(Recursion, Refuses) {
  Recursion p = power();
  expect_error([&] { grad([&](const Tensor& x) { return p(std::vector{x, whole(3)})[0]; })(f64(1)).eval(); },
               "expected forward mode through the recursion of");
  Recursion endless("endless", {number()},
                    [](const Recursion& self, Operands x) -> std::vector<Tensor> { return {self(x[0] + 1)}; });
  expect_error([&] { endless(f64(0)).eval(); }, "got more of 'endless'; does its recursion end?");
  Recursion grows("grows", {number()}, [](const Recursion& self, Operands x) -> std::vector<Tensor> {
    return {self(concat({x[0], x[0]}, 0))};
  });
  expect_error([&] { grows(f64(std::vector<double>{1, 2})); },
               "expected calls of 'grows' with operands of a few types");
  Recursion wrong("wrong", {number()},
                  [](const Recursion&, Operands x) -> std::vector<Tensor> { return {cast(x[0], DType::f32)}; });
  expect_error([&] { wrong(f64(0)); }, "expected a body of 'wrong' from (f64[]) to (f64[]), as it was declared");
  Recursion reads("reads", {number()},
                  [](const Recursion&, Operands x) -> std::vector<Tensor> { return {x[0].item() > 0 ? x[0] : -x[0]}; });
  expect_error([&] { reads(f64(0)); }, "recursion");
  Recursion prints("prints", {number()}, [](const Recursion&, Operands x) -> std::vector<Tensor> {
    print("x", x[0]);
    return {x[0]};
  });
  expect_error([&] { prints(f64(0)); }, "expected no effects in the function 'prints'");
}

/// Two that call each other.
TEST(Recursion, InTurns) {
  std::optional<Recursion> even, odd;
  auto other = [](const std::optional<Recursion>& next, bool at_zero) {
    return [&next, at_zero](const Recursion&, Operands x) -> std::vector<Tensor> {
      return {cond(
          x[0] == 0, [&](const Tensor&) { return Tensor(at_zero); }, [&](const Tensor& n) { return (*next)(n - 1); },
          x[0])};
    };
  };
  Type truth = Type::tensor(DType::boolean, {});
  even.emplace("even", std::vector{truth}, other(odd, true));
  odd.emplace("odd", std::vector{truth}, other(even, false));
  EXPECT_EQ((*even)(whole(10)).item(), 1);
  EXPECT_EQ((*odd)(whole(10)).item(), 0);
}

/// A body that fails leaves nothing of those it had made: the next call makes them all.
TEST(Recursion, WhatFailsHalfwayIsMadeAgain) {
  std::optional<Recursion> even, odd;
  bool fails = true;
  Type truth = Type::tensor(DType::boolean, {});
  even.emplace("even", std::vector{truth}, [&](const Recursion&, Operands x) -> std::vector<Tensor> {
    Tensor y = cond(
        x[0] == 0, [](const Tensor&) { return Tensor(true); }, [&](const Tensor& n) { return (*odd)(n - 1); }, x[0]);
    if (std::exchange(fails, false)) throw std::runtime_error("once");
    return {y};
  });
  odd.emplace("odd", std::vector{truth}, [&](const Recursion&, Operands x) -> std::vector<Tensor> {
    return {cond(
        x[0] == 0, [](const Tensor&) { return Tensor(false); }, [&](const Tensor& n) { return (*even)(n - 1); }, x[0])};
  });
  EXPECT_THROW((*even)(whole(3)), std::runtime_error);
  EXPECT_EQ((*odd)(whole(3)).item(), 1);
  EXPECT_EQ((*even)(whole(3)).item(), 0);
}

}  // namespace
}  // namespace tn
