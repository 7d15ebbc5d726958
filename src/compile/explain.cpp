#include "compile/explain.h"

#include <cstdio>
#include <cstdlib>

namespace tn {

bool explaining() {
  static const bool asked = std::getenv("TENON_EXPLAIN") != nullptr;
  return asked;
}

void explain(std::string_view pass, const std::string& decision) {
  std::fprintf(stderr, "# %.*s: %s\n", static_cast<int>(pass.size()), pass.data(), decision.c_str());
}

}  // namespace tn
