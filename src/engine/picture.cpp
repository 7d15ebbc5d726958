#include "engine/picture.h"

#include <algorithm>

#include "ir/op_def.h"

namespace tn {

namespace {

std::string escaped(std::string_view text) {
  std::string r;
  for (char c : text)
    r += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return r;
}

}  // namespace

std::string svg_picture(const NamedGraph& net) {
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

}  // namespace tn
