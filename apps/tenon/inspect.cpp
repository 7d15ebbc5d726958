// `tenon inspect` and `tenon ops`: what a model or plan holds, as text, JSON or a picture; the op table.
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "commands.h"
#include "engine/picture.h"
#include "ir/op_def.h"
#include "onnx/import.h"
#include "runtime/plan_text.h"
#include "source.h"

namespace tn::app {

namespace {

using nlohmann::ordered_json;

ordered_json json_of(const NamedGraph& net) {
  const Graph& g = *net.graph;
  ordered_json j;
  auto value = [&](u32 v) { return "%" + std::to_string(v); };
  j["inputs"] = j["outputs"] = j["nodes"] = ordered_json::array();
  for (u32 i = 0; i < g.input_count(); ++i)
    j["inputs"].push_back({{"name", net.inputs[i]}, {"value", value(i)}, {"type", to_string(g.type(i))}});
  for (size_t i = 0; i < net.outputs.size(); ++i)
    j["outputs"].push_back(
        {{"name", net.outputs[i]}, {"value", value(g.outputs()[i])}, {"type", to_string(g.type(g.outputs()[i]))}});
  for (const Node& n : g.nodes()) {
    ordered_json node;
    node["op"] = n.op->name;
    node["operands"] = ordered_json::array();
    for (u32 v : g.operands(n)) node["operands"].push_back(value(v));
    for (u32 k = 0; k < n.result_count; ++k)
      node["results"].push_back(
          {{"value", value(n.first_result + k)}, {"type", to_string(g.type(n.first_result + k))}});
    j["nodes"].push_back(std::move(node));
  }
  return j;
}

std::string text_of(const NamedGraph& net) {
  std::string s;
  for (size_t i = 0; i < net.inputs.size(); ++i) s += "# input %" + std::to_string(i) + " = " + net.inputs[i] + "\n";
  for (size_t i = 0; i < net.outputs.size(); ++i)
    s += "# output %" + std::to_string(net.graph->outputs()[i]) + " = " + net.outputs[i] + "\n";
  return s + to_string(*net.graph) + "\n";
}

ordered_json instructions_of(const tn::Plan& plan) {
  ordered_json list = ordered_json::array();
  for (const Instruction& i : plan.instructions()) {
    ordered_json entry = {{"kind", name(i.kind)},
                          {"what", i.label},
                          {"reads", i.reads},
                          {"writes", i.writes},
                          {"phases", i.phases.size()}};
    if (i.code) entry["code_bytes"] = i.code->code() ? i.code->code()->object().size() : 0;
    for (const auto& body : i.bodies) entry["bodies"].push_back(instructions_of(*body));
    list.push_back(std::move(entry));
  }
  return list;
}

ordered_json json_of(const engine::Plan& plan) {
  const engine::PlanState& s = plan.state();
  ordered_json j = {{"isa", s.isa}, {"note", s.note}, {"phases", s.plan->phase_count()}};
  auto types = [](const std::vector<NamedType>& list) {
    ordered_json r = ordered_json::array();
    for (const NamedType& t : list) r.push_back({{"name", t.name}, {"type", to_string(t.type)}});
    return r;
  };
  j["inputs"] = types(s.inputs);
  j["outputs"] = types(s.outputs);
  j["profiles"] = j["passes"] = j["slots"] = ordered_json::array();
  for (const auto& p : s.profiles)
    j["profiles"].push_back({{"size", p.name}, {"min", p.min}, {"opt", p.opt}, {"max", p.max}});
  for (const PassInfo& p : engine::build_passes()) {
    bool off = std::ranges::find(s.without, p.name) != s.without.end();
    j["passes"].push_back({{"name", p.name}, {"on", !off}});
  }
  size_t constants = 0;
  for (const Slot& slot : s.plan->slots()) {
    j["slots"].push_back({{"role", name(slot.role)}, {"type", to_string(Type::tensor(slot.dtype, slot.shape))}});
    if (slot.role == Slot::Role::constant) constants += slot.constant.nbytes();
  }
  j["constant_bytes"] = constants;
  j["instructions"] = instructions_of(*s.plan);
  return j;
}

std::string text_of(const engine::Plan& plan) {
  const engine::PlanState& s = plan.state();
  std::string text = "# machine code for " + s.isa + "\n";
  if (!s.note.empty()) text += "# " + s.note + "\n";
  for (const NamedType& i : s.inputs) text += "# input " + i.name + " " + to_string(i.type) + "\n";
  for (const NamedType& o : s.outputs) text += "# output " + o.name + " " + to_string(o.type) + "\n";
  for (const auto& p : s.profiles)
    text += "# size " + p.name + " from " + std::to_string(p.min) + " to " + std::to_string(p.max) + ", best at " +
            std::to_string(p.opt) + "\n";
  for (const auto& pass : s.without) text += "# without pass " + pass + "\n";
  return text + plan.text();
}

template <class What, class Picture>
std::string shown(const std::string& format, const What& what, const Picture& picture) {
  if (format == "json") return json_of(what).dump(2) + "\n";
  return format == "svg" ? svg_picture(picture) : text_of(what);
}

}  // namespace

void inspect(const InspectOptions& o) {
  for (const std::string& p : o.plugins) load_plugin(p);
  std::string text;
  if (is_plan(o.model) && !o.graph) {
    engine::Plan plan = engine::Plan::load(o.model);
    text = shown(o.format, plan, plan.state());
  } else {
    NamedGraph net = is_plan(o.model) ? engine::Plan::load(o.model).state().network() : onnx::import_file(o.model);
    text = shown(o.format, net, net);
  }
  if (o.output.empty())
    std::cout << text << std::flush;
  else
    write_file("inspect", o.output, text);
}

void list_ops(bool json) {
  ordered_json all = ordered_json::array();
  for (const OpDef* op : all_ops()) {
    if (json)
      all.push_back({{"name", op->name}, {"version", op->version}, {"doc", op->doc}});
    else
      std::cout << op->name << "\t" << op->doc.substr(0, op->doc.find('\n')) << "\n";
  }
  if (json) std::cout << all.dump(2) << "\n";
}

}  // namespace tn::app
