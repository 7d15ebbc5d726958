// Kernels of every family, as the compiler writes them, for tests of text, verifier, executors and schedules.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "ir/loops.h"
#include "ir/math.h"

namespace tn::loops::samples {

using Dims = std::vector<Dim>;
using Vals = std::vector<Val>;
using Role = Buffer::Role;

inline Dim size(Builder& b, const char* name) { return b.size(Dim::symbol(name)); }

/// Y = A + B over n numbers.
inline Kernel add() {
  Kernel k;
  k.name = "add";
  Builder b(k);
  Dim n = size(b, "n");
  int x = b.buffer("A", DType::f32, {n}, Role::in), y = b.buffer("B", DType::f32, {n}, Role::in);
  int z = b.buffer("Y", DType::f32, {n}, Role::out);
  b.parallel("i", ceildiv(n, 64), [&](Dim i) {
    Dims at{i * 64 + lane()};
    Builder::Limits limits{.lanes = n - i * 64};
    Val u = b.load(x, at, 1, 64, limits);
    Val v = b.load(y, at, 1, 64, limits);
    Val w = b.add(u, v);
    b.store(z, at, w, limits);
  });
  return k;
}

/// y = max(exp(-|a b + c|) / (1 + d d), a) on 64 q numbers, streamed.
inline Kernel chain() {
  Kernel k;
  k.name = "chain";
  Builder b(k);
  Dim q = size(b, "q"), n = q * 64;
  int in[4];
  for (int i = 0; i < 4; ++i) in[i] = b.buffer(std::string(1, static_cast<char>('A' + i)), DType::f32, {n}, Role::in);
  int out = b.buffer("Y", DType::f32, {n}, Role::out);
  b.parallel("i", q, [&](Dim i) {
    Dims at{i * 64 + lane()};
    Val v[4];
    for (int j = 0; j < 4; ++j) v[j] = b.load(in[j], at, 1, 64);
    Val t = b.fma(v[0], v[1], v[2]);
    Val size_of = b.abs(t);
    Val negative = b.neg(size_of);
    Val e = exp(b, negative);
    Val one = b.number(1, e);
    Val d = b.fma(v[3], v[3], one);
    Val ratio = b.div(e, d);
    Val y = b.max(ratio, v[0]);
    b.store(out, at, y, Builder::Limits(), true);
  });
  return k;
}

/// Softmax of rows of N numbers in three passes, the middle one into scratch; tails by limits.
inline Kernel softmax() {
  Kernel k;
  k.name = "softmax";
  Builder b(k);
  Dim m = size(b, "M"), n = size(b, "N");
  int x = b.buffer("X", DType::f32, {m, n}, Role::in), y = b.buffer("Y", DType::f32, {m, n}, Role::out);
  b.parallel("i", m, [&](Dim i) {
    int e = b.alloc("E", DType::f32, {ceildiv(n, 64) * 64});
    Dim blocks = ceildiv(n, 64);
    Val least = b.constant(-HUGE_VAL, DType::f32, 1, 64);
    Vals top = b.loop("j", blocks, Vals{least}, [&](Dim j, std::span<const Val> c) {
      Builder::Limits limits{.lanes = n - j * 64, .otherwise = -HUGE_VAL};
      Val v = b.load(x, Dims{i, j * 64 + lane()}, 1, 64, limits);
      return Vals{b.max(v, c[0])};
    });
    Val greatest = b.reduce(ScalarOp::max, Axis::lanes, top[0]);
    Val zero = b.constant(0, DType::f32, 1, 64);
    Vals sums = b.loop("k", blocks, Vals{zero}, [&](Dim j, std::span<const Val> c) {
      Builder::Limits limits{.lanes = n - j * 64, .otherwise = -HUGE_VAL};
      Val v = b.load(x, Dims{i, j * 64 + lane()}, 1, 64, limits);
      Val shifted = b.sub(v, greatest);
      Val w = exp_nonpositive(b, shifted);
      b.store(e, Dims{j * 64 + lane()}, w);
      return Vals{b.add(c[0], w)};
    });
    Val sum = b.reduce(ScalarOp::add, Axis::lanes, sums[0]);
    b.serial("t", blocks, [&](Dim j) {
      Val v = b.load(e, Dims{j * 64 + lane()}, 1, 64);
      Val w = b.div(v, sum);
      b.store(y, Dims{i, j * 64 + lane()}, w, {.lanes = n - j * 64});
    });
  });
  return k;
}

/// C = A B with tiles of `rows` x `lanes`, a packed panel of B in scratch; N is a multiple of the lanes, M any.
inline Kernel matmul(int rows = 6, int lanes = 16) {
  Kernel k;
  k.name = "matmul";
  Builder b(k);
  Dim m = size(b, "M"), q = size(b, "q"), depth = size(b, "K"), n = q * lanes;
  int x = b.buffer("A", DType::f32, {m, depth}, Role::in), w = b.buffer("B", DType::f32, {depth, n}, Role::in);
  int y = b.buffer("C", DType::f32, {m, n}, Role::out);
  b.parallel("j", q, [&](Dim j) {
    int panel = b.alloc("P", DType::f32, {depth, lanes});
    b.serial("p", depth, [&](Dim p) {
      Val v = b.load(w, Dims{p, j * lanes + lane()}, 1, lanes);
      b.store(panel, Dims{p, lane()}, v);
    });
    b.serial("i", ceildiv(m, rows), [&](Dim i) {
      Builder::Limits limits{.rows = m - i * rows}, any = limits;
      any.any = true;
      Val zero = b.constant(0, DType::f32, rows, lanes);
      Vals sum = b.loop("k", depth, Vals{zero}, [&](Dim kk, std::span<const Val> c) {
        Val u = b.load(x, Dims{i * rows + row(), kk}, rows, 1, any);
        Val v = b.load(panel, Dims{kk, lane()}, 1, lanes);
        return Vals{b.fma(u, v, c[0])};
      });
      b.store(y, Dims{i * rows + row(), j * lanes + lane()}, sum[0], limits);
    });
  });
  return k;
}

/// C = relu(A B) as an op's rule writes it: one element at a time.
inline Kernel naive_matmul(int multiple = 16) {
  Kernel k;
  k.name = "naive";
  Builder b(k);
  Dim m = size(b, "M"), q = size(b, "q"), depth = size(b, "K"), n = q * multiple;
  int x = b.buffer("A", DType::f32, {m, depth}, Role::in), w = b.buffer("B", DType::f32, {depth, n}, Role::in);
  int y = b.buffer("C", DType::f32, {m, n}, Role::out);
  b.parallel("i", m, [&](Dim i) {
    b.serial("j", n, [&](Dim j) {
      Val zero = b.constant(0, DType::f32);
      Vals sum = b.loop("k", depth, Vals{zero}, [&](Dim kk, std::span<const Val> c) {
        Val u = b.load(x, Dims{i, kk}, 1, 1);
        Val v = b.load(w, Dims{kk, j}, 1, 1);
        return Vals{b.fma(u, v, c[0])};
      });
      Val none = b.constant(0, DType::f32);
      Val kept = b.max(sum[0], none);
      b.store(y, Dims{i, j}, kept);
    });
  });
  return k;
}

/// Y = X^T in blocks of 64, tiles of 16; both extents are multiples of 64.
inline Kernel transpose() {
  Kernel k;
  k.name = "transpose";
  Builder b(k);
  Dim p = size(b, "p"), q = size(b, "q"), m = p * 64, n = q * 64;
  int x = b.buffer("X", DType::f32, {m, n}, Role::in), y = b.buffer("Y", DType::f32, {n, m}, Role::out);
  b.parallel("j", q, [&](Dim j) {
    b.serial("i", p, [&](Dim i) {
      b.serial("u", 4, [&](Dim u) {
        b.serial("v", 4, [&](Dim v) {
          Val t = b.load(x, Dims{i * 64 + v * 16 + row(), j * 64 + u * 16 + lane()}, 16, 16);
          Val turned = b.transpose(t);
          b.store(y, Dims{j * 64 + u * 16 + row(), i * 64 + v * 16 + lane()}, turned, Builder::Limits(), true);
        });
      });
    });
  });
  return k;
}

/// Running sums along rows of 16 q numbers.
inline Kernel cumsum() {
  Kernel k;
  k.name = "cumsum";
  Builder b(k);
  Dim m = size(b, "M"), q = size(b, "q"), n = q * 16;
  int x = b.buffer("X", DType::f32, {m, n}, Role::in), y = b.buffer("Y", DType::f32, {m, n}, Role::out);
  b.parallel("i", m, [&](Dim i) {
    Val zero = b.constant(0, DType::f32);
    b.loop("j", q, Vals{zero}, [&](Dim j, std::span<const Val> c) {
      Val v = b.load(x, Dims{i, j * 16 + lane()}, 1, 16);
      Val inner = b.scan(ScalarOp::add, v);
      Val s = b.add(inner, c[0]);
      b.store(y, Dims{i, j * 16 + lane()}, s);
      return Vals{b.slice(Axis::lanes, 15, s)};
    });
  });
  return k;
}

/// Rows of X by number, the next ones prefetched.
inline Kernel gather_rows() {
  Kernel k;
  k.name = "gather";
  Builder b(k);
  Dim n = size(b, "n"), m = size(b, "m");
  int at = b.buffer("I", DType::i32, {n}, Role::in), x = b.buffer("X", DType::f32, {m, 64}, Role::in);
  int y = b.buffer("Y", DType::f32, {n, 64}, Role::out);
  b.parallel("i", n, [&](Dim i) {
    Val ahead = b.load(at, Dims{min(i + Dim(8), n - Dim(1))}, 1, 1);
    Dim u = b.index("u", ahead, m);
    b.prefetch(x, Dims{u, 0});
    b.prefetch(x, Dims{u, 16}, Fetch::far);
    b.prefetch(y, Dims{i, 0}, Fetch::write);
    Val here = b.load(at, Dims{i}, 1, 1);
    Dim s = b.index("s", here, m);
    Val v = b.load(x, Dims{s, lane()}, 1, 64);
    b.store(y, Dims{i, lane()}, v);
  });
  return k;
}

/// Y[i] = X[I[i]], the index a tile; then Z[I[i]] += X[i] is a second kernel's work (scatter_add).
inline Kernel gather_elements() {
  Kernel k;
  k.name = "gather_elements";
  Builder b(k);
  Dim n = size(b, "n"), m = size(b, "m");
  int at = b.buffer("I", DType::i64, {n}, Role::in), x = b.buffer("X", DType::f32, {m}, Role::in);
  int y = b.buffer("Y", DType::f32, {n}, Role::out);
  b.parallel("i", ceildiv(n, 16), [&](Dim i) {
    Builder::Limits limits{.lanes = n - i * 16};
    Val where = b.load(at, Dims{i * 16 + lane()}, 1, 16, limits);
    Val v = b.gather(x, Dims{0}, 0, where, limits);
    b.store(y, Dims{i * 16 + lane()}, v, limits);
  });
  return k;
}

inline Kernel scatter_add() {
  Kernel k;
  k.name = "scatter_add";
  Builder b(k);
  Dim n = size(b, "n"), m = size(b, "m");
  int at = b.buffer("I", DType::i32, {n}, Role::in), x = b.buffer("X", DType::f32, {n}, Role::in);
  int y = b.buffer("Y", DType::f32, {m}, Role::inout);
  b.parallel("once", 1, [&](Dim) {
    b.serial("i", ceildiv(n, 16), [&](Dim i) {
      Builder::Limits limits{.lanes = n - i * 16};
      Val where = b.load(at, Dims{i * 16 + lane()}, 1, 16, limits);
      Val v = b.load(x, Dims{i * 16 + lane()}, 1, 16, limits);
      b.scatter(ScalarOp::add, y, Dims{0}, 0, where, v, limits);
    });
  });
  return k;
}

/// The sum of n numbers: chunks of 256 into a buffer between two phases, then the chunks.
inline Kernel long_sum() {
  Kernel k;
  k.name = "long_sum";
  Builder b(k);
  Dim n = size(b, "n"), chunks = ceildiv(n, 256);
  int x = b.buffer("X", DType::f32, {n}, Role::in), part = b.buffer("T", DType::f32, {chunks}, Role::temp);
  int y = b.buffer("Y", DType::f32, {1}, Role::out);
  b.parallel("c", chunks, [&](Dim c) {
    Val zero = b.constant(0, DType::f32, 1, 64);
    Vals s = b.loop("j", 4, Vals{zero}, [&](Dim j, std::span<const Val> carried) {
      Dim first = c * 256 + j * 64;
      Val v = b.load(x, Dims{first + lane()}, 1, 64, {.lanes = n - first});
      return Vals{b.add(carried[0], v)};
    });
    Val sum = b.reduce(ScalarOp::add, Axis::lanes, s[0]);
    b.store(part, Dims{c}, sum);
  });
  b.parallel("once", 1, [&](Dim) {
    Val zero = b.constant(0, DType::f32);
    Vals s = b.loop("c", chunks, Vals{zero}, [&](Dim c, std::span<const Val> carried) {
      Val v = b.load(part, Dims{c}, 1, 1);
      return Vals{b.add(carried[0], v)};
    });
    b.store(y, Dims{0}, s[0]);
  });
  return k;
}

/// n steps of a 3 x 3 matrix product, the state in one tile.
inline Kernel matrix_steps() {
  Kernel k;
  k.name = "steps";
  Builder b(k);
  Dim n = size(b, "n");
  int a = b.buffer("A", DType::f32, {3, 3}, Role::in), y = b.buffer("Y", DType::f32, {3, 3}, Role::inout);
  b.parallel("once", 1, [&](Dim) {
    Dims at{row(), lane()};
    Val m = b.load(a, at, 3, 3);
    Val start = b.load(y, at, 3, 3);
    Vals last = b.loop("t", n, Vals{start}, [&](Dim, std::span<const Val> c) {
      Val column = b.slice(Axis::lanes, 0, m);
      Val line = b.slice(Axis::rows, 0, c[0]);
      Val sum = b.mul(column, line);
      for (int i = 1; i < 3; ++i) {
        column = b.slice(Axis::lanes, i, m);
        line = b.slice(Axis::rows, i, c[0]);
        sum = b.fma(column, line, sum);
      }
      return Vals{sum};
    });
    b.store(y, at, last[0]);
  });
  return k;
}

inline std::vector<Kernel> all() {
  return {add(),    chain(),       softmax(),         matmul(),      naive_matmul(), transpose(),
          cumsum(), gather_rows(), gather_elements(), scatter_add(), long_sum(),     matrix_steps()};
}

}  // namespace tn::loops::samples
