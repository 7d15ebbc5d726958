// Simplification: a table of rewrites. Each says what it keeps: an exact rule gives the same bits for every operand
// (the sign and payload of a NaN aside). Only exact rules are here; what reassociates or loses a rounding is for
// callers that ask for it.
#include <algorithm>
#include <cmath>

#include "compile/passes.h"
#include "op/emit.h"

namespace tn {

namespace {

enum class Keeps : u8 { exact, stable, reassociating };

struct Rule {
  std::string_view op, says;
  Keeps keeps;
  std::optional<Value> (*apply)(const Node& n, ValueSpan x);
  bool alone = false;  // only where nothing else uses the first operand, which is made again
};

bool is_number(Value v, double number) {
  auto c = constant_number(v);
  return c && *c == number && std::signbit(*c) == std::signbit(number);
}

/// The operand of the node that makes v, when it is of that op.
std::optional<Value> inside(Value v, std::string_view op_name) {
  const Node* p = producer(v);
  if (!p || p->op->name != op_name) return std::nullopt;
  return Value{v.builder, v.builder->graph().operands(*p)[0]};
}

const std::vector<i64>& list(const Node& n, std::string_view name) { return n.attrs.get<std::vector<i64>>(name); }

std::optional<Value> first_operand(const Node&, ValueSpan x) { return x[0]; }

template <int kNumber>
std::optional<Value> first_if_second_is(const Node&, ValueSpan x) {
  if (!is_number(x[1], kNumber)) return std::nullopt;
  return x[0];
}

std::optional<Value> times_one(const Node&, ValueSpan x) {
  if (is_number(x[1], 1)) return x[0];
  if (is_number(x[0], 1)) return x[1];
  return std::nullopt;
}

/// x / 2^k has the bits of x * 2^-k, both being the rounding of one number.
std::optional<Value> divided_by_power_of_two(const Node&, ValueSpan x) {
  auto c = constant_number(x[1]);
  if (!c || !is_float(x[0].dtype())) return std::nullopt;
  int exponent = 0;
  if (std::abs(std::frexp(*c, &exponent)) != 0.5 || std::abs(exponent) > 14) return std::nullopt;
  return mul(x[0], constant_like(x[1], 1 / *c));
}

std::optional<Value> twice(const Node& n, ValueSpan x) { return inside(x[0], n.op->name); }

std::optional<Value> reshaped(const Node& n, ValueSpan x) {
  const auto& shape = n.attrs.get<Shape>("shape");
  if (same(x[0].shape(), shape)) return x[0];
  auto before = inside(x[0], "reshape");
  if (!before) return std::nullopt;
  return reshape(*before, shape);
}

std::optional<Value> permuted(const Node& n, ValueSpan x) {
  const auto& axes = list(n, "axes");
  if (std::is_sorted(axes.begin(), axes.end())) return x[0];
  auto before = inside(x[0], "permute");
  if (!before) return std::nullopt;
  const auto& first = list(*producer(x[0]), "axes");
  std::vector<i64> both;
  for (i64 a : axes) both.push_back(first[static_cast<size_t>(a)]);
  return permute(*before, both);
}

/// permute(dot(a, b)) that puts b's axes before a's is dot(b, a): each product is the same, and so is their order.
std::optional<Value> exchanged(const Node& n, ValueSpan x) {
  const Node* d = producer(x[0]);
  if (!d || d->op->name != "dot") return std::nullopt;
  std::vector<i64> lhs_batch = list(*d, "lhs_batch"), rhs_batch = list(*d, "rhs_batch");
  std::vector<i64> lhs_contract = list(*d, "lhs_contract"), rhs_contract = list(*d, "rhs_contract");
  const Graph& g = x[0].builder->graph();
  Value a{x[0].builder, g.operands(*d)[0]}, b{x[0].builder, g.operands(*d)[1]};
  auto free = static_cast<i64>(a.shape().size() - lhs_batch.size() - lhs_contract.size());
  auto batch = static_cast<i64>(lhs_batch.size()), rank = static_cast<i64>(x[0].shape().size());
  std::vector<i64> wanted;
  for (i64 i = 0; i < batch; ++i) wanted.push_back(i);
  for (i64 i = batch + free; i < rank; ++i) wanted.push_back(i);
  for (i64 i = batch; i < batch + free; ++i) wanted.push_back(i);
  if (list(n, "axes") != wanted) return std::nullopt;
  return dot(b, a, rhs_batch, lhs_batch, rhs_contract, lhs_contract);
}

std::optional<Value> spread(const Node& n, ValueSpan x) {
  const auto& shape = n.attrs.get<Shape>("shape");
  if (same(x[0].shape(), shape)) return x[0];
  auto before = inside(x[0], "broadcast");
  if (!before) return std::nullopt;
  std::vector<i64> both;
  for (i64 d : list(*producer(x[0]), "dims")) both.push_back(list(n, "dims")[static_cast<size_t>(d)]);
  return broadcast(*before, shape, both);
}

std::optional<Value> same_choice(const Node&, ValueSpan x) {
  if (!(x[1] == x[2])) return std::nullopt;
  return x[1];
}

constexpr Rule kRules[] = {
    {"stop_gradient", "x, once nothing is differentiated any more", Keeps::exact, first_operand},
    {"mul", "x * 1 = x", Keeps::exact, times_one},
    {"div", "x / 1 = x", Keeps::exact, first_if_second_is<1>},
    {"div", "x / 2^k = x * 2^-k", Keeps::exact, divided_by_power_of_two},
    {"sub", "x - 0 = x", Keeps::exact, first_if_second_is<0>},
    {"neg", "-(-x) = x", Keeps::exact, twice},
    {"select", "both choices alike", Keeps::exact, same_choice},
    {"reshape", "to its own shape, or after another", Keeps::exact, reshaped},
    {"permute", "to its own order, or after another", Keeps::exact, permuted},
    {"permute", "of a product, which has its operands exchanged instead", Keeps::exact, exchanged, true},
    {"broadcast", "to its own shape, or after another", Keeps::exact, spread},
};

}  // namespace

GraphPtr simplify(const GraphPtr& g) {
  std::vector<u32> uses(g->value_count());
  for (const Node& n : g->nodes())
    for (u32 v : g->operands(n)) ++uses[v];
  for (u32 v : g->outputs()) ++uses[v];
  return rewrite_graph(*g, g->input_types(), [&](Builder&, const Node& n, ValueSpan x) -> std::optional<Values> {
    for (const Rule& r : kRules)
      if (r.keeps == Keeps::exact && r.op == n.op->name && (!r.alone || uses[g->operands(n)[0]] == 1))
        if (auto v = r.apply(n, x)) return Values{*v};
    return std::nullopt;
  });
}

}  // namespace tn
