#include "op/contract.h"

#include <algorithm>

namespace tn {

namespace {

bool has(const Labels& labels, i64 label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }
i64 axis_of(const Labels& labels, i64 label) { return std::find(labels.begin(), labels.end(), label) - labels.begin(); }
Dim extent_of(const Term& t, i64 label) { return t.value.shape()[static_cast<size_t>(axis_of(t.labels, label))]; }

/// The sum over axes; bits of a product's factors are kept where there is nothing to sum.
Term sum_labels(const Term& t, const Labels& gone) {
  std::vector<i64> axes;
  Term r;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    if (has(gone, t.labels[i]))
      axes.push_back(static_cast<i64>(i));
    else
      r.labels.push_back(t.labels[i]);
  }
  r.value = sum(t.value, axes);
  return r;
}

/// One axis for each label: elements off the diagonal of a repeated label are taken out of a sum over the second axis.
Term diagonal(Term t) {
  for (size_t i = 0; i < t.labels.size(); ++i)
    for (size_t j = i + 1; j < t.labels.size(); ++j) {
      if (t.labels[i] != t.labels[j]) continue;
      auto first = static_cast<i64>(i), second = static_cast<i64>(j);
      Shape shape = shape_of(t.value);
      Builder& b = *t.value.builder;
      Value on = equal(iota(b, shape, first, DType::i64), iota(b, shape, second, DType::i64));
      t.value = sum(select(on, t.value, zeros_like(t.value)), {second});
      t.labels.erase(t.labels.begin() + second);
      --j;
    }
  return t;
}

/// Without axes of extent 1 whose label another term has with more.
Term narrowed(const Term& t, const std::vector<Term>& all) {
  Term r;
  Shape shape;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    bool wider = false;
    for (const Term& other : all)
      if (has(other.labels, t.labels[i])) wider = wider || extent_of(other, t.labels[i]) != t.value.shape()[i];
    if (wider && t.value.shape()[i] == Dim(1)) continue;
    r.labels.push_back(t.labels[i]);
    shape.push_back(t.value.shape()[i]);
  }
  r.value = reshape(t.value, shape);
  return r;
}

/// Labels of t that neither `out` nor the others need.
Labels only_in(const Term& t, std::span<const Term> others, const Labels& out) {
  Labels r;
  for (i64 l : t.labels) {
    bool needed = has(out, l);
    for (const Term& o : others) needed = needed || has(o.labels, l);
    if (!needed) r.push_back(l);
  }
  return r;
}

/// One dot; `kept` are the labels that later terms or the result need, in the result's order first.
Term product(const Term& a, const Term& b, const Labels& kept) {
  std::vector<i64> batch_a, batch_b, contract_a, contract_b;
  Term r;
  for (i64 l : kept)
    if (has(a.labels, l) && has(b.labels, l) && !has(r.labels, l)) {
      batch_a.push_back(axis_of(a.labels, l));
      batch_b.push_back(axis_of(b.labels, l));
      r.labels.push_back(l);
    }
  for (i64 l : a.labels) {
    if (has(b.labels, l) && !has(kept, l)) {
      contract_a.push_back(axis_of(a.labels, l));
      contract_b.push_back(axis_of(b.labels, l));
    }
  }
  for (const Term* t : {&a, &b})
    for (i64 l : t->labels)
      if (!(has(a.labels, l) && has(b.labels, l))) r.labels.push_back(l);
  r.value = dot(a.value, b.value, batch_a, batch_b, contract_a, contract_b);
  return r;
}

}  // namespace

Value contract(std::vector<Term> terms, const Labels& out) {
  for (Term& t : terms) t = diagonal(t);
  std::vector<Term> wide = terms;
  for (Term& t : terms) t = narrowed(t, wide);
  for (size_t i = 0; i < terms.size(); ++i) {
    std::vector<Term> others = terms;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    terms[i] = sum_labels(terms[i], only_in(terms[i], others, out));
  }
  Term acc = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    auto rest = std::span<const Term>(terms).subspan(i + 1);
    Labels kept = out;
    for (const Term& t : rest) kept.insert(kept.end(), t.labels.begin(), t.labels.end());
    acc = product(acc, terms[i], kept);
    acc = sum_labels(acc, only_in(acc, rest, out));
  }
  std::vector<i64> order;
  for (i64 l : out) order.push_back(axis_of(acc.labels, l));
  return permute(acc.value, order);
}

}  // namespace tn
