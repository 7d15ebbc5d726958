// The meaning of each scalar op in C++, one element at a time; what every executor's bits are compared with.
//
// The interpreter compiles this header several times for different instruction sets and links all of them, so each
// includer names its own namespace in TENON_TIER: else the linker would keep one instruction set's copy for all. For
// the same reason nothing here calls an inline function of the standard library.
#pragma once
#include <type_traits>

#include "ir/scalar.h"

#ifndef TENON_TIER
#define TENON_TIER anywhere
#endif

namespace tn::loops::TENON_TIER {

/// Integers wrap in the unsigned type of at least 32 bits.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, u64, u32>;

template <class To, class From>
inline To bits_as(From v) {
  static_assert(sizeof(To) == sizeof(From));
  To r;
  __builtin_memcpy(&r, &v, sizeof r);
  return r;
}

struct Add {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a + b;
    else
      return static_cast<T>(static_cast<Wide<T>>(a) + static_cast<Wide<T>>(b));
  }
};
struct Sub {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a - b;
    else
      return static_cast<T>(static_cast<Wide<T>>(a) - static_cast<Wide<T>>(b));
  }
};
struct Mul {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a * b;
    else
      return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b));
  }
};
struct Div {
  template <class T>
  static T of(T a, T b) {
    return a / b;
  }
};
struct FloorDiv {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return static_cast<T>(Wide<T>{0} - static_cast<Wide<T>>(a));
      T q = static_cast<T>(a / b);
      return static_cast<T>(q - (a % b != 0 && (a < 0) != (b < 0)));
    } else {
      return static_cast<T>(a / b);
    }
  }
};
struct FloorMod {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
      T m = static_cast<T>(a % b);
      return static_cast<T>(m != 0 && (m < 0) != (b < 0) ? m + b : m);
    } else {
      return static_cast<T>(a % b);
    }
  }
};
struct Fma {
  template <class T>
  static T of(T a, T b, T c) {
    if constexpr (sizeof(T) == 4)
      return __builtin_fmaf(a, b, c);
    else
      return __builtin_fma(a, b, c);
  }
};
struct Neg {
  template <class T>
  static T of(T a) {
    if constexpr (std::is_floating_point_v<T>)
      return -a;
    else
      return static_cast<T>(Wide<T>{0} - static_cast<Wide<T>>(a));
  }
};
struct Abs {
  template <class T>
  static T of(T a) {
    if constexpr (std::is_same_v<T, float>)
      return __builtin_fabsf(a);
    else if constexpr (std::is_same_v<T, double>)
      return __builtin_fabs(a);
    else
      return a < 0 ? Neg::of(a) : a;
  }
};
struct Sqrt {
  template <class T>
  static T of(T a) {
    if constexpr (sizeof(T) == 4)
      return __builtin_sqrtf(a);
    else
      return __builtin_sqrt(a);
  }
};
struct Floor {
  template <class T>
  static T of(T a) {
    if constexpr (sizeof(T) == 4)
      return __builtin_floorf(a);
    else
      return __builtin_floor(a);
  }
};
struct Round {
  template <class T>
  static T of(T a) {
    if constexpr (sizeof(T) == 4)
      return __builtin_rintf(a);
    else
      return __builtin_rint(a);
  }
};
struct Max {
  template <class T>
  static T of(T a, T b) {
    return a > b ? a : b;
  }
};
struct Min {
  template <class T>
  static T of(T a, T b) {
    return a < b ? a : b;
  }
};
struct Less {
  template <class T>
  static u8 of(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <class T>
  static u8 of(T a, T b) {
    return a <= b;
  }
};
struct Equal {
  template <class T>
  static u8 of(T a, T b) {
    return a == b;
  }
};
struct NotEqual {
  template <class T>
  static u8 of(T a, T b) {
    return a != b;
  }
};
struct And {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};
struct ShiftLeft {
  template <class T>
  static T of(T a, T b) {
    constexpr auto kMask = static_cast<Wide<T>>(8 * sizeof(T) - 1);
    return static_cast<T>(static_cast<Wide<T>>(a) << (static_cast<Wide<T>>(b) & kMask));
  }
};
struct ShiftRight {
  template <class T>
  static T of(T a, T b) {
    constexpr auto kMask = static_cast<Wide<T>>(8 * sizeof(T) - 1);
    return static_cast<T>(a >> (static_cast<Wide<T>>(b) & kMask));
  }
};

// ---------------------------------------------------------------- conversions

/// Truncates toward zero and saturates; NaN gives 0.
template <class To, class From>
inline To saturate(From x) {
  // The least float that is too large, 2^bits, is exact in every float type.
  constexpr int kBits = 8 * sizeof(To) - std::is_signed_v<To>;
  constexpr From kTop = static_cast<From>(u64{1} << (kBits - 1)) * 2;
  constexpr From kBottom = std::is_signed_v<To> ? -kTop : From{0};
  constexpr To kMost = static_cast<To>(~(std::is_signed_v<To> ? u64{1} << (8 * sizeof(To) - 1) : u64{0}));
  constexpr To kLeast = std::is_signed_v<To> ? static_cast<To>(u64{1} << (8 * sizeof(To) - 1)) : To{0};
  bool inside = x > kBottom && x < kTop;  // false for NaN
  From safe = inside ? x : From{0};
  To converted;
  if constexpr (sizeof(To) < 4)
    converted = static_cast<To>(static_cast<i32>(safe));
  else
    converted = static_cast<To>(safe);
  To outside = x >= kTop ? kMost : x <= kBottom ? kLeast : To{0};
  return inside ? converted : outside;
}

inline float half_bits_to_float(u16 h) {
  u32 sign = (h & 0x8000u) << 16, magnitude = h & 0x7FFFu;
  // Shifted into place the exponent is short by 112; a multiplication repairs it, subnormals included.
  float scaled = bits_as<float>(magnitude << 13) * bits_as<float>(u32{239} << 23);
  u32 special = 0x7F800000u | magnitude << 13 | (magnitude > 0x7C00u ? 0x400000u : 0u);
  return bits_as<float>(sign | (magnitude >= 0x7C00u ? special : bits_as<u32>(scaled)));
}

inline u16 float_to_half_bits(float f) {
  u32 bits = bits_as<u32>(f), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  u32 nan = 0x7E00u | (magnitude >> 13 & 0x3FFu);
  u32 small = bits_as<u32>(bits_as<float>(magnitude) + 0.5f) - 0x3F000000u;  // the addition rounds at bit 2^-24
  u32 normal = (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  u32 result = magnitude > 0x7F800000u    ? nan
               : magnitude >= 0x477FF000u ? 0x7C00u
               : magnitude < 0x38800000u  ? small
                                          : normal;
  return static_cast<u16>(sign | result);
}

inline float bfloat_bits_to_float(u16 h) { return bits_as<float>(static_cast<u32>(h) << 16); }

inline u16 float_to_bfloat_bits(float f) {
  u32 bits = bits_as<u32>(f);
  u32 rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  return static_cast<u16>((bits & 0x7FFFFFFFu) > 0x7F800000u ? (bits >> 16 | 0x40u) : rounded);
}

/// Storage types of the dtypes; f16 and bf16 are told apart from integers of 16 bits.
struct Half {
  u16 bits;
};
struct Bfloat {
  u16 bits;
};
struct Bool {
  u8 value;
};

template <class T>
inline constexpr bool kNumber = std::is_arithmetic_v<T>;

template <class To, class From>
inline To cast_element(From x) {
  if constexpr (std::is_same_v<From, To>)
    return x;
  else if constexpr (std::is_same_v<From, Half>)
    return cast_element<To>(half_bits_to_float(x.bits));
  else if constexpr (std::is_same_v<From, Bfloat>)
    return cast_element<To>(bfloat_bits_to_float(x.bits));
  else if constexpr (std::is_same_v<From, Bool>)
    return cast_element<To>(static_cast<u8>(x.value));
  else if constexpr (std::is_same_v<To, Half>)
    return {float_to_half_bits(cast_element<float>(x))};
  else if constexpr (std::is_same_v<To, Bfloat>)
    return {float_to_bfloat_bits(cast_element<float>(x))};
  else if constexpr (std::is_same_v<To, Bool>)
    return {static_cast<u8>(x != From{0})};
  else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>)
    return saturate<To>(x);
  else
    return static_cast<To>(x);
}

}  // namespace tn::loops::TENON_TIER
