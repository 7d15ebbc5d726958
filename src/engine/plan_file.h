// The plan file: a frame of sections around texts, constants and machine code. All numbers are little endian.
//
//   8 bytes   "TENONPLN"
//   u32       format version: of this frame, the manifest and the graph; another one is refused by name
//   u32       number of sections
//   u64       bytes of the whole file
//   u64       checksum of everything after this word
//   sections  u64 offset (a multiple of 64), u64 bytes each, in the order of PlanFile
//
// The code has a version of its own (`code` in the manifest): where it is another, the plan is built again from its
// graph. A reader trusts no number: every range is checked against the bytes before it is touched.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/array.h"
#include "tenon/engine.h"
#include "tenon/type.h"

namespace tn::engine {

inline constexpr u32 kPlanFormat = 3;
/// Raised when plans' text, their instructions or the interface of kernels change.
inline constexpr i64 kCodeFormat = 2;

/// Sections of a plan file. Views point into the mapping (or what the writer was given).
struct PlanFile {
  std::string_view manifest;  // text, see Manifest
  std::string_view graph;     // text, large constants as further inputs
  std::string_view code;      // text of the plan (runtime/plan_text.h); empty when nothing is compiled
  std::string_view objects;   // machine code of the kernels
  std::string_view data;      // constants, each at a multiple of 64
  std::shared_ptr<void> owner;
};

/// The frame around the sections: pieces to be written one after another.
std::vector<std::string> framed(const PlanFile& file);
/// Error of "plan" naming `name`: no plan, truncated, damaged, of another format version.
PlanFile sections_of(std::string_view bytes, const std::string& name);
/// Of the bytes after the word it is written in.
u64 checksum(std::string_view bytes);
/// Maps a file read-only.
std::shared_ptr<void> map_file(const std::string& path, std::string_view& bytes);
[[noreturn]] void refuse(const std::string& name, const std::string& why);

/// What a plan file says of itself, in lines of words:
///
///   code 1
///   isa avx512
///   input "image"
///   output "logits"
///   metadata "key" "value"
///   profile "batch" 1 64 256
///   without "fuse"
///   array f32[32, 1, 3, 3] 128           offset in the data
///   constant "conv1.weight" 0            further input of the graph: name, array
///   kernel 0 5320                        offset and bytes in the objects
struct Manifest {
  i64 code = kCodeFormat;
  std::string isa;
  std::vector<std::string> inputs, outputs;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<ShapeProfile> profiles;
  std::vector<std::string> without;
  struct ArrayPlace {
    Type type;
    u64 offset;
  };
  std::vector<ArrayPlace> arrays;
  std::vector<std::pair<std::string, u64>> constants;
  struct Range {
    u64 offset, bytes;
  };
  std::vector<Range> kernels;
};
std::string to_string(const Manifest& manifest);
Manifest parse_manifest(std::string_view text);

}  // namespace tn::engine
