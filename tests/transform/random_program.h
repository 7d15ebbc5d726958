// Random programs of one scalar, as a graph and as plain C++ on MultiDual numbers. Inside, values are vectors of four.
#pragma once
#include <random>
#include <vector>

#include "multi_dual.h"
#include "op/emit.h"

namespace tn::testing {

class RandomProgram {
 public:
  RandomProgram(unsigned seed, int length) {
    std::mt19937 random(seed);
    for (int i = 0; i < length; ++i) {
      u32 values = static_cast<u32>(i) + 1;
      steps_.push_back({static_cast<int>(random() % kKinds), last_biased(random, values), last_biased(random, values),
                        0.3 + 0.1 * static_cast<double>(random() % 8)});
    }
  }

  Value operator()(Value x) const;
  MultiDual operator()(const MultiDual& x) const;

 private:
  using Vector = std::array<MultiDual, 4>;
  struct Step {
    int kind;
    u32 a, b;
    double k;
  };
  static constexpr int kKinds = 18;
  static constexpr std::array<double, 4> kStart{1, 0.5, -0.4, 0.8}, kWeights{0.7, -0.3, 0.5, 0.2};

  static u32 last_biased(std::mt19937& random, u32 values) {
    return random() % 2 ? values - 1 : static_cast<u32>(random() % values);
  }
  static Value apply(const Step& s, Value a, Value b);
  static Vector apply(const Step& s, const Vector& a, const Vector& b);

  std::vector<Step> steps_;
};

inline Value vector_constant(Builder& b, const std::array<double, 4>& numbers) {
  Array a = Array::empty(DType::f64, {4});
  for (int i = 0; i < 4; ++i) a.set(i, numbers[static_cast<size_t>(i)]);
  return constant(b, a);
}

inline Value RandomProgram::operator()(Value x) const {
  Builder& b = *x.builder;
  Values v{mul(broadcast_to(x, {4}), vector_constant(b, kStart))};
  for (const Step& s : steps_) v.push_back(apply(s, v[s.a], v[s.b]));
  return sum(mul(v.back(), vector_constant(b, kWeights)), {0});
}

inline Value RandomProgram::apply(const Step& s, Value a, Value b) {
  Builder& builder = *a.builder;
  switch (s.kind) {
    case 0: return sin(a);
    case 1: return cos(mul(a, s.k));
    case 2: return tanh(a);
    case 3: return exp(mul(sin(a), s.k));
    case 4: return add(a, b);
    case 5: return mul(a, b);
    case 6: return sub(a, mul(b, s.k));
    case 7: return div(a, add(mul(b, b), 1.0));
    case 8: return select(less(a, b), mul(a, s.k), sin(b));
    case 9: return reshape(matmul(reshape(a, {2, 2}), reshape(b, {2, 2})), {4});
    case 10: return mul(cumsum(a, 0), s.k);
    case 11: return flip(a, {0});
    case 12: {
      Array index = Array::empty(DType::i64, {4});
      for (int i = 0; i < 4; ++i) index.set_int(i, i == 1 ? 0 : i == 3 ? 1 : 3);
      return gather(a, constant(builder, index), 0);
    }
    case 13: return broadcast_to(mul(sum(mul(a, b), {0}), 0.25), {4});
    case 14: return concat(Values{slice(a, 0, 1, 4), slice(b, 0, 0, 1)}, 0);
    case 15: return builder.emit1(op("softmax"), {a}, {{"axis", i64{0}}});
    case 16: return pad(slice(a, 0, 0, 3), {1}, {0});
    case 17: return cast(cast(a, DType::f64), DType::f64);
    default: return a;
  }
}

inline MultiDual RandomProgram::operator()(const MultiDual& x) const {
  std::vector<Vector> v(1);
  for (size_t i = 0; i < 4; ++i) v[0][i] = x * kStart[i];
  for (const Step& s : steps_) v.push_back(apply(s, v[s.a], v[s.b]));
  MultiDual total;
  for (size_t i = 0; i < 4; ++i) total = total + v.back()[i] * kWeights[i];
  return total;
}

inline RandomProgram::Vector RandomProgram::apply(const Step& s, const Vector& a, const Vector& b) {
  Vector r;
  auto each = [&](auto f) {
    for (size_t i = 0; i < 4; ++i) r[i] = f(a[i], b[i]);
    return r;
  };
  switch (s.kind) {
    case 0: return each([](auto& p, auto&) { return sin(p); });
    case 1: return each([&](auto& p, auto&) { return cos(p * s.k); });
    case 2: return each([](auto& p, auto&) { return tanh(p); });
    case 3: return each([&](auto& p, auto&) { return exp(sin(p) * s.k); });
    case 4: return each([](auto& p, auto& q) { return p + q; });
    case 5: return each([](auto& p, auto& q) { return p * q; });
    case 6: return each([&](auto& p, auto& q) { return p - q * s.k; });
    case 7: return each([](auto& p, auto& q) { return p / (q * q + 1); });
    case 8: return each([&](auto& p, auto& q) { return p.value() < q.value() ? p * s.k : sin(q); });
    case 9:
      return {a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2],
              a[2] * b[1] + a[3] * b[3]};
    case 10: {
      MultiDual running;
      return each([&](auto& p, auto&) {
        running = running + p;
        return running * s.k;
      });
    }
    case 11: return {a[3], a[2], a[1], a[0]};
    case 12: return {a[3], a[0], a[3], a[1]};
    case 13: {
      MultiDual dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
      return each([&](auto&, auto&) { return dot * 0.25; });
    }
    case 14: return {a[1], a[2], a[3], b[0]};
    case 15: {
      Vector e;
      MultiDual total;
      for (size_t i = 0; i < 4; ++i) total = total + (e[i] = exp(a[i]));
      for (size_t i = 0; i < 4; ++i) r[i] = e[i] / total;
      return r;
    }
    case 16: return {0, a[0], a[1], a[2]};
    default: return a;
  }
}

}  // namespace tn::testing
