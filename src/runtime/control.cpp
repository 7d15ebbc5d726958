// cond, while and scan as instructions: their sub-plans run on the memory of the plan around them. A loop's carries
// alternate between the result's memory and a spare; xs and ys are slices, never copied.
#include <cstring>

#include "ir/op_def.h"
#include "runtime/context.h"
#include "tenon/error.h"

namespace tn {

void Context::run_cond(const Instruction& i, Bound& bound) {
  bool taken = *at_[i.operands[0]] != std::byte{0};
  bound.inputs.clear();
  bound.outputs.clear();
  for (size_t k = 1; k < i.operands.size(); ++k) bound.inputs.push_back(at_[i.operands[k]]);
  for (u32 s : i.results) bound.outputs.push_back(at_[s]);
  bound.bodies[taken ? 0 : 1]->run(bound.inputs, bound.outputs);
}

namespace {

/// Where a loop's carries are now and where the next step puts them.
struct Carries {
  std::vector<std::byte*>&now, &next;
  void swap(size_t first, size_t count, std::vector<std::byte*>& outputs) {
    for (size_t k = 0; k < count; ++k) std::swap(now[first + k], outputs[k]);
  }
};

}  // namespace

void Context::run_loop(const Instruction& i, Bound& bound) {
  auto consts = static_cast<size_t>(i.attrs.get<i64>("consts"));
  i64 bound_steps = i.attrs.get<i64>("bound");
  size_t carries = i.results.size();
  std::byte* wanted = at_[i.spare[0]];
  bound.inputs.clear();
  bound.outputs.clear();
  for (size_t k = 0; k < consts; ++k) bound.inputs.push_back(at_[i.operands[k]]);
  for (size_t k = 0; k < carries; ++k) {
    u32 s = i.results[k];
    if (bytes_[s] > 0) std::memcpy(at_[s], at_[i.operands[consts + k]], bytes_[s]);
    bound.inputs.push_back(at_[s]);
    bound.outputs.push_back(at_[i.spare[1 + k]]);
  }
  std::byte* predicate[] = {wanted};
  for (i64 step = 0;; ++step) {
    bound.bodies[0]->run(bound.inputs, predicate);
    if (*wanted == std::byte{0}) break;
    if (bound_steps >= 0 && step == bound_steps)
      fail("while",
           "expected at most " + std::to_string(bound_steps) +
               " steps (the bound), got a condition that is still true after them; raise the bound",
           i.where);
    bound.bodies[1]->run(bound.inputs, bound.outputs);
    for (size_t k = 0; k < carries; ++k) std::swap(bound.inputs[consts + k], bound.outputs[k]);
  }
  for (size_t k = 0; k < carries; ++k) {
    u32 s = i.results[k];
    if (bound.inputs[consts + k] != at_[s] && bytes_[s] > 0) std::memcpy(at_[s], bound.inputs[consts + k], bytes_[s]);
  }
}

void Context::run_scan(const Instruction& i, Bound& bound) {
  auto consts = static_cast<size_t>(i.attrs.get<i64>("consts")),
       carries = static_cast<size_t>(i.attrs.get<i64>("carry"));
  bool reverse = i.attrs.get<bool>("reverse");
  i64 length = bound.length;
  size_t first_x = consts + carries;
  bound.inputs.clear();
  bound.outputs.clear();
  for (size_t k = 0; k < consts; ++k) bound.inputs.push_back(at_[i.operands[k]]);
  for (size_t k = 0; k < carries; ++k) {
    bound.inputs.push_back(at_[i.operands[consts + k]]);  // the first step reads the initial carry where it lies
    bool last_in_result = length % 2 == 1;
    bound.outputs.push_back(last_in_result ? at_[i.results[k]] : at_[i.spare[k]]);
  }
  for (size_t k = first_x; k < i.operands.size(); ++k) bound.inputs.push_back(nullptr);
  for (size_t k = carries; k < i.results.size(); ++k) bound.outputs.push_back(nullptr);
  for (i64 step = 0; step < length; ++step) {
    auto at = static_cast<size_t>(reverse ? length - 1 - step : step);
    for (size_t k = first_x; k < i.operands.size(); ++k) {
      u32 s = i.operands[k];
      bound.inputs[k] = at_[s] + at * (bytes_[s] / static_cast<size_t>(length));
    }
    for (size_t k = carries; k < i.results.size(); ++k) {
      u32 s = i.results[k];
      bound.outputs[k] = at_[s] + at * (bytes_[s] / static_cast<size_t>(length));
    }
    bound.bodies[0]->run(bound.inputs, bound.outputs);
    for (size_t k = 0; k < carries; ++k) {
      std::byte* made = bound.outputs[k];
      bound.inputs[consts + k] = made;
      bound.outputs[k] = made == at_[i.results[k]] ? at_[i.spare[k]] : at_[i.results[k]];
    }
  }
  for (size_t k = 0; k < carries; ++k) {
    u32 s = i.results[k];
    if (bound.inputs[consts + k] != at_[s] && bytes_[s] > 0) std::memcpy(at_[s], bound.inputs[consts + k], bytes_[s]);
  }
}

}  // namespace tn
