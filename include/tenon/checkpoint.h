// Checkpoints: all that a training run needs to go on, in one file that is whole at any moment.
//
//   i64 start = load_checkpoint("run.safetensors", net, adam, key).value_or(0);
//   loader.seek(start);
//   for (i64 i = start; i < steps; ++i) {
//     ...
//     if ((i + 1) % 100 == 0) save_checkpoint("run.safetensors", i + 1, net, adam, key);
//   }
//
// Model, optimiser and keys are trees of tensors; numbers among their members (a rate of decay, a flag) are settings of
// the program and not saved. A run that is killed at any moment and resumed ends with the bits of an undisturbed one.
#pragma once
#include <optional>

#include "tenon/parameters.h"

namespace [[gnu::visibility("default")]] tn {

namespace detail {
void write_checkpoint(const std::string& path, i64 position, const NamedTensors& tensors);
std::optional<i64> read_checkpoint(const std::string& path,
                                   const std::vector<std::pair<std::string, Tensor*>>& targets);
}  // namespace detail

/// Writes the tensors of `parts` and the position as .safetensors ("0.fc1.weight": by part, then by name): to a file
/// beside `path`, which takes the name only once it is on the disk. On Error the file that was there stays.
template <class... Parts>
void save_checkpoint(const std::string& path, i64 position, const Parts&... parts) {
  detail::write_checkpoint(path, position, named_tensors(std::tie(parts...)));
}

/// Reads them back into parts of the same structure and returns the position; none when there is no such file. Error,
/// and nothing is rebound: damaged, no checkpoint, or of another structure.
template <class... Parts>
std::optional<i64> load_checkpoint(const std::string& path, Parts&... parts) {
  std::vector<std::pair<std::string, Tensor*>> targets;
  auto all = std::tie(parts...);
  walk_named(all, [&](const std::string& name, Tensor& t, bool) {
    if (t.defined()) targets.emplace_back(name, &t);
  });
  return detail::read_checkpoint(path, targets);
}

}  // namespace tn
