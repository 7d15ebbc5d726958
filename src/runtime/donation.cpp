#include "runtime/donation.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <tuple>

namespace tn {

namespace {

/// A load or store with the loops around it, the phase first.
struct Access {
  loops::Val node;
  std::vector<loops::Val> loops;
};

}  // namespace

/// What a kernel does to one buffer.
struct InPlace::Accesses {
  std::vector<Access> reads, writes;
  bool plain = true;  // all inside phases, nothing but loads and stores
  std::optional<bool> once;
};

InPlace::InPlace(const loops::Kernel& k) : k_(k), buffers_(k.buffers.size()) {
  std::vector<loops::Val> open;
  for (loops::Val n = 0; n < static_cast<loops::Val>(k.nodes.size()); ++n) {
    const loops::Node& i = k.nodes[static_cast<size_t>(n)];
    if (i.kind == loops::Kind::loop) open.push_back(n);
    if (i.kind == loops::Kind::yield) open.pop_back();
    if (i.buffer < 0 || i.kind == loops::Kind::prefetch) continue;
    Accesses& found = buffers_[static_cast<size_t>(i.buffer)];
    bool load = i.kind == loops::Kind::load, store = i.kind == loops::Kind::store;
    found.plain = found.plain && (load || store) && !open.empty();
    (store ? found.writes : found.reads).push_back({n, open});
  }
}

InPlace::~InPlace() = default;

namespace {

/// Places that different iterations of a loop store to.
class Stores {
 public:
  Stores(const loops::Kernel& k, std::span<const Access> writes) : k_(k), writes_(writes) {}

  /// Each element is stored at most once.
  bool once() const {
    for (const Access& w : writes_) {
      for (size_t j = 1; j < w.loops.size(); ++j)  // parallel ones keep apart in a sound kernel
        if (!at_most_once(w, w.loops[j]) && !keeps_apart(w, w.loops[j])) return false;
      for (const Access& other : writes_)
        if (other.node > w.node && other.loops[0] == w.loops[0] && !apart(w, other)) return false;
    }
    return true;
  }

 private:
  const loops::Node& node(loops::Val v) const { return k_.nodes[static_cast<size_t>(v)]; }
  const loops::Tile& tile(const Access& a) const { return node(k_.operands(node(a.node))[0]).tile; }

  /// Tails and conditions are loops that run once or not at all: nothing in them is made twice.
  bool at_most_once(const Access& write, loops::Val loop) const {
    std::vector<Bound> bounds = size_bounds();
    for (loops::Val n = 0; n < loop; ++n) {
      bool around = std::find(write.loops.begin(), write.loops.end(), n) != write.loops.end();
      if (around || node(n).kind == loops::Kind::index)
        bounds.push_back({node(n).variable, Dim(0), node(n).extent - Dim(1)});
    }
    return provably_nonnegative(Dim(1) - node(loop).extent, bounds);
  }

  /// One index tells the loop's iterations apart: the variables in it are its digits, for each steps at least as far as
  /// those that step less and the tile reach together.
  bool keeps_apart(const Access& write, loops::Val loop) const {
    for (Dim d : k_.index(node(write.node))) {
      auto symbols = symbols_of(d);
      auto moves = [&](loops::Val l) {
        return std::find(symbols.begin(), symbols.end(), node(l).variable) != symbols.end();
      };
      if (moves(loop) && digits(write, d, moves)) return true;
    }
    return false;
  }

  bool digits(const Access& write, Dim index, const std::function<bool(loops::Val)>& moves) const {
    auto step_of = [&](Dim symbol) -> std::optional<i64> {
      auto step = coefficient(index, symbol);
      if (!step || !step->is_constant()) return std::nullopt;
      return std::abs(step->value());
    };
    auto down = step_of(loops::row()), right = step_of(loops::lane());
    if (!down || !right) return false;
    std::vector<std::pair<i64, loops::Val>> steps;
    std::vector<Bound> bounds = size_bounds();
    for (loops::Val l : write.loops) {
      bounds.push_back({node(l).variable, Dim(0), node(l).extent - Dim(1)});
      if (l == write.loops[0] || !moves(l)) continue;
      auto step = step_of(node(l).variable);
      if (!step || *step == 0) return false;
      steps.emplace_back(*step, l);
    }
    std::sort(steps.begin(), steps.end());
    Dim reach = Dim(1 + *down * (tile(write).rows - 1) + *right * (tile(write).lanes - 1));
    for (auto [step, l] : steps) {
      if (!provably_nonnegative(Dim(step) - reach, bounds)) return false;
      reach = reach + Dim(step) * (node(l).extent - Dim(1));
    }
    return true;
  }

  std::vector<Bound> size_bounds() const {
    std::vector<Bound> bounds;
    for (Dim s : k_.sizes) bounds.push_back({s, Dim(0), std::nullopt});
    return bounds;
  }

  /// Two stores of one iteration of their phase write to different places, in whatever iterations of inner loops.
  bool apart(const Access& a, const Access& b) const {
    std::vector<std::pair<Dim, Dim>> rename;
    std::vector<Bound> bounds = size_bounds();
    auto bind = [&](const Access& w, std::string_view suffix) {
      auto named = [&](Dim symbol) {
        if (suffix.empty()) return symbol;
        rename.emplace_back(symbol, Dim::symbol(to_string(symbol) + std::string(suffix)));
        return rename.back().second;
      };
      for (loops::Val loop : w.loops) {
        bool shared = loop == w.loops[0];
        if (shared && !suffix.empty()) continue;
        Dim last = substitute(node(loop).extent, rename) - Dim(1);
        bounds.push_back({named(node(loop).variable), Dim(0), last});
      }
      for (auto [symbol, extent, limit] : {std::tuple(loops::row(), tile(w).rows, node(w.node).row_limit),
                                           std::tuple(loops::lane(), tile(w).lanes, node(w.node).lane_limit)}) {
        Dim end = limit == loops::Node::kNone ? Dim(extent) : min(extent, substitute(limit, rename));
        bounds.push_back({named(symbol), Dim(0), end - Dim(1)});
      }
    };
    bind(a, "");
    bind(b, " of the other");
    auto here = k_.index(node(a.node)), there = k_.index(node(b.node));
    for (size_t d = 0; d < here.size(); ++d) {
      Dim ahead = substitute(there[d], rename) - here[d];
      if (provably_nonnegative(ahead - Dim(1), bounds) || provably_nonnegative(-ahead - Dim(1), bounds)) return true;
    }
    return false;
  }

  const loops::Kernel& k_;
  std::span<const Access> writes_;
};

/// The load reads what the store of the same iteration writes, and stands before it.
bool meets(const loops::Kernel& k, const Access& read, const Access& write) {
  const auto& l = k.nodes[static_cast<size_t>(read.node)];
  const auto& s = k.nodes[static_cast<size_t>(write.node)];
  auto from = k.index(l), to = k.index(s);
  return read.node < write.node && read.loops == write.loops &&
         l.tile == k.nodes[static_cast<size_t>(k.operands(s)[0])].tile &&
         std::equal(from.begin(), from.end(), to.begin(), to.end()) && l.row_limit == s.row_limit &&
         l.lane_limit == s.lane_limit;
}

/// Nothing stored has been overwritten: all stores come in later phases, or the load's own store follows it.
bool safe(const loops::Kernel& k, const Access& read, std::span<const Access> writes) {
  bool later = true, met = false;
  for (const Access& write : writes) {
    if (write.loops[0] < read.loops[0]) return false;
    if (write.loops[0] == read.loops[0]) later = false, met = met || meets(k, read, write);
  }
  return later || met;
}

}  // namespace

bool InPlace::operator()(std::span<const int> in, int out) {
  const loops::Buffer& to = k_.buffers[static_cast<size_t>(out)];
  Accesses& stored = buffers_[static_cast<size_t>(out)];
  if (!stored.plain || !stored.reads.empty()) return false;
  for (int b : in) {
    const loops::Buffer& from = k_.buffers[static_cast<size_t>(b)];
    const Accesses& loaded = buffers_[static_cast<size_t>(b)];
    if (from.dtype != to.dtype || from.shape != to.shape || from.strides != to.strides) return false;
    if (!loaded.plain || !loaded.writes.empty()) return false;
    for (const Access& read : loaded.reads)
      if (!safe(k_, read, stored.writes)) return false;
  }
  if (!stored.once) stored.once = Stores(k_, stored.writes).once();
  return *stored.once;
}

// ---------------------------------------------------------------- choosing

namespace {

struct Ends {
  int first_write = -1, last_read = -1;
};

std::vector<Ends> ends_of(const Plan& plan) {
  std::vector<Ends> ends(plan.slots().size());
  auto instructions = plan.instructions();
  for (size_t k = 0; k < instructions.size(); ++k) {
    for (u32 s : instructions[k].reads) ends[s].last_read = static_cast<int>(k);
    for (u32 s : instructions[k].writes)
      if (ends[s].first_write < 0) ends[s].first_write = static_cast<int>(k);
  }
  return ends;
}

Dim bits_of(const Slot& s) { return product(s.shape) * Dim(bits(s.dtype)); }

}  // namespace

std::vector<int> reuse_inputs(const Plan& plan, const Mask& donated) {
  const auto& forwarded = plan.forwarded();
  std::vector<int> reuse(forwarded.size(), -1);
  if (std::find(donated.begin(), donated.end(), true) == donated.end()) return reuse;
  auto slots = plan.slots();
  std::vector<u32> input_slot(plan.input_types().size()), output_slot(forwarded.size());
  for (u32 s = 0; s < slots.size(); ++s) {
    if (slots[s].role == Slot::Role::input) input_slot[slots[s].number] = s;
    if (slots[s].role == Slot::Role::output) output_slot[slots[s].number] = s;
  }
  std::vector<bool> free(donated.begin(), donated.end());
  for (int from : forwarded)
    if (from >= 0) free[static_cast<size_t>(from)] = false;
  std::vector<Ends> ends = ends_of(plan);
  // A kernel that reads an input last and writes an output in its place has the first choice: there is no other.
  for (bool together : {true, false})
    for (size_t o = 0; o < reuse.size(); ++o) {
      if (reuse[o] >= 0 || forwarded[o] >= 0) continue;
      u32 out = output_slot[o];
      int written = ends[out].first_write;
      if (written < 0) continue;
      const auto& pairs = plan.instructions()[static_cast<size_t>(written)].in_place;
      for (size_t i = 0; i < free.size() && reuse[o] < 0; ++i) {
        u32 in = input_slot[i];
        if (!free[i] || bits_of(slots[in]) != bits_of(slots[out])) continue;
        int read = ends[in].last_read;
        bool fits = together
                        ? read == written && std::find(pairs.begin(), pairs.end(), std::pair(in, out)) != pairs.end()
                        : read < written;
        if (!fits) continue;
        reuse[o] = static_cast<int>(i);
        free[i] = false;
      }
    }
  return reuse;
}

}  // namespace tn
