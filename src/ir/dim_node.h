// The node behind a Dim; for the files that take Dims apart.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tenon/dim.h"

namespace tn {

struct DimNode {
  enum class Kind : u8 { polynomial, symbol, floordiv, min, max };
  using Atoms = std::vector<const DimNode*>;  // in the order of `precedes`, repeated for powers
  struct Term {
    Atoms atoms;
    i64 coefficient;
    bool operator==(const Term&) const = default;
  };
  using Terms = std::vector<Term>;

  Kind kind = Kind::polynomial;
  u32 depth = 0;  // of the nodes below it
  std::string name;
  Dim a, b;
  Terms terms;
};

/// An order that depends on what the nodes say alone, not on when they were made: shallow ones first, symbols by length
/// and letters.
bool precedes(const DimNode* x, const DimNode* y);

/// The c of d = c * symbol + rest, by the terms of d: rest may still hold the symbol inside floor divisions, minima and
/// maxima. Nothing when there is no such term.
std::optional<Dim> explicit_coefficient(Dim d, Dim symbol);

}  // namespace tn
