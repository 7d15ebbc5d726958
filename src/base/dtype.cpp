#include <algorithm>
#include <array>
#include <string>

#include "tenon/dtype.h"
#include "tenon/error.h"

namespace tn {

static constexpr std::array<std::string_view, kDTypeCount> kNames = {"f64", "f32", "f16", "bf16", "i64",
                                                                     "i32", "i8",  "u32", "u8",   "bool"};

std::string_view name(DType d) { return kNames[static_cast<size_t>(d)]; }

DType dtype_from_name(std::string_view text) {
  auto found = std::find(kNames.begin(), kNames.end(), text);
  if (found == kNames.end())
    fail("dtype", "expected one of f64 f32 f16 bf16 i64 i32 i8 u32 u8 bool, got '" + std::string(text) + "'");
  return static_cast<DType>(found - kNames.begin());
}

/// Integers of different signedness meet in the next wider signed type, as the standard has it.
static DType promote_integers(DType a, DType b) {
  if (is_signed(a) == is_signed(b)) return bits(a) > bits(b) ? a : b;
  DType s = is_signed(a) ? a : b, u = is_signed(a) ? b : a;
  if (bits(s) > bits(u)) return s;
  return bits(u) == 8 ? DType::i32 : DType::i64;
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_float(a) && is_float(b)) {
    if (bits(a) != bits(b)) return bits(a) > bits(b) ? a : b;
    return DType::f32;  // f16 with bf16: the least type that holds both
  }
  if (is_integer(a) && is_integer(b)) return promote_integers(a, b);
  fail("promote", "expected dtypes of one kind, got " + std::string(name(a)) + " and " + std::string(name(b)) +
                      "; use cast, nothing is promoted across kinds");
}

}  // namespace tn
