// NumPy's .npz: a ZIP archive of .npy files, stored or deflated, also past 4 GiB (ZIP64).
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
#include <zlib.h>

#include <algorithm>
#include <unordered_set>

#include "base/file.h"
#include "tenon/io.h"
#include "tensor/evaluate.h"
#include "tensor/npy.h"

namespace tn {

namespace {

constexpr u32 kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
              kLocator64 = 0x07064b50;
constexpr u64 kMost32 = 0xFFFFFFFF;
constexpr u64 kMostRatio = 1032;  // deflate cannot do better

[[noreturn]] void bad(const std::string& path, const std::string& message) { fail("npz", "'" + path + "' " + message); }

/// Little-endian numbers at checked places.
class Bytes {
 public:
  Bytes(std::string_view data, const std::string& path) : data_(data), path_(path) {}
  u64 number(u64 at, int width) const {
    std::string_view s = part(at, static_cast<u64>(width));
    u64 v = 0;
    for (int i = width; i-- > 0;) v = v << 8 | static_cast<unsigned char>(s[static_cast<size_t>(i)]);
    return v;
  }
  std::string_view part(u64 at, u64 size) const {
    if (at > data_.size() || size > data_.size() - at) bad(path_, "is cut off, or lies about its parts");
    return data_.substr(at, size);
  }
  u64 size() const { return data_.size(); }

 private:
  std::string_view data_;
  const std::string& path_;
};

struct Directory {
  u64 start, entries;
};

Directory find_directory(const Bytes& b, const std::string& path) {
  constexpr u64 kSize = 22;
  for (u64 back = kSize; back <= std::min<u64>(b.size(), kSize + 65535); ++back) {
    u64 at = b.size() - back;
    if (b.number(at, 4) != kEnd || b.number(at + 20, 2) != back - kSize) continue;
    Directory d{b.number(at + 16, 4), b.number(at + 10, 2)};
    if (d.start != kMost32 && d.entries != 0xFFFF) return d;
    if (at < 20 || b.number(at - 20, 4) != kLocator64) return d;
    u64 end64 = b.number(at - 12, 8);
    if (b.number(end64, 4) != kEnd64) bad(path, "has a broken end record");
    return {b.number(end64 + 48, 8), b.number(end64 + 32, 8)};
  }
  bad(path, "is no .npz file: it does not end like a ZIP archive");
}

struct Entry {
  std::string name;
  u64 method, crc, packed, size, offset;
};

/// Sizes past 4 GiB stand in an extra field, in the order of those that need it.
void read_zip64(const Bytes& b, u64 at, u64 length, Entry& e) {
  for (u64 end = at + length; at + 4 <= end;) {
    u64 id = b.number(at, 2), size = b.number(at + 2, 2), p = at + 4;
    if (id == 1)
      for (u64* v : {&e.size, &e.packed, &e.offset})
        if (*v == kMost32 && p + 8 <= at + 4 + size) *v = b.number(p, 8), p += 8;
    at += 4 + size;
  }
}

std::string inflate_entry(std::string_view packed, const Entry& e, const std::string& path) {
  std::string out(e.size, '\0');
  z_stream z{};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) bad(path, "cannot be inflated: no memory");
  size_t given = 0, made = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    constexpr size_t kMost = size_t{1} << 30;
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + given));
    z.avail_in = static_cast<uInt>(std::min(packed.size() - given, kMost));
    z.next_out = reinterpret_cast<Bytef*>(out.data() + made);
    z.avail_out = static_cast<uInt>(std::min(out.size() - made, kMost));
    uInt in = z.avail_in, room = z.avail_out;
    state = inflate(&z, Z_NO_FLUSH);
    given += in - z.avail_in;
    made += room - z.avail_out;
    if (state == Z_OK && in == z.avail_in && room == z.avail_out) break;
  }
  inflateEnd(&z);
  if (state != Z_STREAM_END || made != out.size()) bad(path, "holds a damaged entry '" + e.name + "'");
  return out;
}

Tensor read_entry(const Bytes& b, const Entry& e, const std::string& path) {
  if (b.number(e.offset, 4) != kLocal) bad(path, "lies about where '" + e.name + "' stands");
  u64 data = e.offset + 30 + b.number(e.offset + 26, 2) + b.number(e.offset + 28, 2);
  std::string_view packed = b.part(data, e.packed);
  if (e.method != 0 && e.method != 8)
    bad(path, "holds '" + e.name + "' packed by method " + std::to_string(e.method) + "; expected stored or deflated");
  if (e.method == 0 ? e.size != e.packed : e.size > kMostRatio * e.packed + 64)
    bad(path, "lies about the size of '" + e.name + "'");
  std::string inflated;
  if (e.method == 8) {
    inflated = inflate_entry(packed, e, path);
    packed = inflated;
  }
  if (crc32_z(0, reinterpret_cast<const Bytef*>(packed.data()), packed.size()) != e.crc)
    bad(path, "holds a damaged entry '" + e.name + "': its checksum differs");
  return handle(new_value(parse_npy(packed, path + ":" + e.name), Location()));
}

void put(std::string& to, u64 v, int width) {
  for (int i = 0; i < width; ++i) to += static_cast<char>(v >> 8 * i);
}

}  // namespace

NamedTensors load_npz(const std::string& path) {
  std::string file = read_file("npz", path);
  Bytes b(file, path);
  Directory d = find_directory(b, path);
  NamedTensors result;
  std::unordered_set<std::string> keys;
  u64 at = d.start, packed = 0;
  for (u64 k = 0; k < d.entries; ++k) {
    if (b.number(at, 4) != kCentral) bad(path, "has a broken directory");
    u64 name = b.number(at + 28, 2), extra = b.number(at + 30, 2), comment = b.number(at + 32, 2);
    Entry e{std::string(b.part(at + 46, name)),
            b.number(at + 10, 2),
            b.number(at + 16, 4),
            b.number(at + 20, 4),
            b.number(at + 24, 4),
            b.number(at + 42, 4)};
    read_zip64(b, at + 46 + name, extra, e);
    b.part(at + 46, name + extra + comment);
    at += 46 + name + extra + comment;
    std::string key = e.name.ends_with(".npy") ? e.name.substr(0, e.name.size() - 4) : e.name;
    if (!keys.insert(key).second) bad(path, "holds '" + key + "' twice");
    // Entries that share bytes would unpack to any size.
    if (__builtin_add_overflow(packed, e.packed, &packed) || packed > b.size())
      bad(path, "claims more bytes for its entries than it holds");
    result.emplace_back(std::move(key), read_entry(b, e, path));
  }
  return result;
}

void save_npz(const std::string& path, const NamedTensors& tensors) {
  std::vector<std::string> owned;  // what is not a tensor's own memory
  owned.reserve(tensors.size() + 1);
  std::vector<std::string_view> parts;
  std::string directory;
  u64 offset = 0;
  std::unordered_set<std::string_view> names;
  for (const auto& [key, x] : tensors) {
    if (!names.insert(key).second) bad(path, "cannot hold '" + key + "' twice");
    const Array& a = value_of(node_of(x, "npz", Location()), Location());
    std::string header = npy_header(a, path), name = key + ".npy";
    std::string_view elements(reinterpret_cast<const char*>(a.bytes_begin()), a.nbytes());
    u64 size = header.size() + elements.size();
    u64 crc = crc32_z(0, reinterpret_cast<const Bytef*>(header.data()), header.size());
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(elements.data()), elements.size());
    std::string common;  // what local and central headers share: version 4.5, UTF-8 names, stored, 1980-01-01
    put(common, 45, 2), put(common, 0x800, 2), put(common, 0, 2), put(common, 0, 2), put(common, 33, 2);
    put(common, crc, 4), put(common, kMost32, 4), put(common, kMost32, 4), put(common, name.size(), 2);
    std::string local;
    put(local, kLocal, 4);
    local += common;
    put(local, 20, 2);
    local += name;
    put(local, 1, 2), put(local, 16, 2), put(local, size, 8), put(local, size, 8);
    put(directory, kCentral, 4), put(directory, 45, 2);
    directory += common;
    put(directory, 28, 2), put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 4);
    put(directory, kMost32, 4);
    directory += name;
    put(directory, 1, 2), put(directory, 24, 2), put(directory, size, 8), put(directory, size, 8);
    put(directory, offset, 8);
    owned.push_back(local + header);
    parts.push_back(owned.back());
    parts.push_back(elements);
    offset += local.size() + size;
  }
  u64 n = tensors.size(), end = offset + directory.size();
  u64 length = directory.size();
  put(directory, kEnd64, 4), put(directory, 44, 8), put(directory, 45, 2), put(directory, 45, 2);
  put(directory, 0, 4), put(directory, 0, 4), put(directory, n, 8), put(directory, n, 8);
  put(directory, length, 8), put(directory, offset, 8);
  put(directory, kLocator64, 4), put(directory, 0, 4), put(directory, end, 8), put(directory, 1, 4);
  put(directory, kEnd, 4), put(directory, 0, 2), put(directory, 0, 2), put(directory, std::min<u64>(n, 0xFFFF), 2);
  put(directory, std::min<u64>(n, 0xFFFF), 2), put(directory, std::min(length, kMost32), 4);
  put(directory, kMost32, 4), put(directory, 0, 2);
  parts.push_back(directory);
  write_file("npz", path, parts);
}

}  // namespace tn
