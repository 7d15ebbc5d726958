// What control flow means under transforms: one test a promise.
#include <cmath>

#include "op/emit.h"
#include "support.h"
#include "transform/effects.h"
#include "transform/lanes.h"

namespace tn::testing {

namespace {

const Type kF64 = Type::tensor(DType::f64, {});

GraphPtr scalar_graph(size_t inputs, const std::function<Values(Builder&, ValueSpan)>& f) {
  return make_graph(std::vector<Type>(inputs, kF64), f);
}

/// Nodes of that op, at any depth.
size_t count_nodes(const Graph& g, std::string_view name) {
  size_t n = 0;
  for (const Node& node : g.nodes()) {
    n += node.op->name == name;
    for (const auto& [key, value] : node.attrs.items())
      if (const auto* sub = std::get_if<GraphPtr>(&value)) n += count_nodes(**sub, name);
  }
  return n;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

/// The gradient of a scalar graph of one input.
double gradient(const GraphPtr& g, double x) {
  return evaluate(vjp_graph(g, {true}), {scalar_of(x), scalar_of(1)}).back().get(0);
}

/// d/dx by central differences.
double difference(const GraphPtr& g, double x) {
  constexpr double kStep = 1e-5;
  auto at = [&](double v) { return ref_run(g, std::vector{scalar_of(v)})[0].get(0); };
  return (at(x + kStep) - at(x - kStep)) / (2 * kStep);
}

// ---------------------------------------------------------------- cond

/// log where x > 0, else x.
GraphPtr guarded_log() {
  GraphPtr then = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{log(x[0])}; });
  GraphPtr otherwise = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{x[0]}; });
  return scalar_graph(1, [&](Builder& b, ValueSpan x) {
    Values operands{less(constant(b, 0, kF64), x[0]), x[0]};
    return b.emit(op("cond"), operands, {{"then", then}, {"else", otherwise}});
  });
}

TEST(Cond, NoNanFromTheBranchNotTaken) {
  Array x = array_of(DType::f64, {4}, {-1, 0, 2, 4}), ones = array_of(DType::f64, {4}, {1, 1, 1, 1});
  const double expected[] = {1, 1, 0.5, 0.25};
  GraphPtr mapped = vmap_graph(guarded_log(), {true}, 4).graph;
  for (const GraphPtr& g :
       {vjp_graph(mapped, {true}), vmap_graph(vjp_graph(guarded_log(), {true}), {true, true}, 4).graph})
    for (const GraphPtr& form : {g, lower_lanes(g)}) {
      Array gradients = evaluate(form, {x, ones}).back();
      for (i64 i = 0; i < 4; ++i) EXPECT_EQ(gradients.get(i), expected[i]) << i;
    }
  // The second derivative of the sum, so that the gradient's own derivative is by lane too.
  GraphPtr gradient_of = vjp_graph(mapped, {true});
  GraphPtr second = vjp_graph(gradient_of, {true, false}, {false, true});
  Array curvature = evaluate(second, {x, ones, ones}).back();
  const double expected_second[] = {0, 0, -0.25, -0.0625};
  for (i64 i = 0; i < 4; ++i) EXPECT_EQ(curvature.get(i), expected_second[i]) << i;
}

TEST(Cond, AnEffectByLaneIsAnError) {
  GraphPtr prints = scalar_graph(1, [](Builder& b, ValueSpan x) {
    b.emit(op("print"), Values{x[0]}, {{"label", std::string("x")}});
    return Values{x[0]};
  });
  GraphPtr g = scalar_graph(1, [&](Builder& b, ValueSpan x) {
    Values operands{less(x[0], constant(b, 0, kF64)), x[0]};
    return b.emit(op("cond"), operands, {{"then", prints}, {"else", prints}});
  });
  EXPECT_NE(error_of([&] { vmap_graph(g, {true}, 3); }).find("[cond] expected branches without effects"),
            std::string::npos);
}

/// Lanes that do not take a branch neither fail its assert nor hang in its loop.
TEST(Cond, AssertsAndLoopsRestInOtherLanes) {
  GraphPtr step = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{mul(x[0], 2.0)}; });
  GraphPtr small = scalar_graph(1, [](Builder& b, ValueSpan x) { return Values{less(x[0], constant(b, 100, kF64))}; });
  GraphPtr then = scalar_graph(1, [&](Builder& b, ValueSpan x) {
    b.emit(op("assert"), Values{less(constant(b, 0, kF64), x[0])}, {{"message", std::string("positive")}});
    return b.emit(op("while"), x, {{"cond", small}, {"body", step}, {"consts", i64{0}}, {"bound", i64{20}}});
  });
  GraphPtr otherwise = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{neg(x[0])}; });
  GraphPtr g = scalar_graph(1, [&](Builder& b, ValueSpan x) {
    Values operands{less(constant(b, 0, kF64), x[0]), x[0]};
    return b.emit(op("cond"), operands, {{"then", then}, {"else", otherwise}});
  });
  Array x = array_of(DType::f64, {3}, {-1, 0, 3}), ones = array_of(DType::f64, {3}, {1, 1, 1});
  GraphPtr mapped = vmap_graph(g, {true}, 3).graph;
  for (const GraphPtr& form : {mapped, lower_lanes(mapped)}) {
    Array y = evaluate(form, {x})[0];
    EXPECT_EQ(y.get(0), 1);
    EXPECT_EQ(y.get(2), 192);
  }
  GraphPtr reverse = vjp_graph(mapped, {true});
  for (const GraphPtr& form : {reverse, lower_lanes(reverse)}) {
    Array gradients = evaluate(form, {x, ones}).back();
    EXPECT_EQ(gradients.get(0), -1);
    EXPECT_EQ(gradients.get(1), -1);
    EXPECT_EQ(gradients.get(2), 64);
  }
}

// ---------------------------------------------------------------- while

GraphPtr doubling(i64 bound) {
  GraphPtr step = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{mul(x[0], 2.0)}; });
  GraphPtr small = scalar_graph(1, [](Builder& b, ValueSpan x) { return Values{less(x[0], constant(b, 10, kF64))}; });
  return scalar_graph(1, [&](Builder& b, ValueSpan x) {
    return b.emit(op("while"), x, {{"cond", small}, {"body", step}, {"consts", i64{0}}, {"bound", bound}});
  });
}

TEST(While, PastItsBoundIsAnErrorInBothDirections) {
  EXPECT_EQ(gradient(doubling(4), 1), 16);
  EXPECT_EQ(gradient(doubling(4), 20), 1);
  auto forward = error_of([] { evaluate(doubling(3), {scalar_of(1)}); });
  auto reverse = error_of([] { gradient(doubling(3), 1); });
  for (const std::string& e : {forward, reverse})
    EXPECT_NE(e.find("[while] expected at most 3 steps"), std::string::npos) << e;
}

TEST(While, WithoutABoundOnlyForward) {
  GraphPtr g = doubling(-1);
  Transformed j = jvp_graph(g, {true});
  EXPECT_EQ(evaluate(j.graph, {scalar_of(1), scalar_of(1)})[1].get(0), 16);
  EXPECT_NE(error_of([&] { vjp_graph(g, {true}); }).find("[while] expected a bound on the number of steps for reverse"),
            std::string::npos);
}

TEST(While, FinishedLanesKeepTheirBitsAndGradients) {
  GraphPtr mapped = vmap_graph(doubling(8), {true}, 3).graph;
  Array x = array_of(DType::f64, {3}, {0.1, 3, 100}), ones = array_of(DType::f64, {3}, {1, 1, 1});
  GraphPtr reverse = vjp_graph(mapped, {true});
  for (const GraphPtr& form : {reverse, lower_lanes(reverse)}) {
    auto r = evaluate(form, {x, ones});
    EXPECT_EQ(r[0].get(0), 0.1 * 128);
    EXPECT_EQ(r[0].get(2), 100);
    EXPECT_EQ(r[1].get(0), 128);
    EXPECT_EQ(r[1].get(1), 4);
    EXPECT_EQ(r[1].get(2), 1);
  }
}

/// Lanes of symbolic number, twice over, through every transform and the lowering.
TEST(Lanes, OfSymbolicNumber) {
  Dim n = Dim::symbol("n"), m = Dim::symbol("m");
  Array x = array_of(DType::f64, {2, 3}, {0.1, 3, 100, -1, 2, 5}),
        ones = array_of(DType::f64, {2, 3}, {1, 1, 1, 1, 1, 1});
  const double slopes[2][6] = {{10, 1.0 / 3, 0.01, 1, 0.5, 0.2}, {128, 4, 1, 0, 8, 2}};
  GraphPtr positive = make_graph(std::vector{kF64}, [](Builder& b, ValueSpan v) {
    Value p = mul(v[0], cast(less(constant(b, 0, kF64), v[0]), DType::f64));
    return inline_graph(b, *doubling(8), Values{add(p, cast(less(v[0], constant(b, 0, kF64)), DType::f64))});
  });
  int which = 0;
  for (const GraphPtr& g : {guarded_log(), positive}) {
    GraphPtr mapped = vmap_graph(vmap_graph(g, {true}, n).graph, {true}, m).graph;
    GraphPtr reverse = vjp_graph(mapped, {true});
    for (const GraphPtr& form : {reverse, lower_lanes(reverse)}) {
      Array gradients = evaluate(form, {x, ones}).back();
      for (i64 i = 0; i < 6; ++i) EXPECT_NEAR(gradients.get(i), slopes[which][i], 1e-12) << which << " at " << i;
    }
    verify(*jvp_graph(lower_lanes(mapped), {true}).graph);
    ++which;
  }
}

// ---------------------------------------------------------------- scan

/// carry -> tanh(w * carry + x) with w a constant matrix of symbolic size.
GraphPtr recurrence(Dim n, Dim length) {
  Type vector = Type::tensor(DType::f64, {n}), xs = Type::tensor(DType::f64, {length, n});
  GraphPtr body = make_graph(std::vector{vector, vector, vector}, [](Builder&, ValueSpan x) {
    Value next = tanh(add(mul(sin(x[0]), x[1]), x[2]));
    return Values{next, mul(next, x[2])};
  });
  return make_graph(std::vector{vector, vector, xs}, [&](Builder& b, ValueSpan x) {
    return b.emit(
        op("scan"), x,
        {{"body", body}, {"consts", i64{1}}, {"carry", i64{1}}, {"length", Shape{length}}, {"reverse", false}});
  });
}

TEST(Scan, SymbolicLengthAndBatchThroughEverything) {
  Dim n = Dim::symbol("n"), length = Dim::symbol("T"), batch = Dim::symbol("B");
  GraphPtr g = recurrence(n, length);
  auto check = [](const GraphPtr& t) {
    verify(*t);
    EXPECT_EQ(parse_graph(to_string(*t)), t);
  };
  Mask all{true, true, true};
  Transformed j = jvp_graph(g, all);
  check(j.graph);
  Split s = linearize_graph(g, all);
  check(s.known);
  check(s.linear);
  GraphPtr v = vjp_graph(g, all);
  check(v);
  Transformed mapped = vmap_graph(v, Mask(v->input_count(), true), batch);
  check(mapped.graph);
  check(vjp_graph(vmap_graph(g, {false, true, true}, batch).graph, all));
  Array w = array_of(DType::f64, {2}, {0.5, -0.3}), c = array_of(DType::f64, {2}, {0.1, 0.2});
  Array x = array_of(DType::f64, {3, 2}, {0.1, 0.2, 0.3, -0.1, -0.2, 0.4});
  auto r = evaluate(v, {w, c, x, c, x});
  EXPECT_EQ(r.back().shape, x.shape);
}

TEST(Scan, OfNoStepsGivesTheCarryAndItsCotangent) {
  GraphPtr v = vjp_graph(recurrence(2, 0), {true, true, true});
  Array w = array_of(DType::f64, {2}, {0.5, -0.3}), x = Array::empty(DType::f64, {0, 2});
  auto r = evaluate(v, {w, w, x, w, x});
  EXPECT_TRUE(r[0].same_bits(w));
  EXPECT_TRUE(r[3].same_bits(w));
  EXPECT_EQ(r[2].get(0), 0);
}

/// What the known scan of the linearised graph stacks.
std::vector<Type> stacks_of(const GraphPtr& body, u32 consts, u32 carry, std::vector<Type> types, const Mask& wrt) {
  GraphPtr g = make_graph(types, [&](Builder& b, ValueSpan x) {
    return b.emit(op("scan"), x,
                  {{"body", body}, {"consts", i64{consts}}, {"carry", i64{carry}}, {"length", Shape{7}}});
  });
  Split s = linearize_graph(g, wrt);
  for (const Node& n : s.known->nodes()) {
    if (n.op->name != "scan") continue;
    auto all = s.known->result_types(n);
    return {all.begin() + n.attrs.get<i64>("carry"), all.end()};
  }
  return {};
}

TEST(Scan, StacksNoInvariantNoXsAndNothingTwice) {
  Type t = Type::tensor(DType::f64, {3}), xs = Type::tensor(DType::f64, {7, 3});
  // sin(w) depends on the constant alone; x, its broadcast, cast and slice are cheap; the carry is needed twice.
  GraphPtr body = make_graph(std::vector{t, t, t}, [](Builder&, ValueSpan x) {
    Value w = cos(sin(x[0])), e = cast(cast(x[2], DType::f32), DType::f64);
    Value grown = sum(mul(broadcast(x[2], {3, 3}, {1}), broadcast(x[1], {3, 3}, {0})), {1});
    Value next = add(add(mul(mul(x[1], w), x[2]), mul(mul(x[1], x[1]), e)), grown);
    return Values{next};
  });
  EXPECT_EQ(stacks_of(body, 1, 1, {t, t, xs}, {false, true, false}), std::vector{xs});
  // A carry that only enters linearly leaves nothing to stack.
  GraphPtr linear = make_graph(std::vector{t, t, t}, [](Builder&, ValueSpan x) {
    return Values{mul(mul(x[1], sin(x[0])), slice(concat(Values{x[2], x[2]}, 0), 0, 1, 4))};
  });
  auto stacked = stacks_of(linear, 1, 1, {t, t, xs}, {false, true, false});
  EXPECT_LE(stacked.size(), 1u);
}

TEST(Scan, AStackedResultServesAsResidual) {
  Type t = Type::tensor(DType::f64, {3}), xs = Type::tensor(DType::f64, {7, 3});
  GraphPtr body = make_graph(std::vector{t, t}, [](Builder&, ValueSpan x) {
    Value y = sin(x[0]);
    return Values{mul(mul(y, y), x[1]), y};
  });
  // y is a result already; beside it only cos(carry) is needed.
  EXPECT_EQ(stacks_of(body, 0, 1, {t, xs}, {true, false}).size(), 2u);
}

TEST(Scan, ConstantCotangentsOfHalfPrecisionAreSummedInSingle) {
  Type half = Type::tensor(DType::f16, {}), xs = Type::tensor(DType::f16, {4000});
  GraphPtr body =
      make_graph(std::vector{half, half, half}, [](Builder&, ValueSpan x) { return Values{x[1], mul(x[0], x[2])}; });
  GraphPtr g = make_graph(std::vector{half, half, xs}, [&](Builder& b, ValueSpan x) {
    Values r = b.emit(op("scan"), x, {{"body", body}, {"consts", i64{1}}, {"carry", i64{1}}, {"length", Shape{4000}}});
    return Values{r[1]};
  });
  Array ones = Array::empty(DType::f16, {4000});
  for (i64 i = 0; i < 4000; ++i) ones.set(i, 1);
  Array one = array_of(DType::f16, {}, {1});
  // Ones summed in f16 stop at 2048.
  EXPECT_EQ(evaluate(vjp_graph(g, {true, false, false}), {one, one, ones, ones}).back().get(0), 4000);
}

TEST(Transpose, ManyContributionsOfHalfPrecisionRoundOnce) {
  Type half = Type::tensor(DType::bf16, {});
  GraphPtr g = make_graph(std::vector{half}, [&](Builder& b, ValueSpan x) {
    Values parts;
    for (int i = 0; i < 300; ++i) parts.push_back(reshape(mul(x[0], constant(b, i ? 1 : 256, half)), {1}));
    return Values{concat(parts, 0)};
  });
  Array ones = Array::empty(DType::bf16, {300});
  for (i64 i = 0; i < 300; ++i) ones.set(i, 1);
  Array x = array_of(DType::bf16, {}, {1});
  // 256 + 299 in f32 is 555, which rounds to 556; added one by one in bf16 it stays at 256.
  EXPECT_EQ(evaluate(vjp_graph(g, {true}), {x, ones}).back().get(0), 556);
}

// ---------------------------------------------------------------- checkpoint, effects

TEST(Checkpoint, KeepsOperandsAndComputesAgainBehindABarrier) {
  GraphPtr body = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{sin(sin(x[0]))}; });
  auto with = [&](bool remat) {
    return scalar_graph(
        1, [&](Builder& b, ValueSpan x) { return b.emit(op("call"), x, {{"body", body}, {"remat", remat}}); });
  };
  GraphPtr kept = vjp_graph(with(false), {true}), again = vjp_graph(with(true), {true});
  EXPECT_EQ(count_nodes(*kept, "sin"), 2u);
  EXPECT_EQ(count_nodes(*again, "sin"), 3u);
  EXPECT_EQ(count_nodes(*again, "barrier"), 1u);
  EXPECT_EQ(linearize_graph(with(true), {true}).residuals, 1u);
  for (const GraphPtr& g : {kept, again}) {
    double x = 0.7, d = evaluate(g, {scalar_of(x), scalar_of(1)}).back().get(0);
    EXPECT_NEAR(d, std::cos(std::sin(x)) * std::cos(x), 1e-12);
  }
}

TEST(Effects, HappenOnceThroughEveryTransform) {
  GraphPtr body = scalar_graph(1, [](Builder& b, ValueSpan x) {
    b.emit(op("print"), Values{x[0]}, {{"label", std::string("x")}});
    Value y = sin(mul(x[0], x[0]));
    b.emit(op("print"), Values{y}, {{"label", std::string("y")}});
    return Values{y};
  });
  auto call = [&](bool remat) {
    return scalar_graph(
        1, [&](Builder& b, ValueSpan x) { return b.emit(op("call"), x, {{"body", body}, {"remat", remat}}); });
  };
  for (const GraphPtr& g : {body, call(false), call(true)}) {
    EXPECT_EQ(count_nodes(*jvp_graph(g, {true}).graph, "print"), 2u);
    EXPECT_EQ(count_nodes(*vjp_graph(g, {true}), "print"), 2u);
    EXPECT_EQ(count_nodes(*vmap_graph(g, {true}, 3).graph, "print"), 2u);
    EXPECT_EQ(count_nodes(*vjp_graph(vjp_graph(g, {true}), {true, false}), "print"), 2u);
    Split s = linearize_graph(g, {true});
    EXPECT_EQ(count_nodes(*s.known, "print"), 2u);
    EXPECT_FALSE(s.linear->effectful());
  }
}

// ---------------------------------------------------------------- custom rules

Attrs clipped_square() {
  GraphPtr forward = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{mul(x[0], x[0]), x[0]}; });
  GraphPtr backward = scalar_graph(2, [](Builder&, ValueSpan x) { return Values{mul(mul(x[0], 10.0), x[1])}; });
  return {{"forward", forward}, {"backward", backward}, {"results", i64{1}}};
}

TEST(CustomVjp, ReverseOnlyAndThroughVmapScanAndCheckpoint) {
  GraphPtr g = scalar_graph(1, [](Builder& b, ValueSpan x) { return b.emit(op("custom_vjp"), x, clipped_square()); });
  EXPECT_EQ(evaluate(g, {scalar_of(3)})[0].get(0), 9);
  EXPECT_EQ(gradient(g, 3), 30);
  GraphPtr once = vjp_graph(g, {true});
  GraphPtr second = vjp_graph(once, {true, false}, {false, true});
  EXPECT_EQ(evaluate(second, {scalar_of(3), scalar_of(1), scalar_of(1)}).back().get(0), 10);
  Array x = array_of(DType::f64, {2}, {1, 2}), ones = array_of(DType::f64, {2}, {1, 1});
  EXPECT_EQ(evaluate(vjp_graph(vmap_graph(g, {true}, 2).graph, {true}), {x, ones}).back().get(1), 20);
  EXPECT_EQ(evaluate(vmap_graph(once, {true, true}, 2).graph, {x, ones}).back().get(1), 20);
  GraphPtr remat =
      scalar_graph(1, [&](Builder& b, ValueSpan v) { return b.emit(op("call"), v, {{"body", g}, {"remat", true}}); });
  EXPECT_EQ(gradient(remat, 3), 30);
  auto forward = error_of([&] { evaluate(jvp_graph(g, {true}).graph, {scalar_of(3), scalar_of(1)}); });
  EXPECT_NE(forward.find("give custom_jvp"), std::string::npos) << forward;
}

// ---------------------------------------------------------------- caching, differences

TEST(Transforms, AreKeptWithTheirGraph) {
  GraphPtr g = guarded_log();
  EXPECT_EQ(vjp_graph(g, {true}), vjp_graph(g, {true}));
  EXPECT_EQ(jvp_graph(g, {true}).graph, jvp_graph(g, {true}).graph);
  EXPECT_EQ(jvp_graph(g, {false}).graph, g);
}

/// A graph equal to its own transpose must not keep itself alive.
TEST(Transforms, NoCircleOfGraphs) {
  std::weak_ptr<const Graph> watch;
  {
    GraphPtr g = scalar_graph(1, [](Builder&, ValueSpan x) { return Values{neg(x[0])}; });
    watch = g;
    EXPECT_EQ(transpose_graph(g, {true}).graph, g);
    EXPECT_EQ(transpose_graph(g, {true}).graph, g);
    split_graph(g, {true});
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Transforms, AgreeWithFiniteDifferences) {
  GraphPtr inner = guarded_log();
  GraphPtr body = scalar_graph(3, [&](Builder& b, ValueSpan x) {
    Value y = inline_graph(b, *inner, Values{mul(x[1], x[0])})[0];
    return Values{add(y, x[2]), tanh(y)};
  });
  GraphPtr g = scalar_graph(1, [&](Builder& b, ValueSpan x) {
    Value xs = constant(b, array_of(DType::f64, {3}, {1.5, 0.3, 2.5}));
    Values r = b.emit(op("scan"), Values{x[0], x[0], xs},
                      {{"body", body}, {"consts", i64{1}}, {"carry", i64{1}}, {"length", Shape{3}}, {"reverse", true}});
    return Values{add(r[0], sum(r[1], {0}))};
  });
  for (double x : {0.4, 1.3, 2.2}) {
    EXPECT_NEAR(gradient(g, x), difference(g, x), 1e-6);
    GraphPtr d = scalar_graph(1, [&](Builder& b, ValueSpan v) {
      return Values{inline_graph(b, *vjp_graph(g, {true}), Values{v[0], constant(b, 1, kF64)})[1]};
    });
    EXPECT_NEAR(gradient(d, x), difference(d, x), 1e-5);
  }
}

TEST(Vjp, ZerosAndErrorsAreExplicit) {
  std::vector<Type> types{kF64, Type::tensor(DType::i64, {}), kF64};
  GraphPtr g = make_graph(types, [](Builder&, ValueSpan x) { return Values{x[0], x[1]}; });
  auto r = evaluate(vjp_graph(g, {true, false, true}),
                    {scalar_of(1), array_of(DType::i64, {}, {3}), scalar_of(2), scalar_of(5)});
  EXPECT_EQ(r[2].get(0), 5);
  EXPECT_EQ(r[3].get(0), 0);
  EXPECT_NE(error_of([&] { vjp_graph(g, {false, true, false}); }).find("[grad] expected a floating input, got i64[]"),
            std::string::npos);
  EXPECT_NE(
      error_of([&] { vjp_graph(g, {true, false, false}, {false, true}); }).find("[grad] expected a floating result"),
      std::string::npos);
}

}  // namespace

}  // namespace tn::testing
