// `tenon_bench ROW --threads N [--inputs DIR --outputs DIR]`: our side of the benchmark, as bench/run.py drives it.
// `tenon_bench rows` lists the rows.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "bench.h"
#include "tenon/error.h"

namespace tn::bench {

const Tensor* Inputs::find(std::string_view name) const {
  for (const auto& [known, t] : arrays_)
    if (known == name) return &t;
  return nullptr;
}

const Tensor& Inputs::operator[](std::string_view name) const {
  if (const Tensor* found = find(name)) return *found;
  fail("bench", "expected an input named '" + std::string(name) + "', got none");
}

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::vector<double> rounds(const std::function<void()>& run, double seconds) {
  double start = now_ms();
  run();
  double once = std::max(now_ms() - start, 1e-4);
  int group = std::max(1, static_cast<int>(0.05 / once));
  std::vector<double> samples;
  for (double end = now_ms() + seconds * 1e3; now_ms() < end || samples.size() < 3;) {
    start = now_ms();
    for (int i = 0; i < group; ++i) run();
    samples.push_back((now_ms() - start) / group);
  }
  return samples;
}

namespace {

struct Options {
  std::string row, threads = "1", inputs, outputs;
};

Options parse(int argc, char** argv) {
  Options options;
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) fail("bench", "expected a row, got nothing");
  options.row = words[0];
  for (size_t i = 1; i + 1 < words.size(); i += 2) {
    if (words[i] == "--threads")
      options.threads = words[i + 1];
    else if (words[i] == "--inputs")
      options.inputs = words[i + 1];
    else if (words[i] == "--outputs")
      options.outputs = words[i + 1];
    else
      fail("bench", "expected --threads, --inputs or --outputs, got '" + words[i] + "'");
  }
  return options;
}

Inputs load_inputs(const std::string& folder) {
  NamedTensors arrays;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".npy") arrays.emplace_back(entry.path().stem().string(), load_npy(entry.path()));
  return Inputs(std::move(arrays));
}

void serve(const Row& row, const Options& options) {
  double start = now_ms();
  Work work = row.make(load_inputs(options.inputs));
  for (const auto& [name, t] : work.outputs()) save_npy(options.outputs + "/" + name + ".npy", t);
  for (int i = 0; i < 3; ++i) work.run();
  std::cout << R"({"ready": true, "prepare_s": )" << (now_ms() - start) / 1e3 << "}" << std::endl;
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    std::vector<double> samples = rounds(work.run, std::atof(line.c_str() + std::min<size_t>(line.size(), 4)));
    std::cout << R"({"samples_ms": [)";
    for (size_t i = 0; i < samples.size(); ++i) std::cout << (i ? ", " : "") << samples[i];
    std::cout << "]}" << std::endl;
  }
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  std::cout << R"({"peak_bytes": )" << used.ru_maxrss * 1024 << "}" << std::endl;
}

void print_rows() {
  for (const auto& list : {function_rows(), model_rows()})
    for (const Row& row : list) std::cout << row.name << "\n";
  for (const auto& list : {eager_figures(), compile_figures()})
    for (const Figure& figure : list) std::cout << figure.name << "\n";
}

int run(const Options& options) {
  if (options.row == "rows") {
    print_rows();
    return 0;
  }
  setenv("TENON_THREADS", options.threads.c_str(), 1);
  for (const auto& list : {function_rows(), model_rows()})
    for (const Row& row : list)
      if (row.name == options.row) {
        serve(row, options);
        return 0;
      }
  for (const auto& list : {eager_figures(), compile_figures()})
    for (const Figure& figure : list)
      if (figure.name == options.row) {
        std::cout << R"({"value": )" << figure.measure() << "}" << std::endl;
        return 0;
      }
  fail("bench", "expected a row of bench/rows.py, got '" + options.row + "'");
}

}  // namespace

}  // namespace tn::bench

int main(int argc, char** argv) try {
  return tn::bench::run(tn::bench::parse(argc, argv));
} catch (const std::exception& e) {
  std::cerr << "tenon_bench: " << e.what() << "\n";
  return 1;
}
