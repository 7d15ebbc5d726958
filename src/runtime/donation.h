// Donation: outputs in the memory of inputs that nobody needs any more.
#pragma once
#include <span>
#include <vector>

#include "runtime/plan.h"

namespace tn {

/// Whether a kernel gives the same bits when buffer `out` lies in the memory of the buffers `in`, which are one place
/// of the same shape: each element is read for the last time by the iteration that writes it, before it writes it.
/// The kernel is walked once for all pairs asked about, for a sweep over many tensors has thousands.
class InPlace {
 public:
  explicit InPlace(const loops::Kernel& kernel);
  InPlace(const InPlace&) = delete;
  InPlace& operator=(const InPlace&) = delete;
  ~InPlace();
  bool operator()(std::span<const int> in, int out);

 private:
  struct Accesses;
  const loops::Kernel& k_;
  std::vector<Accesses> buffers_;
};

/// For each output of the plan the donated input whose memory it may take, or -1. An input is taken once, by an output
/// of its size that is first written after the input's last read, or by the kernel that reads it last, in place.
std::vector<int> reuse_inputs(const Plan& plan, const Mask& donated);

}  // namespace tn
