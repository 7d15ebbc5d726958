// What is fuzzed: every reader of files and every parser of text, each as a function of bytes.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tn::fuzz {

using Seeds = std::vector<std::pair<std::string, std::string>>;  // name, bytes

struct Target {
  std::string_view name;
  /// An Error is an answer to bad bytes; whatever else is thrown, and a crash, is a finding.
  void (*read)(std::string_view bytes);
  /// The inputs that stand in seeds/NAME: good ones, and some whose names start with "bad".
  Seeds (*seeds)();
};

std::span<const Target> targets();
/// Null when there is none of that name.
const Target* find_target(std::string_view name);
/// Reads; true when the bytes were accepted.
bool attempt(const Target& target, std::string_view bytes);

Seeds npy_seeds();
Seeds npz_seeds();
Seeds safetensors_seeds();
Seeds idx_seeds();
Seeds model_seeds();
Seeds value_seeds();
Seeds plan_seeds();
Seeds graph_seeds();
Seeds program_seeds();
Seeds kernel_seeds();

}  // namespace tn::fuzz
