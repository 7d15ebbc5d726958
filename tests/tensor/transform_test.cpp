// Every transform and control op over scalar programs: both modes, second order, lanes, jit, checkpoint, against finite
// differences and loops.
#include <map>
#include <thread>

#include "expect.h"
#include "tensor/pending.h"

namespace tn {
namespace {

/// All pairs of transforms of a scalar function at x.
template <class F>
void check_all(F f, double x) {
  auto g = grad(f);
  auto gg = grad(g);
  expect_near(g(f64(x)), slope(f, x));
  expect_near(jvp(f)(f64(x), f64(1)).second, slope(f, x));
  expect_near(gg(f64(x)), slope(g, x), 1e-4);
  auto forward = [&](const Tensor& t) { return jvp(f)(t, f64(1)).second; };
  expect_near(grad(forward)(f64(x)), slope(g, x), 1e-4);
  expect_near(jvp(g)(f64(x), f64(1)).second, slope(g, x), 1e-4);
  auto [value, pull] = vjp(f)(f64(x));
  expect_near(pull(f64(2)), 2 * slope(f, x));
  expect_near(value, f(f64(x)).item());
  auto [same, push] = linearize(f)(f64(x));
  expect_near(push(f64(2)), 2 * slope(f, x));
  Tensor v = f64({x, x + .1, x + .2});
  Tensor y = vmap(f)(v), dy = vmap(g)(v), ddy = vmap(gg)(v);
  Tensor through = grad([&](const Tensor& t) { return sum(vmap(f)(t)); })(v);
  for (int i = 0; i < 3; ++i) {
    double at = x + .1 * i;
    expect_near(y(i), f(f64(at)).item());
    expect_near(dy(i), g(f64(at)).item());
    expect_near(ddy(i), gg(f64(at)).item(), 1e-4);
    expect_near(through(i), g(f64(at)).item());
  }
  expect_near(grad(checkpoint(f))(f64(x)), slope(f, x));
  expect_near(grad(grad(checkpoint(f)))(f64(x)), gg(f64(x)).item());
  expect_near(hessian(f)(f64(x)), gg(f64(x)).item());
}

template <class F>
void check_jit(F f, double x) {
  auto g = grad(f);
  expect_near(jit(f)(f64(x)), f(f64(x)).item());
  expect_near(jit(g)(f64(x)), g(f64(x)).item());
  auto j = jit(f);
  expect_near(grad(j)(f64(x)), g(f64(x)).item());
  expect_near(grad(j)(f64(x)), g(f64(x)).item());
  expect_near(vmap(j)(f64({x, x + .1}))(1), f(f64(x + .1)).item());
}

auto smooth = [](const Tensor& x) { return sin(x * x) + exp(x) * 0.5 / (x + 2.0); };
auto branch = [](const Tensor& x) {
  Tensor w = x * 3.0;
  return cond(x < 0.75, [&](const Tensor& y) { return sin(y) * w; }, [](const Tensor& y) { return y * y; }, x);
};
auto folded = [](const Tensor& x) {
  Tensor w = sin(x);
  auto body = [&](const Tensor& c, const Tensor& e) {
    Tensor k = cos(w);
    return std::pair{c * k + e * sin(c), c * x};
  };
  auto [last, all_of_them] = scan(body, x, f64({.1, .2, .3}));
  return last + sum(all_of_them);
};
auto backwards = [](const Tensor& x) {
  auto body = [](const Tensor& c, const Tensor& e) { return std::pair{c * e + sin(c), c * c}; };
  auto [last, ys] = scan(body, x, f64({.4, .7, .2, .9}), {.reverse = true});
  return last * 0.5 + ys(0) * ys(2);
};
auto looped = [](const Tensor& x) {
  return while_loop([](const Tensor& v) { return v < 5.0; }, [&](const Tensor& v) { return v * (x + 1.2); }, x, 20);
};
auto nested = [](const Tensor& x) {
  auto body = [&](const Tensor& c, const Tensor& e) {
    Tensor d = cond(c < 0.5, [&](const Tensor& y) { return y * x; }, [&](const Tensor& y) { return sin(y) * e; }, c);
    return std::pair{d + jit([](const Tensor& z) { return z * z; })(e * x), d};
  };
  auto [last, ys] = scan(body, x, f64({.5, -.3, .9, .2}));
  return last * sum(ys);
};

TEST(Transforms, Elementwise) { check_all(smooth, 0.7), check_jit(smooth, 0.7); }
TEST(Transforms, Cond) { check_all(branch, 0.7), check_all(branch, 0.9), check_jit(branch, 0.7); }
TEST(Transforms, Scan) { check_all(folded, 0.6), check_jit(folded, 0.6); }
TEST(Transforms, ScanReversed) { check_all(backwards, 0.6), check_jit(backwards, 0.6); }
TEST(Transforms, While) { check_all(looped, 0.75), check_jit(looped, 0.75); }
TEST(Transforms, NestedControl) { check_all(nested, 0.6); }

TEST(Transforms, ForiLoop) {
  auto f = [](const Tensor& x) {
    return fori_loop(1, 5, [](const Tensor& i, const Tensor& c) { return c * 1.1 + sin(c) * cast(i, DType::f64); }, x);
  };
  check_all(f, 0.3);
  Tensor n = fori_loop(Tensor(2), Tensor(6), [](const Tensor& i, const Tensor& c) { return c + i; }, Tensor(0));
  EXPECT_EQ(n.item<int>(), 14);
}

TEST(Transforms, WhileWithoutBoundIsForwardOnly) {
  auto f = [](const Tensor& x) {
    return while_loop([](const Tensor& v) { return v < 5.0; }, [](const Tensor& v) { return v * 2.0; }, x);
  };
  expect_near(jvp(f)(f64(.7), f64(1)).second, 8);
  expect_error([&] { grad(f)(f64(.7)).item(); }, "bound");
}

TEST(Transforms, WhilePastItsBoundIsAnErrorInBothModes) {
  auto f = [](const Tensor& x) {
    return while_loop([](const Tensor& v) { return v < 5.0; }, [](const Tensor& v) { return v * 1.1; }, x, 3);
  };
  expect_error([&] { f(f64(1)).item(); }, "while");
  expect_error([&] { grad(f)(f64(1)).item(); }, "while");
}

TEST(Transforms, LanesNotTakenGiveNoNan) {
  auto f = [](const Tensor& x) {
    return cond(0.0 < x, [](const Tensor& y) { return log(y); }, [](const Tensor& y) { return y; }, x);
  };
  Tensor v = f64({-1, 0, 2});
  EXPECT_EQ(grad([&](const Tensor& t) { return sum(vmap(f)(t)); })(v).to_vector(), (std::vector<double>{1, 1, .5}));
  EXPECT_EQ(vmap(grad(f))(v).to_vector(), (std::vector<double>{1, 1, .5}));
}

TEST(Transforms, NoPerturbationConfusion) {
  auto outer = [](const Tensor& x) { return x * grad([&](const Tensor& y) { return x + y; })(f64(1)); };
  expect_near(grad(outer)(f64(1)), 1);
  auto deeper = [](const Tensor& x) { return x * grad([&](const Tensor& y) { return x * y * y; })(x); };
  expect_near(grad(deeper)(f64(3)), 54);
}

TEST(Transforms, IfOnValues) {
  auto f = [](const Tensor& x) {
    Tensor y = x * x;
    if (y.item() > 1) return y * x;
    return sin(y);
  };
  expect_near(grad(f)(f64(2)), 12);
  expect_near(grad(grad(f))(f64(2)), 12);
  expect_near(grad(f)(f64(.5)), std::cos(.25));
  expect_near(jvp(f)(f64(2), f64(1)).second, 12);
  expect_error([&] { jit(f)(f64(2)); }, "being traced by jit");
  expect_error([&] { grad(jit(f))(f64(2)); }, "being traced by jit");
  expect_error([&] { jit(grad(f))(f64(2)); }, "being traced by jit");
  expect_error([&] { vmap(f)(f64({1, 2})); }, "being traced by vmap");
  expect_error([&] { checkpoint(f)(f64(2)); }, "being traced by checkpoint");
}

TEST(Transforms, VmapAxes) {
  Tensor m = tensor({{1., 2., 3.}, {4., 5., 6.}}, DType::f64), s = f64({10, 20});
  auto f = [](const Tensor& row, const Tensor& k) { return row * k; };
  EXPECT_EQ(vmap(f)(m, s).to_vector(), (std::vector<double>{10, 20, 30, 80, 100, 120}));
  Tensor t = vmap(f, {.in_axes = {1, none}, .out_axes = 1})(m, s);
  EXPECT_EQ(to_string(t.type()), "f64[2, 3]");
  EXPECT_EQ(t.to_vector(), (std::vector<double>{10, 20, 30, 80, 100, 120}));
  expect_error([&] { vmap(f)(m, f64({1, 2, 3})); }, "expected mapped axes of one extent, got 2 and 3");
  expect_error([&] { vmap(f)(m, f64(1)); }, "expected an axis to map of f64[]");
}

TEST(Transforms, Jacobians) {
  auto f = [](const Tensor& x) { return stack({x(0) * x(1), sin(x(0)), x(1) * x(1) * x(1)}); };
  Tensor x = f64({0.5, 2});
  std::vector<double> expected{2, .5, std::cos(.5), 0, 0, 12};
  expect_near(jacobian_forward(f)(x), expected);
  expect_near(jacobian_reverse(f)(x), expected);
  EXPECT_EQ(to_string(jacobian(f)(x).type()), "f64[3, 2]");
  auto s = [](const Tensor& y) { return y(0) * y(0) * y(1) + sin(y(1)); };
  expect_near(hessian(s)(x), {2 * 2, 2 * .5, 2 * .5, -std::sin(2)});
}

TEST(Transforms, CustomVjp) {
  auto f = custom_vjp([](const Tensor& x) { return std::pair{exp(x), x}; },
                      [](const Tensor& r, const Tensor& ct) { return ct * r * 10.0; });
  expect_near(grad(f)(f64(.5)), 5);
  expect_near(grad(grad(f))(f64(.5)), 10);
  Tensor v = f64({1, 2});
  expect_near(grad([&](const Tensor& t) { return sum(vmap(f)(t)); })(v), {10, 20});
  expect_near(vmap(grad(f))(v), {10, 20});
  expect_error([&] { jvp(f)(f64(.5), f64(1)).second.item(); }, "custom_jvp");
  expect_near(jit(grad(f))(f64(.5)), 5);
}

TEST(Transforms, CustomJvp) {
  auto f =
      custom_jvp([](const Tensor& x) { return sin(x); }, [](const Tensor& x, const Tensor& t) { return x * t * 3.0; });
  expect_near(f(f64(.5)), std::sin(.5));
  expect_near(jvp(f)(f64(.5), f64(2)).second, 3);
  expect_near(grad(f)(f64(.5)), 1.5);
  expect_near(grad(grad(f))(f64(.5)), 3);
  expect_near(vmap(grad(f))(f64({1, 2})), {3, 6});
  Tensor outside = f64(1);
  auto captures =
      custom_jvp([&](const Tensor& x) { return x * outside; }, [](const Tensor&, const Tensor& t) { return t; });
  expect_error([&] { captures(f64(1)); }, "came in through none");
}

struct Layer {
  Tensor w, b;
  int units = 3;
};
struct Model {
  Layer a;
  std::vector<Layer> rest;
  std::tuple<Tensor, double> extra;
};

TEST(Transforms, Structs) {
  Model m{{f64({1, 2}), f64(.5)}, {{f64(2), f64(3)}}, {f64(4), .25}};
  EXPECT_EQ(leaves(m).size(), 5u);
  auto loss = [](const Model& n, const Tensor& x) {
    return sum(n.a.w * x) * n.rest[0].w + std::get<0>(n.extra) * std::get<1>(n.extra);
  };
  auto [l, g] = value_and_grad(loss)(m, f64(2));
  expect_near(l, 13);
  expect_near(g.a.w, {4, 4});
  expect_near(g.rest[0].w, 6);
  expect_near(std::get<0>(g.extra), .25);
  expect_near(g.rest[0].b, 0);
}

TEST(Transforms, IntegersHaveNoGradient) {
  auto f = [](const std::pair<Tensor, Tensor>& p) { return sum(gather(p.first, p.second)); };
  auto g = grad(f)(std::pair{f64({5, 6, 7}), tensor({1, 0, 0})});
  expect_near(g.first, {2, 1, 0});
  EXPECT_FALSE(g.second.defined());
}

TEST(Transforms, AuxiliaryResults) {
  auto f = [](const Tensor& x) { return std::pair{sum(x * x), x + 1.0}; };
  auto [g, aux] = grad(f)(f64({1, 2}));
  expect_near(g, {2, 4});
  expect_near(aux, {2, 3});
  auto outer = [&](const Tensor& x) { return sum(grad(f)(x).second * x); };  // aux is differentiated from outside
  expect_near(grad(outer)(f64({1, 2})), {3, 5});
}

TEST(Transforms, MixedDtypes) {
  Tensor p = tensor({1.0f, 2.0f});
  auto f = [](const Tensor& x) { return sum(cast(x, DType::f64) * cast(x, DType::f64)); };
  Tensor g = grad(f)(p);
  EXPECT_EQ(g.dtype(), DType::f32);
  expect_near(g, {2, 4});
}

TEST(Transforms, CheckpointComputesAgain) {
  auto f = checkpoint([](const Tensor& x) { return sin(sin(x)); });
  GraphPtr g = trace(value_and_grad(f), f64(.5));
  std::string text = to_string(*g);
  size_t sines = 0;
  for (size_t p = 0; (p = text.find("= sin(", p)) != text.npos; ++p) ++sines;
  EXPECT_EQ(sines, 3u) << text;
  EXPECT_NE(text.find("barrier"), text.npos);
}

TEST(Transforms, ErrorsKeepTheLine) {
  auto wrong = [](const Tensor& x) { return sum(x + f64({1, 2, 3})); };
  std::string line = "transform_test.cpp:" + std::to_string(__LINE__ - 1);
  for (auto f : {0, 1, 2}) {
    expect_error(
        [&] {
          if (f == 0) grad(wrong)(f64({1, 2}));
          if (f == 1) vmap(grad(wrong))(tensor({{1., 2.}}, DType::f64));
          if (f == 2) jit([](const Tensor& x) { return sum(x + f64({1, 2, 3})); })(f64({1, 2}));
        },
        f == 2 ? "differ on axis 0" : line);
  }
  expect_error([] { grad([](const Tensor& x) { return x * 2.0; })(f64({1, 2})); },
               "expected a function that returns a floating scalar, got f64[2]");
}

TEST(Transforms, ValuesThatEscape) {
  Tensor kept;
  grad([&](const Tensor& x) {
    kept = x * x;
    return kept * x;
  })(f64(3))
      .item();
  expect_near(kept, 9);  // the primal
  jit([](const Tensor& x) { return x; })(f64(1));
  vmap([&](const Tensor& x) {
    kept = x * 2.0;
    return x;
  })(f64({1, 2}));
  expect_error([&] { kept.item(); }, "escaped from vmap");
}

/// A value that escaped from a closed inner trace and is read inside an open outer one keeps its past for that one.
TEST(Transforms, EscapedValuesThatAreReadAreDifferentiated) {
  Tensor kept;
  auto escape = [&](const Tensor& x) {
    grad([&](const Tensor& y) {
      kept = y * y;
      return kept * 1.0;
    })(x)
        .eval();
  };
  auto read_after = [&](const Tensor& x) {
    escape(x);
    kept.eval();
    return kept * x;
  };
  expect_near(grad(read_after)(f64(3)), 27);
  expect_near(grad(grad(read_after))(f64(3)), 18);
  auto read_inside = [&](const Tensor& x) {
    grad([&](const Tensor& y) {
      kept = y * y;
      return kept.eval() * 1.0;
    })(x)
        .eval();
    return kept * x;
  };
  expect_near(grad(read_inside)(f64(3)), 27);
  // Another thread's trace that opens in between and ends first changes nothing.
  auto beside = [&](const Tensor& x) {
    escape(x);
    std::thread([&] {
      grad([&](const Tensor& y) {
        escape(x);
        kept.eval();
        return y * y;
      })(f64(1))
          .eval();
    }).join();
    return kept * x;
  };
  expect_near(grad(beside)(f64(3)), 27);
  i64 before = live_nodes();
  kept = {};
  for (int i = 0; i < 3; ++i) grad(read_after)(f64(3)).eval(), kept = {};
  EXPECT_LT(live_nodes(), before);
}

TEST(Trees, AreMappedTogetherWhenTheyHaveOneStructure) {
  using Map = std::map<std::string, Tensor>;
  auto plus = [](const Tensor& a, const Tensor& b) { return a + b; };
  Map a{{"left", f64(1)}, {"right", f64(2)}}, b{{"left", f64(10)}, {"right", f64(20)}};
  expect_near(tree_map(plus, a, b)["right"], 22);
  auto product = [](const Map& m) { return m.at("left") * m.at("right"); };
  expect_near(grad(product)(b)["left"], 20);
  expect_near(jit(product)(b), 200);
  expect_error([&] { tree_map(plus, a, Map{{"left", f64(1)}, {"up", f64(2)}}); }, "[tree_map] expected trees of one");
  expect_error([&] { tree_map(plus, a, Map{{"left", f64(1)}}); }, "[tree_map] expected trees of one structure");
  using Pair = std::pair<std::vector<Tensor>, std::vector<Tensor>>;
  expect_error([&] { tree_map(plus, Pair{{f64(1)}, {}}, Pair{{}, {f64(1)}}); }, "[tree_map] expected trees");
}

}  // namespace
}  // namespace tn
