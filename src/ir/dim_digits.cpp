#include "ir/dim_digits.h"

#include <algorithm>
#include <optional>

#include "base/list.h"

namespace tn {

/// a / b where that is exact.
static std::optional<Dim> quotient_of(Dim a, Dim b) {
  Dim q = floordiv(a, b);
  if (q * b == a) return q;
  return std::nullopt;
}

/// Calls f(symbol, divisor) for each floor division of a symbol in d.
template <class F>
static void each_division(Dim d, const F& f) {
  if (d.is_constant()) return;
  const DimNode* n = d.node();
  for (const auto& t : n->terms)
    for (const DimNode* atom : t.atoms) each_division(Dim(atom), f);
  if (n->kind == DimNode::Kind::polynomial || n->kind == DimNode::Kind::symbol) return;
  each_division(n->a, f);
  each_division(n->b, f);
  bool plain = n->kind == DimNode::Kind::floordiv && n->a.is_symbol() && (!n->b.is_constant() || n->b.value() > 1);
  if (plain) f(n->a, n->b);
}

std::vector<Dim> divided_symbols(Dim d) {
  std::vector<Dim> found;
  each_division(d, [&](Dim symbol, Dim) { add_once(found, symbol); });
  return found;
}

Digits::Digits(Dim d, Dim symbol) : symbol_(symbol.node()) {
  std::vector<Dim> divisors;
  each_division(d, [&](Dim s, Dim by) {
    if (s == symbol) add_once(divisors, by);
  });
  auto choose = [&] {
    for (Dim least : divisors)
      if (std::ranges::all_of(divisors, [&](Dim other) { return quotient_of(other, least).has_value(); }))
        divisor_ = least;
  };
  choose();
  if (!found()) {  // numbers alone
    std::erase_if(divisors, [](Dim by) { return !by.is_constant(); });
    choose();
  }
  if (!found()) return;
  x_ = Dim::symbol(symbol_->name + " quotient");  // of its own: simplifying what they stand in proves things too
  t_ = Dim::symbol(symbol_->name + " rest");
}

std::optional<std::vector<Bound>> Digits::bounds(std::span<const Bound> given) const {
  std::vector<Bound> all;
  bool known = false;
  Dim last = divisor_ - Dim(1);
  if (!provably_nonnegative(last, given)) return std::nullopt;
  for (const Bound& b : given) {
    if (b.symbol != Dim(symbol_)) {
      all.push_back(b);
      continue;
    }
    if (b.low && !(b.low->is_constant() && b.low->value() >= 0)) return std::nullopt;
    known = true;
    std::optional<Dim> high;
    if (b.high) {
      auto whole = quotient_of(*b.high + Dim(1), divisor_);
      high = whole ? *whole - Dim(1) : floordiv(*b.high, divisor_);
    }
    all.push_back({x_, Dim(0), high});
    all.push_back({t_, Dim(0), last});
  }
  if (!known) {
    all.insert(all.begin(), {t_, Dim(0), last});
    all.insert(all.begin(), {x_, Dim(0), std::nullopt});
  }
  for (Bound& b : all) {
    if (b.low) b.low = in(*b.low);
    if (b.high) b.high = in(*b.high);
  }
  return all;
}

Dim Digits::in(Dim d) const {
  if (d.is_constant()) return d;
  const DimNode* n = d.node();
  switch (n->kind) {
    case DimNode::Kind::symbol: return n == symbol_ ? x_ * divisor_ + t_ : d;
    case DimNode::Kind::floordiv:
      if (divides(n)) return floordiv(x_, *quotient_of(n->b, divisor_));
      return floordiv(in(n->a), in(n->b));
    case DimNode::Kind::min: return min(in(n->a), in(n->b));
    case DimNode::Kind::max: return max(in(n->a), in(n->b));
    case DimNode::Kind::polynomial: break;
  }
  Dim sum = 0;
  for (const auto& t : n->terms) {
    Dim term = t.coefficient;
    for (const DimNode* atom : t.atoms) term = term * in(Dim(atom));
    sum = sum + term;
  }
  return sum;
}

/// A floor division of the symbol.
bool Digits::divides(const DimNode* n) const {
  return !n->a.is_constant() && n->a.node() == symbol_ && quotient_of(n->b, divisor_);
}

std::vector<std::pair<i64, int>> place_values(Dim index, Dim v, std::span<const Bound> given) {
  std::vector<std::pair<i64, int>> places;
  std::vector<Dim> wanted{v};
  std::vector<Bound> bounds(given.begin(), given.end());
  if (Digits d(index, v); d.found() && d.divisor().is_constant()) {
    auto split = d.bounds(given);
    if (!split) return {};
    bounds = std::move(*split);
    index = d.in(index);
    wanted = {d.quotient(), d.rest()};
    places.emplace_back(d.divisor().value(), -2);
  }
  size_t known = 0;
  for (const Bound& b : bounds) {  // what is always 0
    if (!b.high || *b.high != Dim(0)) continue;
    index = index - explicit_coefficient(index, b.symbol).value_or(0) * b.symbol;
    known += std::find(wanted.begin(), wanted.end(), b.symbol) != wanted.end();
  }
  while (known < wanted.size()) {
    Dim best = 0;
    i64 c = 0;
    for (Dim s : symbols_of(index))
      if (auto k = explicit_coefficient(index, s); k && k->is_constant() && k->value() > c) {
        best = s;
        c = k->value();
      }
    if (c == 0) return {};
    index = index - best * c;
    if (!provably_nonnegative(index, bounds) || !provably_nonnegative(Dim(c - 1) - index, bounds)) return {};
    auto found = std::find(wanted.begin(), wanted.end(), best);
    places.emplace_back(c, found == wanted.end() ? -1 : static_cast<int>(found - wanted.begin()));
    known += found != wanted.end();
  }
  return places;
}

bool divided_by(Dim d, Dim symbol) {
  if (d.is_constant()) return false;
  const DimNode* n = d.node();
  auto inside = [&](Dim part) { return divided_by(part, symbol); };
  for (const auto& t : n->terms)
    for (const DimNode* atom : t.atoms)
      if (inside(Dim(atom))) return true;
  if (n->kind == DimNode::Kind::symbol || n->kind == DimNode::Kind::polynomial) return false;
  auto of_divisor = symbols_of(n->b);
  bool divides =
      n->kind == DimNode::Kind::floordiv && std::find(of_divisor.begin(), of_divisor.end(), symbol) != of_divisor.end();
  return divides || inside(n->a) || inside(n->b);
}

}  // namespace tn
