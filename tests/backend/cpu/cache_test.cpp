// The disk cache and the loader against what disks and processes do: damage, races, full and read-only folders, and
// objects made to mislead.
#include <elf.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "backend/cpu/llvm_abi.h"
#include "support.h"
#include "tenon/error.h"

namespace tn::cpu::testing {
namespace {

namespace fs = std::filesystem;

/// A kernel told from others by a constant.
Kernel scaled(double by) {
  Kernel k;
  k.name = "scaled";
  Builder b(k);
  Dim q = b.size(Dim::symbol("q"));
  int x = b.buffer("X", DType::f32, {q * Dim(16)}, Buffer::Role::in);
  int y = b.buffer("Y", DType::f32, {q * Dim(16)}, Buffer::Role::out);
  b.parallel("i", q, [&](Dim i) {
    Dim at[] = {i * Dim(16) + loops::lane()};
    Val v = b.load(x, at, 1, 16);
    Val f = b.constant(by, DType::f32);
    b.store(y, at, b.mul(v, f));
  });
  return k;
}

float run_scaled(const CompiledKernel& kernel) {
  alignas(64) float x[16] = {3}, y[16] = {};
  void* buffers[] = {x, y};
  i64 sizes[] = {1}, error = 0;
  kernel.run(0, buffers, sizes, 0, 1, nullptr, &error);
  return y[0];
}

class CpuCache : public ::testing::Test {
 protected:
  void SetUp() override {
    if (widest_isa() == Isa::none) GTEST_SKIP() << "no AVX2";
    folder_ = fs::temp_directory_path() / ("tenon-cache-test-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    setenv("TENON_CACHE_DIR", folder_.c_str(), 1);
    forget_kernels();
    reset_counters();
  }
  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all, ignored_);
    fs::remove_all(folder_, ignored_);
    setenv("TENON_CACHE_DIR", "off", 1);
  }
  std::vector<fs::path> entries() const {
    std::vector<fs::path> found;
    if (fs::exists(folder_))
      for (const auto& e : fs::directory_iterator(folder_)) found.push_back(e.path());
    return found;
  }
  fs::path folder_;
  std::error_code ignored_;
};

TEST_F(CpuCache, KeepsObjectsBetweenProcesses) {
  auto used = compile_kernel(scaled(2), Isa::avx2);
  EXPECT_EQ(run_scaled(*used), 6);
  EXPECT_EQ(counters().compiled, 1u);
  compile_kernel(scaled(2), Isa::avx2);
  EXPECT_EQ(counters().table_hits, 1u);
  used.reset();
  EXPECT_EQ(run_scaled(*compile_kernel(scaled(2), Isa::avx2)), 6);
  EXPECT_EQ(counters().compiled, 1u);
  EXPECT_EQ(counters().cache_hits, 1u);
  compile_kernel(scaled(3), Isa::avx2);
  EXPECT_EQ(counters().compiled, 2u) << "another constant is another kernel";
  EXPECT_EQ(entries().size(), 2u);
}

/// A process that meets ever new kernels keeps those in use.
TEST_F(CpuCache, ForgetsKernelsThatNobodyUses) {
  auto used = compile_kernel(scaled(2), Isa::avx2);
  std::weak_ptr<const CompiledKernel> left = compile_kernel(scaled(3), Isa::avx2);
  EXPECT_TRUE(left.expired());
  EXPECT_EQ(compile_kernel(scaled(2), Isa::avx2), used);
}

TEST_F(CpuCache, KernelsOfEqualWorkAreOne) {
  Kernel renamed = scaled(2);
  renamed.name = "other";
  renamed.buffers[0].name = "in";
  compile_kernel(scaled(2), Isa::avx2);
  compile_kernel(renamed, Isa::avx2);
  EXPECT_EQ(counters().compiled, 1u);
}

TEST_F(CpuCache, RebuildsDamagedEntries) {
  compile_kernel(scaled(2), Isa::avx2);
  ASSERT_EQ(entries().size(), 1u);
  fs::path entry = entries()[0];
  auto size = static_cast<i64>(fs::file_size(entry));
  std::vector<char> good(static_cast<size_t>(size));
  std::ifstream(entry, std::ios::binary).read(good.data(), size);
  u64 compiled = 1;
  for (i64 at = 0; at < size; at += size / 23) {
    std::vector<char> bad = good;
    bad[static_cast<size_t>(at)] ^= 0x20;
    std::ofstream(entry, std::ios::binary | std::ios::trunc).write(bad.data(), size);
    forget_kernels();
    EXPECT_EQ(run_scaled(*compile_kernel(scaled(2), Isa::avx2)), 6);
    EXPECT_EQ(counters().compiled, ++compiled) << "a flip at " << at << " was not seen";
  }
  for (i64 length : {i64{0}, i64{7}, i64{48}, size - 1}) {
    std::ofstream(entry, std::ios::binary | std::ios::trunc).write(good.data(), length);
    forget_kernels();
    EXPECT_EQ(run_scaled(*compile_kernel(scaled(2), Isa::avx2)), 6);
    EXPECT_EQ(counters().compiled, ++compiled) << "cut to " << length;
  }
}

TEST_F(CpuCache, ReadOnlyOrMissingFoldersAreNoError) {
  fs::create_directories(folder_);
  std::string file = folder_ / "file";
  std::ofstream(file) << "no folder";
  for (const char* place : {"/proc/nowhere", "off", file.c_str()}) {
    setenv("TENON_CACHE_DIR", place, 1);
    forget_kernels();
    EXPECT_EQ(run_scaled(*compile_kernel(scaled(5), Isa::avx2)), 15) << place;
  }
  EXPECT_EQ(counters().compiled, 3u);
}

TEST_F(CpuCache, ManyProcessesShareOneFolder) {
  std::vector<pid_t> children;
  for (int p = 0; p < 6; ++p) {
    pid_t child = fork();
    if (child == 0) {
      bool good = true;
      for (int i = 0; i < 5; ++i)
        good = good && run_scaled(*compile_kernel(scaled(10 + i), Isa::avx2)) == 3.f * static_cast<float>(10 + i);
      _exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(entries().size(), 5u) << "five whole entries and no leftovers";
  for (int i = 0; i < 5; ++i) compile_kernel(scaled(10 + i), Isa::avx2);
  EXPECT_EQ(counters().cache_hits, 5u);
}

TEST_F(CpuCache, ThreadsCompileAKernelOnce) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 4; ++i)
        EXPECT_EQ(run_scaled(*compile_kernel(scaled(20 + i), Isa::avx2)), 3.f * static_cast<float>(20 + i));
    });
  threads.clear();
  EXPECT_EQ(counters().compiled, 4u);
}

TEST_F(CpuCache, TrimRemovesWhatWasUsedLongestAgo) {
  std::vector<std::byte> object(1000);
  for (int i = 0; i < 10; ++i) {
    std::string text = "kernel " + std::to_string(i);
    write_cache(text, Isa::avx2, object);
    for (const auto& e : entries()) fs::last_write_time(e, fs::last_write_time(e) - std::chrono::minutes(1));
  }
  ASSERT_EQ(entries().size(), 10u);
  trim_cache(6000);
  EXPECT_LT(entries().size(), 6u);
  EXPECT_FALSE(read_cache("kernel 0", Isa::avx2));
  EXPECT_TRUE(read_cache("kernel 9", Isa::avx2));
}

// ---------------------------------------------------------------- the loader

std::vector<std::byte> good_object() {
  auto kernel = compile_kernel(scaled(2.5), Isa::avx2);
  return {kernel->object().begin(), kernel->object().end()};
}

TEST_F(CpuCache, LoaderTakesItsOwnObjects) {
  auto object = good_object();
  CompiledKernel again(object);
  EXPECT_EQ(again.phases(), 1);
  EXPECT_EQ(run_scaled(again), 7.5f);
}

TEST_F(CpuCache, LoaderRefusesTruncation) {
  auto object = good_object();
  for (size_t n = 0; n < object.size(); n += 1 + object.size() / 300)
    EXPECT_THROW(CompiledKernel(std::span(object).first(n)), Error) << n;
}

/// Whatever is flipped outside the code is refused or loads; nothing crashes or is read outside (sanitizers look on).
TEST_F(CpuCache, LoaderSurvivesEveryFlip) {
  auto object = good_object();
  size_t refused = 0;
  for (size_t at = 0; at < object.size(); ++at)
    for (int bit : {0, 3, 7}) {
      auto bad = object;
      bad[at] ^= static_cast<std::byte>(1 << bit);
      try {
        CompiledKernel kernel(bad);
      } catch (const Error&) { ++refused; }
    }
  EXPECT_GT(refused, 100u);
}

TEST_F(CpuCache, LoaderRefusesOutsideReferences) {
  auto object = good_object();
  auto* header = reinterpret_cast<Elf64_Ehdr*>(object.data());
  auto* sections = reinterpret_cast<Elf64_Shdr*>(object.data() + header->e_shoff);
  bool tried = false;
  for (int i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_RELA) continue;
    auto* r = reinterpret_cast<Elf64_Rela*>(object.data() + sections[i].sh_offset);
    for (u64 j = 0; j * sizeof *r < sections[i].sh_size; ++j) {
      auto kept = r[j];
      r[j].r_info = ELF64_R_INFO(0, ELF64_R_TYPE(kept.r_info));
      EXPECT_THROW(CompiledKernel{object}, Error) << "a reference to nothing";
      r[j].r_info = ELF64_R_INFO(ELF64_R_SYM(kept.r_info), R_X86_64_GOTPCREL);
      EXPECT_THROW(CompiledKernel{object}, Error) << "a relocation we do not make";
      r[j] = kept;
      r[j].r_offset = ~u64{0} - 2;
      EXPECT_THROW(CompiledKernel{object}, Error) << "a place outside";
      r[j] = kept;
      tried = true;
    }
  }
  EXPECT_TRUE(tried) << "the object has constants, so relocations";
}

TEST_F(CpuCache, IsaNames) {
  EXPECT_EQ(isa_from_name("avx512"), Isa::avx512);
  EXPECT_EQ(isa_from_name("sse"), std::nullopt);
  EXPECT_EQ(name(Isa::avx2), "avx2");
  EXPECT_LE(host_isa(), widest_isa());
}

}  // namespace
}  // namespace tn::cpu::testing
