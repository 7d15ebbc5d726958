// Where time goes, added up: nothing is counted twice. An executable of its own, for profiling is asked for once.
#include "runtime/profile.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "runtime/execute.h"

namespace tn {
namespace {

const bool kAsked = setenv("TENON_PROFILE", "1", 1) == 0;

TEST(Profile, ALoopsBodyCountsOnce) {
  ASSERT_TRUE(kAsked && profiling());
  GraphPtr g = parse_graph(R"(graph(%0: f32[20000]) {
    %1: f32[20000] = scan(%0) {body=graph(%0: f32[20000]) {
        %1: f32[20000] = scan(%0) {body=graph(%0: f32[20000]) {
            %1: f32[20000] = sin(%0)
            return %1
          }, carry=1, consts=0, length=<5>, reverse=false}
        return %1
      }, carry=1, consts=0, length=<10>, reverse=false}
    return %1
  })");
  Array x = Array::zeros(DType::f32, {20000});
  auto start = std::chrono::steady_clock::now();
  execute(g, std::span(&x, 1));
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_GT(profiled_seconds(), 0);
  EXPECT_LE(profiled_seconds(), seconds);
}

}  // namespace
}  // namespace tn
