// Seeds of the readers of tensors and pictures.
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/file.h"
#include "targets.h"
#include "tenon/io.h"
#include "tenon/ops.h"

namespace tn::fuzz {

namespace {

/// What `save` writes to the path it is given.
std::string saved(const std::function<void(const std::string&)>& save) {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "tenon-seed-XXXXXX").string();
  fs::path folder = mkdtemp(pattern.data());
  std::string path = (folder / "seed").string();
  save(path);
  std::string bytes = read_file("seeds", path);
  fs::remove_all(folder);
  return bytes;
}

std::string npy(const Tensor& x) {
  return saved([&](const std::string& path) { save_npy(path, x); });
}

std::string deflated(std::string_view bytes, int window_bits) {
  z_stream z{};
  deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, bytes.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string little(u64 v, int width) {
  std::string s;
  for (int i = 0; i < width; ++i) s += static_cast<char>(v >> 8 * i);
  return s;
}

/// A ZIP archive of one deflated entry, without ZIP64.
std::string zip(const std::string& name, std::string_view bytes) {
  std::string packed = deflated(bytes, -MAX_WBITS);
  std::string sizes =
      little(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())), 4) +
      little(packed.size(), 4) + little(bytes.size(), 4) + little(name.size(), 2) + little(0, 2);
  std::string common = little(20, 2) + little(0, 2) + little(8, 2) + little(0, 2) + little(33, 2) + sizes;
  std::string local = "PK\3\4" + common + name + packed;
  std::string central = "PK\1\2" + little(20, 2) + common + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) +
                        little(0, 4) + name;
  return local + central + "PK\5\6" + little(0, 4) + little(1, 2) + little(1, 2) + little(central.size(), 4) +
         little(local.size(), 4) + little(0, 2);
}

std::string idx(unsigned code, std::initializer_list<unsigned> extents, const std::string& elements) {
  std::string s{'\0', '\0', static_cast<char>(code), static_cast<char>(extents.size())};
  for (unsigned e : extents)
    for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(e >> shift);
  return s + elements;
}

}  // namespace

Seeds npy_seeds() {
  auto written = [](const std::string& header, const std::string& elements) {
    return "\x93NUMPY\1" + std::string(1, '\0') + little(header.size(), 2) + header + elements;
  };
  return {
      {"f32", npy(reshape(arange(6), {2, 3}))},
      {"scalar", npy(Tensor(2.5))},
      {"empty", npy(zeros({0, 4}))},
      {"bool", npy(ones({3}, DType::boolean))},
      {"fortran", written("{'descr': '>i4', 'fortran_order': True, 'shape': (2, 2), }", std::string(16, '\1'))},
      {"bad_extent", written("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", "1234")},
      {"bad_dtype", written("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "12345678")}};
}

Seeds npz_seeds() {
  NamedTensors two{{"a", reshape(arange(6), {2, 3})}, {"b", ones({3}, DType::i64)}};
  std::string stored = saved([&](const std::string& path) { save_npz(path, two); });
  std::string packed = zip("a.npy", npy(zeros({64})));
  return {{"stored", stored}, {"deflated", packed}, {"bad_cut", stored.substr(0, stored.size() / 2)}};
}

Seeds safetensors_seeds() {
  NamedTensors two{{"a", reshape(arange(6), {2, 3})}, {"b", ones({3}, DType::bf16)}, {"c", ones({2}, DType::boolean)}};
  auto bytes = saved([&](const std::string& path) { save_safetensors(path, two, {{"made", "here"}}); });
  std::string lies = R"({"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,8]}})";
  return {{"three", bytes}, {"bad_size", little(lies.size(), 8) + lies + "12345678"}};
}

Seeds idx_seeds() {
  std::string pixels = idx(8, {2, 3}, "abcdef");
  return {{"u8", pixels},
          {"u8.gz", deflated(pixels, MAX_WBITS + 16)},
          {"f32", idx(13, {2}, std::string(8, '\1'))},
          {"bad_extent", idx(8, {~0u, ~0u, ~0u}, "abc")}};
}

}  // namespace tn::fuzz
