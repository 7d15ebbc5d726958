// Dim: an exact integer expression for extents, indices, strides and offsets.
//
// A Dim is 8 bytes: small integers are immediate, everything else is an interned canonical polynomial over atoms
// (symbols, floordiv, min, max). Two Dims are equal exactly when they are the same polynomial, so equality, hashing and
// type comparison are pointer comparisons. Arithmetic is exact; overflow of 64 bits throws Error. Interning is
// thread-safe; atoms live for the process.
#pragma once
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/dtype.h"

namespace [[gnu::visibility("default")]] tn {

struct DimNode;

class Dim {
 public:
  constexpr Dim() = default;
  constexpr Dim(i64 value) : bits_(static_cast<u64>(value) << 1 | 1) {}  // 63 bits; checked by operations
  constexpr Dim(int value) : Dim(static_cast<i64>(value)) {}
  explicit Dim(const DimNode* node) : bits_(reinterpret_cast<u64>(node)) {}
  /// Whether a Dim holds the number: 63 bits. Numbers of files are asked first.
  static constexpr bool holds(i64 value) { return value >= -(i64{1} << 62) && value < i64{1} << 62; }

  /// The symbol of that name, the same one at every call; a size, so at least 0.
  static Dim symbol(std::string_view name);
  /// A symbol nobody has: `stem'7`.
  static Dim fresh(std::string_view stem);

  constexpr bool is_constant() const { return bits_ & 1; }
  /// The value of a constant.
  constexpr i64 value() const { return static_cast<i64>(bits_) >> 1; }
  bool is_symbol() const;
  const DimNode* node() const { return reinterpret_cast<const DimNode*>(bits_); }
  constexpr u64 bits() const { return bits_; }
  constexpr bool operator==(const Dim&) const = default;

 private:
  u64 bits_ = 1;
};

Dim operator+(Dim a, Dim b);
Dim operator-(Dim a, Dim b);
Dim operator*(Dim a, Dim b);
inline Dim operator-(Dim a) { return Dim(0) - a; }
/// Rounds toward minus infinity; a divisor of constant 0 throws Error.
Dim floordiv(Dim a, Dim b);
/// a - b * floordiv(a, b): in [0, b) for b > 0.
Dim mod(Dim a, Dim b);
Dim ceildiv(Dim a, Dim b);
Dim min(Dim a, Dim b);
Dim max(Dim a, Dim b);

/// Text that parses back: "4*n + 3", "(n + 7)//8", "min(n, 64)".
std::string to_string(Dim d);

/// Values of symbols.
class DimEnv {
 public:
  void set(Dim symbol, i64 value);
  std::optional<i64> find(Dim symbol) const;

 private:
  std::vector<std::pair<u64, i64>> values_;
};
/// The value under `env`; throws Error naming a symbol that has none, or on overflow.
i64 evaluate(Dim d, const DimEnv& env);
/// Replaces symbols by Dims, all at once.
Dim substitute(Dim d, std::span<const std::pair<Dim, Dim>> replacements);
/// The symbols of d, each once, the shorter names first.
std::vector<Dim> symbols_of(Dim d);
/// The c of d = c * symbol + rest, where rest and c are free of the symbol; nothing when d is not linear in it.
std::optional<Dim> coefficient(Dim d, Dim symbol);
/// Product of a shape.
Dim product(std::span<const Dim> shape);
/// Whether all extents are the same.
bool same(std::span<const Dim> a, std::span<const Dim> b);

/// Inclusive bounds of symbols in some scope; a missing one means "at least 0".
struct Bound {
  Dim symbol;
  std::optional<Dim> low, high;
};
/// Whether d >= 0 for all values of its symbols within the bounds (later entries are eliminated first). False means
/// "not proved".
bool provably_nonnegative(Dim d, std::span<const Bound> bounds = {});
/// Whether k divides d whatever the symbols are.
bool provably_divisible(Dim d, i64 k);

}  // namespace tn
