// A job is published by opening it; a worker enters (counts itself inside), looks whether the job is open, and leaves.
// The caller closes the job once no chunk is left and waits until nobody is inside. Both sides write first and read the
// other's word second, so one of them always sees the other.
#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "tenon/error.h"

namespace tn {

struct ThreadPool::State {
  // What the open job is; stable while somebody is inside an open job.
  Body body = nullptr;
  void* data = nullptr;
  i64 items = 0, grain = 1;
  alignas(64) std::atomic<i64> next{0};
  alignas(64) std::atomic<bool> open{false};
  std::atomic<int> inside{0};
  alignas(64) std::atomic<u32> epoch{0};  // changes when a job opens or the pool ends
  std::atomic<int> sleepers{0};
  std::atomic<bool> ending{false};
  std::mutex one_job, error_mutex;
  std::exception_ptr error;
  std::vector<std::thread> workers;

  std::atomic<u64> shared{0};

  void work(int worker) {
    for (;;) {
      i64 lo = next.fetch_add(grain, std::memory_order_relaxed);
      if (lo >= items) return;
      if (worker != 0) shared.fetch_add(1, std::memory_order_relaxed);
      try {
        body(data, lo, std::min(lo + grain, items), worker);
      } catch (...) {
        next.store(items, std::memory_order_relaxed);
        std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
  }
};

namespace {

constexpr auto kSpin = std::chrono::microseconds(40);

thread_local bool inside_job = false;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

int default_threads() {
  if (const char* text = std::getenv("TENON_THREADS")) {
    char* end = nullptr;
    long n = std::strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > 1024)
      fail("TENON_THREADS", "expected a number from 1 to 1024, got '" + std::string(text) + "'");
    return static_cast<int>(n);
  }
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::atomic<ThreadPool*> shared_pool{nullptr};
std::mutex shared_mutex;

}  // namespace

ThreadPool& ThreadPool::shared() {
  if (ThreadPool* pool = shared_pool.load(std::memory_order_acquire)) return *pool;
  std::lock_guard lock(shared_mutex);
  if (!shared_pool.load()) {
    static bool registered = false;
    // A child of fork has no workers: it forgets the parent's pool (whose threads and locks are gone) and makes its
    // own.
    if (!registered)
      pthread_atfork([] { shared_mutex.lock(); }, [] { shared_mutex.unlock(); },
                     [] {
                       shared_mutex.unlock();
                       shared_pool.store(nullptr);
                       inside_job = false;
                     });
    registered = true;
    shared_pool.store(new ThreadPool(default_threads()));
  }
  return *shared_pool.load();
}

u64 ThreadPool::shared_pieces() const { return state_->shared.load(std::memory_order_relaxed); }

ThreadPool::ThreadPool(int threads) : threads_(std::max(1, threads)) { start(); }
ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::set_threads(int threads) {
  stop();
  threads_ = std::max(1, threads);
  start();
}

static void sleep_until_changed(std::atomic<u32>& epoch, u32 seen, std::atomic<int>& sleepers) {
  auto until = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (epoch.load(std::memory_order_acquire) != seen) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < until);
  sleepers.fetch_add(1);
  epoch.wait(seen);
  sleepers.fetch_sub(1);
}

void ThreadPool::start() {
  state_ = std::make_unique<State>();
  State* s = state_.get();
  auto wait_and_work = [s](int worker) {
    inside_job = true;
    u32 seen = 0;
    while (!s->ending.load()) {
      s->inside.fetch_add(1);
      if (s->open.load()) s->work(worker);
      s->inside.fetch_sub(1);
      sleep_until_changed(s->epoch, seen, s->sleepers);
      seen = s->epoch.load();
    }
  };
  s->workers.reserve(static_cast<size_t>(threads_));
  for (int worker = 1; worker < threads_; ++worker) {
    try {
      s->workers.emplace_back(wait_and_work, worker);
    } catch (const std::exception&) {
      threads_ = worker;  // the system has no more: those that started will do
    }
  }
}

void ThreadPool::stop() {
  if (!state_) return;
  state_->ending = true;
  state_->epoch.fetch_add(1);
  state_->epoch.notify_all();
  for (std::thread& t : state_->workers) t.join();
  state_.reset();
}

void ThreadPool::run_job(i64 items, i64 grain, Body body, void* data) {
  if (items <= 0) return;
  State& s = *state_;
  grain = std::max<i64>(1, grain);
  std::unique_lock one(s.one_job, std::defer_lock);
  if (threads_ == 1 || items <= grain || inside_job || !one.try_lock()) {
    for (i64 lo = 0; lo < items; lo += grain) body(data, lo, std::min(lo + grain, items), 0);
    return;
  }
  s.body = body;
  s.data = data;
  s.items = items;
  s.grain = grain;
  s.next.store(0, std::memory_order_relaxed);
  s.open.store(true);
  s.epoch.fetch_add(1);
  if (s.sleepers.load() > 0) s.epoch.notify_all();
  inside_job = true;
  s.work(0);
  inside_job = false;
  s.open.store(false);
  while (s.inside.load() != 0) pause();
  if (s.error) {
    std::exception_ptr e = std::exchange(s.error, nullptr);
    one.unlock();
    std::rethrow_exception(e);
  }
}

}  // namespace tn
