// Element types and their promotion (array API standard 2023.12, section "Type Promotion Rules").
#pragma once
#include <cstdint>
#include <string_view>

namespace [[gnu::visibility("default")]] tn {

using i64 = std::int64_t;
using u64 = std::uint64_t;
using i32 = std::int32_t;
using u32 = std::uint32_t;
using u16 = std::uint16_t;
using u8 = std::uint8_t;

enum class DType : u8 { f64, f32, f16, bf16, i64, i32, i8, u32, u8, boolean };
inline constexpr int kDTypeCount = 10;

/// "f32", "bool", ...
std::string_view name(DType d);
/// The dtype of a name; throws Error for an unknown one.
DType dtype_from_name(std::string_view name);
/// Size of one element in bits (bool takes 8).
constexpr int bits(DType d) {
  constexpr int kBits[] = {64, 32, 16, 16, 64, 32, 8, 32, 8, 8};
  return kBits[static_cast<int>(d)];
}
constexpr int bytes(DType d) { return bits(d) / 8; }
constexpr bool is_float(DType d) { return d <= DType::bf16; }
constexpr bool is_integer(DType d) { return d >= DType::i64 && d <= DType::u8; }
constexpr bool is_signed(DType d) { return d <= DType::i8; }
/// The common dtype of two operands; throws Error where the standard defines none (e.g. i64 with f32).
DType promote(DType a, DType b);

}  // namespace tn
