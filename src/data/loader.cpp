// The loader's thread walks positions in order and keeps a few batches ready; a seek starts it anew. What a batch holds
// depends on its position alone.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "tenon/data.h"
#include "tenon/ops.h"

namespace tn::data {

namespace {
constexpr size_t kAhead = 4;
}

struct Loader::State {
  std::vector<Tensor> columns;
  Tensor key;
  LoaderOptions options;
  i64 rows = 0, per_epoch = 0;

  i64 given = 0;  // batches handed out
  i64 epoch = -1;
  std::vector<i64> order;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Batch> ready;
  std::exception_ptr error;
  bool stop = false;
  std::thread worker;

  State(std::vector<Tensor> c, Tensor k, const LoaderOptions& o)
      : columns(std::move(c)), key(std::move(k)), options(o) {
    if (columns.empty()) fail("loader", "expected at least one tensor, got none");
    if (options.batch < 1) fail("loader", "expected a batch of at least 1, got " + std::to_string(options.batch));
    for (Tensor& t : columns) {
      if (t.rank() < 1) fail("loader", "expected tensors with a leading axis of rows, got " + to_string(t.type()));
      if (t.size(0) != columns[0].size(0))
        fail("loader", "expected as many rows in every tensor, got " + to_string(columns[0].type()) + " and " +
                           to_string(t.type()));
      t.eval();
    }
    rows = columns[0].size(0);
    per_epoch = options.drop_last ? rows / options.batch : (rows + options.batch - 1) / options.batch;
    if (per_epoch < 1)
      fail("loader", "expected at least one batch, got " + std::to_string(rows) + " rows for batches of " +
                         std::to_string(options.batch));
    start();
  }

  ~State() { halt(); }

  void start() {
    stop = false;
    error = nullptr;
    worker = std::thread([this, from = given] { work(from); });
  }

  void halt() {
    {
      std::lock_guard lock(mutex);
      stop = true;
    }
    changed.notify_all();
    if (worker.joinable()) worker.join();
    ready.clear();
  }

  void work(i64 position) {
    try {
      for (;; ++position) {
        Batch b = make(position);
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stop || ready.size() < kAhead; });
        if (stop) return;
        ready.push_back(std::move(b));
        changed.notify_all();
      }
    } catch (...) {
      std::lock_guard lock(mutex);
      error = std::current_exception();
      changed.notify_all();
    }
  }

  const std::vector<i64>& order_of(i64 e) {
    if (e != epoch && options.shuffle) order = random::permutation(random::fold_in(key, e), rows).to_vector<i64>();
    if (e != epoch && !options.shuffle) {
      order.resize(static_cast<size_t>(rows));
      for (i64 i = 0; i < rows; ++i) order[static_cast<size_t>(i)] = i;
    }
    epoch = e;
    return order;
  }

  Batch make(i64 position) {
    const auto& all_rows = order_of(position / per_epoch);
    i64 first = position % per_epoch * options.batch, last = std::min(rows, first + options.batch);
    Batch b;
    for (const Tensor& t : columns) {
      size_t width = t.nbytes() / static_cast<size_t>(rows);
      std::vector<std::byte> bytes_(width * static_cast<size_t>(last - first));
      const auto* from = static_cast<const std::byte*>(t.raw());
      for (i64 i = first; i < last; ++i)
        std::memcpy(bytes_.data() + static_cast<size_t>(i - first) * width,
                    from + static_cast<size_t>(all_rows[static_cast<size_t>(i)]) * width, width);
      Shape shape(t.shape().begin(), t.shape().end());
      shape[0] = last - first;
      b.push_back(from_data(bytes_.data(), shape, t.dtype()));
    }
    return b;
  }

  Batch next() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !ready.empty() || error; });
    if (ready.empty()) std::rethrow_exception(error);
    Batch b = std::move(ready.front());
    ready.pop_front();
    ++given;
    changed.notify_all();
    return b;
  }
};

Loader::Loader(std::vector<Tensor> columns, Tensor key, const LoaderOptions& options)
    : state_(std::make_unique<State>(std::move(columns), std::move(key), options)) {}
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;
Loader::~Loader() = default;

Batch Loader::next() { return state_->next(); }
i64 Loader::batches_per_epoch() const { return state_->per_epoch; }
i64 Loader::position() const { return state_->given; }

void Loader::seek(i64 position) {
  if (position < 0) fail("loader", "expected a position of at least 0, got " + std::to_string(position));
  state_->halt();
  state_->given = position;
  state_->start();
}

}  // namespace tn::data
