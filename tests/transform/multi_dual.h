// The oracle of derivatives of any order and mode: numbers a + sum of coefficients over products of independent
// infinitesimals e_i with e_i^2 = 0. The derivative of f at x is the coefficient of a new infinitesimal in f(x + e).
// It shares nothing with the transforms under test: plain C++ functions, loops and `if` run on these numbers.
#pragma once
#include <array>
#include <cmath>
#include <functional>

namespace tn::testing {

struct MultiDual {
  static constexpr int kOrder = 5;
  static constexpr int kSize = 1 << kOrder;
  std::array<double, kSize> c{};  // by set of infinitesimals

  MultiDual() = default;
  MultiDual(double v) { c[0] = v; }
  double value() const { return c[0]; }

  friend MultiDual operator+(MultiDual a, const MultiDual& b) {
    for (int s = 0; s < kSize; ++s) a.c[s] += b.c[s];
    return a;
  }
  friend MultiDual operator-(MultiDual a, const MultiDual& b) {
    for (int s = 0; s < kSize; ++s) a.c[s] -= b.c[s];
    return a;
  }
  friend MultiDual operator*(const MultiDual& a, const MultiDual& b) {
    MultiDual r;
    for (int s = 0; s < kSize; ++s)
      for (int part = s;; part = (part - 1) & s) {
        r.c[s] += a.c[part] * b.c[s ^ part];
        if (part == 0) break;
      }
    return r;
  }
};

/// f of a dual number from the derivatives of f at its value: the Taylor series, finite because the rest is nilpotent.
inline MultiDual taylor(const MultiDual& x, const std::array<double, MultiDual::kOrder + 1>& derivatives) {
  MultiDual rest = x, power = 1, sum = derivatives[0];
  rest.c[0] = 0;
  double factorial = 1;
  for (int k = 1; k <= MultiDual::kOrder; ++k) {
    power = power * rest;
    factorial *= k;
    sum = sum + power * MultiDual(derivatives[k] / factorial);
  }
  return sum;
}

inline MultiDual sin(const MultiDual& x) {
  double s = std::sin(x.value()), c = std::cos(x.value());
  return taylor(x, {s, c, -s, -c, s, c});
}
inline MultiDual cos(const MultiDual& x) {
  double s = std::sin(x.value()), c = std::cos(x.value());
  return taylor(x, {c, -s, -c, s, c, -s});
}
inline MultiDual exp(const MultiDual& x) {
  double e = std::exp(x.value());
  return taylor(x, {e, e, e, e, e, e});
}
inline MultiDual log(const MultiDual& x) {
  double r = 1 / x.value();
  return taylor(x, {std::log(x.value()), r, -r * r, 2 * r * r * r, -6 * r * r * r * r, 24 * r * r * r * r * r});
}
inline MultiDual operator/(const MultiDual& a, const MultiDual& b) {
  double r = 1 / b.value();
  double r2 = r * r, r3 = r2 * r;
  return a * taylor(b, {r, -r2, 2 * r3, -6 * r2 * r2, 24 * r2 * r3, -120 * r3 * r3});
}
inline MultiDual tanh(const MultiDual& x) {
  MultiDual e = exp(x + x);
  return (e - 1) / (e + 1);
}

/// The derivative of f at x, itself differentiable: `level` names the infinitesimal, one no caller uses.
inline MultiDual derivative(const std::function<MultiDual(MultiDual)>& f, MultiDual x, int level) {
  int bit = 1 << level;
  x.c[bit] += 1;
  MultiDual y = f(x), d;
  for (int s = 0; s < MultiDual::kSize; ++s)
    if (!(s & bit)) d.c[s] = y.c[s | bit];
  return d;
}

}  // namespace tn::testing
