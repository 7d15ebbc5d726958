// The verifier: sound kernels pass; one planted fault for each rule is named.
#include <gtest/gtest.h>

#include <algorithm>

#include "ir/loops.h"
#include "kernels.h"

namespace tn::loops {
namespace {

using namespace samples;

TEST(Verify, AcceptsSoundKernels) {
  for (const Kernel& k : all()) {
    auto found = verify(k);
    EXPECT_TRUE(found.empty()) << k.name << ": " << found[0];
  }
  for (auto [rows, lanes] : {std::pair{1, 16}, {6, 64}, {8, 32}}) {
    auto found = verify(matmul(rows, lanes));
    EXPECT_TRUE(found.empty()) << found[0];
  }
}

void expect_finding(const Kernel& k, std::string_view text) {
  auto found = verify(k);
  auto has = [&](const std::string& f) { return f.find(text) != f.npos; };
  EXPECT_TRUE(std::any_of(found.begin(), found.end(), has))
      << k.name << ": expected '" << text << "', got '" << (found.empty() ? "nothing" : found[0]) << "'";
}

Node& first(Kernel& k, Kind kind) {
  return *std::find_if(k.nodes.begin(), k.nodes.end(), [&](const Node& n) { return n.kind == kind; });
}
Node& last(Kernel& k, Kind kind) {
  return *std::find_if(k.nodes.rbegin(), k.nodes.rend(), [&](const Node& n) { return n.kind == kind; });
}

TEST(Verify, FindsALimitDropped) {
  Kernel k = matmul();
  last(k, Kind::store).row_limit = Node::kNone;
  expect_finding(k, "cannot prove");
  k = softmax();
  first(k, Kind::load).lane_limit = Node::kNone;
  expect_finding(k, "< N in X");
}

TEST(Verify, FindsAnIndexOffByOne) {
  Kernel k = matmul();
  Node& load = first(k, Kind::load);
  k.dims[load.first_dim] = k.dims[load.first_dim] + Dim(1);
  expect_finding(k, "in B");
  k = cumsum();
  k.dims[last(k, Kind::store).first_dim + 1] = k.dims[last(k, Kind::store).first_dim + 1] - Dim(1);
  expect_finding(k, "cannot prove 0 <=");
}

TEST(Verify, FindsSwappedIndices) {
  Kernel k = transpose();
  Node& store = first(k, Kind::store);
  std::swap(k.dims[store.first_dim], k.dims[store.first_dim + 1]);
  expect_finding(k, "cannot prove");
}

TEST(Verify, FindsRaces) {
  Kernel k = add();
  Node& store = first(k, Kind::store);
  k.dims[store.first_dim] = lane();
  store.lane_limit = Dim::symbol("n");
  expect_finding(k, "keep apart in Y");
  // Iterations that overlap by one element.
  Kernel o;
  o.name = "overlap";
  Builder b(o);
  Dim n = size(b, "n");
  int y = b.buffer("Y", DType::f32, {n * 63 + 1}, Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val one = b.constant(1, DType::f32, 1, 64);
    b.store(y, Dims{i * 63 + lane()}, one);
  });
  expect_finding(o, "keep apart in Y");
  // A load of what another iteration writes.
  Kernel r;
  r.name = "reads";
  Builder c(r);
  Dim m = size(c, "m");
  int z = c.buffer("Z", DType::f32, {m + 1}, Role::inout);
  c.parallel("i", m, [&](Dim i) {
    Val v = c.load(z, Dims{i + 1}, 1, 1);
    c.store(z, Dims{i}, v);
  });
  expect_finding(r, "keep apart in Z");
}

TEST(Verify, AcceptsReversedAndFlatParallelStores) {
  Kernel k;
  k.name = "apart";
  Builder b(k);
  Dim n = size(b, "n"), m = size(b, "m");
  int y = b.buffer("Y", DType::f32, {n}, Role::out), z = b.buffer("Z", DType::f32, {n, m, 8}, Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val one = b.constant(1, DType::f32);
    b.store(y, Dims{n - 1 - i}, one);
  });
  b.parallel("f", n * m, [&](Dim f) {
    Val one = b.constant(1, DType::f32, 1, 8);
    b.store(z, Dims{floordiv(f, m), mod(f, m), lane()}, one);
  });
  auto found = verify(k);
  EXPECT_TRUE(found.empty()) << found[0];
  for (Node& s : k.nodes)
    if (s.kind == Kind::store && s.dim_count == 3) k.dims[s.first_dim + 1] = 0;
  expect_finding(k, "keep apart in Z");
}

TEST(Verify, FindsParallelLoopsInTheWrongPlace) {
  Kernel k = cumsum();
  for (Node& n : k.nodes)
    if (n.kind == Kind::loop) n.loop = LoopKind::parallel;
  expect_finding(k, "inside another loop");
  expect_finding(k, "carries a value");
}

TEST(Verify, FindsUseOutOfScope) {
  Kernel k = softmax();
  // The last store takes a value of the first inner loop.
  Val inner = 0;
  for (size_t n = 0; n < k.nodes.size() && !inner; ++n)
    if (k.nodes[n].kind == Kind::load) inner = static_cast<Val>(n);
  k.args[last(k, Kind::store).first_arg] = inner;
  expect_finding(k, "no value in scope");
}

TEST(Verify, FindsSharedScratch) {
  Kernel k;
  k.name = "shared";
  Builder b(k);
  Dim n = size(b, "n");
  int s = b.alloc("S", DType::f32, {64});
  int y = b.buffer("Y", DType::f32, {n, 64}, Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val one = b.constant(1, DType::f32, 1, 64);
    b.store(s, Dims{lane()}, one);
    Val v = b.load(s, Dims{lane()}, 1, 64);
    b.store(y, Dims{i, lane()}, v);
  });
  expect_finding(k, "allocated outside its parallel loop");
  Kernel o = softmax();
  o.scratch_bytes = 0;
  expect_finding(o, "beyond the scratch");
}

TEST(Verify, FindsIndicesThatAreNotAffine) {
  Kernel k = add();
  Node& load = first(k, Kind::load);
  k.dims[load.first_dim] = k.dims[load.first_dim] * lane();
  expect_finding(k, "not affine");
  k = add();
  k.dims[first(k, Kind::load).first_dim] = floordiv(k.dims[first(k, Kind::load).first_dim], 2);
  expect_finding(k, "not affine");
}

TEST(Verify, FindsWrongTypes) {
  Kernel k = add();
  first(k, Kind::map).tile.dtype = DType::f64;
  expect_finding(k, "operands give");
  k = add();
  first(k, Kind::load).tile.dtype = DType::i32;
  expect_finding(k, "A holds f32");
  k = add();
  first(k, Kind::map).op = ScalarOp::shift_left;
  expect_finding(k, "takes no f32");
  k = chain();
  first(k, Kind::load).tile.lanes = 32;
  expect_finding(k, "do not broadcast");
  k = cumsum();
  last(k, Kind::slice).at = 16;
  expect_finding(k, "lies outside");
}

TEST(Verify, FindsUnspecifiedElements) {
  Kernel k = matmul();
  // The result's rows beyond M are unspecified: storing one row more must be found even where the buffer has room.
  k.buffers[2].shape[0] = k.buffers[2].shape[0] + Dim(6);
  last(k, Kind::store).row_limit = Node::kNone;
  expect_finding(k, "leaves unspecified");
  Kernel s = softmax();
  first(s, Kind::load).any = true;
  expect_finding(s, "leaves unspecified");
}

TEST(Verify, FindsWorkOutsideParallelLoops) {
  Kernel k;
  k.name = "serial";
  Builder b(k);
  int y = b.buffer("Y", DType::f32, {1}, Role::out);
  Val one = b.constant(1, DType::f32);
  b.store(y, Dims{0}, one);
  expect_finding(k, "outside every parallel loop");
  Kernel w = add();
  w.buffers[2].role = Role::in;
  expect_finding(w, "is an input");
}

TEST(Verify, FindsSymbolsOfNowhere) {
  Kernel k = add();
  k.dims[first(k, Kind::load).first_dim] = Dim::symbol("elsewhere");
  expect_finding(k, "no size and no variable");
}

}  // namespace
}  // namespace tn::loops
