// Tiled contractions against the plain nests: the same bits in the interpreter and as machine code of each width, for
// every layout, tail and epilogue.
#include "compile/window.h"

#include <algorithm>
#include <map>

#include "run_kernel.h"

namespace tn::test {
namespace {

/// The graph's last contraction with all that follows it in one group, and what feeds its second operand.
Problem problem(Builder& b, std::initializer_list<Value> outputs, std::initializer_list<std::string_view> fused = {}) {
  Problem p;
  p.graph = b.build(std::vector<Value>(outputs));
  const Graph& g = *p.graph;
  p.group.kind = Group::Kind::contraction;
  for (u32 n = 0; n < g.nodes().size(); ++n) {
    const Node& node = g.nodes()[n];
    if (node.op->lower.as<Contraction>()) p.group.anchor = n;
    bool in = node.op->lower.as<Contraction>() || std::find(fused.begin(), fused.end(), node.op->name) != fused.end();
    if (in) p.group.computed.insert(n);
  }
  for (u32 v : g.outputs()) p.group.outputs.push_back(v);
  return p;
}

/// Plain and tiled lowerings, all executors, all tiles.
using Lowering = std::optional<Lowered> (*)(const Graph&, const GraphIndex&, const Group&, const Target&);

void expect_same(const Problem& p, bool tiled = true, Lowering lowering = lower_tiled_contraction) {
  GraphIndex index(*p.graph);
  Target target;
  Data want = interpreted(p, lower_plain_contraction(*p.graph, index, p.group, target));
  for (int width : {512, 256}) {
    target.vector_bits = width;
    auto l = lowering(*p.graph, index, p.group, target);
    ASSERT_EQ(l.has_value(), tiled);
    if (!l) return;
    expect_executors(want, p, *l, "tiles for " + std::to_string(width));
  }
}

TEST(TiledContraction, MatricesOfManySizes) {
  for (auto [m, n, k] :
       {std::tuple{1, 1, 1}, {6, 64, 7}, {7, 65, 3}, {13, 10, 33}, {5, 100, 64}, {97, 33, 65}, {3, 16, 0}}) {
    Builder b;
    Value x = input(b, {m, k}), y = input(b, {k, n});
    SCOPED_TRACE(std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k));
    expect_same(problem(b, {dot(x, y, {}, {}, {1}, {0})}));
  }
}

TEST(TiledContraction, EveryLayout) {
  for (bool x_turned : {false, true})
    for (bool y_turned : {false, true})
      for (auto [m, n, k] :
           {std::tuple{13, 70, 37}, {300, 64, 20}, {1, 70, 37}, {3, 64, 2000}, {7, 20, 3000}, {7, 64, 4100}}) {
        Builder b;
        Value x = x_turned ? input(b, {k, m}) : input(b, {m, k});
        Value y = y_turned ? input(b, {n, k}) : input(b, {k, n});
        expect_same(problem(b, {dot(x, y, {}, {}, {x_turned ? 0 : 1}, {y_turned ? 1 : 0})}));
      }
}

TEST(TiledContraction, SymbolicSizes) {
  Dim m = Dim::symbol("m"), n = Dim::symbol("n"), k = Dim::symbol("k");
  for (bool turned : {false, true})
    for (auto [mv, nv, kv] : {std::tuple{1, 1, 1}, {0, 5, 3}, {6, 64, 16}, {13, 70, 37}, {20, 129, 65}}) {
      Builder b;
      Value x = input(b, {m, k}), y = turned ? input(b, {n, k}) : input(b, {k, n});
      Problem p = problem(b, {dot(x, y, {}, {}, {1}, {turned ? 1 : 0})});
      p.sizes.set(m, mv);
      p.sizes.set(n, nv);
      p.sizes.set(k, kv);
      expect_same(p);
    }
}

/// The names of a tiled kernel's buffers that are no argument of its user's, and their roles.
std::map<std::string, loops::Buffer::Role> buffers(const Problem& p, bool provable = true) {
  GraphIndex index(*p.graph);
  Lowered l = lower_tiled_contraction(*p.graph, index, p.group, Target{}).value();
  auto findings = verify(l.kernel);
  EXPECT_TRUE(findings.empty() || !provable) << ::testing::PrintToString(findings);
  std::map<std::string, loops::Buffer::Role> found;
  for (const loops::Buffer& b : l.kernel.buffers)
    if (b.role == loops::Buffer::Role::temp || b.role == loops::Buffer::Role::scratch) found[b.name] = b.role;
  return found;
}

/// Panels are copied by the unit that reads them, in scratch, unless a plan can lay them out ahead of time or units are
/// too few.
TEST(TiledContraction, WhoCopiesPanels) {
  auto own = [](const Problem& p) { return buffers(p).contains("panel"); };
  auto shared = [](const Problem& p) { return buffers(p).contains("panels"); };
  for (bool turned : {false, true})
    for (auto [m, n, k] : {std::tuple{260, 1024, 37}, {301, 1000, 64}, {600, 300, 17}, {13, 1000, 2600}}) {
      Builder b;
      Value y = turned ? input(b, {n, k}) : input(b, {k, n});
      Problem p = problem(b, {dot(input(b, {m, k}), y, {}, {}, {1}, {turned ? 1 : 0})});
      SCOPED_TRACE(std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k));
      EXPECT_TRUE(own(p) && !shared(p));
      expect_same(p);
    }
  {  // rows a page apart are copied first
    Builder b;
    Problem p = problem(b, {dot(input(b, {270, 33}), input(b, {33, 1100}), {}, {}, {1}, {0})});
    EXPECT_TRUE(own(p));
    expect_same(p);
  }
  {  // a constant
    Builder b;
    Value x = input(b, {300, 37}), y = constant(b, Array::zeros(DType::f32, {37, 1024}));
    EXPECT_TRUE(shared(problem(b, {dot(x, y, {}, {}, {1}, {0})})));
  }
  {  // too little work for many units
    Builder b;
    EXPECT_TRUE(shared(problem(b, {dot(input(b, {300, 37}), input(b, {64, 37}), {}, {}, {1}, {1})})));
  }
  {  // one operand for all of a batch of few rows
    Builder b;
    Problem p = problem(b, {dot(input(b, {4, 33, 37}), input(b, {37, 2000}), {}, {}, {2}, {0})});
    expect_same(p);
    Builder c;
    Value y = input(c, {20, 5, 37}), x = input(c, {20, 37, 5, 37});
    Problem few = problem(c, {dot(x, y, {0}, {0}, {3}, {2})});
    expect_same(few);
  }
  {  // several reduction axes, several panels a unit, and a batch
    Builder b;
    Value x = input(b, {3, 2, 37, 263}), y = input(b, {3, 2, 37, 97});
    expect_same(problem(b, {dot(x, y, {0}, {0}, {1, 2}, {1, 2})}));
  }
}

/// As an optimiser's step in the epilogue: several long results, so that units go along whole rows of these.
TEST(TiledContraction, SeveralLongResultsGoByRows) {
  Dim any = Dim::symbol("m");
  for (auto [m, n, k] : {std::tuple{Dim(300), 1024, 20}, {Dim(301), 500, 33}, {any, 300, 16}, {Dim(300), 1024, 200}}) {
    Builder b;
    Value x = b.input(Type::tensor(DType::f32, {Dim(k), m})), y = input(b, {k, n});
    Value state = b.input(Type::tensor(DType::f32, {m, Dim(n)}));
    Value sum = dot(x, y, {}, {}, {0}, {0}), v = state;
    for (int i = 0; i < 8; ++i) v = add(mul(v, sum), sum);
    Problem p = problem(b, {v, mul(sum, sum)}, {"mul", "add"});
    p.sizes.set(any, 29);
    SCOPED_TRACE(to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k));
    EXPECT_EQ(buffers(p, m != any).contains("panels"), k < 200);  // 200 x 1024 is too much for the second cache
    expect_same(p);
  }
}

/// As gradients of weights are: the first operand runs along the rows and its steps lie far apart, so that it is
/// copied.
TEST(TiledContraction, StridedRowsAreCopied) {
  auto copied = [](const Problem& p, bool provable = true) { return buffers(p, provable).contains("strips"); };
  for (auto [m, n, k] : {std::tuple{258, 256, 64}, {259, 257, 65}, {301, 300, 75}, {1027, 266, 67}, {260, 784, 64}}) {
    Builder b;
    Value x = input(b, {k, m}), y = input(b, {k, n});
    SCOPED_TRACE(std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k));
    Problem p = problem(b, {dot(x, y, {}, {}, {0}, {0})});
    EXPECT_TRUE(copied(p));
    expect_same(p);
  }
  {  // steps that are near each other, or used by few lanes, are read where they lie
    Builder b;
    EXPECT_FALSE(copied(problem(b, {dot(input(b, {70, 20}), input(b, {70, 270}), {}, {}, {0}, {0})})));
  }
  {
    Builder b;
    EXPECT_FALSE(copied(problem(b, {dot(input(b, {70, 400}), input(b, {70, 130}), {}, {}, {0}, {0})})));
  }
  {  // a batch and two contracted axes, where the units are too many for what the verifier proves
    Builder b;
    Value x = input(b, {3, 2, 37, 263}), y = input(b, {3, 2, 37, 270});
    Problem p = problem(b, {dot(x, y, {0}, {0}, {1, 2}, {1, 2})});
    EXPECT_TRUE(copied(p, false));
    expect_same(p);
  }
  {  // two contracted axes, as of batches of sequences
    Builder b;
    Problem p = problem(b, {dot(input(b, {4, 37, 263}), input(b, {4, 37, 270}), {}, {}, {0, 1}, {0, 1})});
    EXPECT_TRUE(copied(p));
    expect_same(p);
  }
  {  // a reduction in blocks
    Builder b;
    expect_same(problem(b, {dot(input(b, {2600, 261}), input(b, {2600, 267}), {}, {}, {0}, {0})}));
  }
  for (DType d : {DType::f64, DType::bf16, DType::i32}) {
    Builder b;
    expect_same(problem(b, {dot(input(b, {70, 513}, d), input(b, {70, 260}, d), {}, {}, {0}, {0})}));
  }
}

TEST(TiledContraction, StridedRowsOfSymbolicSizes) {
  Dim m = Dim::symbol("m"), n = Dim::symbol("n"), k = Dim::symbol("k");
  for (auto [mv, nv, kv] : {std::tuple{1, 1, 1}, {0, 5, 3}, {5, 3, 0}, {6, 64, 16}, {13, 70, 37}, {301, 129, 65}}) {
    Builder b;
    Value x = input(b, {k, m}), y = input(b, {k, n});
    Value sum = dot(x, y, {}, {}, {0}, {0}), v = sum;
    for (int i = 0; i < 8; ++i) v = add(mul(v, sum), sum);  // long, so that it fetches the next tile's
    Problem p = problem(b, {v}, {"mul", "add"});
    p.sizes.set(m, mv);
    p.sizes.set(n, nv);
    p.sizes.set(k, kv);
    expect_same(p);
  }
}

TEST(TiledContraction, BatchesAndManyAxes) {
  {
    Builder b;
    Value x = input(b, {3, 13, 17}), y = input(b, {3, 17, 33});
    expect_same(problem(b, {dot(x, y, {0}, {0}, {2}, {1})}));
  }
  {  // two batch axes in different places, two contracted axes
    Builder b;
    Value x = input(b, {3, 2, 4, 5}), y = input(b, {4, 3, 5, 2, 19});
    expect_same(problem(b, {dot(x, y, {0, 1}, {1, 3}, {3, 2}, {2, 0})}));
  }
  {  // leading axes of x are rows together
    Builder b;
    Value x = input(b, {4, 5, 17}), y = input(b, {17, 40});
    expect_same(problem(b, {dot(x, y, {}, {}, {2}, {0})}));
  }
  {  // a vector each way, and an outer product
    Builder b;
    Value x = input(b, {33}), y = input(b, {33, 20});
    expect_same(problem(b, {dot(x, y, {}, {}, {0}, {0})}));
  }
  {
    Builder b;
    Value x = input(b, {21, 33}), y = input(b, {33});
    expect_same(problem(b, {dot(x, y, {}, {}, {1}, {0})}));
  }
  {
    Builder b;
    Value x = input(b, {7}), y = input(b, {19});
    expect_same(problem(b, {dot(x, y, {}, {}, {}, {})}));
  }
}

TEST(TiledContraction, EveryDtype) {
  for (DType d : {DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32, DType::i8, DType::u32, DType::u8}) {
    Builder b;
    Value x = input(b, {13, 20}, d), y = input(b, {20, 37}, d);
    SCOPED_TRACE(std::string(name(d)));
    expect_same(problem(b, {dot(x, y, {}, {}, {1}, {0})}));
  }
}

TEST(TiledContraction, EpilogueAndPrologue) {
  Builder b;
  Value x = input(b, {13, 20}), y = input(b, {20, 70}), bias = input(b, {70}), more = input(b, {13, 70});
  Value scaled = mul(y, y);  // computed while panels are packed
  Value sum = dot(x, scaled, {}, {}, {1}, {0});
  Value biased = add(sum, broadcast_to(bias, shape_of(sum)));
  Value rest = mul(biased, more);
  expect_same(problem(b, {biased, rest}, {"mul", "add", "broadcast"}));
}

TEST(TiledContraction, ReadsThroughMovements) {
  for (bool turned : {false, true}) {
    Builder b;
    Value p = turned ? input(b, {20, 13}) : input(b, {13, 4, 5}), q = turned ? input(b, {70, 20}) : input(b, {20, 70});
    Value x = turned ? permute(p, {1, 0}) : reshape(p, {13, 20}), y = turned ? permute(q, {1, 0}) : flip(q, {0});
    expect_same(problem(b, {dot(x, y, {}, {}, {1}, {0})}, {"permute", "reshape", "flip"}));
  }
}

/// A first operand that has to be computed is asked to lie in memory.
TEST(TiledContraction, RefusesToComputeRowsAgain) {
  Builder b;
  Value x = input(b, {13, 20}), y = input(b, {20, 70});
  Problem p = problem(b, {dot(mul(x, x), y, {}, {}, {1}, {0})}, {"mul"});
  GraphIndex index(*p.graph);
  EXPECT_THROW(lower_tiled_contraction(*p.graph, index, p.group, Target{}), Refusal);
}

TEST(TiledContraction, LongEpiloguesAreRolled) {
  Builder b;
  Value x = input(b, {13, 20}), y = input(b, {20, 70});
  Value sum = dot(x, y, {}, {}, {1}, {0});
  Value v = sum;
  for (int i = 0; i < 12; ++i) v = add(mul(v, sum), sum);
  expect_same(problem(b, {v}, {"mul", "add"}));
}

TEST(TiledContraction, ElementwiseAxesAreNotTiled) {
  Builder b;
  Value x = input(b, {13, 20}), y = input(b, {13, 20});
  expect_same(problem(b, {dot(x, y, {0}, {0}, {1}, {1})}), false);
}

// ---------------------------------------------------------------- windows

struct Window {
  std::vector<i64> x, w, strides = {1, 1}, low = {1, 1}, high = {1, 1}, dilation = {1, 1};
  i64 groups = 1;
};

Value conv(Value x, Value w, const Window& c) {
  return x.builder->emit1(op("conv"), {x, w},
                          {{"strides", c.strides},
                           {"padding_low", c.low},
                           {"padding_high", c.high},
                           {"lhs_dilation", std::vector<i64>{1, 1}},
                           {"rhs_dilation", c.dilation},
                           {"groups", c.groups}});
}

TEST(WindowContraction, ManyShapes) {
  const Window kAll[] = {
      {{2, 3, 14, 14}, {33, 3, 3, 3}},
      {{9, 5, 7, 28}, {16, 5, 3, 3}},
      {{1, 1, 28, 28}, {32, 1, 3, 3}},
      {{2, 4, 9, 11}, {7, 4, 3, 2}, {2, 3}, {1, 2}, {0, 1}},
      {{1, 3, 10, 75}, {40, 3, 5, 5}, {1, 1}, {2, 2}, {2, 2}},
      {{1, 2, 12, 13}, {3, 2, 3, 3}, {1, 2}, {2, 2}, {2, 2}, {2, 2}},
      {{2, 6, 5, 5}, {9, 6, 1, 1}, {2, 2}, {0, 0}, {0, 0}},
      {{0, 2, 5, 4}, {3, 2, 3, 3}},
      {{1, 2, 3, 3}, {3, 2, 3, 3}, {1, 1}, {0, 0}, {0, 0}},
      {{65, 1, 28, 28}, {3, 1, 3, 3}},  // units of two pictures, and of one
      {{1, 40, 9, 9}, {40, 40, 3, 3}},  // weights packed in a phase of their own
  };
  for (const Window& c : kAll) {
    Builder b;
    Value x = input(b, c.x), w = input(b, c.w);
    SCOPED_TRACE(::testing::PrintToString(c.x) + ::testing::PrintToString(c.w));
    expect_same(problem(b, {conv(x, w, c)}), true, lower_window_contraction);
  }
}

/// No column of the picture lies under a window: the copy has nothing to hold, and the template is not for it.
TEST(WindowContraction, NothingButPadding) {
  Window c{{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 3}, {0, 2}, {0, 0}};
  Builder b;
  Value x = input(b, c.x), w = input(b, c.w);
  expect_same(problem(b, {conv(x, w, c)}), false, lower_window_contraction);
}

TEST(WindowContraction, SymbolicBatchAndPicture) {
  Dim n = Dim::symbol("n"), h = Dim::symbol("h"), v = Dim::symbol("v");
  for (auto [nv, hv, vv] : {std::tuple{1, 5, 5}, {3, 17, 30}, {2, 1, 1}}) {
    Builder b;
    Value x = input(b, {n, Dim(3), h, v}), w = input(b, std::vector<i64>{20, 3, 3, 3});
    Problem p = problem(b, {conv(x, w, {{}, {}})});
    p.sizes.set(n, nv);
    p.sizes.set(h, hv);
    p.sizes.set(v, vv);
    expect_same(p, true, lower_window_contraction);
  }
}

/// Small results of large weights, as the gradient of weights is: pictures are channels there, groups are chunks.
TEST(WindowGradient, ManyShapes) {
  const Window kAll[] = {
      {{13, 2, 13, 28}, {32, 2, 13, 28}},
      {{5, 8, 7, 14}, {12, 2, 7, 14}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 4},
      {{17, 3, 9, 11}, {3 * 40, 1, 9, 11}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 3},
      {{14, 4, 7, 9}, {66, 2, 4, 5}, {1, 1}, {1, 1}, {1, 1}, {2, 2}, 2},
      {{3, 2, 8, 8}, {5, 2, 6, 6}, {1, 1}, {0, 0}, {0, 0}},
      {{1, 5, 12, 13}, {10, 1, 11, 12}, {2, 1}, {2, 3}, {2, 2}, {1, 1}, 5},
  };
  for (const Window& c : kAll) {
    Builder b;
    Value x = input(b, c.x), w = input(b, c.w);
    SCOPED_TRACE(::testing::PrintToString(c.x) + ::testing::PrintToString(c.w));
    expect_same(problem(b, {conv(x, w, c)}), true, lower_window_contraction);
  }
}

/// As a transform makes it: chunks of pictures as groups, read where they lie.
TEST(WindowGradient, ReadsThroughMovements) {
  Builder b;
  Value x = input(b, {32, 5, 6, 6}), ct = input(b, {32, 18, 6, 6});
  Value parts = permute(reshape(ct, {2, 16, 18, 6, 6}), {0, 2, 1, 3, 4});
  Value w = reshape(parts, {36, 16, 6, 6}), lhs = permute(x, {1, 0, 2, 3});
  Window c{{}, {}};
  c.groups = 2;
  Problem p = problem(b, {conv(lhs, w, c)}, {"reshape", "permute"});
  expect_same(p, true, lower_window_contraction);
  GraphIndex index(*p.graph);
  Lowered l = lower_window_contraction(*p.graph, index, p.group, Target{}).value();
  for (const loops::Node& n : l.kernel.nodes) EXPECT_NE(n.kind, loops::Kind::gather);
}

TEST(WindowContraction, FusesBothSides) {
  for (i64 features : {40, 32, 16}) {
    Builder b;
    Value x = input(b, {2, 3, 14, 14}), w = input(b, {3, features, 3, 3});
    Value bias = input(b, {features}), more = input(b, {2, features, 14, 14});
    Value positive = maximum(x, zeros_like(x));
    Value flipped = flip(permute(w, {1, 0, 2, 3}), {2, 3});
    Value sum = conv(positive, flipped, {{}, {}});
    Value biased = add(add(sum, broadcast(bias, shape_of(sum), {1})), more);
    expect_same(problem(b, {maximum(biased, zeros_like(biased))}, {"add", "broadcast", "maximum", "permute", "flip"}),
                true, lower_window_contraction);
  }
}

/// Units pack the weights for themselves where that is little beside their work.
TEST(WindowContraction, PacksInsideUnits) {
  auto phases = [](std::vector<i64> x, std::vector<i64> w) {
    Builder b;
    Problem p = problem(b, {conv(input(b, x), input(b, w), {{}, {}})});
    GraphIndex index(*p.graph);
    return lower_window_contraction(*p.graph, index, p.group, Target{})->kernel.phases().size();
  };
  EXPECT_EQ(phases({128, 32, 28, 28}, {32, 32, 3, 3}), 1u);
  EXPECT_EQ(phases({2, 8, 14, 14}, {32, 8, 3, 3}), 1u);
  EXPECT_EQ(phases({128, 64, 14, 14}, {64, 64, 3, 3}), 2u);
  EXPECT_EQ(phases({1, 64, 14, 14}, {64, 64, 3, 3}), 2u);
  EXPECT_EQ(phases({128, 512, 28, 28}, {512, 512, 3, 3}), 2u);
}

// ---------------------------------------------------------------- fetching ahead

/// The value (inputs come first) that each prefetch of the kernel asks for, by how.
std::vector<std::pair<u32, int>> fetched(const Lowered& l) {
  std::vector<std::pair<u32, int>> found;
  for (const loops::Node& n : l.kernel.nodes) {
    if (n.kind != loops::Kind::prefetch) continue;
    auto first = l.kernel.buffers.begin();
    auto argument = std::count_if(first, first + n.buffer, [](const loops::Buffer& b) { return b.is_argument(); });
    found.emplace_back(l.arguments[static_cast<size_t>(argument)].value, n.at);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

/// The next picture, what is added and what is stored; not the bias, which is read again and again.
TEST(WindowContraction, FetchesAhead) {
  Builder b;
  Value x = input(b, std::vector<i64>{9, 3, 14, 14}), w = input(b, std::vector<i64>{40, 3, 3, 3});
  Value bias = input(b, std::vector<i64>{40}), more = input(b, std::vector<i64>{9, 40, 14, 14});
  Value sum = conv(x, w, {{}, {}});
  Value y = add(add(sum, broadcast(bias, shape_of(sum), {1})), more);
  Problem p = problem(b, {y}, {"add", "broadcast"});
  GraphIndex index(*p.graph);
  auto l = lower_window_contraction(*p.graph, index, p.group, Target{});
  using loops::Fetch;
  auto how = [](Fetch f) { return static_cast<int>(f); };
  std::vector<std::pair<u32, int>> want{
      {0, how(Fetch::far)}, {3, how(Fetch::near)}, {p.graph->outputs()[0], how(Fetch::write)}};
  EXPECT_EQ(fetched(l.value()), want);
}

/// Both operands of a gradient of weights, though they are read through movements.
TEST(WindowGradient, FetchesAhead) {
  Builder b;
  Value x = input(b, {32, 5, 6, 6}), ct = input(b, {32, 18, 6, 6});
  Value parts = permute(reshape(ct, {2, 16, 18, 6, 6}), {0, 2, 1, 3, 4});
  Window c{{}, {}};
  c.groups = 2;
  Value y = conv(permute(x, {1, 0, 2, 3}), reshape(parts, {36, 16, 6, 6}), c);
  Problem p = problem(b, {y}, {"reshape", "permute"});
  GraphIndex index(*p.graph);
  auto l = lower_window_contraction(*p.graph, index, p.group, Target{});
  int far = static_cast<int>(loops::Fetch::far);
  EXPECT_EQ(fetched(l.value()), (std::vector<std::pair<u32, int>>{{0, far}, {1, far}}));
}

}  // namespace
}  // namespace tn::test
