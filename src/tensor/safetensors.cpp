// .safetensors: a length, a JSON table of names, dtypes, shapes and places, then the elements.
// https://huggingface.co/docs/safetensors
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "tenon/io.h"
#include "tensor/evaluate.h"

namespace tn {

namespace {

using Json = nlohmann::ordered_json;

constexpr u64 kMostHeader = 100'000'000;
constexpr int kMostDepth = 4;
constexpr std::pair<std::string_view, DType> kNames[] = {
    {"F64", DType::f64}, {"F32", DType::f32}, {"F16", DType::f16}, {"BF16", DType::bf16}, {"I64", DType::i64},
    {"I32", DType::i32}, {"I8", DType::i8},   {"U32", DType::u32}, {"U8", DType::u8},     {"BOOL", DType::boolean}};

[[noreturn]] void bad(const std::string& path, const std::string& message) {
  fail("safetensors", "'" + path + "' " + message);
}

/// A file's bytes, unmapped with the last tensor that stands in them.
struct Mapping {
  void* data = nullptr;
  size_t size = 0;
  ~Mapping() {
    if (data) munmap(data, size);
  }
};

std::shared_ptr<Mapping> map_file(const std::string& path) {
  int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // a pipe must not hold it up: it is refused
  if (file < 0) bad(path, std::string("cannot be opened: ") + std::strerror(errno));
  auto mapping = std::make_shared<Mapping>();
  struct stat info{};
  bool regular = !::fstat(file, &info) && S_ISREG(info.st_mode);
  if (regular && info.st_size > 0) {
    mapping->size = static_cast<size_t>(info.st_size);
    void* p = mmap(nullptr, mapping->size, PROT_READ, MAP_PRIVATE, file, 0);
    if (p != MAP_FAILED) mapping->data = p;
  }
  ::close(file);
  if (!regular) bad(path, "is no regular file");
  if (!mapping->data) bad(path, "cannot be mapped, or is empty");
  return mapping;
}

Json parse_table(std::string_view text, const std::string& path) {
  std::set<std::string> names;
  auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kMostDepth) bad(path, "nests its header deeper than the format does");
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second)
      bad(path, "holds '" + value.get<std::string>() + "' twice");
    return true;
  };
  try {
    Json table = Json::parse(text, check);
    if (!table.is_object()) bad(path, "has a header that is no table");
    return table;
  } catch (const Json::exception& e) { bad(path, std::string("has a header that is no JSON: ") + e.what()); }
}

u64 number(const Json& j, const std::string& path, const std::string& name) {
  if (!j.is_number_unsigned() || j.get<u64>() > u64{1} << 62) bad(path, "has a broken number for '" + name + "'");
  return j.get<u64>();
}

const Json& field(const Json& entry, const char* key, const std::string& path, const std::string& name) {
  auto found = entry.is_object() ? entry.find(key) : entry.end();
  if (!entry.is_object() || found == entry.end()) bad(path, "lacks '" + std::string(key) + "' for '" + name + "'");
  return *found;
}

DType dtype_named(const Json& j, const std::string& path, const std::string& name) {
  std::string text = j.is_string() ? j.get<std::string>() : j.dump().substr(0, 32);
  for (const auto& [known, dtype] : kNames)
    if (known == text) return dtype;
  bad(path, "holds '" + name + "' of dtype '" + text + "'; expected one of F64 F32 F16 BF16 I64 I32 I8 U32 U8 BOOL");
}

/// Where one tensor stands.
struct Place {
  std::string name;
  DType dtype;
  std::vector<i64> shape;
  u64 begin, end;
};

Place place_of(const std::string& name, const Json& entry, u64 available, const std::string& path) {
  Place p{name, dtype_named(field(entry, "dtype", path, name), path, name), {}, 0, 0};
  const Json &shape = field(entry, "shape", path, name), &offsets = field(entry, "data_offsets", path, name);
  if (!shape.is_array() || !offsets.is_array() || offsets.size() != 2)
    bad(path, "has a broken shape or place for '" + name + "'");
  i64 size = bytes(p.dtype);
  for (const Json& extent : shape) {
    p.shape.push_back(static_cast<i64>(number(extent, path, name)));
    if (__builtin_mul_overflow(size, p.shape.back(), &size))
      bad(path, "claims a size that does not fit 64 bits for '" + name + "'");
  }
  p.begin = number(offsets[0], path, name);
  p.end = number(offsets[1], path, name);
  if (p.begin > p.end || p.end > available || p.end - p.begin != static_cast<u64>(size))
    bad(path, "places '" + name + "' at " + std::to_string(p.begin) + " to " + std::to_string(p.end) + "; expected " +
                  std::to_string(size) + " bytes within the " + std::to_string(available) + " it holds");
  return p;
}

void check_places(std::vector<Place> places, const std::string& path) {
  // An empty tensor begins where the next one does.
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  for (size_t k = 1; k < places.size(); ++k)
    if (places[k].begin < places[k - 1].end)
      bad(path, "places '" + places[k].name + "' over '" + places[k - 1].name + "'");
}

/// The elements where they are mapped, or a copy where they are not aligned.
Array array_at(const Place& p, const std::shared_ptr<Mapping>& file, u64 base) {
  std::byte* data = static_cast<std::byte*>(file->data) + base + p.begin;
  bool aligned = reinterpret_cast<std::uintptr_t>(data) % static_cast<size_t>(bytes(p.dtype)) == 0;
  if (aligned && p.dtype != DType::boolean) return {p.dtype, p.shape, Storage::borrow(data, p.end - p.begin, file)};
  Array a = Array::empty(p.dtype, p.shape);
  if (p.end > p.begin) std::memcpy(a.bytes_begin(), data, p.end - p.begin);
  if (p.dtype == DType::boolean)
    for (i64 i = 0; i < a.size(); ++i) a.data<u8>()[i] = a.data<u8>()[i] != 0;
  return a;
}

}  // namespace

SafeTensors load_safetensors(const std::string& path) {
  std::shared_ptr<Mapping> file = map_file(path);
  u64 length = 0;
  if (file->size < sizeof length) bad(path, "is cut off");
  std::memcpy(&length, file->data, sizeof length);
  if (length > kMostHeader || length > file->size - sizeof length)
    bad(path, "claims a header of " + std::to_string(length) + " bytes and holds " + std::to_string(file->size));
  u64 base = sizeof length + length;
  Json table = parse_table({static_cast<const char*>(file->data) + sizeof length, length}, path);
  SafeTensors result;
  std::vector<Place> places;
  for (const auto& [name, entry] : table.items()) {
    if (name != "__metadata__") {
      places.push_back(place_of(name, entry, file->size - base, path));
      continue;
    }
    if (!entry.is_object()) bad(path, "has metadata that is no table");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) bad(path, "has metadata '" + key + "' that is no string");
      result.metadata.emplace_back(key, value.get<std::string>());
    }
  }
  check_places(places, path);
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.begin < b.begin; });
  for (const Place& p : places)
    result.tensors.emplace_back(p.name, handle(new_value(array_at(p, file, base), Location())));
  return result;
}

void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::vector<std::pair<std::string, std::string>>& metadata) {
  Json table = Json::object();
  for (const auto& [key, value] : metadata) table["__metadata__"][key] = value;
  std::vector<const Array*> arrays;
  u64 at = 0;
  for (const auto& [name, x] : tensors) {
    if (name == "__metadata__") bad(path, "cannot hold a tensor named '__metadata__', which is the format's own");
    if (table.contains(name)) bad(path, "cannot hold '" + name + "' twice");
    const Array& a = value_of(node_of(x, "safetensors", Location()), Location());
    std::string_view dtype;
    for (const auto& [known, d] : kNames)
      if (d == a.dtype) dtype = known;
    table[name] = {{"dtype", dtype}, {"shape", a.shape}, {"data_offsets", {at, at + a.nbytes()}}};
    at += a.nbytes();
    arrays.push_back(&a);
  }
  std::string header = table.dump(-1, ' ', false, Json::error_handler_t::replace);
  header.append((64 - (sizeof(u64) + header.size()) % 64) % 64, ' ');
  u64 length = header.size();
  header.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  std::vector<std::string_view> parts{header};
  for (const Array* a : arrays) parts.emplace_back(reinterpret_cast<const char*>(a->bytes_begin()), a->nbytes());
  write_file("safetensors", path, parts);
}

}  // namespace tn
