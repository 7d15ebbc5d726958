#include "compile/touch.h"

#include <algorithm>

namespace tn {

using loops::Kind;

static constexpr i64 kLine = 64;

std::vector<Touch> touches(const Graph& g, const GraphIndex& index, const Group& group,
                           const std::function<void(KernelWriter&)>& body) {
  KernelWriter probe(g, index, group.computed, "probe");
  try {
    probe.builder().parallel("p", 1, [&](Dim) { body(probe); });
  } catch (const Refusal&) { return {}; }
  const loops::Kernel& k = probe.kernel();
  std::vector<size_t> argument(k.buffers.size());
  for (size_t i = 0, next = 0; i < k.buffers.size(); ++i)
    if (k.buffers[i].is_argument()) argument[i] = next++;
  std::vector<Touch> found;
  for (const loops::Node& n : k.nodes) {
    if (n.kind != Kind::load && n.kind != Kind::store) continue;
    auto buffer = static_cast<size_t>(n.buffer);
    if (!k.buffers[buffer].is_argument()) continue;
    const KernelWriter::Argument& a = probe.arguments()[argument[buffer]];
    if (!a.temp) found.push_back({a.value, a.written, loops::element_offset(k.buffers[buffer], k.index(n))});
  }
  return found;
}

void fetch(KernelWriter& w, const Touch& touch, std::span<const std::pair<Dim, Dim>> there, Dim further,
           loops::Fetch how) {
  Dim at = substitute(touch.offset, there) + further;
  w.builder().prefetch(touch.written ? w.output_buffer(touch.value) : w.input_buffer(touch.value), {&at, 1}, how);
}

NextPicture::NextPicture(const Graph& g, const GraphIndex& index, const Group& group, u32 value,
                         std::span<const Dim> extents, const At& at) {
  size_ = extents[1] * extents[2] * extents[3];
  if (!size_.is_constant() || size_ == Dim(0)) return;
  // Channels are lanes, whose bounds simplify what joined axes are made of.
  Dim c = loops::lane(), y, x;
  auto all = touches(g, index, group, [&](KernelWriter& w) {
    w.builder().serial("n", extents[0], [&](Dim n) {
      w.builder().serial("y", extents[2], [&](Dim row) {
        w.builder().serial("x", extents[3], [&](Dim column) {
          number_ = n, y = row, x = column;
          w.set_tile({1, static_cast<int>(std::min<i64>(extents[1].value(), 8))});
          w.at(value, at(n, c, y, x));
        });
      });
    });
  });
  for (Touch& t : all) {
    bool in_order = coefficient(t.offset, x) == Dim(1) && coefficient(t.offset, y) == extents[3] &&
                    coefficient(t.offset, c) == extents[2] * extents[3] && coefficient(t.offset, number_) != Dim(0);
    if (!in_order) continue;
    const std::pair<Dim, Dim> first[] = {{c, 0}, {y, 0}, {x, 0}};
    t.offset = substitute(t.offset, first);
    runs_.push_back(t);
  }
}

void NextPicture::fetch(KernelWriter& w, Dim picture, Dim step, Dim steps) const {
  if (runs_.empty() || !steps.is_constant() || steps.value() < 1) return;
  i64 each = (size_.value() + steps.value() - 1) / steps.value();
  const std::pair<Dim, Dim> next[] = {{number_, picture + Dim(1)}};
  for (const Touch& t : runs_)
    for (i64 i = 0; i < each; i += kLine / bytes(w.graph().type(t.value).dtype()))
      tn::fetch(w, t, next, step * Dim(each) + Dim(i), loops::Fetch::far);
}

}  // namespace tn
