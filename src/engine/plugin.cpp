#include "engine/plugin.h"

#include <dlfcn.h>

#include <cctype>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include "engine/plugin_rules.h"

namespace tn {

namespace {

std::vector<Sample> no_samples() { return {}; }

Signature signature_of(const tenon_op& op) {
  static constexpr std::string_view kOperands[] = {"x0", "x1", "x2",  "x3",  "x4",  "x5",  "x6",  "x7",
                                                   "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15"};
  static constexpr AttrKind kKinds[] = {AttrKind::integer, AttrKind::floating, AttrKind::string, AttrKind::integers,
                                        AttrKind::floats};
  Signature s;
  for (int32_t i = 0; i < op.operands; ++i) s.operands.push_back({kOperands[i], Operands::any, false});
  s.same_dtype = false;
  for (int32_t i = 0; i < op.field_count; ++i) {
    const tenon_field& f = op.fields[i];
    const Attr defaults[] = {f.integer, f.floating, std::string(f.string ? f.string : ""), std::vector<i64>{},
                             std::vector<double>{}};
    AttrSpec spec{f.name, kKinds[f.kind], std::nullopt};
    if (!f.required) spec.otherwise = defaults[f.kind];
    s.attrs.push_back(std::move(spec));
  }
  return s;
}

OpDef kernel_entry(const tenon_op& op, std::string_view name, const PluginRules& rules) {
  return {name,
          1,
          op.doc,
          signature_of(op),
          rules.type,
          NoGrad{"the plugin names no gradient for it"},
          AxesFn{rules.batching},
          Native{rules.native},
          RefArrays{rules.reference},
          Pure{},
          no_samples};
}

OpDef face_entry(const tenon_op& op, const PluginRules& rules) {
  return {
      op.name,   1,      op.doc,    signature_of(op), rules.type, ByExpansion{}, ByExpansion{}, Expand{rules.expansion},
      RefNone{}, Pure{}, no_samples};
}

// ---------------------------------------------------------------- checks

[[noreturn]] void refuse(const std::string& path, const std::string& why) { fail("plugin", "'" + path + "': " + why); }

void check_fields(const std::string& path, const std::string& who, const tenon_op& op) {
  if (op.field_count < 0 || op.field_count > 64 || (op.field_count && !op.fields))
    refuse(path, who + "expected at most 64 fields");
  for (int32_t i = 0; i < op.field_count; ++i)
    if (!op.fields[i].name || op.fields[i].kind > TENON_FIELD_FLOATS)
      refuse(path, who + "expected every field to have a name and a known kind");
}

void check_gradient(const std::string& path, const std::string& who, const tenon_plugin& p, const tenon_op& op) {
  for (int32_t i = 0; i < p.op_count; ++i) {
    const tenon_op& g = p.ops[i];
    if (!g.name || std::strcmp(g.name, op.gradient) != 0) continue;
    if (g.operands != op.operands + 2 * op.results || g.results != op.operands)
      refuse(path, who +
                       "expected its gradient to take operands, results and cotangents and to give a cotangent for "
                       "each operand");
    return;
  }
  refuse(path, who + "expected its gradient '" + op.gradient + "' among the plugin's ops");
}

/// An op takes two names: its own and that of its kernel.
std::string kernel_name(std::string_view op) { return std::string(op) + "_kernel"; }

void check_pair(const std::string& path, std::string_view a, std::string_view b) {
  if (a == b) refuse(path, "expected each op once, got '" + std::string(a) + "' twice");
  for (auto [op, other] : {std::pair(a, b), std::pair(b, a)})
    if (other == kernel_name(op))
      refuse(path, "expected another name than '" + std::string(other) + "', which is that of the kernel of '" +
                       std::string(op) + "'");
}

void check_op(const std::string& path, const tenon_plugin& p, const tenon_op& op) {
  if (!op.name || !*op.name) refuse(path, "expected every op to have a name");
  std::string who = "op '" + std::string(op.name) + "': ";
  for (const char* c = op.name; *c; ++c)
    if (!std::isalnum(static_cast<unsigned char>(*c)) && *c != '_')
      refuse(path, who + "expected a name of letters, digits and _");
  if (find_op(op.name) || find_op(kernel_name(op.name)))
    refuse(path, who + "expected a name that is free, but an op of that name exists");
  constexpr auto kMost = static_cast<int32_t>(kMaxPluginOperands);
  if (op.operands < 1 || op.operands > kMost || op.results < 1 || op.results > kMost)
    refuse(path, who + "expected 1 to 16 operands and results");
  if (!op.run || !op.doc) refuse(path, who + "expected a run function and a doc line");
  if (!op.infer && op.results != 1) refuse(path, who + "expected an infer function, for it has several results");
  if (!op.dtypes || op.dtypes >> kDTypeCount) refuse(path, who + "expected at least one known dtype");
  check_fields(path, who, op);
  if (op.gradient) check_gradient(path, who, p, op);
}

const tenon_plugin& entry_of(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) refuse(path, "expected a shared library, got no such file");
  std::string absolute = std::filesystem::absolute(path, error).string();
  void* library = dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = dlerror();
    refuse(path, "expected a shared library that can be opened, got: " + std::string(why ? why : "no reason"));
  }
  auto* entry = reinterpret_cast<decltype(&tenon_plugin_entry)>(dlsym(library, "tenon_plugin_entry"));
  if (!entry) refuse(path, "expected the entry point tenon_plugin_entry, got a library without it; see tenon_plugin.h");
  const tenon_plugin* p = entry(TENON_PLUGIN_VERSION);
  if (!p)
    refuse(path, "the plugin refuses version " + std::to_string(TENON_PLUGIN_VERSION) +
                     " of the interface; rebuild it for this Tenon");
  if (p->version != TENON_PLUGIN_VERSION)
    refuse(path, "expected version " + std::to_string(TENON_PLUGIN_VERSION) + " of the plugin interface, got version " +
                     std::to_string(p->version) + "; rebuild it with this Tenon's tenon_plugin.h");
  if (p->op_count < 1 || !p->ops) refuse(path, "expected at least one op");
  return *p;
}

// ---------------------------------------------------------------- loading

/// Entries live as long as the process, as ops do.
PluginOp* make_op(const tenon_op& op, const PluginRules& rules) {
  OpDef kernel = kernel_entry(op, "", rules), face = face_entry(op, rules);
  auto* made = new PluginOp{&op, nullptr, kernel_name(op.name), std::move(kernel), std::move(face)};
  made->kernel.name = made->kernel_name;
  return made;
}

std::vector<std::string> register_all(const tenon_plugin& p, size_t first_slot) {
  auto count = static_cast<size_t>(p.op_count);
  std::vector<PluginOp*> made;
  for (size_t i = 0; i < count; ++i) made.push_back(make_op(p.ops[i], plugin_rules(first_slot + i)));
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    for (size_t k = 0; k < count; ++k)
      if (p.ops[i].gradient && !std::strcmp(p.ops[i].gradient, p.ops[k].name)) made[i]->gradient = made[k];
    set_plugin_op(first_slot + i, made[i]);
    register_op(&made[i]->kernel);
    register_op(&made[i]->face);
    names.emplace_back(p.ops[i].name);
  }
  return names;
}

}  // namespace

std::vector<std::string> load_plugin(const std::string& path) {
  static std::mutex mutex;
  static size_t used = 0;
  static std::vector<std::pair<const tenon_plugin*, std::vector<std::string>>> loaded;
  std::lock_guard lock(mutex);
  const tenon_plugin& p = entry_of(path);
  for (const auto& [known, names] : loaded)
    if (known == &p) return names;
  auto count = static_cast<size_t>(p.op_count);
  if (used + count > kMaxPluginOps)
    refuse(path, "expected at most " + std::to_string(kMaxPluginOps) + " plugin ops in a process");
  for (size_t i = 0; i < count; ++i) {
    check_op(path, p, p.ops[i]);
    for (size_t k = 0; k < i; ++k) check_pair(path, p.ops[k].name, p.ops[i].name);
  }
  size_t first = std::exchange(used, used + count);
  loaded.emplace_back(&p, register_all(p, first));
  return loaded.back().second;
}

}  // namespace tn
