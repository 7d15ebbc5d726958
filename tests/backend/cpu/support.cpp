#include "support.h"

#include <sys/mman.h>

#include <cmath>
#include <limits>

#include "tenon/error.h"

namespace tn::cpu::testing {

static constexpr size_t kPage = 4096;

Guarded::Guarded(size_t bytes) : size_(bytes) {
  mapped_ = (bytes + kPage - 1) / kPage * kPage + kPage;
  map_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map_ == MAP_FAILED) fail("test", "no memory");
  auto* end = static_cast<std::byte*>(map_) + mapped_ - kPage;
  mprotect(end, kPage, PROT_NONE);
  data_ = end - bytes;
}

Guarded::Guarded(const Guarded& other) : Guarded(other.size_) {
  if (size_) std::memcpy(data_, other.data_, size_);
}

Guarded::Guarded(Guarded&& other) noexcept
    : data_(other.data_), size_(other.size_), mapped_(other.mapped_), map_(std::exchange(other.map_, nullptr)) {}

Guarded::~Guarded() {
  if (map_) munmap(map_, mapped_);
}

static double number(u64& state) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  auto u = static_cast<i64>(state >> 33) - (i64{1} << 30);
  int scale = static_cast<int>(state >> 20 & 15) - 8;
  return std::ldexp(static_cast<double>(u), scale - 30);
}

template <class T>
static void fill_floats(std::byte* to, size_t count, u64 state) {
  using L = std::numeric_limits<T>;
  const T specials[] = {T(0),
                        -T(0),
                        T(1),
                        T(-1),
                        L::infinity(),
                        -L::infinity(),
                        L::quiet_NaN(),
                        L::max(),
                        L::lowest(),
                        L::min(),
                        L::denorm_min(),
                        T(0.5),
                        T(1.5),
                        T(2.5),
                        T(-0.5),
                        T(-2.5),
                        T(127.5),
                        T(128),
                        T(-128.5),
                        T(255.5),
                        T(2147483648.0),
                        T(-2147483648.0),
                        T(4294967296.0),
                        T(9.3e18)};
  for (size_t i = 0; i < count; ++i) {
    T v = i % 3 == 1 && i / 3 < std::size(specials) ? specials[i / 3] : static_cast<T>(number(state));
    std::memcpy(to + i * sizeof v, &v, sizeof v);
  }
}

template <class T>
static void fill_integers(std::byte* to, size_t count, u64 state) {
  using L = std::numeric_limits<T>;
  const T specials[] = {T(0), T(1), static_cast<T>(-1), L::max(), L::lowest(), T(2), static_cast<T>(-7), T(33), T(64)};
  for (size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    T v = i % 2 == 1 ? specials[i / 2 % std::size(specials)] : static_cast<T>(state >> 30);
    std::memcpy(to + i * sizeof v, &v, sizeof v);
  }
}

Guarded interesting(DType d, size_t count, u64 seed) {
  Guarded g(count * static_cast<size_t>(bytes(d)));
  u64 state = seed * 0x9E3779B97F4A7C15ull + 12345;
  switch (d) {
    case DType::f64: fill_floats<double>(g.data(), count, state); break;
    case DType::f32: fill_floats<float>(g.data(), count, state); break;
    case DType::i64: fill_integers<i64>(g.data(), count, state); break;
    case DType::i32: fill_integers<i32>(g.data(), count, state); break;
    case DType::u32: fill_integers<u32>(g.data(), count, state); break;
    case DType::i8: fill_integers<signed char>(g.data(), count, state); break;
    case DType::u8: fill_integers<u8>(g.data(), count, state); break;
    case DType::boolean:
      for (size_t i = 0; i < count; ++i) g.data()[i] = static_cast<std::byte>((seed + i * 7) % 3 == 0);
      break;
    case DType::f16:
    case DType::bf16:
      for (size_t i = 0; i < count; ++i) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        auto v = static_cast<u16>(state >> 40);
        std::memcpy(g.data() + 2 * i, &v, 2);
      }
      break;
  }
  return g;
}

static DimEnv environment(const Case& c) {
  DimEnv env;
  for (size_t i = 0; i < c.kernel.sizes.size(); ++i) env.set(c.kernel.sizes[i], c.sizes[i]);
  return env;
}

Case make_case(Kernel kernel, std::vector<i64> sizes, u64 seed) {
  Case c{std::move(kernel), std::move(sizes), {}};
  DimEnv env = environment(c);
  for (const Buffer& b : c.kernel.buffers)
    if (b.is_argument())
      c.buffers.push_back(interesting(b.dtype, static_cast<size_t>(evaluate(product(b.shape), env)), ++seed));
  return c;
}

template <class Run>
static void run_phases(const Case& c, std::vector<Guarded>& buffers, const Run& run) {
  DimEnv env = environment(c);
  auto bytes = static_cast<size_t>(evaluate(c.kernel.scratch_bytes, env));
  Guarded scratch((bytes + 63) / 64 * 64);
  std::vector<void*> pointers;
  for (Guarded& b : buffers) pointers.push_back(b.data());
  i64 phase = 0, error = 0;
  for (Val p : c.kernel.phases()) {
    i64 extent = evaluate(c.kernel.nodes[static_cast<size_t>(p)].extent, env);
    run(phase++, pointers.data(), c.sizes.data(), i64{0}, extent, scratch.data(), &error);
  }
}

void run_compiled(const CompiledKernel& kernel, const Case& c, std::vector<Guarded>& buffers) {
  run_phases(c, buffers, [&](auto... x) { kernel.run(x...); });
}

void run_interpreted(const Case& c, std::vector<Guarded>& buffers) {
  loops::Program program(c.kernel);
  run_phases(c, buffers, [&](auto... x) { program.run(x...); });
}

/// NaNs are equal whatever their bits: which operand's NaN survives is not defined.
static bool same_element(DType d, const std::byte* a, const std::byte* b) {
  if (std::memcmp(a, b, static_cast<size_t>(bytes(d))) == 0) return true;
  auto both_nan = [&]<class T>(T) {
    T x, y;
    std::memcpy(&x, a, sizeof x);
    std::memcpy(&y, b, sizeof y);
    return std::isnan(x) && std::isnan(y);
  };
  if (d == DType::f32) return both_nan(0.0f);
  return d == DType::f64 && both_nan(0.0);
}

std::vector<Guarded> expect_same_bits(const Case& c) {
  std::vector<Guarded> expected = c.buffers;
  run_interpreted(c, expected);
  for (Isa isa : isas()) {
    auto kernel = compile_kernel(c.kernel, isa);
    EXPECT_TRUE(kernel) << compiler_problem();
    if (!kernel) continue;
    std::vector<Guarded> got = c.buffers;
    run_compiled(*kernel, c, got);
    size_t argument = 0;
    for (const Buffer& b : c.kernel.buffers) {
      if (!b.is_argument()) continue;
      size_t size = static_cast<size_t>(bytes(b.dtype)), bad = 0, first = 0;
      for (size_t at = 0; at < got[argument].size(); at += size)
        if (!same_element(b.dtype, expected[argument].data() + at, got[argument].data() + at) && bad++ == 0)
          first = at / size;
      EXPECT_EQ(bad, 0u) << "buffer " << b.name << " differs on " << name(isa) << ", first at " << first << " of "
                         << got[argument].size() / size << "\n"
                         << loops::to_string(c.kernel);
      ++argument;
    }
  }
  return expected;
}

}  // namespace tn::cpu::testing
