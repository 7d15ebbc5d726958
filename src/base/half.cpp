// IEEE binary16 and bfloat16 to and from binary32, by bits; both round to nearest even and keep NaN a NaN.
#include <bit>

#include "base/array.h"

namespace tn {

float half_to_float(u16 h) {
  u32 sign = static_cast<u32>(h & 0x8000) << 16, exponent = h >> 10 & 0x1F, fraction = h & 0x3FF;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | fraction << 13);
  if (exponent) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // subnormal: exact in f32
  return std::bit_cast<float>(sign | std::bit_cast<u32>(magnitude));
}

u16 float_to_half(float f) {
  u32 bits = std::bit_cast<u32>(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return static_cast<u16>(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
  if (magnitude >= 0x477FF000) return static_cast<u16>(sign | 0x7C00);  // at least 65520 rounds to infinity
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 makes the hardware round at bit 2^-24
    float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<u16>(sign | (std::bit_cast<u32>(rounded) - 0x3F000000));
  }
  u32 odd = magnitude >> 13 & 1;
  return static_cast<u16>(sign | (magnitude - (112u << 23) + 0xFFF + odd) >> 13);
}

float bfloat_to_float(u16 h) { return std::bit_cast<float>(static_cast<u32>(h) << 16); }

u16 float_to_bfloat(float f) {
  u32 bits = std::bit_cast<u32>(f);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<u16>(bits >> 16 | 0x40);
  return static_cast<u16>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace tn
