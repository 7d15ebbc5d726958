// What recording and running small operations costs, on one thread.
#include "bench.h"
#include "tenon/ops.h"
#include "tenon/random.h"
#include "tenon/transform.h"

namespace tn::bench {

namespace {

constexpr double kSeconds = 0.5;
constexpr int kChain = 20;

Tensor chain(Tensor x, const Tensor& y) {
  for (int k = 0; k < kChain / 2; ++k) x = x * y + y;
  return x;
}

double add_us() {
  Tensor x = random::normal(random::key(1), {16}).eval(), y = random::normal(random::key(2), {16}).eval();
  constexpr int kGroup = 1000;
  auto adds = [&] {
    for (int i = 0; i < kGroup; ++i) Tensor z = x + y;
  };
  return median(rounds(adds, kSeconds)) * 1e3 / kGroup;
}

/// The chain is evaluated whole, for the tensor at its end is read.
double chain_us() {
  Tensor x = random::normal(random::key(1), {1024}).eval(), y = random::normal(random::key(2), {1024}).eval();
  auto evaluate = [&] { chain(x, y).eval(); };
  rounds(evaluate, 0.1);
  return median(rounds(evaluate, kSeconds)) * 1e3 / kChain;
}

/// Interleaved, so that both meet the same machine.
double gradient_times() {
  Tensor x = random::normal(random::key(1), {1024}).eval(), y = random::normal(random::key(2), {1024}).eval();
  auto value = [](const Tensor& a, const Tensor& b) { return sum(chain(a, b)); };
  auto forward = [&] { value(x, y).eval(); };
  auto backward = [&] { grad(value)(x, y).eval(); };
  std::vector<double> forwards, backwards;
  for (int i = 0; i < 10; ++i) {
    forwards.push_back(median(rounds(forward, kSeconds / 10)));
    backwards.push_back(median(rounds(backward, kSeconds / 10)));
  }
  return median(backwards) / median(forwards);
}

}  // namespace

std::vector<Figure> eager_figures() {
  return {{"eager_add", add_us}, {"eager_chain", chain_us}, {"eager_grad", gradient_times}};
}

}  // namespace tn::bench
