// stage and inlined: what a nest reads is copied close to it, or computed again where it is read.
#include <algorithm>

#include "compile/rewriter.h"
#include "compile/schedule.h"
#include "tenon/error.h"

namespace tn::loops {

namespace {

bool mentions(Dim d, Dim symbol) {
  auto s = symbols_of(d);
  return std::find(s.begin(), s.end(), symbol) != s.end();
}

// ---------------------------------------------------------------- stage

class Staging : public Rewriter {
 public:
  Staging(const Kernel& k, int buffer, Val at) : Rewriter(k), buffer_(buffer), at_(at) {}

  Kernel staged() {
    find_read();
    find_inner_loops();
    take_apart();
    return run();
  }

 private:
  [[noreturn]] static void refuse(const std::string& why) { fail("stage", why); }

  /// The read of the buffer in the loop; several must be the same.
  void find_read() {
    for (Val n = at_ + 1; n < input(at_).at; ++n) {
      const Node& i = input(n);
      if (i.buffer != buffer_) continue;
      if (i.kind != Kind::load) refuse("expected loads of the buffer only, got a store or a gather");
      if (read_ >= 0 && !same_read(input(read_), i)) refuse("expected one way of reading the buffer, got several");
      if (read_ < 0) read_ = n;
    }
    if (read_ < 0) refuse("expected a load of the buffer in the loop, got none");
  }

  bool same_read(const Node& a, const Node& b) const {
    auto x = in_.index(a), y = in_.index(b);
    return a.tile == b.tile && a.row_limit == b.row_limit && a.lane_limit == b.lane_limit && a.any == b.any &&
           a.number == b.number && std::equal(x.begin(), x.end(), y.begin(), y.end());
  }

  /// Loops between `at` and the read whose variables the index mentions: the panel has an extent for them.
  void find_inner_loops() {
    for (Val h : loops_around(in_, read_)) {
      if (h <= at_) continue;
      for (Dim d : in_.index(input(read_)))
        if (mentions(d, input(h).variable) && (inner_.empty() || inner_.back() != h)) inner_.push_back(h);
    }
    for (Val h : inner_)
      for (Val o : inner_)
        if (mentions(input(h).extent, input(o).variable))
          refuse("expected extents free of each other, got one loop's in another's");
  }

  /// index = what is fixed in an iteration of `at` + what moves inside it; the panel holds the moving part.
  void take_apart() {
    const Node& i = input(read_);
    std::vector<std::pair<Dim, Dim>> origin{{row(), 0}, {lane(), 0}},
        top{{row(), i.tile.rows - 1}, {lane(), i.tile.lanes - 1}};
    std::vector<Bound> bounds;
    for (Val h : inner_) {
      origin.emplace_back(input(h).variable, 0);
      top.emplace_back(input(h).variable, input(h).extent - Dim(1));
      bounds.push_back({input(h).variable, Dim(0), input(h).extent - Dim(1)});
    }
    bounds.push_back({row(), Dim(0), Dim(i.tile.rows - 1)});
    bounds.push_back({lane(), Dim(0), Dim(i.tile.lanes - 1)});
    for (Dim d : in_.index(i)) {
      Dim moving = d - substitute(d, origin);
      if (moving == Dim(0)) continue;
      if (!provably_nonnegative(moving, bounds))
        refuse("expected an index that grows in each loop, got '" + to_string(d) + "'");
      moving_.push_back(moving);
      shape_.push_back(substitute(moving, top) + Dim(1));
      for (Dim s : symbols_of(shape_.back()))
        if (std::find(in_.sizes.begin(), in_.sizes.end(), s) == in_.sizes.end())
          refuse("expected a panel of the kernel's sizes, got an extent of '" + to_string(shape_.back()) + "'");
    }
  }

  Shape moved() const {
    Shape where;
    for (Dim d : moving_) where.push_back(dim(d));
    return where;
  }

  void begin_body(Val n) override {
    if (n != at_) return;
    const Buffer& b = in_.buffers[static_cast<size_t>(buffer_)];
    panel_ = b_.alloc(b.name + "p", b.dtype, shape_);
    copy_nest(0);
  }

  void copy_nest(size_t depth) {
    if (depth < inner_.size()) {
      const Node& head = input(inner_[depth]);
      b_.serial(stem_of(head.variable) + "p", dim(head.extent), [&](Dim v) {
        replace(head.variable, v);
        copy_nest(depth + 1);
      });
      return;
    }
    Val v = b_.append(copied(read_), {}, index(read_));
    Node put{.kind = Kind::store};
    put.tile = b_.tile(v);
    put.buffer = panel_;
    put.row_limit = copied(read_).row_limit;
    put.lane_limit = copied(read_).lane_limit;
    if (!input(read_).any) put.row_limit = put.lane_limit = Node::kNone;  // the constant outside is data too
    b_.append(put, {&v, 1}, moved());
  }

  void node(Val n) override {
    if (n <= at_ || n >= input(at_).at || input(n).kind != Kind::load || input(n).buffer != buffer_)
      return Rewriter::node(n);
    Node made = copied(n);
    made.buffer = panel_;
    if (!made.any) made.row_limit = made.lane_limit = Node::kNone;
    set(n, b_.append(made, {}, moved()));
  }

  int buffer_, panel_ = -1;
  Val at_, read_ = -1;
  std::vector<Val> inner_;
  std::vector<Dim> moving_;
  Shape shape_;
};

// ---------------------------------------------------------------- inlined

class Inlining : public Rewriter {
 public:
  Inlining(const Kernel& k, int buffer) : Rewriter(k), buffer_(buffer) {}

  Kernel done() {
    find_producer();
    return without_dead_nodes(run());
  }

 private:
  [[noreturn]] static void refuse(const std::string& why) { fail("inlined", why); }

  void find_producer() {
    Buffer::Role role = in_.buffers[static_cast<size_t>(buffer_)].role;
    if (role != Buffer::Role::scratch && role != Buffer::Role::temp)
      refuse("expected a scratch or temp buffer, got an argument");
    for (Val n = 0; n < static_cast<Val>(in_.nodes.size()); ++n) {
      const Node& i = input(n);
      if (i.buffer != buffer_ || i.kind == Kind::alloc || i.kind == Kind::load) continue;
      if (i.kind != Kind::store || store_ >= 0) refuse("expected one store of the buffer and loads, got more");
      store_ = n;
    }
    if (store_ < 0) refuse("expected a store of the buffer, got none");
    find_cone(in_.operands(input(store_))[0]);
    std::sort(cone_.begin(), cone_.end());
    cone_.erase(std::unique(cone_.begin(), cone_.end()), cone_.end());
  }

  /// The pure nodes that make the stored value.
  void find_cone(Val v) {
    const Node& i = input(v);
    switch (i.kind) {
      case Kind::load: need_unchanged(i.buffer); break;
      case Kind::constant:
      case Kind::dim:
      case Kind::map:
      case Kind::reduce:
      case Kind::scan:
      case Kind::slice:
      case Kind::transpose: break;
      default: refuse("expected a value of maps and loads, got one that a loop or a gather makes");
    }
    for (Val x : in_.operands(i)) find_cone(x);
    cone_.push_back(v);
  }

  void need_unchanged(int b) {
    for (Val n = store_; n < static_cast<Val>(in_.nodes.size()); ++n)
      if (input(n).buffer == b && (input(n).kind == Kind::store || input(n).kind == Kind::scatter))
        refuse("expected inputs that do not change until the reads, got a later store");
  }

  void node(Val n) override {
    const Node& i = input(n);
    if (n == store_ || (i.kind == Kind::alloc && i.buffer == buffer_)) return;
    if (i.kind != Kind::load || i.buffer != buffer_) return Rewriter::node(n);
    if (!(i.tile == input(store_).tile)) refuse("expected reads of the tile that is stored, got another shape");
    solve(n);
    for (Val c : cone_) {
      set(c, -1);
      emit(c);
    }
    set(n, value(in_.operands(input(store_))[0]));
  }

  /// Finds the iteration that stores what node n reads.
  void solve(Val n) {
    auto stored = in_.index(input(store_));
    std::vector<Dim> wanted = index(n);
    std::vector<Val> around = loops_around(in_, store_), reading = loops_around(in_, n);
    std::erase_if(around, [&](Val h) { return std::find(reading.begin(), reading.end(), h) != reading.end(); });
    std::vector<std::pair<Dim, Dim>> solution;
    for (size_t d = 0; d < stored.size(); ++d) {
      Dim variable = Node::kNone;
      for (Val h : around)
        if (mentions(stored[d], input(h).variable)) {
          if (variable != Node::kNone) refuse("expected one loop's variable in each index of the store, got two");
          variable = input(h).variable;
        }
      solution.emplace_back(variable, solved(stored[d], variable, wanted[d]));
    }
    for (Val h : around) {
      Dim v = input(h).variable;
      auto known = std::find_if(solution.begin(), solution.end(), [&](const auto& s) { return s.first == v; });
      if (known == solution.end()) refuse("expected every loop around the store in its index, got one that is not");
      replace(v, known->second);
    }
  }

  Dim solved(Dim stored, Dim variable, Dim wanted) {
    if (variable == Node::kNone) {
      if (!(dim(stored) == wanted)) refuse("expected reads of what one iteration stores, got another index");
      return 0;
    }
    auto step = coefficient(stored, variable);
    if (!step) refuse("expected an index linear in its loop's variable, got '" + to_string(stored) + "'");
    std::pair<Dim, Dim> origin[] = {{variable, 0}};
    Dim rest = wanted - dim(substitute(stored, origin)), iteration = floordiv(rest, dim(*step));
    if (!(iteration * dim(*step) == rest) || mentions(iteration, row()) || mentions(iteration, lane()))
      refuse("expected reads of what one iteration stores, got '" + to_string(wanted) + "'");
    return iteration;
  }

  int buffer_;
  Val store_ = -1;
  std::vector<Val> cone_;
};

}  // namespace

Kernel stage(const Kernel& k, std::string_view buffer, std::string_view at) {
  return Staging(k, find_buffer(k, buffer, "stage"), find_loop(k, at)).staged();
}

Kernel inlined(const Kernel& k, std::string_view buffer) {
  return Inlining(k, find_buffer(k, buffer, "inlined")).done();
}

}  // namespace tn::loops
