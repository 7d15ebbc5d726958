// `tenon inspect` and `tenon ops`: what a model holds, as text, JSON or a picture; the op table.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.h"
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

std::string escaped(std::string_view text) {
  std::string r;
  for (char c : text)
    r += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return r;
}

/// Layers by depth from the inputs, boxes in a column of each layer, lines from operand to user.
std::string svg_text(const NamedGraph& net) {
  const Graph& g = *net.graph;
  struct Box {
    std::string title, note;
    int layer = 0, row = 0;
  };
  std::vector<Box> boxes;
  std::vector<int> box_of(g.value_count(), -1);
  std::vector<std::pair<int, int>> lines;
  auto add = [&](std::string title, std::string note, int layer) {
    boxes.push_back({std::move(title), std::move(note), layer, 0});
    return static_cast<int>(boxes.size()) - 1;
  };
  for (u32 i = 0; i < g.input_count(); ++i) box_of[i] = add(net.inputs[i], to_string(g.type(i)), 0);
  for (const Node& n : g.nodes()) {
    if (n.op->name == std::string_view("constant")) continue;
    int layer = 0;
    for (u32 v : g.operands(n))
      if (box_of[v] >= 0) layer = std::max(layer, boxes[static_cast<size_t>(box_of[v])].layer);
    int b = add(std::string(n.op->name), n.result_count ? to_string(g.type(n.first_result)) : "", layer + 1);
    for (u32 v : g.operands(n))
      if (box_of[v] >= 0) lines.emplace_back(box_of[v], b);
    for (u32 k = 0; k < n.result_count; ++k) box_of[n.first_result + k] = b;
  }
  for (size_t i = 0; i < net.outputs.size(); ++i) {
    int from = box_of[g.outputs()[i]];
    int b = add(net.outputs[i], to_string(g.type(g.outputs()[i])),
                from < 0 ? 1 : boxes[static_cast<size_t>(from)].layer + 1);
    if (from >= 0) lines.emplace_back(from, b);
  }
  std::vector<int> rows;
  for (Box& b : boxes) {
    if (static_cast<size_t>(b.layer) >= rows.size()) rows.resize(static_cast<size_t>(b.layer) + 1);
    b.row = rows[static_cast<size_t>(b.layer)]++;
  }
  constexpr int kWide = 190, kHigh = 40, kGapX = 20, kGapY = 28;
  int width = *std::max_element(rows.begin(), rows.end()) * (kWide + kGapX) + kGapX;
  int height = static_cast<int>(rows.size()) * (kHigh + kGapY) + kGapY;
  auto x = [&](const Box& b) { return kGapX + b.row * (kWide + kGapX); };
  auto y = [&](const Box& b) { return kGapY + b.layer * (kHigh + kGapY); };
  std::string s =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) + "\" height=\"" +
      std::to_string(height) +
      "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  for (auto [from, to] : lines) {
    const Box &a = boxes[static_cast<size_t>(from)], &b = boxes[static_cast<size_t>(to)];
    s += "<line x1=\"" + std::to_string(x(a) + kWide / 2) + "\" y1=\"" + std::to_string(y(a) + kHigh) + "\" x2=\"" +
         std::to_string(x(b) + kWide / 2) + "\" y2=\"" + std::to_string(y(b)) + "\" stroke=\"#8899aa\"/>\n";
  }
  for (const Box& b : boxes) {
    s += "<rect x=\"" + std::to_string(x(b)) + "\" y=\"" + std::to_string(y(b)) + "\" width=\"" +
         std::to_string(kWide) + "\" height=\"" + std::to_string(kHigh) +
         "\" rx=\"5\" fill=\"#eef4fb\" stroke=\"#5b7fa6\"/>\n";
    auto text = [&](const std::string& t, int dy, const char* style) {
      s += "<text x=\"" + std::to_string(x(b) + kWide / 2) + "\" y=\"" + std::to_string(y(b) + dy) +
           "\" text-anchor=\"middle\" " + style + ">" + escaped(t) + "</text>\n";
    };
    text(b.title, 17, "font-weight=\"bold\"");
    text(b.note, 33, "fill=\"#445566\"");
  }
  return s + "</svg>\n";
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
  std::string text = o.format == "json" ? json_text(net) : o.format == "svg" ? svg_text(net) : plain_text(net);
  if (o.output.empty())
    std::cout << text << std::flush;
  else
    write_bytes(o.output, text);
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
