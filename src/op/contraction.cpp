// Sums of products: dot is the one primitive; matmul and einsum are dots of rearranged operands. One chain of fused
// multiply-adds in the order of the contracted axes makes each element; f16 and bf16 add up in f32 and round once;
// integers wrap.
#include <algorithm>

#include "op/contract.h"
#include "op/families.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

namespace {

using Types = std::span<const Type>;
using Coords = std::span<const Dim>;

size_t at(i64 axis) { return static_cast<size_t>(axis); }

// ---------------------------------------------------------------- dot

struct DotAxes {
  const std::vector<i64>&lhs_batch, &rhs_batch, &lhs_contract, &rhs_contract;
  explicit DotAxes(const Attrs& a)
      : lhs_batch(a.get<std::vector<i64>>("lhs_batch")),
        rhs_batch(a.get<std::vector<i64>>("rhs_batch")),
        lhs_contract(a.get<std::vector<i64>>("lhs_contract")),
        rhs_contract(a.get<std::vector<i64>>("rhs_contract")) {}
};

/// Axes of neither list, in order.
std::vector<i64> free_axes(int rank, const std::vector<i64>& batch, const std::vector<i64>& contracted) {
  std::vector<i64> r;
  auto in = [](const std::vector<i64>& v, i64 a) { return std::find(v.begin(), v.end(), a) != v.end(); };
  for (i64 i = 0; i < rank; ++i)
    if (!in(batch, i) && !in(contracted, i)) r.push_back(i);
  return r;
}

void check_pairs(Types t, const std::vector<i64>& lhs, const std::vector<i64>& rhs, std::string_view what) {
  if (lhs.size() != rhs.size())
    fail("dot", "expected as many " + std::string(what) + " axes of both operands, got " + std::to_string(lhs.size()) +
                    " and " + std::to_string(rhs.size()));
  for (size_t i = 0; i < lhs.size(); ++i) {
    Dim a = t[0].shape()[at(lhs[i])], b = t[1].shape()[at(rhs[i])];
    if (a != b)
      fail("dot", "expected equal extents on " + std::string(what) + " axes " + std::to_string(lhs[i]) + " and " +
                      std::to_string(rhs[i]) + ", got " + to_string(a) + " and " + to_string(b) + " in " +
                      to_string(t[0]) + " and " + to_string(t[1]));
  }
}

std::vector<Type> dot_type(Types t, const Attrs& a) {
  DotAxes d(a);
  std::vector<i64> lhs = d.lhs_batch, rhs = d.rhs_batch;
  lhs.insert(lhs.end(), d.lhs_contract.begin(), d.lhs_contract.end());
  rhs.insert(rhs.end(), d.rhs_contract.begin(), d.rhs_contract.end());
  check_axes("dot", lhs, t[0].rank());
  check_axes("dot", rhs, t[1].rank());
  check_pairs(t, d.lhs_batch, d.rhs_batch, "batch");
  check_pairs(t, d.lhs_contract, d.rhs_contract, "contracted");
  Shape shape;
  for (i64 i : d.lhs_batch) shape.push_back(t[0].shape()[at(i)]);
  for (i64 i : free_axes(t[0].rank(), d.lhs_batch, d.lhs_contract)) shape.push_back(t[0].shape()[at(i)]);
  for (i64 i : free_axes(t[1].rank(), d.rhs_batch, d.rhs_contract)) shape.push_back(t[1].shape()[at(i)]);
  return {t[0].with(shape)};
}

int dot_red_count(Types, const Attrs& a) { return static_cast<int>(DotAxes(a).lhs_contract.size()); }

ContractionSpec dot_spec(Types t, const Attrs& a, Coords out, Coords red) {
  DotAxes d(a);
  ContractionSpec s;
  s.a_index.resize(t[0].shape().size());
  s.b_index.resize(t[1].shape().size());
  size_t k = 0;
  for (size_t i = 0; i < d.lhs_batch.size(); ++i, ++k)
    s.a_index[at(d.lhs_batch[i])] = s.b_index[at(d.rhs_batch[i])] = out[k];
  for (i64 i : free_axes(t[0].rank(), d.lhs_batch, d.lhs_contract)) s.a_index[at(i)] = out[k++];
  for (i64 i : free_axes(t[1].rank(), d.rhs_batch, d.rhs_contract)) s.b_index[at(i)] = out[k++];
  for (size_t i = 0; i < red.size(); ++i) {
    s.red_extents.push_back(t[0].shape()[at(d.lhs_contract[i])]);
    s.a_index[at(d.lhs_contract[i])] = s.b_index[at(d.rhs_contract[i])] = red[i];
  }
  return s;
}

/// A label for each axis of the operands and the result.
struct DotLabels {
  Labels lhs, rhs, out;
  DotLabels(const Attrs& a, int lhs_rank, int rhs_rank) {
    DotAxes d(a);
    for (i64 i = 0; i < lhs_rank; ++i) lhs.push_back(i);
    for (i64 i = 0; i < rhs_rank; ++i) rhs.push_back(lhs_rank + i);
    for (size_t i = 0; i < d.lhs_batch.size(); ++i) rhs[at(d.rhs_batch[i])] = d.lhs_batch[i];
    for (size_t i = 0; i < d.lhs_contract.size(); ++i) rhs[at(d.rhs_contract[i])] = d.lhs_contract[i];
    out = d.lhs_batch;
    for (i64 i : free_axes(lhs_rank, d.lhs_batch, d.lhs_contract)) out.push_back(i);
    for (i64 i : free_axes(rhs_rank, d.rhs_batch, d.rhs_contract)) out.push_back(lhs_rank + i);
  }
};

Value dot_transpose(ValueSpan x, Value ct, int i, const Attrs& a, Types types) {
  DotLabels l(a, types[0].rank(), types[1].rank());
  if (i == 0) return contract({{ct, l.out}, {x[1], l.rhs}}, l.lhs);
  return contract({{x[0], l.lhs}, {ct, l.out}}, l.rhs);
}

Batched dot_batch(Builder&, Dim, ValueSpan x, const Mask& batched, const Attrs& a) {
  DotLabels l(a, x[0].rank() - batched[0], x[1].rank() - batched[1]);
  constexpr i64 kLanes = -1;
  if (batched[0]) l.lhs.insert(l.lhs.begin(), kLanes);
  if (batched[1]) l.rhs.insert(l.rhs.begin(), kLanes);
  l.out.insert(l.out.begin(), kLanes);
  return all_batched({contract({{x[0], l.lhs}, {x[1], l.rhs}}, l.out)});
}

std::vector<Array> dot_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  DotAxes d(a);
  DotLabels l(a, static_cast<int>(x[0].shape.size()), static_cast<int>(x[1].shape.size()));
  Array y = empty_result(results[0], env);
  std::vector<i64> red, place(x[0].shape.size() + x[1].shape.size()), lhs(x[0].shape.size()), rhs(x[1].shape.size());
  for (i64 i : d.lhs_contract) red.push_back(x[0].shape[at(i)]);
  for_each_index(y.shape, [&](std::span<const i64> out, i64 result) {
    double sum = 0;
    u64 whole = 0;
    for (size_t i = 0; i < out.size(); ++i) place[at(l.out[i])] = out[i];
    for_each_index(red, [&](std::span<const i64> k, i64) {
      for (size_t i = 0; i < k.size(); ++i) place[at(d.lhs_contract[i])] = k[i];
      for (size_t i = 0; i < lhs.size(); ++i) lhs[i] = place[at(l.lhs[i])];
      for (size_t i = 0; i < rhs.size(); ++i) rhs[i] = place[at(l.rhs[i])];
      i64 p = place_of(x[0].shape, lhs), q = place_of(x[1].shape, rhs);
      if (is_float(y.dtype))
        sum += x[0].get(p) * x[1].get(q);
      else
        whole += static_cast<u64>(x[0].get_int(p)) * static_cast<u64>(x[1].get_int(q));
    });
    if (is_float(y.dtype))
      y.set(result, sum);
    else
      y.set_int(result, static_cast<i64>(whole));
  });
  return {y};
}

Sample pair(DType d, std::vector<i64> a, std::vector<i64> b, const Attrs& attrs = {}) {
  double low = is_signed(d) ? -2 : 0;
  return {{{d, std::move(a), low, 3, {}}, {d, std::move(b), low, 3, {}}}, attrs, {}, 0};
}

/// A pair that must fail.
Sample bad_pair(std::vector<i64> a, std::vector<i64> b, std::string_view error, const Attrs& attrs = {}) {
  Sample s = pair(DType::f32, std::move(a), std::move(b), attrs);
  s.error = error;
  return s;
}

const std::vector<DType>& number_dtypes() {
  static const std::vector<DType> all(every_dtype().begin(), every_dtype().end() - 1);
  return all;
}

std::vector<Sample> dot_samples() {
  using L = std::vector<i64>;
  auto axes = [](L lb, L rb, L lc, L rc) {
    return Attrs{{"lhs_batch", std::move(lb)},
                 {"rhs_batch", std::move(rb)},
                 {"lhs_contract", std::move(lc)},
                 {"rhs_contract", std::move(rc)}};
  };
  Attrs plain = axes({}, {}, {1}, {0});
  std::vector<Sample> r;
  for (DType d : number_dtypes()) r.push_back(pair(d, {5, 17}, {17, 3}, plain));
  r.push_back(pair(DType::f32, {33, 17}, {17, 33}, plain));
  r.push_back(pair(DType::f64, {3, 0}, {0, 2}, plain));
  r.push_back(pair(DType::f32, {0, 3}, {3, 2}, plain));
  r.push_back(pair(DType::f32, {}, {}, axes({}, {}, {}, {})));
  r.push_back(pair(DType::f32, {17}, {3}, axes({}, {}, {}, {})));
  r.push_back(pair(DType::f32, {33}, {33}, axes({}, {}, {0}, {0})));
  r.push_back(pair(DType::f64, {2, 3, 4}, {4, 5, 2}, axes({0}, {2}, {2}, {0})));
  r.push_back(pair(DType::f32, {3, 2, 4, 5}, {4, 3, 5, 2}, axes({0, 1}, {1, 3}, {3, 2}, {2, 0})));
  r.push_back(pair(DType::f32, {4, 3}, {4, 3}, axes({0}, {0}, {}, {})));
  r.push_back(bad_pair({2, 3}, {4, 2}, "contracted axes 1 and 0, got 3 and 4", plain));
  r.push_back(bad_pair({2, 3}, {3, 2}, "as many batch axes", axes({0}, {}, {1}, {0})));
  r.push_back(bad_pair({2, 3}, {3, 2}, "got axis 1 twice", axes({1}, {0}, {1}, {1})));
  return r;
}

OpDef dot_entry() {
  return {
      "dot",
      1,
      "Sums of products over contracted axes, by batch axes; the result's axes are batch, free of lhs, free of rhs.",
      {{{"lhs", Operands::numeric}, {"rhs", Operands::numeric}},
       {{"lhs_batch", AttrKind::integers, {}},
        {"rhs_batch", AttrKind::integers, {}},
        {"lhs_contract", AttrKind::integers, {}},
        {"rhs_contract", AttrKind::integers, {}}}},
      dot_type,
      Bilinear{dot_transpose},
      AxesFn{dot_batch},
      Contraction{dot_red_count, dot_spec},
      RefArrays{dot_ref},
      Pure{},
      dot_samples};
}

// ---------------------------------------------------------------- matmul

/// Labels of the operands and the result; leading axes are matched from the right.
struct MatmulLabels {
  Labels a, b, out;
  MatmulLabels(int rank_a, int rank_b) {
    constexpr i64 kRow = -3, kColumn = -2, kInner = -1;
    i64 lead = std::max({0, rank_a - 2, rank_b - 2});
    for (i64 i = 0; i < lead; ++i) {
      if (i >= lead - (rank_a - 2)) a.push_back(i);
      if (i >= lead - (rank_b - 2)) b.push_back(i);
      out.push_back(i);
    }
    if (rank_a > 1) a.push_back(kRow);
    a.push_back(kInner);
    b.push_back(kInner);
    if (rank_b > 1) b.push_back(kColumn);
    if (rank_a > 1) out.push_back(kRow);
    if (rank_b > 1) out.push_back(kColumn);
  }
};

std::vector<Type> matmul_type(Types t, const Attrs&) {
  for (Type x : t)
    if (x.rank() == 0) fail("matmul", "expected operands of at least 1 axis, got " + to_string(x) + "; use mul");
  Dim inner_a = t[0].dim(-1), inner_b = t[1].dim(t[1].rank() > 1 ? -2 : -1);
  if (inner_a != inner_b)
    fail("matmul", "expected equal inner extents, got " + to_string(inner_a) + " on the last axis of " +
                       to_string(t[0]) + " and " + to_string(inner_b) + " on the " +
                       (t[1].rank() > 1 ? "last but one" : "last") + " axis of " + to_string(t[1]));
  MatmulLabels l(t[0].rank(), t[1].rank());
  Shape shape;
  for (i64 label : l.out) {
    Dim extent = 1;
    for (int k : {0, 1}) {
      const Labels& labels = k ? l.b : l.a;
      auto found = std::find(labels.begin(), labels.end(), label);
      if (found == labels.end()) continue;
      Dim d = t[at(k)].shape()[at(found - labels.begin())];
      if (d == Dim(1) || d == extent) continue;
      if (extent != Dim(1))
        fail("matmul", "expected leading axes that broadcast, got " + to_string(extent) + " and " + to_string(d) +
                           " on axis " + std::to_string(label) + " of the result for " + to_string(t[0]) + " and " +
                           to_string(t[1]));
      extent = d;
    }
    shape.push_back(extent);
  }
  return {t[0].with(shape)};
}

Values matmul_expand(Builder&, ValueSpan x, const Attrs&) {
  MatmulLabels l(x[0].rank(), x[1].rank());
  return {contract({{x[0], l.a}, {x[1], l.b}}, l.out)};
}

std::vector<Sample> matmul_samples() {
  std::vector<Sample> r;
  for (DType d : number_dtypes()) r.push_back(pair(d, {5, 17}, {17, 3}));
  r.push_back(pair(DType::f32, {17}, {17}));
  r.push_back(pair(DType::f32, {17}, {17, 3}));
  r.push_back(pair(DType::f32, {3, 17}, {17}));
  r.push_back(pair(DType::f32, {2, 33, 4}, {4, 33}));
  r.push_back(pair(DType::f32, {3, 4}, {2, 4, 5}));
  r.push_back(pair(DType::f64, {2, 1, 3, 4}, {5, 4, 2}));
  r.push_back(pair(DType::f64, {2, 5, 3, 4}, {2, 5, 4, 2}));
  r.push_back(pair(DType::f32, {1, 3, 4}, {1, 4, 2}));
  r.push_back(pair(DType::f32, {2, 0}, {0, 3}));
  r.push_back(bad_pair({2, 3}, {4, 2}, "got 3 on the last axis"));
  r.push_back(bad_pair({2, 2, 3}, {3, 3, 2}, "got 2 and 3 on axis 0"));
  r.push_back(bad_pair({}, {3}, "expected operands of at least 1 axis"));
  return r;
}

OpDef matmul_entry() {
  return {"matmul",
          1,
          "Matrix products as NumPy's: vectors are rows or columns, leading axes broadcast.",
          {{{"a", Operands::numeric}, {"b", Operands::numeric}}, {}},
          matmul_type,
          ByExpansion{},
          ByExpansion{},
          Expand{matmul_expand},
          RefNone{},
          Pure{},
          matmul_samples};
}

// ---------------------------------------------------------------- einsum

/// Letters by their code; axes of "..." are numbered down from -1 at the right.
struct Einsum {
  std::vector<Labels> operands;
  Labels out;
};

[[noreturn]] void bad_spec(const std::string& spec, const std::string& why) {
  fail("einsum", "expected a spec such as \"ij,jk->ik\", got \"" + spec + "\": " + why);
}

/// One side of a comma; `dots` is how many axes "..." stands for.
Labels parse_term(const std::string& spec, std::string_view term, i64 dots) {
  Labels labels;
  bool seen = false;
  for (size_t i = 0; i < term.size(); ++i) {
    char c = term[i];
    if (c == ' ') continue;
    if (term.substr(i, 3) == "...") {
      if (seen) bad_spec(spec, "\"...\" twice in one term");
      seen = true;
      for (i64 k = dots; k > 0; --k) labels.push_back(-k);
      i += 2;
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      labels.push_back(c);
    } else {
      bad_spec(spec, "'" + std::string(1, c) + "' is no letter");
    }
  }
  return labels;
}

i64 letters_in(std::string_view term) {
  return std::count_if(term.begin(), term.end(), [](char c) { return c != ' ' && c != '.'; });
}

/// Without an arrow: "..." first, then letters that occur once, in order of the alphabet.
Labels implied_result(const std::vector<Labels>& operands, i64 dots) {
  Labels all, out;
  for (const Labels& l : operands)
    for (i64 label : l)
      if (label > 0) all.push_back(label);
  for (i64 k = dots; k > 0; --k) out.push_back(-k);
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i)
    if (std::count(all.begin(), all.end(), all[i]) == 1) out.push_back(all[i]);
  return out;
}

Einsum parse_einsum(const std::string& spec, const std::vector<int>& ranks) {
  size_t arrow = spec.find("->");
  std::string_view left = std::string_view(spec).substr(0, arrow);
  std::vector<std::string_view> terms;
  for (size_t comma; (comma = left.find(',')) != left.npos; left.remove_prefix(comma + 1))
    terms.push_back(left.substr(0, comma));
  terms.push_back(left);
  if (terms.size() != ranks.size())
    bad_spec(spec,
             "it has " + std::to_string(terms.size()) + " terms for " + std::to_string(ranks.size()) + " operands");
  Einsum e;
  i64 most = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    i64 dots = terms[i].find("...") == terms[i].npos ? 0 : ranks[i] - letters_in(terms[i]);
    if (dots < 0 || dots + letters_in(terms[i]) != ranks[i])
      bad_spec(spec, "term " + std::to_string(i) + " does not fit an operand of " + std::to_string(ranks[i]) + " axes");
    most = std::max(most, dots);
    e.operands.push_back(parse_term(spec, terms[i], dots));
  }
  e.out = arrow == spec.npos ? implied_result(e.operands, most)
                             : parse_term(spec, std::string_view(spec).substr(arrow + 2), most);
  return e;
}

const std::string& spec_of(const Attrs& a) { return a.get<std::string>("spec"); }

std::string label_name(i64 label) {
  return label > 0 ? "'" + std::string(1, static_cast<char>(label)) + "'"
                   : "axis " + std::to_string(label) + " of '...'";
}

/// The extent of a label, which all operands agree on (axes of "..." may be 1).
Dim label_extent(const Einsum& e, Types t, i64 label, const std::string& spec) {
  std::optional<Dim> extent;
  for (size_t k = 0; k < t.size(); ++k)
    for (size_t i = 0; i < e.operands[k].size(); ++i) {
      if (e.operands[k][i] != label) continue;
      Dim d = t[k].shape()[i];
      if (!extent || *extent == d || (label < 0 && *extent == Dim(1))) {
        extent = d;
      } else if (!(label < 0 && d == Dim(1))) {
        bad_spec(spec, label_name(label) + " is " + to_string(*extent) + " and " + to_string(d) + " (axis " +
                           std::to_string(i) + " of operand " + std::to_string(k) + ")");
      }
    }
  if (!extent) bad_spec(spec, label_name(label) + " of the result is in no operand");
  return *extent;
}

std::vector<Type> einsum_type(Types t, const Attrs& a) {
  if (t.empty()) fail("einsum", "expected at least one operand, got none");
  std::vector<int> ranks;
  for (Type x : t) ranks.push_back(x.rank());
  Einsum e = parse_einsum(spec_of(a), ranks);
  for (const Labels& l : e.operands)
    for (i64 label : l) label_extent(e, t, label, spec_of(a));
  Shape shape;
  for (i64 label : e.out) {
    if (std::count(e.out.begin(), e.out.end(), label) > 1)
      bad_spec(spec_of(a), label_name(label) + " is twice in the result");
    shape.push_back(label_extent(e, t, label, spec_of(a)));
  }
  return {t[0].with(shape)};
}

Values einsum_expand(Builder&, ValueSpan x, const Attrs& a) {
  std::vector<int> ranks;
  for (Value v : x) ranks.push_back(v.rank());
  Einsum e = parse_einsum(spec_of(a), ranks);
  std::vector<Term> terms;
  for (size_t i = 0; i < x.size(); ++i) terms.push_back({x[i], e.operands[i]});
  return {contract(terms, e.out)};
}

std::vector<Sample> einsum_samples() {
  std::vector<Sample> r;
  auto with = [&](std::string spec, std::initializer_list<std::vector<i64>> shapes, DType d = DType::f64,
                  std::string_view error = {}) {
    Sample s;
    for (const auto& shape : shapes) s.operands.push_back({d, shape, is_signed(d) ? -2.0 : 0, 3, {}});
    s.attrs = {{"spec", std::move(spec)}};
    s.error = error;
    r.push_back(s);
  };
  for (DType d : number_dtypes()) with("ij,jk->ik", {{5, 17}, {17, 3}}, d);
  with("ij->ji", {{3, 33}}, DType::f32);
  with("ij->", {{17, 3}});
  with("ij->j", {{17, 3}});
  with("ii->i", {{4, 4}});
  with("ii", {{4, 4}});
  with("iji->j", {{3, 2, 3}});
  with("bij,bjk", {{2, 3, 4}, {2, 4, 5}});
  with("i,j->ij", {{17}, {3}}, DType::f32);
  with("i,i", {{33}, {33}}, DType::f32);
  with("...ij,...jk->...ik", {{2, 3, 4}, {4, 5}});
  with("...ij,...jk", {{2, 1, 3, 4}, {5, 4, 2}});
  with("ij,jk,kl->il", {{2, 3}, {3, 4}, {4, 5}});
  with("ij,kl->ij", {{2, 3}, {4, 5}});
  with("bhqd,bhkd->bhqk", {{2, 3, 4, 5}, {2, 3, 6, 5}}, DType::f32);
  with("ij,jk->ik", {{2, 0}, {0, 3}}, DType::f32);
  with(",->", {{}, {}}, DType::f32);
  with("ij,jk->ik", {{2, 3}, {4, 2}}, DType::f32, "'j' is 3 and 4 (axis 0 of operand 1)");
  with("ij->k", {{2, 3}}, DType::f32, "'k' of the result is in no operand");
  with("ij,jk", {{2, 3}}, DType::f32, "it has 2 terms for 1 operands");
  with("i1->i", {{2, 3}}, DType::f32, "'1' is no letter");
  with("ijk->i", {{2, 3}}, DType::f32, "term 0 does not fit an operand of 2 axes");
  with("ij->ii", {{2, 3}}, DType::f32, "'i' is twice in the result");
  return r;
}

OpDef einsum_entry() {
  return {
      "einsum",
      1,
      "The sum of products that `spec` says (\"ij,jk->ik\"; \"...\" for leading axes, which broadcast), from the left.",
      {{{"operands", Operands::numeric, true}}, {{"spec", AttrKind::string, {}}}},
      einsum_type,
      ByExpansion{},
      ByExpansion{},
      Expand{einsum_expand},
      RefNone{},
      Pure{},
      einsum_samples};
}

}  // namespace

std::span<const OpDef> contraction_ops() {
  static const auto* table = new std::vector<OpDef>{dot_entry(), matmul_entry(), einsum_entry()};
  return *table;
}

}  // namespace tn
