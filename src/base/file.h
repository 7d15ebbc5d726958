// Files: whole reads with a bound, and writes that appear whole under their name or not at all.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace tn {

/// The bytes of a regular file; Error of `who` naming it.
std::string read_file(std::string_view who, const std::string& path);
/// Writes to a temporary file beside it, fsync, rename; on failure nothing is left. Links are followed, devices and
/// pipes written to as they are. Error of `who` naming path and cause.
void write_file(std::string_view who, const std::string& path, std::span<const std::string_view> parts);
inline void write_file(std::string_view who, const std::string& path, std::string_view bytes) {
  write_file(who, path, std::span(&bytes, 1));
}
/// Removes what writes of `path` left beside it that were killed; what is still being written, here or on another host,
/// is locked and stays.
void remove_unfinished(const std::string& path);

/// An empty folder inside `folder` for files that come to their place together; it goes with what it still holds.
/// Locked while it stands; those that killed processes left in `folder` are removed first. Error of `who` naming
/// `folder`.
class UnfinishedFolder {
 public:
  UnfinishedFolder(std::string_view who, const std::filesystem::path& folder);
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;
  ~UnfinishedFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace tn
