// Random stacks of transforms over random programs on tensors: with reads, `if`, prints and state inside, against plain
// C++ loops on MultiDual numbers (see tests/transform/multi_dual.h), which share no code with what is tested.
//
//   g grad   j jvp   b vjp   v vmap   t jit   c checkpoint   s scan   k cond   w while   u jit with state   i `if`
#include <cstdlib>
#include <random>

#include "../transform/multi_dual.h"
#include "expect.h"

namespace tn {
namespace {

using testing::MultiDual;
using OnTensors = std::function<Tensor(const Tensor&)>;
using Plain = std::function<MultiDual(const MultiDual&)>;

constexpr int kBound = 40;
struct OutOfSteps {};

/// jit takes callables that it can walk: the place of a function in a table is one.
struct InTable {
  i64 place;
  static std::vector<OnTensors>& table() {
    static std::vector<OnTensors> t;
    return t;
  }
  Tensor operator()(const Tensor& x) const { return table()[static_cast<size_t>(place)](x); }
};
InTable put(OnTensors f) {
  InTable::table().push_back(std::move(f));
  return {static_cast<i64>(InTable::table().size()) - 1};
}

struct State {
  Tensor moment;
};
struct Stateful {
  InTable f;
  Tensor operator()(State& s, const Tensor& x) const {
    Tensor y = f(x);
    s.moment = s.moment * 0.9 + y;
    return y + s.moment * 0.1;
  }
};

OnTensors on_tensors(char letter, OnTensors f) {
  switch (letter) {
    case 'g': return [f](const Tensor& x) { return grad(f)(x); };
    case 'j': return [f](const Tensor& x) { return jvp(f)(x, f64(1)).second; };
    case 'b': return [f](const Tensor& x) { return vjp(f)(x).second(f64(1)); };
    case 'v':
      return [f](const Tensor& x) { return sum(vmap([&](const Tensor& s) { return f(x * s); })(f64({1, .9}))); };
    case 't': return [f](const Tensor& x) { return jit(put(f))(x); };
    case 'c': return [f](const Tensor& x) { return checkpoint(f)(x); };
    case 's':
      return [f](const Tensor& x) {
        auto body = [&](const Tensor& c, const Tensor& k) { return std::pair{sin(f(c)) * k + c * x, c * k}; };
        auto [last, ys] = scan(body, x, f64({.3, .2}));
        return last + sum(ys);
      };
    case 'k': return [f](const Tensor& x) { return cond(x < .55, f, [&](const Tensor& y) { return sin(f(y)); }, x); };
    case 'w':
      return [f](const Tensor& x) {
        Tensor s = sin(f(x));
        return while_loop([](const Tensor& c) { return c < 1.7; },
                          [&](const Tensor& c) { return c + s * s * x * x + .4; }, x, kBound);
      };
    case 'u':
      return [f](const Tensor& x) {
        State s{f64(0)};
        auto step = jit(Stateful{put(f)});
        step(s, x);
        return step(s, x);
      };
    default:
      return [f](const Tensor& x) {
        if (x.item() < .5) return f(x);
        Tensor y = f(x * 1.1);
        return y.item() > 0 ? y * x : sin(y);
      };
  }
}

Plain plain(char letter, Plain f, int level) {
  switch (letter) {
    case 'g':
    case 'j':
    case 'b': return [f, level](const MultiDual& x) { return testing::derivative(f, x, level); };
    case 'v': return [f](const MultiDual& x) { return f(x) + f(x * .9); };
    case 's':
      return [f](const MultiDual& x) {
        MultiDual c = x, ys;
        for (double k : {.3, .2}) {
          ys = ys + c * k;
          c = sin(f(c)) * k + c * x;
        }
        return c + ys;
      };
    case 'k': return [f](const MultiDual& x) { return x.value() < .55 ? f(x) : sin(f(x)); };
    case 'w':
      return [f](const MultiDual& x) {
        MultiDual c = x, s = sin(f(x));
        for (int steps = 0; c.value() < 1.7; ++steps) {
          if (steps == kBound) throw OutOfSteps();
          c = c + s * s * x * x + .4;
        }
        return c;
      };
    case 'u':
      return [f](const MultiDual& x) {
        MultiDual y = f(x);
        return y + (y * .9 + y) * .1;
      };
    case 'i':
      return [f](const MultiDual& x) {
        if (x.value() < .5) return f(x);
        MultiDual y = f(x * 1.1);
        return y.value() > 0 ? y * x : sin(y);
      };
    default: return f;
  }
}

/// A random program of a scalar: a few lines over the values so far, on either kind of number.
struct Program {
  struct Line {
    unsigned kind, a, b;
  };
  std::vector<Line> lines;
  bool prints = false;

  Program(std::mt19937& random, bool printing) : prints(printing) {
    for (unsigned i = 0, n = 2 + random() % 4; i < n; ++i)
      lines.push_back({static_cast<unsigned>(random() % 7), static_cast<unsigned>(random() % (i + 1)),
                       static_cast<unsigned>(random() % (i + 1))});
  }

  template <class Number>
  Number line(const Line& l, const std::vector<Number>& v) const {
    const Number &a = v[l.a], &b = v[l.b];
    switch (l.kind) {
      case 0: return sin(a) * b;
      case 1: return a + b * 0.7;
      case 2: return a * b;
      case 3: return exp(a * -0.5) / (b * b + 1.0);
      case 4: return tanh(a + b);
      case 5: return a - cos(b);
      default: return a / (b * b + 0.5);
    }
  }
  template <class Number>
  Number run(const Number& x) const {
    std::vector<Number> v{x};
    for (const Line& l : lines) v.push_back(line(l, v));
    return v.back();
  }
  Tensor operator()(const Tensor& x) const {
    if (prints) print("x", x);
    return run(x);
  }
  MultiDual operator()(const MultiDual& x) const { return run(x); }
};

/// Letters from the innermost. A read needs values, so it stands under derivatives only; a print cannot stand in a
/// branch that lanes choose.
std::string random_letters(std::mt19937& random, bool reads, bool prints) {
  const std::string letters = reads ? "gjbi" : prints ? "gjbtcsu" : "gjbvtcskwu";
  std::string result;
  int derivatives = 0;
  while (result.size() < 4) {
    char c = letters[random() % letters.size()];
    if ((c == 'g' || c == 'j' || c == 'b') && ++derivatives > 3) continue;
    result += c;
  }
  return result;
}

void check(std::mt19937& random, bool reads, bool prints) {
  Program program(random, prints);
  std::string letters = random_letters(random, reads, prints);
  OnTensors f = program;
  Plain p = program;
  int level = 0;
  for (char c : letters) {
    f = on_tensors(c, f);
    p = plain(c, p, level);
    level += c == 'g' || c == 'j' || c == 'b';
  }
  double x = .3 + .01 * static_cast<double>(random() % 40), expected = 0;
  SCOPED_TRACE("stack " + letters + " at " + std::to_string(x));
  try {
    expected = p(x).value();
  } catch (const OutOfSteps&) {
    return expect_error([&] { f(f64(x)).item(); }, "[while]");
  }
  double got = 0;
  ASSERT_NO_THROW(got = f(f64(x)).item());
  if (std::isnan(expected)) return;
  EXPECT_NEAR(got, expected, 1e-8 * (1 + std::fabs(expected)));
}

void check_many(unsigned seed, bool reads, bool prints) {
  std::mt19937 random(seed);
  const char* scale = std::getenv("TENON_TEST_SCALE");
  int count = static_cast<int>(500 * (scale ? std::atof(scale) : 1));
  for (int i = 0; i < count && !::testing::Test::HasFailure(); ++i) {
    check(random, reads, prints);
    InTable::table().clear();
  }
}

TEST(Stacks, OfEveryTransform) { check_many(1, false, false); }
TEST(Stacks, WithReadsAndIf) { check_many(2, true, false); }
TEST(Stacks, WithPrints) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  check_many(3, false, true);
  std::string text = ::testing::internal::GetCapturedStdout() + ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find('x'), text.npos);
}

}  // namespace
}  // namespace tn
