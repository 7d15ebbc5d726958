// Dims against plain arithmetic: random polynomials with division, min and max over negative values too; text that
// reads back; bounds that are proved hold.
#include "tenon/dim.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ir/text.h"
#include "tenon/error.h"

namespace tn {
namespace {

struct Random {
  u64 state;
  i64 pick(i64 low, i64 high) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return low + static_cast<i64>((state >> 33) % static_cast<u64>(high - low + 1));
  }
};

i64 floor_quotient(i64 a, i64 b) {
  i64 q = a / b;
  return q - (a % b != 0 && (a < 0) != (b < 0));
}

/// A random expression, and its value at the given sizes by the same steps.
struct Sample {
  Dim dim;
  i64 value;
};
Sample random_dim(Random& random, std::span<const Sample> leaves, int depth) {
  i64 kind = depth == 0 ? random.pick(0, 1) : random.pick(0, 8);
  if (kind == 0) {
    i64 v = random.pick(-9, 9);
    return {v, v};
  }
  if (kind == 1) return leaves[static_cast<size_t>(random.pick(0, static_cast<i64>(leaves.size()) - 1))];
  Sample a = random_dim(random, leaves, depth - 1), b = random_dim(random, leaves, depth - 1);
  switch (kind) {
    case 2:
    case 3: return {a.dim + b.dim, a.value + b.value};
    case 4: return {a.dim - b.dim, a.value - b.value};
    case 5: return {a.dim * b.dim, a.value * b.value};
    case 6: {
      i64 k = random.pick(1, 9) * (random.pick(0, 4) == 0 ? -1 : 1);
      return {floordiv(a.dim, k), floor_quotient(a.value, k)};
    }
    case 7: return {min(a.dim, b.dim), std::min(a.value, b.value)};
    default: return {max(a.dim, b.dim), std::max(a.value, b.value)};
  }
}

class Dims : public testing::Test {
 protected:
  Dims() {
    // Sizes are at least 0: simplification relies on it.
    const char* names[] = {"dim_a", "dim_b", "dim_c"};
    for (const char* name : names) symbols.push_back(Dim::symbol(name));
  }
  std::vector<Sample> leaves(Random& random, DimEnv& env) {
    std::vector<Sample> all;
    for (Dim s : symbols) {
      i64 v = random.pick(0, 12);
      env.set(s, v);
      all.push_back({s, v});
    }
    return all;
  }
  std::vector<Dim> symbols;
};

TEST_F(Dims, AgreeWithArithmetic) {
  Random random{1};
  for (int i = 0; i < 20000; ++i) {
    DimEnv env;
    auto all = leaves(random, env);
    Sample s = random_dim(random, all, 4);
    ASSERT_EQ(evaluate(s.dim, env), s.value) << to_string(s.dim);
  }
}

/// Shallow ones first, then shorter names, then letters: whatever was made before.
TEST_F(Dims, OrderIsOfWhatTheySay) {
  Dim z = Dim::symbol("order_z"), deep = floordiv(Dim::symbol("order_y"), 2), longer = Dim::symbol("order_aa");
  Dim a = Dim::symbol("order_a");
  EXPECT_EQ(symbols_of(deep + longer + z * a), (std::vector<Dim>{a, Dim::symbol("order_y"), z, longer}));
  EXPECT_EQ(min(deep, min(z, a)), min(min(a, z), deep));
}

TEST_F(Dims, TextReadsBack) {
  Random random{2};
  for (int i = 0; i < 3000; ++i) {
    DimEnv env;
    auto all = leaves(random, env);
    Dim d = random_dim(random, all, 4).dim;
    std::string text = to_string(d);
    Cursor cursor(text, "test");
    Dim again = cursor.dim();
    EXPECT_TRUE(cursor.at_end()) << text;
    ASSERT_EQ(again, d) << text << " became " << to_string(again);
  }
}

TEST_F(Dims, ProofsHold) {
  Random random{3};
  int proved = 0;
  for (int i = 0; i < 4000; ++i) {
    DimEnv env;
    auto all = leaves(random, env);
    Dim d = random_dim(random, all, 3).dim;
    // c lies between two Dims of a and b.
    std::vector<Bound> bounds{{symbols[0], Dim(random.pick(0, 2)), std::nullopt},
                              {symbols[1], Dim(0), symbols[0] + Dim(3)},
                              {symbols[2], Dim(0), symbols[0] * Dim(2) + symbols[1]}};
    if (!provably_nonnegative(d, bounds)) continue;
    ++proved;
    i64 low = bounds[0].low->value();
    for (i64 a = low; a <= 7; ++a)
      for (i64 b = 0; b <= a + 3; ++b)
        for (i64 c = 0; c <= 2 * a + b; ++c) {
          DimEnv at;
          at.set(symbols[0], a);
          at.set(symbols[1], b);
          at.set(symbols[2], c);
          ASSERT_GE(evaluate(d, at), 0) << to_string(d) << " at " << a << ", " << b << ", " << c;
        }
  }
  EXPECT_GT(proved, 300);
}

/// A flat index and its coordinates: divisions by a size, and by a multiple of it.
TEST_F(Dims, ProofsAboutCoordinatesHold) {
  Random random{5};
  Dim a = symbols[0], b = symbols[1], c = symbols[2], quotient = floordiv(c, a), outer = floordiv(c, a * 2);
  std::vector<Bound> bounds{{a, Dim(1), std::nullopt}, {b, Dim(1), std::nullopt}, {c, Dim(0), a * b - Dim(1)}};
  std::vector<Sample> all;
  for (Dim d : {a, b, c, quotient, outer, a * quotient, a * outer, b * a}) all.push_back({d, 0});
  int proved = 0, with_quotient = 0;
  for (int i = 0; i < 6000; ++i) {
    Dim d = 0;
    for (i64 terms = random.pick(1, 4); terms > 0; --terms)
      d = d + all[static_cast<size_t>(random.pick(0, 7))].dim * Dim(random.pick(-3, 3));
    d = d + Dim(random.pick(-2, 2));
    if (!provably_nonnegative(d, bounds)) continue;
    ++proved;
    with_quotient += to_string(d).find("//") != std::string::npos;
    for (i64 av = 1; av <= 5; ++av)
      for (i64 bv = 1; bv <= 5; ++bv)
        for (i64 cv = 0; cv < av * bv; ++cv) {
          DimEnv at;
          at.set(a, av);
          at.set(b, bv);
          at.set(c, cv);
          ASSERT_GE(evaluate(d, at), 0) << to_string(d) << " at " << av << ", " << bv << ", " << cv;
        }
  }
  EXPECT_GT(proved, 300);
  EXPECT_GT(with_quotient, 100);
}

TEST_F(Dims, ProveWhatKernelsNeed) {
  Dim n = Dim::symbol("dim_n"), m = Dim::symbol("dim_m"), i = Dim::symbol("dim_i");
  std::vector<Bound> block{{n, Dim(1), std::nullopt}, {i, Dim(0), ceildiv(n, 64) - Dim(1)}};
  EXPECT_TRUE(provably_nonnegative(n - 1 - i * 64, block)) << "a block of a loop without tail holds an element";
  EXPECT_FALSE(provably_nonnegative(n - 64 - i * 64, block));
  std::vector<Bound> flat{{n, Dim(1), std::nullopt}, {m, Dim(1), std::nullopt}, {i, Dim(0), n * m - Dim(1)}};
  EXPECT_TRUE(provably_nonnegative(floordiv(i, m), flat));
  EXPECT_TRUE(provably_nonnegative(n - 1 - floordiv(i, m), flat));
  EXPECT_TRUE(provably_nonnegative(mod(i, m), flat));
  EXPECT_TRUE(provably_nonnegative(m - 1 - mod(i, m), flat));
  EXPECT_FALSE(provably_nonnegative(m - 2 - mod(i, m), flat));
  // Rows of blocks and the block in its row: i = D x + t, though D is no number.
  Dim blocks = ceildiv(m, 64);
  std::vector<Bound> tiled{{n, Dim(1), std::nullopt}, {m, Dim(1), std::nullopt}, {i, Dim(0), n * blocks - Dim(1)}};
  Dim row = floordiv(i, blocks), start = (i - blocks * row) * 64;
  EXPECT_TRUE(provably_nonnegative(n * m - 1 - row * m - start, tiled));
  EXPECT_FALSE(provably_nonnegative(n * m - 2 - row * m - start, tiled));
  EXPECT_TRUE(provably_nonnegative(row * m + start, tiled));
  // Divisions of one symbol by multiples of a number move together.
  std::vector<Bound> two{{i, Dim(0), Dim(23)}};
  EXPECT_TRUE(provably_nonnegative(Dim(5) - floordiv(i, 12) * 3 - mod(i, 3), two));
  EXPECT_FALSE(provably_nonnegative(Dim(4) - floordiv(i, 12) * 3 - mod(i, 3), two));
  EXPECT_TRUE(provably_nonnegative(floordiv(i, 5) * 55 + i - floordiv(i, 10) * 115, two));
  EXPECT_FALSE(provably_nonnegative(floordiv(i, 5) * 55 + i - floordiv(i, 10) * 126, two));
}

TEST_F(Dims, SubstituteTakeApartAndDivide) {
  Dim a = symbols[0], b = symbols[1];
  std::pair<Dim, Dim> swap[] = {{a, b}, {b, a}};
  EXPECT_EQ(substitute(a * 2 + b, swap), b * 2 + a) << "all at once";
  EXPECT_EQ(*coefficient(a * b * 3 + b + 1, a), b * 3);
  EXPECT_FALSE(coefficient(a * a, a).has_value());
  EXPECT_FALSE(coefficient(floordiv(a, 2), a).has_value());
  EXPECT_EQ(floordiv(a * 64, 16), a * 4);
  EXPECT_EQ(floordiv(a * 64 + 63, 64), a);
  EXPECT_EQ(floordiv(floordiv(a, 4), 8), floordiv(a, 32));
  EXPECT_EQ(ceildiv(a * 64, 64), a);
  EXPECT_EQ(mod(a * 6 + 5, 3), Dim(2));
  EXPECT_TRUE(provably_divisible(a * 64 + 128, 64));
  EXPECT_FALSE(provably_divisible(a * 64 + 1, 64));
}

TEST_F(Dims, OverflowAndMissingValuesAreErrors) {
  Dim a = symbols[0];
  DimEnv env;
  EXPECT_THROW(evaluate(a, env), Error);
  env.set(a, i64{1} << 40);
  EXPECT_THROW(evaluate(a * a, env), Error);
  EXPECT_THROW(Dim(i64{1} << 61) * Dim(4), Error);
  EXPECT_THROW(floordiv(a, 0), Error);
  for (const char* text : {"4611686018427387904", "n - 9223372036854775807"})
    EXPECT_THROW(Cursor(text, "test").dim(), Error) << text;
  Dim big = 1;
  EXPECT_THROW(
      {
        for (int i = 0; i < 40; ++i) big = big * (Dim::symbol("dim_s" + std::to_string(i)) + Dim(1));
      },
      Error);
}

}  // namespace
}  // namespace tn
