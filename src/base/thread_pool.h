// One pool for the process. The caller takes part, chunks are claimed dynamically, workers spin for some tens of
// microseconds after a job and then sleep. Results never depend on who runs a chunk.
#pragma once
#include <memory>
#include <utility>

#include "tenon/dtype.h"

namespace tn {

class ThreadPool {
 public:
  /// The pool of the process: TENON_THREADS threads, the caller counted, or as many as the process may run on. It is
  /// made anew in a forked child.
  static ThreadPool& shared();
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// The most threads that run a job at once, the caller counted; fewer than asked for where the system has no more.
  int threads() const { return threads_; }
  /// 1 <= threads; the workers are started or ended now. Not while a job runs.
  void set_threads(int threads);
  /// Pieces that workers beside the caller have run since the last set_threads, for tests that want both at work.
  u64 shared_pieces() const;

  /// Calls f(lo, hi, worker) for pieces of [0, items), each of `grain` items but the last; worker < threads() is
  /// different for calls that run at the same time. Returns when all are done; the first exception is thrown then.
  /// Runs on the caller alone when it is inside a job or another thread's job runs.
  template <class F>
  void run(i64 items, i64 grain, F&& f) {
    run_job(
        items, grain,
        [](void* body, i64 lo, i64 hi, int worker) {
          (*static_cast<std::remove_reference_t<F>*>(body))(lo, hi, worker);
        },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  using Body = void (*)(void* body, i64 lo, i64 hi, int worker);
  struct State;
  void run_job(i64 items, i64 grain, Body body, void* data);
  void start();
  void stop();
  int threads_;
  std::unique_ptr<State> state_;
};

}  // namespace tn
