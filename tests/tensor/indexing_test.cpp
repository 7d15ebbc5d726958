#include "expect.h"
#include "runtime/execute.h"

namespace tn {
namespace {

using V = std::vector<double>;

TEST(Indexing, Basic) {
  Tensor x = reshape(arange(24), {2, 3, 4});
  EXPECT_EQ(x(1, 2, 3).item<int>(), 23);
  EXPECT_EQ(x(-1, -1, -1).item<int>(), 23);
  EXPECT_EQ(x(0, all, 1).to_vector(), (V{1, 5, 9}));
  EXPECT_EQ(x(all, slice(1, 3), -1).to_vector(), (V{7, 11, 19, 23}));
  EXPECT_EQ(x(ellipsis, 0).to_vector(), (V{0, 4, 8, 12, 16, 20}));
  EXPECT_EQ(to_string(x(newaxis, 0, newaxis, all, slice(none, none, 2)).type()), "i64[1, 1, 3, 2]");
  EXPECT_EQ(x(1, 1, slice(none, none, -1)).to_vector(), (V{19, 18, 17, 16}));
  EXPECT_EQ(x(0, 0, slice(3, 0, -2)).to_vector(), (V{3, 1}));
  EXPECT_EQ(x(0, 0, slice(-3, 100)).to_vector(), (V{1, 2, 3}));
  EXPECT_EQ(x(0, 0, slice(3, 1)).size(), 0);
  EXPECT_EQ(x(0, 0, slice(0, 3, -1)).size(), 0);
}

TEST(Indexing, Tensors) {
  Tensor x = reshape(arange(24), {2, 3, 4}), i = tensor({2, -1, 0});
  EXPECT_EQ(x(0, i, 1).to_vector(), (V{9, 9, 1}));
  EXPECT_EQ(to_string(x(all, i).type()), "i64[2, 3, 4]");
  EXPECT_EQ(x(0, i, i).to_vector(), (V{10, 11, 0}));
  EXPECT_EQ(to_string(x(tensor({0, 1}), all, tensor({{1}, {2}, {3}})).type()), "i64[3, 2, 3]");
  EXPECT_EQ(x(tensor({0, 1}), all, tensor({1, 2}))(1).to_vector(), (V{14, 18, 22}));
  EXPECT_EQ(x(Tensor(1), 0, 0).item<int>(), 12);
}

/// Each index is moved to its own axis: joined ones would take an element of another row.
TEST(Indexing, OutsideIsClampedOnEachAxis) {
  Tensor x = reshape(arange(6), {2, 3});
  EXPECT_EQ(x(tensor({0, -9, 7}), tensor({5, 1, 1})).to_vector(), (V{2, 1, 4}));
  EXPECT_EQ(x(0, tensor({5, -7, -1})).to_vector(), (V{2, 0, 2}));
  EXPECT_EQ(x(tensor({4}, DType::u8), tensor({9}, DType::i8)).to_vector(), (V{5}));
  EXPECT_EQ(set_at(x, {tensor({0}), tensor({5})}, 9).to_vector(), (V{0, 1, 9, 3, 4, 5}));
  EXPECT_EQ(add_at(x, {tensor({0, 0}), tensor({5, 4})}, 10).to_vector(), (V{0, 1, 22, 3, 4, 5}));
  EXPECT_EQ(take_last(x, tensor({1, -1})).to_vector(), (V{1, 3}));
  EXPECT_EQ(take_last(x, tensor({3, 7})).to_vector(), (V{2, 5}));
}

TEST(Indexing, Errors) {
  Tensor x = reshape(arange(6), {2, 3});
  expect_error([&] { x(2); }, "[index] expected an index from -2 to 1 on axis 0 of i64[2, 3], got 2");
  expect_error([&] { x(0, 0, 0); }, "expected at most 2 entries");
  expect_error([&] { x(tensor({0.5})); }, "expected integer tensors, got f32[1]");
  expect_error([&] { x(slice(0, 2, 0)); }, "step");
}

TEST(Indexing, Writes) {
  Tensor x = zeros({2, 3});
  EXPECT_EQ(set_at(x, {1, slice(0, 2)}, 5.0).to_vector(), (V{0, 0, 0, 5, 5, 0}));
  EXPECT_EQ(add_at(x, {all, tensor({0, 0})}, 1.0).to_vector(), (V{2, 0, 0, 2, 0, 0}));
  auto f = [](const Tensor& y) { return sum(square(set_at(y, {0}, 3.0))); };
  expect_near(grad(f)(f64({2, 5})), {0, 10});
}

TEST(Shapes, Functions) {
  Tensor x = reshape(arange(6), {2, 3});
  EXPECT_EQ(transpose(x).to_vector(), (V{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(to_string(reshape(x, {3, -1}).type()), "i64[3, 2]");
  EXPECT_EQ(concat({x, x}, 1).to_vector(), (V{0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5}));
  EXPECT_EQ(to_string(stack({x, x}, -1).type()), "i64[2, 3, 2]");
  EXPECT_EQ(split(x, 3, 1)[1].to_vector(), (V{1, 4}));
  EXPECT_EQ(tile(x, {2, 1, 2}).size(), 24);
  EXPECT_EQ(tile(tensor({1, 2}), {2}).to_vector(), (V{1, 2, 1, 2}));
  EXPECT_EQ(flip(x, 1).to_vector(), (V{2, 1, 0, 5, 4, 3}));
  EXPECT_EQ(to_string(squeeze(expand_dims(x, {0, -1})).type()), "i64[2, 3]");
  EXPECT_EQ(pad(x, {0, 1}, {1, 0}).to_vector(), (V{0, 0, 1, 2, 0, 3, 4, 5, 0, 0, 0, 0}));
  EXPECT_EQ(tril(ones({3, 3})).to_vector(), (V{1, 0, 0, 1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(eye(2).to_vector(), (V{1, 0, 0, 1}));
  EXPECT_EQ(linspace(0, 1, 3).to_vector(), (V{0, .5, 1}));
  EXPECT_EQ(arange(1, 8, 3).to_vector(), (V{1, 4, 7}));
  EXPECT_EQ(arange(8, 1, -3).to_vector(), (V{8, 5, 2}));
  expect_error([&] { reshape(x, {4, -1}); }, "reshape");
  expect_error([&] { sum(x, {.axis = 2}); }, "[sum] expected an axis from -2 to 1 of i64[2, 3], got 2");
}

TEST(Reductions, Options) {
  Tensor x = tensor({{1., 2., 3.}, {4., 5., 9.}});
  EXPECT_EQ(mean(x, {.axis = -1}).to_vector(), (V{2, 6}));
  expect_near(var(x, {.axis = 1}), {2. / 3, 14. / 3});
  expect_near(stddev(x, {.axis = 1, .correction = 1}), {1, std::sqrt(7)});
  // One element far from the others, and first.
  Tensor far = concat({full({1, 2}, 1e4), zeros({999999, 2})});
  expect_near(var(far, {.axis = 0}), {100, 100}, 1e-2);
  EXPECT_EQ(max(x, {.axis = {0, 1}}).item(), 9);
  EXPECT_EQ(argmax(x, {.axis = 1}).to_vector(), (V{2, 2}));
  EXPECT_EQ(argmin(x).item<int>(), 0);
  EXPECT_TRUE(all(x > 0.0).item<bool>());
  EXPECT_TRUE(any(x > 8.0).item<bool>());
  EXPECT_EQ(where(x > 3.0, x, 0).to_vector(), (V{0, 0, 0, 4, 5, 9}));
}

/// 65,520 elements and more are no number of f16, nor are their sums.
TEST(Reductions, CountsDoNotFitSixteenBits) {
  for (DType d : {DType::f16, DType::bf16}) {
    Tensor x = full({70000}, 0.5, d), steps = concat({zeros({35000}, d), ones({35000}, d)});
    EXPECT_EQ(mean(x).item(), 0.5);
    EXPECT_EQ(mean(x).dtype(), d);
    EXPECT_EQ(mean(x * 4.0).item(), 2);
    EXPECT_EQ(var(steps, {.correction = 1}).item(), 0.25);
    EXPECT_EQ(stddev(steps, {.correction = 1}).item(), 0.5);
    EXPECT_EQ(stddev(steps).dtype(), d);
    expect_near(stddev(concat({full({4}, -400.0, d), full({4}, 400.0, d)})), 400, 1e-3);  // whose square is too large
    Tensor g = grad([](const Tensor& v) { return cast(moments(v, {}).variance, DType::f32) * 35000.0; })(steps);
    expect_near(cast(g(0), DType::f32), -0.5, 1e-2);
  }
  Tensor any = placeholder(Type::tensor(DType::f16, {Dim::symbol("n")}));
  auto symbolic = trace([](const Tensor& v) { return mean(v); }, any);
  Array halves = Array::empty(DType::f16, {70000});
  for (i64 i = 0; i < halves.size(); ++i) halves.set(i, 0.5);
  EXPECT_EQ(execute(symbolic, {&halves, 1})[0].get(0), 0.5);
}

TEST(Shapes, ARangeThatEndsBeforeItsStartIsEmptyForEverySize) {
  Dim n = Dim::symbol("n");
  Tensor any = placeholder(Type::tensor(DType::f32, {n}));
  for (auto [step, count] : {std::pair<i64, i64>{1, 4}, {3, 2}, {-1, 0}}) {
    GraphPtr g = step == 1   ? trace([](const Tensor& x) { return arange(0, x.shape()[0] - Dim(3)); }, any)
                 : step == 3 ? trace([](const Tensor& x) { return arange(0, x.shape()[0] - Dim(3), 3); }, any)
                             : trace([](const Tensor& x) { return arange(0, x.shape()[0] - Dim(3), -1); }, any);
    for (i64 size : {2, 3, 7}) {
      Array x = Array::zeros(DType::f32, {size});
      i64 want = size == 7 ? count : size == 2 && step < 0 ? 1 : 0;
      EXPECT_EQ(execute(g, {&x, 1})[0].size(), want) << step << " " << size;
    }
  }
  // A size alone is taken as it is: it stays the extent of the tensor it came from.
  Tensor cut = placeholder(Type::tensor(DType::f32, {n - Dim(3)}));
  auto sized = trace([](const Tensor& x) { return x + cast(arange(x.shape()[0]), DType::f32); }, cut);
  EXPECT_EQ(output_types(*sized)[0], cut.type());
}

TEST(Printing, LikeNumPy) {
  EXPECT_EQ(to_string(tensor({{1., 2.5}, {-3., 4.}})), "[[ 1.   2.5]\n [-3.   4. ]]");
  EXPECT_EQ(to_string(tensor({1, 20, 300})), "[  1  20 300]");
  EXPECT_EQ(to_string(tensor({true, false})), "[ True False]");
  EXPECT_EQ(to_string(Tensor(2.5)), "2.5");
  EXPECT_EQ(to_string(tensor({1e-10, 1.})), "[1.e-10 1.e+00]");
  EXPECT_EQ(to_string(arange(2000)), "[   0    1    2 ... 1997 1998 1999]");
  EXPECT_EQ(to_string(zeros({0})), "[]");
  EXPECT_EQ(to_string(zeros({3, 0})), "[]");
  EXPECT_EQ(to_string(tensor({0.1, 0.25, 123456.789})), "[1.0000000e-01 2.5000000e-01 1.2345679e+05]");
  EXPECT_EQ(to_string(tensor({1e-5, 1.5})), "[1.0e-05 1.5e+00]");
  EXPECT_EQ(to_string(tensor({104.5, 31456., 0.0023899}, DType::f16)), "[1.045e+02 3.146e+04 2.390e-03]");
  EXPECT_EQ(to_string(tensor({1. / 3}, DType::f16)), "[0.3333]");
  EXPECT_EQ(to_string(tensor({1.0, NAN, -INFINITY, -0.0})), "[  1.  nan -inf  -0.]");
  EXPECT_EQ(to_string(Tensor(1. / 3, DType::f64)), "0.3333333333333333");
  EXPECT_EQ(to_string(Tensor(1e-5)), "1e-05");
  EXPECT_EQ(to_string(Tensor(1e20)), "1e+20");
  EXPECT_EQ(to_string(Tensor(3.0)), "3.0");
}

TEST(Literals, AreExact) {
  constexpr i64 kOdd = (i64{1} << 53) + 1, kMost = std::numeric_limits<i64>::max();
  EXPECT_EQ(tensor({kOdd, kMost, -kMost - 1}).to_vector<i64>(), (std::vector<i64>{kOdd, kMost, -kMost - 1}));
  EXPECT_EQ(tensor({3.0, 4.0}, DType::i8).to_vector<i64>(), (std::vector<i64>{3, 4}));
  EXPECT_EQ(tensor({0.5, 0.0}, DType::boolean).to_vector<i64>(), (std::vector<i64>{1, 0}));
}

TEST(Indexing, TheGreatestIntegerIsAnEnd) {
  constexpr i64 kMost = std::numeric_limits<i64>::max();
  Tensor x = arange(4);
  EXPECT_EQ(x(slice(1, kMost)).to_vector(), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(x(slice(-kMost - 1, 2)).to_vector(), (std::vector<double>{0, 1}));
  EXPECT_EQ(x(slice(kMost, none, -1)).to_vector(), (std::vector<double>{3, 2, 1, 0}));
  EXPECT_EQ(x(slice(size_t{1}, ~size_t{0})).to_vector(), (std::vector<double>{1, 2, 3}));
  EXPECT_THROW(x(kMost), Error);
}

TEST(Empties, HaveNoRowsToNormalise) {
  for (const Tensor& x : {zeros({3, 0}), zeros({0, 3})})
    for (const Tensor& y : {softmax(x), log_softmax(x)}) EXPECT_EQ(y.type(), x.type());
}

}  // namespace
}  // namespace tn
