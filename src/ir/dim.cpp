// Dims as canonical polynomials: a sum of terms, each an integer times a sorted product of atoms, where an atom is a
// symbol, floordiv, min or max. Polynomials and atoms are interned in one table; a node, once made, lives for the
// process.
#include "tenon/dim.h"

#include <algorithm>
#include <atomic>
#include <compare>
#include <deque>
#include <mutex>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "base/hash.h"
#include "base/thread_own.h"
#include "ir/dim_node.h"
#include "tenon/error.h"

namespace tn {

namespace {

using Atoms = DimNode::Atoms;
using Terms = DimNode::Terms;

constexpr size_t kMaxTerms = 4096;  // a text can ask for any product

[[noreturn]] void overflow() { fail("dim", "expected sizes within 63 bits, got an overflow"); }

i64 checked(i64 v) {
  if (!Dim::holds(v)) overflow();
  return v;
}

i64 add_checked(i64 a, i64 b) {
  i64 r;
  if (__builtin_add_overflow(a, b, &r)) overflow();
  return checked(r);
}

i64 mul_checked(i64 a, i64 b) {
  i64 r;
  if (__builtin_mul_overflow(a, b, &r)) overflow();
  return checked(r);
}

i64 floor_quotient(i64 a, i64 b) {
  i64 q = a / b;
  return q - (a % b != 0 && (a < 0) != (b < 0));
}

// ---------------------------------------------------------------- interning

u64 hash_terms(const Terms& terms) {
  u64 h = terms.size();
  for (const auto& t : terms) {
    h = mix(h, static_cast<u64>(t.coefficient));
    for (const DimNode* a : t.atoms) h = mix(h, reinterpret_cast<u64>(a));
  }
  return h;
}

struct Table {
  std::mutex mutex;
  std::unordered_multimap<u64, const DimNode*> index;
  std::deque<DimNode> nodes;
};

Table& table() {
  static auto* t = new Table;
  return *t;
}

bool same(const DimNode& a, const DimNode& b) {
  return a.kind == b.kind && a.a == b.a && a.b == b.b && a.name == b.name && a.terms == b.terms;
}

const DimNode* intern(DimNode node) {
  u64 h = mix(mix(mix(static_cast<u64>(node.kind), node.a.bits()), node.b.bits()), hash_terms(node.terms));
  h = mix(h, hash_text(node.name));
  Table& t = table();
  std::lock_guard lock(t.mutex);
  auto [first, last] = t.index.equal_range(h);
  for (; first != last; ++first)
    if (same(*first->second, node)) return first->second;
  for (Dim part : {node.a, node.b})
    if (!part.is_constant()) node.depth = std::max(node.depth, part.node()->depth + 1);
  for (const auto& term : node.terms)
    for (const DimNode* atom : term.atoms) node.depth = std::max(node.depth, atom->depth + 1);
  t.nodes.push_back(std::move(node));
  return t.index.emplace(h, &t.nodes.back())->second;
}

// ---------------------------------------------------------------- order

using Order = std::strong_ordering;
Order order(const DimNode* x, const DimNode* y);

Order order(Dim x, Dim y) {
  if (x == y) return Order::equal;
  if (x.is_constant() && y.is_constant()) return x.value() <=> y.value();
  if (x.is_constant() || y.is_constant()) return x.is_constant() ? Order::less : Order::greater;
  return order(x.node(), y.node());
}

Order order(const Atoms& x, const Atoms& y) {
  return std::lexicographical_compare_three_way(x.begin(), x.end(), y.begin(), y.end(),
                                                [](const DimNode* a, const DimNode* b) { return order(a, b); });
}

/// Shorter stems first, then letters; fresh ones of a stem by number.
Order order(const std::string& x, const std::string& y) {
  auto key = [](const std::string& name) {
    auto stem = std::string_view(name).substr(0, name.find('\''));
    return std::tuple(stem.size(), stem, name.size(), std::string_view(name));
  };
  return key(x) <=> key(y);
}

Order order(const DimNode* x, const DimNode* y) {
  if (x == y) return Order::equal;
  if (auto o = std::tuple(x->depth, x->kind) <=> std::tuple(y->depth, y->kind); o != 0) return o;
  if (auto o = order(x->name, y->name); o != 0) return o;
  if (auto o = order(x->a, y->a); o != 0) return o;
  if (auto o = order(x->b, y->b); o != 0) return o;
  return std::lexicographical_compare_three_way(x->terms.begin(), x->terms.end(), y->terms.begin(), y->terms.end(),
                                                [](const auto& s, const auto& t) {
                                                  Order o = order(s.atoms, t.atoms);
                                                  return o != 0 ? o : s.coefficient <=> t.coefficient;
                                                });
}

}  // namespace

bool precedes(const DimNode* x, const DimNode* y) { return order(x, y) < 0; }

namespace {

// ---------------------------------------------------------------- polynomials

Terms terms_of(Dim d) {
  if (d.is_constant()) return d.value() ? Terms{{{}, d.value()}} : Terms{};
  const DimNode* n = d.node();
  if (n->kind == DimNode::Kind::polynomial) return n->terms;
  return {{{n}, 1}};
}

/// The Dim of terms in any order.
Dim from_terms(Terms terms) {
  std::sort(terms.begin(), terms.end(), [](const auto& x, const auto& y) { return order(x.atoms, y.atoms) < 0; });
  Terms merged;
  for (auto& t : terms) {
    if (!merged.empty() && merged.back().atoms == t.atoms)
      merged.back().coefficient = add_checked(merged.back().coefficient, t.coefficient);
    else
      merged.push_back(std::move(t));
  }
  std::erase_if(merged, [](const auto& t) { return t.coefficient == 0; });
  if (merged.empty()) return 0;
  if (merged.size() == 1 && merged[0].atoms.empty()) return checked(merged[0].coefficient);
  if (merged.size() == 1 && merged[0].coefficient == 1 && merged[0].atoms.size() == 1) return Dim(merged[0].atoms[0]);
  if (merged.size() > kMaxTerms)
    fail("dim", "expected a polynomial of at most " + std::to_string(kMaxTerms) + " terms, got more");
  DimNode n;
  n.kind = DimNode::Kind::polynomial;
  n.terms = std::move(merged);
  return Dim(intern(std::move(n)));
}

Dim compound(DimNode::Kind kind, Dim a, Dim b) {
  DimNode n;
  n.kind = kind;
  n.a = a;
  n.b = b;
  return Dim(intern(std::move(n)));
}

}  // namespace

// ---------------------------------------------------------------- making

Dim Dim::symbol(std::string_view name) {
  if (name.empty()) fail("dim", "expected a symbol with a name, got an empty one");
  DimNode n;
  n.kind = DimNode::Kind::symbol;
  n.name = name;
  return Dim(intern(std::move(n)));
}

Dim Dim::fresh(std::string_view stem) {
  static std::atomic<u64> count{0};
  return symbol(std::string(stem) + "'" + std::to_string(++count));
}

bool Dim::is_symbol() const { return !is_constant() && node()->kind == DimNode::Kind::symbol; }

Dim operator+(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return add_checked(a.value(), b.value());
  Terms t = terms_of(a);
  for (auto& x : terms_of(b)) t.push_back(std::move(x));
  return from_terms(std::move(t));
}

Dim operator-(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return add_checked(a.value(), -b.value());
  return a + b * Dim(-1);
}

Dim operator*(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return mul_checked(a.value(), b.value());
  Terms x = terms_of(a), y = terms_of(b), product_terms;
  if (x.size() * y.size() > kMaxTerms)
    fail("dim", "expected a polynomial of at most " + std::to_string(kMaxTerms) + " terms, got more");
  for (const auto& p : x)
    for (const auto& q : y) {
      Atoms atoms = p.atoms;
      atoms.insert(atoms.end(), q.atoms.begin(), q.atoms.end());
      std::sort(atoms.begin(), atoms.end(), precedes);
      product_terms.push_back({std::move(atoms), mul_checked(p.coefficient, q.coefficient)});
    }
  return from_terms(std::move(product_terms));
}

/// a / b when b is one term that divides every term of a.
static std::optional<Dim> exact_quotient(Dim a, Dim b) {
  Terms divisor = terms_of(b), quotient;
  if (divisor.size() != 1) return std::nullopt;
  for (auto t : terms_of(a)) {
    if (t.coefficient % divisor[0].coefficient) return std::nullopt;
    t.coefficient /= divisor[0].coefficient;
    for (const DimNode* atom : divisor[0].atoms) {
      auto found = std::find(t.atoms.begin(), t.atoms.end(), atom);
      if (found == t.atoms.end()) return std::nullopt;
      t.atoms.erase(found);
    }
    quotient.push_back(std::move(t));
  }
  return from_terms(std::move(quotient));
}

Dim floordiv(Dim a, Dim b) {
  if (b == Dim(0)) fail("dim", "expected a divisor other than 0, got 0");
  if (a.is_constant() && b.is_constant()) return floor_quotient(a.value(), b.value());
  if (a == b) return 1;
  if (auto exact = exact_quotient(a, b)) return *exact;
  if (!b.is_constant() || b.value() < 0) return compound(DimNode::Kind::floordiv, a, b);
  // (k q + rest) // k = q + rest // k; the constant of rest is brought into [0, k).
  i64 k = b.value();
  Terms out, rest;
  i64 common = k;
  for (const auto& t : terms_of(a)) {
    i64 q = floor_quotient(t.coefficient, k), r = t.coefficient - q * k;
    bool whole = r == 0 || t.atoms.empty();
    if (whole && q) out.push_back({t.atoms, q});
    if (!whole)
      rest.push_back(t);
    else if (r)
      rest.push_back({t.atoms, r});
  }
  for (const auto& t : rest) common = std::gcd(common, t.coefficient);
  if (common > 1) {
    for (auto& t : rest) t.coefficient /= common;
    k /= common;
  }
  Dim inner = from_terms(std::move(rest)), whole = from_terms(std::move(out));
  if (k == 1) return whole + inner;
  if (inner.is_constant()) return whole + Dim(floor_quotient(inner.value(), k));
  if (const DimNode* n = inner.node(); n->kind == DimNode::Kind::floordiv && n->b.is_constant() && n->b.value() > 0)
    return whole + floordiv(n->a, n->b * Dim(k));
  return whole + compound(DimNode::Kind::floordiv, inner, k);
}

Dim mod(Dim a, Dim b) { return a - b * floordiv(a, b); }
Dim ceildiv(Dim a, Dim b) { return floordiv(a + b - Dim(1), b); }

/// The lesser or the greater; a compound where neither is proved. Kernels ask for few of them many times, and a proof
/// that fails is long, so the last ones made are kept.
static Dim extreme(DimNode::Kind kind, Dim a, Dim b) {
  struct Known {
    Dim a = 0, b = 0, result = 0;
    DimNode::Kind kind = DimNode::Kind::polynomial;  // nothing yet
  };
  constexpr size_t kKnown = 2048;
  struct Table {
    std::vector<Known> known = std::vector<Known>(kKnown);
  };
  std::vector<Known>& table = thread_own<Table>().known;
  u64 h = mix(mix(static_cast<u64>(kind), a.bits()), b.bits());
  Known& known = table[h % kKnown];
  if (known.kind == kind && known.a == a && known.b == b) return known.result;
  Dim result = 0;
  Dim above = kind == DimNode::Kind::min ? b - a : a - b;  // at least 0: a it is
  if (a == b || provably_nonnegative(above))
    result = a;
  else if (provably_nonnegative(-above))
    result = b;
  else
    result = order(b, a) < 0 ? compound(kind, b, a) : compound(kind, a, b);
  table[h % kKnown] = {a, b, result, kind};  // a proof may have come here for another
  return result;
}

Dim min(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return std::min(a.value(), b.value());
  return extreme(DimNode::Kind::min, a, b);
}

Dim max(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return std::max(a.value(), b.value());
  return extreme(DimNode::Kind::max, a, b);
}

Dim product(std::span<const Dim> shape) {
  Dim p = 1;
  for (Dim d : shape) p = p * d;
  return p;
}

bool same(std::span<const Dim> a, std::span<const Dim> b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// ---------------------------------------------------------------- text

// Order by text: a text, and with it a kernel's key, must not depend on what the process made before.

static std::string atom_text(const DimNode* n) {
  switch (n->kind) {
    case DimNode::Kind::symbol: return n->name;
    case DimNode::Kind::floordiv: return "((" + to_string(n->a) + ")//(" + to_string(n->b) + "))";
    case DimNode::Kind::min:
    case DimNode::Kind::max: {
      std::string a = to_string(n->a), b = to_string(n->b);
      if (b < a) a.swap(b);
      return (n->kind == DimNode::Kind::min ? "min(" : "max(") + a + ", " + b + ")";
    }
    case DimNode::Kind::polynomial: break;
  }
  internal("a polynomial stands where an atom should");
}

static std::string factors_text(const Atoms& atoms) {
  if (atoms.size() == 1) return atom_text(atoms[0]);
  std::vector<std::string> factors;
  for (const DimNode* a : atoms) factors.push_back(atom_text(a));
  std::sort(factors.begin(), factors.end());
  std::string text;
  for (const std::string& f : factors) text += (text.empty() ? "" : "*") + f;
  return text;
}

std::string to_string(Dim d) {
  if (d.is_constant()) return std::to_string(d.value());
  if (d.is_symbol()) return d.node()->name;
  struct Part {
    int rank;  // positive terms first, the constant last, so that texts read "n - 1"
    std::string factors;
    i64 coefficient;
  };
  std::vector<Part> parts;
  for (const auto& t : terms_of(d))
    parts.push_back({t.atoms.empty() ? 2 : t.coefficient > 0 ? 0 : 1, factors_text(t.atoms), t.coefficient});
  std::sort(parts.begin(), parts.end(),
            [](const Part& x, const Part& y) { return std::tie(x.rank, x.factors) < std::tie(y.rank, y.factors); });
  std::string text;
  for (const auto& [rank, factors, coefficient] : parts) {
    i64 c = coefficient;
    if (!text.empty()) {
      text += c < 0 ? " - " : " + ";
      c = c < 0 ? -c : c;
    }
    if (factors.empty())
      text += std::to_string(c);
    else
      text += (c == 1 ? "" : c == -1 ? "-" : std::to_string(c) + "*") + factors;
  }
  return text;
}

// ---------------------------------------------------------------- values

void DimEnv::set(Dim symbol, i64 value) {
  for (auto& [key, v] : values_)
    if (key == symbol.bits()) {
      v = value;
      return;
    }
  values_.emplace_back(symbol.bits(), value);
}

std::optional<i64> DimEnv::find(Dim symbol) const {
  for (const auto& [key, v] : values_)
    if (key == symbol.bits()) return v;
  return std::nullopt;
}

static i64 evaluate_atom(const DimNode* n, const DimEnv& env) {
  switch (n->kind) {
    case DimNode::Kind::symbol:
      if (auto v = env.find(Dim(n))) return *v;
      fail("dim", "expected a value for size '" + n->name + "', got none");
    case DimNode::Kind::floordiv: {
      i64 b = evaluate(n->b, env);
      if (b == 0) fail("dim", "expected a divisor other than 0 in " + to_string(Dim(n)));
      return floor_quotient(evaluate(n->a, env), b);
    }
    case DimNode::Kind::min: return std::min(evaluate(n->a, env), evaluate(n->b, env));
    case DimNode::Kind::max: return std::max(evaluate(n->a, env), evaluate(n->b, env));
    case DimNode::Kind::polynomial: break;
  }
  internal("a polynomial stands where an atom should");
}

i64 evaluate(Dim d, const DimEnv& env) {
  if (d.is_constant()) return d.value();
  const DimNode* n = d.node();
  if (n->kind != DimNode::Kind::polynomial) return evaluate_atom(n, env);
  i64 sum = 0;
  for (const auto& t : n->terms) {
    i64 v = t.coefficient;
    for (const DimNode* a : t.atoms) v = mul_checked(v, evaluate_atom(a, env));
    sum = add_checked(sum, v);
  }
  return sum;
}

// ---------------------------------------------------------------- taking apart

Dim substitute(Dim d, std::span<const std::pair<Dim, Dim>> replacements) {
  if (d.is_constant() || replacements.empty()) return d;
  for (const auto& [from, to] : replacements)
    if (from == d) return to;
  const DimNode* n = d.node();
  switch (n->kind) {
    case DimNode::Kind::symbol: return d;
    case DimNode::Kind::floordiv: return floordiv(substitute(n->a, replacements), substitute(n->b, replacements));
    case DimNode::Kind::min: return min(substitute(n->a, replacements), substitute(n->b, replacements));
    case DimNode::Kind::max: return max(substitute(n->a, replacements), substitute(n->b, replacements));
    case DimNode::Kind::polynomial: break;
  }
  Dim sum = 0;
  for (const auto& t : n->terms) {
    Dim v = t.coefficient;
    for (const DimNode* a : t.atoms) v = v * substitute(Dim(a), replacements);
    sum = sum + v;
  }
  return sum;
}

static void collect_symbols(Dim d, std::vector<const DimNode*>& found) {
  if (d.is_constant()) return;
  const DimNode* n = d.node();
  if (n->kind == DimNode::Kind::symbol) {
    if (std::find(found.begin(), found.end(), n) == found.end()) found.push_back(n);
  } else if (n->kind == DimNode::Kind::polynomial) {
    for (const auto& t : n->terms)
      for (const DimNode* a : t.atoms) collect_symbols(Dim(a), found);
  } else {
    collect_symbols(n->a, found);
    collect_symbols(n->b, found);
  }
}

std::vector<Dim> symbols_of(Dim d) {
  std::vector<const DimNode*> found;
  collect_symbols(d, found);
  std::sort(found.begin(), found.end(), precedes);
  std::vector<Dim> result;
  for (const DimNode* n : found) result.push_back(Dim(n));
  return result;
}

static bool mentions(Dim d, const DimNode* symbol) {
  std::vector<const DimNode*> found;
  collect_symbols(d, found);
  return std::find(found.begin(), found.end(), symbol) != found.end();
}

std::optional<Dim> coefficient(Dim d, Dim symbol) {
  if (d.is_constant()) return Dim(0);
  Terms with;
  for (auto t : terms_of(d)) {
    auto found = std::find(t.atoms.begin(), t.atoms.end(), symbol.node());
    if (found != t.atoms.end()) {
      t.atoms.erase(found);
      with.push_back(t);
    }
    for (const DimNode* a : t.atoms)
      if (mentions(Dim(a), symbol.node())) return std::nullopt;
  }
  return from_terms(std::move(with));
}

bool provably_divisible(Dim d, i64 k) {
  for (const auto& t : terms_of(d))
    if (t.coefficient % k) return false;
  return true;
}

}  // namespace tn
