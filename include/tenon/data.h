// Data sets in memory, shuffled batches made ahead by a thread, progress and metrics of a training run.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tenon/random.h"
#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {
namespace data {

/// An array in IDX form (the files of MNIST), also gzipped: u8, i8, i32, f32 or f64 of any rank. Error naming the file:
/// not IDX, truncated, or too long.
Tensor load_idx(const std::string& path);

/// A batch: the same rows of each column.
using Batch = std::vector<Tensor>;

struct LoaderOptions {
  i64 batch = 1;
  bool shuffle = true;
  bool drop_last = false;
};

/// Batches of rows of equally long tensors. The order of epoch e depends on key and e alone, so a run that is resumed
/// at a position sees what an undisturbed one would. A thread of its own makes the next batches.
class Loader {
 public:
  /// Error when columns differ in length.
  Loader(std::vector<Tensor> columns, Tensor key, const LoaderOptions& options);
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;
  ~Loader();

  /// The next batch; epochs follow one another without end.
  Batch next();
  i64 batches_per_epoch() const;
  /// Batches given so far, over all epochs.
  i64 position() const;
  /// Continues as if `position` batches had been given.
  void seek(i64 position);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A line on the terminal with rate and time left; silent when standard error is no terminal.
class Progress {
 public:
  Progress(std::string label, i64 total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `done` of total; `note` stands at the end ("loss 0.31").
  void update(i64 done, std::string_view note = "");

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Rows of named numbers, appended as CSV (".csv") or JSON lines (".jsonl"), one complete line at a time. The first row
/// fixes the names.
class Metrics {
 public:
  explicit Metrics(const std::string& path);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  void write(const std::vector<std::pair<std::string, double>>& row);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace data
}  // namespace tn
