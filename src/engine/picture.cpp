#include "engine/picture.h"

#include <algorithm>

#include "ir/op_def.h"

namespace tn {

// ---------------------------------------------------------------- boxes and lines

int Picture::box(std::string title, std::string note, std::span<const int> follows) {
  Box b{std::move(title), std::move(note)};
  int number = static_cast<int>(boxes_.size());
  for (int f : follows) {
    if (f < 0) continue;
    b.layer = std::max(b.layer, boxes_[static_cast<size_t>(f)].layer + 1);
    lines_.emplace_back(f, number);
  }
  if (static_cast<size_t>(b.layer) >= rows_.size()) rows_.resize(static_cast<size_t>(b.layer) + 1);
  b.row = rows_[static_cast<size_t>(b.layer)]++;
  boxes_.push_back(std::move(b));
  return number;
}

static std::string escaped(std::string_view text) {
  std::string r;
  for (char c : text)
    r += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return r;
}

std::string Picture::svg() const {
  constexpr int kWide = 190, kHigh = 40, kGapX = 20, kGapY = 28;
  int most = rows_.empty() ? 1 : *std::max_element(rows_.begin(), rows_.end());
  int width = most * (kWide + kGapX) + kGapX, height = static_cast<int>(rows_.size()) * (kHigh + kGapY) + kGapY;
  auto x = [&](const Box& b) { return kGapX + b.row * (kWide + kGapX); };
  auto y = [&](const Box& b) { return kGapY + b.layer * (kHigh + kGapY); };
  std::string s =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) + "\" height=\"" +
      std::to_string(height) +
      "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  for (auto [from, to] : lines_) {
    const Box &a = boxes_[static_cast<size_t>(from)], &b = boxes_[static_cast<size_t>(to)];
    s += "<line x1=\"" + std::to_string(x(a) + kWide / 2) + "\" y1=\"" + std::to_string(y(a) + kHigh) + "\" x2=\"" +
         std::to_string(x(b) + kWide / 2) + "\" y2=\"" + std::to_string(y(b)) + "\" stroke=\"#8899aa\"/>\n";
  }
  for (const Box& b : boxes_) {
    s += "<rect x=\"" + std::to_string(x(b)) + "\" y=\"" + std::to_string(y(b)) + "\" width=\"" +
         std::to_string(kWide) + "\" height=\"" + std::to_string(kHigh) +
         "\" rx=\"5\" fill=\"#eef4fb\" stroke=\"#5b7fa6\"/>\n";
    auto text = [&](const std::string& t, int dy, const char* style) {
      constexpr size_t kFits = 30;
      std::string shown = t.size() > kFits ? t.substr(0, kFits - 1) + "\u2026" : t;
      s += "<text x=\"" + std::to_string(x(b) + kWide / 2) + "\" y=\"" + std::to_string(y(b) + dy) +
           "\" text-anchor=\"middle\" " + style + ">" + escaped(shown) + "</text>\n";
    };
    text(b.title, 17, "font-weight=\"bold\"");
    text(b.note, 33, "fill=\"#445566\"");
  }
  return s + "</svg>\n";
}

// ---------------------------------------------------------------- what is drawn

std::string svg_picture(const NamedGraph& net) {
  const Graph& g = *net.graph;
  Picture picture;
  std::vector<int> box_of(g.value_count(), -1);
  for (u32 i = 0; i < g.input_count(); ++i) box_of[i] = picture.box(net.inputs[i], to_string(g.type(i)), {});
  for (const Node& n : g.nodes()) {
    if (is_constant(n)) continue;
    std::vector<int> follows;
    for (u32 v : g.operands(n)) follows.push_back(box_of[v]);
    int b = picture.box(std::string(n.op->name), n.result_count ? to_string(g.type(n.first_result)) : "", follows);
    for (u32 k = 0; k < n.result_count; ++k) box_of[n.first_result + k] = b;
  }
  for (size_t i = 0; i < net.outputs.size(); ++i) {
    u32 o = g.outputs()[i];
    picture.box(net.outputs[i], to_string(g.type(o)), std::span(&box_of[o], 1));
  }
  return picture.svg();
}

/// Instructions follow those that wrote last what they read.
std::string svg_picture(const engine::PlanState& state) {
  const Plan& plan = *state.plan;
  Picture picture;
  std::vector<int> writer(plan.slots().size(), -1);
  std::vector<int> output(state.outputs.size(), -1);
  for (size_t s = 0; s < writer.size(); ++s)
    if (const Slot& slot = plan.slots()[s]; slot.role == Slot::Role::input)
      writer[s] = picture.box(state.inputs[slot.number].name, to_string(state.inputs[slot.number].type), {});
  for (const Instruction& i : plan.instructions()) {
    std::vector<int> follows;
    for (u32 s : i.reads) follows.push_back(writer[s]);
    std::sort(follows.begin(), follows.end());
    follows.erase(std::unique(follows.begin(), follows.end()), follows.end());
    std::string note;
    if (!i.writes.empty()) {
      const Slot& slot = plan.slots()[i.writes[0]];
      note = to_string(Type::tensor(slot.dtype, slot.shape));
    }
    int b = picture.box(i.label, note, follows);
    for (u32 s : i.writes) writer[s] = b;
  }
  for (size_t s = 0; s < writer.size(); ++s)
    if (const Slot& slot = plan.slots()[s]; slot.role == Slot::Role::output) output[slot.number] = writer[s];
  for (size_t o = 0; o < output.size(); ++o)
    picture.box(state.outputs[o].name, to_string(state.outputs[o].type), std::span(&output[o], 1));
  return picture.svg();
}

}  // namespace tn
