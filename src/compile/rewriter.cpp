#include "compile/rewriter.h"

#include <algorithm>

#include "tenon/error.h"

namespace tn::loops {

Rewriter::Rewriter(const Kernel& k) : in_(k), b_(out_), values_(k.nodes.size(), -1) {
  out_.name = k.name;
  out_.sizes = k.sizes;
  out_.buffers = k.buffers;
  out_.scratch_bytes = k.scratch_bytes;
  out_.buffer_arguments = k.buffer_arguments;
}

Kernel Rewriter::run() {
  range(0, static_cast<Val>(in_.nodes.size()));
  return std::move(out_);
}

void Rewriter::range(Val first, Val last) {
  for (Val n = first; n < last;) {
    if (input(n).kind == Kind::loop) {
      loop(n);
      n = after(n);
    } else {
      node(n++);
    }
  }
}

void Rewriter::loop(Val n) { copy_loop(n, dim(input(n).extent), input(n).loop); }
void Rewriter::node(Val n) { emit(n); }

void Rewriter::copy_loop(Val n, Dim extent, LoopKind kind) {
  const Node& head = input(n);
  std::vector<Val> start;
  for (size_t j = 0; j < head.arg_count; ++j) start.push_back(initial(n, j));
  auto results = b_.loop(
      stem_of(head.variable), extent, start,
      [&](Dim v, std::span<const Val> carries) {
        replace(head.variable, v);
        for (size_t j = 0; j < carries.size(); ++j) set(n + 1 + static_cast<Val>(j), carries[j]);
        begin_body(n);
        range(body(n), head.at);
        std::vector<Val> next;
        for (size_t j = 0; j < carries.size(); ++j) next.push_back(yielded(n, j));
        return next;
      },
      kind);
  for (size_t j = 0; j < results.size(); ++j) set(head.at + 1 + static_cast<Val>(j), results[j]);
}

std::vector<Val> Rewriter::operands(Val n) const {
  std::vector<Val> x;
  for (Val v : in_.operands(input(n))) x.push_back(value(v));
  return x;
}

std::vector<Dim> Rewriter::index(Val n) const {
  std::vector<Dim> where;
  for (Dim d : in_.index(input(n))) where.push_back(dim(d));
  return where;
}

Node Rewriter::copied(Val n) const {
  Node made = input(n);
  made.row_limit = dim(made.row_limit);
  made.lane_limit = dim(made.lane_limit);
  made.extent = dim(made.extent);
  return made;
}

Val Rewriter::emit(Val n, const Node& changed) {
  Node made = changed;
  if (made.kind == Kind::index) {
    made.variable = Dim::fresh(stem_of(made.variable));
    replace(input(n).variable, made.variable);
  }
  Val v = b_.append(made, operands(n), index(n));
  set(n, v);
  return v;
}

void Rewriter::replace(Dim symbol, Dim to) {
  for (auto& [from, by] : replaced_)
    if (from == symbol) {
      by = to;
      return;
    }
  replaced_.emplace_back(symbol, to);
}

// ---------------------------------------------------------------- dead nodes

namespace {

/// Marks what effects need, from the end to the start.
class Cleaner : public Rewriter {
 public:
  explicit Cleaner(const Kernel& k) : Rewriter(k), needed_(k.nodes.size(), false) {
    // A carry makes its start and its next value needed, which may make more carries needed.
    for (size_t before = 0, after = 1; before != after;) {
      before = static_cast<size_t>(std::count(needed_.begin(), needed_.end(), true));
      for (Val n = static_cast<Val>(k.nodes.size()); n-- > 0;) mark(n);
      after = static_cast<size_t>(std::count(needed_.begin(), needed_.end(), true));
    }
  }

 private:
  bool needed(Val n) const { return needed_[static_cast<size_t>(n)]; }
  void need(Val n) { needed_[static_cast<size_t>(n)] = true; }

  void mark(Val n) {
    const Node& i = input(n);
    switch (i.kind) {
      case Kind::store:
      case Kind::scatter:
      case Kind::check:
      case Kind::prefetch:
      case Kind::barrier: need(n); break;
      case Kind::index: need(n); break;  // its variable may stand in any Dim
      case Kind::result: {
        Val header = input(in_.operands(i)[0]).at;
        if (needed(n)) need(header + 1 + i.at);
        break;
      }
      case Kind::carry: {
        Val header = in_.operands(i)[0];
        auto j = static_cast<size_t>(n - header - 1);
        if (!needed(n)) break;
        need(header);
        need(in_.operands(input(header))[j]);
        need(in_.operands(input(input(header).at))[j]);
        break;
      }
      default: break;
    }
    if (!needed(n)) return;
    for (Val h : loops_around(in_, n)) need(h);
    if (i.kind != Kind::loop && i.kind != Kind::yield && i.kind != Kind::carry && i.kind != Kind::result)
      for (Val v : in_.operands(i)) need(v);
  }

  void loop(Val n) override {
    if (!needed(n)) return;
    const Node& head = input(n);
    std::vector<size_t> kept;
    std::vector<Val> start;
    for (size_t j = 0; j < head.arg_count; ++j)
      if (needed(n + 1 + static_cast<Val>(j))) {
        kept.push_back(j);
        start.push_back(initial(n, j));
      }
    auto results = b_.loop(
        stem_of(head.variable), dim(head.extent), start,
        [&](Dim v, std::span<const Val> carries) {
          replace(head.variable, v);
          for (size_t j = 0; j < kept.size(); ++j) set(n + 1 + static_cast<Val>(kept[j]), carries[j]);
          range(body(n), head.at);
          std::vector<Val> next;
          for (size_t j : kept) next.push_back(yielded(n, j));
          return next;
        },
        head.loop);
    for (size_t j = 0; j < kept.size(); ++j) set(head.at + 1 + static_cast<Val>(kept[j]), results[j]);
  }

  void node(Val n) override {
    if (needed(n) || (input(n).kind == Kind::alloc && used(input(n).buffer))) emit(n);
  }

  bool used(int buffer) const {
    for (size_t n = 0; n < in_.nodes.size(); ++n)
      if (needed_[n] && in_.nodes[n].kind != Kind::alloc && in_.nodes[n].buffer == buffer) return true;
    return false;
  }

  std::vector<bool> needed_;
};

/// Drops scratch that nothing names and lays the rest out anew.
void compact_scratch(Kernel& k) {
  std::vector<int> number(k.buffers.size(), -1);
  std::vector<bool> used(k.buffers.size(), false);
  for (const Node& n : k.nodes)
    if (n.buffer >= 0) used[static_cast<size_t>(n.buffer)] = true;
  std::vector<Buffer> kept;
  k.scratch_bytes = 0;
  for (size_t i = 0; i < k.buffers.size(); ++i) {
    Buffer& b = k.buffers[i];
    if (!b.is_argument() && !used[i]) continue;
    if (!b.is_argument()) {
      b.offset = k.scratch_bytes;
      k.scratch_bytes = k.scratch_bytes + ceildiv(product(b.shape) * Dim(bytes(b.dtype)), 64) * Dim(64);
    }
    number[i] = static_cast<int>(kept.size());
    kept.push_back(std::move(b));
  }
  k.buffers = std::move(kept);
  for (Node& n : k.nodes)
    if (n.buffer >= 0) n.buffer = number[static_cast<size_t>(n.buffer)];
}

}  // namespace

Kernel without_dead_nodes(const Kernel& k) {
  Kernel made = Cleaner(k).run();
  compact_scratch(made);
  return made;
}

// ---------------------------------------------------------------- looking at kernels

std::string stem_of(Dim variable) {
  std::string name = to_string(variable);
  return name.substr(0, name.find('\''));
}

Val find_loop(const Kernel& k, std::string_view name) {
  std::string known;
  Val found = -1;
  for (size_t n = 0; n < k.nodes.size(); ++n) {
    if (k.nodes[n].kind != Kind::loop) continue;
    std::string stem = stem_of(k.nodes[n].variable);
    known += (known.empty() ? "" : ", ") + stem;
    if (stem != name) continue;
    if (found >= 0) fail("schedule", "expected one loop '" + stem + "', got several; name loops apart");
    found = static_cast<Val>(n);
  }
  if (found < 0) fail("schedule", "expected a loop of the kernel (" + known + "), got '" + std::string(name) + "'");
  return found;
}

std::vector<Val> loops_around(const Kernel& k, Val n) {
  std::vector<Val> around;
  for (Val h = 0; h < n; ++h)
    if (k.nodes[static_cast<size_t>(h)].kind == Kind::loop && k.nodes[static_cast<size_t>(h)].at > n)
      around.push_back(h);
  return around;
}

Val only_inner_loop(const Kernel& k, Val outer) {
  Val found = -1, end = k.nodes[static_cast<size_t>(outer)].at;
  for (Val n = outer + 1; n < end; ++n) {
    const Node& i = k.nodes[static_cast<size_t>(n)];
    if (i.kind == Kind::loop) {
      if (found >= 0) return -1;
      found = n;
      n = i.at;
    } else if (i.kind != Kind::constant) {
      return -1;
    }
  }
  return found;
}

int find_buffer(const Kernel& k, std::string_view name, std::string_view rewrite) {
  std::string known;
  for (size_t i = 0; i < k.buffers.size(); ++i) {
    if (k.buffers[i].name == name) return static_cast<int>(i);
    known += (i ? ", " : "") + k.buffers[i].name;
  }
  fail(rewrite, "expected a buffer of the kernel (" + known + "), got '" + std::string(name) + "'");
}

}  // namespace tn::loops
