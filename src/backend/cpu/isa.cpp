#include <cstdlib>

#include "backend/cpu/cpu.h"
#include "tenon/error.h"

namespace tn::cpu {

static constexpr std::string_view kNames[] = {"none", "avx2", "avx512"};

std::string_view name(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

std::optional<Isa> isa_from_name(std::string_view wanted) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == wanted) return static_cast<Isa>(i);
  return std::nullopt;
}

/// The levels of the x86-64 ABI: v3 has AVX2, FMA and F16C, v4 AVX-512 F, BW, CD, DQ, VL; the system's support counts.
Isa widest_isa() {
  static const Isa widest = [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return Isa::avx512;
    if (__builtin_cpu_supports("x86-64-v3")) return Isa::avx2;
#endif
    return Isa::none;
  }();
  return widest;
}

Isa host_isa() {
  static const Isa chosen = [] {
    const char* wanted = std::getenv("TENON_ISA");
    if (!wanted || !*wanted) return widest_isa();
    auto isa = isa_from_name(wanted);
    if (!isa) fail("TENON_ISA", "expected none, avx2 or avx512, got '" + std::string(wanted) + "'");
    if (*isa > widest_isa())
      fail("TENON_ISA", "expected an instruction set this machine has (" + std::string(name(widest_isa())) +
                            "), got '" + wanted + "'; use a narrower one");
    return *isa;
  }();
  return chosen;
}

}  // namespace tn::cpu
