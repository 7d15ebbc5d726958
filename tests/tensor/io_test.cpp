// Tensor files: round trips, and readers that trust nothing.
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "expect.h"

namespace tn {
namespace {

class Files : public testing::Test {
 public:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tenon-io-XXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  ~Files() override { std::filesystem::remove_all(folder); }

 protected:
  std::string path(const std::string& name) const { return (folder / name).string(); }
  size_t count() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {})); }
  std::filesystem::path folder;
};

NamedTensors examples() {
  NamedTensors all_dtypes;
  for (DType d :
       {DType::f64, DType::f32, DType::f16, DType::i64, DType::i32, DType::i8, DType::u32, DType::u8, DType::boolean})
    all_dtypes.emplace_back("t." + std::string(name(d)), cast(cast(reshape(arange(6), {2, 3}), DType::f32), d));
  all_dtypes.emplace_back("scalar", Tensor(2.5));
  all_dtypes.emplace_back("empty", zeros({0, 4}));
  return all_dtypes;
}

void expect_same(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, x] : a)
    for (const auto& [other, y] : b)
      if (name == other) {
        EXPECT_EQ(to_string(x.type()), to_string(y.type())) << name;
        EXPECT_EQ(x.to_vector(), y.to_vector()) << name;
      }
}

TEST_F(Files, NpyRoundTrip) {
  for (const auto& [name, x] : examples()) {
    save_npy(path("x.npy"), x);
    Tensor y = load_npy(path("x.npy"));
    EXPECT_EQ(to_string(x.type()), to_string(y.type()));
    EXPECT_EQ(x.to_vector(), y.to_vector());
  }
  EXPECT_EQ(count(), 1u);  // nothing temporary is left
  expect_error([&] { save_npy(path("b.npy"), zeros({2}, DType::bf16)); }, "bf16");
  expect_error([&] { save_npy(path("no/x.npy"), zeros({2})); }, "cannot be created");
  expect_error([&] { load_npy(path("none.npy")); }, "none.npy");
}

TEST_F(Files, NpyOfOtherOrders) {
  auto write = [&](const std::string& header, const std::string& data) {
    std::string bytes = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header + data;
    write_file("test", path("o.npy"), bytes);
    return load_npy(path("o.npy"));
  };
  Tensor big = write("{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }", std::string("\0\0\0\1\0\0\1\0", 8));
  EXPECT_EQ(big.to_vector(), (std::vector<double>{1, 256}));
  Tensor fortran = write("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", std::string("\1\4\2\5\3\6", 6));
  EXPECT_EQ(fortran.to_vector(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  expect_error([&] { write("{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", ""); }, "'<c8'");
  expect_error([&] { write("{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }", "1234"); }, "claims 36 bytes");
  expect_error([&] { write("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }", ""); },
               "64 bits");
  expect_error([&] { write("{'descr': '<f4', 'shape': (1,), }", "1234"); }, "lacks");
}

TEST_F(Files, NpzRoundTrip) {
  NamedTensors given = examples();
  save_npz(path("x.npz"), given);
  expect_same(given, load_npz(path("x.npz")));
}

TEST_F(Files, SafetensorsRoundTrip) {
  NamedTensors given = examples();
  given.emplace_back("b \"quoted\" \xc3\xa9", zeros({3}, DType::bf16));
  save_safetensors(path("x.safetensors"), given, {{"made", "here"}});
  SafeTensors got = load_safetensors(path("x.safetensors"));
  expect_same(given, got.tensors);
  ASSERT_EQ(got.metadata.size(), 1u);
  EXPECT_EQ(got.metadata[0].second, "here");
  Tensor x = got.tensors[0].second;
  got = {};
  x = x * 2.0;  // the mapping outlives the handle, and is never written
  EXPECT_EQ(load_safetensors(path("x.safetensors")).tensors[0].second.to_vector()[1], 1);
  EXPECT_EQ(x.to_vector()[1], 2);
}

/// Cut or changed anywhere, a file gives an error or some tensors, nothing worse.
template <class Load>
void damage(const std::string& file, Load load) {
  std::string good = read_file("test", file);
  auto attempt = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    try {
      load();
    } catch (const Error& e) { EXPECT_STRNE(e.what(), ""); }
  };
  for (size_t n = 0; n < good.size(); n += 1 + n / 64) attempt(good.substr(0, n));
  for (size_t i = 0; i < good.size(); ++i)
    for (int change : {0x01, 0x80, 0xFF}) {
      if (i > 1500 && (i + static_cast<size_t>(change)) % 7) continue;
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      attempt(bytes);
    }
}

TEST_F(Files, DamagedFilesGiveErrors) {
  save_npy(path("x.npy"), tensor({{1., 2.}, {3., 4.}}));
  damage(path("x.npy"), [&] { load_npy(path("x.npy")).eval(); });
  NamedTensors two{{"a", tensor({1., 2.})}, {"b", tensor({3, 4})}};
  save_npz(path("x.npz"), two);
  damage(path("x.npz"), [&] { load_npz(path("x.npz")); });
  save_safetensors(path("x.st"), two);
  damage(path("x.st"), [&] { load_safetensors(path("x.st")); });
}

/// Two entries of the directory that stand for the same bytes: such archives unpack to any size.
TEST_F(Files, NpzEntriesThatShareBytes) {
  save_npz(path("x.npz"), {{"a", zeros({1000})}, {"b", zeros({1000})}});
  std::string bytes = read_file("test", path("x.npz"));
  size_t second = bytes.rfind("b.npy");
  bytes[second] = 'c';
  ASSERT_EQ(bytes.substr(second + 5 + 4 + 16, 8).size(), 8u);  // after the name: id, size, two sizes, the place
  for (size_t i = 0; i < 8; ++i) bytes[second + 5 + 4 + 16 + i] = 0;
  write_file("test", path("x.npz"), bytes);
  EXPECT_EQ(load_npz(path("x.npz")).size(), 2u);  // once is harmless
  save_npz(path("y.npz"), {{"a", zeros({1000})}, {"b", zeros({2})}, {"c", zeros({2})}});
  bytes = read_file("test", path("y.npz"));
  size_t first = bytes.rfind("a.npy");
  for (const char* name : {"b.npy", "c.npy"}) {  // the sizes, the checksum and the place of the first
    size_t other = bytes.rfind(name);
    bytes.replace(other + 5, 28, bytes.substr(first + 5, 28));
    bytes.replace(other - 30, 4, bytes.substr(first - 30, 4));
  }
  write_file("test", path("y.npz"), bytes);
  expect_error([&] { load_npz(path("y.npz")); }, "claims more bytes");
}

TEST_F(Files, SafetensorsThatLie) {
  auto write = [&](const std::string& header, size_t data) {
    u64 n = header.size();
    std::string bytes(reinterpret_cast<const char*>(&n), 8);
    write_file("test", path("l.st"), bytes + header + std::string(data, 'x'));
    load_safetensors(path("l.st"));
  };
  auto entry = [](const std::string& shape, const std::string& offsets) {
    return R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
  };
  expect_error([&] { write("{\"a\":" + entry("[4]", "[0,16]") + "}", 8); }, "expected 16 bytes within the 8");
  expect_error([&] { write("{\"a\":" + entry("[1]", "[0,4]") + ",\"b\":" + entry("[1]", "[2,6]") + "}", 8); },
               "over 'a'");
  expect_error([&] { write("{\"a\":" + entry("[1]", "[0,4]") + ",\"a\":" + entry("[1]", "[4,8]") + "}", 8); }, "twice");
  expect_error([&] { write("{\"a\":" + entry("[-1]", "[0,4]") + "}", 8); }, "broken number");
  expect_error([&] { write(std::string(10000, '['), 0); }, "nests");
  expect_error([&] { write("[]", 0); }, "no table");
}

/// Nobody writes into the pipe, so opening it must not wait.
TEST_F(Files, APipeIsRefused) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  expect_error([&] { load_safetensors(path("pipe")); }, "is no regular file");
  expect_error([&] { load_npy(path("pipe")); }, "is no regular file");
  expect_error([&] { load_npz(path("pipe")); }, "is no regular file");
}

TEST_F(Files, SafetensorsOfManyEmptyTensors) {
  NamedTensors given{{"first", zeros({0})}};
  for (int i = 0; i < 40; ++i) given.emplace_back("t" + std::to_string(i), i % 3 ? ones({2}) : zeros({0, 4}));
  save_safetensors(path("x.safetensors"), given);
  expect_same(given, load_safetensors(path("x.safetensors")).tensors);
}

}  // namespace
}  // namespace tn
