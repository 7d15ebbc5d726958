// What tests of tensors share.
#pragma once
#include <gtest/gtest.h>

#include <cmath>

#include "tenon/tenon.h"

namespace tn {

inline Tensor f64(double v) { return Tensor(v, DType::f64); }
inline Tensor f64(std::vector<double> v) { return tensor(v); }

inline void expect_near(const Tensor& x, double expected, double tolerance = 1e-5) {
  EXPECT_NEAR(x.item(), expected, tolerance * (1 + std::fabs(expected)));
}
inline void expect_near(const Tensor& x, const std::vector<double>& expected, double tolerance = 1e-5) {
  std::vector<double> got = x.to_vector();
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], tolerance * (1 + std::fabs(expected[i]))) << "at " << i;
}

template <class F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what(); }
}

template <class F>
double slope(F f, double x, double h = 1e-5) {
  return (f(f64(x + h)).item() - f(f64(x - h)).item()) / (2 * h);
}

}  // namespace tn
