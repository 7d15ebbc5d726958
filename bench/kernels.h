// Our generated kernels against the machine's peak and oneDNN, one thread.
#pragma once
#include <functional>
#include <string>

namespace tn::bench {

/// The thread's own time for one run, in milliseconds, best of many: on a shared machine a run of wall-clock time holds
/// other programs too.
double best(const std::function<void()>& run);

/// Convolution of pictures [n, c, h, w] with 3x3 weights, one element of padding.
struct ConvShape {
  long pictures, channels, features, height, width;
};
enum class ConvPass { forward, input_gradient, weights_gradient };

/// Milliseconds of oneDNN on one thread in its own layouts, best of many; 0 where it is not there.
double dnnl_matmul(long m, long n, long k);
double dnnl_conv(const ConvShape& shape, ConvPass pass);

/// Prints one row a kernel; `only` (may be empty) selects by the start of the name.
int run_kernels(const std::string& only);

}  // namespace tn::bench
