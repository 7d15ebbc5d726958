// What `tenon_bench` is made of: rows that are timed beside peers, and figures of our own. bench/run.py drives it and
// says what its words mean; bench/rows.py says what each row computes.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/io.h"

namespace tn::bench {

/// A row made ready: `run` is what is timed, `outputs` are the results it is compared by, made before any timing.
struct Work {
  std::function<void()> run;
  std::function<NamedTensors()> outputs;
};

/// The arrays a row is given, by name.
class Inputs {
 public:
  explicit Inputs(NamedTensors arrays) : arrays_(std::move(arrays)) {}
  const Tensor& operator[](std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }

 private:
  const Tensor* find(std::string_view name) const;
  NamedTensors arrays_;
};

struct Row {
  std::string_view name;
  Work (*make)(const Inputs&);
};
std::vector<Row> function_rows();
std::vector<Row> model_rows();

/// A row that is one number, in the unit of bench/rows.py.
struct Figure {
  std::string_view name;
  double (*measure)();
};
std::vector<Figure> eager_figures();
std::vector<Figure> compile_figures();

double now_ms();
double median(std::vector<double> values);
/// Times in ms of runs until that many seconds passed, at least three; short runs are timed in groups.
std::vector<double> rounds(const std::function<void()>& run, double seconds);

}  // namespace tn::bench
