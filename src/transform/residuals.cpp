#include "transform/residuals.h"

namespace tn {

bool is_cheap(const Node& n) {
  if (n.operand_count != 1 || n.result_count != 1 || n.effectful) return false;
  if (n.op->lower.as<Movement>()) return true;
  return n.op->lower.as<Scalar>() && (n.op->grad.as<Linear>() || n.op->grad.as<Zero>());
}

static bool no_larger(Type a, Type b) {
  Dim size_a = a.size() * Dim(bytes(a.dtype())), size_b = b.size() * Dim(bytes(b.dtype()));
  return size_a == size_b || provably_nonnegative(size_b - size_a);
}

std::vector<bool> trivial_nodes(const Graph& g) {
  std::vector<bool> trivial(g.nodes().size()), value(g.value_count());
  for (size_t k = 0; k < g.nodes().size(); ++k) {
    const Node& n = g.nodes()[k];
    if (n.effectful || !(n.operand_count == 0 || is_cheap(n))) continue;
    trivial[k] = n.operand_count == 0 || value[g.operands(n)[0]];
    for (u32 i = 0; i < n.result_count; ++i) value[n.first_result + i] = trivial[k];
  }
  return trivial;
}

Residuals::Residuals(const Graph& known, std::vector<bool> at_hand)
    : known_(known),
      at_hand_(std::move(at_hand)),
      asked_(known.value_count()),
      producer_(known.value_count(), ~0u),
      free_(known.nodes().size()),
      again_(known.nodes().size()) {
  at_hand_.resize(known.value_count());
  near_ = at_hand_;
  for (u32 k = 0; k < known.nodes().size(); ++k) {
    const Node& n = known.nodes()[k];
    bool free = !n.effectful, cheap = is_cheap(n);
    for (u32 v : known.operands(n)) {
      free = free && producer_[v] != ~0u && free_[producer_[v]];
      cheap = cheap && near_[v];
    }
    free_[k] = free;
    for (u32 i = 0; i < n.result_count; ++i) {
      producer_[n.first_result + i] = k;
      if (cheap) near_[n.first_result + i] = true;
    }
  }
}

bool Residuals::again(u32 value) const {
  u32 producer = producer_[value];
  if (producer == ~0u) return false;
  if (free_[producer]) return true;
  const Node& n = known_.nodes()[producer];
  return is_cheap(n) && (near_[value] || no_larger(known_.type(known_.operands(n)[0]), known_.type(value)));
}

void Residuals::need(u32 value) {
  pending_.push_back(value);
  while (!pending_.empty()) {
    u32 v = pending_.back();
    pending_.pop_back();
    if (asked_[v]) continue;
    asked_[v] = true;
    if (at_hand_[v]) {
      used_at_hand_.push_back(v);
    } else if (!again(v)) {
      handed_over_.push_back(v);
    } else if (!again_[producer_[v]]) {
      again_[producer_[v]] = true;
      for (u32 operand : known_.operands(known_.nodes()[producer_[v]])) pending_.push_back(operand);
    }
  }
}

void Residuals::make_again(Builder& linear, Values& env) const {
  Values operands;
  for (size_t k = 0; k < again_.size(); ++k) {
    if (!again_[k]) continue;
    const Node& n = known_.nodes()[k];
    operands_of(known_, n, env, operands);
    u32 first = linear.emit_again(known_, n, operands);
    for (u32 i = 0; i < n.result_count; ++i)
      if (!env[n.first_result + i]) env[n.first_result + i] = {&linear, first + i};
  }
}

}  // namespace tn
