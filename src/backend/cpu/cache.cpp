// Objects on disk. A file's name is the 128-bit hash of what its code was made of (text, instruction set, emitter);
// inside are a checksum and the text itself, so a collision or a damaged file is seen and rebuilt. Files are written
// beside their place and renamed, so any number of processes share the folder without locks; a file read is touched,
// and when the folder outgrows its bound the ones untouched longest go first.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "backend/cpu/cpu.h"
#include "backend/cpu/llvm_abi.h"
#include "base/hash.h"

namespace tn::cpu {

namespace fs = std::filesystem;

namespace {

struct Header {
  char magic[8];
  u64 version, isa, text_bytes, object_bytes, checksum;
};
constexpr char kMagic[8] = {'T', 'N', 'O', 'B', 'J', '1', '\n', '\0'};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

u64 checksum(std::string_view text, std::span<const std::byte> object) {
  return hash_bytes(object.data(), object.size(), hash_text(text));
}

std::string place(std::string_view text, Isa isa) {
  std::string folder = cache_folder();
  if (folder.empty()) return "";
  loops::KernelKey key = loops::kernel_key(text);
  // Compilers of this library evaluate arguments in different orders, and so do instructions come.
  u64 made_by = mix(mix(static_cast<u64>(isa), kEmitterVersion), hash_text(__VERSION__));
  char file[64];
  std::snprintf(file, sizeof file, "/%016llx%016llx.o", static_cast<unsigned long long>(mix(key.high, made_by)),
                static_cast<unsigned long long>(mix(key.low, made_by)));
  return folder + file;
}

/// A file's bytes; nothing when it cannot be read.
std::optional<std::string> slurp(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  struct stat status{};
  std::optional<std::string> data;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && static_cast<u64>(status.st_size) <= kCacheBytes) {
    data.emplace(static_cast<size_t>(status.st_size), '\0');
    size_t have = 0;
    while (have < data->size()) {
      ssize_t n = read(fd, data->data() + have, data->size() - have);
      if (n <= 0) break;
      have += static_cast<size_t>(n);
    }
    data->resize(have);
    // Used now, for the order of removal; once an hour is often enough.
    if (time(nullptr) - status.st_mtime > 3600) futimens(fd, nullptr);
  }
  close(fd);
  return data;
}

bool write_all(int fd, const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size) {
    ssize_t n = write(fd, at, size);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

/// Looks at the folder's size now and then: at the first write and after each sixteenth of the bound.
void bound_growth(u64 written) {
  static std::atomic<u64> since{kCacheBytes};
  if (since.fetch_add(written) < kCacheBytes / 16) return;
  since = 0;
  trim_cache(kCacheBytes);
}

}  // namespace

std::string cache_folder() {
  std::string folder = environment("TENON_CACHE_DIR");
  if (folder == "off") return "";
  if (!folder.empty()) return folder;
  if (std::string base = environment("XDG_CACHE_HOME"); !base.empty()) return base + "/tenon";
  std::string home = environment("HOME");
  return home.empty() ? "" : home + "/.cache/tenon";
}

std::optional<std::vector<std::byte>> read_cache(std::string_view text, Isa isa) {
  std::string path = place(text, isa);
  if (path.empty()) return std::nullopt;
  auto data = slurp(path);
  if (!data) return std::nullopt;
  Header h{};
  bool whole = data->size() >= sizeof h;
  if (whole) {
    std::memcpy(&h, data->data(), sizeof h);
    whole = std::memcmp(h.magic, kMagic, sizeof kMagic) == 0 && h.version == kEmitterVersion &&
            h.isa == static_cast<u64>(isa) && h.text_bytes <= data->size() && h.object_bytes <= data->size() &&
            sizeof h + h.text_bytes + h.object_bytes == data->size();
  }
  if (whole) {
    std::string_view kept = std::string_view(*data).substr(sizeof h, h.text_bytes);
    auto* first = reinterpret_cast<const std::byte*>(data->data()) + sizeof h + h.text_bytes;
    std::span<const std::byte> object(first, h.object_bytes);
    if (h.checksum == checksum(kept, object)) {
      if (kept != text) return std::nullopt;  // another kernel of the same hash: both stay right
      return std::vector<std::byte>(object.begin(), object.end());
    }
  }
  unlink(path.c_str());
  return std::nullopt;
}

void write_cache(std::string_view text, Isa isa, std::span<const std::byte> object) {
  std::string path = place(text, isa);
  if (path.empty()) return;
  std::error_code ignored;
  fs::create_directories(cache_folder(), ignored);
  static std::atomic<u64> count{0};
  std::string beside = path + "." + std::to_string(getpid()) + "." + std::to_string(count++) + ".part";
  int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return;
  Header h{};
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.version = kEmitterVersion;
  h.isa = static_cast<u64>(isa);
  h.text_bytes = text.size();
  h.object_bytes = object.size();
  h.checksum = checksum(text, object);
  bool written = write_all(fd, &h, sizeof h) && write_all(fd, text.data(), text.size()) &&
                 write_all(fd, object.data(), object.size());
  written = close(fd) == 0 && written;
  if (!written || rename(beside.c_str(), path.c_str()) != 0) {
    unlink(beside.c_str());
    return;
  }
  bound_growth(sizeof h + text.size() + object.size());
}

void trim_cache(u64 bytes) {
  struct Entry {
    fs::file_time_type used;
    u64 size;
    fs::path path;
  };
  std::string folder = cache_folder();
  if (folder.empty()) return;
  std::vector<Entry> entries;
  u64 total = 0;
  std::error_code error;
  auto now = fs::file_time_type::clock::now();
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    auto used = it->last_write_time(gone);
    u64 size = gone ? 0 : it->file_size(gone);
    if (gone) continue;
    bool part = it->path().extension() == ".part";
    if (part && now - used > std::chrono::hours(1)) fs::remove(it->path(), gone);
    if (part || it->path().extension() != ".o") continue;
    entries.push_back({used, size, it->path()});
    total += size;
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  // Down to three quarters, so that a full cache is not looked through at every write.
  u64 wanted = total > bytes ? bytes / 4 * 3 : total;
  for (const Entry& e : entries) {
    if (total <= wanted) break;
    std::error_code gone;
    fs::remove(e.path, gone);
    total -= e.size;
  }
}

}  // namespace tn::cpu
