// Small networks that tests of the engine build plans from, and what they need beside.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "folder.h"
#include "tenon/control.h"
#include "tenon/engine.h"
#include "tenon/nn.h"
#include "tenon/random.h"

namespace tn {

/// A convolution, a normalisation, a linear layer and a softmax: kernels of every family.
struct Small {
  nn::Conv2d conv;
  nn::BatchNorm2d norm;
  nn::Linear out;
  Tensor operator()(const Tensor& x) const { return softmax(out(flatten(relu(norm(conv(x))), 1)), {.axis = -1}); }
  static Small make() {
    nn::Keys keys(0);
    return {nn::conv2d(keys, 1, 4, 3, {.padding = 1}), nn::batch_norm2d(4), nn::linear(keys, 4 * 6 * 6, 5)};
  }
};

/// Every control instruction, a library kernel and an output that is an input.
struct Controlled {
  Tensor scale;
  std::vector<Tensor> operator()(const Tensor& x) const {
    Tensor total = sum(x);
    Tensor chosen =
        cond(total > 0.0, [&](const Tensor& v) { return v * scale; }, [&](const Tensor& v) { return v - scale; }, x);
    auto [last, steps] = scan(
        [&](const Tensor& carry, const Tensor& row) {
          Tensor next = carry * 0.5 + sum(row);
          return std::pair(next, next * 2.0);
        },
        total, x);
    Tensor halved =
        while_loop([](const Tensor& v) { return max(abs(v)) > 1.0; }, [](const Tensor& v) { return v * 0.5; }, chosen);
    return {halved, last, steps, sort(x, {.axis = 0}).values, x};
  }
};

inline Network small_network() {
  Dim batch = Dim::symbol("batch");
  return trace_network(Small::make(), {"scores"}, NamedType{"image", Type::tensor(DType::f32, {batch, 1, 6, 6})});
}

inline Network controlled_network() {
  Dim rows = Dim::symbol("rows");
  return trace_network(Controlled{Tensor(3.0, DType::f32)}, {"halved", "last", "steps", "sorted", "same"},
                       NamedType{"x", Type::tensor(DType::f32, {rows, 3})});
}

inline Tensor pictures(i64 n) { return random::normal(random::key(static_cast<u64>(n)), {n, 1, 6, 6}); }

inline void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(to_string(a.type()), to_string(b.type()));
  EXPECT_EQ(a.to_vector(), b.to_vector());
}

template <class F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what(); }
}

}  // namespace tn
