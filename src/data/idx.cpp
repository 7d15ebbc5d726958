// IDX: 2 zero bytes, a type code, the rank, big-endian 32-bit extents, big-endian elements. zlib reads plain files too.
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include "tenon/data.h"

namespace tn::data {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& expected, const std::string& got) {
  fail("load_idx", "'" + path + "': expected " + expected + ", got " + got);
}

struct Close {
  void operator()(gzFile f) const { gzclose(f); }
};
using File = std::unique_ptr<std::remove_pointer_t<gzFile>, Close>;

void read(gzFile file, const std::string& path, void* out, size_t size) {
  auto* at = static_cast<unsigned char*>(out);
  while (size) {
    auto piece = static_cast<unsigned>(std::min<size_t>(size, 1u << 30));
    int got = gzread(file, at, piece);
    if (got <= 0) refuse(path, "as many bytes as its header says", "a file that ends early or is damaged");
    at += got;
    size -= static_cast<size_t>(got);
  }
}

/// Memory grows with what is there to read: a header that lies takes no more than twice that.
std::vector<unsigned char> read_elements(gzFile file, const std::string& path, size_t size) {
  constexpr size_t kFirst = 1 << 20;
  std::vector<unsigned char> raw;
  for (size_t at = 0; at < size; at = raw.size()) {
    raw.resize(std::min(size, std::max(kFirst, 2 * at)));
    read(file, path, raw.data() + at, raw.size() - at);
  }
  return raw;
}

DType dtype_of_code(const std::string& path, unsigned code) {
  switch (code) {
    case 0x08: return DType::u8;
    case 0x09: return DType::i8;
    case 0x0C: return DType::i32;
    case 0x0D: return DType::f32;
    case 0x0E: return DType::f64;
    default: refuse(path, "an IDX element type of u8, i8, i32, f32 or f64", "type code " + std::to_string(code));
  }
}

void swap_elements(std::vector<unsigned char>& bytes_, size_t width) {
  for (size_t i = 0; width > 1 && i + width <= bytes_.size(); i += width)
    std::reverse(bytes_.begin() + static_cast<std::ptrdiff_t>(i),
                 bytes_.begin() + static_cast<std::ptrdiff_t>(i + width));
}

}  // namespace

Tensor load_idx(const std::string& path) {
  struct stat info{};
  // Before it is opened: a pipe would hold that up.
  if (!stat(path.c_str(), &info) && !S_ISREG(info.st_mode)) refuse(path, "a regular file", "something else");
  File file(gzopen(path.c_str(), "rb"));
  if (!file) refuse(path, "a readable file", "one that cannot be opened");
  std::array<unsigned char, 4> head{};
  read(file.get(), path, head.data(), 4);
  if (head[0] || head[1] || head[3] == 0 || head[3] > 8) refuse(path, "an IDX file of rank 1 to 8", "another header");
  DType dtype = dtype_of_code(path, head[2]);
  Shape shape;
  u64 size = static_cast<u64>(bytes(dtype));
  for (unsigned i = 0; i < head[3]; ++i) {
    std::array<unsigned char, 4> e{};
    read(file.get(), path, e.data(), 4);
    u64 extent = u64{e[0]} << 24 | u64{e[1]} << 16 | u64{e[2]} << 8 | e[3];
    shape.push_back(static_cast<i64>(extent));
    if (__builtin_mul_overflow(size, extent, &size)) refuse(path, "extents whose product fits 64 bits", "larger ones");
  }
  // deflate packs at most 1032 to 1
  u64 most = static_cast<u64>(info.st_size) * (gzdirect(file.get()) ? 1 : 1032);
  if (size > most)
    refuse(path, std::to_string(size) + " bytes of elements", "a file of " + std::to_string(info.st_size) + " bytes");
  std::vector<unsigned char> raw = read_elements(file.get(), path, size);
  unsigned char more;
  int code = Z_OK, got = gzread(file.get(), &more, 1);
  if (got > 0) refuse(path, "nothing after the elements", "more bytes");
  gzerror(file.get(), &code);  // the checksum at a packed file's end
  if (got < 0 || code != Z_OK)
    refuse(path, "a packed file with a checksum that fits", "one that is cut off or damaged");
  swap_elements(raw, static_cast<size_t>(bytes(dtype)));
  return from_data(raw.data(), shape, dtype);
}

}  // namespace tn::data
