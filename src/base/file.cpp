#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "tenon/error.h"

namespace tn {

namespace {

constexpr std::string_view kPart = ".part";  // then the process, "-" and a number

/// Closes when it goes.
struct Descriptor {
  int file;
  explicit Descriptor(int opened) : file(opened) {}
  Descriptor(Descriptor&& other) noexcept : file(std::exchange(other.file, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (file >= 0) ::close(file);
  }
};

[[noreturn]] void refuse(std::string_view who, const std::string& path, const std::string& what) {
  fail(who, "'" + path + "' " + what);
}

std::string reason() { return std::strerror(errno); }

/// The folder a path names a file in.
std::string folder_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::string read_file(std::string_view who, const std::string& path) {
  Descriptor d(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (d.file < 0) refuse(who, path, "cannot be opened: " + reason());
  struct stat info{};
  if (::fstat(d.file, &info) || !S_ISREG(info.st_mode)) refuse(who, path, "is no regular file");
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  for (size_t at = 0; at < bytes.size();) {
    ssize_t n = ::read(d.file, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse(who, path, "cannot be read: " + reason());
    if (n == 0) refuse(who, path, "became shorter while it was read");
    at += static_cast<size_t>(n);
  }
  return bytes;
}

/// A new file beside `path`, locked while it is written: a lock is seen from other hosts and containers, where the
/// number of the process says nothing.
static Descriptor create_part(std::string_view who, const std::string& path, std::string& name) {
  static std::atomic<unsigned> count{0};
  for (;;) {
    name = path + std::string(kPart) + std::to_string(::getpid()) + "-" + std::to_string(count++);
    Descriptor d(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (d.file < 0 && errno == EEXIST) continue;
    if (d.file < 0) refuse(who, path, "cannot be created: " + reason());
    struct stat info{};
    bool locked = ::flock(d.file, LOCK_EX) == 0;
    // Who looked for unfinished files before the lock was there has removed this one.
    if (locked && ::fstat(d.file, &info) == 0 && info.st_nlink == 0) continue;
    return d;
  }
}

void write_file(std::string_view who, const std::string& path, std::span<const std::string_view> parts) {
  std::string temporary;
  Descriptor d = create_part(who, path, temporary);
  auto give_up = [&] {
    std::string why = reason();
    ::unlink(temporary.c_str());
    refuse(who, path, "cannot be written: " + why);
  };
  for (std::string_view part : parts)
    while (!part.empty()) {
      ssize_t n = ::write(d.file, part.data(), part.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) give_up();
      part.remove_prefix(static_cast<size_t>(n));
    }
  if (::fsync(d.file) || ::rename(temporary.c_str(), path.c_str())) give_up();
  // The new name must survive a crash too; a folder that cannot be synced is no error.
  Descriptor folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.file >= 0) ::fsync(folder.file);
}

/// "PROCESS-NUMBER"
static bool is_part_suffix(std::string_view text) {
  auto digits = [](std::string_view s) { return !s.empty() && s.find_first_not_of("0123456789") == s.npos; };
  auto dash = text.find('-');
  return dash != text.npos && digits(text.substr(0, dash)) && digits(text.substr(dash + 1));
}

void remove_unfinished(const std::string& path) {
  namespace fs = std::filesystem;
  std::string start = fs::path(path).filename().string() + std::string(kPart);
  std::error_code error;
  const fs::directory_iterator none;
  for (fs::directory_iterator it(folder_of(path), error); !error && it != none; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.starts_with(start) || !is_part_suffix(std::string_view(name).substr(start.size()))) continue;
    Descriptor d(::open(it->path().c_str(), O_RDWR | O_CLOEXEC));
    // Still locked, or on a file system without locks: somebody may be writing it.
    if (d.file >= 0 && ::flock(d.file, LOCK_EX | LOCK_NB) == 0) ::unlink(it->path().c_str());
  }
}

}  // namespace tn
