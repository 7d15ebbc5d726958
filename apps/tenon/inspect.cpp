// `tenon inspect` and `tenon ops`: what a model holds, as text, JSON or a picture; the op table.
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "commands.h"
#include "engine/picture.h"
#include "engine/plugin.h"
#include "ir/op_def.h"
#include "onnx/import.h"
#include "values.h"

namespace tn::app {

namespace {

using nlohmann::ordered_json;

std::string json_text(const NamedGraph& net) {
  const Graph& g = *net.graph;
  ordered_json j;
  auto value = [&](u32 v) { return "%" + std::to_string(v); };
  for (u32 i = 0; i < g.input_count(); ++i)
    j["inputs"].push_back({{"name", net.inputs[i]}, {"value", value(i)}, {"type", to_string(g.type(i))}});
  for (size_t i = 0; i < net.outputs.size(); ++i)
    j["outputs"].push_back(
        {{"name", net.outputs[i]}, {"value", value(g.outputs()[i])}, {"type", to_string(g.type(g.outputs()[i]))}});
  j["nodes"] = ordered_json::array();
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
  return j.dump(2) + "\n";
}

std::string plain_text(const NamedGraph& net) {
  std::string s;
  for (size_t i = 0; i < net.inputs.size(); ++i) s += "# input %" + std::to_string(i) + " = " + net.inputs[i] + "\n";
  for (size_t i = 0; i < net.outputs.size(); ++i)
    s += "# output %" + std::to_string(net.graph->outputs()[i]) + " = " + net.outputs[i] + "\n";
  return s + to_string(*net.graph) + "\n";
}

}  // namespace

void inspect(const InspectOptions& o) {
  for (const std::string& p : o.plugins) load_plugin(p);
  NamedGraph net = onnx::import_file(o.model);
  std::string text = o.format == "json" ? json_text(net) : o.format == "svg" ? svg_picture(net) : plain_text(net);
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
