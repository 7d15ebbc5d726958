// The commands of `tenon`. Each returns normally or throws Error, which main prints; the exit status is then 1.
#pragma once
#include <string>
#include <vector>

#include "runtime/limits.h"

namespace tn::app {

struct RunOptions {
  std::string model, inputs, outputs;
  std::vector<std::string> plugins;
  double timeout_seconds = 600;
  double memory_gib = 0;  // 0: three quarters of the machine's
  std::string report;     // file for what the run did; empty: none
};
/// Runs a model or plan once on a folder of inputs.
void run(const RunOptions& options);

struct CompareOptions {
  std::string model, inputs;
  std::vector<std::string> plugins;
};
/// Runs the model or plan and the reference on the same inputs and prints the greatest difference of each output.
void compare(const CompareOptions& options);

struct BuildOptions {
  std::string model, output;
  std::vector<std::string> plugins, without;
  std::vector<std::string> profiles;  // NAME=MIN:OPT:MAX or NAME=SIZE
  std::string report;                 // file for what the build did; empty: none
};
/// Builds a plan file out of a model.
void build(const BuildOptions& options);
/// Lists what a build does, in order.
void list_passes();

struct BenchOptions {
  std::string model, inputs;
  std::vector<std::string> plugins;
  std::vector<std::string> sizes;  // NAME=SIZE, for inputs made up
  int runs = 0;                    // 0: for `seconds`
  double seconds = 1;
  bool json = false;
};
/// Times runs of a model or plan.
void bench(const BenchOptions& options);

struct InspectOptions {
  std::string model;
  std::vector<std::string> plugins;
  std::string format = "text";  // text, json, svg
  std::string output;           // empty: standard output
  bool graph = false;           // of a plan, the graph it was built from
};
void inspect(const InspectOptions& options);

void list_ops(bool json);

/// Limits for runs of this process. What they cannot stop, memory beyond the budget is refused to and the process is
/// ended with a message and status 1 soon after its time is over.
RunLimits set_budget(double timeout_seconds, double memory_gib);

/// What this process has done, as JSON: numbers of kernels, sweeps and library calls.
std::string report();

/// NAME=VALUE taken apart; Error of `who` showing what was expected.
std::pair<std::string, std::string> assignment(const char* who, const std::string& text);
i64 whole_number(const char* who, const std::string& text);

}  // namespace tn::app
