// Inside the plugin room: a loaded op and the rules that call it.
#pragma once
#include <array>
#include <string>

#include "ir/op_def.h"
#include "tenon_plugin.h"

namespace tn {

inline constexpr size_t kMaxPluginOps = 128, kMaxPluginOperands = 16;

/// A plugin's op as two entries of the op table. The kernel is opaque: a type rule and a library kernel that call the
/// plugin. The face is what users call: it expands to the kernel or, where a gradient is named, to custom_vjp over the
/// kernel and the gradient's kernel; so reverse mode, jit and plans need to know nothing of plugins.
struct PluginOp {
  const tenon_op* op = nullptr;
  const PluginOp* gradient = nullptr;
  std::string kernel_name;
  OpDef kernel, face;
};

/// Rules of the op table are plain functions, so each op owns a slot and the functions are templates over slot numbers.
struct PluginRules {
  TypeRule type;
  decltype(Native::run) native;
  decltype(Expand::expand) expansion;
  decltype(AxesFn::batch) batching;
  decltype(RefArrays::run) reference;
};
const PluginRules& plugin_rules(size_t slot);
void set_plugin_op(size_t slot, const PluginOp* op);

}  // namespace tn
