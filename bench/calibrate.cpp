// What the machine can do at best, measured now: arithmetic by chains of fused multiply-adds that stay in registers,
// bandwidth by reading and by streaming stores over memory far larger than the caches.
//
//   tenon_calibrate THREADS   prints {"flops": f32 operations/s, "read": bytes/s, "write": bytes/s}
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kChains = 12;
constexpr long kSteps = 5'000'000;
constexpr size_t kBytes = size_t{256} << 20;

volatile float sink;

__attribute__((target("avx512f"))) void fma_512() {
  __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f), sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (long n = 0; n < kSteps; ++n)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_fmadd_ps(sums[i], x, y);
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  float first[16];
  _mm512_storeu_ps(first, sums[0]);
  sink = first[0];
}

__attribute__((target("avx2,fma"))) void fma_256() {
  __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f), sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  for (long n = 0; n < kSteps; ++n)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = _mm256_fmadd_ps(sums[i], x, y);
  for (int i = 1; i < kChains; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  float first[8];
  _mm256_storeu_ps(first, sums[0]);
  sink = first[0];
}

__attribute__((target("avx2"))) void read_all(const char* data, size_t bytes) {
  __m256i sums[4] = {};
  for (size_t at = 0; at < bytes; at += 128)
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i)
      sums[i] = _mm256_xor_si256(sums[i], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + at + 32 * i)));
  sink = static_cast<float>(_mm256_extract_epi32(
      _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3])), 0));
}

__attribute__((target("avx2"))) void write_all(char* data, size_t bytes) {
  __m256i zero = _mm256_setzero_si256();
  for (size_t at = 0; at < bytes; at += 32) _mm256_stream_si256(reinterpret_cast<__m256i*>(data + at), zero);
  _mm_sfence();
}

/// Seconds until all threads have done work(i), the best of several tries.
double best_seconds(int threads, const std::function<void(int)>& work) {
  double best = 1e9;
  for (int attempt = 0; attempt < 5; ++attempt) {
    auto start = Clock::now();
    std::vector<std::thread> others;
    others.reserve(static_cast<size_t>(threads));
    for (int i = 1; i < threads; ++i) others.emplace_back(work, i);
    work(0);
    for (std::thread& t : others) t.join();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (threads < 1 || threads > 1024 || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    std::fprintf(stderr, "tenon_calibrate: expected a number of threads and a CPU with AVX2 and FMA\n");
    return 1;
  }
  bool wide = __builtin_cpu_supports("avx512f");
  double arithmetic = best_seconds(threads, [&](int) { wide ? fma_512() : fma_256(); });
  double flops = 2.0 * (wide ? 16 : 8) * kChains * static_cast<double>(kSteps) * threads / arithmetic;

  auto* memory = static_cast<char*>(std::aligned_alloc(4096, kBytes));
  if (!memory) return 1;
  size_t part = kBytes / static_cast<size_t>(threads) / 4096 * 4096;
  auto at = [&](int i) { return memory + static_cast<size_t>(i) * part; };
  double bytes = static_cast<double>(part) * threads;
  double write = bytes / best_seconds(threads, [&](int i) { write_all(at(i), part); });
  double read = bytes / best_seconds(threads, [&](int i) { read_all(at(i), part); });
  std::free(memory);
  std::printf("{\"flops\": %.4g, \"read\": %.4g, \"write\": %.4g}\n", flops, read, write);
  return 0;
}
