// The door of libFuzzer: the first argument names the target.
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
