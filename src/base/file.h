// Files: whole reads with a bound, and writes that appear whole under their name or not at all.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace tn {

/// The bytes of a regular file; Error of `who` naming it.
std::string read_file(std::string_view who, const std::string& path);
/// Writes to a temporary file beside it, fsync, rename; on failure nothing is left. Error of `who` naming path and
/// cause.
void write_file(std::string_view who, const std::string& path, std::span<const std::string_view> parts);
inline void write_file(std::string_view who, const std::string& path, std::string_view bytes) {
  write_file(who, path, std::span(&bytes, 1));
}
/// Removes what writes of `path` left beside it that were killed; what is still being written, here or on another host,
/// is locked and stays.
void remove_unfinished(const std::string& path);

}  // namespace tn
