// Attention as one kernel: the same bits from the interpreter and from machine code of each width, near its expansion,
// for tails, masks, layouts and dtypes.
#include "compile/attention.h"

#include <cmath>
#include <cstring>

#include "backend/ref/ref.h"
#include "compile/pipeline.h"
#include "run_kernel.h"

namespace tn::test {
namespace {

struct Case {
  Shape lead;
  Dim queries, keys, width, features;
  bool causal = false;
  Shape mask = {};
  DType dtype = DType::f32;
};

Shape joined(Shape lead, std::initializer_list<Dim> rest) {
  lead.insert(lead.end(), rest.begin(), rest.end());
  return lead;
}

/// One group of all nodes.
Problem whole(const GraphPtr& g) {
  Problem p;
  p.graph = g;
  p.group.kind = Group::Kind::attention;
  for (u32 n = 0; n < g->nodes().size(); ++n) p.group.computed.insert(n);
  for (u32 n = 0; n < g->nodes().size(); ++n)
    if (has_template(g->nodes()[n])) p.group.anchor = n;
  p.group.outputs.assign(g->outputs().begin(), g->outputs().end());
  return p;
}

Problem attention(const Case& c) {
  Builder b;
  Values x{b.input(Type::tensor(c.dtype, joined(c.lead, {c.queries, c.width}))),
           b.input(Type::tensor(c.dtype, joined(c.lead, {c.keys, c.width}))),
           b.input(Type::tensor(c.dtype, joined(c.lead, {c.keys, c.features})))};
  if (!c.mask.empty()) x.push_back(b.input(Type::tensor(DType::boolean, c.mask)));
  return whole(b.build(std::vector{b.emit(op("attention"), x, {{"causal", c.causal}})[0]}));
}

/// Equal bits everywhere; tiles of both widths. What is proved is proved for constant sizes of one unit a head.
void expect_same(const Problem& p, bool proved = true) {
  GraphIndex index(*p.graph);
  Target target;
  Lowered wide = lower_attention(*p.graph, index, p.group, target);
  EXPECT_EQ(wide.kernel.phases().size(), 1u);
  EXPECT_EQ(proved ? loops::verify(wide.kernel) : std::vector<std::string>{}, std::vector<std::string>{});
  Data want = interpreted(p, wide);
  expect_executors(want, p, wide, "tiles for 512");
  target.vector_bits = 256;
  Lowered narrow = lower_attention(*p.graph, index, p.group, target);
  EXPECT_EQ(proved ? loops::verify(narrow.kernel) : std::vector<std::string>{}, std::vector<std::string>{});
  expect_executors(want, p, narrow, "tiles for 256");
}

TEST(Attention, ManySizes) {
  const Case kAll[] = {
      {{2}, 64, 64, 64, 64},    {{}, 1, 1, 1, 1},      {{3}, 5, 7, 4, 3},
      {{2, 2}, 65, 63, 17, 33}, {{1}, 1, 200, 32, 48}, {{20}, 130, 129, 16, 16},
      {{1}, 300, 20, 40, 24},   {{0}, 5, 7, 4, 3},     {{2}, 70, 133, 16, 10},
  };
  for (Case c : kAll)
    for (bool causal : {false, true}) {
      c.causal = causal;
      SCOPED_TRACE(to_string(c.queries) + " queries, " + to_string(c.keys) + " keys, causal " + std::to_string(causal));
      expect_same(attention(c));
    }
}

TEST(Attention, Masks) {
  for (const Shape& mask : {Shape{70, 133}, Shape{133}, Shape{70, 1}, Shape{2, 1, 70, 133}, Shape{3, 1, 133}})
    for (bool causal : {false, true}) expect_same(attention({{2, 3}, 70, 133, 16, 20, causal, mask}));
}

TEST(Attention, EveryDtype) {
  for (DType d : {DType::f64, DType::f16, DType::bf16}) expect_same(attention({{2}, 70, 80, 20, 36, true, {}, d}));
}

TEST(Attention, SymbolicSizes) {
  Dim n = Dim::symbol("n"), q = Dim::symbol("q"), k = Dim::symbol("k");
  for (auto [nv, qv, kv] : {std::tuple{1, 1, 1}, {2, 64, 64}, {3, 70, 133}, {0, 3, 3}})
    for (bool causal : {false, true}) {
      Problem p = attention({{n}, q, k, 32, 32, causal});
      p.sizes.set(n, nv);
      p.sizes.set(q, qv);
      p.sizes.set(k, kv);
      expect_same(p, false);
    }
}

/// Weights of no keys have no sum to be shares of; a row that a mask lets see nothing is 0.
TEST(Attention, NoKeysGiveWhatTheExpansionGives) {
  Dim k = Dim::symbol("k");
  for (bool masked : {false, true}) {
    Problem p = attention({{2}, 5, k, 8, 8, false, masked ? Shape{5, k} : Shape{}});
    p.sizes.set(k, 0);
    std::vector<Array> inputs{Array::zeros(DType::f32, {2, 5, 8}), Array::zeros(DType::f32, {2, 0, 8}),
                              Array::zeros(DType::f32, {2, 0, 8})};
    if (masked) inputs.push_back(Array::zeros(DType::boolean, {5, 0}));
    Array want = ref_run(p.graph, inputs)[0];
    GraphIndex index(*p.graph);
    Lowered lowered = lower_attention(*p.graph, index, p.group, Target{});
    Data got = interpreted(p, lowered);
    expect_executors(got, p, lowered, "no keys");
    for (i64 i = 0; i < want.size(); ++i) {
      float x;
      std::memcpy(&x, got[0].data() + static_cast<size_t>(i) * sizeof x, sizeof x);
      EXPECT_TRUE(masked ? x == 0 && want.get(i) == 0 : std::isnan(x) && std::isnan(want.get(i))) << i;
    }
  }
}

/// Heads lie side by side in one matrix, as a projection writes them, and are read from there; bias and residual
/// follow.
TEST(Attention, ReadsThroughMovementsAndFusesWhatFollows) {
  Builder b;
  Value all = input(b, {2, 70, 3 * 4 * 32}), bias = input(b, {32}), more = input(b, {2, 4, 70, 32});
  Value split = permute(reshape(all, {2, 70, 3, 4, 32}), {2, 0, 3, 1, 4});
  Values x;
  for (i64 i = 0; i < 3; ++i)
    x.push_back(reshape(slice(split, {i, 0, 0, 0, 0}, {i + 1, 2, 4, 70, 32}, {1, 1, 1, 1, 1}), {2, 4, 70, 32}));
  Value y = b.emit(op("attention"), x, {{"causal", true}})[0];
  Value sum = add(add(y, broadcast_to(bias, shape_of(y))), more);
  expect_same(whole(b.build(std::vector{sum})));
}

/// The pipeline makes one phase of it, movements before it included.
TEST(Attention, IsOnePhase) {
  for (bool causal : {false, true}) {
    Builder b;
    Value q = input(b, {2, 70, 4, 32}), k = input(b, {2, 50, 4, 32}), v = input(b, {2, 50, 4, 32});
    Values x{permute(q, {0, 2, 1, 3}), permute(k, {0, 2, 1, 3}), permute(v, {0, 2, 1, 3})};
    GraphPtr g = b.build(std::vector{b.emit(op("attention"), x, {{"causal", causal}})[0]});
    Compilation made = compile_graph(g, Target{.map_lanes = 16, .compiled = true});
    size_t phases = 0;
    for (const Step& s : made.steps)
      if (s.kind == tn::Step::Kind::kernel) phases += s.lowered.kernel.phases().size();
    EXPECT_EQ(phases, 1u);
  }
}

}  // namespace
}  // namespace tn::test
