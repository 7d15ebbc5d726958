// Proving d >= 0 by greedy elimination: take the atom declared last, put in its place the bound that its coefficient's
// sign asks for, go on. Sound (every step only lowers the value), not complete.
//
// What greedy elimination does not see is that v // 3 and v // 12 move together. Where it fails, v = 3 x + t is put in
// place of such a symbol, with v // 3 = x and v // 12 = x // 4; and so on with x.
#include <algorithm>
#include <optional>

#include "ir/dim_digits.h"

namespace tn {

namespace {

class Prover {
 public:
  explicit Prover(std::span<const Bound> bounds) : bounds_(bounds) {}

  bool nonnegative(Dim d, int depth = 0) {
    if (d.is_constant()) return d.value() >= 0;
    if (depth > kMaxDepth || ++steps_ > kMaxSteps) return false;
    const DimNode* x = newest(d);
    Dim symbol(x);
    Dim a = 0, b = 0;
    if (!split(d, x, a, b)) return false;
    bool positive = nonnegative(a, depth + 1);
    if (!positive && !nonnegative(-a, depth + 1)) return false;
    auto with = [&](Dim v) { return nonnegative(a * v + b, depth + 1); };
    switch (x->kind) {
      case DimNode::Kind::symbol: {
        const Bound* bound = find(symbol);
        if (positive) return with(bound && bound->low ? *bound->low : Dim(0));
        return bound && bound->high && with(*bound->high);
      }
      case DimNode::Kind::floordiv: return division(x, a, b, positive, depth);
      case DimNode::Kind::min: return positive ? with(x->a) && with(x->b) : with(x->a) || with(x->b);
      case DimNode::Kind::max: return positive ? with(x->a) || with(x->b) : with(x->a) && with(x->b);
      case DimNode::Kind::polynomial: break;
    }
    return false;
  }

 private:
  static constexpr int kMaxDepth = 32, kMaxSteps = 4000;

  /// a floor(n / k) + b >= 0. floor(n / k) lies in [(n - k + 1) / k, n / k], and is at least 0 where n is; for a
  /// constant a = c > 0 the claim is exactly n + k floor(b / c) >= 0, for a = -c exactly n < k (floor(b / c) + 1).
  bool division(const DimNode* x, Dim a, Dim b, bool positive, int depth) {
    Dim n = x->a, k = x->b;
    auto holds = [&](Dim d) { return nonnegative(d, depth + 1); };
    if (k.is_constant() ? k.value() < 0 : !holds(k - Dim(1))) {
      // n // m for sizes that may be 0: at least 0; at most n.
      if (k.is_constant() || !holds(k) || !holds(n)) return false;
      return positive ? holds(b) : holds(a * n + b);
    }
    if (positive && holds(n) && holds(b)) return true;
    if (holds(a * (positive ? n - k + Dim(1) : n) + k * b)) return true;
    if (!a.is_constant() || a == Dim(0)) return false;
    Dim q = floordiv(b, positive ? a : -a);
    return holds(positive ? n + k * q : k * (q + Dim(1)) - Dim(1) - n);
  }

  const Bound* find(Dim symbol) const {
    for (const Bound& b : bounds_)
      if (b.symbol == symbol) return &b;
    return nullptr;
  }

  /// Position among the bounds; a compound atom comes after everything in it.
  int rank(const DimNode* n) const {
    constexpr int kStep = 64;  // deeper than any nesting of atoms that matters
    if (n->kind == DimNode::Kind::symbol) {
      const Bound* b = find(Dim(n));
      return b ? static_cast<int>(kStep * (b - bounds_.data() + 1)) : 0;
    }
    if (n->kind == DimNode::Kind::polynomial) {
      int r = 0;
      for (const auto& t : n->terms)
        for (const DimNode* atom : t.atoms) r = std::max(r, rank(atom));
      return r;
    }
    int r = 0;
    for (Dim part : {n->a, n->b})
      if (!part.is_constant()) r = std::max(r, rank(part.node()));
    return r + 1;
  }

  const DimNode* newest(Dim d) const {
    const DimNode* n = d.node();
    if (n->kind != DimNode::Kind::polynomial) return n;
    const DimNode* best = nullptr;
    int best_rank = -1;
    for (const auto& t : n->terms)
      for (const DimNode* a : t.atoms) {
        int r = rank(a);
        if (r > best_rank || (r == best_rank && precedes(best, a))) {
          best = a;
          best_rank = r;
        }
      }
    return best;
  }

  /// d = a * x + b with x in neither as an atom; false when d is not linear in x.
  static bool split(Dim d, const DimNode* x, Dim& a, Dim& b) {
    const DimNode* n = d.node();
    if (n == x) {
      a = 1;
      b = 0;
      return true;
    }
    for (const auto& t : n->terms) {
      auto count = std::count(t.atoms.begin(), t.atoms.end(), x);
      if (count > 1) return false;
      Dim term = t.coefficient;
      for (const DimNode* atom : t.atoms)
        if (atom != x) term = term * Dim(atom);
      (count ? a : b) = (count ? a : b) + term;
    }
    return true;
  }

  std::span<const Bound> bounds_;
  int steps_ = 0;
};

}  // namespace

bool provably_nonnegative(Dim d, std::span<const Bound> bounds) {
  constexpr int kMostSplits = 4;
  if (Prover(bounds).nonnegative(d)) return true;
  std::vector<Bound> split(bounds.begin(), bounds.end());
  for (int n = 0; n < kMostSplits; ++n) {
    bool any = false;
    for (Dim symbol : divided_symbols(d)) {
      Digits digits(d, symbol);
      if (!digits.found()) continue;
      auto narrower = digits.bounds(split);
      if (!narrower) continue;
      split = std::move(*narrower);
      d = digits.in(d);
      any = true;
      break;
    }
    if (!any) return false;
    if (Prover(split).nonnegative(d)) return true;
  }
  return false;
}

std::optional<Dim> explicit_coefficient(Dim d, Dim symbol) {
  if (d.is_constant()) return std::nullopt;
  if (d == symbol) return Dim(1);
  std::optional<Dim> sum;
  for (const auto& t : d.node()->terms) {
    if (std::count(t.atoms.begin(), t.atoms.end(), symbol.node()) != 1) continue;
    Dim term = t.coefficient;
    for (const DimNode* atom : t.atoms)
      if (atom != symbol.node()) term = term * Dim(atom);
    sum = sum ? *sum + term : term;
  }
  return sum;
}

}  // namespace tn
