// IDX files, plain and compressed; and files that lie.
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "tenon/data.h"
#include "tenon/ops.h"

namespace tn::data {
namespace {

class Idx : public testing::Test {
 public:
  Idx() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tenon-idx-XXXXXX").string();
    folder = mkdtemp(pattern.data());
    path = (folder / "x").string();
  }
  ~Idx() override { std::filesystem::remove_all(folder); }
  Tensor load(const std::string& bytes) const {
    write_file("test", path, bytes);
    return load_idx(path);
  }
  Tensor load_packed(const std::string& bytes) const {
    gzFile f = gzopen(path.c_str(), "wb");
    gzwrite(f, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(f);
    return load_idx(path);
  }
  void refused(const std::string& bytes, const std::string& part) const {
    try {
      load(bytes);
      ADD_FAILURE() << "no error; expected one with: " << part;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(path), std::string::npos) << e.what();
    }
  }
  std::filesystem::path folder;
  std::string path;
};

std::string header(char code, std::initializer_list<u32> extents) {
  std::string s{'\0', '\0', code, static_cast<char>(extents.size())};
  for (u32 e : extents)
    for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(e >> shift);
  return s;
}

TEST_F(Idx, ReadsPlainAndCompressed) {
  std::string bytes = header(8, {2, 3}) + "\1\2\3\4\5\6";
  for (const Tensor& x : {load(bytes), load_packed(bytes)}) {
    EXPECT_EQ(to_string(x.type()), "u8[2, 3]");
    EXPECT_EQ(x.to_vector(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  }
  EXPECT_EQ(load(header(13, {1}) + std::string("\x3f\xc0\0\0", 4)).item(), 1.5);
  EXPECT_EQ(load(header(12, {1}) + std::string("\xff\xff\xff\xfe", 4)).item(), -2);
}

TEST_F(Idx, RefusesWhatLies) {
  refused("", "as many bytes");
  refused("abc", "as many bytes");
  refused("abcdefgh", "rank 1 to 8");
  refused(header(8, {}), "rank 1 to 8");
  refused(header(11, {1}) + "12", "type code 11");
  refused(header(8, {4}) + "123", "ends early");
  refused(header(8, {2}) + "123", "nothing after the elements");
  refused(header(8, {1u << 31}) + "123", "elements");  // 2 GiB in 11 bytes: nothing is allocated
  refused(header(14, {~0u, ~0u, ~0u}) + "123", "64 bits");
  EXPECT_THROW(load_idx((folder / "none").string()), Error);
  EXPECT_THROW(load_idx(folder.string()), Error);
}

TEST_F(Idx, RefusesCutAndChangedFiles) {
  load_packed(header(8, {30, 30}) + std::string(900, 'x'));
  std::string good = read_file("test", path);
  for (size_t n = 0; n < good.size(); ++n) EXPECT_THROW(load(good.substr(0, n)), Error) << n;
  for (size_t i = 10; i < good.size(); ++i) {  // after gzip's header, which holds a time and a name
    std::string bytes = good;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x55);
    EXPECT_THROW(load(bytes), Error) << i;
  }
}

}  // namespace
}  // namespace tn::data
