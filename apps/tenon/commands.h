// The commands of `tenon`. Each returns normally or throws Error, which main prints; the exit status is then 1.
#pragma once
#include <string>
#include <vector>

namespace tn::app {

struct RunOptions {
  std::string model, inputs, outputs;
  std::vector<std::string> plugins;
  double timeout_seconds = 600;
  double memory_gib = 0;  // 0: three quarters of the machine's
};
void run(const RunOptions& options);

struct CompareOptions {
  std::string model, inputs;
  std::vector<std::string> plugins;
};
/// Runs the model and the reference on the same inputs and prints the greatest difference of each output.
void compare(const CompareOptions& options);

struct InspectOptions {
  std::string model;
  std::vector<std::string> plugins;
  std::string format = "text";  // text, json, svg
  std::string output;           // empty: standard output
};
void inspect(const InspectOptions& options);

void list_ops(bool json);

/// Ends the process with a message and status 1 when its time is over; refuses memory beyond the budget.
void set_budget(double timeout_seconds, double memory_gib);

}  // namespace tn::app
