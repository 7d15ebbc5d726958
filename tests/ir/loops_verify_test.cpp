// The verifier: sound kernels pass; one planted fault for each rule is named.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "ir/loops.h"
#include "kernels.h"

namespace tn::loops {
namespace {

using samples::add;
using samples::all;
using samples::chain;
using samples::cumsum;
using samples::Dims;
using samples::gather_rows;
using samples::matmul;
using samples::Role;
using samples::size;
using samples::softmax;
using samples::transpose;
using samples::Vals;

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

/// One sweep over several tensors: inside the part of one, its iterations count from where the part begins.
TEST(Verify, AcceptsPartsOfASweepAndWhatAQuotientCannotBe) {
  const char* sweep = R"(kernel sweep(; out y: f32[7000] by [1]) scratch 0 {
  parallel p < 9 {
    for t < max(0, min(1, min(-p + 6, p - 1))) {
      for k < ((min(-2048*max(0, min(3, p - 2)) + 7000, 2048))//(64)) {
        %3 = f32<1x64> const 1.0
        store y[64*k + l + 2048*max(0, min(3, p - 2))] = %3
      }
      for u < ((min(-2048*max(0, min(3, p - 2)) + 7000, 2048) + 63)//(64)) - ((min(-2048*max(0, min(3, p - 2)) + 7000, 2048))//(64)) {
        %7 = f32<1x64> const 1.0
        store y[64*((min(-2048*max(0, min(3, p - 2)) + 7000, 2048))//(64)) + l + 2048*max(0, min(3, p - 2))] where l < min(-2048*max(0, min(3, p - 2)) + 7000, 2048) - 64*((min(-2048*max(0, min(3, p - 2)) + 7000, 2048))//(64)) = %7
      }
    }
  }
}
)";
  Kernel k = parse_kernel(sweep);
  EXPECT_EQ(verify(k), std::vector<std::string>());
  last(k, Kind::store).lane_limit = 64;  // the next part begins there
  EXPECT_NE(verify(k), std::vector<std::string>());
  auto pack = [](const char* count) {
    return parse_kernel(std::string("kernel pack(; out y: f32[400] by [1]) scratch 0 {\n  parallel p < ") + count +
                        " {\n    for k < 4 {\n      %2 = f32<1x4> const 1.0\n      store y[-32*((p)//(2)) + 4*k + "
                        "l + 16*p] = %2\n    }\n  }\n}\n");
  };
  EXPECT_EQ(verify(pack("2")), std::vector<std::string>());
  expect_finding(pack("4"), "keep apart in y");
}

TEST(Verify, AcceptsBlocksWithATailAndInterleavedColumns) {
  // The place within a block depends on the block; what it is less than does not.
  Kernel blocks = parse_kernel(R"(kernel blocks(; out y: f32[8192] by [1]) scratch 0 {
  parallel p < 4 {
    for t < ((min(-2048*p + 8192, 2048) + 63)//(64)) - ((min(-2048*p + 8192, 2048))//(64)) {
      %2 = f32<1x64> const 1.0
      store y[64*((min(-2048*p + 8192, 2048))//(64)) + l + 2048*p] where l < min(-2048*p + 8192, 2048) - 64*((min(-2048*p + 8192, 2048))//(64)) = %2
    }
  }
}
)");
  EXPECT_EQ(verify(blocks), std::vector<std::string>());
  const char* columns = R"(kernel columns(; out y: f32[30] by [1]) scratch 0 {
  parallel p < 2 {
    for j < 1 {
      %2 = f32<3x16> const 1.0
      store y[16*j + l + 5*p + 10*r] where l < -16*j + 5 = %2
    }
  }
}
)";
  Kernel k = parse_kernel(columns);
  EXPECT_EQ(verify(k), std::vector<std::string>());
  last(k, Kind::store).lane_limit = 6;
  expect_finding(k, "keep apart in y");
  k = parse_kernel(columns);
  first(k, Kind::loop).extent = 3;  // a third column is the first of the next row
  expect_finding(k, "keep apart in y");
}

TEST(Verify, AcceptsAFlatIndexOfTwoDigits) {
  // p = 3 q + t: pictures of 60 elements, in them channels of 20, in those bands of 8.
  auto bands = [](int step) {
    std::string text =
        "kernel bands(; out y: f32[120] by [1]) scratch 0 {\n  parallel p < 6 {\n    %1 = f32<3x4> const 1.0\n";
    text += "    store y[" + std::to_string(60 - 3 * step) + "*((p)//(3)) + " + std::to_string(step) +
            "*p + l + 20*r] = %1\n  }\n}\n";
    return parse_kernel(text);
  };
  EXPECT_EQ(verify(bands(8)), std::vector<std::string>());
  EXPECT_EQ(verify(bands(4)), std::vector<std::string>());
  expect_finding(bands(3), "keep apart in y");
}

TEST(Verify, KnowsWhichIterationsRunAPart) {
  // Two works side by side: each has its range of p.
  const char* parts = R"(kernel parts(; out y: f32[256] by [1], out z: f32[1] by [1]) scratch 0 {
  parallel p < 6 {
    for t < max(0, min(1, min(-p + 4, p + 1))) {
      %2 = f32<1x64> const 1.0
      store y[l + 64*min(3, p)] = %2
    }
    for t2 < max(0, min(1, p - 4)) {
      %6 = f32 const 1.0
      store z[0] = %6
    }
  }
}
)";
  Kernel k = parse_kernel(parts);
  EXPECT_EQ(verify(k), std::vector<std::string>());
  last(k, Kind::loop).extent = 1;
  expect_finding(k, "keep apart in z");
  k = parse_kernel(parts);
  for (Node& n : k.nodes)
    if (n.kind == Kind::loop && n.loop == LoopKind::serial) {
      n.extent = 1;
      break;
    }
  expect_finding(k, "keep apart in y");
  Kernel nothing = parse_kernel(R"(kernel nothing(; in x: f32[0] by [1], out y: f32[0] by [1]) scratch 0 {
  parallel p < 0 {
    %1 = f32 load x[0]
    store y[0] = %1
  }
}
)");
  EXPECT_EQ(verify(nothing), std::vector<std::string>());
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
  k = gather_rows();
  last(k, Kind::prefetch).at = 3;
  expect_finding(k, "in a way that is none");
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

TEST(Verify, WarnsOfTilesThatSpill) {
  EXPECT_TRUE(register_warnings(matmul(6, 64), 32, 512).empty());
  EXPECT_TRUE(register_warnings(matmul(6, 16), 16, 256).empty());
  EXPECT_FALSE(register_warnings(matmul(6, 64), 16, 256).empty());
}

TEST(Verify, AcceptsBranches) {
  Kernel k;
  k.name = "branch";
  Builder b(k);
  Dim n = size(b, "n");
  int x = b.buffer("X", DType::f32, {n}, Role::in), y = b.buffer("Y", DType::f32, {n}, Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val v = b.load(x, Dims{i}, 1, 1);
    Val zero = b.number(0, v);
    Val positive = b.less(zero, v);
    Val root = b.branch(positive, Vals{zero}, [&] { return Vals{sqrt(b, v)}; })[0];
    b.store(y, Dims{i}, root);
  });
  auto found = verify(k);
  EXPECT_TRUE(found.empty()) << found[0];
}

/// Runs all accesses of a kernel without data at concrete sizes: false when one lies outside its buffer or two
/// iterations of the parallel loop meet in an element that one of them writes.
class BruteForce {
 public:
  BruteForce(const Kernel& k, DimEnv env) : k_(k), env_(std::move(env)) {}

  bool sound() {
    walk(0, static_cast<Val>(k_.nodes.size()), -1);
    return sound_;
  }

 private:
  const Node& node(Val v) const { return k_.nodes[static_cast<size_t>(v)]; }

  void walk(Val n, Val end, i64 iteration) {
    for (; n < end; ++n) {
      const Node& i = node(n);
      if (i.kind == Kind::load || i.kind == Kind::store) access(i, iteration);
      if (i.kind != Kind::loop) continue;
      i64 extent = evaluate(i.extent, env_);
      for (i64 v = 0; v < extent && sound_; ++v) {
        env_.set(i.variable, v);
        walk(n + 1, i.at, i.loop == LoopKind::parallel ? v : iteration);
      }
      n = i.at;
    }
  }

  void access(const Node& i, i64 iteration) {
    i64 rows = i.tile.rows, lanes = i.tile.lanes;
    if (i.row_limit != Node::kNone) rows = std::min(rows, evaluate(i.row_limit, env_));
    if (i.lane_limit != Node::kNone) lanes = std::min(lanes, evaluate(i.lane_limit, env_));
    const Buffer& b = k_.buffers[static_cast<size_t>(i.buffer)];
    for (i64 r = 0; r < rows; ++r)
      for (i64 l = 0; l < lanes; ++l) {
        env_.set(row(), r);
        env_.set(lane(), l);
        i64 flat = 0;
        auto where = k_.index(i);
        for (size_t d = 0; d < where.size(); ++d) {
          i64 at = evaluate(where[d], env_), extent = evaluate(b.shape[d], env_);
          sound_ = sound_ && at >= 0 && at < extent;
          flat = flat * extent + at;
        }
        Cell& cell = cells_[{i.buffer, flat}];
        bool writes = i.kind == Kind::store;
        if (cell.seen && cell.iteration != iteration && (cell.written || writes)) sound_ = false;
        cell = {true, cell.written || writes, cell.seen ? cell.iteration : iteration};
      }
  }

  struct Cell {
    bool seen = false, written = false;
    i64 iteration = -1;
  };
  const Kernel& k_;
  DimEnv env_;
  bool sound_ = true;
  std::map<std::pair<int, i64>, Cell> cells_;
};

TEST(Verify, WhatItProvesHolds) {
  u64 state = 99;
  auto pick = [&](i64 low, i64 high) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return low + static_cast<i64>((state >> 33) % static_cast<u64>(high - low + 1));
  };
  int accepted = 0, rejected = 0;
  for (int round = 0; round < 3000; ++round) {
    Kernel k;
    k.name = "random";
    Builder b(k);
    Dim n = size(b, "n"), m = size(b, "m");
    auto extent = [&](Dim x) {
      i64 c = pick(1, 4);
      return pick(0, 1) ? ceildiv(x, c) : x;
    };
    Dim outer_extent = pick(0, 3) ? extent(n) : extent(n * m), inner_extent = extent(m);
    int rows = static_cast<int>(pick(1, 2)), lanes = static_cast<int>(pick(1, 4));
    int y = b.buffer("Y", DType::f32, {pick(0, 1) ? n : n + 1, m * Dim(pick(1, 2)), pick(1, 4)}, Role::inout);
    b.parallel("i", outer_extent, [&](Dim i) {
      b.serial("j", inner_extent, [&](Dim j) {
        auto index = [&](Dim of) {
          Dim d = of * Dim(pick(1, 3));
          switch (pick(0, 6)) {
            case 0: return d + row();
            case 1: return d + lane();
            case 2: return n - Dim(1) - of;
            case 3: return floordiv(of, m);
            case 4: return mod(of, m);
            case 5: return min(of, m - Dim(1));
            default: return d;
          }
        };
        Dims at{index(i), index(j), pick(0, 1) ? lane() : Dim(0)};
        Builder::Limits limits;
        if (pick(0, 1)) limits.rows = n - i * Dim(rows);
        if (pick(0, 1)) limits.lanes = m - j * Dim(lanes);
        if (pick(0, 2) == 0) {
          Val v = b.load(y, at, rows, lanes, limits);
          b.store(y, at, v, limits);
        } else {
          Val v = b.constant(1, DType::f32, rows, lanes);
          b.store(y, at, v, limits);
        }
      });
    });
    bool proved = verify(k).empty();
    (proved ? accepted : rejected)++;
    if (!proved) continue;
    for (i64 a = 0; a <= 5; ++a)
      for (i64 c = 0; c <= 5; ++c) {
        DimEnv env;
        env.set(n, a);
        env.set(m, c);
        ASSERT_TRUE(BruteForce(k, env).sound()) << "n = " << a << ", m = " << c << "\n" << to_string(k);
      }
  }
  EXPECT_GT(accepted, 50);
  EXPECT_GT(rejected, 50);
}

}  // namespace
}  // namespace tn::loops
