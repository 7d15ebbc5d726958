#include <sys/stat.h>
#include <tenon/data.h>
#include <zlib.h>

#include <cstring>

#include "base/memory.h"
#include "files.h"

namespace tn::data {
namespace {

std::string big_endian(u32 v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}

std::string header(char code, const std::vector<u32>& extents) {
  std::string h{'\0', '\0', code, static_cast<char>(extents.size())};
  for (u32 e : extents) h += big_endian(e);
  return h;
}

std::string gzipped(const std::string& bytes) {
  TemporaryFile file("packed");
  gzFile out = gzopen(file.path.c_str(), "wb9");
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
  return file.read();
}

template <class T>
std::string swapped(const std::vector<T>& values) {
  std::string bytes;
  for (T v : values) {
    char raw[sizeof(T)];
    std::memcpy(raw, &v, sizeof v);
    for (size_t i = sizeof(T); i-- > 0;) bytes += raw[i];
  }
  return bytes;
}

template <class T>
void reads(char code, DType dtype, const std::vector<T>& values) {
  std::string bytes = header(code, {2, static_cast<u32>(values.size()) / 2}) + swapped(values);
  for (const std::string& content : {bytes, gzipped(bytes)}) {
    TemporaryFile file("idx");
    file.write(content);
    Tensor t = load_idx(file.path);
    EXPECT_EQ(t.dtype(), dtype);
    EXPECT_EQ(t.size(0), 2);
    EXPECT_EQ(t.to_vector<double>(), std::vector<double>(values.begin(), values.end()));
  }
}

TEST(Idx, EveryType) {
  reads<unsigned char>(0x08, DType::u8, {0, 1, 254, 255});
  reads<signed char>(0x09, DType::i8, {-128, -1, 0, 127});
  reads<int>(0x0C, DType::i32, {-2147483647, -1, 7, 2147483647});
  reads<float>(0x0D, DType::f32, {-1.5f, 3e38f, 0.f, 1e-40f});
  reads<double>(0x0E, DType::f64, {-1.5, 1e300, 0., 1e-310});
}

TEST(Idx, EmptyAndLarge) {
  TemporaryFile file("idx");
  file.write(header(8, {0, 28, 28}));
  EXPECT_EQ(load_idx(file.path).size(), 0);
  std::string many(3 << 20, '\7');
  file.write(gzipped(header(8, {3, 1024, 1024}) + many));
  Tensor t = load_idx(file.path);
  EXPECT_EQ(t.data<u8>()[t.size() - 1], 7);
}

void refuses(const std::string& content, const std::string& text) {
  TemporaryFile file("idx");
  file.write(content);
  size_t before = live_block_bytes();
  reset_peak_block_bytes();
  expect_error([&] { load_idx(file.path); }, text);
  expect_error([&] { load_idx(file.path); }, file.path);
  EXPECT_LE(peak_block_bytes(), before + (1 << 20));
}

TEST(Idx, HostileFiles) {
  std::string good = header(8, {2, 3}) + "abcdef";
  for (size_t n = 0; n < good.size(); ++n) refuses(good.substr(0, n), "expected");
  std::string packed = gzipped(good);
  for (size_t n = 0; n < packed.size() - 1; n += 3) refuses(packed.substr(0, n), "expected");
  refuses(good + "g", "more bytes");
  refuses(gzipped(good + "g"), "more bytes");
  refuses("\1" + good.substr(1), "another header");
  refuses(header(7, {2}) + "ab", "type code 7");
  refuses(std::string("\0\0\x08\0", 4), "rank 1 to 8");
  refuses(header(8, std::vector<u32>(9, 1)) + "a", "rank 1 to 8");
  refuses(header(8, {0xffffffff, 2}) + "ab", "bytes of elements");
  refuses(header(8, {0xffffffff, 0xffffffff, 0xffffffff}) + "ab", "fits 64 bits");
  refuses(gzipped(header(8, {60000, 784}) + "ab"), "bytes of elements");
  // A packed file long enough for what it claims, which holds less.
  std::string noise;
  for (u32 i = 0, v = 1; i < 100000; ++i) noise += static_cast<char>((v = v * 1664525 + 1013904223) >> 24);
  refuses(gzipped(header(8, {100, 1000, 1000}) + noise), "ends early");
  std::string damaged = packed;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // of the checksum
  refuses(damaged, "expected");
}

TEST(Idx, NoFile) {
  expect_error([] { load_idx("/nowhere/at-all"); }, "cannot be opened");
  expect_error([] { load_idx(testing::TempDir()); }, "regular file");
  TemporaryFile pipe("pipe");
  ASSERT_EQ(::mkfifo(pipe.path.c_str(), 0600), 0);  // must not hold it up
  expect_error([&] { load_idx(pipe.path); }, "regular file");
}

}  // namespace
}  // namespace tn::data
