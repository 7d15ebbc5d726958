// Every scalar op on every dtype it takes and every combination of tile shapes, on all instruction sets, against a
// meaning written here a second time; bits are compared.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/interpreter/program.h"
#include "base/array.h"
#include "ir/loops_check.h"

namespace tn::loops {
namespace {

constexpr int kRows = 3, kLanes = 20;  // a block of 16 and a tail of 4

std::vector<double> float_values() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return {0.,     -0.,  1.,   -1.,   0.5,  -0.5,  1.5,  2.5,     -2.5,        1e-40, -1e-310,
          3.7,    -3.7, kInf, -kInf, NAN,  1e30,  -7.,  12.,     2147483648., 255.5, -128.6,
          65519., 1e-8, 6e-8, 100.,  33.3, -99.9, 9e18, -9.3e18, 4294967295., 3e38};
}
std::vector<i64> integer_values(DType d) {
  int width = bits(d);
  i64 least = is_signed(d) ? (width == 64 ? INT64_MIN : -(i64{1} << (width - 1))) : 0;
  i64 most = is_signed(d) ? -(least + 1) : (i64{1} << width) - 1;
  return {
      0, 1, 2, 3, 5, 7, 8, 31, 100, most, most - 1, least, least + 1, is_signed(d) ? -1 : 9, is_signed(d) ? -7 : 11};
}

/// Element i of operand j: a walk through the special values that meets all pairs.
void fill(const Array& a, int j) {
  auto floats = float_values();
  for (i64 i = 0; i < a.size(); ++i) {
    size_t at = static_cast<size_t>(i * (j == 0 ? 1 : j == 1 ? 7 : 11) + j * 3);
    if (is_float(a.dtype))
      a.set(i, floats[at % floats.size()]);
    else if (a.dtype == DType::boolean)
      a.set_int(i, static_cast<i64>(at * 5 % 3 == 0));
    else
      a.set_int(i, integer_values(a.dtype)[at % integer_values(a.dtype).size()]);
  }
}

struct Shape2 {
  int rows, lanes;
};
constexpr Shape2 kShapes[] = {{kRows, kLanes}, {1, kLanes}, {kRows, 1}, {1, 1}};

/// Y = op of tiles of these shapes, loaded whole from dense arrays.
Kernel map_kernel(ScalarOp op, std::span<const DType> dtypes, DType result, std::span<const Shape2> shapes) {
  Kernel k;
  k.name = "map";
  Builder b(k);
  std::vector<int> in;
  Shape2 whole{1, 1};
  for (size_t j = 0; j < shapes.size(); ++j) {
    in.push_back(b.buffer("x" + std::to_string(j), dtypes[j], {shapes[j].rows, shapes[j].lanes}, Buffer::Role::in));
    whole = {std::max(whole.rows, shapes[j].rows), std::max(whole.lanes, shapes[j].lanes)};
  }
  int out = b.buffer("y", result, {whole.rows, whole.lanes}, Buffer::Role::out);
  b.parallel("once", 1, [&](Dim) {
    std::vector<Dim> at{row(), lane()};
    Val x[3] = {};
    for (size_t j = 0; j < shapes.size(); ++j) x[j] = b.load(in[j], at, shapes[j].rows, shapes[j].lanes);
    Val y = op == ScalarOp::cast      ? b.cast(x[0], result)
            : op == ScalarOp::bitcast ? b.bitcast(x[0], result)
            : shapes.size() == 1      ? b.map(op, {x[0]})
            : shapes.size() == 2      ? b.map(op, {x[0], x[1]})
                                      : b.map(op, {x[0], x[1], x[2]});
    b.store(out, at, y);
  });
  return k;
}

/// The meaning of scalar.h once more, on numbers.
template <class T>
T float_meaning(ScalarOp op, T a, T b, T c) {
  switch (op) {
    case ScalarOp::add: return a + b;
    case ScalarOp::sub: return a - b;
    case ScalarOp::mul: return a * b;
    case ScalarOp::div: return a / b;
    case ScalarOp::fma: return std::fma(a, b, c);
    case ScalarOp::neg: return -a;
    case ScalarOp::abs: return std::fabs(a);
    case ScalarOp::sqrt: return std::sqrt(a);
    case ScalarOp::floor: return std::floor(a);
    case ScalarOp::round: return std::nearbyint(a);
    case ScalarOp::max: return a > b ? a : b;
    case ScalarOp::min: return a < b ? a : b;
    default: return 0;
  }
}

i64 wrap(i64 v, DType d) {
  switch (d) {
    case DType::i32: return static_cast<i32>(v);
    case DType::i8: return static_cast<signed char>(v);
    case DType::u32: return static_cast<u32>(v);
    case DType::u8: return static_cast<u8>(v);
    case DType::boolean: return v & 1;
    default: return v;
  }
}

__extension__ using Int128 = __int128;

i64 integer_meaning(ScalarOp op, DType d, i64 a, i64 b) {
  auto wide = [](i64 v) { return static_cast<Int128>(v); };
  int width = bits(d), count = static_cast<int>(static_cast<u64>(b) % static_cast<u64>(width));
  switch (op) {
    case ScalarOp::add: return static_cast<i64>(wide(a) + b);
    case ScalarOp::sub: return static_cast<i64>(wide(a) - b);
    case ScalarOp::mul: return static_cast<i64>(static_cast<u64>(a) * static_cast<u64>(b));
    case ScalarOp::floor_div:
    case ScalarOp::floor_mod: {
      if (b == 0) return 0;
      Int128 q = wide(a) / b;
      if (wide(a) % b != 0 && (a < 0) != (b < 0)) --q;
      return static_cast<i64>(op == ScalarOp::floor_div ? q : wide(a) - q * b);
    }
    case ScalarOp::neg: return static_cast<i64>(-wide(a));
    case ScalarOp::abs: return static_cast<i64>(a < 0 ? -wide(a) : wide(a));
    case ScalarOp::max: return a > b ? a : b;
    case ScalarOp::min: return a < b ? a : b;
    case ScalarOp::logical_and: return a & b;
    case ScalarOp::logical_or: return a | b;
    case ScalarOp::logical_xor: return a ^ b;
    case ScalarOp::shift_left: return static_cast<i64>(static_cast<u64>(a) << count);
    case ScalarOp::shift_right: return a >> count;
    default: return 0;
  }
}

template <class T>
bool compare(ScalarOp op, T a, T b) {
  switch (op) {
    case ScalarOp::less: return a < b;
    case ScalarOp::less_equal: return a <= b;
    case ScalarOp::equal: return a == b;
    default: return a != b;
  }
}

bool compares(ScalarOp op) { return info(op).gives == ScalarInfo::Gives::boolean; }

/// Sets element i of y by the meaning; `at` are the operands' elements.
void expect_element(ScalarOp op, const Array& y, i64 i, std::span<const Array> x, std::span<const i64> at) {
  if (op == ScalarOp::select) {
    i64 j = x[0].get_int(at[0]) ? 1 : 2;
    const Array& from = x[static_cast<size_t>(j)];
    auto size = static_cast<size_t>(bytes(y.dtype));
    std::memcpy(y.bytes_begin() + static_cast<size_t>(i) * size,
                from.bytes_begin() + static_cast<size_t>(at[static_cast<size_t>(j)]) * size, size);
    return;
  }
  DType d = x[0].dtype;
  size_t second = x.size() > 1 ? 1 : 0, third = x.size() > 2 ? 2 : 0;
  if (is_float(d)) {
    double a = x[0].get(at[0]), b = x[second].get(at[second]), c = x[third].get(at[third]);
    if (compares(op))
      y.set_int(i, compare(op, a, b));
    else if (d == DType::f64)
      y.set(i, float_meaning<double>(op, a, b, c));
    else
      y.set(i, float_meaning<float>(op, static_cast<float>(a), static_cast<float>(b), static_cast<float>(c)));
  } else {
    i64 a = x[0].get_int(at[0]), b = x[second].get_int(at[second]);
    y.set_int(i, compares(op) ? compare(op, a, b) : wrap(integer_meaning(op, d, a, b), d));
  }
}

/// NaNs count as equal: which of two NaNs an addition keeps is the hardware's choice.
bool same_element(const Array& a, const Array& b, i64 i) {
  if (is_float(a.dtype) && std::isnan(a.get(i))) return std::isnan(b.get(i));
  auto size = static_cast<size_t>(bytes(a.dtype));
  return std::memcmp(a.bytes_begin() + static_cast<size_t>(i) * size, b.bytes_begin() + static_cast<size_t>(i) * size,
                     size) == 0;
}

void check(ScalarOp op, std::span<const DType> dtypes, DType result, std::span<const Shape2> shapes) {
  Kernel k = map_kernel(op, dtypes, result, shapes);
  auto found = verify(k);
  ASSERT_TRUE(found.empty()) << found[0] << "\n" << to_string(k);
  std::vector<Array> x;
  std::vector<void*> buffers;
  for (size_t j = 0; j < shapes.size(); ++j) {
    x.push_back(Array::empty(dtypes[j], {shapes[j].rows, shapes[j].lanes}));
    fill(x.back(), static_cast<int>(j));
    buffers.push_back(x.back().bytes_begin());
  }
  i64 rows = evaluate(k.buffers.back().shape[0], DimEnv()), lanes = evaluate(k.buffers.back().shape[1], DimEnv());
  Array expected = Array::empty(result, {rows, lanes});
  for (i64 r = 0; r < rows; ++r)
    for (i64 l = 0; l < lanes; ++l) {
      std::vector<i64> at;
      for (const Shape2& s : shapes) at.push_back((s.rows == 1 ? 0 : r) * s.lanes + (s.lanes == 1 ? 0 : l));
      expect_element(op, expected, r * lanes + l, x, at);
    }
  for (int tier = 0; tier <= static_cast<int>(best_tier()); ++tier) {
    Array y = Array::zeros(result, {rows, lanes});
    std::vector<void*> all = buffers;
    all.push_back(y.bytes_begin());
    i64 error = 0;
    Program(k, static_cast<Tier>(tier)).run(0, all.data(), nullptr, 0, 1, nullptr, &error);
    for (i64 i = 0; i < y.size(); ++i)
      ASSERT_TRUE(same_element(expected, y, i))
          << info(op).name << " of " << name(dtypes.back()) << " at " << i << " on tier " << tier << ": " << y.get(i)
          << " instead of " << expected.get(i);
  }
}

TEST(Scalar, EveryOpOnEveryDtypeAndShape) {
  int checked = 0;
  for (int o = 0; o < kScalarOps; ++o) {
    auto op = static_cast<ScalarOp>(o);
    if (op == ScalarOp::cast || op == ScalarOp::bitcast) continue;
    for (int t = 0; t < kDTypeCount; ++t) {
      auto d = static_cast<DType>(t);
      if (!takes(op, d)) continue;
      size_t n = static_cast<size_t>(info(op).arity);
      std::vector<DType> dtypes(n, d);
      if (op == ScalarOp::select) dtypes[0] = DType::boolean;
      DType result = compares(op) ? DType::boolean : d;
      size_t combinations = n == 1 ? 4 : n == 2 ? 16 : 64;
      for (size_t c = 0; c < combinations; ++c) {
        std::vector<Shape2> shapes;
        for (size_t j = 0, rest = c; j < n; ++j, rest /= 4) shapes.push_back(kShapes[rest % 4]);
        check(op, dtypes, result, shapes);
        if (HasFatalFailure()) return;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 2000);
}

i64 saturated(double v, DType d) {
  if (std::isnan(v)) return 0;
  int width = bits(d);
  double top = std::ldexp(1.0, is_signed(d) ? width - 1 : width), least = is_signed(d) ? -top : 0;
  if (v >= top) return is_signed(d) ? static_cast<i64>(~(~u64{0} << (width - 1))) : (i64{1} << width) - 1;
  return v <= least ? (width == 64 ? INT64_MIN : static_cast<i64>(least)) : static_cast<i64>(v);
}

TEST(Scalar, CastsBetweenAllDtypes) {
  for (int from = 0; from < kDTypeCount; ++from)
    for (int to = 0; to < kDTypeCount; ++to) {
      if (from == to) continue;
      auto a = static_cast<DType>(from), b = static_cast<DType>(to);
      DType dtypes[] = {a};
      Shape2 shapes[] = {{kRows, kLanes}};
      Kernel k = map_kernel(ScalarOp::cast, dtypes, b, shapes);
      Array x = Array::empty(a, {kRows, kLanes}), y = Array::zeros(b, {kRows, kLanes}), expected = y;
      expected = Array::zeros(b, {kRows, kLanes});
      fill(x, 0);
      for (i64 i = 0; i < x.size(); ++i) {
        if (is_float(a) && is_integer(b))
          expected.set_int(i, saturated(x.get(i), b));
        else if (b == DType::boolean)
          expected.set_int(i, is_float(a) ? x.get(i) != 0 : x.get_int(i) != 0);
        else if (is_float(a) && bits(b) == 16)
          expected.set(i, static_cast<double>(static_cast<float>(x.get(i))));
        else if (is_float(a))
          expected.set(i, x.get(i));
        else if (b == DType::f64)
          expected.set(i, static_cast<double>(x.get_int(i)));
        else if (is_float(b))
          expected.set(i, static_cast<double>(static_cast<float>(x.get_int(i))));
        else
          expected.set_int(i, wrap(x.get_int(i), b));
      }
      for (int tier = 0; tier <= static_cast<int>(best_tier()); ++tier) {
        void* buffers[] = {x.bytes_begin(), y.bytes_begin()};
        i64 error = 0;
        Program(k, static_cast<Tier>(tier)).run(0, buffers, nullptr, 0, 1, nullptr, &error);
        for (i64 i = 0; i < y.size(); ++i)
          ASSERT_TRUE(same_element(expected, y, i)) << name(a) << " to " << name(b) << " of " << x.get(i) << " on tier "
                                                    << tier << ": " << y.get(i) << " instead of " << expected.get(i);
      }
    }
}

TEST(Scalar, HalvesRoundLikeTheLibraryForAllBits) {
  // Every f16 to f32 and back, and f32 values between neighbours.
  for (DType narrow : {DType::f16, DType::bf16}) {
    Array x = Array::empty(narrow, {65536}), wide = Array::empty(DType::f32, {65536});
    for (i64 i = 0; i < 65536; ++i) x.data<u16>()[i] = static_cast<u16>(i);
    Kernel k;
    k.name = "widen";
    Builder b(k);
    int in = b.buffer("x", narrow, {65536}, Buffer::Role::in),
        out = b.buffer("y", DType::f32, {65536}, Buffer::Role::out);
    b.parallel("i", 1024, [&](Dim i) {
      std::vector<Dim> at{i * 64 + lane()};
      Val v = b.load(in, at, 1, 64);
      Val w = b.cast(v, DType::f32);
      b.store(out, at, w);
    });
    void* buffers[] = {x.bytes_begin(), wide.bytes_begin()};
    i64 error = 0;
    Program(k).run(0, buffers, nullptr, 0, 1024, nullptr, &error);
    for (i64 i = 0; i < 65536; ++i) {
      auto h = static_cast<u16>(i);
      float exact = narrow == DType::f16 ? half_to_float(h) : bfloat_to_float(h);
      float got = wide.data<float>()[i];
      ASSERT_TRUE(std::isnan(exact) ? std::isnan(got) : std::bit_cast<u32>(exact) == std::bit_cast<u32>(got)) << i;
    }
  }
}

TEST(Scalar, BitcastKeepsBits) {
  DType pairs[][2] = {
      {DType::f32, DType::i32}, {DType::f64, DType::i64}, {DType::u8, DType::i8}, {DType::f16, DType::bf16}};
  for (auto& [from, to] : pairs) {
    DType dtypes[] = {from};
    Shape2 shapes[] = {{kRows, kLanes}};
    Kernel k = map_kernel(ScalarOp::bitcast, dtypes, to, shapes);
    Array x = Array::empty(from, {kRows, kLanes}), y = Array::empty(to, {kRows, kLanes});
    fill(x, 1);
    void* buffers[] = {x.bytes_begin(), y.bytes_begin()};
    i64 error = 0;
    Program(k).run(0, buffers, nullptr, 0, 1, nullptr, &error);
    EXPECT_EQ(std::memcmp(x.bytes_begin(), y.bytes_begin(), x.nbytes()), 0);
  }
}

}  // namespace
}  // namespace tn::loops
