#include "tenon/checkpoint.h"

#include <charconv>
#include <filesystem>

#include "base/file.h"

namespace tn::detail {

namespace {
constexpr std::string_view kPosition = "tenon.position";
}

void write_checkpoint(const std::string& path, i64 position, const NamedTensors& tensors) {
  save_safetensors(path, tensors, {{std::string(kPosition), std::to_string(position)}});
  remove_unfinished(path);
}

std::optional<i64> read_checkpoint(const std::string& path,
                                   const std::vector<std::pair<std::string, Tensor*>>& targets) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return std::nullopt;
  SafeTensors file = load_safetensors(path);
  std::optional<i64> position;
  for (const auto& [key, value] : file.metadata) {
    if (key != kPosition) continue;
    i64 number = 0;
    auto [end, wrong] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (wrong != std::errc() || end != value.data() + value.size() || number < 0)
      fail("load_checkpoint", "'" + path + "': expected a position of at least 0, got '" + value.substr(0, 32) + "'");
    position = number;
  }
  if (!position)
    fail("load_checkpoint", "'" + path + "': expected a checkpoint, got tensors without a position; use load");
  assign_named(targets, file.tensors, path);
  return position;
}

}  // namespace tn::detail
