// What operators give where it is easily lost: in the digits of functions, in narrow sums, in folded integers.
#include <gtest/gtest.h>

#include <cmath>

#include "models.h"
#include "run.h"
#include "transform/transform.h"

namespace tn::onnx {
namespace {

using samples::body;
using samples::info;
using samples::integer;
using samples::integers;
using samples::ints;
using samples::model;
using samples::node;
using samples::numbers;

/// What is folded at import is what the operators give: integers wrap, and all of i64 are followed.
TEST(Operators, IntegersFoldedAreThoseOfTheirDtype) {
  auto to = [](Element e) { return integer("to", static_cast<i64>(e)); };
  ModelDef m = model({node("Add", {"x", "z"}, {"s"}), node("Cast", {"s"}, {"w"}, {to(Element::int32)}),
                      node("Add", {"w", "one"}, {"v"}), node("Cast", {"large"}, {"t"}, {to(Element::uint8)}),
                      node("Cast", {"t"}, {"u"}, {to(Element::int32)}), node("Add", {"u", "v"}, {"y"})},
                     {numbers<u8>("z", Element::uint8, {1}, {100}), numbers<i32>("one", Element::int32, {1}, {1}),
                      ints("large", {1}, {257})});
  m.graph.inputs = {info("x", Element::uint8, {1})};
  Array x = Array::empty(DType::u8, {1});
  x.set_int(0, 200);
  ImportOptions options;
  options.known_inputs = {{"x", x}};
  EXPECT_EQ(elements(execute(import_model(m, options).graph, std::vector<Array>{x})[0]), std::vector<i64>{46});
  std::vector<TensorValue> far{ints("a", {1}, {3000000000}), ints("b", {1}, {2000000000}), ints("most", {1}, {kMost}),
                               ints("one", {}, {1})};
  std::vector<Array> none{Array::zeros(DType::f32, {2, 3})};
  EXPECT_EQ(elements(answer(model({node("Mul", {"a", "b"}, {"y"})}, far), none)),
            std::vector<i64>{6000000000000000000});
  m = model({node("Concat", {"a", "most"}, {"t"}, {integer("axis", 0)}), node("Gather", {"t", "one"}, {"y"})}, far);
  EXPECT_EQ(elements(answer(m, none)), std::vector<i64>{kMost});
}

TEST(Operators, TheLeastIntegerIsTheLeast) {
  ModelDef m = model({node("ArgMin", {"x"}, {"y"})});
  m.graph.inputs = {info("x", Element::int64, {3})};
  EXPECT_EQ(elements(execute(import_model(m).graph, std::vector<Array>{vector({3, kLeast, -5})})[0]),
            std::vector<i64>{1});
}

TEST(Operators, MeansOfIntegersAreTowardZero) {
  ModelDef m = model({node("ReduceMean", {"x"}, {"y"})});
  m.graph.inputs = {info("x", Element::int64, {2})};
  EXPECT_EQ(elements(answer(m, {vector({-3, 0})})), std::vector<i64>{-1});
  EXPECT_EQ(elements(answer(m, {vector({3, 0})})), std::vector<i64>{1});
}

/// A trip count below 0 is none: what is carried stays, and nothing is stacked.
TEST(Operators, LoopsOfNegativeCountsTakeNoStep) {
  GraphDef loop;
  loop.name = "loop";
  loop.inputs = {info("i", Element::int64, {}), info("go", Element::boolean, {}), info("v", Element::int64, {2})};
  loop.nodes = {node("Identity", {"go"}, {"on"}), node("Add", {"v", "v"}, {"w"})};
  loop.outputs = {info("on", Element::boolean, {}), info("w", Element::int64, {2}), info("w", Element::int64, {2})};
  ModelDef m = model({node("Loop", {"n", "", "x"}, {"y", "all"}, {body("body", loop)})}, {ints("n", {}, {-2})});
  m.graph.inputs = {info("x", Element::int64, {2})};
  m.graph.outputs.push_back(info("all", Element::int64, {0, 2}));
  std::vector<Array> r = execute(import_model(m).graph, std::vector<Array>{vector({5, 7})});
  EXPECT_EQ(elements(r[0]), (std::vector<i64>{5, 7}));
  EXPECT_EQ(r[1].shape, (std::vector<i64>{0, 2}));
}

/// By libm in a wider type, on both sides of zero, as far as each goes.
template <class T>
void expect_hyperbolic(Element element, DType dtype) {
  struct Case {
    const char* op;
    long double (*exact)(long double);
    std::vector<double> x;
  };
  const Case cases[] = {{"Sinh", sinhl, {0, 1e-9, 0.3, 1, 17.5, 19.9, 20.1, 60, 88.9, 100, 709}},
                        {"Cosh", coshl, {0, 1e-9, 0.3, 1, 17.5, 19.9, 20.1, 60, 88.9, 100, 709}},
                        {"Asinh", asinhl, {0, 1e-9, 0.3, 1, 700, 9e7, 2e8, 1e20, 3e38}},
                        {"Acosh", acoshl, {1, 1.0001, 1.5, 2, 700, 9e7, 2e8, 1e20, 3e38}},
                        {"Atanh", atanhl, {0, 1e-9, 0.3, 0.5, 0.99, 0.9999, 0.999999, 1, 2}}};
  for (const Case& test : cases) {
    auto n = static_cast<i64>(test.x.size());
    ModelDef m = model({node(test.op, {"x"}, {"y"})});
    m.graph.inputs = {info("x", element, {2 * n})};
    Array x = Array::empty(dtype, {2 * n});
    for (i64 i = 0; i < n; ++i)
      for (i64 side : {0, 1}) x.set(side * n + i, (side ? -1 : 1) * test.x[static_cast<size_t>(i)]);
    Array y = answer(m, {x});
    for (i64 i = 0; i < 2 * n; ++i) {
      long double exact = test.exact(static_cast<long double>(x.data<T>()[i]));
      T got = y.data<T>()[i], want = static_cast<T>(exact), size = std::fabs(want);
      std::string where = std::string(test.op) + " of " + std::to_string(x.get(i));
      if (std::isfinite(want))
        EXPECT_LE(std::fabs(got - exact), 8 * (std::nextafter(size, std::numeric_limits<T>::infinity()) - size))
            << where;
      else
        EXPECT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << where << " is " << got;
    }
  }
}

TEST(Operators, HyperbolicFunctionsKeepTheirDigits) {
  expect_hyperbolic<float>(Element::float32, DType::f32);
  expect_hyperbolic<double>(Element::float64, DType::f64);
}

TEST(Operators, HyperbolicFunctionsHaveTheirSlopes) {
  struct Case {
    const char* op;
    std::vector<double> x, slope;
  };
  const Case cases[] = {{"Sinh", {0, -0.0, 20, -20, 30}, {1, 1, std::cosh(20), std::cosh(20), std::cosh(30)}},
                        {"Cosh", {0, 20, -20}, {0, std::sinh(20), -std::sinh(20)}},
                        {"Asinh", {0, -0.0, 1, 1e8, -1e20}, {1, 1, std::sqrt(0.5), 1e-8, 1e-20}},
                        {"Acosh", {2, 1e8, 1e20}, {1 / std::sqrt(3), 1e-8, 1e-20}},
                        {"Atanh", {0, -0.0, 0.5, -0.5}, {1, 1, 1 / 0.75, 1 / 0.75}}};
  for (const Case& test : cases) {
    auto n = static_cast<i64>(test.x.size());
    ModelDef m = model({node(test.op, {"x"}, {"y"})});
    m.graph.inputs = {info("x", Element::float64, {n})};
    Array x = Array::empty(DType::f64, {n}), one = Array::empty(DType::f64, {n});
    for (i64 i = 0; i < n; ++i) x.set(i, test.x[static_cast<size_t>(i)]), one.set(i, 1);
    Array slope = execute(vjp_graph(import_model(m).graph, {true}), std::vector<Array>{x, one}).back();
    for (i64 i = 0; i < n; ++i) {
      double want = test.slope[static_cast<size_t>(i)];
      EXPECT_NEAR(slope.get(i), want, 1e-12 * std::fabs(want)) << test.op << " at " << x.get(i);
    }
  }
}

/// Sizes that turn out below zero: loops of no step, and quotients toward zero.
TEST(Operators, SizesBelowZero) {
  GraphDef loop;
  loop.name = "loop";
  loop.inputs = {info("i", Element::int64, {}), info("go", Element::boolean, {}), info("v", Element::int64, {1})};
  loop.nodes = {node("Identity", {"go"}, {"on"}), node("Add", {"v", "v"}, {"w"})};
  loop.outputs = {info("on", Element::boolean, {}), info("w", Element::int64, {1})};
  ModelDef m =
      model({node("Shape", {"x"}, {"n"}), node("Sub", {"n", "five"}, {"less"}),
             node("Loop", {"less", "", "seven"}, {"y"}, {body("body", loop)}), node("Div", {"less", "two"}, {"half"})},
            {ints("five", {1}, {5}), ints("seven", {1}, {7}), ints("two", {1}, {2})});
  ValueInfo x = info("x", Element::float32, {0});
  x.type.shape = {{.kind = TypeInfo::Extent::Kind::name, .name = "N"}};
  m.graph.inputs = {x};
  m.graph.outputs.push_back(info("half", Element::int64, {1}));
  GraphPtr g = import_model(m).graph;
  for (auto [n, y, half] : {std::tuple{2, 7, -1}, {5, 7, 0}, {8, 56, 1}}) {
    std::vector<Array> r = execute(g, std::vector<Array>{Array::empty(DType::f32, {n})});
    EXPECT_EQ(r[0].get_int(0), y) << n;
    EXPECT_EQ(r[1].get_int(0), half) << n;
  }
}

/// Sums, squares and counts that floats of 16 bits do not hold.
TEST(Operators, FloatsOf16BitsAreSummedInMore) {
  struct Case {
    NodeDef node;
    std::vector<i64> shape;
    std::vector<double> x;  // over and over
    double want;            // the first element
  };
  std::vector<i64> many{1, 1, 256, 512};
  Strings norm{"x", "one", "zero", "zero", "one"};
  const Case cases[] = {
      {node("InstanceNormalization", {"x", "one", "zero"}, {"y"}), many, {3, 1}, 1},
      {node("MeanVarianceNormalization", {"x"}, {"y"}), many, {3, 1}, 1},
      {node("BatchNormalization", norm, {"y", "m", "v"}, {integer("training_mode", 1)}), many, {3, 1}, 1},
      {node("BatchNormalization", norm, {"t", "y", "v"}, {integer("training_mode", 1)}), many, {3, 1}, 0.2},
      {node("LpNormalization", {"x"}, {"y"}), {4}, {300}, 0.5},
      {node("LRN", {"x"}, {"y"}, {integer("size", 1)}), {1, 1}, {300}, 53.348},  // 300 / (1 + 9)^0.75
      {node("GlobalAveragePool", {"x"}, {"y"}), many, {3, 1}, 2},
      {node("AveragePool", {"x"}, {"y"}, {integers("kernel_shape", {64, 64})}), {1, 1, 64, 64}, {30}, 30},
      {node("GlobalLpPool", {"x"}, {"y"}), {1, 1, 4}, {300}, 600},
      {node("LpPool", {"x"}, {"y"}, {integers("kernel_shape", {4})}), {1, 1, 4}, {300}, 600},
      {node("ReduceL2", {"x"}, {"y"}), {4}, {300}, 600},
      {node("ReduceLogSum", {"x"}, {"y"}), {2}, {40000}, 11.2898},
      {node("ReduceSumSquare", {"x"}, {"y"}), {4096}, {0x1p-13}, 0x1p-14},
      {node("Mean", {"x", "x"}, {"y"}), {1}, {40000}, 40000},
      {node("SoftmaxCrossEntropyLoss", {"x", "classes"}, {"y"}), {70000, 2}, {0}, 0.6931},
  };
  for (const Case& test : cases) {
    ModelDef m = model({test.node}, {numbers<u16>("one", Element::float16, {1}, {0x3C00}),
                                     numbers<u16>("zero", Element::float16, {1}, {0}),
                                     ints("classes", {70000}, std::vector<i64>(70000))});
    m.graph.inputs = {info("x", Element::float16, test.shape)};
    Array x = Array::empty(DType::f16, test.shape);
    for (i64 i = 0; i < x.size(); ++i) x.set(i, test.x[static_cast<size_t>(i) % test.x.size()]);
    Array y = answer(m, {x});
    EXPECT_EQ(y.dtype, DType::f16) << test.node.op_type;
    EXPECT_NEAR(y.get(0), test.want, 2e-3 * test.want) << test.node.op_type;
  }
}

}  // namespace
}  // namespace tn::onnx
