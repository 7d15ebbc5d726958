// Graphs with control flow that files must hold: with what no sample of an op has.
#pragma once
#include "../op/harness.h"

namespace tn::test {

struct ControlText {
  const char* name;
  const char* text;
  std::vector<std::vector<i64>> shapes;
};

/// No scan input, no carry, backward, sizes known when it runs, a size and a constant first needed in a body, one body
/// in another, branches that give what is outside as it is.
inline const ControlText kControl[] = {
    {"scan_of_nothing",
     R"(graph(%0: f32[3]) {
  %1: f32[3], %2: f32[4, 3] = scan(%0) {body=graph(%0: f32[3]) {
    %1: f32[3] = sin(%0)
    return %1, %0
  }, carry=1, consts=0, length=<4>, reverse=true}
  return %1, %2
})",
     {{3}}},
    {"map_backward",
     R"(graph(%0: f32[3], %1: f32[n, 3]) {
  %2: f32[n, 3] = scan(%0, %1) {body=graph(%0: f32[3], %1: f32[3]) {
    %2: f32[3] = mul(%0, %1)
    return %2
  }, carry=0, consts=1, length=<n>, reverse=true}
  return %2
})",
     {{3}, {5, 3}}},
    {"running_backward",
     R"(graph(%0: f32[3], %1: f32[n, 3]) {
  %2: f32[3], %3: f32[n, 3] = scan(%0, %1) {body=graph(%0: f32[3], %1: f32[3]) {
    %2: f32[3] = sub(%1, %0)
    return %2, %0
  }, carry=1, consts=0, length=<n>, reverse=true}
  return %2, %3
})",
     {{3}, {5, 3}}},
    {"sizes_in_bodies",
     R"(graph(%0: bool[], %1: f32[n]) {
  %2: f32[2, n] = cond(%0, %1) {else=graph(%0: f32[n]) {
    %1: f32[2, n] = broadcast(%0) {dims=[1], shape=<2, n>}
    return %1
  }, then=graph(%0: f32[n]) {
    %1: f32[] = constant() {value=array f32[] {0.5}}
    %2: f32[2, n] = broadcast(%1) {dims=[], shape=<2, n>}
    return %2
  }}
  %3: f32[] = constant() {value=array f32[] {0.5}}
  %4: f32[2, n] = broadcast(%3) {dims=[], shape=<2, n>}
  %5: f32[2, n] = add(%2, %4)
  return %5
})",
     {{}, {4}}},
    {"nested",
     R"(graph(%0: bool[], %1: f32[3], %2: f32[3]) {
  %3: f32[3] = cond(%0, %1, %2) {else=graph(%0: f32[3], %1: f32[3]) {
    return %1
  }, then=graph(%0: f32[3], %1: f32[3]) {
    %2: f32[3], %3: f32[3] = while(%0, %1) {body=graph(%0: f32[3], %1: f32[3]) {
      %2: f32[3] = add(%0, %1)
      return %2, %1
    }, bound=7, cond=graph(%0: f32[3], %1: f32[3]) {
      %2: f32[] = sum(%0) {axes=[0]}
      %3: f32[] = constant() {value=array f32[] {4.0}}
      %4: bool[] = less(%2, %3)
      return %4
    }, consts=0}
    return %2
  }}
  return %3
})",
     {{}, {3}, {3}}},
};

/// Inputs of their shapes; a predicate is `taken`.
inline std::vector<Array> inputs_of(const ControlText& t, const Graph& g, bool taken) {
  std::vector<Array> x;
  Random random(3);
  for (size_t i = 0; i < t.shapes.size(); ++i) {
    SampleOperand o{g.input_types()[i].dtype(), t.shapes[i], 0.5, 1, {}};
    if (o.dtype == DType::boolean) o.values = {taken ? 1.0 : 0.0};
    x.push_back(make_operand(o, random));
  }
  return x;
}

}  // namespace tn::test
