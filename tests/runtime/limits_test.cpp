// Memory and time that a run may take.
#include "runtime/limits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "base/array.h"
#include "op/emit.h"
#include "runtime/context.h"
#include "runtime/execute.h"
#include "tenon/error.h"

namespace tn {
namespace {

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

bool contains(const std::string& text, const char* part) { return text.find(part) != text.npos; }

GraphPtr endless() {
  return parse_graph(R"(graph(%0: f32[]) {
    %1: f32[] = while(%0) {body=graph(%0: f32[]) {
        %1: f32[] = neg(%0)
        return %1
      }, bound=-1, cond=graph(%0: f32[]) {
        %1: bool[] = equal(%0, %0)
        return %1
      }, consts=0}
    return %1
  })");
}

TEST(Limits, ALoopWithoutEndStops) {
  Array x = Array::zeros(DType::f32, {});
  LimitScope scope(RunLimits::of(0, 0.05));
  EXPECT_TRUE(contains(error_of([&] { execute(endless(), std::span(&x, 1)); }), "within the time given"));
}

TEST(Limits, TimesBeyondTheClockAreNoLimit) {
  for (double seconds : {0.0, -1.0, 1e10, 1e300, HUGE_VAL, std::nan("")})
    EXPECT_EQ(RunLimits::of(0, seconds).deadline, RunLimits::Clock::time_point::max()) << seconds;
  auto now = RunLimits::Clock::now();
  EXPECT_GT(RunLimits::of(0, 9e8).deadline, now + std::chrono::hours(24 * 365 * 20));
}

TEST(Limits, AnotherThreadCancels) {
  std::atomic<bool> cancelled = false;
  RunLimits limits;
  limits.cancelled = &cancelled;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    cancelled = true;
  });
  Array x = Array::zeros(DType::f32, {});
  {
    LimitScope scope(limits);
    EXPECT_TRUE(contains(error_of([&] { execute(endless(), std::span(&x, 1)); }), "cancelled"));
  }
  other.join();
}

TEST(Limits, AnArenaThatDoesNotFitIsNotTaken) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[n, n]) {
    %1: f32[n, n] = matmul(%0, %0)
    %2: f32[n, n] = matmul(%1, %0)
    return %2
  })");
  Array x = Array::zeros(DType::f32, {600, 600});
  size_t before = Storage::live_bytes();
  Storage::reset_peak();
  {
    LimitScope scope(RunLimits::of(1000000, 0));
    std::string error = error_of([&] { execute(g, std::span(&x, 1)); });
    EXPECT_TRUE(contains(error, "expected to need at most 1000000 bytes, got ")) << error;
    EXPECT_EQ(Storage::peak_bytes(), before);
    Array small = Array::zeros(DType::f32, {60, 60});
    EXPECT_EQ(execute(g, std::span(&small, 1)).size(), 1u);
    Context context(Plan::build(g, {}));
    DimEnv env;
    env.set(Dim::symbol("n"), 600);
    context.bind(env);
    Array out = Array::zeros(DType::f32, {600, 600});
    std::byte *in[] = {x.bytes_begin()}, *to[] = {out.bytes_begin()};
    EXPECT_TRUE(contains(error_of([&] { context.run(in, to); }), "at most 1000000 bytes"));
  }
  EXPECT_EQ(execute(g, std::span(&x, 1)).size(), 1u);  // scopes end
}

/// Two extents below 0 have a product above it.
TEST(Sizes, ExtentsBelowZeroAreAnErrorThatNamesThem) {
  Dim n = Dim::symbol("n"), m = Dim::symbol("m");
  Builder b;
  Value x = b.input(Type::tensor(DType::f32, {n, m}));
  Value part = broadcast(sum(x, {0, 1}), {n - Dim(3), m - Dim(3)}, {});
  Context context(Plan::build(b.build(std::vector{part}), {}));
  DimEnv env;
  env.set(n, 1);
  env.set(m, 1);
  std::string error = error_of([&] { context.bind(env); });
  EXPECT_TRUE(contains(error, "every extent to be at least 0, got n - 3 = -2 in f32[n - 3, m - 3]")) << error;
}

TEST(Limits, ScopesNest) {
  EXPECT_EQ(run_limits(), nullptr);
  LimitScope outer(RunLimits::of(10, 0));
  {
    LimitScope inner(RunLimits::of(20, 0));
    EXPECT_EQ(run_limits()->memory, 20u);
  }
  EXPECT_EQ(run_limits()->memory, 10u);
}

}  // namespace
}  // namespace tn
