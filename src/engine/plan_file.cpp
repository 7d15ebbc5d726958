#include "engine/plan_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/hash.h"
#include "tenon/error.h"

namespace tn::engine {

namespace {

constexpr std::string_view kMagic = "TENONPLN";
constexpr size_t kHead = 32, kSections = 4, kTable = kSections * 16;

struct Range {
  u64 offset, bytes;
};

[[noreturn]] void refuse(const std::string& path, const std::string& why) { fail("plan", "'" + path + "': " + why); }

template <class T>
void put(std::string& to, T v) {
  to.append(reinterpret_cast<const char*>(&v), sizeof v);
}

template <class T>
T number_at(std::string_view bytes, size_t at) {
  T v;
  std::memcpy(&v, bytes.data() + at, sizeof v);
  return v;
}

std::string kernel_section(const std::vector<StoredKernel>& kernels) {
  std::string s;
  put(s, static_cast<u64>(kernels.size()));
  for (const StoredKernel& k : kernels) {
    put(s, static_cast<u64>(k.text.size()));
    put(s, static_cast<u64>(k.object.size()));
  }
  for (const StoredKernel& k : kernels) (s += k.text) += k.object;
  return s;
}

std::vector<StoredKernel> kernels_of(const std::string& path, std::string_view section) {
  auto damaged = [&] { refuse(path, "expected a table of kernels that fits its section, got a damaged one"); };
  if (section.size() < 8) damaged();
  u64 count = number_at<u64>(section, 0);
  if (count > (section.size() - 8) / 16) damaged();
  size_t at = 8 + static_cast<size_t>(count) * 16;
  auto take = [&](u64 bytes) {
    if (bytes > section.size() - at) damaged();
    std::string_view piece = section.substr(at, bytes);
    at += bytes;
    return piece;
  };
  std::vector<StoredKernel> kernels;
  for (u64 i = 0; i < count; ++i) {
    size_t entry = 8 + static_cast<size_t>(i) * 16;
    std::string_view text = take(number_at<u64>(section, entry));
    kernels.push_back({text, take(number_at<u64>(section, entry + 8))});
  }
  return kernels;
}

std::shared_ptr<void> map_file(const std::string& path, std::string_view& bytes) {
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) refuse(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat info{};
  bool regular = !::fstat(file, &info) && S_ISREG(info.st_mode);
  auto size = static_cast<size_t>(info.st_size);
  void* memory = regular && size ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
  ::close(file);
  if (memory == MAP_FAILED) refuse(path, "expected a plan file, got an empty file or none that can be mapped");
  bytes = {static_cast<const char*>(memory), size};
  return {memory, [size](void* p) { ::munmap(p, size); }};
}

}  // namespace

void write_plan_file(const std::string& path, const PlanFile& file) {
  std::string kernels = kernel_section(file.kernels);
  const std::string_view parts[kSections] = {file.header, file.graph, file.data, kernels};
  // Sections lie at multiples of 64, so that mapped constants are aligned as kernels want them.
  std::string table, body;
  size_t at = kHead + kTable;
  for (std::string_view part : parts) {
    body.append((64 - at % 64) % 64, '\0');
    at += (64 - at % 64) % 64;
    put(table, static_cast<u64>(at));
    put(table, static_cast<u64>(part.size()));
    body += part;
    at += part.size();
  }
  std::string head(kMagic);
  put(head, kPlanFormat);
  put(head, static_cast<u32>(kSections));
  put(head, static_cast<u64>(at));
  std::string rest = table + body;
  put(head, hash_bytes(rest.data(), rest.size()));
  const std::string_view all[] = {head, rest};
  write_file("plan", path, all);
}

PlanFile read_plan_file(const std::string& path) {
  std::string_view bytes;
  PlanFile file;
  file.mapping = map_file(path, bytes);
  if (bytes.size() < kHead + kTable || bytes.substr(0, 8) != kMagic)
    refuse(path, "expected a plan file, got something else");
  u32 version = number_at<u32>(bytes, 8);
  if (version != kPlanFormat)
    refuse(path, "expected format version " + std::to_string(kPlanFormat) + ", got " + std::to_string(version) +
                     "; build the plan again with this Tenon");
  if (number_at<u64>(bytes, 16) != bytes.size())
    refuse(path, "expected " + std::to_string(number_at<u64>(bytes, 16)) + " bytes, got " +
                     std::to_string(bytes.size()) + "; the file is truncated");
  if (number_at<u32>(bytes, 12) != kSections ||
      number_at<u64>(bytes, 24) != hash_bytes(bytes.data() + kHead, bytes.size() - kHead))
    refuse(path, "expected the checksum written in it, got another; the file is damaged");
  auto section = [&](size_t i) {
    u64 offset = number_at<u64>(bytes, kHead + i * 16), size = number_at<u64>(bytes, kHead + i * 16 + 8);
    if (offset > bytes.size() || size > bytes.size() - offset)
      refuse(path, "expected sections within the file, got one beyond its end");
    return bytes.substr(offset, size);
  };
  file.header = section(0);
  file.graph = section(1);
  file.data = section(2);
  file.kernels = kernels_of(path, section(3));
  return file;
}

}  // namespace tn::engine
