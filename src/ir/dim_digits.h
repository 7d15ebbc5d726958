// A symbol as two digits: v = c x + t with 0 <= t < c, so that v // c is x and v // (c k) is x // k. The place value c
// is a number or a Dim: coordinates of a flat index divide it by extents.
#pragma once
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ir/dim_node.h"

namespace tn {

/// Puts c x + t in the place of a symbol whose floor divisions are all by multiples of c.
class Digits {
 public:
  Digits(Dim d, Dim symbol);

  /// Whether there is such a symbol.
  bool found() const { return divisor_ != Dim(0); }
  Dim divisor() const { return divisor_; }
  Dim quotient() const { return x_; }
  Dim rest() const { return t_; }

  /// The bounds with the digits in the symbol's place; nothing where it, or the place value less 1, may be negative.
  std::optional<std::vector<Bound>> bounds(std::span<const Bound> given) const;
  Dim in(Dim d) const;

 private:
  bool divides(const DimNode* n) const;

  const DimNode* symbol_ = nullptr;
  Dim divisor_ = 0, x_ = 0, t_ = 0;
};

/// Symbols that have floor divisions in d.
std::vector<Dim> divided_symbols(Dim d);
/// The place values by which a flat index tells a symbol v: with the symbol of the greatest coefficient c, all else
/// lies in [0, c), so that symbol is index // c; and so on, until v (or both its digits) is known. Two indices with
/// equal place values are equal only where their v are. Each with which digit of v it tells, or -1. Empty when not
/// proved.
std::vector<std::pair<i64, int>> place_values(Dim index, Dim v, std::span<const Bound> bounds);
/// Whether a floor division in d is by something that mentions the symbol.
bool divided_by(Dim d, Dim symbol);

}  // namespace tn
