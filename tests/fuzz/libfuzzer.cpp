// The door of libFuzzer: the first argument names the target.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "targets.h"

namespace {
const tn::fuzz::Target* chosen = nullptr;
}

extern "C" [[gnu::visibility("default")]] int LLVMFuzzerInitialize(int* count, char*** arguments) {
  chosen = *count > 1 ? tn::fuzz::find_target((*arguments)[1]) : nullptr;
  if (!chosen) {
    std::fprintf(stderr, "usage: fuzzer TARGET [libFuzzer's arguments]; targets:");
    for (const auto& t : tn::fuzz::targets()) std::fprintf(stderr, " %s", t.name.data());
    std::fprintf(stderr, "\n");
    std::exit(1);
  }
  for (int i = 1; i < *count; ++i) (*arguments)[i] = (*arguments)[i + 1];
  --*count;
  return 0;
}

extern "C" [[gnu::visibility("default")]] int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  tn::fuzz::attempt(*chosen, {reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(unsigned char* data, size_t size, size_t most);

/// Every other time a target's own mutation, where it has one.
extern "C" [[gnu::visibility("default")]] size_t LLVMFuzzerCustomMutator(unsigned char* data, size_t size, size_t most,
                                                                         unsigned seed) {
  if (!chosen->mutated || seed % 2) return LLVMFuzzerMutate(data, size, most);
  std::string s = chosen->mutated({reinterpret_cast<const char*>(data), size}, seed);
  if (s.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::copy(s.begin(), s.end(), data);
  return s.size();
}
