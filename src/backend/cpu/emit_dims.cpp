// Dims, pointers and masks in LLVM IR, each made once in the outermost scope where its symbols live.
#include <algorithm>

#include "backend/cpu/emitter.h"
#include "base/hash.h"
#include "tenon/error.h"

namespace tn::cpu {

using Kind = DimNode::Kind;
using Terms = DimNode::Terms;

/// The terms of d in an order that does not depend on what else this process has made, so that equal kernels give
/// equal code.
static Terms ordered_terms(Dim d) {
  Terms terms;
  if (d.is_constant()) {
    if (d.value()) terms.push_back({{}, d.value()});
    return terms;
  }
  if (d.node()->kind != Kind::polynomial) return {{{d.node()}, 1}};
  std::vector<std::pair<std::string, size_t>> keys;
  const Terms& given = d.node()->terms;
  auto key = [](const DimNode::Term& t) {
    std::vector<std::string> atoms;
    for (const DimNode* a : t.atoms) atoms.push_back(to_string(Dim(a)));
    std::sort(atoms.begin(), atoms.end());
    std::string text;
    for (const auto& a : atoms) text += a + "*";
    return text;
  };
  for (size_t i = 0; i < given.size(); ++i) keys.emplace_back(key(given[i]), i);
  std::sort(keys.begin(), keys.end());
  for (const auto& [text, i] : keys) {
    terms.push_back(given[i]);
    auto& atoms = terms.back().atoms;
    std::sort(atoms.begin(), atoms.end(),
              [](const DimNode* x, const DimNode* y) { return x != y && to_string(Dim(x)) < to_string(Dim(y)); });
  }
  return terms;
}

static Dim product_of(const DimNode::Term& t) {
  Dim p = t.coefficient;
  for (const DimNode* a : t.atoms) p = p * Dim(a);
  return p;
}

// ---------------------------------------------------------------- scopes

void Scopes::leave() {
  for (const DimNode* s : scopes_.back().symbols) symbols_.erase(s);
  std::erase_if(bounds_, [&](const Bound& bound) {
    return std::find(scopes_.back().symbols.begin(), scopes_.back().symbols.end(), bound.symbol.node()) !=
           scopes_.back().symbols.end();
  });
  scopes_.pop_back();
}

void Scopes::define(Dim symbol, Value* v, std::optional<Dim> high) {
  symbols_[symbol.node()] = {v, depth(), {}};
  scopes_.back().symbols.push_back(symbol.node());
  bounds_.push_back({symbol, Dim(0), high});
}

bool Scopes::defines(Dim symbol) const {
  const auto& own = scopes_.back().symbols;
  return std::find(own.begin(), own.end(), symbol.node()) != own.end();
}

void Scopes::define_size(Dim symbol, std::function<Value*()> load) {
  symbols_[symbol.node()] = {nullptr, 0, std::move(load)};
}

int Scopes::depth_of(Dim d) {
  if (d.is_constant()) return 0;
  auto known = depths_.find(d.bits());
  if (known != depths_.end()) return known->second;
  const DimNode* n = d.node();
  int depth = 0;
  if (n->kind == Kind::symbol) {
    auto found = symbols_.find(n);
    if (found == symbols_.end())
      fail("compile_kernel", "expected a size or a variable of an enclosing loop, got '" + n->name + "'");
    return found->second.depth;
  }
  if (n->kind == Kind::polynomial) {
    for (const auto& t : n->terms)
      for (const DimNode* a : t.atoms) depth = std::max(depth, depth_of(Dim(a)));
  } else {
    depth = std::max(depth_of(n->a), depth_of(n->b));
  }
  depths_[d.bits()] = depth;
  return depth;
}

Value* Scopes::at_depth(int wanted, const std::function<Value*()>& make) {
  if (wanted >= depth()) return make();
  llvm::IRBuilder<>::InsertPointGuard guard(b_);
  b_.SetInsertPoint(scopes_[static_cast<size_t>(wanted) + 1].anchor);
  return make();
}

// ---------------------------------------------------------------- dims

/// floordiv: a shift for powers of two, else a division with the quotient corrected where the sign asks for it.
Value* Scopes::quotient(Dim a, Dim b) {
  Value* x = dim(a);
  if (b.is_constant() && b.value() > 0 && (b.value() & (b.value() - 1)) == 0)
    return b_.CreateAShr(x, static_cast<u64>(__builtin_ctzll(static_cast<u64>(b.value()))));
  Value* y = dim(b);
  if (!b.is_constant()) y = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, y, b_.getInt64(1));
  Value* q = b_.CreateSDiv(x, y);
  if (nonnegative(a)) return q;
  Value* rest = b_.CreateSub(x, b_.CreateMul(q, y));
  return b_.CreateAdd(q, b_.CreateAShr(rest, 63));
}

Value* Scopes::atom(const DimNode* n) {
  switch (n->kind) {
    case Kind::symbol: {
      auto found = symbols_.find(n);
      if (found == symbols_.end())
        fail("compile_kernel", "expected a size or a variable of an enclosing loop, got '" + n->name + "'");
      Symbol& s = found->second;
      if (!s.value) s.value = at_depth(0, s.load);
      return s.value;
    }
    case Kind::floordiv: return quotient(n->a, n->b);
    case Kind::min:
    case Kind::max: {
      bool swap = to_string(n->b) < to_string(n->a);
      Value *x = dim(swap ? n->b : n->a), *y = dim(swap ? n->a : n->b);
      return b_.CreateBinaryIntrinsic(n->kind == Kind::min ? llvm::Intrinsic::smin : llvm::Intrinsic::smax, x, y);
    }
    case Kind::polynomial: break;
  }
  internal("a polynomial stands where an atom should");
}

Dim Scopes::outer_part(Dim d, int depth) {
  Dim outer = 0;
  for (const auto& t : ordered_terms(d))
    if (Dim p = product_of(t); depth_of(p) < depth) outer = outer + p;
  return outer;
}

/// The terms of the newest scope, with what multiplies each of its atoms made further out; then the rest.
Value* Scopes::polynomial(Dim d, int depth) {
  std::vector<std::pair<DimNode::Atoms, Dim>> groups;  // atoms of this depth, and their coefficient
  Dim outer = 0;
  for (const auto& t : ordered_terms(d)) {
    DimNode::Atoms inner;
    Dim factor = t.coefficient;
    for (const DimNode* a : t.atoms) {
      if (depth_of(Dim(a)) < depth)
        factor = factor * Dim(a);
      else
        inner.push_back(a);
    }
    auto same = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == inner; });
    if (t.atoms.empty() || (inner.empty() && depth > 0))
      outer = outer + product_of(t);
    else if (same != groups.end())
      same->second = same->second + factor;
    else
      groups.emplace_back(inner, factor);
  }
  Value* sum = nullptr;
  for (const auto& [atoms, factor] : groups) {
    Value* p = nullptr;
    for (const DimNode* a : atoms) p = p ? b_.CreateMul(p, dim(Dim(a)), "", false, true) : dim(Dim(a));
    if (factor != Dim(1)) p = b_.CreateMul(p, dim(factor), "", false, true);
    sum = sum ? b_.CreateAdd(sum, p, "", false, true) : p;
  }
  if (outer == Dim(0)) return sum;
  return b_.CreateAdd(sum, dim(outer), "", false, true);
}

Value* Scopes::dim(Dim d) {
  if (d.is_constant()) return b_.getInt64(static_cast<u64>(d.value()));
  int where = depth_of(d);
  auto& cache = scopes_[static_cast<size_t>(where)].dims;
  if (auto found = cache.find(d.bits()); found != cache.end()) return found->second;
  Value* v =
      at_depth(where, [&] { return d.node()->kind == Kind::polynomial ? polynomial(d, where) : atom(d.node()); });
  scopes_[static_cast<size_t>(where)].dims[d.bits()] = v;
  return v;
}

// ---------------------------------------------------------------- pointers and limits

Value* Scopes::once(std::initializer_list<Dim> of, u64 what, const std::function<Value*()>& make) {
  int where = 0;
  u64 all = 0;
  for (Dim d : of) {
    where = std::max(where, depth_of(d));
    all = of.size() == 1 ? d.bits() : mix(all, d.bits());
  }
  Key key{nullptr, all, what};
  auto& made = scopes_[static_cast<size_t>(where)].made;
  if (auto found = made.find(key); found != made.end()) return found->second;
  Value* v = at_depth(where, make);
  scopes_[static_cast<size_t>(where)].made[key] = v;
  return v;
}

/// The constant part of the offset goes last, so that neighbours share the rest.
Value* Scopes::pointer(Value* base, llvm::Type* type, i64 size, Dim offset) {
  i64 constant = 0;
  for (const auto& t : ordered_terms(offset))
    if (t.atoms.empty()) constant = t.coefficient;
  Dim rest = offset - Dim(constant);
  Value* p = base;
  if (rest != Dim(0)) {
    int where = depth_of(rest);
    Key key{base, rest.bits(), static_cast<u64>(size)};
    auto& made = scopes_[static_cast<size_t>(where)].made;
    auto found = made.find(key);
    if (found == made.end()) {
      Dim outer = where > 0 ? outer_part(rest, where) : Dim(0);
      Value* v = at_depth(where, [&] {
        Value* from = pointer(base, type, size, outer);
        return b_.CreateGEP(type, from, dim(rest - outer));
      });
      found = scopes_[static_cast<size_t>(where)].made.emplace(key, v).first;
    }
    p = found->second;
  }
  return constant ? b_.CreateConstGEP1_64(b_.getInt8Ty(), p, static_cast<u64>(constant * size)) : p;
}

Value* Scopes::lanes_below(Dim limit, int first, int n) {
  if (nonnegative(limit - Dim(first + n))) return nullptr;
  u64 what = mix(static_cast<u64>(first), static_cast<u64>(n));
  return once({limit}, what, [&]() -> Value* {
    Value* v = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, dim(limit), b_.getInt64(static_cast<u64>(first + n)));
    v = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, v, b_.getInt64(0));
    v = b_.CreateTrunc(v, b_.getInt32Ty());
    llvm::SmallVector<llvm::Constant*, 16> lanes;
    for (int i = 0; i < n; ++i) lanes.push_back(b_.getInt32(static_cast<u32>(first + i)));
    Value* at = llvm::ConstantVector::get(lanes);
    return b_.CreateICmpSLT(at, b_.CreateVectorSplat(static_cast<unsigned>(n), v));
  });
}

Value* Scopes::below(Dim limit, int at) {
  if (nonnegative(limit - Dim(at + 1))) return nullptr;
  return once({limit}, mix(u64{1} << 32, static_cast<u64>(at)),
              [&] { return b_.CreateICmpSGT(dim(limit), b_.getInt64(static_cast<u64>(at))); });
}

}  // namespace tn::cpu
