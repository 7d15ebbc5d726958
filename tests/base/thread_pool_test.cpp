#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/sanitizer.h"

namespace tn {
namespace {

TEST(ThreadPool, EveryItemRunsOnce) {
  for (int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (i64 items : {0, 1, 7, 64, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<size_t>(items));
      pool.run(items, 3, [&](i64 lo, i64 hi, int worker) {
        EXPECT_LT(worker, threads);
        for (i64 i = lo; i < hi; ++i) ++hits[static_cast<size_t>(i)];
      });
      for (auto& h : hits) EXPECT_EQ(h, 1);
    }
  }
}

TEST(ThreadPool, ManyShortJobs) {
  ThreadPool pool(3);
  std::atomic<i64> sum = 0;
  for (int job = 0; job < 20000; ++job) pool.run(4, 1, [&](i64 lo, i64 hi, int) { sum += hi - lo; });
  EXPECT_EQ(sum, 80000);
}

TEST(ThreadPool, WorkersTakePart) {
  ThreadPool pool(2);
  std::atomic<int> here = 0;
  pool.run(2, 1, [&](i64, i64, int) {
    ++here;
    for (int i = 0; i < 10000 && here < 2; ++i) std::this_thread::sleep_for(std::chrono::microseconds(100));
    EXPECT_EQ(here, 2);
  });
}

TEST(ThreadPool, NestedJobsRunOnTheirCaller) {
  ThreadPool pool(2);
  std::atomic<i64> sum = 0;
  pool.run(8, 1, [&](i64, i64, int) {
    auto me = std::this_thread::get_id();
    pool.run(5, 1, [&](i64, i64, int) {
      EXPECT_EQ(std::this_thread::get_id(), me);
      ++sum;
    });
  });
  EXPECT_EQ(sum, 40);
}

TEST(ThreadPool, FirstExceptionReachesTheCaller) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.run(100, 1,
                        [](i64 lo, i64, int) {
                          if (lo == 42) throw std::runtime_error("x");
                        }),
               std::runtime_error);
  std::atomic<int> after = 0;
  pool.run(10, 1, [&](i64, i64, int) { ++after; });
  EXPECT_EQ(after, 10);
}

TEST(ThreadPool, ManyCallersAtOnce) {
  ThreadPool pool(2);
  std::atomic<i64> sum = 0;
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int job = 0; job < 1000; ++job) pool.run(10, 1, [&](i64, i64, int) { ++sum; });
    });
  for (auto& c : callers) c.join();
  EXPECT_EQ(sum, 40000);
}

TEST(ThreadPool, SurvivesFork) {
  ThreadPool::shared().run(100, 1, [](i64, i64, int) {});
  pid_t child = fork();
  if (child == 0) {
    std::atomic<int> count = 0;
    ThreadPool::shared().run(100, 1, [&](i64, i64, int) { ++count; });
    _exit(count == 100 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/// Address space for a few threads' stacks is all there is: the pool has the threads that started.
TEST(ThreadPool, ASystemWithoutThreads) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need address space themselves";
  pid_t child = fork();
  if (child == 0) {
    long pages = 0;
    if (!(std::ifstream("/proc/self/statm") >> pages)) _exit(2);
    rlim_t bytes = static_cast<rlim_t>(pages) * 4096 + (rlim_t{24} << 20);
    rlimit limit{bytes, bytes};
    setrlimit(RLIMIT_AS, &limit);
    ThreadPool pool(1000);
    std::atomic<int> count = 0;
    pool.run(100, 1, [&](i64, i64, int worker) { count += worker < pool.threads(); });
    pool.set_threads(1);
    pool.set_threads(1000);
    pool.run(100, 1, [&](i64, i64, int worker) { count += worker < pool.threads(); });
    _exit(count == 200 && pool.threads() < 1000 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace tn
