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

// Then the process, "-" and a number:
constexpr std::string_view kPart = ".part";    // after a file's name
constexpr std::string_view kApart = ".tenon";  // a folder

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
  Descriptor d(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));  // a pipe must not hold it up: it is refused
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

/// Whether the open file is the one under that name.
static bool stands_at(int file, const std::filesystem::path& path) {
  struct stat opened{}, named{};
  return !::fstat(file, &opened) && !::stat(path.c_str(), &named) && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
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
    // Who looked for unfinished files before the lock was there has removed this one.
    if (::flock(d.file, LOCK_EX) == 0 && !stands_at(d.file, name)) continue;
    return d;
  }
}

static void write_parts(int file, std::span<const std::string_view> parts, auto give_up) {
  for (std::string_view part : parts)
    while (!part.empty()) {
      ssize_t n = ::write(file, part.data(), part.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) give_up();
      part.remove_prefix(static_cast<size_t>(n));
    }
}

/// What stands under a name already: a device or pipe is written to, for a file put in its place would end it.
static bool is_special(const std::string& path) {
  struct stat info{};
  return !::stat(path.c_str(), &info) && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

/// Where a link to a file leads, be it there or not: the file is written, the link stays.
static std::string followed(const std::string& path) {
  constexpr int kMostLinks = 40;
  std::error_code error;
  std::filesystem::path at = path;
  for (int i = 0; i < kMostLinks && std::filesystem::is_symlink(at, error); ++i)
    at = at.parent_path() / std::filesystem::read_symlink(at, error);
  return at.string();
}

void write_file(std::string_view who, const std::string& name, std::span<const std::string_view> parts) {
  if (is_special(name)) {
    Descriptor d(::open(name.c_str(), O_WRONLY | O_CLOEXEC));
    if (d.file < 0) refuse(who, name, "cannot be opened: " + reason());
    write_parts(d.file, parts, [&] { refuse(who, name, "cannot be written: " + reason()); });
    return;
  }
  std::string path = followed(name), temporary;
  Descriptor d = create_part(who, path, temporary);
  auto give_up = [&] {
    std::string why = reason();
    ::unlink(temporary.c_str());
    refuse(who, path, "cannot be written: " + why);
  };
  write_parts(d.file, parts, give_up);
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

enum class Kind { file, folder };

/// What in `folder` is named `start` and a suffix of create_part; not those that are locked, or on a file system
/// without locks: somebody may be writing them.
static void remove_left_behind(const std::string& folder, std::string_view start, Kind kind) {
  namespace fs = std::filesystem;
  // A lock that other hosts see takes a file that may be written.
  int flags = O_NOFOLLOW | O_CLOEXEC | (kind == Kind::folder ? O_RDONLY | O_DIRECTORY : O_RDWR | O_NONBLOCK);
  std::error_code error;
  const fs::directory_iterator none;
  for (fs::directory_iterator it(folder, error); !error && it != none; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.starts_with(start) || !is_part_suffix(std::string_view(name).substr(start.size()))) continue;
    Descriptor d(::open(it->path().c_str(), flags));
    struct stat info{};
    if (d.file < 0 || ::fstat(d.file, &info) || ::flock(d.file, LOCK_EX | LOCK_NB)) continue;
    std::error_code gone;
    if (kind == Kind::folder)
      fs::remove_all(it->path(), gone);
    else if (S_ISREG(info.st_mode))
      ::unlink(it->path().c_str());
  }
}

void remove_unfinished(const std::string& path) {
  remove_left_behind(folder_of(path), std::filesystem::path(path).filename().string() + std::string(kPart), Kind::file);
}

UnfinishedFolder::UnfinishedFolder(std::string_view who, const std::filesystem::path& folder) {
  static std::atomic<unsigned> count{0};
  remove_left_behind(folder.string(), kApart, Kind::folder);
  for (;;) {
    path_ = folder / (std::string(kApart) + std::to_string(::getpid()) + "-" + std::to_string(count++));
    if (::mkdir(path_.c_str(), 0755)) {
      if (errno == EEXIST) continue;
      refuse(who, folder.string(), "takes no files: " + reason());
    }
    Descriptor d(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (d.file < 0 && errno != ENOENT) {
      std::string why = reason();
      ::rmdir(path_.c_str());
      refuse(who, path_.string(), "cannot be opened: " + why);
    }
    // Who looked for unfinished folders before the lock was there has removed this one.
    if (d.file < 0 || (::flock(d.file, LOCK_EX) == 0 && !stands_at(d.file, path_))) continue;
    lock_ = std::exchange(d.file, -1);
    return;
  }
}

UnfinishedFolder::~UnfinishedFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  ::close(lock_);
}

}  // namespace tn
