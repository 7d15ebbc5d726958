// The plan file. All numbers are little endian.
//
//   8 bytes   "TENONPLN"
//   u32       format version
//   u32       number of sections
//   u64       bytes of the whole file
//   u64       checksum of everything after this word
//   sections  u64 offset, u64 bytes each: text (header as JSON), graph (text, constants as further inputs), data (the
//             constants, each at a multiple of 64), kernels (text and object of each)
//
// A reader trusts no number: every range is checked against the mapping before it is touched.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/named_graph.h"

namespace tn::engine {

inline constexpr u32 kPlanFormat = 1;

struct StoredKernel {
  std::string_view text, object;
};

/// What a plan file holds. Views point into the mapping (or what the writer was given).
struct PlanFile {
  std::string header;  // JSON
  std::string_view graph, data;
  std::vector<StoredKernel> kernels;
  std::shared_ptr<void> mapping;
};

void write_plan_file(const std::string& path, const PlanFile& file);
/// Error naming the file: no plan, truncated, damaged, of another format version.
PlanFile read_plan_file(const std::string& path);

}  // namespace tn::engine
