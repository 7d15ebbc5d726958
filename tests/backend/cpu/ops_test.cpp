// Every scalar op, dtype and pair of tile shapes: interpreter, AVX2 and AVX-512 agree in bits.
#include "support.h"

namespace tn::cpu::testing {
namespace {

using Takes = loops::ScalarInfo::Takes;

constexpr DType kComputes[] = {DType::f64, DType::f32, DType::i64, DType::i32,
                               DType::i8,  DType::u32, DType::u8,  DType::boolean};

bool takes(ScalarOp op, DType d) {
  switch (loops::info(op).takes) {
    case Takes::numbers: return d != DType::boolean;
    case Takes::floats: return is_float(d);
    case Takes::integers: return is_integer(d);
    case Takes::whole: return !is_float(d);
    case Takes::any: return true;
  }
  return false;
}

struct Shape2 {
  int rows, lanes;
};
constexpr Shape2 kShapes[] = {{1, 1}, {1, 20}, {3, 1}, {3, 20}};

/// All ops of the dtype over operands of these shapes, each with an output of its own.
Kernel all_ops(DType d, Shape2 x, Shape2 y) {
  Kernel k;
  k.name = "ops";
  Builder b(k);
  auto load = [&](std::string name, DType t, Shape2 s) {
    int buffer = b.buffer(std::move(name), t, {3, 20}, Buffer::Role::in);
    Dim at[] = {loops::row(), loops::lane()};
    return b.load(buffer, at, s.rows, s.lanes);
  };
  int count = 0;
  b.parallel("i", 1, [&](Dim) {
    Val a = load("A", d, x), c = load("B", d, y), e = load("E", d, {1, 20}), p = load("P", DType::boolean, x);
    for (int i = 0; i < loops::kScalarOps; ++i) {
      auto op = static_cast<ScalarOp>(i);
      if (!takes(op, d) || op == ScalarOp::cast || op == ScalarOp::bitcast) continue;
      int arity = loops::info(op).arity;
      Val v = op == ScalarOp::select ? b.select(p, a, c)
              : arity == 1           ? b.map(op, {a})
              : arity == 2           ? b.map(op, {a, c})
                                     : b.map(op, {a, c, e});
      auto t = b.tile(v);
      int out = b.buffer("Y" + std::to_string(count++), t.dtype, {t.rows, t.lanes}, Buffer::Role::out);
      Dim at[] = {loops::row(), loops::lane()};
      b.store(out, at, v);
    }
  });
  return k;
}

TEST(CpuOps, EveryOpDtypeAndShapePair) {
  for (DType d : kComputes)
    for (Shape2 x : kShapes)
      for (Shape2 y : kShapes) {
        SCOPED_TRACE(std::string(name(d)));
        expect_same_bits(make_case(all_ops(d, x, y), {}, static_cast<u64>(x.lanes + y.rows)));
        if (HasFailure()) return;
      }
}

TEST(CpuOps, IntegerDivisionByConstants) {
  for (DType d : {DType::i64, DType::i32, DType::i8, DType::u32, DType::u8}) {
    Kernel k;
    k.name = "division";
    Builder b(k);
    int in = b.buffer("A", d, {64}, Buffer::Role::in);
    b.parallel("i", 1, [&](Dim) {
      Dim at[] = {loops::lane()};
      Val a = b.load(in, at, 1, 64);
      int count = 0;
      for (i64 by : {0, 1, -1, 2, 7, 16, -5})
        for (ScalarOp op : {ScalarOp::floor_div, ScalarOp::floor_mod, ScalarOp::shift_left, ScalarOp::shift_right}) {
          Val divisor = b.constant_int(by < 0 && !is_signed(d) ? 3 : by, d);
          Val v = b.map(op, {a, divisor});
          b.store(b.buffer("Y" + std::to_string(count++), d, {64}, Buffer::Role::out), at, v);
        }
    });
    expect_same_bits(make_case(std::move(k), {}));
  }
}

TEST(CpuOps, EveryCast) {
  constexpr DType kAll[] = {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64,
                            DType::i32, DType::i8,  DType::u32, DType::u8,   DType::boolean};
  for (DType from : kAll)
    for (int lanes : {1, 7, 64}) {
      Kernel k;
      k.name = "casts";
      Builder b(k);
      int in = b.buffer("A", from, {256}, Buffer::Role::in);
      std::vector<int> outs;
      for (DType to : kAll) outs.push_back(b.buffer("Y_" + std::string(name(to)), to, {256}, Buffer::Role::out));
      b.parallel("i", 256 / lanes, [&](Dim i) {
        Dim at[] = {i * Dim(lanes) + loops::lane()};
        Val v = b.load(in, at, 1, lanes);
        for (size_t t = 0; t < std::size(kAll); ++t) {
          Val w = b.cast(v, kAll[t]);
          b.store(outs[t], at, w);
        }
      });
      SCOPED_TRACE(std::string(name(from)) + " by " + std::to_string(lanes));
      for (u64 seed = 1; seed < 4; ++seed) expect_same_bits(make_case(k, {}, seed));
    }
}

/// All 65,536 patterns of both 16-bit floats to f32 and back.
TEST(CpuOps, SixteenBitFloatsExhaustively) {
  for (DType d : {DType::f16, DType::bf16}) {
    Kernel k;
    k.name = "halves";
    Builder b(k);
    int in = b.buffer("A", d, {65536}, Buffer::Role::in), out = b.buffer("Y", DType::f32, {65536}, Buffer::Role::out);
    int back = b.buffer("Z", d, {65536}, Buffer::Role::out), up = b.buffer("U", d, {65536}, Buffer::Role::out);
    b.parallel("i", 1024, [&](Dim i) {
      Dim at[] = {i * Dim(64) + loops::lane()};
      Val v = b.load(in, at, 1, 64), w = b.cast(v, DType::f32);
      b.store(out, at, w);
      b.store(back, at, b.cast(w, d));
      Val nudged = b.mul(w, b.number(1.0009765625, w));
      b.store(up, at, b.cast(nudged, d));
    });
    Case c = make_case(std::move(k), {});
    for (u32 i = 0; i < 65536; ++i) {
      auto bits = static_cast<u16>(i);
      std::memcpy(c.buffers[0].data() + 2 * i, &bits, 2);
    }
    expect_same_bits(c);
  }
}

TEST(CpuOps, Bitcasts) {
  constexpr std::pair<DType, DType> kPairs[] = {{DType::f32, DType::i32}, {DType::u32, DType::f32},
                                                {DType::f64, DType::i64}, {DType::i64, DType::f64},
                                                {DType::i8, DType::u8},   {DType::i32, DType::u32}};
  for (auto [from, to] : kPairs) {
    Kernel k;
    k.name = "bitcast";
    Builder b(k);
    int in = b.buffer("A", from, {40}, Buffer::Role::in), out = b.buffer("Y", to, {40}, Buffer::Role::out);
    b.parallel("i", 1, [&](Dim) {
      Dim at[] = {loops::lane()};
      Val v = b.load(in, at, 1, 40);
      b.store(out, at, b.bitcast(v, to));
    });
    expect_same_bits(make_case(std::move(k), {}));
  }
}

}  // namespace
}  // namespace tn::cpu::testing
