#include "engine/plan_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/hash.h"
#include "ir/graph_text.h"
#include "tenon/error.h"

namespace tn::engine {

namespace {

constexpr std::string_view kMagic = "TENONPLN";
constexpr std::string_view PlanFile::* kSections[] = {&PlanFile::manifest, &PlanFile::graph, &PlanFile::code,
                                                      &PlanFile::objects, &PlanFile::data};
constexpr size_t kHead = 32, kCount = std::size(kSections), kTable = kCount * 16;

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

size_t padding(size_t at) { return (kAlignment - at % kAlignment) % kAlignment; }

}  // namespace

// Four sums side by side: one alone would wait for each of its products.
u64 checksum(std::string_view bytes) {
  u64 sums[4] = {1, 2, 3, 4};
  size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32)
    for (size_t k = 0; k < 4; ++k) sums[k] = mix(sums[k], number_at<u64>(bytes, at + 8 * k));
  u64 sum = hash_bytes(bytes.data() + at, bytes.size() - at);
  for (u64 s : sums) sum = mix(sum, s);
  return sum;
}

void refuse(const std::string& name, const std::string& why) { fail("plan", "'" + name + "': " + why); }

std::vector<std::string> framed(const PlanFile& file) {
  std::string table, body;
  size_t start = kHead + kTable;
  for (auto section : kSections) {
    std::string_view part = file.*section;
    body.append(padding(start + body.size()), '\0');
    put(table, static_cast<u64>(start + body.size()));
    put(table, static_cast<u64>(part.size()));
    body += part;
  }
  std::string rest = table + body, head(kMagic);
  put(head, kPlanFormat);
  put(head, static_cast<u32>(kCount));
  put(head, static_cast<u64>(kHead + rest.size()));
  put(head, checksum(rest));
  return {std::move(head), std::move(rest)};
}

PlanFile sections_of(std::string_view bytes, const std::string& name) {
  if (bytes.size() < kHead || bytes.substr(0, 8) != kMagic) refuse(name, "expected a plan file, got something else");
  if (u32 version = number_at<u32>(bytes, 8); version != kPlanFormat)
    refuse(name, "expected format version " + std::to_string(kPlanFormat) + ", got " + std::to_string(version) +
                     "; build the plan again with this Tenon");
  if (u64 size = number_at<u64>(bytes, 16); size != bytes.size())
    refuse(name, "expected " + std::to_string(size) + " bytes, got " + std::to_string(bytes.size()) +
                     "; the file is truncated or damaged");
  if (bytes.size() < kHead + kTable || number_at<u32>(bytes, 12) != kCount ||
      number_at<u64>(bytes, 24) != checksum(bytes.substr(kHead)))
    refuse(name, "expected the checksum written in it, got another; the file is damaged");
  PlanFile file;
  for (size_t i = 0; i < kCount; ++i) {
    u64 offset = number_at<u64>(bytes, kHead + i * 16), size = number_at<u64>(bytes, kHead + i * 16 + 8);
    if (offset % kAlignment || offset > bytes.size() || size > bytes.size() - offset)
      refuse(name, "expected sections within the file, got one beyond its end; the file is damaged");
    file.*kSections[i] = bytes.substr(offset, size);
  }
  return file;
}

std::shared_ptr<void> map_file(const std::string& path, std::string_view& bytes) {
  int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // a pipe must not hold it up: it is refused
  if (file < 0) refuse(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat info{};
  bool regular = !::fstat(file, &info) && S_ISREG(info.st_mode);
  auto size = static_cast<size_t>(info.st_size);
  void* memory = regular && size ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0) : MAP_FAILED;
  ::close(file);
  if (!regular) refuse(path, "expected a plan file, got what is no regular file");
  if (memory == MAP_FAILED) refuse(path, "expected a plan file, got an empty file or none that can be mapped");
  bytes = {static_cast<const char*>(memory), size};
  return {memory, [size](void* p) { ::munmap(p, size); }};
}

// ---------------------------------------------------------------- manifest

std::string to_string(const Manifest& m) {
  std::string s = "code " + std::to_string(m.code) + "\nisa " + m.isa + "\n";
  for (const auto& i : m.inputs) s += "input " + quote(i) + "\n";
  for (const auto& o : m.outputs) s += "output " + quote(o) + "\n";
  for (const auto& [key, value] : m.metadata) s += "metadata " + quote(key) + " " + quote(value) + "\n";
  for (const ShapeProfile& p : m.profiles)
    s += "profile " + quote(p.name) + " " + std::to_string(p.min) + " " + std::to_string(p.opt) + " " +
         std::to_string(p.max) + "\n";
  for (const auto& pass : m.without) s += "without " + quote(pass) + "\n";
  for (const auto& a : m.arrays) s += "array " + to_string(a.type) + " " + std::to_string(a.offset) + "\n";
  for (const auto& [name, array] : m.constants) s += "constant " + quote(name) + " " + std::to_string(array) + "\n";
  for (const auto& k : m.kernels) s += "kernel " + std::to_string(k.offset) + " " + std::to_string(k.bytes) + "\n";
  return s;
}

Manifest parse_manifest(std::string_view text) {
  Manifest m;
  Cursor c(text, "plan");
  auto count = [&] {
    i64 n = c.integer();
    if (n < 0) c.fail_expected("a number of at least 0");
    return static_cast<u64>(n);
  };
  while (!c.at_end()) {
    std::string_view word = c.word();
    if (word == "code")
      m.code = c.integer();
    else if (word == "isa")
      m.isa = c.word();
    else if (word == "input")
      m.inputs.push_back(c.quoted());
    else if (word == "output")
      m.outputs.push_back(c.quoted());
    else if (word == "without")
      m.without.push_back(c.quoted());
    else if (word == "metadata") {
      std::string key = c.quoted();
      m.metadata.emplace_back(std::move(key), c.quoted());
    } else if (word == "profile") {
      ShapeProfile p{c.quoted()};
      p.min = c.integer(), p.opt = c.integer(), p.max = c.integer();
      m.profiles.push_back(std::move(p));
    } else if (word == "array") {
      Type t = parse_type(c);
      m.arrays.push_back({t, count()});
    } else if (word == "constant") {
      std::string name = c.quoted();
      m.constants.emplace_back(std::move(name), count());
    } else if (word == "kernel") {
      u64 offset = count();
      m.kernels.push_back({offset, count()});
    } else {
      c.fail_expected("a line of a manifest");
    }
  }
  return m;
}

}  // namespace tn::engine
