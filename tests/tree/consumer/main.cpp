// A project outside of the tree that found the installed package.
#include <tenon/tenon.h>

#include <cstdio>

int main() {
  double slope = tn::grad([](const tn::Tensor& x) { return x * x * x; })(tn::Tensor(2.0)).item();
  std::printf("tenon %s: %g\n", tn::version(), slope);
  return slope == 12 ? 0 : 1;
}
