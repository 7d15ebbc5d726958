// Maps whose operands run along another axis: tiles are turned, results are those of plain loops, for all executors.
#include <algorithm>
#include <cstring>

#include "run_kernel.h"

namespace tn::test {
namespace {

/// One group of all nodes.
Problem whole(const GraphPtr& g) {
  Problem p;
  p.graph = g;
  p.group.kind = Group::Kind::map;
  for (u32 n = 0; n < g->nodes().size(); ++n) p.group.computed.insert(n);
  p.group.outputs.assign(g->outputs().begin(), g->outputs().end());
  return p;
}

/// permute(x), and with `addend` added to it.
Problem turned(const Shape& shape, const std::vector<i64>& axes, DType d, bool addend) {
  Builder b;
  Value x = b.input(Type::tensor(d, shape)), z;
  Shape result;
  for (i64 a : axes) result.push_back(shape[static_cast<size_t>(a)]);
  if (addend) z = b.input(Type::tensor(d, result));
  Value y = b.emit1(op("permute"), {x}, {{"axes", axes}});
  if (addend) y = add(y, z);
  return whole(b.build(std::vector{y}));
}

/// The bytes of a permuted array, by loops.
std::vector<std::byte> permuted(const std::vector<std::byte>& x, const Shape& shape, const std::vector<i64>& axes,
                                const DimEnv& sizes, size_t size) {
  size_t rank = shape.size();
  std::vector<i64> extents, strides(rank, 1), at(rank, 0);
  for (Dim d : shape) extents.push_back(evaluate(d, sizes));
  for (size_t i = rank - 1; i-- > 0;) strides[i] = strides[i + 1] * extents[i + 1];
  std::vector<std::byte> out(x.size());
  for (size_t n = 0; n < x.size() / size; ++n) {
    i64 from = 0;
    for (size_t i = 0; i < rank; ++i) from += at[i] * strides[static_cast<size_t>(axes[i])];
    std::memcpy(out.data() + n * size, x.data() + static_cast<size_t>(from) * size, size);
    for (size_t i = rank; i-- > 0;) {
      if (++at[i] < extents[static_cast<size_t>(axes[i])]) break;
      at[i] = 0;
    }
  }
  return out;
}

size_t turns(const Lowered& l) {
  return static_cast<size_t>(std::count_if(l.kernel.nodes.begin(), l.kernel.nodes.end(),
                                           [](const loops::Node& n) { return n.kind == loops::Kind::transpose; }));
}

void expect_turned(const Shape& shape, const std::vector<i64>& axes, DType d, bool addend, const DimEnv& sizes = {}) {
  Problem p = turned(shape, axes, d, addend);
  p.sizes = sizes;
  std::string name = to_string(p.graph->type(p.group.outputs[0])) + (addend ? " added" : "");
  SCOPED_TRACE(name);
  auto x = numbers(p.graph->type(0), sizes, 1);
  Data want{permuted(x, shape, axes, sizes, static_cast<size_t>(bytes(d)))};
  if (addend) {
    auto z = numbers(p.graph->input_types()[1], sizes, 2);
    auto* sum = reinterpret_cast<float*>(want[0].data());
    const auto* more = reinterpret_cast<const float*>(z.data());
    for (size_t i = 0; i < want[0].size() / 4; ++i) sum[i] += more[i];
  }
  for (int bits : {256, 512}) {
    Lowered l = lower_group(*p.graph, GraphIndex(*p.graph), p.group, {.map_lanes = 16, .vector_bits = bits});
    EXPECT_GT(turns(l), 0u);
    if (symbols_of(p.graph->type(0).size()).empty()) { EXPECT_EQ(loops::verify(l.kernel), std::vector<std::string>{}); }
    expect_executors(want, p, l, name + " in tiles for " + std::to_string(bits));
  }
}

TEST(TurnedMaps, ManyShapes) {
  for (bool addend : {false, true}) {
    for (auto [m, n] : {std::pair<i64, i64>{64, 128}, {16, 16}, {1000, 3}, {3, 1000}, {65, 63}, {130, 17}, {2, 2}})
      expect_turned({m, n}, {1, 0}, DType::f32, addend);
    expect_turned({5, 20, 33}, {2, 1, 0}, DType::f32, addend);
    expect_turned({5, 20, 33}, {0, 2, 1}, DType::f32, addend);
    expect_turned({5, 20, 33}, {2, 0, 1}, DType::f32, addend);
    expect_turned({2, 70, 3, 40}, {0, 3, 2, 1}, DType::f32, addend);
  }
}

TEST(TurnedMaps, ManyDtypes) {
  for (DType d : {DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32, DType::u8, DType::boolean})
    expect_turned({70, 33}, {1, 0}, d, false);
}

TEST(TurnedMaps, SymbolicSizes) {
  Dim m = Dim::symbol("m"), n = Dim::symbol("n");
  for (auto [rows, columns] : {std::pair<i64, i64>{1, 1}, {64, 64}, {100, 17}, {15, 129}}) {
    DimEnv sizes;
    sizes.set(m, rows);
    sizes.set(n, columns);
    for (bool addend : {false, true}) expect_turned({m, n}, {1, 0}, DType::f32, addend, sizes);
  }
}

TEST(TurnedMaps, AxesOfOneElement) {
  expect_turned({5, 1, 20}, {2, 1, 0}, DType::f32, false);
  Builder b;
  Value x = input(b, {3, 40, 1});
  Attrs every_second{{"starts", Shape{0, 1, 0}}, {"limits", Shape{3, 40, 1}}, {"strides", std::vector<i64>{1, 2, 1}}};
  Problem p = whole(b.build(std::vector{b.emit1(op("slice"), {x}, every_second)}));
  EXPECT_EQ(turns(lower_group(*p.graph, GraphIndex(*p.graph), p.group, {})), 0u);
}

/// The check by poison sees what goes through scratch, where verify lets it pass.
TEST(Poison, IsSeenInAResult) {
  Builder b;
  Value x = input(b, {10}), y = pad(x, {0}, {6}, 0);
  Problem p = whole(b.build(std::vector{y}));
  Lowered l;
  loops::Builder w(l.kernel);
  int from = w.buffer("X", DType::f32, {10}, loops::Buffer::Role::in);
  int to = w.buffer("Y", DType::f32, {16}, loops::Buffer::Role::out);
  w.parallel("p", 1, [&](Dim) {
    int kept = w.alloc("kept", DType::f32, {16});
    Dim at[] = {loops::lane()};
    loops::Val part = w.load(from, at, 1, 16, {.lanes = 10, .any = true});
    w.store(kept, at, part);
    loops::Val all = w.load(kept, at, 1, 16);
    w.store(to, at, all);
  });
  l.arguments = {{false, false, 0}, {false, true, p.group.outputs[0]}};
  EXPECT_EQ(loops::verify(l.kernel), std::vector<std::string>());
  EXPECT_NE(interpreted(p, l), poisoned(p, l));
}

TEST(TurnedMaps, NothingToTurn) {
  Builder b;
  Value x = input(b, {64, 64}), y = input(b, {64, 64});
  Problem p = whole(b.build(std::vector{add(x, y)}));
  EXPECT_EQ(turns(lower_group(*p.graph, GraphIndex(*p.graph), p.group, {})), 0u);
}

}  // namespace
}  // namespace tn::test
