// What is fuzzed: every reader of files and every parser of text, each as a function of bytes.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/dtype.h"

namespace tn::fuzz {

/// A repeatable stream of numbers (splitmix64).
struct Random {
  u64 state;
  u64 next() {
    u64 z = state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  /// In [0, n), 0 for 0.
  size_t below(size_t n) { return n ? next() % n : 0; }
};

using Seeds = std::vector<std::pair<std::string, std::string>>;  // name, bytes

struct Target {
  std::string_view name;
  /// An Error is an answer to bad bytes; whatever else is thrown, and a crash, is a finding.
  void (*read)(std::string_view bytes);
  /// The inputs that stand in seeds/NAME: good ones, and some whose names start with "bad".
  Seeds (*seeds)();
  /// Changes an input to another of its kind; null where bytes are changed at random only.
  std::string (*mutated)(std::string_view bytes, u64 seed) = nullptr;
};

std::span<const Target> targets();
/// Null when there is none of that name.
const Target* find_target(std::string_view name);
/// Reads; true when the bytes were accepted.
bool attempt(const Target& target, std::string_view bytes);

std::string mutated_model(std::string_view bytes, u64 seed);
std::string mutated_plan(std::string_view bytes, u64 seed);

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
