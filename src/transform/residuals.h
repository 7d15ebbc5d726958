// Residuals: what the known part of a split graph hands to its linear part.
//
// Handing a value over costs memory between the two parts (in a scan, one copy a step), so what is free or cheap is
// made again in the linear part instead: values that depend on no input at all, and one-operand ops that only move or
// map elements (broadcast, cast, reshape, neg ...) of something no larger, or of something that is at hand there
// anyway.
#pragma once
#include "transform/helpers.h"

namespace tn {

class Residuals {
 public:
  /// Nothing of `known` may be emitted after this. `at_hand` (empty = none) masks the values that the linear part has
  /// at no cost, as a scan has its operands.
  explicit Residuals(const Graph& known, std::vector<bool> at_hand = {});

  /// Asks for a value of the known graph.
  void need(u32 value);
  /// The values handed over, in the order of first need.
  std::span<const u32> handed_over() const { return handed_over_; }
  /// Values at hand that were asked for, in that order.
  std::span<const u32> used_at_hand() const { return used_at_hand_; }

  /// Emits what is made again; env holds the linear part's values of those handed over and at hand, by value of the
  /// known graph, and receives the others.
  void make_again(Builder& linear, Values& env) const;

 private:
  bool again(u32 value) const;

  const Graph& known_;
  std::vector<bool> at_hand_, asked_;  // by value
  std::vector<bool> near_;             // by value: at hand, or cheap from something at hand
  std::vector<u32> producer_;          // by value: its node; ~0u for an input
  std::vector<bool> free_, again_;     // by node: depends on no input; is made again
  std::vector<u32> handed_over_, used_at_hand_, pending_;
};

/// Whether making the node again costs about as much as reading its result: pure, one operand, one result, and it only
/// moves or maps elements.
bool is_cheap(const Node& n);
/// The nodes that need no input and only cheap work (constants and their broadcasts).
std::vector<bool> trivial_nodes(const Graph& g);

}  // namespace tn
