#include "runtime/packing.h"

#include <algorithm>

#include "tenon/error.h"

namespace tn {

namespace {

/// What a phase touches; `plain` when it consists of loads, stores and arithmetic that know no size.
struct Touched {
  std::vector<int> loads, stores;
  bool plain = true;
};

Touched touched(const loops::Kernel& k, loops::Val phase) {
  Touched t;
  auto known = [&](Dim d) {
    if (d == loops::Node::kNone) return true;
    for (Dim s : symbols_of(d))
      if (std::find(k.sizes.begin(), k.sizes.end(), s) != k.sizes.end()) return false;
    return true;
  };
  for (loops::Val v = phase; v < k.nodes[static_cast<size_t>(phase)].at; ++v) {
    const loops::Node& n = k.nodes[static_cast<size_t>(v)];
    t.plain = t.plain && known(n.row_limit) && known(n.lane_limit) && known(n.extent) &&
              std::ranges::all_of(k.index(n), known);
    if (n.kind == loops::Kind::index || n.kind == loops::Kind::check || n.kind == loops::Kind::alloc) t.plain = false;
    if (n.buffer < 0 || n.kind == loops::Kind::prefetch) continue;
    const loops::Buffer& b = k.buffers[static_cast<size_t>(n.buffer)];
    t.plain =
        t.plain && b.is_argument() && std::ranges::all_of(b.shape, known) && std::ranges::all_of(b.strides, known);
    if (n.kind == loops::Kind::load)
      t.loads.push_back(n.buffer);
    else if (n.kind == loops::Kind::store)
      t.stores.push_back(n.buffer);
    else
      t.plain = false;
  }
  return t;
}

}  // namespace

std::vector<std::vector<int>> constant_phases(const loops::Kernel& k, const std::vector<bool>& constant) {
  std::vector<Touched> phases;
  for (loops::Val p : k.phases()) phases.push_back(touched(k, p));
  std::vector<std::vector<int>> found(phases.size());
  for (size_t p = 0; p < phases.size(); ++p) {
    auto mine = [&](int b) {
      auto writers = std::ranges::count_if(
          phases, [&](const Touched& t) { return std::ranges::find(t.stores, b) != t.stores.end(); });
      return k.buffers[static_cast<size_t>(b)].role == loops::Buffer::Role::temp && writers == 1;
    };
    auto is_constant = [&](int b) { return constant[static_cast<size_t>(b)]; };
    Touched& t = phases[p];
    if (t.plain && !t.stores.empty() && std::ranges::all_of(t.loads, is_constant) &&
        std::ranges::all_of(t.stores, mine)) {
      std::sort(t.stores.begin(), t.stores.end());
      t.stores.erase(std::unique(t.stores.begin(), t.stores.end()), t.stores.end());
      found[p] = t.stores;
    }
  }
  return found;
}

void pack_constants(const loops::Kernel& k, Instruction& i, std::span<Slot> slots) {
  if (!i.scratch.is_constant()) return;
  std::vector<u32> slot_of(k.buffers.size());
  std::vector<bool> constant(k.buffers.size());
  for (size_t b = 0, next = 0; b < k.buffers.size(); ++b) {
    if (!k.buffers[b].is_argument()) continue;
    slot_of[b] = i.buffers[next++];
    constant[b] = slots[slot_of[b]].role == Slot::Role::constant;
  }
  auto found = constant_phases(k, constant);
  StoragePtr scratch = Storage::allocate(std::max<size_t>(1, static_cast<size_t>(i.scratch.value())));
  std::vector<i64> sizes(k.sizes.size(), 1);
  for (size_t p = 0; p < found.size(); ++p) {
    if (found[p].empty() || !i.phases[p].extent.is_constant()) continue;
    for (int b : found[p]) {
      u32 s = slot_of[static_cast<size_t>(b)];
      Slot& slot = slots[s];
      std::vector<i64> shape;
      for (Dim d : slot.shape) shape.push_back(d.value());
      slot.role = Slot::Role::constant;
      slot.constant = Array::zeros(slot.dtype, shape);
      std::erase(i.writes, s);
      i.reads.push_back(s);
    }
    std::vector<void*> buffers;
    for (u32 s : i.buffers) buffers.push_back(slots[s].constant.storage ? slots[s].constant.bytes_begin() : nullptr);
    i64 error = 0;
    i.code->run(static_cast<i64>(p), buffers.data(), sizes.data(), 0, i.phases[p].extent.value(), scratch->data(),
                &error);
    if (error != 0) internal("packing failed its check " + std::to_string(error));
    i.phases[p] = {0, 0};
  }
}

}  // namespace tn
