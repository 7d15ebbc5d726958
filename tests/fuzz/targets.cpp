#include "targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "ir/graph.h"
#include "ir/loops.h"
#include "onnx/import.h"
#include "onnx/tensors.h"
#include "tenon/data.h"
#include "tenon/engine.h"
#include "tenon/io.h"
#include "tensor/npy.h"

namespace tn::fuzz {

namespace {

/// Bytes as a file that lives in memory.
class File {
 public:
  explicit File(std::string_view bytes) : file_(memfd_create("fuzz", MFD_CLOEXEC)) {
    while (file_ >= 0 && !bytes.empty()) {
      ssize_t n = write(file_, bytes.data(), bytes.size());
      if (n <= 0) throw std::runtime_error("a file in memory cannot be written");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(file_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

void check(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

void read_npy(std::string_view bytes) { parse_npy(bytes, "input"); }
void read_npz(std::string_view bytes) { load_npz(File(bytes).path()); }
void read_idx(std::string_view bytes) { data::load_idx(File(bytes).path()); }
void read_plan(std::string_view bytes) { engine::Plan::load(File(bytes).path()); }

void read_safetensors(std::string_view bytes) {
  File file(bytes);
  for (const auto& [name, x] : load_safetensors(file.path()).tensors) x.to_vector();
}

void read_model(std::string_view bytes) { onnx::import_model(onnx::decode_model(bytes)); }

/// The first byte says what kind of value the others are.
void read_value(std::string_view bytes) {
  using Kind = onnx::TypeInfo::Kind;
  constexpr Kind kKinds[] = {Kind::tensor, Kind::sequence, Kind::optional};
  if (bytes.empty()) fail("fuzz", "expected a kind, got nothing");
  onnx::ValueDef v = onnx::decode_value(bytes.substr(1), kKinds[static_cast<unsigned char>(bytes[0]) % 3]);
  if (v.kind == Kind::tensor) onnx::array_of(v.tensor);
}

void read_graph(std::string_view text) {
  GraphPtr g = parse_graph(text);
  verify(*g);
  std::string again = to_string(*g);
  check(to_string(*parse_graph(again)) == again, "a graph's text parses back to another graph");
}

void read_program(std::string_view text) {
  std::string again = to_string(parse_program(text));
  check(to_string(parse_program(again)) == again, "a program's text parses back to another program");
}

void read_kernel(std::string_view text) {
  loops::Kernel k = loops::parse_kernel(text);
  std::string again = to_string(k), canonical = loops::canonical_text(k);
  check(to_string(loops::parse_kernel(again)) == again, "a kernel's text parses back to another kernel");
  check(loops::canonical_text(loops::parse_kernel(canonical)) == canonical, "canonical text has another such text");
  loops::verify(k);
}

constexpr Target kTargets[] = {
    {"npy", read_npy, npy_seeds},
    {"npz", read_npz, npz_seeds},
    {"safetensors", read_safetensors, safetensors_seeds},
    {"idx", read_idx, idx_seeds},
    {"onnx_model", read_model, model_seeds, mutated_model},
    {"onnx_value", read_value, value_seeds},
    {"plan", read_plan, plan_seeds, mutated_plan},
    {"graph", read_graph, graph_seeds},
    {"program", read_program, program_seeds},
    {"kernel", read_kernel, kernel_seeds},
};

}  // namespace

std::span<const Target> targets() { return kTargets; }

const Target* find_target(std::string_view name) {
  auto found = std::find_if(std::begin(kTargets), std::end(kTargets), [&](const Target& t) { return t.name == name; });
  return found == std::end(kTargets) ? nullptr : found;
}

bool attempt(const Target& target, std::string_view bytes) {
  try {
    target.read(bytes);
    return true;
  } catch (const Error&) { return false; }
}

}  // namespace tn::fuzz
